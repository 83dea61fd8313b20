//! Mounts and roots: mount(2), umount2(2), pivot_root(2), chroot(2), chdir(2), fchdir(2).

use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags};

use super::descriptor::Fd;
use super::kernel::Syscall;
use crate::args::{Arg, Args};

/// A file named by its path, or by a descriptor that reached it safely.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    Path(&'a Path),
    Fd(&'a Fd),
}

impl Place<'_> {
    fn arg(&self) -> Arg {
        match self {
            Place::Path(path) => Arg::path(path),
            Place::Fd(fd) => Arg::FdPath(fd.raw(), None),
        }
    }

    fn with_c_str<T>(&self, f: impl FnOnce(&std::ffi::CStr) -> T) -> Result<T, Errno> {
        match self {
            Place::Path(path) => path.with_nix_path(f),
            Place::Fd(fd) => fd.proc_path().as_str().with_nix_path(f),
        }
    }
}

impl<'a> From<&'a str> for Place<'a> {
    fn from(path: &'a str) -> Place<'a> {
        Place::Path(Path::new(path))
    }
}

/// mount(2): attaches a filesystem, binds a tree, moves one, or changes flags, depending on `flags`.
#[derive(Debug)]
pub struct Mount<'a> {
    pub source: Option<Place<'a>>,
    pub target: Place<'a>,
    pub fstype: Option<&'a str>,
    pub flags: MsFlags,
    pub data: Option<&'a str>,
}

impl Syscall for Mount<'_> {
    const NAME: &'static str = "mount";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("source", self.source.as_ref().map_or(Arg::Null, Place::arg))
            .with("target", self.target.arg())
            .with("filesystemtype", Arg::optional(self.fstype))
            .with("mountflags", Arg::flags(self.flags))
            .with("data", Arg::optional(self.data))
    }

    fn perform(&self) -> Result<(), Errno> {
        let optional = |text: Option<&str>, f: &mut dyn FnMut(*const libc::c_char)| match text {
            None => {
                f(std::ptr::null());
                Ok(())
            }
            Some(text) => text.with_nix_path(|c| f(c.as_ptr())),
        };
        let mut result = Ok(0);
        let mut call = |source: *const libc::c_char| {
            self.target.with_c_str(|target| {
                optional(self.fstype, &mut |fstype| {
                    let _ = optional(self.data, &mut |data| {
                        // SAFETY: each pointer is null or a NUL-terminated string that lives
                        // until the call returns.
                        let answer = unsafe {
                            libc::mount(
                                source,
                                target.as_ptr(),
                                fstype,
                                self.flags.bits(),
                                data.cast(),
                            )
                        };
                        result = Errno::result(answer);
                    })
                    .map_err(|e| result = Err(e));
                })
            })
        };
        match &self.source {
            None => call(std::ptr::null())??,
            Some(source) => source.with_c_str(|c| call(c.as_ptr()))???,
        }
        result.map(drop)
    }
}

/// umount2(2): detaches a mount. With `MNT_DETACH` at once for new look-ups, for users of open
/// files when they are done.
#[derive(Debug)]
pub struct Umount2<'a> {
    pub target: Place<'a>,
    pub flags: MntFlags,
}

impl Syscall for Umount2<'_> {
    const NAME: &'static str = "umount2";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("target", self.target.arg()).with("flags", Arg::flags(self.flags))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call = |c: &std::ffi::CStr| unsafe { libc::umount2(c.as_ptr(), self.flags.bits()) };
        Errno::result(self.target.with_c_str(call)?).map(drop)
    }
}

/// pivot_root(2): the new root takes the place of the old, which goes to `put_old`.
#[derive(Debug)]
pub struct PivotRoot<'a> {
    pub new_root: &'a Path,
    pub put_old: &'a Path,
}

impl Syscall for PivotRoot<'_> {
    const NAME: &'static str = "pivot_root";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("new_root", Arg::path(self.new_root))
            .with("put_old", Arg::path(self.put_old))
    }

    fn perform(&self) -> Result<(), Errno> {
        nix::unistd::pivot_root(self.new_root, self.put_old)
    }
}

/// chroot(2): where `/` starts for this process. Nothing else changes, not even the cwd.
#[derive(Debug)]
pub struct Chroot<'a> {
    pub path: &'a Path,
}

impl Syscall for Chroot<'_> {
    const NAME: &'static str = "chroot";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("path", Arg::path(self.path))
    }

    fn perform(&self) -> Result<(), Errno> {
        nix::unistd::chroot(self.path)
    }
}

/// chdir(2).
#[derive(Debug)]
pub struct Chdir<'a> {
    pub path: &'a Path,
}

impl Syscall for Chdir<'_> {
    const NAME: &'static str = "chdir";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("path", Arg::path(self.path))
    }

    fn perform(&self) -> Result<(), Errno> {
        nix::unistd::chdir(self.path)
    }
}

/// fchdir(2).
#[derive(Debug)]
pub struct Fchdir<'a> {
    pub fd: &'a Fd,
}

impl Syscall for Fchdir<'_> {
    const NAME: &'static str = "fchdir";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("fd", self.fd.at().arg())
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: takes a number, touches no memory of ours.
        Errno::result(unsafe { libc::fchdir(self.fd.raw()) }).map(drop)
    }
}
