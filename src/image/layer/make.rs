//! An entry of an archive, made.

use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Whiteouts;
use super::meta::Meta;
use super::place::{self, DIRECTORY, KIND, Place};
use super::tar::{Entry, Kind, Reader};
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::sys::{
    Fd, Ftruncate, Kernel, Linkat, Mkdirat, Mknodat, Openat, Pwrite64, Symlinkat, Write, look, stop,
};

impl Tree<'_> {
    pub(super) fn entry(
        &mut self,
        k: &Kernel,
        reader: &mut Reader,
        mut entry: Entry,
    ) -> Result<()> {
        let path = place::inside(&entry.path)?;
        let meta = Meta::of(&mut entry);
        if path.as_os_str().is_empty() && entry.kind == Kind::Directory {
            self.names(&path);
            self.now.touched.insert(path.clone());
            self.pending.insert(path, meta);
            return Ok(());
        }
        let (parent, name) = place::split(&path)?;
        if let Some(what) = super::white::what(parent, name)? {
            return self.whiteout(k, &entry, what, parent);
        }
        let place = self.place(k, parent)?;
        self.has_made(&place.at.join(name));
        match &entry.kind {
            Kind::Directory => return self.directory(k, &place, name, meta),
            Kind::File => return self.file(k, reader, &entry, (&place, name), &meta),
            Kind::SymLink(target) => {
                let target = Path::new(OsStr::from_bytes(target));
                let make = || Symlinkat { target, dir: place.fd.at(), path: name };
                self.in_place(k, &place, name, || k.ask(make(), &[Errno::EEXIST]))?;
                self.tally.links += 1;
            }
            Kind::HardLink(target) => return self.second_name(k, target, &place, name),
            Kind::Fifo | Kind::Character { .. } | Kind::Block { .. } => {
                if !self.node(k, &entry.kind, meta.mode, &place, name)? {
                    return Ok(());
                }
            }
        }
        meta.of_name(k, &place.fd, name, &entry.kind, (self.how, &mut self.tally))
    }

    /// Makes something under a name; what has that name makes way. A call that makes nothing where
    /// something is, is tried first: most often nothing is.
    fn in_place<T>(
        &mut self,
        k: &Kernel,
        place: &Place,
        name: &Path,
        make: impl Fn() -> Result<T>,
    ) -> Result<T> {
        match make() {
            Err(e) if e.errno() == Some(Errno::EEXIST) => {
                self.clear(k, place, name)?;
                make()
            }
            other => other,
        }
    }

    /// One that is there stays, with what is in it; what it is like is said anew.
    fn directory(&mut self, k: &Kernel, place: &Rc<Place>, name: &Path, meta: Meta) -> Result<()> {
        let path = place.at.join(name);
        let make = || Mkdirat { dir: place.fd.at(), path: name, mode: 0o700 };
        match k.ask(make(), &[Errno::EEXIST]) {
            Err(e) if e.errno() == Some(Errno::EEXIST) => {
                let there = look::stat_at(&place.fd, name)?;
                if there.st_mode & KIND != DIRECTORY {
                    self.clear(k, place, name)?;
                    k.call(make())?;
                    // What was white, and is a directory now, hides the one below it.
                    if super::white::is_white(&there) {
                        self.set_opaque(k, place, name)?;
                    }
                }
            }
            other => other?,
        }
        if path.components().count() > self.how.limits.depth {
            return Err(Error::yours(format!(
                "more than {} directories deep",
                self.how.limits.depth
            )));
        }
        self.names(&path);
        if self.pending.insert(path, meta).is_none() {
            self.tally.directories += 1;
        }
        Ok(())
    }

    fn file(
        &mut self,
        k: &Kernel,
        reader: &mut Reader,
        entry: &Entry,
        (place, name): (&Place, &Path),
        meta: &Meta,
    ) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let open = || Openat { dir: place.fd.at(), path: name, flags, mode: 0o600 };
        let file = self.in_place(k, place, name, || k.ask(open(), &[Errno::EEXIST]))?;
        match &entry.pieces {
            None => {
                while reader.contents(&mut |data| write(k, &file, data))? {
                    stop::go_on()?;
                }
            }
            Some(pieces) => {
                for piece in pieces {
                    pour(k, reader, &file, piece.offset, piece.length)?;
                }
                k.call(Ftruncate { fd: &file, length: offset(entry.size)? })?;
            }
        }
        self.tally.files += 1;
        self.tally.bytes += entry.stored();
        meta.of_file(k, &file, (&place.fd, name), self.how, &mut self.tally)
    }

    /// A second name for something that is there, which is whatever it is: not followed, and no directory.
    fn second_name(&mut self, k: &Kernel, target: &[u8], place: &Place, name: &Path) -> Result<()> {
        let target = place::inside(target)?;
        let (parent, last) = place::split(&target)?;
        let is_overlay = self.is_overlay();
        let missing = |e: Error| match e.errno() {
            Some(Errno::ENOENT) => place::may_be_below(
                is_overlay,
                Error::yours("a second name for what is not there")
                    .because(format!("{} is in no layer up to this one", target.display())),
            ),
            Some(Errno::EPERM) => Error::yours("a second name for a directory"),
            _ => e,
        };
        let from = self.existing(k, parent).map_err(missing)?;
        if from.at == place.at && last == name {
            return Err(Error::yours("a second name that is the first one"));
        }
        let (from_dir, from, dir) = (from.fd.at(), last, place.fd.at());
        let link = || Linkat { from_dir, from, dir, path: name };
        let expected = [Errno::EEXIST, Errno::ENOENT, Errno::EPERM];
        self.in_place(k, place, name, || k.ask(link(), &expected)).map_err(missing)?;
        self.tally.names += 1;
        Ok(())
    }

    /// A fifo, or a device node, which only root may make: whether it is there.
    fn node(
        &mut self,
        k: &Kernel,
        what: &Kind,
        mode: u32,
        at: &Place,
        name: &Path,
    ) -> Result<bool> {
        let (kind, major, minor) = match *what {
            Kind::Character { major: 0, minor: 0 } => {
                return Err(Error::yours("a character device 0/0")
                    .because("overlayfs would take it for a whiteout, and others would not"));
            }
            Kind::Character { major, minor } => (SFlag::S_IFCHR, major, minor),
            Kind::Block { major, minor } => (SFlag::S_IFBLK, major, minor),
            _ => (SFlag::S_IFIFO, 0, 0),
        };
        let mode = mode & 0o777;
        let make = || Mknodat { dir: at.fd.at(), path: name, kind, mode, major, minor };
        let expected = [Errno::EEXIST, Errno::EPERM];
        match self.in_place(k, at, name, || k.ask(make(), &expected)) {
            Err(e) if e.errno() == Some(Errno::EPERM) && *what != Kind::Fifo => {
                self.tally.devices_left_out += 1;
                Ok(false)
            }
            other => {
                other?;
                self.tally.others += 1;
                Ok(true)
            }
        }
    }

    /// Whether whiteouts stay in the tree.
    pub(super) fn is_overlay(&self) -> bool {
        self.how.whiteouts != Whiteouts::Apply
    }
}

fn write(k: &Kernel, file: &Fd, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        data = &data[k.call(Write { fd: file, data })?..];
    }
    Ok(())
}

fn offset(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::yours(format!("{value} bytes are too many")))
}

/// A piece of a file with holes.
fn pour(k: &Kernel, reader: &mut Reader, file: &Fd, at: u64, length: u64) -> Result<()> {
    let mut at = offset(at)?;
    let end = at.saturating_add(offset(length)?);
    while at < end {
        stop::go_on()?;
        let most = (end - at) as u64;
        reader.some_contents(most, &mut |mut data| {
            while !data.is_empty() {
                let count = k.call(Pwrite64 { fd: file, data, offset: at })?;
                (data, at) = (&data[count..], at + count as i64);
            }
            Ok(())
        })?;
    }
    Ok(())
}
