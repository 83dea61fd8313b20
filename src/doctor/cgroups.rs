//! Whether a container gets a cgroup of its own here, and with which controllers.
//!
//! cgroups(7). The answer is not a guess: it is what [`crate::cgroup::place`] decides for a plan.
//! Where it finds no place, this says why: the tree is mounted read-only, v1 belongs to root, or
//! nobody delegated a part of v2 to this user. With systemd that last one is a matter of one
//! command, which `--delegate` gives.

use std::path::PathBuf;

use super::Finding;
use crate::cgroup::place::{Branch, Place, Tree, place};
use crate::facts::{Cgroups, Facts, Machine};

/// The controllers that the lesson on cgroups and the default container use.
pub const WANTED: [&str; 3] = ["pids", "memory", "cpu"];

pub fn limits(facts: &Facts, machine: &Machine) -> Finding {
    let cgroups = &facts.cgroups;
    match place(cgroups, None, "doctor", &WANTED) {
        Ok(Place::V2(branch)) => on_v2(cgroups, &branch),
        Ok(Place::V1(trees)) => on_v1(cgroups, &trees),
        Ok(Place::None(_)) | Err(_) => nowhere(facts, machine),
    }
}

fn on_v2(cgroups: &Cgroups, branch: &Branch) -> Finding {
    let top = branch.make.first().and_then(|made| made.parent()).map(PathBuf::from);
    let top = top.unwrap_or_default();
    let controllers = cgroups.v2.as_ref().and_then(|tree| {
        let level = tree.levels.iter().find(|level| tree.mount.join(&level.path) == top)?;
        Some(level.controllers.join(" "))
    });
    let finding = match branch.missing.is_empty() {
        true => Finding::good("cgroups", "v2"),
        false => Finding::limited("cgroups", "controllers_missing"),
    };
    let file = top.join("cgroup.controllers").display().to_string();
    finding.seen("layout", cgroups.layout()).seen(file, controllers.unwrap_or_default())
}

fn on_v1(cgroups: &Cgroups, trees: &[Tree]) -> Finding {
    let has = |wanted: &&&str| trees.iter().any(|t| t.controllers.iter().any(|c| c == **wanted));
    let missing: Vec<&&str> = WANTED.iter().filter(|wanted| !has(wanted)).collect();
    let finding = match missing.is_empty() {
        true => Finding::good("cgroups", "v1"),
        false => Finding::limited("cgroups", "controllers_missing"),
    };
    let found: Vec<&str> = WANTED.iter().filter(|w| has(w)).copied().collect();
    let mounts = cgroups.v1.iter().filter_map(|tree| tree.mount.parent()).next();
    let at = mounts.unwrap_or(std::path::Path::new("/sys/fs/cgroup")).display().to_string();
    finding.seen("layout", cgroups.layout()).seen(at, found.join(" "))
}

/// No cgroup for a container: whose decision that is.
pub fn nowhere(facts: &Facts, machine: &Machine) -> Finding {
    let cgroups = &facts.cgroups;
    let limited = |case| Finding::limited("cgroups", case).seen("layout", cgroups.layout());
    if cgroups.v2.is_none() && cgroups.v1.is_empty() {
        return limited("none").seen("/proc/self/mountinfo", "no cgroup tree");
    }
    if let Some(point) = machine.mounts.readonly_cgroups.first() {
        return limited("read_only").seen(point, "mounted read-only");
    }
    if !cgroups.is_v2() {
        let mine = |tree: &&crate::facts::Hierarchy| !tree.writable && !tree.controllers.is_empty();
        let dir = cgroups.v1.iter().find(mine).map(|tree| tree.mount.join(&tree.own));
        return limited("v1_is_roots")
            .seen(dir.unwrap_or_default().display().to_string(), "not writable");
    }
    let own = cgroups.v2.as_ref().map(|tree| tree.mount.join(tree.own())).unwrap_or_default();
    let finding = match can_delegate(machine) {
        true => limited("systemd_can_delegate"),
        false => limited("not_delegated"),
    };
    let finding = finding.seen(own.display().to_string(), "not writable");
    match &machine.systemd.user_manager {
        Some(socket) => finding.seen(socket, "there"),
        None => finding.seen("a service manager of this user", "not there"),
    }
}

/// Whether systemd would start us again in a cgroup of our own.
pub fn can_delegate(machine: &Machine) -> bool {
    machine.systemd.run.is_some() && machine.systemd.user_manager.is_some()
}
