//! `learnc rmi`: takes names of images away, and what nobody else needs of them.

use clap::Args;

use crate::args::plain;
use crate::cli::image::{StoreArgs, silent};
use crate::cli::say;
use crate::error::{Error, Result};
use crate::image::document::Descriptor;
use crate::image::names::Name;
use crate::image::store::Store;

#[derive(Debug, Args)]
pub struct Rmi {
    /// Names, or digests, or the first digits of one: then all names of it
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Keep the blobs: `learnc prune` removes them later
    #[arg(long)]
    pub no_prune: bool,
}

impl Rmi {
    pub fn perform(&self) -> Result<i32> {
        let (k, store) = (silent(), self.store.find()?);
        // Nothing is removed if one of them is not there.
        let found = self.names.iter().map(|name| find(&store, name));
        let found = found.collect::<Result<Vec<(bool, Descriptor)>>>()?;
        let mut lines = String::new();
        for (by_name, what) in found {
            let gone = match what.ref_name().filter(|_| by_name) {
                Some(name) => store.remove(&k, name)?.into_iter().collect(),
                None => store.forget(&k, &what.digest)?,
            };
            for gone in gone {
                lines += &plain(gone.ref_name().unwrap_or(gone.digest.as_str()));
                lines.push('\n');
            }
        }
        say::all(&lines)?;
        if self.no_prune {
            return Ok(0);
        }
        if store.is_added_to(&k)? {
            say::line(
                "another learnc is adding to the store: learnc prune, later, gives the room",
            )?;
            return Ok(0);
        }
        super::prune::sweep(store, false)?;
        Ok(0)
    }
}

/// What is meant, and whether it was called by its name.
fn find(store: &Store, text: &str) -> Result<(bool, Descriptor)> {
    let what = store.find(text)?.ok_or_else(|| {
        Error::yours(format!("there is no image {text:?}"))
            .because(format!("the store is {}", store.dir().display()))
            .try_this("learnc images")
    })?;
    let full = Name::parse(text).map(|name| name.to_string()).ok();
    let by_name = what.ref_name().is_some_and(|name| name == text || Some(name) == full.as_deref());
    Ok((by_name, what))
}
