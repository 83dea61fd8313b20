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
            what = self.chosen(&Index::parse(&bytes)?, wish)?;
        }
        Err(Error::yours(format!("{}: indexes in indexes, too deep", what.digest)))
    }

    /// Of those that fit, one that is here; of those, the first.
    fn chosen(&self, index: &Index, wish: &Platform) -> Result<Descriptor> {
        let fits = |candidate: &&Descriptor| {
            candidate.platform.as_ref().is_none_or(|platform| {
                let any = |variant: &Option<String>| variant.as_ref().is_none();
                let same = platform.variant == wish.variant;
                (&platform.os, &platform.architecture) == (&wish.os, &wish.architecture)
                    && (same || any(&platform.variant) || any(&wish.variant))
            })
        };
        let mut fitting: Vec<&Descriptor> = index.manifests.iter().filter(fits).collect();
        fitting.sort_by_key(|candidate| !self.has(candidate));
        fitting.first().map(|first| (*first).clone()).ok_or_else(|| {
            let word = |p: &Platform| format!("{}/{}", p.os, p.architecture);
            let there: Vec<String> =
                index.manifests.iter().filter_map(|m| m.platform.as_ref().map(word)).collect();
            Error::yours(format!("there is no image for {}", word(wish)))
                .because(format!("the index has {}", there.join(", ")))
        })
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
