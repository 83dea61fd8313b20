//! `learnc prune`: takes away what no image's name leads to.

use clap::Args;

use crate::cli::image::{StoreArgs, as_owner, count, silent, size};
use crate::cli::say;
use crate::error::Result;
use crate::facts;
use crate::image::store::{Pruned, Store};
use crate::sys::idmap::Maps;

#[derive(Debug, Args)]
pub struct Prune {
    #[command(flatten)]
    pub store: StoreArgs,
}

impl Prune {
    pub fn perform(&self) -> Result<i32> {
        let pruned = match self.store.look()? {
            Some(store) => as_owner(owners(&store).as_ref(), || store.prune(&silent()))?,
            None => Pruned::default(),
        };
        tell(pruned)?;
        Ok(0)
    }
}

/// Who takes its layers away, if that is not simply this user.
pub(super) fn owners(store: &Store) -> Option<Maps> {
    store.has_mapped().then(facts::read)?.own_maps()
}

/// What was taken away, as a line.
pub(super) fn tell(pruned: Pruned) -> Result<()> {
    let Pruned { blobs, layers, unfinished, bytes } = pruned;
    let parts = [
        (blobs, count(blobs, "blob")),
        (layers, count(layers, "unpacked layer")),
        (unfinished, format!("{unfinished} unfinished")),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, said)| said).collect();
    match parts.is_empty() {
        true => say::line("nothing to take away"),
        false => say::line(&format!("taken away: {}, {}", parts.join(", "), size(bytes))),
    }
}
