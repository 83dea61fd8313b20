//! Blobs that are there, held against their names; and what is damaged, taken away to be fetched anew.
//!
//! A name in `blobs/` says what was written, not what a disk gives back years later. Whoever pulls has the means
//! to mend it, so a pull believes the names no more than the check does.

use std::io::Read;
use std::path::Path;

use super::{MENDS, Store, files, tell};
use crate::error::{Error, Named, Result};
use crate::image::digest::{Digest, Sum};
use crate::image::document::Descriptor;
use crate::sys::{Kernel, stop};

impl Store {
    /// Whether a blob is there and is what its name says. One that is not is told, and removed.
    pub fn has_sound(&self, k: &Kernel, what: &Descriptor) -> Result<bool> {
        if !self.has(what) {
            return Ok(false);
        }
        let computed = self.sum_of(what)?;
        if computed.as_ref() != Some(&what.digest) {
            if let Some(computed) = computed {
                tell(k, what, &computed);
            }
            self.forget_damaged(k, what)?;
        }
        Ok(self.has(what))
    }

    /// Whether a blob is there under a name that is not its own; nothing is changed.
    pub fn is_damaged(&self, what: &Descriptor) -> bool {
        self.has(what) && self.sum_of(what).is_ok_and(|sum| sum.as_ref() != Some(&what.digest))
    }

    /// An error of making something of these layers, with what mends them where one of them is damaged.
    pub fn or_mended(&self, layers: &[Descriptor], e: Error) -> Error {
        match e.remedy.is_none() && layers.iter().any(|layer| self.is_damaged(layer)) {
            true => e.try_this(MENDS),
            false => e,
        }
    }

    /// Somebody else may have mended it since the look at it: so it is looked at again, one at a time.
    fn forget_damaged(&self, k: &Kernel, what: &Descriptor) -> Result<()> {
        let _one = self.lock_names(k)?;
        match self.has(what) && self.sum_of(what)?.as_ref() != Some(&what.digest) {
            true => files::remove(k, &self.blob_file(&what.digest)),
            false => Ok(()),
        }
    }

    /// None: it cannot be read to its end.
    fn sum_of(&self, what: &Descriptor) -> Result<Option<Digest>> {
        let mut buffer = vec![0; 256 * 1024];
        match sum_of(&self.blob_file(&what.digest), &what.digest, &mut buffer) {
            Err(e) if stop::go_on().is_err() => Err(e),
            answer => Ok(answer.ok().map(|(computed, _)| computed)),
        }
    }
}

/// What a file's bytes hash to, by the algorithm of this digest; and how many they are.
pub(super) fn sum_of(path: &Path, digest: &Digest, buffer: &mut [u8]) -> Result<(Digest, u64)> {
    let meta = path.symlink_metadata().named(path)?;
    if !meta.is_file() {
        return Err(Error::yours("it is no file"));
    }
    let (mut file, mut sum) =
        (std::fs::File::open(path).named(path)?, Sum::new(digest.algorithm()));
    loop {
        stop::go_on()?;
        match file.read(buffer).named(path)? {
            0 => return Ok((sum.finish(), meta.len())),
            count => sum.update(&buffer[..count]),
        }
    }
}
