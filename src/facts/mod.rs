//! What this machine is, read before the plan and only read.
//!
//! A plain, serialisable value: so a test plans for a machine it does not run on
//! (`fixtures/facts/*.json`), and `learnc doctor` is a view of the same value. [`read`] looks at what
//! a plan needs; [`whole`] adds what only a person asks for.

mod cgroups;
pub mod machine;
pub mod overlay;
mod user;

use serde::{Deserialize, Serialize};

pub use cgroups::{Cgroups, Hierarchy, Level, Unified, directories as cgroup_directories};
pub use machine::Machine;
pub use overlay::Overlay;

use crate::sys::idmap::{Maps, Range};
use crate::sys::{CapSet, look};

/// Everything a plan must know of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Effective ids of this process.
    pub uid: u32,
    pub gid: u32,
    /// The login name, for /etc/subuid.
    #[serde(default)]
    pub user: Option<String>,
    /// Effective and bounding capabilities, as the kernel's masks.
    #[serde(default)]
    pub effective: u64,
    #[serde(default)]
    pub bounding: u64,
    /// This process is in a user namespace of somebody's making: its root is no root of devices.
    #[serde(default)]
    pub nested: bool,
    /// setgroups(2) has been given up in it.
    #[serde(default)]
    pub no_setgroups: bool,
    /// Which group ids exist in it, as first and count; empty where all do.
    #[serde(default)]
    pub gids: Vec<(u32, u32)>,
    /// The highest capability number that the kernel knows.
    #[serde(default)]
    pub last_capability: u32,
    #[serde(default)]
    pub cgroups: Cgroups,
    /// Ranges of /etc/subuid and /etc/subgid for this user: start and count.
    #[serde(default)]
    pub subuids: Vec<(u32, u32)>,
    #[serde(default)]
    pub subgids: Vec<(u32, u32)>,
    /// Programs such as these gain nothing: prctl(2), PR_SET_NO_NEW_PRIVS.
    #[serde(default)]
    pub no_new_privs: bool,
    /// Where newuidmap and newgidmap are, if both are there.
    #[serde(default)]
    pub idmap_helpers: Option<(String, String)>,
    /// Read where a root filesystem is made of layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlay>,
    /// What only doctor asks for.
    #[serde(default)]
    pub machine: Option<Machine>,
}

impl Facts {
    /// Root of the first user namespace, or of one in which a runtime may work as if it were.
    pub fn is_root(&self) -> bool {
        self.uid == 0 && self.effective_set().contains(CapSet::CAP_SYS_ADMIN)
    }

    /// Whether a group id means anything to this process.
    pub fn has_gid(&self, gid: u32) -> bool {
        let holds = |&(first, count): &(u32, u32)| gid >= first && gid - first < count;
        self.gids.is_empty() || self.gids.iter().any(holds)
    }

    /// The ids that a user without root has in a namespace of their own: root there is this user, and 1 and up
    /// are the user's subordinate ranges. None where one id is all that there is.
    pub fn own_maps(&self) -> Option<Maps> {
        let helpers = Some(self.idmap_helpers.clone()?);
        let (uids, gids) = (own_map(self.uid, &self.subuids), own_map(self.gid, &self.subgids));
        let complete = uids.len() > 1 && gids.len() > 1 && !self.no_new_privs;
        (complete && !self.is_root()).then_some(Maps { uids, gids, helpers, deny: false })
    }

    pub fn effective_set(&self) -> CapSet {
        CapSet::from_bits_truncate(self.effective)
    }

    pub fn bounding_set(&self) -> CapSet {
        CapSet::from_bits_truncate(self.bounding)
    }

    /// What root of a new user namespace has: everything the kernel knows.
    pub fn every_capability(&self) -> CapSet {
        let count = self.last_capability + 1;
        CapSet::from_bits_truncate(u64::MAX.checked_shr(64 - count).unwrap_or(0))
    }
}

/// The ranges behind each other. One that is empty, or has an id that another one has, says nothing.
fn own_map(own: u32, sub: &[(u32, u32)]) -> Vec<Range> {
    let mut map = vec![Range { inside: 0, outside: own, size: 1 }];
    let mut next = 1u32;
    for (outside, size) in sub.iter().copied() {
        let end = |from: u32, size| from.checked_add(size);
        let apart = |other: &Range| {
            let ends = end(outside, size).zip(end(other.outside, other.size));
            ends.is_some_and(|(mine, theirs)| mine <= other.outside || theirs <= outside)
        };
        if let Some(after) = end(next, size).filter(|_| size > 0 && map.iter().all(apart)) {
            map.push(Range { inside: next, outside, size });
            next = after;
        }
    }
    map
}

/// Whether this process is in a user namespace of somebody's making.
pub fn is_nested() -> bool {
    nests(&look::read_if_there("/proc/self/uid_map").unwrap_or_default())
}

/// The first user namespace maps every id to itself. user_namespaces(7)
fn nests(uid_map: &str) -> bool {
    !uid_map.is_empty() && !uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The ids of a map: first and count of each line.
fn mapped(map: &str) -> Vec<(u32, u32)> {
    let ids = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.nth(1)?.parse().ok()?))
    };
    map.lines().filter_map(ids).collect()
}

/// What a plan needs. Some ten small files; unprivileged users' ranges only when they matter.
pub fn read() -> Facts {
    let (uid, gid) = look::ids();
    let status = look::read_if_there("/proc/self/status").unwrap_or_default();
    let mask = |field| CapSet::in_status(&status, field).map_or(0, |set| set.bits());
    let last = look::read_if_there("/proc/sys/kernel/cap_last_cap");
    let mut facts = Facts {
        uid,
        gid,
        effective: mask("CapEff"),
        bounding: mask("CapBnd"),
        nested: is_nested(),
        last_capability: last.and_then(|n| n.trim().parse().ok()).unwrap_or(40),
        cgroups: cgroups::read(),
        no_new_privs: machine::status_field(&status, "NoNewPrivs") == Some(1),
        ..Facts::default()
    };
    if facts.nested {
        let setgroups = look::read_if_there("/proc/self/setgroups").unwrap_or_default();
        facts.no_setgroups = setgroups.trim() == "deny";
        facts.gids = mapped(&look::read_if_there("/proc/self/gid_map").unwrap_or_default());
    }
    if !facts.is_root() {
        facts.user = user::login_name(uid);
        facts.subuids = user::ranges("/etc/subuid", uid, facts.user.as_deref());
        facts.subgids = user::ranges("/etc/subgid", uid, facts.user.as_deref());
        facts.idmap_helpers = user::in_path("newuidmap").zip(user::in_path("newgidmap"));
    }
    facts
}

/// What doctor shows besides.
pub fn whole() -> Facts {
    let facts = read();
    let machine = machine::read(facts.idmap_helpers.as_ref());
    Facts { machine: Some(machine), ..facts }
}

/// The name of this process's effective user.
pub fn login_name() -> Option<String> {
    user::login_name(look::ids().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_map_has_each_id_once_and_no_empty_range() {
        let map = |sub: &[(u32, u32)]| {
            own_map(1000, sub).iter().map(|r| (r.inside, r.outside, r.size)).collect::<Vec<_>>()
        };
        let own = (0, 1000, 1);
        assert_eq!(map(&[(100_000, 10), (200_000, 5)]), [own, (1, 100_000, 10), (11, 200_000, 5)]);
        assert_eq!(map(&[(100_000, 0), (200_000, 5)]), [own, (1, 200_000, 5)]);
        assert_eq!(map(&[(100_000, 10), (100_005, 10)]), [own, (1, 100_000, 10)]);
        assert_eq!(map(&[(999, 5), (u32::MAX, 5)]), [own]);
        assert_eq!(map(&[(2000, u32::MAX - 2000), (1500, 5)]).len(), 3);
    }

    proptest! {
        #[test]
        fn any_ranges_make_a_map_without_overlap(sub in prop::collection::vec((any::<u32>(), any::<u32>()), 0..9)) {
            let map = own_map(1000, &sub);
            for (n, a) in map.iter().enumerate() {
                for b in &map[n + 1..] {
                    let apart = |a: (u32, u32), b: (u32, u32)| {
                        a.0.checked_add(a.1).unwrap() <= b.0 || b.0.checked_add(b.1).unwrap() <= a.0
                    };
                    prop_assert!(apart((a.outside, a.size), (b.outside, b.size)));
                    prop_assert!(apart((a.inside, a.size), (b.inside, b.size)));
                }
            }
        }
    }
}
