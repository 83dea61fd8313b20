//! Making a tree of files: copying, linking, dating, and walking one to remove it.
//!
//! sendfile(2), linkat(2), utimensat(2), unlinkat(2). A root filesystem is copied by the thousand
//! files, so most of this is called in bulk: see [`Kernel::bulk`].

use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::libc;

use super::kernel::{At, Fd, Kernel, Syscall};
use super::{Fchownat, Openat, Openat2, Unlinkat};
use crate::error::{Error, Result};
use crate::event::{Arg, Args};

/// sendfile(2): bytes from one file to another without a detour through this process.
#[derive(Debug)]
pub struct Sendfile<'a> {
    pub to: &'a Fd,
    pub from: &'a Fd,
    pub count: usize,
}

impl Syscall for Sendfile<'_> {
    const NAME: &'static str = "sendfile";
    type Answer = usize;

    fn args(&self) -> Args {
        Args::new()
            .with("out_fd", self.to.at().arg())
            .with("in_fd", self.from.at().arg())
            .with("offset", Arg::Null)
            .with("count", Arg::Int(self.count as i64))
    }

    fn perform(&self) -> Result<usize, Errno> {
        // SAFETY: both descriptors are open while they are borrowed; no offset is given.
        let sent = unsafe {
            let (to, from) = (self.to.as_raw_fd(), self.from.as_raw_fd());
            libc::sendfile(to, from, std::ptr::null_mut(), self.count)
        };
        Errno::result(sent).map(|sent| sent as usize)
    }
}

/// linkat(2), without following the last name: a second name for a file.
#[derive(Debug)]
pub struct Linkat<'a> {
    pub from_dir: At<'a>,
    pub from: &'a Path,
    pub dir: At<'a>,
    pub path: &'a Path,
}

impl Syscall for Linkat<'_> {
    const NAME: &'static str = "linkat";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("olddirfd", self.from_dir.arg())
            .with("oldpath", Arg::path(self.from))
            .with("newdirfd", self.dir.arg())
            .with("newpath", Arg::path(self.path))
            .with("flags", Arg::Flags(vec![]))
    }

    fn perform(&self) -> Result<(), Errno> {
        use nix::NixPath;
        let answer = self.from.with_nix_path(|from| {
            self.path.with_nix_path(|to| {
                let (from_dir, dir) = (self.from_dir.raw(), self.dir.raw());
                // SAFETY: both strings end in NUL and live until the call returns.
                unsafe { libc::linkat(from_dir, from.as_ptr(), dir, to.as_ptr(), 0) }
            })
        })??;
        Errno::result(answer).map(drop)
    }
}

/// utimensat(2) with one time, in seconds since 1970, for access and change; links not followed.
#[derive(Debug)]
pub struct Utimensat<'a> {
    pub dir: At<'a>,
    pub path: &'a Path,
    pub seconds: i64,
}

impl Syscall for Utimensat<'_> {
    const NAME: &'static str = "utimensat";
    type Answer = ();

    fn args(&self) -> Args {
        let time = || {
            let fields = Args::new().with("tv_sec", Arg::Int(self.seconds));
            Arg::Struct(fields.with("tv_nsec", Arg::Int(0)))
        };
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", Arg::path(self.path))
            .with("times", Arg::List(vec![time(), time()]))
            .with("flags", Arg::Flags(vec!["AT_SYMLINK_NOFOLLOW".into()]))
    }

    fn perform(&self) -> Result<(), Errno> {
        use nix::NixPath;
        let time = libc::timespec { tv_sec: self.seconds, tv_nsec: 0 };
        let times = [time, time];
        // SAFETY: the string ends in NUL, the two times live until the call returns.
        let answer = self.path.with_nix_path(|path| unsafe {
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            libc::utimensat(self.dir.raw(), path.as_ptr(), times.as_ptr(), flags)
        })?;
        Errno::result(answer).map(drop)
    }
}

/// Copies what `from` holds to the end of `to`: the number of bytes.
pub fn copy(k: &Kernel, from: &Fd, to: &Fd, size: usize) -> Result<usize> {
    let mut copied = 0;
    while copied < size {
        match k.call(Sendfile { to, from, count: size - copied })? {
            // The file became shorter meanwhile, or this is only pretended.
            0 => break,
            sent => copied += sent,
        }
    }
    Ok(copied)
}

/// A directory below another that is no mount point: what is mounted there belongs to somebody else.
fn within<'a>(dir: At<'a>, path: &'a Path) -> Openat2<'a> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let resolve = ResolveFlag::RESOLVE_NO_XDEV;
    Openat2 { dir, path, flags, mode: 0, resolve }
}

fn in_the_way(dir: &Fd, path: &Path) -> Error {
    let above = super::look::link(dir.proc_path()).unwrap_or_default();
    let place = above.join(path).display().to_string();
    Error::yours(format!("something is mounted on {place}"))
        .because("taking the tree away would take away what is mounted there")
        .try_this(format!("umount {place}, and then learnc clean"))
}

/// Gives a directory and all that is in it to another user and group, without following links.
pub fn give_tree(k: &Kernel, path: &Path, uid: u32, gid: u32) -> Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    give(k, k.call(Openat { dir: At::CWD, path, flags, mode: 0 })?, uid, gid)?;
    k.call(Fchownat { dir: At::CWD, path, uid, gid })
}

fn give(k: &Kernel, dir: Fd, uid: u32, gid: u32) -> Result<()> {
    for (name, is_dir) in super::look::entries(&dir)? {
        let path = Path::new(&name);
        if is_dir {
            give(k, k.call(within(dir.at(), path))?, uid, gid)?;
        }
        k.call(Fchownat { dir: dir.at(), path, uid, gid })?;
    }
    Ok(())
}

/// Removes a directory with all that is in it, without following links. The answer is false if
/// it was not there.
pub fn remove_tree(k: &Kernel, path: &Path) -> Result<bool> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let dir = match k.ask(Openat { dir: At::CWD, path, flags, mode: 0 }, &[Errno::ENOENT]) {
        Err(e) if e.errno() == Some(Errno::ENOENT) => return Ok(false),
        other => other?,
    };
    empty(k, dir)?;
    k.call(Unlinkat { dir: At::CWD, path, directory: true })?;
    Ok(true)
}

fn empty(k: &Kernel, dir: Fd) -> Result<()> {
    for (name, is_dir) in super::look::entries(&dir)? {
        let path = Path::new(&name);
        if is_dir {
            let inside = k.call(within(dir.at(), path)).map_err(|e| match e.errno() {
                Some(Errno::EXDEV) => in_the_way(&dir, path),
                _ => e,
            })?;
            empty(k, inside)?;
        }
        k.call(Unlinkat { dir: dir.at(), path, directory: is_dir })?;
    }
    Ok(())
}
