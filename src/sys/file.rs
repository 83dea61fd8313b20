//! Files: openat(2), openat2(2), write(2), mkdirat(2), symlinkat(2), mknodat(2), fchmodat(2),
//! fchownat(2), unlinkat(2), renameat(2), ftruncate(2).

use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, ResolveFlag};
use nix::libc;
use nix::sys::stat::SFlag;

use super::{At, Fd, Syscall};
use crate::args::{Arg, Args};

/// openat(2), for descriptors that are acted on. `O_CLOEXEC` is always added.
#[derive(Debug)]
pub struct Openat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub flags: OFlag,
    /// Permission bits of a file that is created.
    pub mode: u32,
}

impl Openat<'_> {
    fn flags(&self) -> OFlag {
        self.flags | OFlag::O_CLOEXEC
    }
}

/// O_RDONLY is 0 and O_LARGEFILE noise: the names that a reader expects.
fn open_flags(flags: OFlag) -> Arg {
    let access = match flags & OFlag::O_ACCMODE {
        OFlag::O_WRONLY => "O_WRONLY",
        OFlag::O_RDWR => "O_RDWR",
        _ => "O_RDONLY",
    };
    let Arg::Flags(rest) = Arg::flags(flags & !OFlag::O_ACCMODE) else { unreachable!() };
    let known = |n: &str| !matches!(n, "O_FSYNC" | "O_NDELAY" | "O_ACCMODE" | "O_RSYNC");
    let mut names = vec![access.into()];
    names.extend(rest.into_iter().filter(|n| known(n)));
    Arg::Flags(names)
}

impl Syscall for Openat<'_> {
    const NAME: &'static str = "openat";
    type Answer = Fd;

    fn args(&self) -> Args {
        let args = Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("flags", open_flags(self.flags()));
        match self.flags.contains(OFlag::O_CREAT) {
            true => args.with("mode", Arg::Mode(self.mode)),
            false => args,
        }
    }

    fn perform(&self) -> Result<Fd, Errno> {
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call = |c: &std::ffi::CStr| unsafe {
            libc::openat(self.dir.raw(), c.as_ptr(), self.flags().bits(), self.mode)
        };
        let fd = Errno::result(self.path.with_nix_path(call)?)?;
        // SAFETY: the kernel just gave it to us.
        Ok(unsafe { Fd::own(fd) })
    }

    fn opens(&self) -> Option<String> {
        Some(if self.path.is_absolute() {
            self.path.display().to_string()
        } else {
            self.dir.join(self.path)
        })
    }
}

/// openat2(2): opens below a directory, and holds the kernel to a promise about where the path
/// may lead.
#[derive(Debug)]
pub struct Openat2<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub flags: OFlag,
    pub mode: u32,
    pub resolve: ResolveFlag,
}

impl Syscall for Openat2<'_> {
    const NAME: &'static str = "openat2";
    type Answer = Fd;

    fn args(&self) -> Args {
        let mut how = Args::new().with("flags", open_flags(self.flags | OFlag::O_CLOEXEC));
        if self.flags.contains(OFlag::O_CREAT) {
            how = how.with("mode", Arg::Mode(self.mode));
        }
        how = how.with("resolve", Arg::flags(self.resolve));
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("how", Arg::Struct(how))
            .with("size", Arg::Int(size_of::<libc::open_how>() as i64))
    }

    fn perform(&self) -> Result<Fd, Errno> {
        // SAFETY: open_how is plain numbers, for which all zeroes is a valid value.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (self.flags | OFlag::O_CLOEXEC).bits() as u64;
        how.mode = if self.flags.contains(OFlag::O_CREAT) { self.mode.into() } else { 0 };
        how.resolve = self.resolve.bits();
        // SAFETY: the path and the structure live until the call returns.
        let call = |c: &std::ffi::CStr| unsafe {
            libc::syscall(libc::SYS_openat2, self.dir.raw(), c.as_ptr(), &how, size_of_val(&how))
        };
        let fd = Errno::result(self.path.with_nix_path(call)?)?;
        // SAFETY: the kernel just gave it to us.
        Ok(unsafe { Fd::own(fd as i32) })
    }

    fn opens(&self) -> Option<String> {
        let below = self.path.strip_prefix("/").unwrap_or(self.path);
        Some(self.dir.join(below))
    }
}

/// write(2), of bytes that mean something to the kernel or outlive the process.
#[derive(Debug)]
pub struct Write<'a> {
    pub fd: &'a Fd,
    pub data: &'a [u8],
}

impl Syscall for Write<'_> {
    const NAME: &'static str = "write";
    type Answer = usize;

    fn args(&self) -> Args {
        Args::new()
            .with("fd", self.fd.at().arg())
            .with("buf", Arg::bytes(self.data))
            .with("count", Arg::Int(self.data.len() as i64))
    }

    fn perform(&self) -> Result<usize, Errno> {
        // SAFETY: pointer and length are those of a live slice.
        let answer =
            unsafe { libc::write(self.fd.raw(), self.data.as_ptr().cast(), self.data.len()) };
        Errno::result(answer).map(|n| n as usize)
    }
}

/// mkdirat(2).
#[derive(Debug)]
pub struct Mkdirat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub mode: u32,
}

impl Syscall for Mkdirat<'_> {
    const NAME: &'static str = "mkdirat";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("mode", Arg::Mode(self.mode))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call =
            |c: &std::ffi::CStr| unsafe { libc::mkdirat(self.dir.raw(), c.as_ptr(), self.mode) };
        Errno::result(self.path.with_nix_path(call)?).map(drop)
    }
}

/// symlinkat(2).
#[derive(Debug)]
pub struct Symlinkat<'a> {
    pub target: &'a Path,
    pub dir: At<'a>,
    pub path: &'a Path,
}

impl Syscall for Symlinkat<'_> {
    const NAME: &'static str = "symlinkat";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("target", Arg::path(self.target))
            .with("newdirfd", self.dir.arg())
            .with("linkpath", Arg::path(self.path))
    }

    fn perform(&self) -> Result<(), Errno> {
        let call = |target: &std::ffi::CStr| {
            self.path.with_nix_path(|path| {
                // SAFETY: both paths are NUL-terminated and live until the call returns.
                unsafe { libc::symlinkat(target.as_ptr(), self.dir.raw(), path.as_ptr()) }
            })
        };
        Errno::result(self.target.with_nix_path(call)??).map(drop)
    }
}

/// mknodat(2): a device node, a fifo, or an empty file.
#[derive(Debug)]
pub struct Mknodat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub kind: SFlag,
    pub mode: u32,
    pub major: u32,
    pub minor: u32,
}

/// Kinds of file are numbers, not flags: S_IFBLK has the bits of S_IFCHR and S_IFDIR.
fn kind_name(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFCHR => "S_IFCHR",
        SFlag::S_IFBLK => "S_IFBLK",
        SFlag::S_IFIFO => "S_IFIFO",
        SFlag::S_IFSOCK => "S_IFSOCK",
        _ => "S_IFREG",
    }
}

impl Syscall for Mknodat<'_> {
    const NAME: &'static str = "mknodat";
    type Answer = ();

    fn args(&self) -> Args {
        let mode = Arg::Mode(self.mode).to_text().into();
        let args = Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("mode", Arg::Flags(vec![kind_name(self.kind).into(), mode]));
        match self.kind {
            SFlag::S_IFCHR | SFlag::S_IFBLK => {
                let dev = format!("makedev({:#x}, {:#x})", self.major, self.minor);
                args.with("dev", Arg::name(dev))
            }
            _ => args,
        }
    }

    fn perform(&self) -> Result<(), Errno> {
        let device = libc::makedev(self.major, self.minor);
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call = |c: &std::ffi::CStr| unsafe {
            libc::mknodat(self.dir.raw(), c.as_ptr(), self.kind.bits() | self.mode, device)
        };
        Errno::result(self.path.with_nix_path(call)?).map(drop)
    }
}

/// fchmodat(2).
#[derive(Debug)]
pub struct Fchmodat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub mode: u32,
}

impl Syscall for Fchmodat<'_> {
    const NAME: &'static str = "fchmodat";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("mode", Arg::Mode(self.mode))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call = |c: &std::ffi::CStr| unsafe {
            libc::syscall(libc::SYS_fchmodat, self.dir.raw(), c.as_ptr(), self.mode)
        };
        Errno::result(self.path.with_nix_path(call)?).map(drop)
    }
}

/// fchownat(2), of the name itself where it is a symbolic link; without a name, of the open file.
#[derive(Debug)]
pub struct Fchownat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub uid: u32,
    pub gid: u32,
}

impl Fchownat<'_> {
    fn flags(&self) -> AtFlags {
        let open = self.path.as_os_str().is_empty();
        if open { AtFlags::AT_EMPTY_PATH } else { AtFlags::AT_SYMLINK_NOFOLLOW }
    }
}

impl Syscall for Fchownat<'_> {
    const NAME: &'static str = "fchownat";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("owner", Arg::Int(self.uid.into()))
            .with("group", Arg::Int(self.gid.into()))
            .with("flags", Arg::flags(self.flags()))
    }

    fn perform(&self) -> Result<(), Errno> {
        let flags = self.flags().bits();
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call = |c: &std::ffi::CStr| unsafe {
            libc::fchownat(self.dir.raw(), c.as_ptr(), self.uid, self.gid, flags)
        };
        Errno::result(self.path.with_nix_path(call)?).map(drop)
    }
}

/// unlinkat(2): removes a file, or an empty directory.
#[derive(Debug)]
pub struct Unlinkat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub directory: bool,
}

impl Syscall for Unlinkat<'_> {
    const NAME: &'static str = "unlinkat";
    type Answer = ();

    fn args(&self) -> Args {
        let flags = if self.directory { vec!["AT_REMOVEDIR".into()] } else { vec![] };
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("flags", Arg::Flags(flags))
    }

    fn perform(&self) -> Result<(), Errno> {
        let flags = if self.directory { libc::AT_REMOVEDIR } else { 0 };
        // SAFETY: the path is NUL-terminated and lives until the call returns.
        let call =
            |c: &std::ffi::CStr| unsafe { libc::unlinkat(self.dir.raw(), c.as_ptr(), flags) };
        Errno::result(self.path.with_nix_path(call)?).map(drop)
    }
}

/// renameat(2): gives a finished file its name in one moment.
#[derive(Debug)]
pub struct Renameat<'a> {
    pub from: &'a Path,
    pub to: &'a Path,
}

impl Syscall for Renameat<'_> {
    const NAME: &'static str = "renameat";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("olddirfd", At::CWD.arg())
            .with("oldpath", Arg::path(self.from))
            .with("newdirfd", At::CWD.arg())
            .with("newpath", Arg::path(self.to))
    }

    fn perform(&self) -> Result<(), Errno> {
        nix::fcntl::renameat(nix::fcntl::AT_FDCWD, self.from, nix::fcntl::AT_FDCWD, self.to)
    }
}
