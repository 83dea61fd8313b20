//! A tar archive, read as a stream and to the letter.
//!
//! tar(5) of libarchive, POSIX.1-2024 pax, GNU tar's manual ("Basic Tar Format", "Sparse Formats"). A
//! tar archive is blocks of 512 bytes: a header, the contents, the next header, and two blocks of zeros.
//! What did not fit in a header was added in three ways that overlap, each by other people:
//!
//! ```text
//!   ustar   prefix/name, octal numbers             1988
//!   GNU     L and K: the next entry's long name    numbers in base 256, S: files with holes
//!   pax     x: the next entry's records, key=value    g: records for all that follow
//! ```
//!
//! Where they contradict each other, one program reads another archive than the next: what a scanner
//! found harmless is not what is unpacked (CVE-2025-62518). So this reader takes what GNU tar, Go and
//! libarchive write, and refuses by name whatever two of them would read as two different things. Where
//! an archive ends is said in the archive; what comes later, and is not zeros, is refused too.

pub mod header;
mod pax;
mod reader;
mod said;
mod sparse;

use crate::error::{Error, Result};

pub use reader::Reader;

/// Archives are made of blocks of this size.
pub const BLOCK: usize = 512;

/// Bytes that come piece by piece: what a reader reads from.
pub trait Stream {
    /// The bytes that are there; none at the end.
    fn look(&mut self) -> Result<&[u8]>;
    /// So many of them are done with.
    fn done(&mut self, count: usize);
}

impl Stream for &[u8] {
    fn look(&mut self) -> Result<&[u8]> {
        Ok(self)
    }

    fn done(&mut self, count: usize) {
        *self = &self[count..];
    }
}

/// A file in an archive, without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it is written there, from whichever of the fields it comes.
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permissions, with setuid, setgid and the sticky bit.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: Time,
    /// Of a regular file, with its holes.
    pub size: u64,
    /// Where there are holes: the pieces between them, in order. Its contents are these, end to end.
    pub pieces: Option<Vec<Piece>>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    /// Its target, which is whatever it is.
    SymLink(Vec<u8>),
    /// A second name for an entry of this name.
    HardLink(Vec<u8>),
    Fifo,
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
}

/// Since 1970; the nanoseconds are always forward from the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
}

/// A piece of a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub length: u64,
}

impl Entry {
    /// How many bytes of contents follow in the archive.
    pub fn stored(&self) -> u64 {
        match &self.pieces {
            Some(pieces) => pieces.iter().map(|piece| piece.length).sum(),
            None => self.size,
        }
    }
}

/// An archive that is no archive, or not one.
pub(super) fn broken(what: impl Into<String>) -> Error {
    Error::yours(what).because("the archive is damaged, or no tar archive")
}

/// What one program would read in one way and another in another.
pub(super) fn ambiguous(what: impl Into<String>) -> Error {
    Error::yours(what)
        .because("programs differ in how they read that, so it is refused")
        .try_this("make the archive anew: GNU tar and Go's archive/tar write none of this")
}
