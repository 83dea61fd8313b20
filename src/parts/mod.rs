//! What a container is made of, one mechanism a file.
//!
//! Each file has all of its mechanism: the story, the pure half (`steps`, from the config to
//! [`Step`](step::Step)s of its own acts), the acting half (`perform`, which takes a `&Kernel`), the commands
//! that do the same by hand, and tests. In which order a run meets them is the business of
//! [`crate::plan::create`].

pub mod step;

pub mod state;

pub mod tree;

pub mod overlay;

pub mod image;

pub mod cgroups;

pub mod namespaces;

pub mod idmap;

pub mod process;

pub mod rootfs;

pub mod mounts;

pub mod devices;

pub mod masks;

pub mod identity;

pub mod sysctl;

pub mod limits;

pub mod terminal;

pub mod capabilities;

pub mod user;
