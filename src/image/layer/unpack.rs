//! All layers of an image in one tree.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::FileStat;

use super::{How, Tally, Tree};
use crate::error::{Error, Result, ignore};
use crate::image::digest::Digest;
use crate::image::document::Descriptor;
use crate::image::store::{Image, Store};
use crate::sys::{At, Fchmod, Fchownat, Fd, Kernel, Mkdirat, Openat, copy, look};

/// The layers of an image and the digests of their archives, the lowest first.
pub(super) fn layers(image: &Image) -> impl Iterator<Item = (&Descriptor, &Digest)> {
    image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids)
}

/// Unpacks an image into `dir`, which is not there yet or empty.
///
/// # Errors
/// What was made until something went wrong is taken away again.
pub fn unpack_image(
    k: &Kernel,
    store: &Store,
    image: &Image,
    dir: &Path,
    how: &How,
) -> Result<Tally> {
    if k.pretends() {
        return Ok(Tally::default());
    }
    let root = Root::new(k, dir)?;
    let unpack = || {
        let mut tree = Tree::new(&root.fd, how)?;
        for (layer, diff_id) in layers(image) {
            tree.layer(k, &mut store.blob(layer)?, layer, diff_id)?;
        }
        tree.finish(k)
    };
    unpack().map_err(|e| match root.remove(k) {
        Ok(()) => e,
        Err(left) => e.because(format!("and {} stays: {left}", dir.display())),
    })
}

/// The directory that a tree is put into.
struct Root<'a> {
    fd: Fd,
    dir: &'a Path,
    is_ours: bool,
    /// What it was like, if it was there.
    before: FileStat,
}

impl Root<'_> {
    fn new<'a>(k: &Kernel, dir: &'a Path) -> Result<Root<'a>> {
        let made = k.ask(Mkdirat { dir: At::CWD, path: dir, mode: 0o755 }, &[Errno::EEXIST]);
        let is_ours = made.is_ok();
        made.or_else(ignore(Errno::EEXIST)).map_err(|e| match e.errno() {
            Some(Errno::ENOENT) => e.try_this("a folder in one that is there"),
            _ => e,
        })?;
        let fd = open_directory(k, dir)?;
        if !look::entries(&fd)?.is_empty() {
            return Err(Error::yours(format!("{} is not empty", dir.display()))
                .because("what an image says would be mixed with what is there")
                .try_this("a folder that is not there yet"));
        }
        let before = look::stat(&fd)?;
        Ok(Root { fd, dir, is_ours, before })
    }

    fn remove(&self, k: &Kernel) -> Result<()> {
        k.bulk(self.dir, |k| {
            // The image may have closed it.
            k.call(Fchmod { fd: &self.fd, mode: 0o700 })?;
            for (name, is_dir) in look::entries(&self.fd)? {
                copy::remove_in(k, &self.fd, Path::new(&name), is_dir)?;
            }
            if self.is_ours {
                return copy::remove_tree(k, self.dir).map(drop);
            }
            let (uid, gid) = (self.before.st_uid, self.before.st_gid);
            k.call(Fchownat { dir: self.fd.at(), path: Path::new(""), uid, gid })?;
            k.call(Fchmod { fd: &self.fd, mode: self.before.st_mode & 0o7777 })
        })
    }
}

pub(super) fn open_directory(k: &Kernel, path: &Path) -> Result<Fd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    k.call(Openat { dir: At::CWD, path, flags, mode: 0 })
}
