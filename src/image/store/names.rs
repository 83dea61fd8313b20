//! Names: `index.json`, in which each entry is a descriptor with the name as an annotation.
//!
//! image-spec, image-layout.md, "index.json file". One name means one thing: to give it again takes it
//! from what had it. The file is edited as JSON, so that what another tool has put into it stays as it is.

use std::path::Path;

use serde_json::Value;

use super::reach::Tree;
use super::{INDEX, MENDS, Store, files};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::document::{Descriptor, Index, REF_NAME};
use crate::image::names::Name;
use crate::sys::{Kernel, look};

/// The fewest digits of a digest by which something is found.
const FEWEST: usize = 5;

impl Store {
    /// Gives a name to what is here.
    ///
    /// # Errors
    /// What it points at is not here in full.
    pub fn name(&self, k: &Kernel, name: &str, what: &Descriptor) -> Result<()> {
        let _hold = self.hold(k)?;
        if let Some(lack) = Tree::of(self, what)?.lacks.first() {
            return Err(Error::yours(format!("{name}: {}", lack.what))
                .because("a name is given to what is here in full")
                .try_this(MENDS));
        }
        let mut what = what.clone();
        what.annotations.get_or_insert_default().insert(REF_NAME.to_owned(), name.to_owned());
        let entry = serde_json::to_value(&what)?;
        self.edit(k, |entries| {
            entries.retain(|entry| named(entry) != Some(name));
            entries.push(entry);
        })
    }

    /// Takes a name away: what it meant, if there was one. Blobs stay until [`Store::prune`].
    pub fn remove(&self, k: &Kernel, name: &str) -> Result<Option<Descriptor>> {
        let gone = self.take(k, |entry| named(entry) == Some(name))?;
        Ok(gone.into_iter().next())
    }

    /// Takes away every name of what has this digest: what they were.
    pub fn forget(&self, k: &Kernel, digest: &Digest) -> Result<Vec<Descriptor>> {
        self.take(k, |entry| entry["digest"].as_str() == Some(digest.as_str()))
    }

    fn take(&self, k: &Kernel, is_meant: impl Fn(&Value) -> bool) -> Result<Vec<Descriptor>> {
        let mut gone = vec![];
        self.edit(k, |entries| {
            gone.extend(entries.iter().filter(|entry| is_meant(entry)).cloned());
            entries.retain(|entry| !is_meant(entry));
        })?;
        gone.into_iter().map(|entry| Ok(serde_json::from_value(entry)?)).collect()
    }

    /// Changes the list under its lock.
    fn edit(&self, k: &Kernel, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
        let _names = self.lock_names(k)?;
        let path = self.dir().join(INDEX);
        let (text, _) = self.index()?;
        let mut index: Value = serde_json::from_str(&text)?;
        let Some(entries) = index["manifests"].as_array_mut() else {
            return Err(unreadable(&path, Error::yours("`manifests` is no list")));
        };
        let before = entries.clone();
        change(entries);
        if *entries == before {
            return Ok(());
        }
        let bytes = serde_json::to_vec_pretty(&index)?;
        files::directory(k, &self.ingest_dir(), 0o755)?;
        files::replace(k, &self.ingest(INDEX), &path, &bytes)
    }

    /// All that has a name, and what another tool has put in without one.
    pub fn images(&self) -> Result<Vec<Descriptor>> {
        Ok(self.index()?.1.manifests)
    }

    /// The list as it is written, and what it says.
    fn index(&self) -> Result<(String, Index)> {
        let path = self.dir().join(INDEX);
        let text = look::read(&path)?;
        let index = Index::parse(text.as_bytes()).map_err(|e| unreadable(&path, e))?;
        Ok((text, index))
    }

    /// What somebody means: by its name, in full or as people write it, by its digest, or by the first
    /// digits of that.
    pub fn find(&self, text: &str) -> Result<Option<Descriptor>> {
        let images = self.images()?;
        let full = Name::parse(text).map(|name| name.to_string()).unwrap_or_default();
        for wanted in [text, &full] {
            if let Some(found) = images.iter().find(|image| image.ref_name() == Some(wanted)) {
                return Ok(Some(found.clone()));
            }
        }
        let algorithms = ["sha256:", "sha512:"].iter();
        let digits = algorithms.fold(text, |text, start| text.strip_prefix(start).unwrap_or(text));
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        if digits.len() < FEWEST || !is_hex(digits) {
            return Ok(None);
        }
        let begins = |image: &&Descriptor| image.digest.hex().starts_with(digits);
        let found: Vec<Descriptor> = images.iter().filter(begins).cloned().collect();
        let digests: std::collections::BTreeSet<&Digest> =
            found.iter().map(|f| &f.digest).collect();
        match digests.len() {
            0 | 1 => Ok(found.into_iter().next()),
            several => Err(Error::yours(format!("{text} is the beginning of {several} digests"))
                .try_this("more of its digits, or a name: learnc images")),
        }
    }
}

/// No name is known then: what prune would take for nobody's blobs may all have had one.
fn unreadable(path: &Path, e: Error) -> Error {
    e.at(path.display().to_string()).try_this(
        "the file as it was; the blobs are there still, but their names are not: do not prune",
    )
}

fn named(entry: &Value) -> Option<&str> {
    entry["annotations"][REF_NAME].as_str()
}
