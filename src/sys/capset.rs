//! Sets of capabilities as the kernel has them: a bit each, by the number in linux/capability.h.
//!
//! What they are for is told in [`crate::parts::capabilities`].

use bitflags::bitflags;

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

    /// By name. oci-spec prints `SYS_ADMIN`; the kernel's headers say `CAP_SYS_ADMIN`.
    pub fn named(name: &str) -> Option<CapSet> {
        let name = name.trim_start_matches("CAP_");
        CapSet::from_name(&format!("CAP_{name}"))
    }

    /// One of the five sets in the text of `/proc/PID/status`: `CapBnd`. See proc_pid_status(5).
    pub fn in_status(status: &str, field: &str) -> Option<CapSet> {
        let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
        Some(CapSet::from_bits_truncate(u64::from_str_radix(line.trim(), 16).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_mask_is_read_by_its_field() {
        let status = "Name:\tx\nCapInh:\t0000000000000000\nCapBnd:\t0000000000000021\n";
        let set = CapSet::in_status(status, "CapBnd").unwrap();
        assert_eq!(set, CapSet::CAP_CHOWN | CapSet::CAP_KILL);
    }
}
