//! Where in the machine's cgroup trees the container goes.
//!
//! OCI config-linux.md, "Cgroups Path": an absolute path starts at the root of the tree, a relative
//! one where the runtime likes; none means the runtime chooses.
//!
//! *v2* has two rules that decide this. A controller reaches a cgroup only if every parent hands it
//! down in `cgroup.subtree_control`; and a cgroup with processes of its own may not hand anything
//! down (the root excepted). So the container goes below the deepest cgroup, from here upwards, that
//! this user may write to and that has no processes: its own delegated subtree, or for root the
//! root. If learnc is alone in its own cgroup (a scope that systemd made for it), that one is better,
//! since nobody else manages it: learnc then moves into a leaf of it, and it has no processes. *v1* has neither rule: below the own cgroup of each tree.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::facts::{Cgroups, Level};

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// No cgroup of its own, and why.
    None(String),
    V1(Vec<Tree>),
    V2(Branch),
}

/// The container's cgroup in one v1 tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The name of its directory: `cpu,cpuacct`.
    pub name: String,
    pub controllers: Vec<String>,
    /// Absolute.
    pub dir: PathBuf,
    /// Directories to be made, outermost first; the last is `dir`.
    pub make: Vec<PathBuf>,
}

/// The container's cgroup in the v2 tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Before anything: from the first of these cgroups to the second, a leaf of it.
    pub move_out: Option<(PathBuf, PathBuf)>,
    pub dir: PathBuf,
    pub make: Vec<PathBuf>,
    /// Controllers to be handed down: the file and what is written to it.
    pub enable: Vec<(PathBuf, String)>,
    /// Controllers that limits ask for and that cannot be had here.
    pub missing: Vec<String>,
}

/// Decides. `needed` are the controllers whose files the config's limits are written to.
pub fn place(cgroups: &Cgroups, asked: Option<&Path>, id: &str, needed: &[&str]) -> Result<Place> {
    check(asked)?;
    let name = format!("learnc-{id}");
    if cgroups.is_v2() {
        return Ok(place_v2(cgroups, asked, &name, needed));
    }
    if cgroups.v1.iter().all(|h| h.controllers.is_empty()) {
        return Ok(Place::None("no cgroup tree is mounted on this machine".into()));
    }
    Ok(place_v1(cgroups, asked, &name, needed))
}

fn check(asked: Option<&Path>) -> Result<()> {
    let Some(path) = asked else { return Ok(()) };
    let text = path.to_string_lossy();
    let at = |e: Error| e.at("linux.cgroupsPath");
    if text.split('/').any(|part| part == "..") {
        return Err(at(Error::yours(format!("{text} must not contain `..`"))));
    }
    if text.contains(':') {
        let error = Error::yours(format!("{text} is a systemd path, slice:prefix:name"));
        return Err(at(error.try_this("a path such as /learnc/NAME; systemd's is not supported")));
    }
    Ok(())
}

fn place_v1(cgroups: &Cgroups, asked: Option<&Path>, name: &str, needed: &[&str]) -> Place {
    let mut trees = Vec::new();
    let used = |controller: &String| {
        needed.contains(&controller.as_str()) || ["freezer", "pids"].contains(&controller.as_str())
    };
    for hierarchy in cgroups.v1.iter().filter(|h| h.controllers.iter().any(used)) {
        let (base, below) = match asked {
            Some(path) if path.is_absolute() => {
                (PathBuf::new(), path.strip_prefix("/").unwrap_or(path).to_owned())
            }
            Some(path) => (hierarchy.own.clone(), path.to_owned()),
            None => (hierarchy.own.clone(), PathBuf::from(name)),
        };
        if !hierarchy.writable {
            let dir = hierarchy.mount.join(&hierarchy.own);
            return Place::None(format!(
                "learnc may not write to {}: v1 trees are root's alone, or mounted read-only",
                dir.display()
            ));
        }
        let top = hierarchy.mount.join(base);
        let make = directories(&top, &below);
        let controllers = hierarchy.controllers.clone();
        let name = hierarchy.name.clone();
        trees.push(Tree { name, controllers, dir: top.join(below), make });
    }
    Place::V1(trees)
}

fn place_v2(cgroups: &Cgroups, asked: Option<&Path>, name: &str, needed: &[&str]) -> Place {
    let Some(unified) = &cgroups.v2 else { return Place::None("no cgroup2 is mounted".into()) };
    let is_root = |level: &Level| level.path.as_os_str().is_empty() && !unified.part;
    let usable = |level: &&Level| level.writable && (level.processes == 0 || is_root(level));
    // This process and no other. The root of the tree is everybody's.
    let is_alone_in = |level: &Level| level.writable && level.processes == 1 && !is_root(level);
    let alone = unified.levels.last().filter(|level| is_alone_in(level));
    let base = match asked {
        Some(path) if path.is_absolute() => unified.levels.first().filter(|l| l.writable),
        _ => alone.or_else(|| unified.levels.iter().rev().find(usable)),
    };
    let Some(base) = base else {
        let own = unified.own().display();
        return Place::None(format!("no cgroup from /{own} upwards is delegated to this user"));
    };
    let below = asked.map_or(PathBuf::from(name), |p| p.strip_prefix("/").unwrap_or(p).to_owned());
    let top = unified.mount.join(&base.path);
    let make = directories(&top, &below);
    let missing = needed.iter().filter(|c| !base.controllers.iter().any(|b| b == *c));
    let missing = missing.map(|c| (*c).to_owned()).collect();
    let had: Vec<&str> =
        needed.iter().copied().filter(|c| base.controllers.iter().any(|b| b == c)).collect();
    let mut enable = Vec::new();
    let parents = std::iter::once(&top).chain(&make[..make.len() - 1]);
    for (depth, parent) in parents.enumerate() {
        let new = had.iter().filter(|c| depth > 0 || !base.subtree.iter().any(|s| s == *c));
        let words: Vec<String> = new.map(|c| format!("+{c}")).collect();
        if !words.is_empty() {
            enable.push((parent.join("cgroup.subtree_control"), words.join(" ")));
        }
    }
    let hands_down = enable.first().is_some_and(|(file, _)| file.parent() == Some(&top));
    let moves_out = hands_down && is_alone_in(base);
    let move_out = moves_out.then(|| (top.clone(), top.join("learnc-runtime")));
    Place::V2(Branch { move_out, dir: top.join(below), make, enable, missing })
}

/// `top/a`, `top/a/b` for `a/b`.
fn directories(top: &Path, below: &Path) -> Vec<PathBuf> {
    let mut path = top.to_path_buf();
    below
        .components()
        .map(|part| {
            path.push(part);
            path.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unified;

    fn level(path: &str, processes: usize, writable: bool) -> Level {
        let all = vec!["pids".to_owned(), "memory".to_owned()];
        let path = path.into();
        Level { path, controllers: all.clone(), subtree: all, processes, writable }
    }

    fn v2(levels: Vec<Level>) -> Cgroups {
        Cgroups { v1: vec![], v2: Some(Unified { mount: "/cg".into(), levels, part: false }) }
    }

    #[test]
    fn a_user_goes_below_the_delegated_cgroup_without_processes() {
        let tree = v2(vec![level("", 9, false), level("user", 0, true), level("user/sh", 2, true)]);
        let Place::V2(branch) = place(&tree, None, "x", &["pids"]).unwrap() else { panic!() };
        assert_eq!(branch.make, [Path::new("/cg/user/learnc-x")]);
        assert_eq!(branch.enable, []);
    }

    #[test]
    fn alone_in_a_scope_learnc_makes_room_in_it() {
        let mut tree =
            v2(vec![level("", 9, false), level("app", 0, true), level("app/scope", 1, true)]);
        tree.v2.as_mut().unwrap().levels[2].subtree.clear();
        let scope = PathBuf::from("/cg/app/scope");
        let Place::V2(branch) = place(&tree, None, "x", &["pids"]).unwrap() else { panic!() };
        assert_eq!(branch.dir, scope.join("learnc-x"));
        assert_eq!(branch.move_out, Some((scope.clone(), scope.join("learnc-runtime"))));
        let Place::V2(branch) = place(&tree, None, "x", &[]).unwrap() else { panic!() };
        assert_eq!(branch.move_out, None, "without a controller to hand down it may stay");
    }

    #[test]
    fn without_delegation_there_is_no_place_and_a_reason() {
        let tree = v2(vec![level("", 9, false), level("session", 2, false)]);
        let Place::None(why) = place(&tree, None, "x", &[]).unwrap() else { panic!() };
        assert!(why.contains("/session"), "{why}");
    }

    #[test]
    fn each_parent_hands_down_what_is_needed() {
        let tree = v2(vec![level("", 9, true)]);
        let asked = Path::new("/a/b");
        let Place::V2(branch) = place(&tree, Some(asked), "x", &["pids", "io"]).unwrap() else {
            panic!()
        };
        let a = PathBuf::from("/cg/a/cgroup.subtree_control");
        assert_eq!(branch.enable, [(a, "+pids".to_owned())]);
        assert_eq!(branch.missing, ["io"]);
    }
}
