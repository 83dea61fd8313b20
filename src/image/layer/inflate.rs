//! From a layer's compressed bytes to those of its archive, in a thread beside the one that makes files.
//!
//! gzip: RFC 1952, several members end to end. zstd: RFC 8878, several frames, and frames to be skipped.
//! Everything is held against a digest on its way: what came against the layer's, what it inflates to
//! against the config's diff_id.
//!
//! ```text
//!   reader ─► count, sha256 ─► inflate ─► count, sha256 ─► pieces ═══channel═══► the archive's reader
//!             └──────────── this thread ──────────────┘                         └─ its own thread ─┘
//! ```
//!
//! A few bytes can inflate to many, and be meant to. So there is a limit on how many, and, once there are
//! enough for it to matter, on how many times as many. A zstd frame may ask its reader to remember more
//! than there is memory: one that asks for more than 8 MiB, which RFC 8878 lets nobody insist on, is
//! refused.

use std::io::{BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::tar::Stream;
use super::{Limits, here};
use crate::error::{Error, Result};
use crate::image::digest::{Digest, Sum};
use crate::image::document::{Compression, Descriptor};
use crate::sys::stop;

/// A piece, in bytes, and how many of them there are: what the two threads may be apart.
pub(super) const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// The largest window of a zstd frame, as a power of two.
const WINDOW: u32 = 23;

/// What was computed on the way.
#[derive(Debug)]
pub struct Sums {
    pub compressed: (Digest, u64),
    pub archive: (Digest, u64),
}

/// Hands the archive's bytes to `work`, piece by piece. What `work` leaves is not read.
pub fn inflated<T>(
    compressed: &mut (dyn Read + Send),
    layer: &Descriptor,
    diff_id: &Digest,
    limits: &Limits,
    work: impl FnOnce(&mut dyn Stream) -> Result<T>,
) -> Result<(T, Sums)> {
    let kind = layer.compression()?;
    let sum = Sum::new(layer.digest.algorithm());
    let came = Came { from: compressed, sum, bytes: 0 };
    if layer.size <= here::SMALL {
        return here::inflated(came, layer, diff_id, limits, work);
    }
    let (send, pieces) = sync_channel(PIECES);
    let (give_back, spare) = sync_channel(PIECES);
    thread::scope(|scope| {
        let thread =
            scope.spawn(move || produce(came, kind, layer, diff_id, limits, &send, &spare));
        let mut stream = Pieces { pieces, give_back, now: Vec::new(), at: 0, ended: false };
        let done = work(&mut stream);
        drop(stream);
        let sums = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (done, sums) {
            (Ok(done), Ok(Some(sums))) => Ok((done, sums)),
            (Ok(_), Ok(None)) => Err(Error::yours("the layer's archive was not read to its end")),
            (Err(e), _) | (_, Err(e)) => Err(e),
        }
    })
}

/// The pieces, on the side of whoever reads the archive.
struct Pieces {
    pieces: Receiver<Result<Vec<u8>>>,
    give_back: SyncSender<Vec<u8>>,
    now: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Stream for Pieces {
    fn look(&mut self) -> Result<&[u8]> {
        while self.at == self.now.len() && !self.ended {
            let empty = std::mem::take(&mut self.now);
            if empty.capacity() > 0 {
                let _ = self.give_back.try_send(empty);
            }
            self.at = 0;
            match self.pieces.recv_timeout(Duration::from_millis(200)) {
                Ok(piece) => self.now = piece?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.ended = true,
            }
            stop::go_on()?;
        }
        Ok(&self.now[self.at..])
    }

    fn done(&mut self, count: usize) {
        self.at += count;
    }
}

/// The other side. None if nobody wants to read on; an error goes to the reader, too.
fn produce(
    mut came: Came,
    kind: Compression,
    layer: &Descriptor,
    diff_id: &Digest,
    limits: &Limits,
    send: &SyncSender<Result<Vec<u8>>>,
    spare: &Receiver<Vec<u8>>,
) -> Result<Option<Sums>> {
    let made = inflate(&mut came, kind, layer, diff_id, limits, send, spare);
    let made = match made {
        Ok(None) => return Ok(None),
        Ok(Some(archive)) => came.finish(layer).map(|compressed| Sums { compressed, archive }),
        // A damaged layer says so itself, most often in words that do not help: its digest does.
        Err(e) => match came.finish(layer) {
            Ok(_) => Err(e),
            Err(other) => Err(other.because(e.to_string())),
        },
    };
    if let Err(e) = &made {
        let _ = send.send(Err(e.clone()));
    }
    made.map(Some)
}

fn inflate(
    came: &mut Came,
    kind: Compression,
    layer: &Descriptor,
    diff_id: &Digest,
    limits: &Limits,
    send: &SyncSender<Result<Vec<u8>>>,
    spare: &Receiver<Vec<u8>>,
) -> Result<Option<(Digest, u64)>> {
    let (mut sum, mut bytes) = (Sum::new(diff_id.algorithm()), 0);
    let mut reader = decoder(came, kind, layer.size)?;
    loop {
        let mut piece = spare.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let count = fill(&mut reader, &mut piece).map_err(|e| not_inflated(&e, kind))?;
        piece.truncate(count);
        if count == 0 {
            return Ok(Some((sum.finish(), bytes)));
        }
        bytes += count as u64;
        limits.hold(bytes, layer.size)?;
        sum.update(&piece);
        if send.send(Ok(piece)).is_err() {
            return Ok(None);
        }
    }
}

pub(super) fn decoder<'a>(
    came: &'a mut Came,
    kind: Compression,
    size: u64,
) -> Result<Box<dyn Read + 'a>> {
    let came = BufReader::with_capacity(64 << 10, came.take(size.saturating_add(1)));
    Ok(match kind {
        Compression::None => Box::new(came),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(came)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(came)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
    })
}

/// As much as fits, or all that is left.
pub(super) fn fill(reader: &mut dyn Read, place: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < place.len() {
        match reader.read(&mut place[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(count)
}

pub(super) fn not_inflated(e: &std::io::Error, kind: Compression) -> Error {
    let name = match kind {
        Compression::None => return Error::yours(format!("its bytes end early: {e}")),
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    // The library's words for a window that is larger than was allowed.
    if e.to_string().contains("too much memory") {
        let text = "zstd: its window is larger than 8 MiB";
        return Error::yours(text)
            .because("whoever inflates it must keep that much of it in memory")
            .try_this("zstd without --long and --ultra keeps within that");
    }
    Error::yours(format!("{name}: {e}")).because("it is damaged, or no such stream at all")
}

/// The compressed bytes as they come.
pub(super) struct Came<'a> {
    from: &'a mut (dyn Read + Send),
    sum: Sum,
    bytes: u64,
}

impl Read for Came<'_> {
    fn read(&mut self, place: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(place)?;
        self.sum.update(&place[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

impl Came<'_> {
    /// Reads what nobody has asked for yet, and holds all of it against the layer's name.
    pub(super) fn finish(mut self, layer: &Descriptor) -> Result<(Digest, u64)> {
        let mut place = vec![0; 64 << 10];
        while self.bytes <= layer.size {
            stop::go_on()?;
            if fill(&mut self, &mut place)? == 0 {
                break;
            }
        }
        if self.bytes != layer.size {
            let came = if self.bytes > layer.size { "more".into() } else { self.bytes.to_string() };
            let text = format!("{} bytes were announced, and {came} came", layer.size);
            return Err(Error::yours(text));
        }
        let computed = self.sum.finish();
        match computed == layer.digest {
            true => Ok((computed, self.bytes)),
            false => Err(Error::yours("its bytes are not those that its digest names")
                .because(format!("asked for {}, computed {computed}", layer.digest))),
        }
    }
}
