//! What hangs on a descriptor: the index, its manifests, their configs and layers.
//!
//! An index names an image for each platform, and only those that somebody wanted are here. So of an
//! index's manifests some may be missing, though not all; of a manifest nothing may.

use std::collections::BTreeMap;

use super::Store;
use crate::error::{Error, Result};
use crate::event::Lane;
use crate::image::digest::Digest;
use crate::image::document::{Config, Descriptor, Index, LARGEST, Manifest};
use crate::sys::{Kernel, Manner, look};

/// How many indexes may stand in one another.
const DEEPEST: usize = 4;

/// All that is reached from one descriptor.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Each blob that is here, with its size as it is said.
    pub blobs: BTreeMap<Digest, u64>,
    /// The images in it that are here.
    pub manifests: Vec<(Descriptor, Manifest, Option<Config>)>,
    /// What is missing, or is not what it should be.
    pub lacks: Vec<Lack>,
}

#[derive(Debug)]
pub(super) struct Lack {
    /// As a sentence.
    pub what: String,
    /// It is a document: what it points at is not known.
    pub hides: bool,
}

impl Tree {
    pub(super) fn of(store: &Store, top: &Descriptor) -> Result<Tree> {
        // Looking is not told: whoever uses what is found here reads it again.
        let k = Kernel::new(Manner::Silent, Lane::Runtime, look::pid());
        let mut tree = Tree::default();
        if !top.is_index() && !top.is_manifest() {
            let what =
                format!("{} is said to be {:?}, which is no image", top.digest, top.media_type);
            tree.lacks.push(Lack { what, hides: true });
        }
        tree.add(&k, store, top, 0);
        Ok(tree)
    }

    fn add(&mut self, k: &Kernel, store: &Store, what: &Descriptor, depth: usize) {
        let is_document = what.is_index() || what.is_manifest();
        if self.blobs.contains_key(&what.digest) || !self.blob(store, what, is_document) {
            return;
        }
        if is_document && let Err(e) = self.document(k, store, what, depth) {
            let what = match &e.diagnosis {
                Some(why) => format!("{e}: {why}"),
                None => e.to_string(),
            };
            self.lacks.push(Lack { what, hides: true });
        }
    }

    fn document(
        &mut self,
        k: &Kernel,
        store: &Store,
        what: &Descriptor,
        depth: usize,
    ) -> Result<()> {
        let bytes = store.read(k, what)?;
        if what.is_manifest() {
            let manifest = Manifest::parse(&bytes)?;
            for layer in &manifest.layers {
                self.blob(store, layer, false);
            }
            let mut config = None;
            if self.blob(store, &manifest.config, true) && manifest.config.size <= LARGEST {
                // What is no image (a chart, a signature) has a config of another kind.
                config = Config::parse(&store.read(k, &manifest.config)?, &manifest).ok();
            }
            self.manifests.push((what.clone(), manifest, config));
            return Ok(());
        }
        let index = Index::parse(&bytes)?;
        let here: Vec<&Descriptor> = index.manifests.iter().filter(|m| store.has(m)).collect();
        if depth == DEEPEST {
            return Err(Error::yours(format!("{}: indexes in indexes, too deep", what.digest)));
        }
        if here.is_empty() {
            let what = format!("of the index {} no image is here", what.digest);
            self.lacks.push(Lack { what, hides: false });
        }
        here.into_iter().for_each(|manifest| self.add(k, store, manifest, depth + 1));
        Ok(())
    }

    /// Whether a blob is here; notes it either way.
    fn blob(&mut self, store: &Store, what: &Descriptor, hides: bool) -> bool {
        if store.has(what) {
            self.blobs.insert(what.digest.clone(), what.size);
            return true;
        }
        let size = look::size(store.blob_file(&what.digest));
        let what = match size {
            None => format!("{} {} is not here", super::word(what), what.digest),
            Some(size) => {
                format!("{} has {size} bytes, where {} are said of it", what.digest, what.size)
            }
        };
        self.lacks.push(Lack { what, hides });
        false
    }
}

/// What is said of an image in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// None where another tool has put it in without one.
    pub name: Option<String>,
    /// Of the index or manifest that the name means.
    pub digest: Digest,
    /// How many bytes it takes: what is here of it, each blob once.
    pub size: u64,
    /// Those that are here: `linux/amd64`.
    pub platforms: Vec<String>,
    /// RFC 3339, as the config of the first says it.
    pub created: Option<String>,
    /// What is missing of it, or damaged.
    pub lacks: Vec<String>,
}

impl Store {
    /// What is known of an image without unpacking it.
    pub fn listed(&self, what: &Descriptor) -> Result<Listed> {
        let tree = Tree::of(self, what)?;
        // A config need not say its variant; an index does, where there are several.
        let platform = |manifest: &(Descriptor, Manifest, Option<Config>)| {
            let mut platform = manifest.2.as_ref()?.platform.clone();
            let said = manifest.0.platform.as_ref().and_then(|said| said.variant.clone());
            platform.variant = platform.variant.or(said);
            Some(platform.to_string())
        };
        let platforms = tree.manifests.iter().filter_map(platform).collect();
        let configs: Vec<&Config> = tree.manifests.iter().filter_map(|m| m.2.as_ref()).collect();
        Ok(Listed {
            name: what.ref_name().map(str::to_owned),
            digest: what.digest.clone(),
            size: tree.blobs.values().sum(),
            platforms,
            created: configs.iter().find_map(|config| config.created.clone()),
            lacks: tree.lacks.into_iter().map(|lack| lack.what).collect(),
        })
    }
}
