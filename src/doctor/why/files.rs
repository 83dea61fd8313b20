//! Why something could not be mounted, or a file of the kernel's would not take what was written.

use std::path::Path;

use super::Case;
use crate::doctor::{Finding, cgroups, users};
use crate::sys::CapSet;

impl Case<'_> {
    pub(super) fn mount(&self) -> Option<Finding> {
        let kind = self.text("filesystemtype").unwrap_or_default();
        let known = self.machine.filesystems.iter().any(|name| name == kind);
        match (self.errno.as_str(), kind) {
            ("EPERM", "proc") => {
                let covered = self.machine.mounts.on_proc.join(" ");
                let masked = Finding::missing("fresh_proc", "masked");
                (!covered.is_empty()).then(|| masked.seen("/proc/self/mountinfo", covered))
            }
            ("ENOTDIR", _) => Some(Finding::missing("refused", "directory_on_file")),
            ("EPERM", "sysfs") => Some(Finding::missing("refused", "sysfs_of_another_net")),
            ("ENODEV", _) if !known => Some(
                Finding::missing("refused", "no_such_filesystem")
                    .seen("/proc/filesystems", format!("no {kind}")),
            ),
            ("EPERM", _) if !self.facts.is_root() => Some(
                Finding::missing("refused", "not_in_user_namespace").seen("filesystemtype", kind),
            ),
            ("EPERM", _) => Some(self.no_power()),
            // fsopen(2) would say which; mount(2) has this one word for every option.
            ("EINVAL", _) => self.text("data").map(|options| {
                Finding::missing("refused", "mount_options")
                    .seen("options", options)
                    .seen("filesystemtype", kind)
            }),
            _ => None,
        }
    }

    pub(super) fn pivot(&self) -> Option<Finding> {
        let root = &self.machine.mounts.root;
        let initramfs = Finding::missing("refused", "root_is_initramfs");
        let initramfs = initramfs.seen("/proc/self/mountinfo", format!("/ is of type {root}"));
        (self.errno == "EINVAL" && root == "rootfs").then_some(initramfs)
    }

    /// The directory in which the program shall start.
    pub(super) fn directory(&self) -> Option<Finding> {
        let case = match self.errno.as_str() {
            "ENOTDIR" => "not_a_directory",
            "EACCES" => "closed_directory",
            "ELOOP" => "links_in_a_circle",
            _ => return None,
        };
        Some(Finding::missing("cwd", case).seen("path", self.text("path")?))
    }

    /// Files whose content is a question to the kernel: id maps, cgroups.
    pub(super) fn file(&self, name: &str) -> Option<Finding> {
        let argument = match name {
            "write" => "fd",
            "sendfile" => "out_fd",
            "symlinkat" => "linkpath",
            _ => "pathname",
        };
        let path = Path::new(self.text(argument)?);
        if path.ends_with("uid_map") || path.ends_with("gid_map") {
            let map = self.text("buf").unwrap_or_default().replace('\n', ", ");
            let root = map.split(", ").any(|line| line.split(' ').nth(1) == Some("0"));
            let setfcap = self.facts.effective_set().contains(CapSet::CAP_SETFCAP);
            return self.when("EPERM", || match root && !setfcap {
                true => users::root_not_mappable(self.facts),
                false => Finding::missing("refused", "map_not_yours").seen("map", map),
            });
        }
        let trees = &self.facts.cgroups;
        let mounts = trees.v1.iter().map(|tree| &tree.mount);
        let mut mounts = mounts.chain(trees.v2.iter().map(|tree| &tree.mount));
        match mounts.any(|mount| path.starts_with(mount)) {
            true => self.cgroup(name, path),
            false => self.own_file(path),
        }
    }

    /// A file of the run's own: its state, its root filesystem.
    fn own_file(&self, path: &Path) -> Option<Finding> {
        let is_own = self.step == "state" || self.step.starts_with("root_");
        let case = match self.errno.as_str() {
            "ENOSPC" | "EDQUOT" => "full",
            "EROFS" => "read_only",
            "EACCES" | "EPERM" => "not_yours",
            _ => return None,
        };
        let dir = self.text("dirfd").or(self.text("newdirfd")).unwrap_or_default();
        let place = Path::new(dir).join(path).display().to_string();
        is_own.then(|| Finding::missing("own_files", case).seen("path", place))
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
            (_, "EPERM", "devices.allow" | "devices.deny") => {
                let map = &self.machine.uid_map;
                Some(missing("devices_are_the_machines").seen("/proc/self/uid_map", map))
            }
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
