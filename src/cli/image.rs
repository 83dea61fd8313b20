//! What the verbs on images share: where the store is, and how sizes are said.

use std::path::{Path, PathBuf};

use clap::Args;
use nix::errno::Errno;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Kind, Result};
use crate::event::Lane;
use crate::image::store::Store;
use crate::sys::idmap::Maps;
use crate::sys::{Kernel, Manner, look, mapped};

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

/// Where the disk is full, it says which one, and what gives room.
pub fn with_room(error: Error, dir: &Path, remedy: &str) -> Error {
    let is = |errno: Errno| {
        let said = matches!(&error.kind, Kind::Yours(what) if what.ends_with(errno.desc()));
        said || error.errno() == Some(errno)
    };
    match is(Errno::ENOSPC) || is(Errno::EDQUOT) {
        true => error.because(format!("no room is left in {}", dir.display())).try_this(remedy),
        false => error,
    }
}

/// Who acts on the store when nothing is told.
pub fn silent() -> Kernel<'static> {
    Kernel::new(Manner::Silent, Lane::Runtime, look::pid())
}

pub use crate::render::terminal::text::size;

/// Does something with files of layers: where their owners are ids that this user has only in a namespace, as root
/// of one.
pub fn as_owner<T: Serialize + DeserializeOwned>(
    maps: Option<&Maps>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match maps {
        Some(maps) => mapped::as_root(&silent(), maps, |_| work()),
        None => work(),
    }
}

/// `1 blob`, `3 blobs`
pub fn count(number: usize, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {word}{end}")
}
