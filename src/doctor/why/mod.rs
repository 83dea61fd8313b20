//! Why something failed: from a refused call to the finding that explains it.
//!
//! errno(3) has a hundred words for all that can go wrong, and EPERM alone has a dozen causes in
//! what a container is made of. Which one it was can be seen in the machine's state at that moment:
//! a sysctl's value, what covers /proc, which controllers reach a cgroup. This asks only when a step
//! has failed, before anything is undone, and only for errors that carry no explanation yet (what is
//! wrong inside the container, [`super::program`] has already said from there).
//!
//! [`cause`] is pure: the error, the facts, and a way to read a file.

mod files;
mod processes;

use std::path::{Path, PathBuf};

use crate::args::{Arg, Args};
use crate::error::{Error, Kind};
use crate::facts::machine::{APPARMOR_RESTRICTS, version};
use crate::facts::{self, Facts, Machine};
use crate::sys::look;

use super::{Finding, users, words};

/// Explains an error where the machine shows its cause. `step` is the key of the step that failed.
pub fn explain(error: Error, step: &str) -> Error {
    if error.diagnosis.is_some() {
        return error;
    }
    let facts = facts::whole();
    match cause(&error, step, &facts, &|path| look::read_if_there(path)) {
        Some(finding) => explained(error, finding),
        None => error,
    }
}

/// An error with a finding's words as its diagnosis and remedy.
pub fn explained(error: Error, finding: Finding) -> Error {
    let told = words::tell(finding);
    let mut says = told.words.says;
    for seen in &told.finding.evidence {
        if !says.contains(&seen.value) && !says.contains(&seen.looked_at) {
            says.push_str(&format!(" ({}: {})", seen.looked_at, seen.value));
        }
    }
    match told.words.remedy {
        Some(remedy) => error.because(says).try_this(remedy),
        None => error.because(says),
    }
}

/// Why a container's first process may have been killed: its cgroup counts what the kernel has
/// killed for want of memory.
pub fn death(cgroups: &[PathBuf]) -> Finding {
    let files = ["memory.events", "memory.oom_control"];
    let files = cgroups.iter().flat_map(|dir| files.map(|name| dir.join(name)));
    let killed = files.into_iter().find_map(|file| {
        let text = look::read_if_there(&file)?;
        let line = text.lines().find(|line| line.starts_with("oom_kill ") && *line != "oom_kill 0");
        Some((file.display().to_string(), line?.to_owned()))
    });
    match killed {
        Some((file, line)) => Finding::missing("refused", "out_of_memory").seen(file, line),
        None => Finding::missing("refused", "killed"),
    }
}

/// What a diagnosis looks at.
struct Case<'a> {
    args: &'a Args,
    errno: String,
    step: &'a str,
    facts: &'a Facts,
    machine: &'a Machine,
    read: &'a dyn Fn(&Path) -> Option<String>,
}

/// The finding that explains an error, if there is one.
pub fn cause(
    error: &Error,
    step: &str,
    facts: &Facts,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<Finding> {
    let nothing = Machine::default();
    let machine = facts.machine.as_ref().unwrap_or(&nothing);
    let none = Args::new();
    let (name, args) = match &error.kind {
        Kind::Refused { name, args, .. } => (name.as_str(), args),
        Kind::Yours(_) => ("", &none),
    };
    let errno = error.errno().map(crate::event::errno_name).unwrap_or_default();
    let case = Case { args, errno, step, facts, machine, read };
    match name {
        "" => case.helper(),
        _ if case.errno == "ENOSYS" => case.not_known(name),
        _ if case.is_an_empty_shell(name) => Some(users::apparmor(machine)),
        "clone3" | "unshare" => case.namespaces(name),
        "mount" => case.mount(),
        "pivot_root" => case.pivot(),
        "chdir" => case.directory(),
        "openat" | "mkdirat" | "write" | "sendfile" | "symlinkat" => case.file(name),
        "prlimit64" => case.limit(),
        "setresuid" | "setresgid" | "setgroups" => case.ids(name),
        "mknodat" => case.when("EPERM", || Finding::missing("refused", "no_device_nodes")),
        "setns" | "sethostname" | "setdomainname" | "chroot" | "bpf" => {
            case.when("EPERM", || case.no_power())
        }
        _ => None,
    }
}

impl Case<'_> {
    fn when(&self, errno: &str, then: impl FnOnce() -> Finding) -> Option<Finding> {
        (self.errno == errno).then(then)
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = (self.read)(path.as_ref())?;
        Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The flags of a call, wherever in its arguments they stand.
    fn has_flag(&self, name: &str) -> bool {
        fn within(args: &Args, name: &str) -> bool {
            args.0.iter().any(|(_, arg)| match arg {
                Arg::Flags(names) => names.iter().any(|n| n == name),
                Arg::Struct(fields) => within(fields, name),
                _ => false,
            })
        }
        within(self.args, name)
    }

    fn text(&self, arg: &str) -> Option<&str> {
        match self.args.get(arg)? {
            Arg::Str(text) | Arg::Fd(_, Some(text)) | Arg::FdPath(_, Some(text)) => Some(text),
            _ => None,
        }
    }

    /// In a user namespace of its own the container has all powers; who refuses is not the kernel.
    fn no_power(&self) -> Finding {
        if self.machine.seccomp_mode == 2 && !self.facts.is_root() {
            return users::filtered();
        }
        Finding::missing("refused", "no_power")
            .seen("CapEff in /proc/self/status", format!("{:016x}", self.facts.effective))
    }

    /// Ubuntu 24.04 lets anybody make a user namespace, then refuses what takes a privilege in it:
    /// the clone works, and the first sethostname or mount in there does not.
    fn is_an_empty_shell(&self, name: &str) -> bool {
        let restricts = self.machine.settings.get(APPARMOR_RESTRICTS).is_some_and(|v| v == "1");
        let inside = ["sethostname", "setdomainname", "mount", "pivot_root", "chroot", "unshare"];
        let unconfined = self.machine.apparmor.as_deref().is_none_or(|name| name == "unconfined");
        let refused = self.errno == "EPERM" && inside.contains(&name);
        refused && restricts && unconfined && !self.facts.is_root()
    }

    fn not_known(&self, name: &str) -> Option<Finding> {
        let since = look::known_since(name)?;
        let old = self.machine.version() < version(since);
        let case = if old { "call_too_young" } else { "call_filtered" };
        let finding = Finding::missing("refused", case).seen(name, since);
        Some(finding.seen("/proc/sys/kernel/osrelease", &self.machine.kernel))
    }
}
