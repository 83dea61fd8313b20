//! The machine's own images: a folder that is an OCI image layout, and a little more.
//!
//! image-spec, image-layout.md. What is in `blobs/` is named by its digest, so it is written once and
//! never changed; what a name means is one line in `index.json`. skopeo and umoci read the same folder.
//!
//! ```text
//!   oci-layout  index.json       the names, each with the descriptor of an index or a manifest
//!   blobs/sha256/<hex>           documents, and layers as they came
//!   layers/sha256/<hex>/         a layer unpacked, by its chain id
//!   layers/ids-<hex>/            others, whose owners are ids that a user has in a namespace
//!   ingest/                      what is still being written
//!   users/                       which unpacked layers a container is made of
//!   names.lock  adding.lock      held by flock(2), never removed
//! ```
//!
//! **A kill at any moment loses nothing.** Whatever has a name was written under another one, brought
//! to the disk (fsync), and renamed in one moment; then the folder is brought to the disk. What a dead
//! process left in `ingest/` is taken up again by the next who wants the same blob.
//!
//! **Several at once.** Who adds holds `adding.lock` together with others ([`Store::hold`]) until what it
//! added has a name; [`Store::prune`] holds it alone, so that nothing goes that is about to be named.
//! The file of a blob in the making has one writer ([`Store::begin`]). `names.lock` is held for as long
//! as it takes to write `index.json`.
//!
//! Nothing in here is believed because of where it lies: sizes are looked at when a blob is opened, and
//! documents are held against their digest each time they are read.

mod check;
mod files;
mod image;
mod ingest;
mod mend;
mod names;
mod prune;
mod reach;
mod sets;
mod users;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::digest::{Digest, Sum};
use super::document::{Descriptor, LARGEST};
use crate::error::{Error, Named, Result, WayOut};
use crate::event::Event;
use crate::sys::{Kernel, home, look};

pub use check::{Problem, Report};
pub use files::Hold;
pub use image::{Image, chain_ids};
pub use ingest::Incoming;
pub use prune::Pruned;
pub use reach::Listed;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
/// Locked by whoever adds something, or takes something away.
const ADDING: &str = "adding.lock";

/// What to do about a store in which something is not as it should be.
pub const MENDS: &str =
    "learnc pull NAME, or the place that it came from: what is damaged or missing is fetched anew";

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    /// Below `layers/`, where those are whose owners are ids of these maps; None for a store's usual ones.
    ids: Option<String>,
}

impl Store {
    /// Where this user's images are kept, if nobody says otherwise.
    pub fn place() -> PathBuf {
        home::data_folder().join("learnc/images")
    }

    /// Opens the store, and makes it if it is not there.
    pub fn open(k: &Kernel, dir: &Path) -> Result<Store> {
        let store = Store { dir: std::path::absolute(dir).named(dir)?, ids: None };
        if !store.dir.join(LAYOUT).is_file() {
            store.is_empty()?;
            store.make(k).map_err(|e| store.or_another(e))?;
        } else if !["users", "ingest"].iter().all(|name| store.dir.join(name).is_dir()) {
            // A layout that another tool has made.
            store.make(k).map_err(|e| store.or_another(e))?;
        }
        store.is_readable()?;
        Ok(store)
    }

    /// The store, if there is one; nothing is made. What may not be looked at is an error.
    pub fn look(dir: &Path) -> Result<Option<Store>> {
        let store = Store { dir: std::path::absolute(dir).named(dir)?, ids: None };
        let path = store.dir.join(LAYOUT);
        match path.metadata() {
            Ok(meta) if meta.is_file() => {}
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(Error::from(e).at(path.display().to_string()));
            }
            _ => return Ok(None),
        }
        store.is_readable()?;
        Ok(Some(store))
    }

    /// A folder of something else does not become a store.
    fn is_empty(&self) -> Result<()> {
        // LAYOUT is there now if another has made the store since the look for it.
        let ours = ["blobs", "layers", "ingest", "users", INDEX, LAYOUT];
        let is_ours = |name: &str| ours.contains(&name) || name.ends_with(".lock");
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.find(|name| !is_ours(name)).map_or(Ok(()), |foreign| {
            Err(Error::yours(format!("{} is no store of images", self.dir.display()))
                .because(format!("it has no {LAYOUT}, and something else is in it: {foreign}"))
                .try_this("--store DIR, with a folder that is empty or not there"))
        })
    }

    /// `oci-layout` comes last: with it the store is whole.
    fn make(&self, k: &Kernel) -> Result<()> {
        files::directories(k, &self.dir, 0o700)?;
        // Closed to others: unpacked layers have programs with the set-user-id bit.
        files::directory(k, &self.layers(), 0o700)?;
        for name in ["blobs", "blobs/sha256", "ingest", "users"] {
            files::directory(k, &self.dir.join(name), 0o755)?;
        }
        let _names = self.lock_names(k)?;
        if !self.dir.join(INDEX).is_file() {
            let empty = br#"{"schemaVersion":2,"manifests":[]}"#;
            files::replace(k, &self.ingest(INDEX), &self.dir.join(INDEX), empty)?;
        }
        if self.dir.join(LAYOUT).is_file() {
            return Ok(());
        }
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        files::replace(k, &self.ingest(LAYOUT), &self.dir.join(LAYOUT), layout)
    }

    fn is_readable(&self) -> Result<()> {
        let path = self.dir.join(LAYOUT);
        check_layout(&look::read(&path)?).map_err(|e| e.at(path.display().to_string()))
    }

    /// What else there is to do where nothing can be written into it.
    pub fn or_another(&self, e: Error) -> Error {
        match e.errno() {
            Some(Errno::EROFS | Errno::EACCES) => e
                .at(self.dir.display().to_string())
                .because("images are kept there, and the layers of a container are noted as used")
                .try_this("--store DIR, with a folder to which this user may write"),
            _ => e,
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a blob is there, with the size that is said of it.
    pub fn has(&self, what: &Descriptor) -> bool {
        let found = self.blob_file(&what.digest).symlink_metadata();
        found.is_ok_and(|meta| meta.is_file() && meta.len() == what.size)
    }

    /// Where a blob is, if it is there.
    pub fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Opens a blob to be read. Who reads it checks its digest.
    pub fn blob(&self, what: &Descriptor) -> Result<File> {
        let path = self.blob_file(&what.digest);
        let file = File::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::yours(format!("{} is not here", what.digest))
                .because(format!("{} has no such blob", self.dir.display()))
                .try_this(MENDS)
                .or_else_by(WayOut::Pull),
            _ => Error::from(e).at(path.display().to_string()),
        })?;
        let size = file.metadata().named(&path)?.len();
        if size != what.size {
            let text = format!("it has {size} bytes, where {} are said of it", what.size);
            return Err(self.damaged(&what.digest, text));
        }
        Ok(file)
    }

    /// Reads a document, whose digest is checked.
    pub fn read(&self, k: &Kernel, what: &Descriptor) -> Result<Vec<u8>> {
        let mut file = self.blob(what)?;
        if what.size > LARGEST {
            let text = format!("{}: a document of {} bytes", what.digest, what.size);
            return Err(Error::yours(text).because(format!("more than {LARGEST} are not read")));
        }
        let mut bytes = Vec::with_capacity(what.size as usize);
        file.by_ref()
            .take(what.size)
            .read_to_end(&mut bytes)
            .named(self.blob_file(&what.digest))?;
        let mut sum = Sum::new(what.digest.algorithm());
        sum.update(&bytes);
        let computed = sum.finish();
        tell(k, what, &computed);
        match computed == what.digest {
            true => Ok(bytes),
            false => Err(self.damaged(&what.digest, format!("what is in it has {computed}"))),
        }
    }

    /// A blob's file is not what its name says.
    fn damaged(&self, digest: &Digest, evidence: String) -> Error {
        Error::yours(format!("{digest} is damaged in the store")).because(evidence).try_this(MENDS)
    }

    /// Where what is being written has its name until it is complete.
    pub fn ingest_dir(&self) -> PathBuf {
        self.dir.join("ingest")
    }

    fn ingest(&self, name: &str) -> PathBuf {
        self.ingest_dir().join(format!("{name}.new"))
    }

    /// To be held from before the first blob is looked for until what was added has its name, and from
    /// before an unpacked layer is looked for until it is noted as [used](Store::use_layers).
    ///
    /// In a layout of another tool, which has no `ingest/` until somebody [opens](Store::open) it to add something,
    /// there is nobody to keep out, and no file is left.
    pub fn hold(&self, k: &Kernel) -> Result<Hold> {
        if !self.ingest_dir().is_dir() {
            return Ok(Hold::none());
        }
        Hold::shared(k, &self.dir.join(ADDING))
    }

    fn hold_alone(&self, k: &Kernel) -> Result<Hold> {
        Hold::alone(k, &self.dir.join(ADDING))
    }

    fn lock_names(&self, k: &Kernel) -> Result<Hold> {
        Hold::alone(k, &self.dir.join("names.lock"))
    }
}

/// image-spec, "oci-layout file": a version that is known.
pub fn check_layout(text: &str) -> Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        image_layout_version: String,
    }
    let layout: Layout = serde_json::from_str(text)?;
    match layout.image_layout_version.starts_with("1.") {
        true => Ok(()),
        false => Err(Error::yours(format!(
            "layout of version {:?}, and 1.x is known",
            layout.image_layout_version
        ))),
    }
}

/// Tells that a blob was held against its digest.
fn tell(k: &Kernel, what: &Descriptor, computed: &Digest) {
    k.tell(|index| Event::Checked {
        index,
        what: word(what).to_owned(),
        bytes: what.size,
        claimed: what.digest.to_string(),
        computed: computed.to_string(),
    });
}

/// What a descriptor points at, in a word.
pub fn word(what: &Descriptor) -> &'static str {
    match what {
        index if index.is_index() => "index",
        manifest if manifest.is_manifest() => "manifest",
        layer if layer.compression().is_ok() => "layer",
        other
            if other.media_type.contains(".config.") || other.media_type.contains(".image.v1") =>
        {
            "config"
        }
        _ => "blob",
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
