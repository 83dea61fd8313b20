//! Who listens while an image is pulled.
//!
//! Layers come at once, and what is told of each comes after the other, so a thread keeps what it has to
//! tell until its turn. The calls by which files get into the store are alike; they are counted, and told
//! in the end by their number.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use crate::event::{Event, Lane, Observer};
use crate::sys::{Kernel, Manner};

/// Passes on what it hears, and counts calls.
pub(super) struct Ear<'k, 'o> {
    to: Option<&'k Kernel<'o>>,
    kept: RefCell<Vec<Event>>,
    calls: RefCell<BTreeMap<String, u64>>,
    /// Of all of them together.
    nanos: Cell<u64>,
}

impl<'k, 'o> Ear<'k, 'o> {
    /// Tells this kernel's observer at once.
    pub fn of(k: &'k Kernel<'o>) -> Ear<'k, 'o> {
        Ear { to: Some(k), ..Ear::apart() }
    }

    /// Keeps everything.
    pub fn apart() -> Ear<'k, 'o> {
        Ear {
            to: None,
            kept: RefCell::default(),
            calls: RefCell::default(),
            nanos: Cell::default(),
        }
    }

    /// Does something with a kernel of this thread's own.
    pub fn listen<T>(&self, work: impl FnOnce(&Kernel) -> T) -> T {
        let pid = self.to.map_or_else(crate::sys::look::pid, |k| k.pid.get());
        work(&Kernel::new(Manner::Told(self), Lane::Runtime, pid))
    }

    /// What was kept, with one event for the calls.
    pub fn told(self, below: &Path) -> Vec<Event> {
        let (mut kept, calls, nanos) = (self.kept.take(), self.calls.take(), self.nanos.take());
        let (below, pid) = (below.display().to_string(), crate::sys::look::pid());
        kept.push(Event::Bulk { index: 0, pid, lane: Lane::Runtime, below, calls, nanos });
        kept
    }

    /// Tells how often which call was made.
    pub fn sum_up(&self, below: &Path) {
        let (Some(k), calls) = (self.to, self.calls.take()) else { return };
        let list: Vec<_> = calls.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
        if !list.is_empty() {
            let text = format!("{}, below {}", list.join(", "), below.display());
            k.tell(|index| Event::Note { index, text });
        }
    }
}

/// The same event, told in this step.
fn placed(mut event: Event, step: Option<usize>) -> Event {
    match &mut event {
        Event::Requested { index, .. }
        | Event::Checked { index, .. }
        | Event::Note { index, .. } => {
            *index = step;
        }
        _ => {}
    }
    event
}

impl Observer for Ear<'_, '_> {
    fn see(&self, event: &Event) {
        match (event, self.to) {
            (Event::Call(call), _) => {
                *self.calls.borrow_mut().entry(call.name.clone()).or_default() += 1;
                self.nanos.update(|sum| sum + call.nanos);
            }
            (Event::Bulk { calls, nanos, .. }, _) => {
                self.nanos.update(|sum| sum + nanos);
                let mut sum = self.calls.borrow_mut();
                calls.iter().for_each(|(name, n)| *sum.entry(name.clone()).or_default() += n);
            }
            (event, Some(k)) => k.tell(|index| placed(event.clone(), index)),
            (event, None) => self.kept.borrow_mut().push(event.clone()),
        }
    }
}
