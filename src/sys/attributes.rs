//! What a file is besides its contents' bytes, and how they come to rest: fchmod(2), ftruncate(2),
//! pwrite(2), lsetxattr(2), syncfs(2).
//!
//! Layers of images have files with holes, extended attributes and times of nanoseconds. All of it is set
//! on an open file, but for attributes: links, fifos and devices cannot be opened to have some, so these
//! go by a name in an open directory, through /proc/self/fd.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::errno::Errno;
use nix::libc;

use super::descriptor::Fd;
use super::kernel::Syscall;
use crate::args::{Arg, Args};
use crate::error::Result as Checked;

/// fchmod(2): permission bits of an open file.
#[derive(Debug)]
pub struct Fchmod<'a> {
    pub fd: &'a Fd,
    pub mode: u32,
}

impl Syscall for Fchmod<'_> {
    const NAME: &'static str = "fchmod";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("fd", self.fd.at().arg()).with("mode", Arg::Mode(self.mode))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: the descriptor is open while it is borrowed.
        Errno::result(unsafe { libc::fchmod(self.fd.raw(), self.mode) }).map(drop)
    }
}

/// ftruncate(2): how long a file is; what was never written is a hole.
#[derive(Debug)]
pub struct Ftruncate<'a> {
    pub fd: &'a Fd,
    pub length: i64,
}

impl Syscall for Ftruncate<'_> {
    const NAME: &'static str = "ftruncate";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("fd", self.fd.at().arg()).with("length", Arg::Int(self.length))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: the descriptor is open while it is borrowed.
        Errno::result(unsafe { libc::ftruncate(self.fd.raw(), self.length) }).map(drop)
    }
}

/// pwrite64, which pwrite(2) is: bytes at a place in a file.
#[derive(Debug)]
pub struct Pwrite64<'a> {
    pub fd: &'a Fd,
    pub data: &'a [u8],
    pub offset: i64,
}

impl Syscall for Pwrite64<'_> {
    const NAME: &'static str = "pwrite64";
    type Answer = usize;

    fn args(&self) -> Args {
        Args::new()
            .with("fd", self.fd.at().arg())
            .with("buf", Arg::bytes(self.data))
            .with("count", Arg::Int(self.data.len() as i64))
            .with("offset", Arg::Int(self.offset))
    }

    fn perform(&self) -> Result<usize, Errno> {
        let (data, count) = (self.data.as_ptr().cast(), self.data.len());
        // SAFETY: pointer and length are those of a live slice.
        let answer = unsafe { libc::pwrite(self.fd.raw(), data, count, self.offset) };
        Errno::result(answer).map(|n| n as usize)
    }
}

/// lsetxattr(2): an extended attribute of a name, which is not followed if it is a link.
#[derive(Debug)]
pub struct Lsetxattr<'a> {
    pub path: &'a Path,
    pub name: &'a OsStr,
    pub value: &'a [u8],
}

impl Syscall for Lsetxattr<'_> {
    const NAME: &'static str = "lsetxattr";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("path", Arg::path(self.path))
            .with("name", Arg::bytes(self.name.as_bytes()))
            .with("value", Arg::bytes(self.value))
            .with("size", Arg::Int(self.value.len() as i64))
            .with("flags", Arg::Int(0))
    }

    fn perform(&self) -> Result<(), Errno> {
        let (value, size) = (self.value.as_ptr().cast(), self.value.len());
        let call = |path: &std::ffi::CStr| {
            self.name.with_nix_path(|name| {
                // SAFETY: the strings end in NUL; pointer and length are those of a live slice.
                unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value, size, 0) }
            })
        };
        Errno::result(self.path.with_nix_path(call)??).map(drop)
    }
}

/// syncfs(2): waits until all that was written to a filesystem is on the disk.
#[derive(Debug)]
pub struct Syncfs<'a> {
    pub fd: &'a Fd,
}

impl Syscall for Syncfs<'_> {
    const NAME: &'static str = "syncfs";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("fd", self.fd.at().arg())
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: the descriptor is open while it is borrowed.
        Errno::result(unsafe { libc::syncfs(self.fd.raw()) }).map(drop)
    }
}

/// A name in an open directory as a path, for calls that take no descriptor.
pub fn path_in(dir: &Fd, name: &Path) -> PathBuf {
    Path::new(&dir.proc_path()).join(name)
}

/// The extended attributes of a path, which is not followed if it is a link: listxattr(2), getxattr(2).
pub fn attributes(path: &Path) -> Checked<Vec<(std::ffi::OsString, Vec<u8>)>> {
    let io = |e: Errno| std::io::Error::from(e);
    let names = filled(|place, size| {
        // SAFETY: the string ends in NUL, and the place has room for so many bytes.
        let call =
            |path: &std::ffi::CStr| unsafe { libc::llistxattr(path.as_ptr(), place.cast(), size) };
        path.with_nix_path(call)
    })
    .map_err(io)?;
    let mut all = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let value = filled(|place, size| {
            let call = |path: &std::ffi::CStr| {
                // SAFETY: as above.
                name.with_nix_path(|name| unsafe {
                    libc::lgetxattr(path.as_ptr(), name.as_ptr(), place.cast(), size)
                })
            };
            path.with_nix_path(call)?
        })
        .map_err(io)?;
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

/// Asks how much there is, and then for that.
fn filled(ask: impl Fn(*mut u8, usize) -> nix::Result<isize>) -> nix::Result<Vec<u8>> {
    let size = Errno::result(ask(std::ptr::null_mut(), 0)?)? as usize;
    let mut bytes = vec![0; size];
    let size = Errno::result(ask(bytes.as_mut_ptr(), size)?)? as usize;
    bytes.truncate(size);
    Ok(bytes)
}
