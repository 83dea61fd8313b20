//! A layer's archive, as files.
//!
//! image-spec, layer.md: a layer is a tar archive of what it adds and changes, and of "whiteouts",
//! empty files whose names say what it takes away from the layers below. The archive comes from a
//! stranger, and every name in it may be meant to lead somewhere else: so no name is ever a path of this
//! machine. One pass takes it in:
//!
//! ```text
//!   bytes ─► [inflate] sha256, inflate, sha256 ─► [tar] entries ─► [tree] below one descriptor
//!                                                                      │
//!                     [place]  the directory of a name, and what stands in the way there
//!                     [make]   files, links, devices, owners, modes, times
//!                     [white]  what is taken away, or marked as taken away for overlay
//! ```
//!
//! [`unpack`] puts all layers of an image on top of each other, or each into a directory of its own;
//! [`list`] reads a layer and makes nothing.

pub mod dirs;
mod here;
pub mod inflate;
mod inherit;
pub mod list;
mod make;
mod meta;
mod place;
pub mod tar;
mod tree;
pub mod unpack;
mod white;

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::facts;
use crate::image::digest::Digest;
use crate::image::document::Descriptor;
use crate::sys::{Fd, Kernel, look};

pub use dirs::{Open, as_one_tree, layer_dirs, layer_dirs_from};
pub use tree::Tree;
pub use unpack::unpack_image;

/// How a layer becomes files.
#[derive(Debug, Clone)]
pub struct How {
    pub whiteouts: Whiteouts,
    pub owners: Owners,
    pub limits: Limits,
}

/// What becomes of a layer's whiteouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// What they name goes: all layers share one tree.
    Apply,
    /// They stay, in the form that overlayfs understands: a character device 0/0 for a name, an attribute
    /// for a directory that hides all that is below it. See the kernel's overlayfs.rst.
    Overlay {
        /// The attribute is `user.overlay.opaque`, for mounts with `userxattr`, instead of
        /// `trusted.overlay.opaque`, which takes root.
        user_xattr: bool,
    },
}

/// Whose the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// As the archive says, which takes root.
    Archived,
    /// As the archive says, where root of this user namespace has such an id; else root's.
    Mapped,
    /// All of them this user's.
    Mine,
}

/// What a layer may not exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of its archive, inflated.
    pub bytes: u64,
    pub entries: u64,
    /// How many times as many bytes come out as went in, once `small` have come out.
    pub ratio: u64,
    pub small: u64,
    /// Directories within directories.
    pub depth: usize,
}

/// What was made of a layer, or of several, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub layers: u64,
    pub files: u64,
    pub directories: u64,
    pub links: u64,
    /// Second names of files.
    pub names: u64,
    /// Fifos and device nodes.
    pub others: u64,
    pub whiteouts: u64,
    /// Of contents, without the holes.
    pub bytes: u64,
    /// Device nodes, where only root may make them.
    pub devices_left_out: u64,
    /// Extended attributes that the kernel refused, and the first of them.
    pub attributes_refused: u64,
    pub first_refused: Option<String>,
    /// Extended attributes that only overlayfs itself may set.
    pub attributes_dropped: u64,
    /// Entries of another owner than they have now.
    pub owners_changed: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 64 << 30, entries: 5_000_000, ratio: 1000, small: 64 << 20, depth: 200 }
    }
}

impl Limits {
    /// Whether so many bytes may come out of so many.
    fn hold(&self, out: u64, size: u64) -> Result<()> {
        if out > self.bytes {
            let text = format!("it inflates to more than {} bytes", self.bytes);
            return Err(Error::yours(text).because("no layer is expected to be larger"));
        }
        if out > self.small && out / self.ratio > size {
            let text = format!("{size} bytes inflate to more than {} times as many", self.ratio);
            return Err(Error::yours(text).because("that is what a decompression bomb does"));
        }
        Ok(())
    }
}

impl How {
    /// One tree of whoever asks.
    pub fn applied() -> How {
        let owners = match look::ids() {
            (0, _) if facts::is_nested() => Owners::Mapped,
            (0, _) => Owners::Archived,
            _ => Owners::Mine,
        };
        How { whiteouts: Whiteouts::Apply, owners, limits: Limits::default() }
    }

    /// A layer for overlayfs.
    pub fn overlay(user_xattr: bool) -> How {
        How { whiteouts: Whiteouts::Overlay { user_xattr }, ..How::applied() }
    }
}

impl std::ops::AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        for (mine, theirs) in [
            (&mut self.layers, other.layers),
            (&mut self.files, other.files),
            (&mut self.directories, other.directories),
            (&mut self.links, other.links),
            (&mut self.names, other.names),
            (&mut self.others, other.others),
            (&mut self.whiteouts, other.whiteouts),
            (&mut self.bytes, other.bytes),
            (&mut self.devices_left_out, other.devices_left_out),
            (&mut self.attributes_refused, other.attributes_refused),
            (&mut self.attributes_dropped, other.attributes_dropped),
            (&mut self.owners_changed, other.owners_changed),
        ] {
            *mine += theirs;
        }
        self.first_refused = self.first_refused.take().or_else(|| other.first_refused.clone());
    }
}

impl Tally {
    /// In a sentence: `3 layers: 120 files, 1.9 MiB`.
    pub fn sentence(&self) -> String {
        let mib = self.bytes as f64 / (1024.0 * 1024.0);
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        let (layers, files) = (plural(self.layers), plural(self.files));
        format!("{} layer{layers}: {} file{files}, {mib:.1} MiB", self.layers, self.files)
    }

    /// What is not as the archive says, a sentence each.
    pub fn lacks(&self) -> Vec<String> {
        let refused = self.first_refused.as_deref().unwrap_or_default();
        let lacks = [
            (self.devices_left_out, "device nodes left out, which take root".to_owned()),
            (
                self.attributes_refused,
                format!("extended attributes refused by the kernel, {refused} first"),
            ),
            (
                self.attributes_dropped,
                "attributes of overlayfs dropped, which no layer may set".to_owned(),
            ),
            (
                self.owners_changed,
                "entries of owners who are not here, which are this user's now".to_owned(),
            ),
        ];
        let there = lacks.into_iter().filter(|(count, _)| *count > 0);
        there.map(|(count, text)| format!("{count} {text}")).collect()
    }

    pub fn tell(&self, k: &Kernel) {
        k.note(|| self.sentence());
        self.lacks().into_iter().for_each(|lack| k.note(|| lack));
    }
}

/// Takes in one layer, below `dir`. What is made of it until something goes wrong stays there.
pub fn receive(
    k: &Kernel,
    compressed: &mut (dyn Read + Send),
    layer: &Descriptor,
    diff_id: &Digest,
    dir: &Fd,
    how: &How,
) -> Result<Tally> {
    let mut tree = Tree::new(dir, how)?;
    tree.layer(k, compressed, layer, diff_id)?;
    tree.finish(k)
}

/// Tells that a layer's bytes were held against its two digests.
pub(super) fn tell_checked(k: &Kernel, layer: &Descriptor, diff_id: &Digest, sums: &inflate::Sums) {
    let checked =
        [("layer", &layer.digest, &sums.compressed), ("layer's archive", diff_id, &sums.archive)];
    for (what, claimed, (computed, bytes)) in checked {
        k.tell(|index| Event::Checked {
            index,
            what: what.to_owned(),
            bytes: *bytes,
            claimed: claimed.to_string(),
            computed: computed.to_string(),
        });
    }
}

/// Whether the archive is the one that the image's config names.
fn is_the_one(diff_id: &Digest, sums: &inflate::Sums) -> Result<()> {
    match &sums.archive.0 {
        computed if computed == diff_id => Ok(()),
        computed => Err(Error::yours("its archive is not the one that the image's config names")
            .because(format!("diff_id {diff_id}, computed {computed}"))),
    }
}
