//! Looking without touching: ids, file contents, links, kinds of files.
//!
//! None of this is narrated, because none of it shapes a container; `tests/unnarrated.txt` lists
//! the calls with the reason. Nothing here changes the machine.

use std::io::Read;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::libc;

use super::descriptor::Fd;
use crate::error::{Named, Result};

pub fn pid() -> i32 {
    std::process::id() as i32
}

/// What uname(2) answers: the names of this process's UTS namespace, and the kernel's release.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Names {
    pub host: String,
    /// `(none)` where nobody has set one.
    pub domain: String,
    pub release: String,
}

pub fn names() -> Option<Names> {
    let answer = nix::sys::utsname::uname().ok()?;
    let text = |field: &std::ffi::OsStr| field.to_string_lossy().into_owned();
    Some(Names {
        host: text(answer.nodename()),
        domain: text(answer.domainname()),
        release: text(answer.release()),
    })
}

/// Effective user and group id.
pub fn ids() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

pub fn read(path: impl AsRef<Path>) -> Result<String> {
    whole(path.as_ref()).named(&path)
}

/// What a file says, if it is there and may be read.
pub fn read_if_there(path: impl AsRef<Path>) -> Option<String> {
    whole(path.as_ref()).ok()
}

/// Most of these files are small and in /proc, where a size is not known beforehand. With room from
/// the start, and without asking for the size (which `take` hides), that is two reads instead of ten.
fn whole(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    let mut text = String::with_capacity(8 * 1024);
    file.take(u64::MAX).read_to_string(&mut text)?;
    Ok(text)
}

pub fn link(path: impl AsRef<Path>) -> Option<PathBuf> {
    std::fs::read_link(path).ok()
}

pub fn is_dir(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_dir()
}

/// The names in an open directory, and which are directories themselves. getdents64(2)
pub fn entries(dir: &Fd) -> Result<Vec<(std::ffi::OsString, bool)>> {
    use std::os::unix::ffi::OsStrExt;
    let io = |e: nix::errno::Errno| std::io::Error::from(e);
    let own = std::os::fd::AsFd::as_fd(dir).try_clone_to_owned()?;
    let mut list = nix::dir::Dir::from_fd(own).map_err(io)?;
    let mut entries = Vec::new();
    for entry in list.iter() {
        let entry = entry.map_err(io)?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let is_dir = match entry.file_type() {
            Some(kind) => kind == nix::dir::Type::Directory,
            None => nix::sys::stat::fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR),
        };
        entries.push((name.to_owned(), is_dir));
    }
    Ok(entries)
}

/// What kind of file a name in a directory is; links are not followed.
pub fn stat_at(dir: &Fd, name: &Path) -> Result<nix::sys::stat::FileStat> {
    nix::sys::stat::fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(|e| std::io::Error::from(e).into())
}

/// Where a link in a directory leads.
pub fn link_at(dir: &Fd, name: &Path) -> Result<PathBuf> {
    let target = nix::fcntl::readlinkat(dir, name).map_err(std::io::Error::from)?;
    Ok(target.into())
}

/// Where a program is in this user's PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Whether there is such a file or folder; a link that leads nowhere does not count.
pub fn exists(path: impl AsRef<Path>) -> bool {
    path.as_ref().exists()
}

/// Who owns a file, or the link itself if it is one.
pub fn owner(path: impl AsRef<Path>) -> Option<u32> {
    path.as_ref().symlink_metadata().ok().map(|m| m.uid())
}

/// Whether this process could write to the file, by access(2) with effective ids.
pub fn is_writable(path: impl AsRef<Path>) -> bool {
    use nix::fcntl::{AT_FDCWD, AtFlags};
    use nix::unistd::{AccessFlags, faccessat};
    faccessat(AT_FDCWD, path.as_ref(), AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok()
}

/// Whether this process may go through a directory, by access(2) with effective ids.
pub fn is_searchable(dir: &Path) -> bool {
    use nix::fcntl::{AT_FDCWD, AtFlags};
    use nix::unistd::{AccessFlags, faccessat};
    faccessat(AT_FDCWD, dir, AccessFlags::X_OK, AtFlags::AT_EACCESS).is_ok()
}

/// Whether a file is on a mount from which nothing may be executed.
pub fn is_on_noexec(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path)
        .is_ok_and(|s| s.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC))
}

/// What stands in the way of a set-user-id program's privileges: its own bits, or its mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileged {
    /// It has the bit and root's ownership, or file capabilities: capabilities(7).
    Yes,
    No,
    /// It would be, but its mount has `nosuid`.
    NotOnThisMount,
}

/// Whether a program gets privileges that its caller lacks.
pub fn privileged(path: &Path) -> Option<Privileged> {
    let meta = std::fs::metadata(path).ok()?;
    let setuid = meta.mode() & 0o4000 != 0 && meta.uid() == 0;
    let marked = setuid || has_attribute(path, c"security.capability");
    let nosuid = nix::sys::statvfs::statvfs(path)
        .is_ok_and(|s| s.flags().contains(nix::sys::statvfs::FsFlags::ST_NOSUID));
    Some(match (marked, nosuid) {
        (true, true) => Privileged::NotOnThisMount,
        (true, false) => Privileged::Yes,
        (false, _) => Privileged::No,
    })
}

fn has_attribute(path: &Path, name: &std::ffi::CStr) -> bool {
    use nix::NixPath;
    // SAFETY: both strings end in NUL; a length of 0 asks for the size and writes nothing.
    let size = path.with_nix_path(|path| unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0)
    });
    size.is_ok_and(|size| size > 0)
}

/// Calls that are younger than some kernels which are still about: since when, and how to ask for
/// each with arguments that no kernel accepts, so that nothing happens.
const YOUNG_CALLS: &[(&str, &str, libc::c_long, [libc::c_long; 3])] = &[
    ("clone3", "5.3", libc::SYS_clone3, [0, 0, 0]),
    ("pidfd_open", "5.3", libc::SYS_pidfd_open, [-1, 0, 0]),
    ("openat2", "5.6", libc::SYS_openat2, [-1, 0, 0]),
    ("close_range", "5.9", libc::SYS_close_range, [1, 0, 0]),
    ("mount_setattr", "5.12", libc::SYS_mount_setattr, [-1, 0, -1]),
];

/// The first kernel that has a call: `5.6` for openat2. None for those that every kernel has.
pub fn known_since(call: &str) -> Option<&'static str> {
    YOUNG_CALLS.iter().find(|(name, ..)| *name == call).map(|(_, since, ..)| *since)
}

/// The young calls that this process cannot make: the kernel, or a filter before it, answers
/// ENOSYS, or EPERM before looking at what is asked.
pub fn calls_not_known() -> Vec<&'static str> {
    let unknown = |number, [a, b, c]: [libc::c_long; 3]| {
        // SAFETY: no argument is a valid pointer to anything, or a valid descriptor, process or
        // range: the call is refused, known or not.
        let answer = unsafe { libc::syscall(number, a, b, c, 0, 0) };
        answer == -1 && matches!(nix::errno::Errno::last_raw(), libc::ENOSYS | libc::EPERM)
    };
    let calls = YOUNG_CALLS.iter().filter(|(_, _, number, args)| unknown(*number, *args));
    calls.map(|(name, ..)| *name).collect()
}

/// How many threads this process has. One, until execve: see the invariants in `lib.rs`.
pub fn threads() -> usize {
    // Debug builds count. A thread that was joined may still be on its way out of the kernel's list.
    let count = || std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    let mut now = if cfg!(debug_assertions) { count() } else { 1 };
    let mut pauses = 0..1000;
    while now > 1 && pauses.next().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(1));
        now = count();
    }
    now
}

/// Kind, owner and device numbers of an open file, by fstat(2).
pub fn stat(fd: &Fd) -> Result<nix::sys::stat::FileStat> {
    nix::sys::stat::fstat(fd).map_err(|e| std::io::Error::from(e).into())
}

pub fn is_open_dir(fd: &Fd) -> Result<bool> {
    Ok(stat(fd)?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// The filesystem type's magic number (statfs(2)), for checks that a file really is procfs's.
pub fn filesystem_type(fd: &Fd) -> Result<i64> {
    let answer = nix::sys::statfs::fstatfs(fd).map_err(std::io::Error::from)?;
    #[allow(clippy::unnecessary_cast)]
    Ok(answer.filesystem_type().0 as i64)
}

/// Whether a path leads into a procfs: what is read there is the kernel's word.
pub fn is_procfs(path: impl AsRef<Path>) -> bool {
    nix::sys::statfs::statfs(path.as_ref())
        .is_ok_and(|answer| answer.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

/// The flags of the mount that a file is on (statvfs(3)).
pub fn mount_flags(fd: &Fd) -> Result<nix::sys::statvfs::FsFlags> {
    let answer = nix::sys::statvfs::fstatvfs(fd).map_err(std::io::Error::from)?;
    Ok(answer.flags())
}

/// Whether descriptor `fd` is a terminal.
pub fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: asks about a number; EBADF is an answer.
    unsafe { libc::isatty(fd) == 1 }
}

/// Inode and device of a path: what identity means for a namespace or a root.
pub fn identity(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// The living processes for which `/` is this directory.
pub fn processes_with_root(root: &Path) -> Vec<i32> {
    let Some(wanted) = identity(root) else { return vec![] };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| identity(format!("/proc/{pid}/root")) == Some(wanted)).collect()
}

/// How long a file is; links are followed.
pub fn size(path: impl AsRef<Path>) -> Option<u64> {
    std::fs::metadata(path).ok().map(|m| m.len())
}

/// A device's number in the two halves by which it is known: `8:1`.
pub fn device(number: u64) -> String {
    format!("{}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number))
}
