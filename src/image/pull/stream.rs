//! Layers that are unpacked while they come: one pass from the line to files.
//!
//! ```text
//!   source ─► this reader ─┬─► the layer's reader: sha256, inflate, sha256, files
//!                          └─► the blob's file in the store
//! ```
//!
//! A layer of which an earlier pull has left a part is fetched to its end first, and then read from the store; and so
//! is one that is there already.

use std::io::{self, Read, Write};

use indicatif::ProgressBar;

use super::bars::Bars;
use super::{Options, layers, silent};
use crate::error::Result;
use crate::image::document::Descriptor;
use crate::image::layer::{How, layer_dirs_from};
use crate::image::origin::Source;
use crate::image::store::{Image, Incoming, Store};
use crate::sys::Kernel;

/// Unpacks an image's layers, each into its directory in the store, from wherever they are.
pub(super) fn unpacked(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    image: &Image,
    how: &How,
    options: &Options,
) -> Result<()> {
    let bars = Bars::new(options.bars);
    let open = |k: &Kernel, what: &Descriptor| open(k, store, source, what, &bars);
    let answer = layer_dirs_from(k, store, image, how, &open);
    bars.clear();
    image.manifest.layers.iter().for_each(|layer| source.retell(k, layer));
    answer.map(|(_, tally)| tally.tell(k))
}

fn open(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    what: &Descriptor,
    bars: &Bars,
) -> Result<Box<dyn Read + Send>> {
    let incoming = store.begin(k, what)?;
    if incoming.was_resumed() {
        drop(incoming);
        layers::fetch(k, store, source, what, &layers::Progress::none())?;
    } else if !incoming.is_there() {
        let reader = source.blob(k, what, 0)?;
        return Ok(Box::new(Stream { reader, incoming: Some(incoming), bar: bars.add(what) }));
    }
    Ok(Box::new(store.blob(what)?))
}

/// What is read of it is kept.
struct Stream {
    reader: Box<dyn Read + Send>,
    /// None once the blob has its name.
    incoming: Option<Incoming>,
    bar: ProgressBar,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Some(incoming) = self.incoming.as_mut().filter(|_| count > 0) {
            incoming.write_all(&buffer[..count])?;
            self.bar.set_position(incoming.have());
        } else if let Some(incoming) = self.incoming.take().filter(|_| !buffer.is_empty()) {
            self.bar.finish_and_clear();
            // Whoever reads it tells what the digest is.
            incoming.finish(&silent()).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}
