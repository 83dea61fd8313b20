//! Which unpacked layers a container is made of: a file for each, so that they stay while it is there.
//!
//! An overlay mount reads its lower directories as long as it lasts. The file names the container's
//! state folder: without that the container is gone, perhaps with the machine's last life, and its file
//! means nothing any more.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::sys::{At, Kernel, Renameat, look, write_new_file};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct User {
    /// The state folder of the container.
    state: PathBuf,
    /// By chain id.
    pub layers: Vec<Digest>,
}

impl User {
    pub(super) fn is_there(&self) -> bool {
        self.state.is_dir()
    }
}

impl Store {
    /// The file that says what a container uses: to be removed with the container. Two of the same id in
    /// different folders have two.
    pub fn user_file(&self, state: &Path) -> PathBuf {
        let id = state.file_name().unwrap_or_default().to_string_lossy();
        let place = Digest::of(state.as_os_str().as_encoded_bytes());
        self.dir().join("users").join(format!("{id}-{}", place.short()))
    }

    /// Notes that the container with this state folder is made of these layers. From then on the
    /// [hold](Store::hold) under which they were found may end. It is part of the making of a container, so each
    /// call is told; and a loss of power, which could take the file's text, takes the container too.
    pub fn use_layers(&self, k: &Kernel, state: &Path, layers: &[Digest]) -> Result<()> {
        let _hold = self.hold(k)?;
        let user = User { state: state.to_owned(), layers: layers.to_vec() };
        let (new, path) = (self.ingest(&format!("user-{}", look::pid())), self.user_file(state));
        write_new_file(k, At::CWD, &new, &serde_json::to_vec(&user)?, 0o644)?;
        k.call(Renameat { from: &new, to: &path })
    }

    /// All such files, also those that cannot be read.
    pub(super) fn users(&self) -> Vec<(PathBuf, Result<User>)> {
        let entries = std::fs::read_dir(self.dir().join("users")).into_iter().flatten().flatten();
        let read = |path: &PathBuf| {
            serde_json::from_str(&look::read(path)?)
                .map_err(|e| Error::from(e).at(path.display().to_string()))
                .map_err(|e| e.try_this("rm that file, if its container is gone"))
        };
        let mut users: Vec<_> = entries.map(|entry| entry.path()).collect();
        users.sort();
        users.into_iter().map(|path| (path.clone(), read(&path))).collect()
    }
}
