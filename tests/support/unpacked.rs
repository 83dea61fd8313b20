//! Layers made by code, put into a folder by learnc's own library.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use learnc::error::Result;
use learnc::event::Lane;
use learnc::image::digest::Digest;
use learnc::image::document::{Descriptor, Platform};
use learnc::image::layer::{self, How, Limits, Owners, Tally, Whiteouts};
use learnc::image::store::{self, Store};
use learnc::sys::{Fd, Kernel, Manner};

use super::images::{Entry, Folder, Layer, dir, file, folder, image, opaque, symlink, whiteout};
use super::needs::is_root;
use super::trees::tree;

pub fn silent() -> Kernel<'static> {
    Kernel::new(Manner::Silent, Lane::Runtime, 0)
}

pub fn open(dir: &Path) -> Fd {
    Fd::from(OwnedFd::from(File::open(dir).unwrap()))
}

pub fn applied() -> How {
    let owners = if is_root() { Owners::Archived } else { Owners::Mine };
    How { whiteouts: Whiteouts::Apply, owners, limits: Limits::default() }
}

/// Puts layers on top of each other into a folder that is there.
pub fn unpack(layers: &[Layer], dir: &Path, how: &How) -> Result<Tally> {
    let (k, root) = (silent(), open(dir));
    let mut tree = layer::Tree::new(&root, how)?;
    for layer in layers {
        let descriptor = Descriptor::new(&layer.media_type, &layer.stored);
        let diff_id: Digest = layer.diff_id.parse().unwrap();
        tree.layer(&k, &mut &layer.stored[..], &descriptor, &diff_id)?;
    }
    tree.finish(&k)
}

/// A tree of layers; opened again for its removal.
pub struct Tree {
    pub folder: Folder,
    pub tally: Tally,
}

impl Tree {
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Tree {
        Tree::made(layers, &applied())
    }

    pub fn made(layers: impl IntoIterator<Item = Layer>, how: &How) -> Tree {
        let folder = folder();
        let layers: Vec<Layer> = layers.into_iter().collect();
        let tally = unpack(&layers, &folder.0, how).unwrap();
        Tree { folder, tally }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub fn meta(&self, path: &str) -> std::fs::Metadata {
        self.at(path).symlink_metadata().unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub fn is_there(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    pub fn names(&self) -> Vec<String> {
        let names = tree(&self.folder.0).into_keys().map(|path| path.display().to_string());
        names.map(|name| name.trim_start_matches("./").to_owned()).filter(|n| n != ".").collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.folder.0).status();
    }
}

/// A store with one image of these layers.
pub fn store_of(layers: &[Layer]) -> (Folder, Store, store::Image) {
    let place = folder();
    let made = layers.iter().fold(image(), |image, layer| image.layer(layer.clone())).made();
    let k = silent();
    let store = Store::open(&k, &place.join("store")).unwrap();
    made.layout(store.dir(), "localhost/x:1");
    let top = store.find("localhost/x:1").unwrap().unwrap();
    let image = store.image(&k, &top, &Platform::here()).unwrap();
    (place, store, image)
}

/// Lower and upper layer, and the names that are there in the end.
pub fn whiteout_cases() -> Vec<(Vec<Entry>, Vec<Entry>, Vec<&'static str>)> {
    let lower = || vec![dir("a"), file("a/x", b""), file("a/b/y", b""), file("c", b"")];
    vec![
        (lower(), vec![whiteout("a")], vec!["c"]),
        (lower(), vec![whiteout("c"), whiteout("a/x")], vec!["a", "a/b", "a/b/y"]),
        (lower(), vec![opaque("a")], vec!["a", "c"]),
        (lower(), vec![opaque("a"), file("a/new", b"")], vec!["a", "a/new", "c"]),
        // Also where it comes last: what this layer has made stays.
        (lower(), vec![file("a/new", b""), opaque("a")], vec!["a", "a/new", "c"]),
        (lower(), vec![file("a/b/new", b""), opaque("a")], vec!["a", "a/b", "a/b/new", "c"]),
        (lower(), vec![whiteout("a"), file("a/new", b"")], vec!["a", "a/new", "c"]),
        (lower(), vec![dir("a"), file("a/new", b""), whiteout("a")], vec!["a", "a/new", "c"]),
        (lower(), vec![file("c", b"new"), whiteout("c")], vec!["a", "a/b", "a/b/y", "a/x", "c"]),
        (
            lower(),
            vec![whiteout("not-there"), file(".wh..wh.aufs", b"")],
            vec!["a", "a/b", "a/b/y", "a/x", "c"],
        ),
        (lower(), vec![whiteout("a/b"), symlink("a/b", "x")], vec!["a", "a/b", "a/x", "c"]),
        // What is below a directory that is none any more is gone with it, named or not.
        (
            lower(),
            vec![symlink("a", "elsewhere/b"), whiteout("a/x"), whiteout("a/b/y"), opaque("a")],
            vec!["a", "c"],
        ),
        (lower(), vec![whiteout("a/x"), symlink("a", "elsewhere")], vec!["a", "c"]),
        (lower(), vec![file("a", b""), whiteout("a/x"), whiteout("a/b/y")], vec!["a", "c"]),
        (
            vec![dir("a"), file("a/x", b""), dir("d"), file("d/x", b"")],
            vec![symlink("a", "d"), whiteout("a/x")],
            vec!["a", "d", "d/x"],
        ),
    ]
}
