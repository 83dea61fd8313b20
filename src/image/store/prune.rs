//! Taking away what nobody can reach: blobs without a name, unpacked layers of no image, dead beginnings.
//!
//! It is done alone: whoever adds to the store holds `adding.lock`, and is waited for. So whatever is in
//! `ingest/` then was left by somebody who is dead. Where it is in doubt what a document points at, since
//! it cannot be read, nothing is taken away: better too much is kept than an image broken.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::reach::Tree;
use super::{MENDS, Store, chain_ids, files};
use crate::error::{Error, Named, Result, WayOut};
use crate::image::digest::{Algorithm, Digest};
use crate::sys::{Kernel, copy, look, stop};

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
    /// What has files that are not this user's, and so is there still.
    pub kept: Vec<PathBuf>,
}

impl Pruned {
    /// Removes an unpacked layer, unless this user may not: whether it is gone.
    fn layer(&mut self, k: &Kernel, path: &Path) -> Result<bool> {
        match remove_layer(k, path) {
            Ok(bytes) => self.bytes += bytes,
            Err(e) if e.way_out == Some(WayOut::AsOwner) => {
                self.kept.push(path.to_owned());
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
        Ok(true)
    }
}

impl Store {
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
                        let gone = pruned.layer(k, &path)?;
                        pruned.layers += usize::from(gone);
                    }
                }
            }
            for path in self.unfinished().into_iter().filter(|_| unfinished) {
                let gone = match path.is_dir() {
                    true => pruned.layer(k, &path)?,
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

    /// What is not finished, in `ingest/` and below `layers/`.
    pub(super) fn unfinished(&self) -> Vec<PathBuf> {
        let list = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
        let is_tmp = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"tmp-"))
        };
        let mut paths: Vec<PathBuf> = list(self.dir().join("ingest")).map(|e| e.path()).collect();
        let sets = self.layer_sets().into_iter().flat_map(list);
        paths.extend(sets.map(|e| e.path()).filter(is_tmp));
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

/// Removes an unpacked layer: how many bytes it had. It loses its name first, so that no half of it is
/// ever taken for the whole.
fn remove_layer(k: &Kernel, path: &Path) -> Result<u64> {
    let bytes = open_up(path)?;
    let doomed = match path.file_name().unwrap_or_default().to_string_lossy() {
        name if name.starts_with("tmp-") => path.to_owned(),
        name => {
            let layers = path.ancestors().nth(2).unwrap_or(path);
            let doomed = layers.join(format!("tmp-{name}"));
            if doomed.is_dir() {
                remove_layer(k, &doomed)?;
            }
            // Without root's rights a closed directory cannot be moved: rename(2).
            k.call(crate::sys::Fchmodat { dir: crate::sys::At::CWD, path, mode: 0o700 })?;
            k.call(crate::sys::Renameat { from: path, to: &doomed })?;
            doomed
        }
    };
    copy::remove_tree(k, &doomed)?;
    Ok(bytes)
}

/// Without root's rights, a directory that may not be written to keeps what is in it.
///
/// # Errors
/// One that is somebody else's; those that were looked into before may be open then.
#[expect(clippy::disallowed_methods, reason = "a tree that is removed in the next moment")]
fn open_up(dir: &Path) -> Result<u64> {
    stop::go_on()?;
    let meta = dir.symlink_metadata().named(dir)?;
    let (own, _) = look::ids();
    if own != 0 && meta.uid() != own {
        let text = format!("{} is not this user's", dir.display());
        return Err(Error::yours(text).or_else_by(WayOut::AsOwner));
    }
    if own != 0 && meta.mode() & 0o700 != 0o700 {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).named(dir)?;
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(|e| not_ours(e, dir))? {
        let entry = entry.named(dir)?;
        bytes += match entry.file_type().named(dir)?.is_dir() {
            true => open_up(&entry.path())?,
            false => entry.metadata().map_or(0, |meta| meta.len()),
        };
    }
    Ok(bytes)
}

/// Root of a namespace may not look where an id is that the namespace does not have.
fn not_ours(e: std::io::Error, dir: &Path) -> Error {
    let denied = e.kind() == std::io::ErrorKind::PermissionDenied;
    let e = Error::from(e).at(dir.display().to_string());
    if denied { e.or_else_by(WayOut::AsOwner) } else { e }
}
