//! A whole run in one process: create's half, start's half, attendance, and removal.
//!
//! `learnc run` and `learnc stage` are this function. What lies between its halves is where a run can
//! be looked at: the container complete but for its program, and the program ended but not yet
//! forgotten.

use std::path::Path;

use super::attend::{Signals, attend, copy_size};
use super::parent::{Watch, create};
use crate::error::Result;
use crate::event::Event;
use crate::plan::Plan;
use crate::sys::plumbing;

/// How a whole run is done.
#[derive(Debug, Default)]
pub struct Whole {
    /// Leave as soon as the program runs.
    pub detach: bool,
    /// Leave the state when the program has ended.
    pub keep: bool,
}

/// Creates, starts, attends, removes: the program's exit status.
pub fn run(plan: &Plan, dir: &Path, how: &Whole, watch: Watch) -> Result<i32> {
    let signals = if how.detach { None } else { Some(Signals::block()?) };
    let created = create(plan, dir, false, watch)?;
    if let Some(master) = &created.terminal {
        copy_size(master);
    }
    let started = created.start()?;
    let Some(signals) = signals else { return Ok(0) };
    let k = watch.kernel();
    k.enter(0, "signal");
    let attended = attend(&k, started.pid, started.terminal.as_ref(), &signals);
    let status = match attended.and_then(|()| plumbing::reap(started.pid.0)) {
        Ok(status) => status,
        Err(error) => {
            // A container that nobody can attend is ended: nobody asked for one without its runtime.
            let _ = started.unmake(watch);
            return Err(error);
        }
    };
    watch.tell(|| Event::Ended { pid: started.pid.0, status });
    if !how.keep {
        started.unmake(watch)?;
    }
    Ok(status)
}
