//! Unpacked layers, in sets: one is the store's usual, and one is of each namespace that a user unpacked in.
//!
//! Root's layers have the owners that their archives name. A user without root has one id, and all is its, or more
//! by subuid(5): then files belong to these, which only root of a namespace with the same maps can give, or take
//! away. One layer may be in several sets, and is another tree in each.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Store;
use crate::error::Result;
use crate::image::digest::{Algorithm, Digest};
use crate::sys::idmap::{Maps, Range};
use crate::sys::{At, Kernel, Unlinkat};

/// How the folder of a namespace's set begins.
const IDS: &str = "ids-";

impl Store {
    /// Where a layer is unpacked, by its chain id. What is there is complete: it is made in
    /// `layers/tmp-...` under a [hold](Store::hold), and renamed.
    pub fn layer_dir(&self, chain: &Digest) -> PathBuf {
        let layers = match &self.ids {
            Some(ids) => self.layers().join(ids),
            None => self.layers(),
        };
        layers.join(chain.algorithm().name()).join(chain.hex())
    }

    /// The same store with the layers whose owners are ids of these maps, as root of a namespace with them
    /// unpacks them. Others of the same digests, all of one owner, may be beside them.
    pub fn mapped(self, maps: &Maps) -> Store {
        let text = |map: &[Range]| {
            let lines = map.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.size));
            lines.collect::<String>()
        };
        let ids = Digest::of([text(&maps.uids), text(&maps.gids)].join("\n").as_bytes());
        Store { ids: Some(format!("{IDS}{}", ids.short())), ..self }
    }

    /// The folders that unpacked layers are in: the usual one, and one for each set of maps.
    pub(super) fn layer_sets(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.layers()).into_iter().flatten().flatten();
        let named = |entry: &std::fs::DirEntry| {
            entry.file_name().as_encoded_bytes().starts_with(IDS.as_bytes())
        };
        let mut sets: Vec<PathBuf> = entries.filter(named).map(|entry| entry.path()).collect();
        sets.sort();
        sets.insert(0, self.layers());
        sets
    }

    /// Whether a set is of another namespace than this store's: nobody will join its layers any more.
    pub(super) fn is_old(&self, set: &Path) -> bool {
        let is_usual = set == self.layers();
        self.ids.as_ref().is_some_and(|ids| !is_usual && set != self.layers().join(ids))
    }

    /// Nobody adds to the store meanwhile.
    pub(super) fn remove_empty_sets(&self, k: &Kernel) -> Result<()> {
        let expected = [Errno::ENOENT, Errno::ENOTEMPTY];
        let remove = |path: &Path| match k
            .ask(Unlinkat { dir: At::CWD, path, directory: true }, &expected)
        {
            Err(e) if e.errno().is_some_and(|errno| expected.contains(&errno)) => Ok(()),
            answer => answer,
        };
        for set in self.layer_sets().into_iter().filter(|set| *set != self.layers()) {
            for algorithm in Algorithm::ALL {
                remove(&set.join(algorithm.name()))?;
            }
            remove(&set)?;
        }
        Ok(())
    }

    /// Whether some of it can only be taken away as root of a namespace with this user's ids.
    pub fn has_mapped(&self) -> bool {
        self.layer_sets().len() > 1
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }
}
