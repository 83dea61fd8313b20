//! Id maps: what "root" means inside a user namespace.
//!
//! user_namespaces(7), newuidmap(1); OCI `linux.uidMappings`, `linux.gidMappings`. A new user
//! namespace has no ids at all: every id shows as 65534. Maps are written from outside, once, into
//! `/proc/PID/uid_map` and `gid_map`. Root of the parent namespace may map anything. Anybody else
//! may map one id, their own, and must first give up setgroups(2) for the namespace, because
//! otherwise dropping a group could *add* access. To map more, Debian's `newuidmap`/`newgidmap`
//! (setuid programs) write the ranges of /etc/subuid and /etc/subgid for the user.
//!
//! The container waits meanwhile: until the maps are there it has no id to be.

use oci_spec::runtime::LinuxIdMapping;

use super::step::{Step, config};
use crate::error::Result;
use crate::event::Asked;
use crate::sys::idmap::{write_gids, write_uids};
use crate::sys::{Kernel, Pid, Setgroups, Setresgid, Setresuid};

pub use crate::sys::idmap::{Maps, Range, outside};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum IdMap {
    /// Writes the map of user ids: directly, or with the setuid helper.
    Uids { map: Vec<Range>, helper: Option<String> },
    /// Writes the map of group ids; first the word `deny` where the kernel asks for it.
    Gids { map: Vec<Range>, helper: Option<String>, deny: bool },
    /// Becomes id 0 of the new namespace.
    BecomeRoot { groups: bool },
}

/// The config's ranges.
pub fn ranges(mappings: &[LinuxIdMapping]) -> Vec<Range> {
    let range = |m: &LinuxIdMapping| Range {
        inside: m.container_id(),
        outside: m.host_id(),
        size: m.size(),
    };
    mappings.iter().map(range).collect()
}

/// The runtime's two steps and the container's one. `asked` says whose idea the namespace was; None that
/// the config has the maps.
pub fn steps(maps: &Maps, asked: Option<&Asked>) -> Vec<Step<IdMap>> {
    let asked = |field: &str| asked.cloned().unwrap_or_else(|| config(field));
    let helpers = maps.helpers.clone().unzip();
    let uids = IdMap::Uids { map: maps.uids.clone(), helper: helpers.0 };
    let gids = IdMap::Gids { map: maps.gids.clone(), helper: helpers.1, deny: maps.deny };
    let root = IdMap::BecomeRoot { groups: !maps.deny };
    vec![
        Step::runtime("uid_map", asked("linux.uidMappings"), uids),
        Step::runtime("gid_map", asked("linux.gidMappings"), gids),
        Step::container("become_root", asked("linux.uidMappings"), root),
    ]
}

/// Performs one step. `pid` is the container's first process.
pub fn perform(k: &Kernel, what: &IdMap, pid: Pid) -> Result<()> {
    match what {
        IdMap::Uids { map, helper } => write_uids(k, pid, map, helper.as_deref()),
        IdMap::Gids { map, helper, deny } => write_gids(k, pid, map, helper.as_deref(), *deny),
        IdMap::BecomeRoot { groups } => {
            if *groups {
                k.call(Setgroups(&[]))?;
            }
            k.call(Setresgid(0))?;
            k.call(Setresuid(0))
        }
    }
}

pub fn by_hand(what: &IdMap) -> Vec<String> {
    let lines = |map: &[Range]| {
        let lines: Vec<_> =
            map.iter().map(|r| format!("{} {} {}", r.inside, r.outside, r.size)).collect();
        lines.join("\\n")
    };
    let plain = |map: &[Range]| lines(map).replace("\\n", " ");
    match what {
        IdMap::Uids { map, helper: None } => {
            vec![format!("printf '{}' > /proc/$PID/uid_map", lines(map))]
        }
        IdMap::Gids { map, helper: None, deny } => {
            let write = format!("printf '{}' > /proc/$PID/gid_map", lines(map));
            let deny = deny.then(|| "echo deny > /proc/$PID/setgroups".to_owned());
            deny.into_iter().chain([write]).collect()
        }
        IdMap::Uids { map, .. } => vec![format!("newuidmap $PID {}", plain(map))],
        IdMap::Gids { map, .. } => vec![format!("newgidmap $PID {}", plain(map))],
        IdMap::BecomeRoot { groups: true } => {
            vec!["setpriv --reuid=0 --regid=0 --clear-groups --inh-caps=-all".into()]
        }
        IdMap::BecomeRoot { groups: false } => {
            vec!["setpriv --reuid=0 --regid=0 --keep-groups --inh-caps=-all".into()]
        }
    }
}
