//! Capabilities: root in pieces.
//!
//! capabilities(7). A process has five sets. *Permitted* is what it may switch on, *effective* what
//! is on, *inheritable* what may pass an execve if the file agrees, *ambient* what passes without
//! asking the file, and *bounding* the ceiling of all that any execve can give. OCI:
//! `process.capabilities`. The order matters, and each constraint is the kernel's:
//!
//! 1. the bounding set is cut first, while CAP_SETPCAP is still effective;
//! 2. then the change of user, with PR_SET_KEEPCAPS so that *permitted* survives it;
//! 3. then capset, which sets three of the five;
//! 4. ambient last, since it can hold only what is both permitted and inheritable.
//!
//! A config without `process.capabilities` changes nothing: the program gets what the runtime has.
//! Names this build does not know are left out with a warning, as spec 1.1 has it.

use oci_spec::runtime::{Capabilities, LinuxCapabilities};

use crate::error::Result;
use crate::sys::{CapSet, Capset, Kernel, Prctl};

/// The five sets, as the config asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    pub bounding: CapSet,
    pub effective: CapSet,
    pub permitted: CapSet,
    pub inheritable: CapSet,
    pub ambient: CapSet,
}

/// What one step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// Cuts the bounding set: drops what the process has there and the config does not name.
    Bound { drop: CapSet, keep: CapSet },
    /// Keeps the permitted set over the change of user.
    Keep,
    /// Sets the rest.
    Set(Sets),
}

/// Reads `process.capabilities`, limited to what this process has to give: a runtime in a
/// container, or root of a user namespace, may lack some. The second value names what was asked
/// for and is not to be had.
pub fn sets(asked: &LinuxCapabilities, available: CapSet) -> (Sets, Vec<String>) {
    let mut missing = Vec::new();
    let mut read = |list: &Option<Capabilities>| {
        let wanted: CapSet =
            list.iter().flatten().filter_map(|c| CapSet::named(&c.to_string())).collect();
        for cap in (wanted - available).each() {
            let name = cap.iter_names().next().map_or_else(String::new, |(n, _)| n.to_owned());
            if !missing.contains(&name) {
                missing.push(name);
            }
        }
        wanted & available
    };
    let sets = Sets {
        bounding: read(asked.bounding()),
        effective: read(asked.effective()),
        permitted: read(asked.permitted()),
        inheritable: read(asked.inheritable()),
        ambient: read(asked.ambient()),
    };
    missing.sort();
    (sets, missing)
}

/// Performs one step.
pub fn perform(k: &Kernel, what: &Capability) -> Result<()> {
    match what {
        Capability::Bound { drop, .. } => {
            drop.each().try_for_each(|cap| k.call(Prctl::CapbsetDrop(cap)))
        }
        Capability::Keep => k.call(Prctl::SetKeepcaps(true)),
        Capability::Set(sets) => {
            k.call(Capset {
                effective: sets.effective,
                permitted: sets.permitted,
                inheritable: sets.inheritable,
            })?;
            k.call(Prctl::AmbientClearAll)?;
            for cap in (sets.ambient & sets.permitted & sets.inheritable).each() {
                k.call(Prctl::AmbientRaise(cap))?;
            }
            Ok(())
        }
    }
}

/// The commands that do the same.
pub fn by_hand(what: &Capability) -> Vec<String> {
    let name = |cap: &str| cap.trim_start_matches("CAP_").to_lowercase();
    let list = |set: CapSet| {
        let names = set.iter_names().map(|(n, _)| format!("+{}", name(n)));
        std::iter::once("-all".to_owned()).chain(names).collect::<Vec<_>>().join(",")
    };
    match what {
        Capability::Bound { keep, .. } => vec![format!("setpriv --bounding-set={}", list(*keep))],
        Capability::Keep => vec![],
        Capability::Set(sets) => vec![format!(
            "setpriv --inh-caps={} --ambient-caps={}",
            list(sets.inheritable),
            list(sets.ambient & sets.permitted & sets.inheritable)
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(list: &[&str]) -> LinuxCapabilities {
        let json = serde_json::json!({ "bounding": list, "ambient": list });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_the_machine_lacks_is_left_out_and_named() {
        let have = CapSet::all() - CapSet::CAP_SYSLOG;
        let (sets, missing) = sets(&asked(&["CAP_CHOWN", "CAP_SYSLOG"]), have);
        assert_eq!(sets.bounding, CapSet::CAP_CHOWN);
        assert_eq!(missing, ["CAP_SYSLOG"]);
    }
}
