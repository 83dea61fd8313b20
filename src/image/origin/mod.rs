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

use std::io::Read;

use super::document::Descriptor;
use crate::error::Result;
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
}
