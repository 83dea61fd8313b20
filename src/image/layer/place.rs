//! The directory in which an entry of an archive is made.
//!
//! openat2(2). A name of an archive is looked up from the root's descriptor, with RESOLVE_IN_ROOT: links
//! on the way are followed, as they would be in the container, but none leads out, and none onto another
//! mount. (Images have entries below links: `lib/x` where a lower layer has `lib -> usr/lib`.) What was
//! found is then known by where it is, not by how it was called. The last name of an entry is never looked
//! up: what is made under it is made with O_EXCL and the like, after what stands there was taken away.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};

use super::meta::Meta;
use super::tree::Tree;
use super::white::is_white;
use crate::error::{Error, Result, WayOut, ignore};
use crate::sys::{Fd, Kernel, Mkdirat, Openat2, below, copy, look};

/// An open directory, and where it is, from the root.
#[derive(Debug)]
pub struct Place {
    pub fd: Fd,
    pub at: PathBuf,
}

/// The last directories by the names under which they were asked for: most entries are in one of them.
#[derive(Debug, Default)]
pub struct Cache(Vec<(PathBuf, Rc<Place>)>);

const CACHED: usize = 8;

impl Cache {
    fn get(&mut self, path: &Path) -> Option<Rc<Place>> {
        let bytes = path.as_os_str().as_bytes();
        let found = self.0.iter().rposition(|(known, _)| known.as_os_str().as_bytes() == bytes)?;
        let entry = self.0.remove(found);
        let place = entry.1.clone();
        self.0.push(entry);
        Some(place)
    }

    fn put(&mut self, path: &Path, place: &Rc<Place>) {
        if self.0.len() == CACHED {
            self.0.remove(0);
        }
        self.0.push((path.to_owned(), place.clone()));
    }
}

/// A name of an archive as a path from the root: without a `/` before it and without `.`.
pub fn inside(name: &[u8]) -> Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in Path::new(std::ffi::OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => {
                return Err(Error::yours("a name with `..` in it")
                    .because("it climbs, and an honest archive has no reason to"));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(inside)
}

/// Directory and last name of a path from [`inside`] that is not the root itself.
pub fn split(path: &Path) -> Result<(&Path, &Path)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, Path::new(name))),
        _ => Err(Error::yours("the root of the tree can be nothing but a directory")),
    }
}

impl Tree<'_> {
    /// The directory `path`, in which something of this layer is about to be made. It is made itself
    /// where it is missing.
    pub(super) fn place(&mut self, k: &Kernel, path: &Path) -> Result<Rc<Place>> {
        if let Some(place) = self.cache.get(path) {
            return Ok(place);
        }
        let fd = match self.open(k, path) {
            Err(e) if e.errno() == Some(Errno::ENOENT) => self.implied(k, path)?,
            // It may be white for overlayfs, and not for this layer.
            Err(e) if e.errno() == Some(Errno::ENOTDIR) && self.is_overlay() => {
                self.implied(k, path)?
            }
            other => other.map_err(|e| no_directory(path, e))?,
        };
        let at = self.whereabouts(&fd)?;
        self.now.touched.extend(at.ancestors().map(Path::to_owned));
        let place = Rc::new(Place { fd, at });
        self.cache.put(path, &place);
        Ok(place)
    }

    /// The same, where nothing is made: the directory of a link's target.
    pub(super) fn existing(&mut self, k: &Kernel, path: &Path) -> Result<Rc<Place>> {
        if let Some(place) = self.cache.get(path) {
            return Ok(place);
        }
        let fd = self.open(k, path).map_err(|e| match e.errno() {
            Some(Errno::ENOENT) => e,
            _ => no_directory(path, e),
        })?;
        let at = self.whereabouts(&fd)?;
        Ok(Rc::new(Place { fd, at }))
    }

    fn open(&self, k: &Kernel, path: &Path) -> Result<Fd> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_XDEV;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let path = below::relative(path);
        let expected = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP];
        k.ask(Openat2 { dir: self.root.at(), path, flags, mode: 0, resolve }, &expected)
    }

    /// Makes a directory that no entry has named so far.
    fn implied(&mut self, k: &Kernel, path: &Path) -> Result<Fd> {
        let (parent, name) = split(path)?;
        let parent = self.place(k, parent)?;
        let make = || Mkdirat { dir: parent.fd.at(), path: name, mode: 0o700 };
        // It may be there, as a link that leads nowhere: then it cannot be opened, either.
        if k.ask(make(), &[Errno::EEXIST]).map(|()| false).or_else(already)? {
            let there = look::stat_at(&parent.fd, name)?;
            if self.is_overlay() && is_white(&there) {
                self.clear(k, &parent, name)?;
                k.call(make())?;
                self.set_opaque(k, &parent, name)?;
            }
        }
        let fd = self
            .open(k, path)
            .map_err(|e| may_be_below(self.is_overlay(), no_directory(path, e)))?;
        let at = self.whereabouts(&fd)?;
        self.has_made(&at);
        self.pending.entry(at).or_insert_with(Meta::implied);
        Ok(fd)
    }

    /// Where a directory is, by the kernel's own word, from the root.
    fn whereabouts(&self, fd: &Fd) -> Result<PathBuf> {
        let path = look::link(fd.proc_path()).unwrap_or_default();
        let at = path.strip_prefix(&self.root_path);
        let at = at.map_err(|_| Error::yours("a directory that is not below the root"))?;
        match at.components().count() > self.how.limits.depth {
            true => {
                Err(Error::yours(format!("more than {} directories deep", self.how.limits.depth))
                    .because("no tree is expected to be deeper"))
            }
            false => Ok(at.to_owned()),
        }
    }

    /// Takes away what stands where something else is to be made.
    pub(super) fn clear(&mut self, k: &Kernel, place: &Place, name: &Path) -> Result<()> {
        let kind = look::stat_at(&place.fd, name)?.st_mode & KIND;
        copy::remove_in(k, &place.fd, name, kind == DIRECTORY)?;
        if kind == DIRECTORY || kind == LINK {
            self.is_gone(&place.at.join(name));
        }
        Ok(())
    }
}

/// Kinds of files in a mode: inode(7).
pub const KIND: u32 = 0o170_000;
pub const DIRECTORY: u32 = 0o040_000;
pub const LINK: u32 = 0o120_000;
pub const CHARACTER: u32 = 0o020_000;

/// What is not in a layer's own directory may be in one below it.
pub(super) fn may_be_below(is_overlay: bool, e: Error) -> Error {
    if is_overlay { e.or_else_by(WayOut::OneTree) } else { e }
}

/// Whether it is there already.
fn already(e: Error) -> Result<bool> {
    ignore(Errno::EEXIST)(e).map(|()| true)
}

/// Why a path is not the directory that it should be.
fn no_directory(path: &Path, e: Error) -> Error {
    let text = || Error::yours(format!("{} is no directory", path.display()));
    match e.errno() {
        Some(Errno::ENOTDIR) => text(),
        Some(Errno::ELOOP) => text().because("its links go round in a circle"),
        Some(Errno::ENOENT) => text().because("it is a link that leads nowhere"),
        _ => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_taken_from_the_root() {
        assert_eq!(inside(b"./a//b/./c/").unwrap(), Path::new("a/b/c"));
        assert_eq!(inside(b"/etc/passwd").unwrap(), Path::new("etc/passwd"));
        assert_eq!(inside(b"./").unwrap(), Path::new(""));
        for bad in [&b".."[..], b"../a", b"a/../b", b"a/..", b"/.."] {
            assert!(inside(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_outside(name in "[./a]{0,24}") {
            if let Ok(inside) = inside(name.as_bytes()) {
                prop_assert!(inside.is_relative());
                prop_assert!(inside.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
