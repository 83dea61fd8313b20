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

use bitflags::bitflags;
use oci_spec::runtime::{Capabilities, LinuxCapabilities};

use crate::error::Result;
use crate::sys::{Capset, Kernel, Prctl};

bitflags! {
    /// A set of capabilities; the bit is the kernel's number, linux/capability.h.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct CapSet: u64 {
        const CAP_CHOWN = 1 << 0;
        const CAP_DAC_OVERRIDE = 1 << 1;
        const CAP_DAC_READ_SEARCH = 1 << 2;
        const CAP_FOWNER = 1 << 3;
        const CAP_FSETID = 1 << 4;
        const CAP_KILL = 1 << 5;
        const CAP_SETGID = 1 << 6;
        const CAP_SETUID = 1 << 7;
        const CAP_SETPCAP = 1 << 8;
        const CAP_LINUX_IMMUTABLE = 1 << 9;
        const CAP_NET_BIND_SERVICE = 1 << 10;
        const CAP_NET_BROADCAST = 1 << 11;
        const CAP_NET_ADMIN = 1 << 12;
        const CAP_NET_RAW = 1 << 13;
        const CAP_IPC_LOCK = 1 << 14;
        const CAP_IPC_OWNER = 1 << 15;
        const CAP_SYS_MODULE = 1 << 16;
        const CAP_SYS_RAWIO = 1 << 17;
        const CAP_SYS_CHROOT = 1 << 18;
        const CAP_SYS_PTRACE = 1 << 19;
        const CAP_SYS_PACCT = 1 << 20;
        const CAP_SYS_ADMIN = 1 << 21;
        const CAP_SYS_BOOT = 1 << 22;
        const CAP_SYS_NICE = 1 << 23;
        const CAP_SYS_RESOURCE = 1 << 24;
        const CAP_SYS_TIME = 1 << 25;
        const CAP_SYS_TTY_CONFIG = 1 << 26;
        const CAP_MKNOD = 1 << 27;
        const CAP_LEASE = 1 << 28;
        const CAP_AUDIT_WRITE = 1 << 29;
        const CAP_AUDIT_CONTROL = 1 << 30;
        const CAP_SETFCAP = 1 << 31;
        const CAP_MAC_OVERRIDE = 1 << 32;
        const CAP_MAC_ADMIN = 1 << 33;
        const CAP_SYSLOG = 1 << 34;
        const CAP_WAKE_ALARM = 1 << 35;
        const CAP_BLOCK_SUSPEND = 1 << 36;
        const CAP_AUDIT_READ = 1 << 37;
        const CAP_PERFMON = 1 << 38;
        const CAP_BPF = 1 << 39;
        const CAP_CHECKPOINT_RESTORE = 1 << 40;
    }
}

impl CapSet {
    /// One set per capability.
    pub fn each(self) -> impl Iterator<Item = CapSet> {
        self.iter()
    }
}

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
    /// Drops these from the bounding set: what the process has there and the config does not name.
    Bound(CapSet),
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
        let wanted: CapSet = list.iter().flatten().filter_map(|c| known(&c.to_string())).collect();
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

/// oci-spec prints `SYS_ADMIN`; the kernel's headers say `CAP_SYS_ADMIN`.
pub fn known(name: &str) -> Option<CapSet> {
    let name = name.trim_start_matches("CAP_");
    CapSet::from_name(&format!("CAP_{name}"))
}

/// Performs one step.
pub fn perform(k: &Kernel, what: &Capability) -> Result<()> {
    match what {
        Capability::Bound(drop) => drop.each().try_for_each(|cap| k.call(Prctl::CapbsetDrop(cap))),
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
        Capability::Bound(drop) => {
            let names: Vec<_> = drop.iter_names().map(|(n, _)| format!("-{}", name(n))).collect();
            vec![format!("setpriv --bounding-set={}", names.join(","))]
        }
        Capability::Keep => vec![],
        Capability::Set(sets) => vec![format!(
            "setpriv --inh-caps={} --ambient-caps={}",
            list(sets.inheritable),
            list(sets.ambient & sets.permitted & sets.inheritable)
        )],
    }
}

/// One of the five sets in the text of `/proc/PID/status`.
pub fn status_set(status: &str, field: &str) -> Option<CapSet> {
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    Some(CapSet::from_bits_truncate(u64::from_str_radix(line.trim(), 16).ok()?))
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

    #[test]
    fn the_kernels_mask_is_read_by_its_field() {
        let status = "Name:\tx\nCapInh:\t0000000000000000\nCapBnd:\t0000000000000021\n";
        let set = status_set(status, "CapBnd").unwrap();
        assert_eq!(set, CapSet::CAP_CHOWN | CapSet::CAP_KILL);
    }
}
