//! Making a tree of files: copying, linking, dating, and walking one to remove it.
//!
//! sendfile(2), linkat(2), utimensat(2), unlinkat(2), openat2(2). A root filesystem is copied by the
//! thousand files, so most of this is called in bulk: see [`Kernel::bulk`].
//!
//! A tree is given away and removed with RESOLVE_NO_XDEV: whoever visits it as root may mount what is
//! dear to them in there, and the kernel itself then refuses to go on from the tree to that.

use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, ResolveFlag};
use nix::libc;

use super::descriptor::{At, Fd};
use super::kernel::{Kernel, Syscall};
use super::{Fchmod, Fchmodat, Fchownat, Openat, Openat2, Unlinkat};
use crate::error::{Error, Result, ignore};
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

/// utimensat(2) with one time, since 1970, for access and change; links not followed. Without a path it is
/// the open file's own.
#[derive(Debug)]
pub struct Utimensat<'a> {
    pub dir: At<'a>,
    pub path: Option<&'a Path>,
    pub seconds: i64,
    pub nanos: u32,
}

impl Utimensat<'_> {
    fn flags(&self) -> i32 {
        if self.path.is_some() { libc::AT_SYMLINK_NOFOLLOW } else { 0 }
    }
}

impl Syscall for Utimensat<'_> {
    const NAME: &'static str = "utimensat";
    type Answer = ();

    fn args(&self) -> Args {
        let time = || {
            let fields = Args::new().with("tv_sec", Arg::Int(self.seconds));
            Arg::Struct(fields.with("tv_nsec", Arg::Int(self.nanos.into())))
        };
        Args::new()
            .with("dirfd", self.dir.arg())
            .with("pathname", self.path.map_or(Arg::Null, Arg::path))
            .with("times", Arg::List(vec![time(), time()]))
            .with("flags", Arg::flags(AtFlags::from_bits_retain(self.flags())))
    }

    fn perform(&self) -> Result<(), Errno> {
        use nix::NixPath;
        let time = libc::timespec { tv_sec: self.seconds, tv_nsec: self.nanos.into() };
        let times = [time, time];
        let call = |path: *const libc::c_char| {
            let (dir, flags) = (self.dir.raw(), self.flags());
            // SAFETY: the path is a string that ends in NUL, or none; the two times live until the call
            // returns. The C library's own function takes no null pointer.
            unsafe { libc::syscall(libc::SYS_utimensat, dir, path, times.as_ptr(), flags) }
        };
        let answer = match self.path {
            Some(path) => path.with_nix_path(|path| call(path.as_ptr()))?,
            None => call(std::ptr::null()),
        };
        Errno::result(answer).map(drop)
    }
}

/// As much as is copied before one looks whether that is still wanted.
const PIECE: usize = 64 << 20;

/// Copies what `from` holds to the end of `to`: the number of bytes.
pub fn copy(k: &Kernel, from: &Fd, to: &Fd, size: usize) -> Result<usize> {
    let mut copied = 0;
    while copied < size {
        match k.call(Sendfile { to, from, count: PIECE.min(size - copied) })? {
            // The file became shorter meanwhile, or this is only pretended.
            0 => break,
            sent => copied += sent,
        }
        if copied < size {
            super::stop::go_on()?;
        }
    }
    Ok(copied)
}

/// Gives a directory and all that is in it to another user and group, without following links, and
/// without entering what is mounted in there.
pub fn give_tree(k: &Kernel, path: &Path, uid: u32, gid: u32) -> Result<()> {
    give(k, open_tree(k, path)?, uid, gid)
}

/// By its own descriptor: a name would lead to what is mounted there.
fn give(k: &Kernel, file: Fd, uid: u32, gid: u32) -> Result<()> {
    if super::look::is_open_dir(&file)? {
        for (name, is_dir) in super::look::entries(&file)? {
            super::stop::go_on()?;
            let kind = if is_dir { OFlag::O_DIRECTORY } else { OFlag::O_PATH };
            give(k, enter(k, &file, Path::new(&name), kind)?, uid, gid)?;
        }
    }
    k.call(Fchownat { dir: file.at(), path: Path::new(""), uid, gid })
}

/// Removes a directory with all that is in it, without following links. The answer is false if
/// it was not there.
///
/// # Errors
/// What somebody has mounted in there is not removed, nor what it is mounted on.
pub fn remove_tree(k: &Kernel, path: &Path) -> Result<bool> {
    let tree = match open_tree(k, path) {
        Err(e) if e.errno() == Some(Errno::ENOENT) => return Ok(false),
        other => other?,
    };
    empty(k, tree)?;
    let call = Unlinkat { dir: At::CWD, path, directory: true };
    k.ask(call, &[Errno::ENOENT]).or_else(ignore(Errno::ENOENT))?;
    Ok(true)
}

/// Removes a name in a directory, with all that is in it if it is a directory itself.
pub fn remove_in(k: &Kernel, dir: &Fd, path: &Path, is_dir: bool) -> Result<()> {
    // Somebody else may be at it, too: what is gone is gone.
    let is_gone = |e: &Error| e.errno() == Some(Errno::ENOENT);
    if is_dir {
        match enter_to_empty(k, dir, path) {
            Err(e) if is_gone(&e) => return Ok(()),
            entered => empty(k, entered?)?,
        }
    }
    match k.ask(Unlinkat { dir: dir.at(), path, directory: is_dir }, &[Errno::ENOENT]) {
        Err(e) if is_gone(&e) => Ok(()),
        // A file can be mounted on, too.
        Err(e) if e.errno() == Some(Errno::EBUSY) => enter(k, dir, path, OFlag::O_PATH).and(Err(e)),
        other => other,
    }
}

/// Whoever is not root cannot take away what is in a directory that is closed to them, though it is theirs.
fn enter_to_empty(k: &Kernel, dir: &Fd, path: &Path) -> Result<Fd> {
    const OPEN: u32 = 0o700;
    let entered = match enter(k, dir, path, OFlag::O_DIRECTORY) {
        Err(e) if e.errno() == Some(Errno::EACCES) => {
            k.call(Fchmodat { dir: dir.at(), path, mode: OPEN })?;
            enter(k, dir, path, OFlag::O_DIRECTORY)?
        }
        other => other?,
    };
    if super::look::ids().0 != 0 && super::look::stat(&entered)?.st_mode & OPEN != OPEN {
        k.call(Fchmod { fd: &entered, mode: OPEN })?;
    }
    Ok(entered)
}

fn empty(k: &Kernel, dir: Fd) -> Result<()> {
    for (name, is_dir) in super::look::entries(&dir)? {
        remove_in(k, &dir, Path::new(&name), is_dir)?;
    }
    Ok(())
}

/// On the way to a tree there may be mounts. On the tree itself there is none if `..` leads out of it
/// on the same one.
fn open_tree(k: &Kernel, path: &Path) -> Result<Fd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let tree = k.ask(Openat { dir: At::CWD, path, flags, mode: 0 }, &[Errno::ENOENT])?;
    enter(k, &tree, Path::new(".."), OFlag::O_PATH)?;
    Ok(tree)
}

/// Opens a name in a directory, unless something is mounted on it. To compare devices would not do: a
/// bind mount has that of its source.
fn enter(k: &Kernel, dir: &Fd, path: &Path, kind: OFlag) -> Result<Fd> {
    let (flags, resolve) = (kind | OFlag::O_NOFOLLOW, ResolveFlag::RESOLVE_NO_XDEV);
    let call = Openat2 { dir: dir.at(), path, flags, mode: 0, resolve };
    k.ask(call, &[Errno::ENOENT, Errno::EXDEV, Errno::EACCES]).map_err(|e| match e.errno() {
        Some(Errno::EXDEV) => is_a_mount(dir, path),
        _ => e,
    })
}

/// From a mount, `..` leads out: then it is the directory itself that is one.
fn is_a_mount(dir: &Fd, path: &Path) -> Error {
    let dir = super::look::link(dir.proc_path()).unwrap_or_default();
    let place = if path == Path::new("..") { dir } else { dir.join(path) };
    let umount = format!("umount {}, then learnc clean", crate::args::shell(&place));
    Error::yours(format!("something is mounted on {}", place.display()))
        .because("what is in there belongs to whoever mounted it, so it is left alone")
        .try_this(umount)
}
