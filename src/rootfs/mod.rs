//! Where a root filesystem comes from.

pub mod program;
