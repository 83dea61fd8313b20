//! Files that are whole or not there, and locks: fsync(2), rename(2), flock(2).
//!
//! A file gets its name in one moment, after all of it has reached the disk; then its folder is brought
//! to the disk as well, or a loss of power could take the name back. Locks are those of an open file:
//! they end with whoever holds them, whatever ends it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::error::{Error, Named, Result, ignore};
use crate::sys::{At, Kernel, Mkdirat, Openat, Renameat, Unlinkat, stop};

/// How long one waits before asking for a lock again. Asking in between, and not waiting in the kernel,
/// leaves it to signals to end the wait: who makes a container has them blocked.
const BETWEEN: Duration = Duration::from_millis(20);

/// How long a lock is held that is only held in passing.
const PATIENCE: Duration = Duration::from_secs(1);

/// A lock, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    /// None where calls are only shown, and where there is nothing to hold.
    _file: Option<Flock<File>>,
}

impl Hold {
    pub(super) fn none() -> Hold {
        Hold { _file: None }
    }

    pub(super) fn shared(k: &Kernel, path: &Path) -> Result<Hold> {
        Hold::wait(k, path, FlockArg::LockSharedNonblock)
    }

    pub(super) fn alone(k: &Kernel, path: &Path) -> Result<Hold> {
        Hold::wait(k, path, FlockArg::LockExclusiveNonblock)
    }

    /// Whether somebody has it for so long already that waiting may take a while.
    pub(super) fn is_held(k: &Kernel, path: &Path) -> Result<bool> {
        let mut file = open(k, path, OFlag::O_RDONLY | OFlag::O_CREAT)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock(file, FlockArg::LockExclusiveNonblock, path)? {
                Ok(_free) => return Ok(false),
                Err(_) if Instant::now() > until => return Ok(true),
                Err(again) => file = again,
            }
            pause()?;
        }
    }

    fn wait(k: &Kernel, path: &Path, how: FlockArg) -> Result<Hold> {
        let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
        let opened = k.call(Openat { dir: At::CWD, path, flags, mode: 0o644 })?;
        let Some(file) = opened.into_owned() else { return Ok(Hold { _file: None }) };
        let mut file = File::from(file);
        loop {
            match lock(file, how, path)? {
                Ok(held) => return Ok(Hold { _file: Some(held) }),
                Err(again) => file = again,
            }
            pause()?;
        }
    }
}

/// Asks for a lock once: the file back if somebody else has it.
pub(super) fn lock(file: File, how: FlockArg, path: &Path) -> Result<Result<Flock<File>, File>> {
    match Flock::lock(file, how) {
        Ok(held) => Ok(Ok(held)),
        Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(Err(file)),
        Err((_, errno)) => {
            Err(Error::from(std::io::Error::from(errno)).at(path.display().to_string()))
        }
    }
}

pub(super) fn pause() -> Result<()> {
    stop::go_on()?;
    std::thread::sleep(BETWEEN);
    Ok(())
}

/// Opens a file of the store; links are not followed.
pub(super) fn open(k: &Kernel, path: &Path, flags: OFlag) -> Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW;
    let opened = k.call(Openat { dir: At::CWD, path, flags, mode: 0o644 })?;
    opened.into_owned().map(File::from).ok_or_else(pretended)
}

fn pretended() -> Error {
    Error::yours("a store of images cannot be pretended")
}

/// Makes a folder, and those above it, unless they are there. Only the last has the mode.
pub(super) fn directories(k: &Kernel, path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        directories(k, parent, 0o755)?;
    }
    directory(k, path, mode)
}

pub(super) fn directory(k: &Kernel, path: &Path, mode: u32) -> Result<()> {
    let made = k.ask(Mkdirat { dir: At::CWD, path, mode }, &[Errno::EEXIST]);
    made.or_else(ignore(Errno::EEXIST))
}

/// Puts these bytes where `path` is, by way of `new`, which is the caller's alone.
pub(super) fn replace(k: &Kernel, new: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let mut file = open(k, new, flags)?;
    let written = file.write_all(bytes).named(new);
    written.and_then(|()| settle(k, &file, new, path)).inspect_err(|_| {
        let _ = remove(k, new);
    })
}

/// Gives a file that is complete its name.
pub(super) fn settle(k: &Kernel, file: &File, from: &Path, to: &Path) -> Result<()> {
    file.sync_all().named(from)?;
    k.call(Renameat { from, to })?;
    sync_folder_of(to)
}

pub(super) fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).named(folder)
}

/// Removes a file; content if it is gone.
pub(super) fn remove(k: &Kernel, path: &Path) -> Result<()> {
    let call = Unlinkat { dir: At::CWD, path, directory: false };
    k.ask(call, &[Errno::ENOENT]).or_else(ignore(Errno::ENOENT))
}
