//! What the verbs on images share: where the store is, and how sizes are said.

use std::path::PathBuf;

use clap::Args;

use crate::error::{Error, Result};
use crate::event::Lane;
use crate::image::store::Store;
use crate::sys::{Kernel, Manner, look};

/// Which store of images is meant.
#[derive(Debug, Args, Clone)]
pub struct StoreArgs {
    /// Where images are kept [default: $XDG_DATA_HOME/learnc/images; /var/lib/learnc/images as root]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

impl StoreArgs {
    pub fn dir(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(Store::place)
    }

    /// The store, if it is there.
    pub fn look(&self) -> Result<Option<Store>> {
        Store::look(&self.dir())
    }

    /// The store, which must be there.
    pub fn find(&self) -> Result<Store> {
        self.look()?.ok_or_else(|| {
            Error::yours(format!("there are no images in {}", self.dir().display()))
                .try_this("learnc pull NAME brings some")
        })
    }
}

/// Who acts on the store when nothing is told.
pub fn silent() -> Kernel<'static> {
    Kernel::new(Manner::Silent, Lane::Runtime, look::pid())
}

pub use crate::render::terminal::text::size;

/// `1 blob`, `3 blobs`
pub fn count(number: usize, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {word}{end}")
}
