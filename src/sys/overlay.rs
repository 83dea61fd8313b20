//! What overlay knows of files, looked at from outside: which filesystem a path is on, and whether a
//! directory hides the ones below it.
//!
//! The kernel's `filesystems/overlayfs`: an attribute `overlay.opaque` with the value `y`, in the namespace
//! `trusted.` that takes root to read, or in `user.` where the overlay was mounted with `userxattr`.
//! Like all looking, it is not told.

use std::path::Path;

use nix::NixPath;
use nix::libc;

/// The number of the filesystem that a path is on; None where nothing is there.
pub fn filesystem_at(path: &Path) -> Option<i64> {
    let answer = nix::sys::statfs::statfs(path).ok()?;
    #[allow(clippy::unnecessary_cast)]
    Some(answer.filesystem_type().0 as i64)
}

/// Whether a directory of a layer is opaque: what lower layers have in it is not to be seen.
pub fn is_opaque(path: &Path) -> bool {
    [c"trusted.overlay.opaque", c"user.overlay.opaque"].into_iter().any(|name| is_yes(path, name))
}

fn is_yes(path: &Path, name: &std::ffi::CStr) -> bool {
    let mut value = [0u8; 1];
    // SAFETY: both strings end in NUL, and the call writes one byte at most.
    let size = path.with_nix_path(|path| unsafe {
        libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    });
    size == Ok(1) && value == *b"y"
}
