//! Why something failed: from a refused call to the finding that explains it.
//!
//! errno(3) has a hundred words for all that can go wrong, and EPERM alone has a dozen causes in
//! what a container is made of. Which one it was can be seen in the machine's state at that moment:
//! a sysctl's value, what covers /proc, which controllers reach a cgroup. This asks only when a step
//! has failed, before anything is undone, and only for errors that carry no explanation yet (what is
//! wrong inside the container, [`super::program`] has already said from there).
//!
//! [`cause`] is pure: the error, the facts, and a way to read a file.

use std::path::{Path, PathBuf};

use crate::args::{Arg, Args};
use crate::error::{Error, Kind};
use crate::facts::machine::{Attempt, Tried, version};
use crate::facts::{self, Facts, Machine};
use crate::sys::look;

use super::{Finding, cgroups, users, words};

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
        "clone3" | "unshare" => case.namespaces(name),
        "mount" => case.mount(),
        "pivot_root" => case.pivot(),
        "openat" | "mkdirat" | "write" => case.file(name),
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

    fn no_power(&self) -> Finding {
        Finding::missing("refused", "no_power")
            .seen("CapEff in /proc/self/status", format!("{:016x}", self.facts.effective))
    }

    fn not_known(&self, name: &str) -> Option<Finding> {
        let since = look::known_since(name)?;
        let old = self.machine.version() < version(since);
        let case = if old { "call_too_young" } else { "call_filtered" };
        let finding = Finding::missing("refused", case).seen(name, since);
        Some(finding.seen("/proc/sys/kernel/osrelease", &self.machine.kernel))
    }

    /// newuidmap and newgidmap say no by their exit status.
    fn helper(&self) -> Option<Finding> {
        if !matches!(self.step, "uid_map" | "gid_map") {
            return None;
        }
        let finding = users::id_ranges(self.facts, self.machine);
        Some(match finding.case {
            "good" => Finding { case: "other_ids", ..finding },
            _ => finding,
        })
    }

    fn namespaces(&self, name: &str) -> Option<Finding> {
        let asked = |kind: &str| self.has_flag(flag_of(kind));
        let none_left = self.machine.most.iter().find(|(kind, most)| asked(kind) && **most == 0);
        let unknown = KINDS.iter().find(|(kind, flag)| {
            self.has_flag(flag) && !self.machine.namespaces.iter().any(|known| known == kind)
        });
        match (self.errno.as_str(), none_left, unknown) {
            ("ENOSPC", Some((kind, _)), _) if kind != "user" => {
                let file = format!("/proc/sys/user/max_{kind}_namespaces");
                return Some(Finding::missing("refused", "no_namespaces_left").seen(file, 0));
            }
            ("EINVAL", _, Some((kind, _))) => {
                let file = format!("/proc/self/ns/{kind}");
                return Some(
                    Finding::missing("refused", "no_such_namespace").seen(file, "not there"),
                );
            }
            ("EAGAIN", ..) => return Some(Finding::missing("refused", "too_many_processes")),
            ("EACCES" | "EBUSY", ..) if self.args.to_text().contains("cgroup=") => {
                return Some(Finding::missing("refused", "not_into_cgroup"));
            }
            _ => {}
        }
        if !asked("user") {
            return self.when("EPERM", || self.no_power());
        }
        let call = format!("{name}({})", self.args.to_text());
        let user_namespace = Attempt { call, errno: Some(self.errno.clone()) };
        let tried = Tried { user_namespace, fresh_proc: Attempt::default() };
        let machine = Machine { tried: Some(tried), ..self.machine.clone() };
        Some(users::namespaces(self.facts, &machine))
    }

    fn mount(&self) -> Option<Finding> {
        let kind = self.text("filesystemtype").unwrap_or_default();
        let known = self.machine.filesystems.iter().any(|name| name == kind);
        match (self.errno.as_str(), kind) {
            ("EPERM", "proc") => {
                let covered = self.machine.mounts.on_proc.join(" ");
                let masked = Finding::missing("fresh_proc", "masked");
                (!covered.is_empty()).then(|| masked.seen("/proc/self/mountinfo", covered))
            }
            ("EPERM", "sysfs") => Some(Finding::missing("refused", "sysfs_of_another_net")),
            ("ENODEV", _) if !known => Some(
                Finding::missing("refused", "no_such_filesystem")
                    .seen("/proc/filesystems", format!("no {kind}")),
            ),
            ("EPERM", _) if !self.facts.is_root() => Some(
                Finding::missing("refused", "not_in_user_namespace").seen("filesystemtype", kind),
            ),
            ("EPERM", _) => Some(self.no_power()),
            _ => None,
        }
    }

    fn pivot(&self) -> Option<Finding> {
        let root = &self.machine.mounts.root;
        let initramfs = Finding::missing("refused", "root_is_initramfs");
        let initramfs = initramfs.seen("/proc/self/mountinfo", format!("/ is of type {root}"));
        (self.errno == "EINVAL" && root == "rootfs").then_some(initramfs)
    }

    fn limit(&self) -> Option<Finding> {
        let Some(Arg::Name(resource)) = self.args.get("resource") else { return None };
        let asked = self.args.get("new_limit").map(Arg::to_text).unwrap_or_default();
        self.when("EPERM", || {
            Finding::missing("refused", "hard_limit").seen(resource.to_string(), asked)
        })
    }

    fn ids(&self, name: &str) -> Option<Finding> {
        match (name, self.errno.as_str()) {
            ("setgroups", "EPERM") => Some(Finding::missing("refused", "groups_given_up")),
            (_, "EINVAL") => {
                Some(Finding::missing("refused", "id_not_mapped").seen("ids", self.args.to_text()))
            }
            _ => None,
        }
    }

    /// Files whose content is a question to the kernel: id maps, cgroups.
    fn file(&self, name: &str) -> Option<Finding> {
        let path = Path::new(self.text(if name == "write" { "fd" } else { "pathname" })?);
        if path.ends_with("uid_map") || path.ends_with("gid_map") {
            let map = self.text("buf").unwrap_or_default().replace('\n', ", ");
            return self
                .when("EPERM", || Finding::missing("refused", "map_not_yours").seen("map", map));
        }
        let trees = &self.facts.cgroups;
        let mounts = trees.v1.iter().map(|tree| &tree.mount);
        let mut mounts = mounts.chain(trees.v2.iter().map(|tree| &tree.mount));
        mounts.any(|mount| path.starts_with(mount)).then(|| self.cgroup(name, path))?
    }

    fn cgroup(&self, name: &str, path: &Path) -> Option<Finding> {
        let missing = |case| Finding::missing("cgroup_files", case);
        let (dir, file) = (path.parent()?, path.file_name()?.to_str()?);
        let beside = |finding: Finding, name: &str| {
            let beside = dir.join(name);
            let value = self.read(&beside).unwrap_or_else(|| "not there".into());
            finding.seen(beside.display().to_string(), value)
        };
        match (name, self.errno.as_str(), file) {
            (_, "EACCES" | "EPERM" | "EROFS", _) => {
                Some(cgroups::nowhere(self.facts, self.machine))
            }
            ("openat", "ENOENT", _) => {
                Some(beside(missing("controller_off").seen("file", file), "cgroup.controllers"))
            }
            ("mkdirat", "ENOENT", _) => Some(missing("parent_gone")),
            ("mkdirat", "EAGAIN" | "ENOSPC", _) => {
                Some(beside(missing("no_more"), "cgroup.max.descendants"))
            }
            (_, "EBUSY", "cgroup.subtree_control") => {
                Some(beside(missing("has_processes"), "cgroup.procs"))
            }
            (_, "ENOENT", "cgroup.subtree_control") => {
                Some(beside(missing("not_to_hand_down"), "cgroup.controllers"))
            }
            (_, "EBUSY", _) if file.starts_with("memory") => {
                let used = ["memory.current", "memory.usage_in_bytes"];
                let used = used.into_iter().find(|name| self.read(dir.join(name)).is_some())?;
                Some(beside(missing("in_use"), used))
            }
            ("write", "EINVAL" | "ERANGE", _) => {
                let asked = self.text("buf").unwrap_or_default();
                Some(beside(missing("no_such_value").seen(file, asked), file))
            }
            _ => None,
        }
    }
}

/// Names in /proc/self/ns and the flags that make a new one.
const KINDS: &[(&str, &str)] = &[
    ("cgroup", "CLONE_NEWCGROUP"),
    ("ipc", "CLONE_NEWIPC"),
    ("mnt", "CLONE_NEWNS"),
    ("net", "CLONE_NEWNET"),
    ("pid", "CLONE_NEWPID"),
    ("time", "CLONE_NEWTIME"),
    ("user", "CLONE_NEWUSER"),
    ("uts", "CLONE_NEWUTS"),
];

fn flag_of(kind: &str) -> &'static str {
    KINDS.iter().find(|(name, _)| *name == kind).map_or("", |(_, flag)| flag)
}
