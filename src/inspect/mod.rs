//! What a process is, read from the kernel: the host's side and the container's, and how they differ.
//!
//! proc_pid_status(5), proc_pid_ns(5), proc_pid_mountinfo(5), proc_pid_cgroup(5), cgroups(7). A container
//! is no object that could be asked; it is a process some of whose properties are not the host's.
//! So this room takes a [`Portrait`] of a process, any process, and holds two of them side by side
//! ([`differences()`]). What else a run changes is read here too: what the kernel counted in the
//! container's cgroup ([`counters`]), a root filesystem that has no process yet ([`tree`]), what was written
//! on top of layers ([`upper`]), and whether
//! the host is afterwards as it was ([`host`]).
//!
//! Nothing here acts, and nothing is guessed: what cannot be read is an empty cell.

pub mod counters;
pub mod differences;
pub mod host;
pub mod portrait;
pub mod root;
pub mod status;
pub mod tree;
pub mod upper;

pub use differences::differences;
pub use portrait::Portrait;

use crate::event::{Difference, Verdict};

/// A row whose verdict follows from whether the cells are equal.
fn compared(property: &str, host: String, container: String) -> Difference {
    let same = host == container;
    judged(property, host, container, same)
}

/// A row of which it is known whether both sides are the same: a cell may be short for more.
fn judged(property: &str, host: String, container: String, same: bool) -> Difference {
    let verdict = match (host.is_empty() || container.is_empty(), same) {
        (true, _) => Verdict::Unknown,
        (_, true) => Verdict::Same,
        (_, false) => Verdict::Changed,
    };
    row(property, host, container, verdict)
}

fn row(property: &str, host: String, container: String, verdict: Verdict) -> Difference {
    Difference { property: property.to_owned(), host, container, verdict }
}
