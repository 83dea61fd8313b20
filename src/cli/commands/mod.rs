//! One verb, one short file.

pub mod clean;
pub mod create;
pub mod delete;
pub mod doctor;
pub mod image;
pub mod images;
pub mod inspect;
pub mod kill;
pub mod list;
pub mod prune;
pub mod pull;
pub mod rmi;
pub mod run;
pub mod spec;
pub mod stage;
pub mod start;
pub mod state;
pub mod unpack;
