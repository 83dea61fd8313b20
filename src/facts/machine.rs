//! What only a person asks for, or an error: how this machine is set up around learnc.
//!
//! A plan does not need these facts, so an ordinary run does not read them. `learnc doctor` shows
//! them, and when a step fails they are the evidence that [`crate::doctor`] looks through for the
//! cause. Each field names the file it comes from; all of it is looking.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::user;
use crate::sys::look::{self, Privileged};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// `6.1.0-40-amd64`: /proc/sys/kernel/osrelease.
    pub kernel: String,
    /// What this process is inside of (`podman`, `docker`, `wsl2`), and the file that says so.
    pub inside: Vec<(String, String)>,
    /// /proc/self/uid_map. The first user namespace maps every id onto itself.
    pub uid_map: String,
    /// Kinds of namespaces that the kernel has: names in /proc/self/ns.
    pub namespaces: Vec<String>,
    /// How many of each kind one user may make: /proc/sys/user/max_*_namespaces.
    pub most: BTreeMap<String, u64>,
    /// Settings that can forbid user namespaces, as paths below /proc/sys and their values.
    pub settings: BTreeMap<String, String>,
    /// AppArmor's profile of this process: /proc/self/attr/current.
    pub apparmor: Option<String>,
    /// `Seccomp` and `NoNewPrivs` of /proc/self/status.
    pub seccomp_mode: u8,
    pub no_new_privs: bool,
    /// /proc/sys/kernel/seccomp/actions_avail.
    pub seccomp_actions: Vec<String>,
    /// /proc/filesystems, and those that the kernel would load when asked.
    pub filesystems: Vec<String>,
    /// Young system calls that this process cannot make. Only doctor tries them.
    pub calls_missing: Vec<String>,
    /// What newuidmap and newgidmap, where they are in PATH, lack to do their work.
    pub helpers_lack: Option<String>,
    /// PATH, in which they were looked for.
    pub path: String,
    pub mounts: Mounts,
    pub systemd: Systemd,
    /// What was tried: user namespaces (doctor only).
    pub tried: Option<Tried>,
}

/// What /proc/self/mountinfo shows of the mounts that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mounts {
    /// Type of the mount at `/`: `rootfs` in an initramfs.
    pub root: String,
    /// What covers parts of /proc.
    pub on_proc: Vec<String>,
    /// Cgroup trees that are mounted read-only.
    pub readonly_cgroups: Vec<String>,
}

/// Who could delegate a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Systemd {
    /// Where systemd-run is in PATH.
    pub run: Option<String>,
    /// The socket of this user's service manager, if it is there.
    pub user_manager: Option<String>,
}

/// What doctor tried: the calls, in words of the narration, and what the kernel answered: an
/// error's name, or nothing where it worked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tried {
    pub user_namespace: Attempt,
    #[serde(default)]
    pub own_id: Attempt,
    #[serde(default)]
    pub hostname: Attempt,
    pub fresh_proc: Attempt,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attempt {
    pub call: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
}

/// Settings that forbid user namespaces: Debian's, Ubuntu's.
pub const UNPRIVILEGED_CLONE: &str = "kernel/unprivileged_userns_clone";
pub const APPARMOR_RESTRICTS: &str = "kernel/apparmor_restrict_unprivileged_userns";
/// Who may trace whom: Yama.
pub const PTRACE_SCOPE: &str = "kernel/yama/ptrace_scope";

impl Machine {
    /// Whether this is the machine's first user namespace.
    pub fn in_first_user_namespace(&self) -> bool {
        self.uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
    }

    /// `(6, 1)` for `6.1.0-40-amd64`.
    pub fn version(&self) -> (u32, u32) {
        version(&self.kernel)
    }
}

/// The first two numbers of a release's name.
pub fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

pub fn read(helpers: Option<&(String, String)>) -> Machine {
    let text = |path: &str| look::read_if_there(path).unwrap_or_default().trim().to_owned();
    let words =
        |path| -> Vec<String> { text(path).split_ascii_whitespace().map(str::to_owned).collect() };
    let status = text("/proc/self/status");
    let kernel = text("/proc/sys/kernel/osrelease");
    Machine {
        inside: inside(&kernel),
        uid_map: words("/proc/self/uid_map").join(" "),
        namespaces: kinds(),
        most: kinds().into_iter().filter_map(most).collect(),
        settings: [UNPRIVILEGED_CLONE, APPARMOR_RESTRICTS, PTRACE_SCOPE]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), setting(key)?)))
            .collect(),
        apparmor: look::read_if_there("/proc/self/attr/current")
            .map(|profile| profile.trim_end_matches(['\n', '\0']).to_owned())
            .filter(|profile| !profile.is_empty()),
        seccomp_mode: status_field(&status, "Seccomp").unwrap_or(0),
        no_new_privs: status_field(&status, "NoNewPrivs") == Some(1),
        seccomp_actions: words("/proc/sys/kernel/seccomp/actions_avail"),
        filesystems: filesystems(&text("/proc/filesystems"), &kernel),
        calls_missing: vec![],
        helpers_lack: helpers.and_then(helpers_lack),
        path: std::env::var("PATH").unwrap_or_default(),
        mounts: mounts(&text("/proc/self/mountinfo")),
        systemd: systemd(),
        tried: None,
        kernel,
    }
}

/// The few of these that say whether somebody could delegate a cgroup.
pub fn read_delegation() -> Machine {
    let mountinfo = look::read_if_there("/proc/self/mountinfo").unwrap_or_default();
    Machine { mounts: mounts(&mountinfo), systemd: systemd(), ..Machine::default() }
}

/// Files by which containers and Microsoft's subsystem give themselves away.
fn inside(kernel: &str) -> Vec<(String, String)> {
    let signs = [("podman", "/run/.containerenv"), ("docker", "/.dockerenv")];
    let there = signs.into_iter().filter(|(_, file)| std::path::Path::new(file).exists());
    let mut found: Vec<(String, String)> =
        there.map(|(what, file)| (what.to_owned(), file.to_owned())).collect();
    if let Some(name) = look::read_if_there("/run/systemd/container") {
        found.push((name.trim().to_owned(), "/run/systemd/container".into()));
    }
    if kernel.to_ascii_lowercase().contains("microsoft") {
        let what = if kernel.contains("WSL2") { "wsl2" } else { "wsl1" };
        found.push((what.into(), "/proc/sys/kernel/osrelease".into()));
    }
    found
}

fn kinds() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/ns").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.ends_with("_for_children"))
        .collect();
    names.sort();
    names
}

fn most(kind: String) -> Option<(String, u64)> {
    let text = look::read_if_there(format!("/proc/sys/user/max_{kind}_namespaces"))?;
    Some((kind, text.trim().parse().ok()?))
}

fn setting(key: &str) -> Option<String> {
    look::read_if_there(format!("/proc/sys/{key}")).map(|value| value.trim().to_owned())
}

pub(super) fn status_field(status: &str, name: &str) -> Option<u8> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// `nodev\tproc` or `\text4`: the last word.
pub(super) fn filesystems(text: &str, kernel: &str) -> Vec<String> {
    let last = text.lines().filter_map(|line| line.split_ascii_whitespace().last());
    let mut names: Vec<String> = last.map(str::to_owned).collect();
    let modules = look::read_if_there(format!("/lib/modules/{kernel}/modules.dep"));
    if modules.is_some_and(|list| list.contains("/overlay.ko")) {
        names.push("overlay".into());
    }
    names
}

fn helpers_lack((uids, gids): &(String, String)) -> Option<String> {
    [uids, gids].into_iter().find_map(|path| match look::privileged(path.as_ref())? {
        Privileged::Yes => None,
        Privileged::No => Some(format!("{path} has neither the set-user-id bit nor capabilities")),
        Privileged::NotOnThisMount => Some(format!("{path} is on a mount with nosuid")),
    })
}

/// Directories of procfs that are made to be mounted on, and cover nothing.
const MADE_FOR_MOUNTS: &[&str] = &["/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd"];

fn mounts(mountinfo: &str) -> Mounts {
    let mut mounts = Mounts::default();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let (Some(point), Some(options)) = (left.get(4), left.get(5)) else { continue };
        let kind = right.split(' ').next().unwrap_or_default();
        if *point == "/" {
            mounts.root = kind.to_owned();
        }
        if point.starts_with("/proc/") && !MADE_FOR_MOUNTS.contains(point) {
            mounts.on_proc.push((*point).to_owned());
        }
        if kind.starts_with("cgroup") && options.split(',').any(|option| option == "ro") {
            mounts.readonly_cgroups.push((*point).to_owned());
        }
    }
    mounts
}

fn systemd() -> Systemd {
    let runtime = std::env::var("XDG_RUNTIME_DIR").ok();
    let socket = runtime.map(|dir| format!("{dir}/systemd/private"));
    Systemd {
        run: user::in_path("systemd-run"),
        user_manager: socket.filter(|path| std::path::Path::new(path).exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_version_is_the_first_two_numbers() {
        assert_eq!(version("6.1.0-40-amd64"), (6, 1));
        assert_eq!(version("5.15.153.1-microsoft-standard-WSL2"), (5, 15));
        assert_eq!(version(""), (0, 0));
    }

    #[test]
    fn what_covers_proc_is_named_but_not_what_covers_nothing() {
        let text = "1 0 0:1 / / rw - overlay overlay rw\n\
                    2 1 0:5 / /proc rw - proc proc rw\n\
                    3 2 0:6 / /proc/sys/fs/binfmt_misc rw - binfmt_misc binfmt_misc rw\n\
                    4 2 0:7 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw\n\
                    5 1 0:8 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        let mounts = mounts(text);
        assert_eq!(mounts.root, "overlay");
        assert_eq!(mounts.on_proc, ["/proc/kcore"]);
        assert_eq!(mounts.readonly_cgroups, ["/sys/fs/cgroup"]);
    }

    proptest! {
        #[test]
        fn any_text_of_the_kernel_is_read_without_a_panic(text in "(.{0,12}[ \n-]){0,12}") {
            mounts(&text);
            filesystems(&text, "none");
            version(&text);
            status_field(&text, "Seccomp");
        }
    }
}
