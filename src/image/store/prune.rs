//! Taking away what nobody can reach: blobs without a name, unpacked layers of no image, dead beginnings.
//!
//! It is done alone: whoever adds to the store holds `adding.lock`, and is waited for. So whatever is in
//! `ingest/` then was left by somebody who is dead. Where it is in doubt what a document points at, since
//! it cannot be read, nothing is taken away: better too much is kept than an image broken.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::files::Hold;
use super::reach::Tree;
use super::{ADDING, MENDS, Store, chain_ids, files};
use crate::error::{Error, Result};
use crate::image::digest::{Algorithm, Digest};
use crate::sys::{Kernel, Renameat, copy, look, stop};

/// How a folder below `layers/` begins that is not a whole layer.
const UNFINISHED: &str = "tmp-";

/// What was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Pruned {
    pub blobs: usize,
    /// Unpacked ones.
    pub layers: usize,
    /// Beginnings of blobs and layers.
    pub unfinished: usize,
    /// Of all of them together.
    pub bytes: u64,
    /// Layers with files that are not this user's, and so are there still, as unfinished ones.
    pub kept: Vec<PathBuf>,
}

impl Store {
    /// Whether another learnc is adding to it: whoever takes something away has to wait for that.
    pub fn is_added_to(&self, k: &Kernel) -> Result<bool> {
        Hold::is_held(k, &self.dir().join(ADDING))
    }

    /// Takes away all that nobody can reach.
    pub fn prune(&self, k: &Kernel) -> Result<Pruned> {
        self.sweep(k, true)
    }

    /// The same, where `unfinished` says whether beginnings go too, which the next pull would go on with. What this
    /// user may not remove is left, and named.
    pub fn sweep(&self, k: &Kernel, unfinished: bool) -> Result<Pruned> {
        let _alone = self.hold_alone(k)?;
        let (blobs, chains) = self.reached()?;
        let used = self.used(k)?;
        let mut pruned = Pruned::default();
        k.bulk(self.dir(), |k| {
            for (digest, path) in digests_in(&self.dir().join("blobs")) {
                if !blobs.contains(&digest) {
                    pruned.bytes += look::size(&path).unwrap_or(0);
                    files::remove(k, &path)?;
                    pruned.blobs += 1;
                }
            }
            for set in self.layer_sets() {
                let is_old = self.is_old(&set);
                for (digest, path) in digests_in(&set) {
                    if !used.contains(&digest) && (is_old || !chains.contains(&digest)) {
                        let gone = self.remove_layer(k, &path, &mut pruned)?;
                        pruned.layers += usize::from(gone);
                    }
                }
            }
            let beginnings = if unfinished { self.unfinished() } else { vec![] };
            for path in beginnings {
                if pruned.kept.contains(&path) {
                    continue;
                }
                let gone = match path.is_dir() {
                    true => self.remove_layer(k, &path, &mut pruned)?,
                    false => {
                        pruned.bytes += look::size(&path).unwrap_or(0);
                        files::remove(k, &path)?;
                        true
                    }
                };
                pruned.unfinished += usize::from(gone);
            }
            self.remove_empty_sets(k)
        })?;
        Ok(pruned)
    }

    /// Removes an unpacked layer, unless files of others are in it: whether it is gone. It loses its name first,
    /// so that no half of it is ever taken for the whole.
    fn remove_layer(&self, k: &Kernel, path: &Path, pruned: &mut Pruned) -> Result<bool> {
        let is_root = self.ids.is_none() && look::ids().0 == 0;
        let doomed = lose_name(k, path)?;
        match open_up(&doomed).and_then(|bytes| copy::remove_tree(k, &doomed).map(|_| bytes)) {
            Ok(bytes) => pruned.bytes += bytes,
            Err(e) if !is_root && matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM)) => {
                pruned.kept.push(doomed);
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    /// The layers of containers that are there. What is said of others is taken away.
    fn used(&self, k: &Kernel) -> Result<BTreeSet<Digest>> {
        let mut chains = BTreeSet::new();
        for (file, user) in self.users() {
            match user {
                Ok(user) if user.is_there() => chains.extend(user.layers),
                Ok(_) => files::remove(k, &file)?,
                Err(e) => return Err(e),
            }
        }
        Ok(chains)
    }

    /// Every blob and every chain id that a name leads to.
    fn reached(&self) -> Result<(BTreeSet<Digest>, BTreeSet<Digest>)> {
        let (mut blobs, mut chains) = (BTreeSet::new(), BTreeSet::new());
        for image in self.images()? {
            let tree = Tree::of(self, &image)?;
            if let Some(lack) = tree.lacks.iter().find(|lack| lack.hides) {
                let name = image.ref_name().unwrap_or(image.digest.as_str());
                return Err(Error::yours(format!("{name}: {}", lack.what))
                    .because("so it is not known what belongs to it, and nothing was taken away")
                    .try_this(format!("learnc rmi {name}, or {MENDS}")));
            }
            blobs.extend(tree.blobs.into_keys());
            for (_, _, config) in tree.manifests {
                chains.extend(config.iter().flat_map(|c| chain_ids(&c.rootfs.diff_ids)));
            }
        }
        Ok((blobs, chains))
    }

    /// What is not finished, in `ingest/` and below `layers/`: begun, or to be taken away.
    pub(super) fn unfinished(&self) -> Vec<PathBuf> {
        let list = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
        let is_tmp = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
        };
        let mut paths: Vec<PathBuf> = list(self.dir().join("ingest")).map(|e| e.path()).collect();
        for set in self.layer_sets() {
            let named = Algorithm::ALL.map(|algorithm| set.join(algorithm.name()));
            let places = named.into_iter().chain([set]).flat_map(list);
            paths.extend(places.map(|entry| entry.path()).filter(is_tmp));
        }
        paths.sort();
        paths
    }
}

/// `<algorithm>/<hex>` below a folder, as digests, in order. What has another name is not ours.
pub(super) fn digests_in(dir: &Path) -> Vec<(Digest, PathBuf)> {
    let mut found = vec![];
    for algorithm in Algorithm::ALL {
        let entries = std::fs::read_dir(dir.join(algorithm.name())).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let hex = path.file_name().unwrap_or_default().to_string_lossy();
            if let Ok(digest) = format!("{}:{hex}", algorithm.name()).parse() {
                found.push((digest, path));
            }
        }
    }
    found.sort();
    found
}

/// Gives an unpacked layer the name of an unfinished one. It stays in its folder: to move a directory to
/// another one, its owner must be able to write to it, by rename(2), and it may be closed or another id's.
fn lose_name(k: &Kernel, path: &Path) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(UNFINISHED) {
        return Ok(path.to_owned());
    }
    // One that could not be taken away may have the first of these names.
    let mut names = (0..).map(|number| path.with_file_name(format!("{UNFINISHED}{name}-{number}")));
    let doomed = names.find(|name| !look::exists(name)).expect("numbers do not end");
    k.call(Renameat { from: path, to: &doomed })?;
    Ok(doomed)
}

/// Without root's rights, a directory that may not be written to keeps what is in it. How many bytes there are
/// that this user can see; what it can not, the removal will say.
#[expect(clippy::disallowed_methods, reason = "a tree that is removed in the next moment")]
fn open_up(dir: &Path) -> Result<u64> {
    stop::go_on()?;
    let is_closed = |meta: Metadata| meta.mode() & 0o700 != 0o700;
    if look::ids().0 != 0 && dir.symlink_metadata().is_ok_and(is_closed) {
        let _ = std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700));
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { open_up(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}
