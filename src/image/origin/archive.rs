//! An archive of files, looked into and never unpacked: tar(5).
//!
//! The headers are read once, into a list of names with the places of their bytes; a file's bytes are then
//! read where they lie. A name from an archive is looked up in that list and is never a path on this
//! machine. Read strictly: a wrong checksum, two files of one name, or an end that comes too early is an
//! error, since a half-read archive looks like a whole one with less in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::header::{BLOCK, Header, Names};
use super::spool;
use crate::error::{Error, Result};
use crate::sys::{Kernel, stop};

/// No honest archive of an image has more files than this, nor a longer name.
const MOST: usize = 100_000;
const LONGEST_RECORDS: u64 = 1 << 20;

/// How many links lead from one to the next.
const MOST_LINKS: usize = 8;

/// What is in an archive.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File {
        offset: u64,
        size: u64,
    },
    /// To another name in the archive.
    Link(String),
}

/// A piece of an open file, which several read at once.
#[derive(Debug)]
pub struct Piece {
    file: Arc<File>,
    pub at: u64,
    pub left: u64,
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(std::io::Error::other("the archive became shorter while it was read"));
        }
        (self.at, self.left) = (self.at + count as u64, self.left - count as u64);
        Ok(count)
    }
}

impl Archive {
    /// Opens an archive, `-` for standard input. `ingest` is the folder for what must be kept meanwhile.
    pub fn open(k: &Kernel, path: &Path, ingest: &Path) -> Result<Archive> {
        let file = spool::archive(k, path, ingest)?;
        Archive::of(file).map_err(|e| {
            let e = e.at(path.display().to_string()).because("it is no complete tar archive");
            e.try_this("tar -tf FILE tests one")
        })
    }

    fn of(file: File) -> Result<Archive> {
        let length = file.metadata()?.len();
        let mut archive = Archive { file: Arc::new(file), entries: BTreeMap::new() };
        let (mut at, mut next, mut count) = (0, Names::default(), 0);
        loop {
            stop::go_on()?;
            let block = archive.piece(at, BLOCK.min(length.saturating_sub(at)), BLOCK)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(archive);
            }
            let header = Header::read(&block).map_err(|e| e.at(format!("at byte {at}")))?;
            let size = next.size.unwrap_or(header.size);
            at += BLOCK;
            if size > length.saturating_sub(at) {
                return Err(Error::yours(format!("it ends in the middle of {:?}", header.name)));
            }
            match header.kind {
                b'x' | b'L' | b'K' => {
                    let records = archive.piece(at, size, LONGEST_RECORDS)?;
                    next.learn(header.kind, &records)?;
                }
                b'g' => {}
                _ => archive.enter(header, std::mem::take(&mut next), at, size)?,
            }
            count += 1;
            if count > MOST {
                return Err(Error::yours(format!("more than {MOST} entries")));
            }
            at += size.next_multiple_of(BLOCK);
        }
    }

    fn enter(&mut self, header: Header, next: Names, offset: u64, size: u64) -> Result<()> {
        let name = normal(&next.path.unwrap_or(header.name));
        let target = next.link.unwrap_or(header.link);
        let entry = match header.kind {
            b'0' | 0 | b'7' => Entry::File { offset, size },
            b'1' => Entry::Link(normal(&target)),
            b'2' => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                Entry::Link(normal(&format!("{folder}/{target}")))
            }
            b'5' => return Ok(()),
            other => {
                let kind = char::from(other);
                return Err(Error::yours(format!("{name:?} is an entry of the kind {kind:?}")));
            }
        };
        match self.entries.insert(name.clone(), entry.clone()) {
            Some(before) if before != entry => {
                Err(Error::yours(format!("{name:?} is in it twice")))
            }
            _ => Ok(()),
        }
    }

    /// The bytes of a file in it, all at once.
    pub fn whole(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let (offset, size) = self.find(name)?;
        self.piece(offset, size, most).map_err(|e| e.at(name))
    }

    /// Where a file's bytes are: offset and length.
    pub fn find(&self, name: &str) -> Result<(u64, u64)> {
        let mut wanted = normal(name);
        for _ in 0..MOST_LINKS {
            match self.entries.get(&wanted) {
                Some(Entry::File { offset, size }) => return Ok((*offset, *size)),
                Some(Entry::Link(target)) => wanted.clone_from(target),
                None => return Err(Error::yours(format!("there is no {wanted:?} in it"))),
            }
        }
        Err(Error::yours(format!("{name:?}: links that lead to links")))
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// A file's bytes from `at` in the archive on.
    pub fn read(&self, at: u64, left: u64) -> Piece {
        Piece { file: Arc::clone(&self.file), at, left }
    }

    fn piece(&self, at: u64, size: u64, most: u64) -> Result<Vec<u8>> {
        if size > most {
            return Err(Error::yours(format!("{size} bytes, more than {most}")));
        }
        if size == 0 && most == BLOCK {
            return Err(Error::yours("it has no end: the last part of it is missing"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.read(at, size).read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// A name without `.`, with `..` gone up and not above the top.
fn normal(name: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_stays_in_the_archive() {
        assert_eq!(normal("./a//b/../c"), "a/c");
        assert_eq!(normal("../../etc/passwd"), "etc/passwd");
        assert_eq!(normal("/"), "");
    }

    fn file_of(bytes: &[u8]) -> File {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let name = format!("learnc-archive-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(vec![]);
        for (name, text) in [("a/x", "one"), (&"long/".repeat(60), "two"), ("b", "")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            let name = name.trim_end_matches('/');
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        builder.append_link(&mut link, "c/link", "../a/x").unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_are_found_by_name_and_through_links() {
        let archive = Archive::of(file_of(&sample())).unwrap();
        assert_eq!(archive.whole("a/x", 10).unwrap(), b"one");
        assert_eq!(archive.whole("./c/link", 10).unwrap(), b"one");
        assert_eq!(archive.whole("long/".repeat(60).as_str(), 10).unwrap(), b"two");
        assert_eq!(archive.whole("b", 10).unwrap(), b"");
        assert!(archive.whole("a/x", 2).is_err() && !archive.has("nothing"));
    }

    #[test]
    fn an_archive_that_ends_early_is_none() {
        let whole = sample();
        let end = whole.len() - 1024;
        for length in (0..end).step_by(100).chain([end - 512, end]) {
            assert!(Archive::of(file_of(&whole[..length])).is_err(), "{length} of {end}");
        }
    }

    proptest! {
        #[test]
        fn no_byte_that_is_changed_makes_it_panic(at in 0usize..4096, byte in any::<u8>()) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(archive) = Archive::of(file_of(&bytes)) {
                archive.entries.keys().for_each(|name| drop(archive.whole(name, 1 << 20)));
            }
        }
    }
}
