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

/// `5.3 MiB`
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut said = format!("{bytes} B");
    for unit in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        said = format!("{value:.1} {unit}");
    }
    said
}

/// `1 blob`, `3 blobs`
pub fn count(number: usize, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {word}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_unit_that_fits() {
        let said = [0, 1023, 1024, 5_570_560, 3 << 30].map(size);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "5.3 MiB", "3.0 GiB"]);
    }
}
