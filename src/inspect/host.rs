//! Is the host as it was? Taken before a run, and compared after it.
//!
//! A run may leave four kinds of things behind: a mount in this process's mount namespace, a
//! directory in a cgroup tree, a process, a file. Each is looked for where the kernel would show it,
//! and not in learnc's own books. What others do on the machine meanwhile may be seen as well: a mount
//! that is there and was not is told, whoever made it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::sys::look;

/// The host before the run, and what the run will make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    mounts: BTreeSet<String>,
    made: Made,
}

/// What a run makes on the host, or of which there is more while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// The container's cgroup, in each tree.
    pub cgroups: Vec<PathBuf>,
    /// Its folders: that of the state, and the run's own if there is one.
    pub folders: Vec<PathBuf>,
    /// Its root as device and inode, and its mount namespace; known once there is one.
    pub root: Option<(u64, u64)>,
    pub mount_namespace: Option<String>,
}

impl Host {
    /// Looks at the host as it is now.
    pub fn before(made: Made) -> Host {
        Host { mounts: mounts(), made }
    }

    /// The container is there: this is where its processes are. With the host's own `/` for a root
    /// they cannot be told by it.
    pub fn container(&mut self, root: Option<(u64, u64)>, mount_namespace: Option<String>) {
        self.made.root = root.filter(|root| look::identity("/") != Some(*root));
        self.made.mount_namespace = mount_namespace;
    }

    /// Each thing that is to be as it was, and whether it is.
    pub fn as_before(&self) -> Vec<(String, bool)> {
        let Made { cgroups, folders, .. } = &self.made;
        // Not exists(): a link that leads nowhere is there too.
        let gone = |paths: &[PathBuf]| paths.iter().all(|path| look::owner(path).is_none());
        let checks = [
            ("mounts", mounts().is_subset(&self.mounts)),
            ("cgroups", gone(cgroups)),
            ("processes", self.made.processes().is_empty()),
            ("files", gone(folders)),
        ];
        checks.map(|(what, is_so)| (what.to_owned(), is_so)).into()
    }
}

/// The mount table of this process, line by line.
fn mounts() -> BTreeSet<String> {
    let table = look::read_if_there("/proc/self/mountinfo").unwrap_or_default();
    table.lines().map(str::to_owned).collect()
}

impl Made {
    /// Processes that are still in the container: in its cgroup, or with its root in its mount
    /// namespace. Of a process that may not be looked at only the former can be known.
    fn processes(&self) -> Vec<i32> {
        let mut left: Vec<i32> = processes().filter(|pid| self.is_rooted(*pid)).collect();
        for dir in &self.cgroups {
            let inside = look::read_if_there(dir.join("cgroup.procs")).unwrap_or_default();
            left.extend(inside.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        left
    }

    fn is_rooted(&self, pid: i32) -> bool {
        let namespace = || look::link(format!("/proc/{pid}/ns/mnt"));
        let is_same = |own: &String| namespace() == Some(PathBuf::from(own));
        self.root.is_some()
            && look::identity(format!("/proc/{pid}/root")) == self.root
            && self.mount_namespace.as_ref().is_none_or(is_same)
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn check(host: &Host, what: &str) -> bool {
        host.as_before().into_iter().find(|(name, _)| name == what).unwrap().1
    }

    #[test]
    fn a_mount_that_was_not_there_is_seen() {
        let mut host = Host::before(Made::default());
        assert!(check(&host, "mounts"));
        host.mounts.pop_last();
        assert!(!check(&host, "mounts"));
    }

    #[test]
    fn a_folder_that_stays_is_seen() {
        let dir = std::env::temp_dir().join(format!("learnc-host-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let paths = vec![dir.clone()];
        let made = Made { folders: paths.clone(), cgroups: paths, ..Made::default() };
        let host = Host::before(made);
        assert!(!check(&host, "files") && !check(&host, "cgroups") && check(&host, "processes"));
        std::fs::write(dir.join("cgroup.procs"), "4242\n").unwrap();
        assert!(!check(&host, "processes"));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(check(&host, "files") && check(&host, "cgroups") && check(&host, "processes"));
    }

    #[test]
    fn a_process_is_found_by_its_root_and_its_mount_namespace() {
        let rooted = |root, namespace: Option<&str>| {
            let mount_namespace = namespace.map(str::to_owned);
            Made { root, mount_namespace, ..Made::default() }
        };
        let own = look::link("/proc/self/ns/mnt").unwrap().display().to_string();
        let here = look::identity("/");
        assert!(rooted(here, Some(&own)).processes().contains(&look::pid()));
        assert!(rooted(here, None).processes().contains(&look::pid()));
        assert!(rooted(here, Some("mnt:[1]")).processes().is_empty());
        assert!(rooted(Some((0, 1)), None).processes().is_empty());
    }

    #[test]
    fn a_container_in_the_hosts_own_root_cannot_be_told_by_it() {
        let mut host = Host::before(Made::default());
        host.container(look::identity("/"), None);
        assert!(check(&host, "processes"));
    }
}
