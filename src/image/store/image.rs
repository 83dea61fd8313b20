//! One platform's image in the store: from a name's descriptor to manifest and config.
//!
//! Each document is held against the digest in the one above it. A layer's *chain id* names it together
//! with all below it: image-spec, config.md, "Layer ChainID".

use super::Store;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::document::{Config, Descriptor, Index, Manifest, Platform};
use crate::sys::Kernel;

/// How many indexes may stand in one another.
const DEEPEST: usize = 4;

/// An image that can be unpacked and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Of the manifest.
    pub descriptor: Descriptor,
    pub manifest: Manifest,
    pub config: Config,
}

impl Image {
    /// Whether it is for this platform.
    ///
    /// # Errors
    /// It is for another, which is said.
    pub fn is_for(&self, wish: &Platform) -> Result<()> {
        let there = &self.config.platform;
        if wish.runs(there) {
            return Ok(());
        }
        Err(Error::yours(format!("the image is for {there}, and {wish} was asked for"))
            .try_this(format!("--platform {there}, to look at it")))
    }

    /// By which its layers are found unpacked, the lowest first.
    pub fn chain_ids(&self) -> Vec<Digest> {
        chain_ids(&self.config.rootfs.diff_ids)
    }
}

impl Store {
    /// The image for this platform that a descriptor leads to.
    pub fn image(&self, k: &Kernel, what: &Descriptor, wish: &Platform) -> Result<Image> {
        let mut what = what.clone();
        for _ in 0..DEEPEST {
            let bytes = self.read(k, &what)?;
            if !what.is_index() {
                let manifest = Manifest::parse(&bytes)?;
                let config = Config::parse(&self.read(k, &manifest.config)?, &manifest)?;
                return Ok(Image { descriptor: what, manifest, config });
            }
            what = self.chosen(Index::parse(&bytes)?, wish)?;
        }
        Err(Error::yours(format!("{}: indexes in indexes, too deep", what.digest)))
    }

    /// The best of those that are here; only then of those that are not.
    fn chosen(&self, mut index: Index, wish: &Platform) -> Result<Descriptor> {
        let all = index.clone();
        index.manifests.retain(|manifest| self.has(manifest));
        wish.choose(&index).or_else(|_| wish.choose(&all)).cloned()
    }
}

/// Each layer's name together with all below it, the lowest first.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = vec![];
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}
