//! What is taught, as opposed to what is done.
//!
//! Everything learnc explains is data below `lessons/`, embedded in the binary. This room reads it
//! and hands it to whoever shows or checks it; it performs nothing.
//!
//! * [`words`]: what is said about a step or a call.
//! * [`stage`]: the stages of the course, each a config.json with most of it missing.
//! * [`growth`]: what a stage adds to the config of the one before.

pub mod growth;
pub mod stage;
pub mod words;
