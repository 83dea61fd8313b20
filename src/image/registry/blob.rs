//! A blob as one stream, though the line under it breaks.
//!
//! RFC 9110, 14: `Range: bytes=N-`, answered by 206 and `Content-Range: bytes N-…/size`. A server may
//! ignore it and send everything again with 200: then what is known already is read and dropped. One that
//! answers with another range than the asked one is asked for everything, too.
//!
//! Whether the bytes are the right ones is not known here; only that there are as many as there should be.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use ureq::BodyReader;

use super::Inside;
use super::ask::{Asked, Said, Tell, Trouble};
use crate::error::{Error, Result};
use crate::image::document::Descriptor;
use crate::sys::stop;

/// So many bytes without a break, and the line is as good as new.
const WELL: u64 = 1 << 20;

pub(super) struct Blob {
    registry: Arc<Inside>,
    what: Descriptor,
    /// Of the blob, the next byte that the reader gets.
    at: u64,
    body: Option<BodyReader<'static>>,
    /// Breaks so far, and since when there was none.
    tries: u32,
    well_from: u64,
    /// The server understands Range.
    ranges: bool,
}

impl Blob {
    /// Asks for it; the first answer is awaited.
    pub fn open(registry: Arc<Inside>, what: Descriptor, at: u64, tell: Tell) -> Result<Blob> {
        let mut blob =
            Blob { registry, what, at, body: None, tries: 0, well_from: at, ranges: true };
        if at > blob.what.size {
            return Err(Error::yours(format!("byte {at} of {}", blob.what.size)));
        }
        if at < blob.what.size || blob.what.size == 0 {
            blob.connect(tell)?;
        }
        Ok(blob)
    }

    fn connect(&mut self, tell: Tell) -> Result<()> {
        loop {
            match self.attempt(tell) {
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(Trouble::Lasting(e)) => return stop::go_on().and(Err(e)),
                Err(Trouble::Passing(e, wish)) => {
                    self.registry.pause(&mut self.tries, e, wish)?;
                }
            }
        }
    }

    fn attempt(&mut self, tell: Tell) -> Result<BodyReader<'static>, Trouble> {
        let from = if self.ranges { self.at } else { 0 };
        let path = format!("/v2/{}/blobs/{}", self.registry.name.repository, self.what.digest);
        let asked = match self.registry.ask(&path, "*/*", from, &mut *tell) {
            Err(Trouble::Lasting(_)) if from > 0 && self.ranges_are_refused() => {
                return self.attempt(tell);
            }
            asked => asked?,
        };
        let begins = match asked.status() {
            206 if from > 0 && self.is_the_rest(&asked) => from,
            206 if from > 0 => {
                self.ranges = false;
                return self.attempt(tell);
            }
            200 => 0,
            status => {
                return Err(Error::yours(format!("the registry answered {status}, unasked")).into());
            }
        };
        let expected = self.what.size - begins;
        let length = asked.length();
        if let Some(length) = length.filter(|length| *length != expected) {
            return Err(Error::yours("the registry's blob has not the size that its image says")
                .because(format!("{length} bytes are announced, and {expected} are expected"))
                .into());
        }
        let mut body = asked.0.into_body().into_with_config().limit(u64::MAX).reader();
        skip(&mut body, self.at - begins).map_err(|e| Trouble::Passing(broke(&e), None))?;
        Ok(body)
    }

    /// After an error to a question with a Range: whether it is worth asking without.
    fn ranges_are_refused(&mut self) -> bool {
        std::mem::replace(&mut self.ranges, false)
    }

    /// Whether a 206 is what was asked for.
    fn is_the_rest(&self, asked: &Asked) -> bool {
        let said = asked.field("content-range").unwrap_or_default();
        let last = self.what.size - 1;
        let whole = format!("bytes {}-{last}/{}", self.at, self.what.size);
        let unknown = format!("bytes {}-{last}/*", self.at);
        said.trim() == whole || said.trim() == unknown
    }

    /// There must be nothing behind the end. Where the answer has a length that is known without waiting, and
    /// the line is free for the next question.
    fn end(&mut self) -> io::Result<()> {
        let Some(mut body) = self.body.take() else { return Ok(()) };
        match body.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let text = format!("the registry sends more than the {} bytes", self.what.size);
                Err(io::Error::other(Error::yours(text)))
            }
            // All is here, and the sum will tell whether it is right.
            Err(_) => Ok(()),
        }
    }

    /// The line broke: waits, and takes it up again.
    fn again(&mut self, error: Error) -> Result<()> {
        self.body = None;
        if self.at - self.well_from >= WELL {
            self.tries = 0;
        }
        self.well_from = self.at;
        self.registry.pause(&mut self.tries, error, None)?;
        let mut heard = vec![];
        let answer = self.connect(&mut |said: Said| heard.push(said));
        let mut later = self.registry.later.lock().unwrap_or_else(PoisonError::into_inner);
        later.entry(self.what.digest.clone()).or_default().extend(heard);
        answer
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let left = self.what.size - self.at;
            if left == 0 {
                return self.end().map(|()| 0);
            }
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let answer = match &mut self.body {
                Some(body) => body.read(&mut buffer[..most]),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            let error = match answer {
                Ok(0) => Error::yours(format!("the connection ended at byte {}", self.at)),
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(e) => broke(&e),
            };
            self.again(error).map_err(io::Error::other)?;
        }
    }
}

fn broke(e: &io::Error) -> Error {
    Error::yours(format!("the connection broke: {e}"))
}

fn skip(reader: &mut impl Read, count: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(count), &mut io::sink())?;
    if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
