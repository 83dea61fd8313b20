//! Pulling: from somebody who has an image into the store.
//!
//! ```text
//!   name ─► top ─► (index ─► the one for this platform) ─► manifest ─► config
//!                                                             │
//!                                   layers, some at once ◄────┘      then the name, last of all
//! ```
//!
//! What is in the store already, and is what its digest says, is not asked for again; what is damaged is. Each blob goes straight into its file there, and through
//! its digest on the way; one that breaks off stays, and the next pull goes on with it. The name comes last: a
//! pull that ends early leaves the name as it was. The index is kept whole, so that the digest behind a tag is
//! the registry's own; the images for other platforms are not fetched.

mod bars;
mod ear;
mod layers;
mod stream;

use std::io::Write;

use super::document::{Config, Descriptor, Index, LARGEST, Manifest, Platform};
use super::layer::How;
use super::origin::Source;
use super::store::{Image, Store};
use crate::error::{Error, Result, WayOut};
use crate::event::{Event, Lane};
use crate::sys::{Kernel, Manner, look};
use ear::Ear;

/// How many indexes may stand in one another.
const DEEPEST: usize = 4;

/// How many layers come at once, where nobody says otherwise, as docker has it: registries count how many lines one
/// opens.
const AT_ONCE: usize = 3;

/// How a pull is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shows on a terminal how far each layer is.
    pub bars: bool,
    /// How many layers come at once.
    pub at_once: usize,
    /// Unpacks each layer into its directory in the store, while it comes.
    pub unpack: Option<How>,
    /// The platform was asked for by name: an image for another is refused, and not only warned of.
    pub insists: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { bars: false, at_once: AT_ONCE, unpack: None, insists: false }
    }
}

/// Brings an image into the store, under this name: the descriptor of what the name means.
pub fn pull(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    name: &str,
    wish: &Platform,
    options: &Options,
) -> Result<Descriptor> {
    let ear = Ear::of(k);
    let done = ear.listen(|k| {
        let _hold = store.hold(k)?;
        let top = image(k, store, source, wish, options)?;
        store.name(k, name, &top)?;
        Ok(top)
    });
    if done.is_ok() {
        ear.sum_up(store.dir());
    }
    done
}

fn image(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    wish: &Platform,
    options: &Options,
) -> Result<Descriptor> {
    let (top, bytes) = source.top(k)?;
    let others = match top.is_index() {
        true => Index::parse(&bytes).map_err(|e| e.at(source.name()))?.manifests,
        false => vec![],
    };
    let mut indexes = vec![];
    let (descriptor, bytes) = chosen(k, store, source, wish, (top.clone(), bytes), &mut indexes)?;
    let manifest = Manifest::parse(&bytes).map_err(|e| e.at(source.name()))?;
    // What cannot be unpacked is not fetched.
    manifest.layers.iter().try_for_each(|layer| layer.compression().map(drop))?;
    if manifest.config.size > LARGEST {
        let text = format!("config: {} bytes, more than {LARGEST}", manifest.config.size);
        return Err(Error::yours(text).at(source.name()));
    }
    let config = Config::parse(&config(k, store, source, &manifest.config)?, &manifest)?;
    let image = Image { descriptor, manifest, config };
    match image.is_for(wish) {
        Err(e) if options.insists => return Err(e.at(source.name())),
        Err(e) => k.tell(|_| Event::Warning { text: e.to_string() }),
        Ok(()) => {}
    }
    // One that is damaged is taken away, and comes like one that was never here.
    image.manifest.layers.iter().try_for_each(|layer| store.has_sound(k, layer).map(drop))?;
    if let Some(how) = &options.unpack {
        match stream::unpacked(k, store, source, &image, how, options) {
            Err(e) if e.way_out == Some(WayOut::OneTree) => {
                let why = e.diagnosis.as_deref().unwrap_or("no directory each can do");
                let text = format!("The layers stay packed: {e}: {why}.");
                k.tell(|_| Event::Warning { text });
            }
            unpacked => unpacked?,
        }
    }
    layers::all(k, store, source, &image.manifest.layers, options)?;
    // All that it names is there: of an index, an image is here in full, or not at all.
    keep(k, store, &image.descriptor, &bytes)?;
    indexes.iter().rev().try_for_each(|(what, bytes)| keep(k, store, what, bytes))?;
    for what in others.iter().filter(|other| other.digest != image.descriptor.digest) {
        complete(k, store, source, what, options)?;
    }
    Ok(top)
}

/// The image for another platform, of which something is here: what is damaged or missing of it comes too, since a
/// name is given to what is here in full.
fn complete(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    what: &Descriptor,
    options: &Options,
) -> Result<()> {
    if !what.is_manifest() || !store.has(what) {
        return Ok(());
    }
    if !store.has_sound(k, what)? {
        keep(k, store, what, &source.document(k, what)?)?;
    }
    let manifest = Manifest::parse(&store.read(&silent(), what)?)?;
    config(k, store, source, &manifest.config)?;
    manifest.layers.iter().try_for_each(|layer| store.has_sound(k, layer).map(drop))?;
    layers::all(k, store, source, &manifest.layers, options)
}

/// A document as it came, or was here.
type Document = (Descriptor, Vec<u8>);

/// The manifest for this platform, wherever below the top it is; and on the way there, the indexes that lead to it.
fn chosen(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    wish: &Platform,
    top: Document,
    indexes: &mut Vec<Document>,
) -> Result<Document> {
    let (mut what, mut bytes) = top;
    while what.is_index() {
        if indexes.len() == DEEPEST {
            return Err(Error::yours("indexes in indexes, too deep").at(source.name()));
        }
        let index = Index::parse(&bytes).map_err(|e| e.at(source.name()))?;
        let next = wish.choose(&index).map_err(|e| e.at(source.name()))?.clone();
        let below = match store.has_sound(k, &next)? {
            true => store.read(k, &next)?,
            false => source.document(k, &next)?,
        };
        indexes.push((std::mem::replace(&mut what, next), std::mem::replace(&mut bytes, below)));
    }
    Ok((what, bytes))
}

fn config(k: &Kernel, store: &Store, source: &dyn Source, what: &Descriptor) -> Result<Vec<u8>> {
    if store.has_sound(k, what)? {
        return store.read(k, what);
    }
    let came = layers::fetch(k, store, source, what, &layers::Progress::none());
    came.map_err(|e| e.at("config"))?;
    // It was told when it came.
    store.read(&silent(), what)
}

fn silent() -> Kernel<'static> {
    Kernel::new(Manner::Silent, Lane::Runtime, look::pid())
}

/// Puts a document into the store. It was checked, and told, when it came.
fn keep(k: &Kernel, store: &Store, what: &Descriptor, bytes: &[u8]) -> Result<()> {
    // What is damaged makes room for it.
    store.has_sound(k, what)?;
    let k = &silent();
    let mut incoming = store.begin(k, what)?;
    if !incoming.is_there() {
        incoming.restart()?;
        incoming.write_all(bytes)?;
    }
    incoming.finish(k)
}
