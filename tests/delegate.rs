//! Without root and without delegation, `--delegate` starts learnc again by systemd-run.
//!
//! A real systemd is not there to be asked; the one here is a script in PATH. It refuses any
//! arguments but those that systemd-run(1) documents for this, and has the test, which is root,
//! move it into a cgroup that it hands to the user, as systemd does for a scope.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use support::bundle::{copy_program, program, ran};
use support::*;

const USER: u32 = 65534;

/// The end of systemd-run: it checks what it was told, asks to be moved, and becomes the rest.
const SYSTEMD_RUN: &str = r#"#!/bin/sh
[ "$1 $2 $3 $4 $5 $6" = "--user --scope -q -p Delegate=yes --" ] || { echo "not: $*" >&2; exit 9; }
shift 6
echo $$ > "$XDG_RUNTIME_DIR/asked.new" && mv "$XDG_RUNTIME_DIR/asked.new" "$XDG_RUNTIME_DIR/asked"
while [ ! -e "$XDG_RUNTIME_DIR/moved" ]; do :; done
exec "$@"
"#;

/// A part of the cgroup tree that belongs to the user, with a scope in it.
struct Manager(PathBuf);

impl Manager {
    fn new(id: &str) -> Manager {
        let tree = learnc::facts::read().cgroups.v2.expect("this test needs cgroup2");
        let manager = Manager(tree.mount.join(format!("manager-{id}")));
        std::fs::create_dir(&manager.0).unwrap();
        std::fs::write(manager.0.join("cgroup.subtree_control"), "+pids").unwrap();
        std::fs::create_dir(manager.scope()).unwrap();
        for dir in [manager.0.clone(), manager.scope()] {
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                chown(dir.join(file), Some(USER), Some(USER)).unwrap();
            }
        }
        manager
    }

    fn scope(&self) -> PathBuf {
        self.0.join("run.scope")
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(self.scope());
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Files for a user: a bundle, a PATH with systemd-run in it, a runtime directory.
struct Desk {
    bundle: Bundle,
    learnc: PathBuf,
}

impl Desk {
    fn new() -> Desk {
        let bundle = bundle().sh("cat /sys/fs/cgroup/pids.max");
        let bundle = bundle.set("/linux/resources/pids", json!({"limit": 7}));
        let learnc = bundle.dir.join("learnc");
        // By another process: see `copy_program`.
        ran(Command::new("install").args(["-m", "755"]).arg(program()).arg(&learnc)).ok();
        for dir in ["path", "run", "run/systemd", "state"] {
            std::fs::create_dir_all(bundle.dir.join(dir)).unwrap();
            chown(bundle.dir.join(dir), Some(USER), Some(USER)).unwrap();
        }
        let script = bundle.dir.join("path/systemd-run");
        std::fs::write(bundle.dir.join("script"), SYSTEMD_RUN).unwrap();
        copy_program(bundle.dir.join("script"), &script);
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        bundle.write();
        Desk { bundle, learnc }
    }

    fn there_is_a_manager(self) -> Desk {
        std::fs::write(self.run_dir().join("systemd/private"), "").unwrap();
        self
    }

    fn run_dir(&self) -> PathBuf {
        self.bundle.dir.join("run")
    }

    /// `learnc run` as the user, without a terminal.
    fn run(&self, more: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let user = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()];
        let path = format!("{}:/usr/bin:/bin", self.bundle.dir.join("path").display());
        command.args(user).arg(&self.learnc).arg("--root").arg(self.bundle.state_root());
        command.arg("run").args(more).arg("--bundle").arg(&self.bundle.dir).arg(&self.bundle.id);
        command.env("PATH", path).env("XDG_RUNTIME_DIR", self.run_dir());
        command.env_remove("LEARNC_DELEGATED");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn finish(child: std::process::Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn a_user_gets_limits_by_delegation() {
    let desk = Desk::new().there_is_a_manager();
    let manager = Manager::new(&desk.bundle.id);
    let child = desk.run(&["--explain", "--delegate"]).spawn().unwrap();
    let asked = desk.run_dir().join("asked");
    wait_until("systemd-run asks", || asked.exists());
    let pid = std::fs::read_to_string(&asked).unwrap();
    assert_eq!(pid.trim(), child.id().to_string(), "execve, so the same process");
    std::fs::write(manager.scope().join("cgroup.procs"), pid.trim()).unwrap();
    std::fs::write(desk.run_dir().join("moved"), "").unwrap();
    let run = finish(child);
    assert_eq!((run.status, run.stdout.trim()), (0, "7"), "{}", run.stderr);
    let told = run.stderr.find("\"Delegate=yes\"").expect("the execve is told");
    let made = run.stderr.find("mkdirat").expect("and then the run");
    assert!(told < made, "in that order: {}", run.stderr);
    let made = run.stderr.contains("run.scope/learnc-runtime");
    assert!(made, "in its own scope, beside itself: {}", run.stderr);
    let left = std::fs::read_dir(manager.scope()).unwrap().flatten();
    assert_eq!(left.filter(|entry| entry.path().is_dir()).count(), 0, "a cgroup is left");
    assert_eq!(support::bundle::read(manager.scope().join("cgroup.subtree_control")), "");
    assert!(!run.stderr.contains("XDG_RUNTIME_DIR="), "the user's environment is not told");
}

/// The same run on a terminal of script(1)'s, where this key is pressed.
fn on_a_terminal(desk: &Desk, key: &str) -> std::process::Child {
    let run = desk.run(&[]);
    let words = std::iter::once(run.get_program()).chain(run.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).env_remove("LEARNC_DELEGATED");
    for (name, value) in run.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        script.env(name, value);
    }
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), key.as_bytes()).unwrap();
    child
}

fn on_a_terminal_it_asks() {
    let desk = Desk::new().there_is_a_manager();
    let no = finish(on_a_terminal(&desk, "n"));
    assert_eq!(no.status, 1, "{}", no.stdout);
    assert!(no.stdout.contains("[y/N]"), "{}", no.stdout);
    assert!(!desk.run_dir().join("asked").exists(), "the answer was no");
    let manager = Manager::new(&desk.bundle.id);
    let child = on_a_terminal(&desk, "y");
    let asked = desk.run_dir().join("asked");
    wait_until("systemd-run asks", || asked.exists());
    let pid = std::fs::read_to_string(&asked).unwrap();
    std::fs::write(manager.scope().join("cgroup.procs"), pid.trim()).unwrap();
    std::fs::write(desk.run_dir().join("moved"), "").unwrap();
    let yes = finish(child);
    assert_eq!(yes.status, 0, "{}", yes.stdout);
}

fn it_is_done_once() {
    let desk = Desk::new().there_is_a_manager();
    let mut again = desk.run(&["--quiet", "--delegate"]);
    let run = finish(again.env("LEARNC_DELEGATED", "1").spawn().unwrap());
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("linux.resources.pids.limit"), "{}", run.stderr);
    assert!(!Path::new(&desk.run_dir().join("asked")).exists(), "systemd-run was started again");
}

fn without_the_switch_the_command_is_said() {
    let desk = Desk::new().there_is_a_manager();
    let run = finish(desk.run(&[]).spawn().unwrap());
    assert_eq!(run.status, 1, "a limit that cannot be had: {}", run.stderr);
    assert!(run.stderr.contains("--user --scope -q -p Delegate=yes"), "{}", run.stderr);
    assert!(!desk.run_dir().join("asked").exists(), "nobody asked for it");
}

fn without_systemd_the_switch_says_who_is_missing() {
    let desk = Desk::new();
    let run = finish(desk.run(&["--quiet", "--delegate"]).spawn().unwrap());
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("--delegate: there is nobody here"), "{}", run.stderr);
    assert!(run.stderr.contains("systemd") || run.stderr.contains("ersion 1"), "{}", run.stderr);
}

fn main() {
    let pure = &[Need::Root, Need::Containers, Need::Busybox, Need::CgroupV2];
    let any = &[Need::Root, Need::Containers, Need::Busybox];
    suite(vec![
        test("a user gets limits by delegation", pure, a_user_gets_limits_by_delegation),
        test("on a terminal it asks", pure, on_a_terminal_it_asks),
        test("the second learnc does not ask a third", pure, it_is_done_once),
        test(
            "without the switch the command is said",
            pure,
            without_the_switch_the_command_is_said,
        ),
        test(
            "without systemd the switch says who is missing",
            any,
            without_systemd_the_switch_says_who_is_missing,
        ),
    ]);
}
