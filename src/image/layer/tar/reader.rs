//! From headers to entries: what extensions say of the next one is put together, or refused.

use super::header::{Dialect, Header};
use super::pax::{self, Records};
use super::said::{Said, id, kind, once, one_of};
use super::{BLOCK, Entry, Kind, Piece, Stream, ambiguous, broken, sparse};
use crate::error::{Error, Result};

/// An extension that is larger, in bytes, is no name and no list of attributes.
const LARGEST: u64 = 1 << 20;

/// What fits in twelve octal digits with their NUL; only what does not may be said by a record.
const LARGEST_OCTAL: u64 = 0o77_777_777_777;

/// An archive, entry by entry.
pub struct Reader<'a> {
    stream: &'a mut dyn Stream,
    /// What is left of the entry's contents, and of the block that they end in.
    left: u64,
    padding: usize,
    /// Headers so far, extensions too.
    pub headers: u64,
}

impl<'a> Reader<'a> {
    pub fn new(stream: &'a mut dyn Stream) -> Reader<'a> {
        Reader { stream, left: 0, padding: 0, headers: 0 }
    }

    /// The next entry; None at the archive's end, when the stream is at its own. Some writers leave out the
    /// empty blocks there, and even what fills the last one up: nothing can be missing, since all of it is
    /// held against its digest.
    pub fn entry(&mut self) -> Result<Option<Entry>> {
        self.skip()?;
        if self.is_over()? {
            return Ok(None);
        }
        let mut said = Said::default();
        loop {
            let Some(block) = self.header()? else {
                return match said.is_empty() {
                    true => self.end().map(|()| None),
                    false => Err(broken("the archive ends where an entry was announced")),
                };
            };
            self.headers += 1;
            let header = Header::read(&block)?;
            match header.flag() {
                b'x' => {
                    let bytes = self.extension(&header)?;
                    once(&mut said.records, pax::records(&bytes)?, "pax headers")?;
                }
                b'L' => once(&mut said.path, self.long_name(&header)?, "long names")?,
                b'K' => once(&mut said.link, self.long_name(&header)?, "long links")?,
                b'g' if !said.is_empty() => {
                    return Err(ambiguous("a global header between an entry and its extension"));
                }
                b'g' => pax::global(&self.extension(&header)?)?,
                _ => return self.file(&header, said).map(Some),
            }
        }
    }

    /// Hands over the next bytes of the entry's contents: false at their end.
    pub fn contents(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.some_contents(u64::MAX, take)
    }

    /// The same, for no more than so many.
    pub fn some_contents(
        &mut self,
        most: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        let bytes = self.stream.look()?;
        if bytes.is_empty() {
            return Err(ended());
        }
        let count = bytes.len().min(usize::try_from(self.left.min(most)).unwrap_or(usize::MAX));
        take(&bytes[..count])?;
        self.stream.done(count);
        self.left -= count as u64;
        Ok(true)
    }

    /// Passes over what is left of an entry.
    fn skip(&mut self) -> Result<()> {
        while self.contents(&mut |_| Ok(()))? {}
        let mut block = [0; BLOCK];
        let padding = std::mem::take(&mut self.padding);
        if self.is_over()? { Ok(()) } else { self.fill(&mut block[..padding]) }
    }

    fn is_over(&mut self) -> Result<bool> {
        Ok(self.stream.look()?.is_empty())
    }

    fn fill(&mut self, mut place: &mut [u8]) -> Result<()> {
        while !place.is_empty() {
            let bytes = self.stream.look()?;
            if bytes.is_empty() {
                return Err(ended());
            }
            let count = bytes.len().min(place.len());
            let (now, later) = place.split_at_mut(count);
            now.copy_from_slice(&bytes[..count]);
            self.stream.done(count);
            place = later;
        }
        Ok(())
    }

    /// A header; None at the first of the two empty blocks that end an archive.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block.iter().any(|byte| *byte != 0).then_some(block))
    }

    /// A second empty block, and then zeros for as long as the stream goes on.
    fn end(&mut self) -> Result<()> {
        match self.is_over()? || self.header()?.is_none() {
            true => {}
            false => return Err(ambiguous("an empty block in the middle of the archive")),
        }
        loop {
            let bytes = self.stream.look()?;
            if bytes.is_empty() {
                return Ok(());
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(ambiguous("something follows the end of the archive"));
            }
            let count = bytes.len();
            self.stream.done(count);
        }
    }

    /// What stands behind the header of an extension.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.size()?;
        if size > LARGEST {
            return Err(broken(format!("an extended header of {size} bytes, {LARGEST} at most")));
        }
        let mut bytes = vec![0; size as usize];
        self.fill(&mut bytes)?;
        self.padding = padding(size);
        self.skip()?;
        Ok(bytes)
    }

    /// A name that GNU tar ends with a NUL.
    fn long_name(&mut self, header: &Header) -> Result<Vec<u8>> {
        let mut bytes = self.extension(header)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        match bytes.is_empty() || bytes.contains(&0) {
            true => Err(ambiguous("a long name that is empty, or has a NUL in it")),
            false => Ok(bytes),
        }
    }

    fn file(&mut self, header: &Header, said: Said) -> Result<Entry> {
        let records = said.records.unwrap_or_default();
        let own = records.sparse.name.clone();
        let path = one_of("name", [records.path.clone(), said.path])?;
        let path = own.or(path).unwrap_or_else(|| header.path());
        let link = one_of("link", [records.link.clone(), said.link])?;
        let link = link.unwrap_or_else(|| header.link().to_vec());
        self.complete(header, &records, path.clone(), link)
            .map_err(|e| e.at(String::from_utf8_lossy(&path)))
    }

    fn complete(
        &mut self,
        header: &Header,
        records: &Records,
        path: Vec<u8>,
        link: Vec<u8>,
    ) -> Result<Entry> {
        let kind = kind(header, &path, link)?;
        if path.is_empty() {
            return Err(broken("an entry without a name"));
        }
        let stored = self.stored(header, records, &kind)?;
        let mut entry = Entry {
            path,
            kind,
            mode: header.mode()?,
            uid: id("uid", records.uid.map_or_else(|| header.uid(), Ok)?)?,
            gid: id("gid", records.gid.map_or_else(|| header.gid(), Ok)?)?,
            modified: records.modified.map_or_else(|| header.modified(), Ok)?,
            size: stored,
            pieces: None,
            xattrs: records.xattrs.clone(),
        };
        (self.left, self.padding) = (stored, padding(stored));
        if header.flag() == b'S' || records.sparse.is_there() {
            let (pieces, size) = self.holes(header, records)?;
            sparse::check(&pieces, size, self.left)?;
            (entry.pieces, entry.size) = (Some(pieces), size);
        }
        Ok(entry)
    }

    /// How many bytes follow the header, where it and the records agree.
    fn stored(&self, header: &Header, records: &Records, kind: &Kind) -> Result<u64> {
        let written = header.size()?;
        let size = match records.size {
            // A reader that knows no records would look for the next header elsewhere.
            Some(size) if size != written && size <= LARGEST_OCTAL => {
                let text = format!("its size is {written} by its header and {size} by a record");
                return Err(ambiguous(text));
            }
            Some(size) => size,
            None => written,
        };
        match kind {
            Kind::File => Ok(size),
            _ if size == 0 => Ok(0),
            _ => Err(ambiguous(format!("{size} bytes of contents, and it is no regular file"))),
        }
    }

    /// The map of a file with holes, from wherever it is, and the file's whole size.
    fn holes(&mut self, header: &Header, records: &Records) -> Result<(Vec<Piece>, u64)> {
        let said = &records.sparse;
        if header.flag() == b'S' {
            if said.is_there() || header.dialect != Dialect::Gnu {
                return Err(ambiguous("a file with holes, in two formats"));
            }
            let (mut pieces, size, mut more) = sparse::in_header(header.block())?;
            while more {
                let mut block = [0; BLOCK];
                self.fill(&mut block)?;
                more = sparse::in_block(&block, &mut pieces)?;
            }
            return Ok((pieces, size));
        }
        if !matches!(header.flag(), b'0' | 0 | b'7') {
            return Err(ambiguous("holes in what is no regular file"));
        }
        match (said.major, said.minor, said.pieces(), said.size, said.real_size) {
            (Some(1), Some(0), None, None, Some(size)) => Ok((self.lines()?, size)),
            (None, None, Some(pieces), Some(size), None)
            | (Some(0), Some(0 | 1), Some(pieces), Some(size), None) => Ok((pieces, size)),
            _ => Err(ambiguous("a file with holes, in no format that is known")),
        }
    }

    /// The map that stands before the contents, in blocks that count as stored.
    fn lines(&mut self) -> Result<Vec<Piece>> {
        let mut lines = sparse::Lines::default();
        loop {
            let mut block = [0; BLOCK];
            self.left = self.left.checked_sub(BLOCK as u64).ok_or_else(ended)?;
            self.fill(&mut block)?;
            if let Some(pieces) = lines.block(&block)? {
                return Ok(pieces);
            }
        }
    }
}

fn ended() -> Error {
    broken("it ends in the middle").try_this("the rest was not written, or not sent")
}

/// What fills the last block.
fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
#[path = "others.rs"]
mod others;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
