//! What `/proc/PID/status` says of a process: its numbers, its ids, its capabilities.
//!
//! proc_pid_status(5), capabilities(7). The file stays readable when the process has ended and is not
//! reaped yet, so even a program as short as `true` can be asked what it was. Ids in it are those of
//! the *reader's* user namespace; `NSpid` has the process's number in each pid namespace from the
//! reader's inwards.

use crate::sys::{CapSet, look};

/// The lines that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The process's number in each pid namespace, the reader's first.
    pub pids: Vec<i32>,
    /// Effective ids, as the reader's user namespace has them.
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub sets: Sets,
    pub no_new_privs: Option<bool>,
    pub seccomp: Option<Seccomp>,
}

/// The five sets of capabilities, as the kernel's masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// seccomp(2), by the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seccomp {
    Disabled,
    Strict,
    Filter,
}

/// Reads it; None when there is no such process.
pub fn read(pid: i32) -> Option<Status> {
    parse(&look::read_if_there(format!("/proc/{pid}/status"))?)
}

fn parse(text: &str) -> Option<Status> {
    let field = |name: &str| {
        let rest = |line: &'_ str| -> Option<String> {
            Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned())
        };
        text.lines().find_map(rest)
    };
    let numbers = |name| -> Option<Vec<u32>> {
        field(name)?.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
    };
    let mask = |name| u64::from_str_radix(&field(name)?, 16).ok();
    Some(Status {
        pids: field("NSpid")
            .map(|list| list.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect())
            .unwrap_or_default(),
        // Real, effective, saved, and that of file accesses.
        uid: *numbers("Uid")?.get(1)?,
        gid: *numbers("Gid")?.get(1)?,
        groups: numbers("Groups").unwrap_or_default(),
        sets: Sets {
            effective: mask("CapEff")?,
            permitted: mask("CapPrm")?,
            inheritable: mask("CapInh")?,
            bounding: mask("CapBnd")?,
            // Since Linux 4.3.
            ambient: mask("CapAmb").unwrap_or(0),
        },
        no_new_privs: field("NoNewPrivs").map(|value| value == "1"),
        seccomp: field("Seccomp").and_then(|mode| match &*mode {
            "0" => Some(Seccomp::Disabled),
            "1" => Some(Seccomp::Strict),
            "2" => Some(Seccomp::Filter),
            _ => None,
        }),
    })
}

/// A set in a few words: `all`, `none`, up to four names, or how many of all. `last` is the highest
/// number that this kernel knows.
pub fn in_words(mask: u64, last: Option<u32>) -> String {
    let count = mask.count_ones();
    let known = last.map(|last| last + 1);
    match (count, known) {
        (0, _) => "none".into(),
        (n, Some(known)) if n == known => format!("all {known}"),
        (1..=4, _) => {
            (0..64).filter(|n| mask & (1 << n) != 0).map(name).collect::<Vec<_>>().join(", ")
        }
        (n, Some(known)) => format!("{n} of {known}"),
        (n, None) => n.to_string(),
    }
}

/// A capability's name, or its number where it is younger than this program.
fn name(number: u32) -> String {
    let set = CapSet::from_bits(1 << number);
    set.and_then(|set| set.iter_names().next())
        .map_or_else(|| number.to_string(), |(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_very_process_is_read() {
        let status = read(look::pid()).unwrap();
        assert_eq!(status.pids.first(), Some(&look::pid()));
        assert_eq!((status.uid, status.gid), look::ids());
    }

    #[test]
    fn a_set_is_said_by_names_where_they_are_few() {
        assert_eq!(in_words(0, Some(40)), "none");
        assert_eq!(
            in_words(0x20000420, Some(40)),
            "CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE"
        );
        assert_eq!(in_words((1 << 41) - 1, Some(40)), "all 41");
        assert_eq!(in_words(0xff, Some(40)), "8 of 41");
        assert_eq!(in_words(1 << 50, Some(50)), "50");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "((Uid|Gid|NSpid|CapEff|Seccomp):\t[ 0-9a-f]{0,20}\n){0,6}") {
            parse(&text);
        }
    }
}
