//! One verb, one short file.

pub mod clean;
pub mod create;
pub mod delete;
pub mod doctor;
pub mod kill;
pub mod list;
pub mod run;
pub mod spec;
pub mod stage;
pub mod start;
pub mod state;
pub mod unpack;
