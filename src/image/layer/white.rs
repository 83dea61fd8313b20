//! Whiteouts: what a layer takes away from those below it.
//!
//! image-spec, layer.md, "Whiteouts". `.wh.NAME` stands for NAME being gone, `.wh..wh..opq` in a directory
//! for all that lower layers have in it. Both are about lower layers alone, wherever they stand in the
//! archive: what the layer itself has made stays. overlayfs has its own form of both: a character device
//! 0/0, which every user may make since Linux 5.8, and an attribute of the directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag};

use super::Whiteouts;
use super::meta::Meta;
use super::place::{CHARACTER, DIRECTORY, KIND, Place, split};
use super::tar::{Entry, Kind};
use super::tree::Tree;
use crate::error::{Error, Result, WayOut};
use crate::sys::attributes::path_in;
use crate::sys::{Fd, Kernel, Lsetxattr, Mknodat, Openat, look, stop};

const PREFIX: &[u8] = b".wh.";
/// By this prefix aufs, whose form this is, names what it keeps for itself.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name that begins with `.wh.` takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum White {
    Name(PathBuf),
    /// All that is in the directory.
    Everything,
    /// Nothing: aufs's own.
    Nothing,
}

/// What an entry of this directory and name takes away; None if it is none of these.
pub fn what(parent: &Path, name: &Path) -> Result<Option<White>> {
    let starts = |part: &OsStr, prefix: &[u8]| part.as_bytes().starts_with(prefix);
    if parent.iter().any(|part| starts(part, AUFS)) {
        return Ok(Some(White::Nothing));
    }
    if parent.iter().any(|part| starts(part, PREFIX)) {
        return Err(Error::yours("something in a whiteout, which is no directory"));
    }
    let name = name.as_os_str();
    let Some(gone) = name.as_bytes().strip_prefix(PREFIX) else { return Ok(None) };
    Ok(Some(match gone {
        _ if name.as_bytes() == OPAQUE => White::Everything,
        _ if starts(name, AUFS) => White::Nothing,
        b"" | b"." | b".." => {
            return Err(Error::yours("a whiteout of what is no name")
                .because("it would take away a directory that it is in"));
        }
        gone => White::Name(OsStr::from_bytes(gone).into()),
    }))
}

/// Whether this is overlayfs's form of one.
pub fn is_white(stat: &FileStat) -> bool {
    stat.st_mode & KIND == CHARACTER && stat.st_rdev == 0
}

impl Tree<'_> {
    pub(super) fn whiteout(
        &mut self,
        k: &Kernel,
        entry: &Entry,
        what: White,
        parent: &Path,
    ) -> Result<()> {
        let is_empty_file = entry.kind == Kind::File && entry.size == 0;
        let is_of_aufs = what == White::Nothing || matches!(entry.kind, Kind::HardLink(_));
        if !is_empty_file && !is_of_aufs {
            return Err(Error::yours("a whiteout that is no empty file"));
        }
        if what == White::Nothing || self.is_below_no_directory(k, parent)? {
            return Ok(());
        }
        let place = self.place(k, parent)?;
        self.tally.whiteouts += 1;
        match (what, self.is_overlay()) {
            (White::Name(name), false) => self.take_away(k, &place, &name),
            (White::Name(name), true) => self.mark(k, &place, &name),
            (White::Everything, false) => self.take_all_away(k, &place.fd, &place.at.clone()),
            (White::Everything, true) => self.set_opaque(k, &place, Path::new(".")),
            (White::Nothing, _) => Ok(()),
        }
    }

    /// Whether this layer has put something else where a directory of this path would be. That has taken away
    /// whatever lower layers have below it. Tools that compare trees name that too: `dir/.wh.a` beside a `dir` that
    /// is a link now.
    fn is_below_no_directory(&mut self, k: &Kernel, path: &Path) -> Result<bool> {
        let mut parts: Vec<&Path> = path.ancestors().collect();
        // The root stays a directory.
        parts.pop();
        for part in parts.into_iter().rev() {
            let (above, name) = split(part)?;
            let Ok(place) = self.existing(k, above) else { return Ok(false) };
            let Ok(there) = look::stat_at(&place.fd, name) else { return Ok(false) };
            // In a directory for overlayfs all is this layer's, but for what only stands for something gone.
            let is_ours = match self.is_overlay() {
                true => !is_white(&there),
                false => self.is_made(&place.at.join(name)),
            };
            if is_ours && there.st_mode & KIND != DIRECTORY {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lower layers' part of a name: all of it, or what is below it beside this layer's own.
    fn take_away(&mut self, k: &Kernel, place: &Place, name: &Path) -> Result<()> {
        let path = place.at.join(name);
        let Ok(there) = look::stat_at(&place.fd, name) else { return Ok(()) };
        let is_dir = there.st_mode & KIND == DIRECTORY;
        match (self.is_made(&path), is_dir) {
            (false, _) => self.clear(k, place, name),
            (true, true) => self.take_all_away(k, &enter(k, &place.fd, name)?, &path),
            (true, false) => Ok(()),
        }
    }

    fn take_all_away(&mut self, k: &Kernel, dir: &Fd, at: &Path) -> Result<()> {
        let dir = enter(k, dir, Path::new("."))?;
        let entries = look::entries(&dir)?;
        let place = Place { fd: dir, at: at.to_owned() };
        for (name, is_dir) in entries {
            stop::go_on()?;
            let (name, path) = (Path::new(&name), at.join(&name));
            if !self.is_made(&path) {
                self.clear(k, &place, name)?;
            } else if is_dir {
                if !self.is_named(&path) {
                    // It was a lower layer's directory, which is gone; this layer only implies one.
                    self.pending.insert(path.clone(), Meta::implied());
                }
                self.take_all_away(k, &enter(k, &place.fd, name)?, &path)?;
            }
        }
        Ok(())
    }

    /// For overlayfs: a name that is gone. One that this layer has made hides the lower one anyway, except
    /// for a directory, which has to say so.
    fn mark(&mut self, k: &Kernel, place: &Place, name: &Path) -> Result<()> {
        let (kind, mode) = (SFlag::S_IFCHR, 0);
        let call = Mknodat { dir: place.fd.at(), path: name, kind, mode, major: 0, minor: 0 };
        match k.ask(call, &[Errno::EEXIST, Errno::EPERM]) {
            Err(e) if e.errno() == Some(Errno::EEXIST) => {
                let there = look::stat_at(&place.fd, name)?;
                match there.st_mode & KIND == DIRECTORY {
                    true => self.set_opaque(k, place, name),
                    false => Ok(()),
                }
            }
            Err(e) if e.errno() == Some(Errno::EPERM) => Err(e
                .because(
                    "no whiteout can be made there, as on an overlay: for it that is its own mark",
                )
                .or_else_by(WayOut::OneTree)),
            other => other,
        }
    }

    /// For overlayfs: a directory that hides the one below it.
    pub(super) fn set_opaque(&mut self, k: &Kernel, place: &Place, name: &Path) -> Result<()> {
        let attribute = match self.how.whiteouts {
            Whiteouts::Apply => return Ok(()),
            Whiteouts::Overlay { user_xattr: true } => "user.overlay.opaque",
            Whiteouts::Overlay { user_xattr: false } => "trusted.overlay.opaque",
        };
        let path = path_in(&place.fd, name);
        let call = Lsetxattr { path: &path, name: OsStr::new(attribute), value: b"y" };
        k.call(call).map_err(|e| match e.errno() {
            Some(Errno::EOPNOTSUPP) => e
                .because("this filesystem keeps no such attributes, so nothing there can hide all below it")
                .or_else_by(WayOut::OneTree),
            _ => e,
        })
    }
}

fn enter(k: &Kernel, dir: &Fd, path: &Path) -> Result<Fd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    k.call(Openat { dir: dir.at(), path, flags, mode: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_are_told_by_their_names() {
        let what = |path: &str| {
            let path = Path::new(path);
            what(path.parent().unwrap(), Path::new(path.file_name().unwrap()))
        };
        assert_eq!(what("a/b").unwrap(), None);
        assert_eq!(what("a/.wh.b").unwrap(), Some(White::Name("b".into())));
        assert_eq!(what("a/.wh..b").unwrap(), Some(White::Name(".b".into())));
        assert_eq!(what("a/.wh..wh..opq").unwrap(), Some(White::Everything));
        assert_eq!(what(".wh..wh.plnk/1.2").unwrap(), Some(White::Nothing));
        assert_eq!(what(".wh..wh.aufs").unwrap(), Some(White::Nothing));
        for bad in ["a/.wh.", "a/.wh..", "a/.wh...", "a/.wh.b/c"] {
            assert!(what(bad).is_err(), "{bad}");
        }
    }
}
