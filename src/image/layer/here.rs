//! Inflating a small layer where its files are made, without a thread beside.
//!
//! For a few megabytes a thread is not worth its start. The rest is as in [`super::inflate`]: the same
//! limits, and the same two digests on the way.

use std::io::Read;

use super::Limits;
use super::inflate::{Came, PIECE, Sums, decoder, fill, not_inflated};
use super::tar::Stream;
use crate::error::Result;
use crate::image::digest::{Digest, Sum};
use crate::image::document::{Compression, Descriptor};
use crate::sys::stop;

/// What is small, in compressed bytes.
pub(super) const SMALL: u64 = 4 << 20;

/// The archive's bytes, as they are asked for.
struct Here<'a> {
    reader: Box<dyn Read + 'a>,
    kind: Compression,
    limits: &'a Limits,
    size: u64,
    sum: Sum,
    bytes: u64,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
    damaged: bool,
}

impl Stream for Here<'_> {
    fn look(&mut self) -> Result<&[u8]> {
        if self.at == self.piece.len() && !self.ended {
            stop::go_on()?;
            self.next().inspect_err(|_| self.damaged = true)?;
        }
        Ok(&self.piece[self.at..])
    }

    fn done(&mut self, count: usize) {
        self.at += count;
    }
}

impl Here<'_> {
    fn next(&mut self) -> Result<()> {
        self.piece.resize(PIECE, 0);
        let count = fill(&mut self.reader, &mut self.piece);
        self.piece.truncate(*count.as_ref().unwrap_or(&0));
        let count = count.map_err(|e| not_inflated(&e, self.kind))?;
        (self.at, self.ended) = (0, count == 0);
        self.bytes += count as u64;
        self.limits.hold(self.bytes, self.size)?;
        self.sum.update(&self.piece);
        Ok(())
    }
}

/// Hands the archive's bytes to `work`. What that leaves is read for its digest.
pub(super) fn inflated<T>(
    mut came: Came,
    layer: &Descriptor,
    diff_id: &Digest,
    limits: &Limits,
    work: impl FnOnce(&mut dyn Stream) -> Result<T>,
) -> Result<(T, Sums)> {
    let kind = layer.compression()?;
    let sum = Sum::new(diff_id.algorithm());
    let (done, sum, bytes, damaged) = worked(&mut came, kind, layer.size, (limits, sum), work)?;
    match done {
        Ok(done) => {
            let compressed = came.finish(layer)?;
            Ok((done, Sums { compressed, archive: (sum.finish(), bytes) }))
        }
        // A damaged layer says so itself, most often in words that do not help: its digest does.
        Err(e) if damaged => Err(match came.finish(layer) {
            Ok(_) => e,
            Err(other) => other.because(e.to_string()),
        }),
        Err(e) => Err(e),
    }
}

/// Does the work: its answer, the archive's digest in the making and its length, and whether it was damaged.
fn worked<T>(
    came: &mut Came,
    kind: Compression,
    size: u64,
    (limits, sum): (&Limits, Sum),
    work: impl FnOnce(&mut dyn Stream) -> Result<T>,
) -> Result<(Result<T>, Sum, u64, bool)> {
    let mut stream = Here {
        reader: decoder(came, kind, size)?,
        kind,
        limits,
        size,
        sum,
        bytes: 0,
        piece: Vec::new(),
        at: 0,
        ended: false,
        damaged: false,
    };
    let done = work(&mut stream).and_then(|done| {
        while !stream.ended {
            let count = stream.look()?.len();
            stream.done(count);
        }
        Ok(done)
    });
    Ok((done, stream.sum, stream.bytes, stream.damaged))
}
