//! The tree that layers are put into, one on top of the other.
//!
//! Files are complete at once. Directories are not: what is put into one changes its date, and one that
//! nobody may write to could take nothing. So they are made open for this user alone, and what a layer
//! says of them waits until the last layer is in. A directory that a layer only implies, by something in
//! it, keeps what a lower layer said; if none did, it is root's and open to all, as it is in other tools.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};

use super::inflate::inflated;
use super::meta::Meta;
use super::place::Cache;
use super::tar::{Reader, Stream};
use super::{How, Tally, is_the_one, tell_checked};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::document::Descriptor;
use crate::sys::{Fd, Kernel, Openat2, look, stop};

/// Layers, below one directory.
pub struct Tree<'a> {
    pub(super) root: &'a Fd,
    /// The root's path, as the kernel has it: what all paths below begin with.
    pub(super) root_path: PathBuf,
    pub(super) how: &'a How,
    /// What directories will be in the end.
    pub(super) pending: BTreeMap<PathBuf, Meta>,
    pub(super) cache: Cache,
    pub(super) now: Layer,
    pub(super) tally: Tally,
    keys: RandomState,
}

/// What the layer that is being read has made.
#[derive(Default)]
pub(super) struct Layer {
    /// Hashes of all paths: a whiteout takes away what lower layers have made, and nothing of these.
    made: HashSet<u64>,
    /// Directories with something of this layer below them, and those that it names itself.
    pub touched: BTreeSet<PathBuf>,
    pub named: HashSet<u64>,
}

impl<'a> Tree<'a> {
    /// An empty directory, or one with layers in it.
    pub fn new(root: &'a Fd, how: &'a How) -> Result<Tree<'a>> {
        let root_path = look::link(root.proc_path());
        let root_path = root_path.ok_or_else(|| Error::yours("/proc is not mounted"))?;
        Ok(Tree {
            root,
            root_path,
            how,
            pending: BTreeMap::from([(PathBuf::new(), Meta::implied())]),
            cache: Cache::default(),
            now: Layer::default(),
            tally: Tally::default(),
            keys: RandomState::new(),
        })
    }

    /// Puts one layer on top: the directories that it implies and does not name.
    pub fn layer(
        &mut self,
        k: &Kernel,
        compressed: &mut (dyn Read + Send),
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<Vec<PathBuf>> {
        (self.now, self.cache) = (Layer::default(), Cache::default());
        self.now.touched.insert(PathBuf::new());
        let (how, place) = (self.how, self.root_path.clone());
        let sums = k.bulk(&place, |k| {
            let read = |stream: &mut dyn Stream| self.entries(k, &mut Reader::new(stream));
            inflated(compressed, layer, diff_id, &how.limits, read).map(|(_, sums)| Some(sums))
        });
        let sums = sums.map_err(|e| e.at(format!("layer {}", layer.digest.short())))?;
        if let Some(sums) = &sums {
            tell_checked(k, layer, diff_id, sums);
            is_the_one(diff_id, sums)
                .map_err(|e| e.at(format!("layer {}", layer.digest.short())))?;
        }
        self.tally.layers += 1;
        let implied = self.now.touched.iter().filter(|path| !self.is_named(path));
        Ok(implied.cloned().collect())
    }

    fn entries(&mut self, k: &Kernel, reader: &mut Reader) -> Result<()> {
        while let Some(entry) = reader.entry()? {
            stop::go_on()?;
            if reader.headers > self.how.limits.entries {
                let text = format!("more than {} entries", self.how.limits.entries);
                return Err(Error::yours(text).because("no layer is expected to have more"));
            }
            let named = String::from_utf8_lossy(&entry.path).into_owned();
            self.entry(k, reader, entry).map_err(|e| e.at(named))?;
        }
        Ok(())
    }

    /// Gives the directories their owners, modes and times: the deepest first, for one may be closed to
    /// this user from then on.
    pub fn finish(mut self, k: &Kernel) -> Result<Tally> {
        let place = self.root_path.clone();
        let pending = std::mem::take(&mut self.pending);
        k.bulk(&place, |k| {
            for (path, meta) in pending.iter().rev() {
                stop::go_on()?;
                let (path_, flags) = (crate::sys::below::relative(path), OFlag::O_DIRECTORY);
                let resolve = ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV;
                let call = Openat2 { dir: self.root.at(), path: path_, flags, mode: 0, resolve };
                let dir = k.ask(call, &[Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP])?;
                meta.of_directory(k, &dir, self.how, &mut self.tally)?;
            }
            Ok(())
        })?;
        Ok(self.tally)
    }

    fn key(&self, path: &Path) -> u64 {
        self.keys.hash_one(path.as_os_str().as_bytes())
    }

    /// This layer has made this, whatever it is. For overlay that is told by what is there.
    pub(super) fn has_made(&mut self, path: &Path) {
        if self.is_overlay() {
            return;
        }
        let key = self.key(path);
        self.now.made.insert(key);
    }

    pub(super) fn is_made(&self, path: &Path) -> bool {
        self.now.made.contains(&self.key(path)) || self.now.touched.contains(path)
    }

    pub(super) fn names(&mut self, path: &Path) {
        let key = self.key(path);
        self.now.named.insert(key);
    }

    pub(super) fn is_named(&self, path: &Path) -> bool {
        self.now.named.contains(&self.key(path))
    }

    /// Something is gone: what waited for it, and ways that led through it.
    pub(super) fn is_gone(&mut self, path: &Path) {
        self.cache = Cache::default();
        let below = self.pending.range(path.to_owned()..);
        let below = below.map(|(path, _)| path).take_while(|other| other.starts_with(path));
        let below: Vec<PathBuf> = below.cloned().collect();
        below.iter().for_each(|path| drop(self.pending.remove(path)));
        let below = self.now.touched.range(path.to_owned()..);
        let below = below.take_while(|other| other.starts_with(path));
        let below: Vec<PathBuf> = below.cloned().collect();
        below.iter().for_each(|path| {
            self.now.touched.remove(path);
        });
    }
}
