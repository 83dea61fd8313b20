//! What is taught, as opposed to what is done.
//!
//! Everything learnc explains is data below `lessons/`, embedded in the binary. This room reads it
//! and hands it to whoever shows or checks it; it performs nothing.

pub mod words;
