//! Images: from a name to the files of a root filesystem.
//!
//! OCI image-spec and distribution-spec. An image is a tree of documents that point at each other by
//! the SHA-256 of what they point at. So whoever has a manifest's digest can check every byte below it,
//! wherever the bytes came from:
//!
//! ```text
//!   a name ──► index ──► manifest ──┬─► config      diff_ids: digests of the layers, uncompressed
//!   (a tag       one for a platform └─► layers      tar archives, compressed, the lowest first
//!    may move)
//! ```
//!
//! * [`names`]: what people write, as one of the places that have images;
//! * [`digest`], [`document`]: the values;
//! * [`store`]: the machine's own images, an OCI image layout;
//! * [`registry`] and [`origin`]: where images come from; [`line`](mod@line): over which line;
//! * [`pull`]: from there into the store;
//! * [`layer`]: a layer's archive, as files; [`joined`]: what several of them are together;
//! * [`pack`]: a tree as an image;
//! * [`dissect`]: an image taken apart for the eyes.

pub mod digest;
pub mod dissect;
pub mod document;
pub mod joined;
pub mod layer;
pub mod line;
pub mod names;
pub mod origin;
pub mod pack;
pub mod platform;
pub mod pull;
pub mod registry;
pub mod store;
