//! A container's life, lived under strace or without: what faults are put into.
//!
//! strace counts a process's calls by name: `inject=mount:error=EIO:when=3` is its third mount. The
//! runtime is started under strace. The container is its child, and the same counting would hit the
//! runtime too; so the runtime is stopped right behind its clone, another strace is attached to the
//! child, which waits for its orders there, and the runtime may go on.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use learnc::lesson::stage::Stage;

use super::bundle::{Bundle, bundle, read};
use super::{stages, wait_until};

/// From beginning to end, in one command or in four.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Life {
    Run,
    /// create, start, kill and delete.
    Verbs,
    Stage(&'static Stage),
}

impl Life {
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Life::Run => &["run"],
            Life::Verbs => &["create", "start", "kill", "delete"],
            Life::Stage(_) => &["stage"],
        }
    }

    /// The stage that this one grows from, if that can be run here.
    pub fn stage_before(self) -> Option<Life> {
        let Life::Stage(stage) = self else { return None };
        let base = stage.base()?;
        stages().find(|stage| *stage == base).map(Life::Stage)
    }

    /// Whether it runs a program of its own root.
    pub fn has_container(self) -> bool {
        if let Life::Stage(stage) = self { stage.has_program() } else { true }
    }

    /// Run once, so that what a first run makes and keeps is there: mount points in the bundle.
    pub fn bundle(self) -> Bundle {
        let bundle = bundle();
        let id = bundle.id.clone();
        let bundle = match self {
            Life::Run | Life::Stage(_) => bundle.args(["true", &id]),
            Life::Verbs => bundle.sh(&format!("sleep 1000; : {id}")),
        };
        std::fs::create_dir_all(bundle.dir.join("traces")).unwrap();
        self.live(&bundle).unwrap();
        bundle
    }

    pub fn verb_of(self, bundle: &Bundle, verb: &str) -> Command {
        let mut command = bundle.learnc([verb]);
        if verb != "kill" && verb != "delete" && verb != "start" {
            command.arg("--quiet");
        }
        match self {
            Life::Stage(stage) => command.args([&*stage.name, "--id", &bundle.id]),
            _ => command.arg(&bundle.id),
        };
        if verb == "kill" {
            command.arg("KILL");
        }
        if self.has_container() && verb == "stage" {
            command.args(["--", "true", &bundle.id]);
        }
        command
    }

    pub fn live(self, bundle: &Bundle) -> Result<(), String> {
        self.verbs().iter().try_for_each(|verb| go(bundle, verb, self.verb_of(bundle, verb)))
    }
}

/// Its own standard files must not be the test's: a created container keeps them.
pub fn silent(command: &mut Command, bundle: &Bundle) -> Child {
    let errors = std::fs::File::create(bundle.dir.join("traces/errors")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap()
}

pub fn go(bundle: &Bundle, verb: &str, mut command: Command) -> Result<(), String> {
    let status = silent(&mut command, bundle).wait().unwrap();
    match status.success() {
        true if verb == "kill" => {
            wait_until("the killed container has stopped", || bundle.status() != "running");
            Ok(())
        }
        true => Ok(()),
        false => Err(format!("{verb}: {status}: {}", read(bundle.dir.join("traces/errors")))),
    }
}

/// `strace OPTIONS -o TRACE -- learnc …`
pub fn under(command: &Command, options: &[String], trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-q", "-o"]).arg(trace).args(options).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    strace.current_dir(command.get_current_dir().unwrap());
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    strace.envs(set).env_remove("NO_COLOR");
    strace
}

/// A command that is stopped behind its clone, while `options` are attached to the container.
pub fn attached(
    bundle: &Bundle,
    command: &Command,
    stop: &(String, usize),
    options: &[String],
    trace: &Path,
) -> (Child, Child) {
    let (name, nth) = stop;
    let runtime = bundle.dir.join("traces/runtime");
    let _ = std::fs::remove_file(&runtime);
    let inject = format!("inject={name}:signal=SIGSTOP:when={nth}");
    let filter = format!("trace=clone3,{name}");
    let strace = under(command, &["-e".into(), filter, "-e".into(), inject], &runtime);
    let mut strace = { strace };
    let mut first = silent(&mut strace, bundle);
    wait_until("the runtime is stopped", || {
        read(&runtime).contains("--- stopped by SIGSTOP ---") || first.try_wait().unwrap().is_some()
    });
    let pid = cloned(&read(&runtime)).expect("a clone before the stop");
    let field = |name: &str| {
        let status = read(format!("/proc/{pid}/status"));
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.map(str::to_owned)
    };
    // Else it is chance whether strace sees it begin to wait, and counts that call.
    wait_until("the container waits for its orders", || {
        field("State").is_none_or(|state| state.starts_with('S'))
    });
    let mut second = Command::new("strace");
    second.args(["-q", "-o"]).arg(trace).args(options).args(["-p", &pid.to_string()]);
    second.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut second = second.spawn().unwrap();
    wait_until("strace is attached to the container", || {
        field("TracerPid").is_none_or(|tracer| tracer != "0")
            || second.try_wait().unwrap().is_some()
    });
    let parent = field("PPid").expect("a stopped runtime").parse().unwrap();
    let parent = nix::unistd::Pid::from_raw(parent);
    nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGCONT).unwrap();
    (first, second)
}

fn cloned(trace: &str) -> Option<i32> {
    let call = trace.lines().find(|line| line.starts_with("clone3("))?;
    call.rsplit("= ").next()?.trim().parse().ok()
}
