//! Writing a whole file, composed of calls: openat, write, (close).
//!
//! Nothing here is a call of its own: each is reported as the kernel got it, and only the renderer
//! folds the two into one line. Files of procfs, sysfs and cgroupfs take a value in one write.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::descriptor::At;
use super::file::{Openat, Write};
use super::kernel::Kernel;
use crate::error::{Error, Result};

/// Writes `data` to an existing file, in one write.
pub fn write_file(k: &Kernel, dir: At, path: &Path, data: &str) -> Result<()> {
    let fd = k.call(Openat { dir, path, flags: OFlag::O_WRONLY, mode: 0 })?;
    write_all(k, Write { fd: &fd, data: data.as_bytes() })
}

/// Writes `data` to a file that is not there yet, or replaces what it held.
pub fn write_new_file(k: &Kernel, dir: At, path: &Path, data: &[u8], mode: u32) -> Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW;
    let fd = k.call(Openat { dir, path, flags, mode })?;
    write_all(k, Write { fd: &fd, data })
}

fn write_all(k: &Kernel, call: Write) -> Result<()> {
    let (expected, name, args) = (call.data.len(), "write", super::Syscall::args(&call));
    let written = k.call(call)?;
    if written != expected && !k.pretends() {
        return Err(Error::refused(name, args, Errno::EIO)
            .because(format!("only {written} of {expected} bytes were taken")));
    }
    Ok(())
}
