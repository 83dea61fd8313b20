//! Whether layers can be joined by overlay on this machine.
//!
//! The kernel's `filesystems/overlayfs`. Three things decide: whether this kernel has it, whether root of
//! a user namespace may mount it (since Linux 5.11), and on which filesystem the folder of the runs lies: what is
//! written goes there, and not every filesystem can hold that. Another overlay cannot.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine;
use crate::sys::{look, overlay};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlay {
    /// The kernel has it, or would load it when asked.
    pub known: bool,
    /// … and lets root of a user namespace mount it.
    pub in_user_namespaces: bool,
    /// The filesystem on which runs have their folders, where that cannot hold an upper directory.
    pub folder_on: Option<String>,
}

/// Filesystems that are refused for an upper directory, by their numbers in linux/magic.h.
const REFUSED: &[(i64, &str)] = &[
    (0x794c_7630, "overlay"),
    (0x6969, "nfs"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0xf15f, "ecryptfs"),
    (0x0102_1997, "9p"),
];

/// For runs that have their folder at this path, which need not be there yet.
pub fn read(folder: &Path) -> Overlay {
    let kernel = look::read_if_there("/proc/sys/kernel/osrelease").unwrap_or_default();
    let known = look::read_if_there("/proc/filesystems").unwrap_or_default();
    let known = machine::filesystems(&known, kernel.trim());
    let magic = folder.ancestors().find_map(overlay::filesystem_at);
    let refused = REFUSED.iter().find(|(number, _)| Some(*number) == magic);
    Overlay {
        known: known.iter().any(|name| name == "overlay"),
        in_user_namespaces: machine::version(&kernel) >= (5, 11),
        folder_on: refused.map(|(_, name)| (*name).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_on_the_filesystem_above() {
        let there = read(&std::env::temp_dir());
        assert_eq!(read(&std::env::temp_dir().join("not/there/yet")), there);
        assert_eq!(read(Path::new("/proc/self/not-there")).folder_on, None);
    }
}
