//! Observers of events: what people and programs see. Nothing here decides or acts on a container.

pub mod doctor;
pub mod json;
pub mod terminal;

use std::cell::RefCell;

use crate::event::{Event, Observer};

/// Several observers as one, in order.
#[derive(Default)]
pub struct All<'a>(pub Vec<&'a dyn Observer>);

impl Observer for All<'_> {
    fn see(&self, event: &Event) {
        self.0.iter().for_each(|observer| observer.see(event));
    }

    fn flush(&self) {
        self.0.iter().for_each(|observer| observer.flush());
    }
}

/// Keeps everything, for a view that is made at the end.
#[derive(Default)]
pub struct Memory(pub RefCell<Vec<Event>>);

impl Observer for Memory {
    fn see(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}
