//! Namespaces: what a process sees.
//!
//! namespaces(7), clone3(2), unshare(2), setns(2); OCI `linux.namespaces`. Eight kinds, each with
//! its own idea of mounts, pids, network, names, IPC objects, ids, cgroup root, or clocks. A
//! namespace is made with a process in it or around one:
//!
//! * All new ones are made by **one** clone3: the kernel makes a user namespace first, and the
//!   others then belong to it. A pid namespace *needs* a new process: whoever unshares one does not
//!   enter it, only its children do.
//! * The cgroup namespace is the exception. It takes the caller's cgroup at that moment as its root,
//!   and clone3 looks at the parent's, even with CLONE_INTO_CGROUP. So the container unshares it
//!   itself, once it is where it belongs.
//! * Those given by path are joined with setns. Pid and time move only children, so the runtime
//!   joins these before it clones; the container joins the rest, mounts last, since after that the
//!   paths to the others lead elsewhere.

use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::sys::namespace::NEWTIME;
use crate::sys::{At, Clone3, Fd, Fork, Kernel, Openat, Setns, Unshare};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Namespace {
    /// Starts the container's first process in these new namespaces.
    Clone { flags: CloneFlags, into_cgroup: bool },
    /// Joins the namespace at a path.
    Join { kind: CloneFlags, path: PathBuf },
    /// Makes the cgroup namespace around the process, where it is now.
    Unshare { flags: CloneFlags },
}

/// The namespaces of a config, sorted by what has to be done for them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Namespaces {
    /// Every kind that the container does not share with the host, by field.
    listed: Vec<(usize, LinuxNamespaceType, Option<PathBuf>)>,
}

impl Namespaces {
    /// Reads and checks `linux.namespaces`.
    pub fn read(list: &[LinuxNamespace]) -> Result<Namespaces> {
        let mut listed: Vec<(usize, LinuxNamespaceType, Option<PathBuf>)> = Vec::new();
        for (i, ns) in list.iter().enumerate() {
            let at = |what: String| Error::yours(what).at(format!("linux.namespaces[{i}]"));
            if let Some((first, ..)) = listed.iter().find(|(_, kind, _)| *kind == ns.typ()) {
                let text = format!("type {} stands at linux.namespaces[{first}] too", ns.typ());
                return Err(at(text).try_this("remove one of the two"));
            }
            if let Some(path) = ns.path().as_ref().filter(|p| !p.is_absolute()) {
                return Err(at(format!("path {} must be absolute", path.display())));
            }
            if ns.typ() == LinuxNamespaceType::User && ns.path().is_some() {
                let text = "joining a user namespace by path is not supported by this version";
                return Err(at(text.into()).try_this("leave out `path` to get a new one"));
            }
            listed.push((i, ns.typ(), ns.path().clone()));
        }
        Ok(Namespaces { listed })
    }

    /// Whether the container has its own, new or joined.
    pub fn has(&self, kind: LinuxNamespaceType) -> bool {
        self.listed.iter().any(|(_, k, _)| *k == kind)
    }

    /// Whether a new one is made.
    pub fn makes(&self, kind: LinuxNamespaceType) -> bool {
        self.listed.iter().any(|(_, k, path)| *k == kind && path.is_none())
    }

    fn field(&self, kind: LinuxNamespaceType) -> String {
        let at = self.listed.iter().find(|(_, k, _)| *k == kind);
        at.map_or("linux.namespaces".into(), |(i, ..)| format!("linux.namespaces[{i}]"))
    }

    /// The step that starts the container's first process.
    pub fn clone_step(&self, user_added: bool, into_cgroup: bool) -> Step<Namespace> {
        let mut flags = if user_added { CloneFlags::CLONE_NEWUSER } else { CloneFlags::empty() };
        for (_, kind, path) in &self.listed {
            if path.is_none() && *kind != LinuxNamespaceType::Cgroup {
                flags |= flag(*kind);
            }
        }
        let act = Namespace::Clone { flags, into_cgroup };
        let key = if flags.is_empty() { "process" } else { "namespaces" };
        Step::runtime(key, config("linux.namespaces"), act)
    }

    /// What the runtime joins before the clone, because only children move.
    pub fn joined_by_runtime(&self) -> Vec<Step<Namespace>> {
        let first = [LinuxNamespaceType::Pid, LinuxNamespaceType::Time];
        self.join_steps(&first, Step::runtime)
    }

    /// What the container joins itself; mounts last.
    pub fn joined_by_container(&self) -> Vec<Step<Namespace>> {
        use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Uts};
        self.join_steps(&[Ipc, Uts, Network, Cgroup, Mount], Step::container)
    }

    fn join_steps(
        &self,
        kinds: &[LinuxNamespaceType],
        side: fn(&'static str, crate::event::Asked, Namespace) -> Step<Namespace>,
    ) -> Vec<Step<Namespace>> {
        let mut steps = Vec::new();
        for kind in kinds {
            let found = self.listed.iter().find(|(_, k, _)| k == kind);
            if let Some((_, kind, Some(path))) = found {
                let join = Namespace::Join { kind: flag(*kind), path: path.clone() };
                let step = side("join", config(self.field(*kind)), join);
                steps.push(step.about(kind.to_string()));
            }
        }
        steps
    }

    /// The cgroup namespace, once the process is in its cgroup.
    pub fn cgroup_step(&self) -> Option<Step<Namespace>> {
        let kind = LinuxNamespaceType::Cgroup;
        let act = Namespace::Unshare { flags: flag(kind) };
        self.makes(kind).then(|| Step::container("cgroup_namespace", config(self.field(kind)), act))
    }
}

fn flag(kind: LinuxNamespaceType) -> CloneFlags {
    match kind {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Time => NEWTIME,
    }
}

/// The one act whose performer comes back twice; see [`crate::perform`].
pub fn clone(k: &Kernel, flags: CloneFlags, cgroup: Option<&Fd>) -> Result<Fork> {
    k.call(Clone3 { flags, into_cgroup: cgroup })
}

/// Performs a join or an unshare.
pub fn perform(k: &Kernel, what: &Namespace) -> Result<()> {
    match what {
        Namespace::Clone { .. } => unreachable!("the performing loop clones itself"),
        Namespace::Join { kind, path } => {
            let open = Openat { dir: At::CWD, path, flags: OFlag::O_RDONLY, mode: 0 };
            let remedy = "a namespace that is there: /proc/PID/ns/…, or a file it is bound to";
            let fd = k.call(open).map_err(|e| e.try_this(remedy))?;
            k.call(Setns { fd: &fd, kind: *kind })
        }
        Namespace::Unshare { flags } => k.call(Unshare { flags: *flags }),
    }
}

/// unshare(1) and nsenter(1) options.
pub fn by_hand(what: &Namespace) -> Vec<String> {
    let options = |flags: &CloneFlags, suffix: &str| {
        let mut words = Vec::new();
        for (flag, word) in WORDS {
            if flags.contains(*flag) {
                words.push(format!("--{word}{suffix}"));
            }
        }
        words.join(" ")
    };
    match what {
        Namespace::Clone { flags, .. } if flags.is_empty() => vec![],
        Namespace::Clone { flags, .. } => {
            vec![format!("unshare {}", born(flags, &options(flags, "")))]
        }
        Namespace::Unshare { flags } => vec![format!("unshare {}", options(flags, ""))],
        Namespace::Join { kind, path } => {
            let place = format!("={}", crate::args::shell(path));
            vec![format!("nsenter {}", options(kind, &place))]
        }
    }
}

/// What unshare(1) would do otherwise: without ids execve takes a process's capabilities, and a
/// copied mount table is cut off from the host's at once, which is a step of its own here.
fn born(flags: &CloneFlags, options: &str) -> String {
    let user = flags.contains(CloneFlags::CLONE_NEWUSER).then_some("--keep-caps");
    let mount = flags.contains(CloneFlags::CLONE_NEWNS).then_some("--propagation unchanged");
    let children = flags.intersects(CloneFlags::CLONE_NEWPID | NEWTIME).then_some("--fork");
    let more = [Some(options), user, mount, children];
    more.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// util-linux's word for each kind.
const WORDS: &[(CloneFlags, &str)] = &[
    (CloneFlags::CLONE_NEWUSER, "user"),
    (CloneFlags::CLONE_NEWNS, "mount"),
    (CloneFlags::CLONE_NEWUTS, "uts"),
    (CloneFlags::CLONE_NEWIPC, "ipc"),
    (CloneFlags::CLONE_NEWNET, "net"),
    (CloneFlags::CLONE_NEWPID, "pid"),
    (CloneFlags::CLONE_NEWCGROUP, "cgroup"),
    (NEWTIME, "time"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<Namespaces> {
        Namespaces::read(&serde_json::from_value::<Vec<LinuxNamespace>>(json).unwrap())
    }

    #[test]
    fn all_new_ones_are_one_clone_but_for_the_cgroups() {
        let all = read(serde_json::json!([
            {"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}
        ]))
        .unwrap();
        let step = all.clone_step(false, true);
        let flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
        assert_eq!(step.act, Namespace::Clone { flags, into_cgroup: true });
        assert!(all.cgroup_step().is_some());
    }

    #[test]
    fn the_same_kind_twice_is_refused_by_its_place() {
        let error = read(serde_json::json!([{"type": "pid"}, {"type": "pid"}])).unwrap_err();
        assert!(error.to_string().starts_with("linux.namespaces[1]: type pid"), "{error}");
    }
}
