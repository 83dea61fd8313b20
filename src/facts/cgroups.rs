//! Which cgroup trees there are, and where in them this process is.
//!
//! cgroups(7). Three layouts exist: *v2* (one cgroup2 tree), *v1* (a tree per controller), and
//! *hybrid* (v1 trees, and a cgroup2 that holds no or few controllers). `/proc/self/cgroup` has one
//! line per tree, `/proc/self/mountinfo` says where each is mounted and which part of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::look;

/// The trees of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cgroups {
    #[serde(default)]
    pub v1: Vec<Hierarchy>,
    #[serde(default)]
    pub v2: Option<Unified>,
}

/// One v1 tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Its directory's name: `cpu,cpuacct`.
    pub name: String,
    pub mount: PathBuf,
    /// Its controllers; empty for a named tree such as systemd's.
    pub controllers: Vec<String>,
    /// Where this process is in it, below the mount.
    pub own: PathBuf,
    /// Whether this process may make a cgroup there.
    pub writable: bool,
}

/// The v2 tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unified {
    pub mount: PathBuf,
    /// The cgroups from the root of the tree down to this process's own.
    pub levels: Vec<Level>,
    /// What is mounted is only a part of the tree, as in a container: its top is no root, and is
    /// bound by the rules for all others.
    #[serde(default)]
    pub part: bool,
}

/// One cgroup on the way from the root to here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Below the mount; empty for the root.
    pub path: PathBuf,
    /// What could be handed down.
    pub controllers: Vec<String>,
    /// What is handed down.
    pub subtree: Vec<String>,
    /// How many processes are directly in it.
    pub processes: usize,
    pub writable: bool,
}

impl Cgroups {
    /// Pure v2: no v1 tree has a controller.
    pub fn is_v2(&self) -> bool {
        self.v2.is_some() && self.v1.iter().all(|h| h.controllers.is_empty())
    }

    /// `v2`, `hybrid`, `v1` or `none`.
    pub fn layout(&self) -> &'static str {
        match (self.is_v2(), self.v2.is_some(), self.v1.is_empty()) {
            (true, ..) => "v2",
            (_, true, _) => "hybrid",
            (_, false, false) => "v1",
            (_, false, true) => "none",
        }
    }
}

impl Unified {
    /// Where this process is, below the mount.
    pub fn own(&self) -> &Path {
        self.levels.last().map_or(Path::new(""), |level| &level.path)
    }
}

pub fn read() -> Cgroups {
    let own = look::read_if_there("/proc/self/cgroup").unwrap_or_default();
    let mounts = look::read_if_there("/proc/self/mountinfo").unwrap_or_default();
    let mut cgroups = parse(&own, &mounts);
    for hierarchy in &mut cgroups.v1 {
        hierarchy.writable = look::is_writable(hierarchy.mount.join(&hierarchy.own));
    }
    if let Some(unified) = &mut cgroups.v2 {
        let mount = unified.mount.clone();
        // Every cgroup has this file but the root.
        unified.part = look::exists(mount.join("cgroup.events"));
        unified.levels.iter_mut().for_each(|level| look_at(level, &mount));
    }
    cgroups
}

/// The directories of a process's cgroups, one in each tree that is mounted here.
pub fn directories(pid: i32) -> Vec<PathBuf> {
    let own = look::read_if_there(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = look::read_if_there("/proc/self/mountinfo").unwrap_or_default();
    let cgroups = parse(&own, &mounts);
    let v1 = cgroups.v1.iter().map(|tree| tree.mount.join(&tree.own));
    v1.chain(cgroups.v2.iter().map(|tree| tree.mount.join(tree.own()))).collect()
}

fn look_at(level: &mut Level, mount: &Path) {
    let dir = mount.join(&level.path);
    let words = |file: &str| -> Vec<String> {
        let text = look::read_if_there(dir.join(file)).unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    level.controllers = words("cgroup.controllers");
    level.subtree = words("cgroup.subtree_control");
    level.processes = words("cgroup.procs").len();
    // Moving a process here also takes the right to write cgroup.procs.
    level.writable = look::is_writable(&dir) && look::is_writable(dir.join("cgroup.procs"));
}

/// The two files' texts, put together. The first mount of a tree counts.
fn parse(own: &str, mountinfo: &str) -> Cgroups {
    let mut cgroups = Cgroups::default();
    for mount in mountinfo.lines().filter_map(parse_mount) {
        if mount.fstype == "cgroup2" && cgroups.v2.is_none() {
            let path = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/");
            let below = below_mount(path, &mount.root);
            let levels = levels(&below);
            cgroups.v2 = Some(Unified { mount: mount.point, levels, part: false });
        } else if mount.fstype == "cgroup" {
            let Some((controllers, path)) = own.lines().find_map(|l| line_of(l, &mount.options))
            else {
                continue;
            };
            let name = mount.point.file_name().map(|n| n.to_string_lossy().into_owned());
            let below = below_mount(path, &mount.root);
            cgroups.v1.push(Hierarchy {
                name: name.unwrap_or_default(),
                mount: mount.point,
                controllers,
                own: below,
                writable: false,
            });
        }
    }
    cgroups
}

struct MountLine {
    root: String,
    point: PathBuf,
    fstype: String,
    options: Vec<String>,
}

/// proc_pid_mountinfo(5): `36 35 0:32 ROOT POINT OPTS … - TYPE SOURCE SUPEROPTS`.
fn parse_mount(line: &str) -> Option<MountLine> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let mut right = right.split(' ');
    let (root, point) = (left.next()?, left.next()?);
    let fstype = right.next()?;
    let options = right.nth(1)?;
    fstype.starts_with("cgroup").then(|| MountLine {
        root: root.to_owned(),
        point: PathBuf::from(point.replace("\\040", " ")),
        fstype: fstype.to_owned(),
        options: options.split(',').map(str::to_owned).collect(),
    })
}

/// `5:devices:/path` if it is the line of the tree with these super options.
fn line_of<'a>(line: &'a str, options: &[String]) -> Option<(Vec<String>, &'a str)> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (list, path) = (fields.next()?, fields.next()?);
    if let Some(name) = list.strip_prefix("name=") {
        return options
            .iter()
            .any(|o| o == list)
            .then(|| (vec![], path))
            .filter(|_| !name.is_empty());
    }
    let controllers: Vec<String> = list.split(',').map(str::to_owned).collect();
    let all = !list.is_empty() && controllers.iter().all(|c| options.contains(c));
    all.then_some((controllers, path))
}

/// A mount may show only part of a tree (inside a container): the path below what it shows.
fn below_mount(path: &str, root: &str) -> PathBuf {
    let below = match root {
        "/" => path,
        root => path.strip_prefix(root).unwrap_or(""),
    };
    PathBuf::from(below.trim_start_matches('/'))
}

fn levels(own: &Path) -> Vec<Level> {
    let mut paths: Vec<PathBuf> = own.ancestors().map(Path::to_path_buf).collect();
    paths.reverse();
    let empty =
        |path| Level { path, controllers: vec![], subtree: vec![], processes: 0, writable: false };
    paths.into_iter().map(empty).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V1: &str = "25 31 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      26 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn a_v1_tree_is_found_by_its_controllers_or_its_name() {
        let cgroups = parse("8:pids:/a/b\n9:name=systemd:/\n0::/\n", V1);
        assert_eq!(cgroups.v1[0].own, Path::new("a/b"));
        assert_eq!(cgroups.v1[0].controllers, ["pids"]);
        assert_eq!(cgroups.v1[1].controllers, Vec::<String>::new());
        assert_eq!(cgroups.layout(), "v1");
    }

    #[test]
    fn the_levels_of_v2_lead_from_the_root_to_here() {
        let cgroups = parse("0::/user/shell\n", V2);
        let levels: Vec<_> = cgroups.v2.as_ref().unwrap().levels.iter().map(|l| &l.path).collect();
        assert_eq!(levels, [Path::new(""), Path::new("user"), Path::new("user/shell")]);
        assert_eq!(cgroups.layout(), "v2");
    }

    #[test]
    fn both_are_hybrid() {
        let cgroups = parse("8:pids:/\n0::/\n", &format!("{V1}{V2}"));
        assert_eq!(cgroups.layout(), "hybrid");
        assert!(!cgroups.is_v2());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(own in ".{0,60}", mounts in ".{0,90}") {
            parse(&own, &mounts);
        }
    }
}
