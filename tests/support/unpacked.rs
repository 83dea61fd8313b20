//! Layers made by code, put into a folder by learnc's own library.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use learnc::error::Result;
use learnc::event::Lane;
use learnc::image::digest::Digest;
use learnc::image::document::Descriptor;
use learnc::image::layer::{How, Limits, Owners, Tally, Tree, Whiteouts};
use learnc::sys::{Fd, Kernel, Manner};

use super::archives::Layer;
use super::needs::is_root;

pub fn silent() -> Kernel<'static> {
    Kernel::new(Manner::Silent, Lane::Runtime, 0)
}

pub fn open(dir: &Path) -> Fd {
    Fd::from(OwnedFd::from(File::open(dir).unwrap()))
}

pub fn applied() -> How {
    let owners = if is_root() { Owners::Archived } else { Owners::Mine };
    How { whiteouts: Whiteouts::Apply, owners, limits: Limits::default() }
}

/// Puts layers on top of each other into a folder that is there.
pub fn unpack(layers: &[Layer], dir: &Path, how: &How) -> Result<Tally> {
    let (k, root) = (silent(), open(dir));
    let mut tree = Tree::new(&root, how)?;
    for layer in layers {
        let descriptor = Descriptor::new(&layer.media_type, &layer.stored);
        let diff_id: Digest = layer.diff_id.parse().unwrap();
        tree.layer(&k, &mut &layer.stored[..], &descriptor, &diff_id)?;
    }
    tree.finish(&k)
}
