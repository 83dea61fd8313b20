//! A bundle of one's own, its containers, and what a run of learnc said.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::needs::{busybox, is_root};

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ran {
    /// Exit status; 128+N for a signal.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The same, insisting on success.
    pub fn ok(self) -> Ran {
        assert_eq!(self.status, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = output.status;
    Ran {
        status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os("LEARNC_TESTED").map_or(env!("CARGO_BIN_EXE_learnc").into(), PathBuf::from)
}

/// `learnc ARGS`, with nothing on its standard input.
pub fn learnc<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    of(&program(), args)
}

fn of<S: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// A build of learnc that lies (`src/sys/lie.rs`), made once and kept beside the honest one;
/// `tests/all` brings one, so that it can be had where there is no cargo.
pub fn liar() -> PathBuf {
    if let Some(brought) = std::env::var_os("LEARNC_LIAR") {
        return brought.into();
    }
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lie");
        let flags = r#"target."cfg(target_os=\"linux\")".rustflags=["--cfg","lie"]"#;
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--bin", "learnc"]);
        cargo.arg("--target-dir").arg(&target).args(["--config", flags]);
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        ran(&mut cargo).ok();
        let honest = Path::new(env!("CARGO_BIN_EXE_learnc"));
        let triple = honest.ancestors().nth(2).unwrap().file_name().unwrap();
        target.join(triple).join("debug/learnc")
    };
    BUILT.get_or_init(build).clone()
}

/// A folder with config.json and a busybox root filesystem, and a state root of its own.
pub struct Bundle {
    /// Of the container, unique on this machine.
    pub id: String,
    pub dir: PathBuf,
    pub config: Value,
    /// The learnc that is tested.
    pub program: PathBuf,
}

/// Copies a program by another process. Had this one it open for writing while a neighbour starts a process,
/// that would have it open until its execve, and whoever starts the copy before that gets ETXTBSY.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    ran(Command::new("cp").arg(from.as_ref()).arg(to.as_ref())).ok();
}

/// Takes a folder away, with what is closed in it or belongs to other ids of this user's.
pub fn take_away(dir: &Path) {
    if std::fs::remove_dir_all(dir).is_ok() || !dir.exists() {
        return;
    }
    for ids in ["--map-auto", "--user"] {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", ids, "rm", "-rf", "--"]).arg(dir);
        if unshare.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return;
        }
    }
}

/// A bundle as `learnc spec` writes it, for this user, without a terminal, running `true`.
pub fn bundle() -> Bundle {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // No id begins with another.
    let id = format!("test-{}-{count:04}", std::process::id());
    let dir = std::env::temp_dir().join(format!("learnc-{id}"));
    std::fs::create_dir_all(dir.join("rootfs")).unwrap();
    let mut bundle = Bundle { id, dir, config: Value::Null, program: program() };
    bundle.make_rootfs();
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    ran(learnc(["spec"]).args(rootless).current_dir(&bundle.dir)).ok();
    let text = std::fs::read(bundle.dir.join("config.json")).unwrap();
    bundle.config = serde_json::from_slice(&text).unwrap();
    bundle.set("/process/terminal", json!(false)).args(["true"])
}

impl Bundle {
    fn make_rootfs(&self) {
        let bin = self.rootfs().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["proc", "sys", "dev", "tmp", "etc"] {
            std::fs::create_dir_all(self.rootfs().join(name)).unwrap();
        }
        let busybox = busybox().expect("a test that needs busybox says so");
        copy_program(busybox, bin.join("busybox"));
        let applets = "sh true false id hostname ps mount cat ls sleep echo env stat readlink grep \
                       kill tty stty head dd umount chroot wc test touch mkdir rm sed seq mknod ip \
                       free nproc";
        for name in applets.split_whitespace() {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    pub fn state_root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Sets a field by its JSON pointer; what is missing on the way is made.
    pub fn set(mut self, pointer: &str, value: Value) -> Bundle {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let mut at = &mut self.config;
        for part in parent.split('/').skip(1) {
            at = match at {
                Value::Array(items) => {
                    let index = part.parse::<usize>().unwrap();
                    items.resize(items.len().max(index + 1), Value::Null);
                    &mut items[index]
                }
                at => {
                    if at.get(part).is_none() {
                        at[part] = json!({});
                    }
                    &mut at[part]
                }
            };
        }
        match at {
            Value::Array(items) => {
                let index = field.parse::<usize>().unwrap();
                items.resize(items.len().max(index + 1), Value::Null);
                items[index] = value;
            }
            at => at[field] = value,
        }
        self
    }

    /// Takes a field out.
    pub fn without(mut self, pointer: &str) -> Bundle {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        if let Some(parent) = self.config.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(field);
        }
        self
    }

    pub fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Bundle {
        let args: Vec<&str> = args.into_iter().collect();
        self.set("/process/args", json!(args))
    }

    pub fn sh(self, script: &str) -> Bundle {
        self.args(["sh", "-c", script])
    }

    pub fn hostname(self, name: &str) -> Bundle {
        self.set("/hostname", json!(name))
    }

    /// A config.json of one's own, whole.
    pub fn config(mut self, config: Value) -> Bundle {
        self.config = config;
        self
    }

    /// Writes config.json as it is now; not anew, since a command may be reading it.
    pub fn write(&self) -> &Bundle {
        let text = serde_json::to_vec_pretty(&self.config).unwrap();
        let path = self.dir.join("config.json");
        if std::fs::read(&path).ok().as_ref() != Some(&text) {
            std::fs::write(path, text).unwrap();
        }
        self
    }

    /// `learnc ARGS` in the bundle, with its state root.
    pub fn learnc<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        self.write();
        let mut command = of(&self.program, ["--root"]);
        command.arg(self.state_root()).args(args).current_dir(&self.dir);
        command.env("XDG_DATA_HOME", self.data());
        command
    }

    /// Where runs that bring no root filesystem make theirs.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// `learnc VERB ID` and more arguments, to its end.
    pub fn verb(&self, verb: &str, more: &[&str]) -> Ran {
        ran(self.learnc([verb]).args(more).arg(&self.id))
    }

    /// `learnc run --quiet ID`.
    pub fn run(&self) -> Ran {
        self.verb("run", &["--quiet"])
    }

    /// `learnc create`, whose standard files the container keeps: not those of this test.
    pub fn create(&self, more: &[&str]) -> Ran {
        let mut command = self.learnc(["create"]);
        let errors = self.dir.join("create.err");
        command.args(more).arg(&self.id).stdout(Stdio::null());
        command.stderr(std::fs::File::create(&errors).unwrap());
        let status = command.status().unwrap();
        let stderr = std::fs::read_to_string(errors).unwrap();
        Ran { status: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }

    /// The state as `learnc state` shows it.
    pub fn state(&self) -> Option<Value> {
        let ran = self.verb("state", &[]);
        (ran.status == 0).then(|| serde_json::from_str(&ran.stdout).unwrap())
    }

    /// `created`, `running`, `stopped`, or nothing.
    pub fn status(&self) -> String {
        let state = self.state();
        state.map_or_else(String::new, |s| s["status"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Ok(ids) = std::fs::read_dir(self.state_root()) {
            for id in ids.filter_map(Result::ok) {
                let delete = ["delete", "--force"];
                let mut command = learnc(["--root"]);
                command.arg(self.state_root()).args(delete).arg(id.file_name());
                let _ = command.stderr(Stdio::null()).status();
            }
            let mut clean = learnc(["--root"]);
            let _ = clean.arg(self.state_root()).arg("clean").stderr(Stdio::null()).output();
        }
        take_away(&self.dir);
    }
}

/// A line of `/proc/self/mountinfo` and the like, for comparing before and after.
pub fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
