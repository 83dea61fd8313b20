//! `learnc prune`: takes away what no image's name leads to.

use clap::Args;

use crate::args::shell;
use crate::cli::image::{StoreArgs, as_owner, count, silent, size};
use crate::cli::say;
use crate::error::{Error, Result};
use crate::facts;
use crate::image::store::{Pruned, Store};
use crate::sys::look;

#[derive(Debug, Args)]
pub struct Prune {
    #[command(flatten)]
    pub store: StoreArgs,
}

impl Prune {
    pub fn perform(&self) -> Result<i32> {
        match self.store.look()? {
            Some(store) => {
                if store.is_added_to(&silent())? {
                    say::line("waiting for another learnc, which is adding to the store")?;
                }
                sweep(store, true)?;
            }
            // A folder that was named, and is one of something else.
            None if self.store.store.as_ref().is_some_and(look::is_dir) => drop(self.store.find()?),
            None => tell(&Pruned::default())?,
        }
        Ok(0)
    }
}

/// Takes away what nobody needs, and tells it: in a namespace with this user's ids where some of it may be theirs.
pub(super) fn sweep(store: Store, unfinished: bool) -> Result<()> {
    let maps = facts::read().own_maps();
    let store = maps.iter().fold(store, Store::mapped);
    let maps = maps.filter(|_| store.has_mapped());
    let pruned = as_owner(maps.as_ref(), || store.sweep(&silent(), unfinished))?;
    let Some(kept) = pruned.kept.first() else { return tell(&pruned) };
    if pruned.bytes > 0 {
        tell(&pruned)?;
    }
    let paths: Vec<String> = pruned.kept.iter().map(shell).collect();
    let count = count(pruned.kept.len(), "unpacked layer");
    Err(Error::yours(format!("{count} could not be taken away: {}", kept.display()))
        .because(
            "files in there belong to ids that /etc/subuid gave this user, and does not give now",
        )
        .try_this(format!("sudo rm -r {}", paths.join(" "))))
}

/// What was taken away, as a line.
fn tell(pruned: &Pruned) -> Result<()> {
    let Pruned { blobs, layers, unfinished, bytes, .. } = *pruned;
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
