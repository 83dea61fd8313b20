//! A cgroup of one's own, from systemd.
//!
//! systemd-run(1), `Delegate=` in systemd.resource-control(5). On a desktop a login shell sits in a
//! cgroup that belongs to root, so whoever is not root can limit nothing. But each user has a
//! service manager with a part of the tree, and it starts a program in a scope of that part when
//! asked. A process cannot be moved there afterwards: for that one must be allowed to write to the
//! first cgroup above both places. So learnc is started *again*, by execve, as
//! `systemd-run --user --scope -p Delegate=yes -- learnc …`.

use super::{Finding, cgroups};
use crate::cgroup::place::{Place, place};
use crate::facts::{Facts, Machine};

/// Set for the learnc that systemd started, which must not ask again.
pub const MARK: &str = "LEARNC_DELEGATED";

/// Whether there is a cgroup for a container here already.
pub fn is_needed(facts: &Facts) -> bool {
    matches!(place(&facts.cgroups, None, "x", &[]), Ok(Place::None(_)))
}

/// The words before learnc's own, if systemd can do it; what is in the way, if not.
pub fn command(facts: &Facts, machine: &Machine) -> Result<Vec<String>, Finding> {
    let finding = cgroups::nowhere(facts, machine);
    match (finding.case, &machine.systemd.run) {
        ("systemd_can_delegate", Some(run)) => {
            let options = ["--user", "--scope", "-q", "-p", "Delegate=yes", "--"];
            Ok(std::iter::once(run.as_str()).chain(options).map(str::to_owned).collect())
        }
        _ => Err(finding),
    }
}
