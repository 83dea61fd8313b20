//! Whose something is, what is allowed with it, when it was changed, and what else is written on it.
//!
//! The order matters: a change of owner takes setuid bits and file capabilities away (chown(2)), so the
//! owner is first; times are last.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::tar::{Entry, Kind, Time};
use super::{How, Owners, Tally};
use crate::error::{Error, Result};
use crate::sys::attributes::path_in;
use crate::sys::{Fchmod, Fchmodat, Fchownat, Fd, Kernel, Lsetxattr, Utimensat, look};

/// What the kernel answers when it keeps no such attribute here, or not for this user.
const NOT_HERE: [Errno; 5] =
    [Errno::EPERM, Errno::EOPNOTSUPP, Errno::EINVAL, Errno::E2BIG, Errno::ERANGE];

/// What it answers in a user namespace that has no such id, or where the file's own is none: a folder with the
/// set-group-id bit gives it one.
const NOT_ITS: [Errno; 2] = [Errno::EINVAL, Errno::EPERM];
/// To chown(2) that is the id which is there.
const SAME: u32 = u32::MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub mode: u32,
    pub owner: (u32, u32),
    /// None where nobody has said.
    pub modified: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Meta {
    pub fn of(entry: &mut Entry) -> Meta {
        Meta {
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            modified: Some(entry.modified),
            xattrs: std::mem::take(&mut entry.xattrs),
        }
    }

    /// Of a directory that is only implied.
    pub fn implied() -> Meta {
        Meta { mode: 0o755, owner: (0, 0), modified: None, xattrs: vec![] }
    }

    /// Of an open file, which has a name in an open directory.
    pub fn of_file(
        &self,
        k: &Kernel,
        file: &Fd,
        (dir, name): (&Fd, &Path),
        how: &How,
        tally: &mut Tally,
    ) -> Result<()> {
        self.own(k, file, Path::new(""), how, tally)?;
        if !self.xattrs.is_empty() {
            self.write_on(k, &path_in(dir, name), tally)?;
        }
        k.call(Fchmod { fd: file, mode: self.mode })?;
        self.date(k, file, None)
    }

    /// Of an open directory.
    pub fn of_directory(&self, k: &Kernel, dir: &Fd, how: &How, tally: &mut Tally) -> Result<()> {
        self.own(k, dir, Path::new(""), how, tally)?;
        self.write_on(k, &path_in(dir, Path::new(".")), tally)?;
        k.call(Fchmod { fd: dir, mode: self.mode })?;
        self.date(k, dir, None)
    }

    /// Of what cannot be opened: a link, whose mode nobody asks for, a fifo, a device.
    pub fn of_name(
        &self,
        k: &Kernel,
        dir: &Fd,
        name: &Path,
        kind: &Kind,
        (how, tally): (&How, &mut Tally),
    ) -> Result<()> {
        self.own(k, dir, name, how, tally)?;
        self.write_on(k, &path_in(dir, name), tally)?;
        if !matches!(kind, Kind::SymLink(_)) {
            k.call(Fchmodat { dir: dir.at(), path: name, mode: self.mode })?;
        }
        self.date(k, dir, Some(name))
    }

    fn own(&self, k: &Kernel, dir: &Fd, path: &Path, how: &How, tally: &mut Tally) -> Result<()> {
        let (uid, gid) = self.owner;
        let give = |uid, gid| match k.ask(Fchownat { dir: dir.at(), path, uid, gid }, &NOT_ITS) {
            Err(e) if e.errno().is_some_and(|errno| NOT_ITS.contains(&errno)) => Ok(false),
            answer => answer.map(|()| true),
        };
        let as_said = match how.owners {
            Owners::Archived => return k.call(Fchownat { dir: dir.at(), path, uid, gid }),
            Owners::Mapped if give(uid, gid)? => true,
            // Of a user and a group one may be there.
            Owners::Mapped => {
                give(uid, SAME)?;
                give(SAME, gid)?;
                false
            }
            Owners::Mine => self.owner == look::ids(),
        };
        tally.owners_changed += u64::from(!as_said);
        Ok(())
    }

    fn write_on(&self, k: &Kernel, path: &Path, tally: &mut Tally) -> Result<()> {
        for (name, value) in &self.xattrs {
            if is_of_overlay(name) {
                tally.attributes_dropped += 1;
                continue;
            }
            if name.contains(&0) {
                return Err(Error::yours("an extended attribute with a NUL in its name"));
            }
            let name = OsStr::from_bytes(name);
            match k.ask(Lsetxattr { path, name, value }, &NOT_HERE) {
                Err(e) if e.errno().is_some_and(|errno| NOT_HERE.contains(&errno)) => {
                    tally.attributes_refused += 1;
                    let first = || name.to_string_lossy().into_owned();
                    tally.first_refused.get_or_insert_with(first);
                }
                answer => answer?,
            }
        }
        Ok(())
    }

    fn date(&self, k: &Kernel, dir: &Fd, path: Option<&Path>) -> Result<()> {
        let Some(Time { seconds, nanos }) = self.modified else { return Ok(()) };
        k.call(Utimensat { dir: dir.at(), path, seconds, nanos })
    }
}

/// `trusted.overlay.` and `user.overlay.`: by these a layer could hide what is below another one, or
/// redirect a name of its own to somewhere else.
pub fn is_of_overlay(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'.');
    parts.nth(1) == Some(b"overlay")
}
