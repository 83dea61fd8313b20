//! Descriptors, open(2): one of this process's own, and a place from which a path starts.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::args::Arg;

/// A descriptor that is closed when dropped.
#[derive(Debug)]
pub struct Fd(Option<OwnedFd>, RawFd);

impl Fd {
    /// Takes over a descriptor that the kernel just handed out.
    ///
    /// # Safety
    /// `raw` must be open and owned by nobody else.
    pub unsafe fn own(raw: RawFd) -> Fd {
        // SAFETY: the caller promises that it is open and ours alone.
        Fd(Some(unsafe { OwnedFd::from_raw_fd(raw) }), raw)
    }

    /// A stand-in with a number that no descriptor has.
    pub(super) fn pretended(n: RawFd) -> Fd {
        Fd(None, n)
    }

    pub fn raw(&self) -> RawFd {
        self.1
    }

    pub fn at(&self) -> At<'_> {
        At(self.1, PhantomData)
    }

    /// None when it was only pretended.
    pub fn into_owned(self) -> Option<OwnedFd> {
        self.0
    }

    /// The path by which this process reaches the open file itself, whatever happened to its name.
    /// See proc_pid_fd(5).
    pub fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.1)
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open for as long as `self` lives; a pretended one is no descriptor at all, and
        // the kernel answers EBADF to its number.
        unsafe { BorrowedFd::borrow_raw(self.1) }
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.1
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Fd {
        let raw = fd.as_raw_fd();
        Fd(Some(fd), raw)
    }
}

/// Where a relative path starts: a directory's descriptor, or the current directory.
#[derive(Debug, Clone, Copy)]
pub struct At<'a>(RawFd, PhantomData<BorrowedFd<'a>>);

impl At<'_> {
    pub const CWD: At<'static> = At(nix::libc::AT_FDCWD, PhantomData);

    pub fn raw(self) -> RawFd {
        self.0
    }

    pub fn arg(self) -> Arg {
        Arg::Fd(self.0, None)
    }

    /// How a file found from here is called; resolved by the kernel value that knows the names.
    pub fn join(self, path: &std::path::Path) -> String {
        let path = path.display();
        if self.0 == nix::libc::AT_FDCWD {
            path.to_string()
        } else {
            format!("fd:{}/{path}", self.0)
        }
    }
}
