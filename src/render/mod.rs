//! Observers of events: what people and programs see. Nothing here decides or acts on a container.

pub mod dissection;
pub mod dissection_page;
pub mod doctor;
pub mod json;
pub mod terminal;
