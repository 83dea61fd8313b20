//! What is in a layer, without making any of it.

use std::io::Read;
use std::path::PathBuf;

use super::inflate::{Sums, inflated};
use super::tar::{Kind, Reader, Stream, Time};
use super::white::White;
use super::{Limits, is_the_one, place, white};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::document::Descriptor;

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// From the root; for a whiteout what it takes away.
    pub path: PathBuf,
    pub what: What,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a regular file, with its holes.
    pub size: u64,
    pub modified: Time,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Made(Kind),
    /// A whiteout of this.
    Gone,
    /// A directory in which nothing of lower layers is seen.
    Emptied,
}

/// Reads a layer to its end, with all checks but those that take a tree, and hands over each entry.
pub fn list(
    compressed: &mut (dyn Read + Send),
    layer: &Descriptor,
    diff_id: &Digest,
    limits: &Limits,
    each: &mut dyn FnMut(Listed) -> Result<()>,
) -> Result<Sums> {
    let read = |stream: &mut dyn Stream| {
        let mut reader = Reader::new(stream);
        while let Some(entry) = reader.entry()? {
            if reader.headers > limits.entries {
                return Err(Error::yours(format!("more than {} entries", limits.entries)));
            }
            let path = place::inside(&entry.path)?;
            let split = place::split(&path).ok();
            let white = split.map(|(dir, name)| white::what(dir, name)).transpose()?.flatten();
            let parent = || path.parent().map(PathBuf::from).unwrap_or_default();
            let (path, what) = match white {
                Some(White::Nothing) => continue,
                Some(White::Name(name)) => (parent().join(name), What::Gone),
                Some(White::Everything) => (parent(), What::Emptied),
                None => (path, What::Made(entry.kind)),
            };
            let (mode, uid, gid, size) = (entry.mode, entry.uid, entry.gid, entry.size);
            let (modified, xattrs) = (entry.modified, entry.xattrs);
            each(Listed { path, what, mode, uid, gid, size, modified, xattrs })?;
        }
        Ok(())
    };
    let named = |e: Error| e.at(format!("layer {}", layer.digest.short()));
    let ((), sums) = inflated(compressed, layer, diff_id, limits, read).map_err(named)?;
    is_the_one(diff_id, &sums).map_err(named)?;
    Ok(sums)
}
