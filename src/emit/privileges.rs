//! Whom the program is, as options of one setpriv(1).
//!
//! They are gathered while the steps go by, and used at once: a setpriv for each would be left without
//! the capability that the next one needs. And where the program is started through chroot(1), one
//! capability more has to last until then: CAP_SYS_CHROOT. A runtime gives it up after the call; a
//! tool starts with what it has. Where the config does not keep it, the script says so.

use crate::parts::capabilities::{self, Capability, Sets};
use crate::parts::rootfs::Rootfs;
use crate::parts::user::{self, User};
use crate::plan::{Act, Plan, Step};
use crate::sys::CapSet;

const CHROOT: CapSet = CapSet::CAP_SYS_CHROOT;

/// Whether the roots are swapped from outside, with every process in the mount namespace.
pub(super) fn pivots(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.act == Act::Rootfs(Rootfs::Pivot))
}

pub(super) fn user(plan: &Plan) -> Option<&User> {
    plan.steps.iter().find_map(|step| match &step.act {
        Act::User(user) => Some(user),
        _ => None,
    })
}

pub(super) fn sets(plan: &Plan) -> Option<&Sets> {
    plan.steps.iter().find_map(|step| match &step.act {
        Act::Capability(Capability::Set(sets)) => Some(sets),
        _ => None,
    })
}

/// Whether the program has CAP_SYS_CHROOT only because of how it is started.
pub(super) fn keeps_chroot(plan: &Plan) -> bool {
    let is_root = user(plan).is_none_or(|user| user.uid == 0);
    let asked = match (sets(plan), is_root) {
        (Some(sets), true) => sets.bounding.contains(CHROOT),
        (Some(sets), false) => sets.ambient.contains(CHROOT),
        (None, is_root) => is_root,
    };
    !pivots(plan) && user(plan).is_some() && !asked
}

/// The step's options, with what chroot needs.
pub(super) fn keeping_chroot(plan: &Plan, step: &Step) -> Vec<String> {
    let is_root = user(plan).is_none_or(|user| user.uid == 0);
    let needs = keeps_chroot(plan);
    let ambient = if needs && !is_root { CHROOT } else { CapSet::empty() };
    let mut lines = match &step.act {
        Act::Capability(Capability::Keep) => return vec![":".into()],
        Act::Capability(Capability::Bound { drop, keep }) if needs => {
            capabilities::by_hand(&Capability::Bound { drop: *drop - CHROOT, keep: *keep | CHROOT })
        }
        Act::Capability(Capability::Set(sets)) => capabilities::by_hand(&Capability::Set(Sets {
            inheritable: sets.inheritable | ambient,
            permitted: sets.permitted | ambient,
            ambient: sets.ambient | ambient,
            ..*sets
        })),
        Act::User(user) => user::by_hand(user),
        _ => step.by_hand(),
    };
    if matches!(step.act, Act::User(_)) && sets(plan).is_none() && !ambient.is_empty() {
        lines.push("setpriv --inh-caps=+sys_chroot --ambient-caps=+sys_chroot".into());
    }
    lines.iter().map(|line| gathered(line)).collect()
}

/// `setpriv --option` as an addition to those before.
pub(super) fn gathered(line: &str) -> String {
    match line.strip_prefix("setpriv ") {
        Some(options) => format!("PRIVILEGES=\"$PRIVILEGES {options}\""),
        None => line.to_owned(),
    }
}
