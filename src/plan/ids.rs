//! Whom the container is: id maps, user and capabilities, which depend on each other.

use oci_spec::runtime::{Linux, LinuxNamespaceType as Ns};

use super::config::{Config, Steps, process};
use super::step::{Act, Step};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::parts::capabilities::{self, Capability};
use crate::parts::idmap::{self, Maps, Range};
use crate::parts::namespaces::Namespaces;
use crate::parts::process::Process;
use crate::parts::step::{config, needed};
use crate::parts::user;
use crate::sys::CapSet;

impl Config<'_> {
    /// Who root of a new user namespace is outside, if not whoever runs this.
    pub(super) fn owner_outside(&self) -> Option<(u32, u32)> {
        let maps = self.maps.as_ref()?;
        let root = (idmap::outside(&maps.uids, 0)?, idmap::outside(&maps.gids, 0)?);
        (root != self.runner).then_some(root)
    }

    pub(super) fn id_maps(&self) -> Steps<idmap::IdMap> {
        let asked = self.adds_user.then(|| needed("a runtime without root"));
        self.maps.iter().flat_map(|maps| idmap::steps(maps, asked.as_ref())).collect()
    }

    pub(super) fn in_user_namespace(&self) -> bool {
        self.maps.is_some()
    }

    /// Bounding set, user, the other sets, no_new_privs: see `parts/capabilities.rs` for why.
    pub(super) fn privileges(&self, facts: &Facts) -> Result<Vec<Step>> {
        let Some(process_config) = self.process() else { return Ok(vec![]) };
        let mut steps = Vec::new();
        let field = "process.capabilities";
        let capability = |key, act| Step::container(key, config(field), Act::Capability(act));
        let (available, had) = match self.in_user_namespace() {
            true => (facts.every_capability(), facts.every_capability()),
            false => (facts.effective_set(), facts.bounding_set()),
        };
        let sets = process_config.capabilities().as_ref();
        let sets = sets.map(|asked| capabilities::sets(asked, available).0);
        if let Some(sets) = sets {
            let drop = had - sets.bounding;
            if drop != CapSet::empty() {
                steps.push(capability(
                    "bounding_set",
                    Capability::Bound { drop, keep: sets.bounding & had },
                ));
            }
            if process_config.user().uid() != 0 {
                steps.push(capability("keep_capabilities", Capability::Keep));
            }
        }
        let maps = self.maps.as_ref();
        let ranges = maps.map(|m| (m.uids.as_slice(), m.gids.as_slice()));
        let deny = maps.map_or(facts.no_setgroups, |m| m.deny);
        steps.push(user::step(process_config.user(), ranges, deny)?.map(Act::User));
        steps.extend(sets.map(|sets| capability("capabilities", Capability::Set(sets))));
        if process_config.no_new_privileges().unwrap_or(false) {
            let asked = config("process.noNewPrivileges");
            steps.push(process("no_new_privileges", asked, Process::NoNewPrivileges));
        }
        Ok(steps)
    }
}

/// The id maps of a new user namespace: the config's, or those that this user can have.
pub(super) fn maps(
    linux: Option<&Linux>,
    namespaces: &Namespaces,
    adds_user: bool,
    facts: &Facts,
    warnings: &mut Vec<String>,
) -> Result<Option<Maps>> {
    if !adds_user && !namespaces.makes(Ns::User) {
        return Ok(None);
    }
    let uids = linux.and_then(|l| l.uid_mappings().as_deref()).map(idmap::ranges);
    let gids = linux.and_then(|l| l.gid_mappings().as_deref()).map(idmap::ranges);
    let (uids, gids) = match (uids, gids) {
        (Some(uids), Some(gids)) if !uids.is_empty() && !gids.is_empty() => (uids, gids),
        _ if adds_user => own_ranges(facts, warnings),
        _ => {
            return Err(Error::yours("a new user namespace needs uidMappings and gidMappings")
                .at("linux.uidMappings")
                .try_this("learnc spec --rootless shows them"));
        }
    };
    if facts.is_root() {
        return Ok(Some(Maps { uids, gids, helpers: None, deny: false }));
    }
    let alone = |map: &[Range], own| matches!(map, [one] if one.outside == own && one.size == 1);
    if alone(&uids, facts.uid) && alone(&gids, facts.gid) {
        return Ok(Some(Maps { uids, gids, helpers: None, deny: true }));
    }
    match &facts.idmap_helpers {
        Some(helpers) => Ok(Some(Maps { uids, gids, helpers: Some(helpers.clone()), deny: false })),
        None => {
            Err(Error::yours("these ranges take newuidmap and newgidmap, which are not in PATH")
                .at("linux.uidMappings")
                .because("the kernel lets an unprivileged process map one id, its own")
                .try_this("apt-get install uidmap"))
        }
    }
}

/// Id 0 is this user; 1 and up are the user's subordinate ranges, where there are any.
fn own_ranges(facts: &Facts, warnings: &mut Vec<String>) -> (Vec<Range>, Vec<Range>) {
    if let Some(maps) = facts.own_maps() {
        return (maps.uids, maps.gids);
    }
    let lacking = match facts.subuids.is_empty() || facts.subgids.is_empty() {
        false if facts.no_new_privs => "newuidmap and newgidmap gain nothing under no_new_privs",
        false if facts.idmap_helpers.is_some() => {
            "no range of /etc/subuid, or of /etc/subgid, can be mapped"
        }
        false => "newuidmap and newgidmap are not in PATH (Debian's package uidmap has them)",
        true => "/etc/subuid and /etc/subgid give this user no ranges",
    };
    warnings.push(format!("Only one id is mapped, this user's as root: {lacking}."));
    let alone = |own| vec![Range { inside: 0, outside: own, size: 1 }];
    (alone(facts.uid), alone(facts.gid))
}
