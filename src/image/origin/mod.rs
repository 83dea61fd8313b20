//! Where images come from: one trait, and who answers to it.
//!
//! ```text
//!   docker.io/library/alpine ─► registry  over http(s)            ┐
//!   oci:DIR[:TAG]            ─► layout    index.json and blobs/   ├─► documents and blobs, by digest
//!   oci-archive:FILE         ─► the same in a tar archive         │
//!   docker-archive:FILE|-    ─► manifest.json and layer archives  ┘
//! ```
//!
//! Nobody here is believed: whoever takes a blob holds it against its digest, and its size.

pub mod archive;
pub mod docker;
mod header;
pub mod layout;
mod spool;

use std::io::Read;
use std::path::Path;

use super::digest::Sum;
use super::document::Descriptor;
use super::names::{Name, Place, is_tag};
use super::store;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::sys::Kernel;

/// Somebody who has images. Several threads ask at once, each with a kernel value of its own.
pub trait Source: Sync {
    /// What the name that was asked for points at: an index or a manifest, with its bytes. The
    /// descriptor's digest is that of these bytes, and where the name has a digest it is that one.
    fn top(&self, k: &Kernel) -> Result<(Descriptor, Vec<u8>)>;

    /// A manifest or an index below an index, checked against its descriptor.
    fn document(&self, k: &Kernel, what: &Descriptor) -> Result<Vec<u8>>;

    /// A config's or a layer's bytes from `offset` on. Who reads them checks them. A line that breaks is
    /// taken up again inside: to the reader it is one stream, or an error in the end.
    fn blob(&self, k: &Kernel, what: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>>;

    /// Tells what had to be asked while this blob was read, when nobody could be told: a line that broke was
    /// taken up again.
    fn retell(&self, _k: &Kernel, _what: &Descriptor) {}

    /// As it is shown: `docker.io/library/alpine:latest`, `oci:/x:v1`.
    fn name(&self) -> String;

    /// The name under which a store keeps it.
    fn kept_name(&self) -> String {
        self.name()
    }
}

/// Opens a place on this machine. `ingest` is a folder for what must be kept while it is read.
///
/// # Errors
/// A registry is no such place: it is asked over a line.
pub fn local(k: &Kernel, place: &Place, ingest: &Path) -> Result<Box<dyn Source>> {
    Ok(match place {
        Place::Registry(name) => {
            return Err(Error::yours(format!("{name} is not on this machine")));
        }
        Place::Layout { dir, tag } => Box::new(layout::Layout::folder(dir, tag.as_deref())?),
        Place::OciArchive { file, tag } => {
            Box::new(layout::Layout::archive(k, file, tag.as_deref(), ingest)?)
        }
        Place::DockerArchive { file, name } => {
            Box::new(docker::Docker::open(k, file, name.as_deref(), ingest)?)
        }
    })
}

/// The name of what comes from a file or folder: its own where that is a whole one, else one below
/// `localhost`, which no registry on the net has.
fn kept_name(path: &Path, said: Option<&str>) -> String {
    let is_whole = |said: &&str| said.contains([':', '/']);
    if let Some(name) = said.filter(is_whole).and_then(|said| Name::parse(said).ok()) {
        return name.to_string();
    }
    let stem = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem = stem.split('.').next().unwrap_or_default();
    let words = stem.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let word = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let word = if word.is_empty() { "image" } else { &word };
    let tag = said.filter(|said| is_tag(said)).unwrap_or("latest");
    format!("localhost/{word}:{tag}")
}

/// A document, if it is what its descriptor says.
fn checked(k: &Kernel, what: &Descriptor, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut sum = Sum::new(what.digest.algorithm());
    sum.update(&bytes);
    let computed = sum.finish();
    k.tell(|index| Event::Checked {
        index,
        what: store::word(what).to_owned(),
        bytes: bytes.len() as u64,
        claimed: what.digest.to_string(),
        computed: computed.to_string(),
    });
    if computed == what.digest && bytes.len() as u64 == what.size {
        return Ok(bytes);
    }
    let found = format!("what is there has {computed} and {} bytes", bytes.len());
    Err(Error::yours(format!("{} {} was asked for", store::word(what), what.digest)).because(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_comes_from_a_file_is_kept_below_localhost_unless_it_has_a_whole_name() {
        let kept = |path: &str, said: Option<&str>| kept_name(Path::new(path), said);
        assert_eq!(kept("/x/My App_2.tar.gz", None), "localhost/my-app-2:latest");
        assert_eq!(kept("/x/app", Some("v1")), "localhost/app:v1");
        assert_eq!(kept("/x/app", Some("busybox:1.36")), "docker.io/library/busybox:1.36");
        assert_eq!(kept("/x/app", Some("quay.io/a/b")), "quay.io/a/b:latest");
        assert_eq!(kept("-", None), "localhost/image:latest");
    }

    proptest! {
        #[test]
        fn what_it_is_kept_as_is_a_name(path in ".{0,20}", said in proptest::option::of(".{0,20}")) {
            let kept = kept_name(Path::new(&path), said.as_deref());
            prop_assert_eq!(Name::parse(&kept).unwrap().to_string(), kept);
        }
    }
}
