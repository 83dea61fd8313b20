//! A whole run in one process: create's half, start's half, attendance, and removal.
//!
//! `learnc run` and `learnc stage` are this function. What lies between its halves is where a run can
//! be looked at: the container complete but for its program, and the program ended but not yet
//! forgotten. A plan that starts nothing ends with a root filesystem, which can be visited before it
//! is taken away.
//!
//! Signals are for the program: they wait until it is there. Only while a root filesystem is made, which
//! may take minutes, one that asks for the end has it at once: all is undone, and the exit status says so.

use std::path::Path;

use super::attend::{Signals, attend, copy_size};
use super::compare::Comparison;
use super::parent::{Started, Watch, create};
use super::visit::visit;
use crate::error::Result;
use crate::event::Event;
use crate::plan::Plan;
use crate::sys::{plumbing, stop};

/// How a whole run is done.
#[derive(Debug, Default)]
pub struct Whole {
    /// Leave as soon as the program runs.
    pub detach: bool,
    /// Leave the state when the program has ended.
    pub keep: bool,
    /// Tell what differs between host and container, and whether the host is as before in the end.
    /// Without anybody to be told, nothing is looked at.
    pub compare: bool,
    /// For a plan without a process: a program of the host's, run in the root filesystem's folder.
    pub visit: Option<Vec<String>>,
}

/// Creates, starts, attends, removes: the program's exit status.
pub fn run(plan: &Plan, dir: &Path, how: &Whole, watch: Watch) -> Result<i32> {
    let compares = how.compare && !how.detach && watch.observer.is_some();
    let mut comparison = compares.then(|| Comparison::begin(plan, dir));
    let attends = !how.detach || plan.has_no_process();
    let signals = attends.then(Signals::block).transpose()?;
    let status = match plan.has_no_process() {
        true => root_filesystem(plan, dir, how, watch, signals.as_ref(), comparison.as_mut()),
        false => container(plan, dir, how, watch, signals.as_ref(), comparison.as_mut()),
    };
    let status = status.or_else(|error| {
        let status = stop::status(&error).ok_or(error)?;
        // What this process was asked for is done.
        signals.iter().for_each(Signals::clear);
        Ok(status)
    });
    if let Some(comparison) = comparison.filter(|_| !how.keep) {
        watch.tell(|| comparison.host_as_before());
    }
    status
}

fn container(
    plan: &Plan,
    dir: &Path,
    how: &Whole,
    watch: Watch,
    signals: Option<&Signals>,
    mut comparison: Option<&mut Comparison>,
) -> Result<i32> {
    let created = create(plan, dir, false, watch)?;
    if let Some(master) = &created.terminal {
        copy_size(master);
    }
    if let Some(comparison) = &mut comparison {
        comparison.created(&created);
    }
    let started = created.start()?;
    if let Some(comparison) = &mut comparison {
        comparison.started();
    }
    let Some(signals) = signals else { return Ok(0) };
    let status = match to_its_end(&started, signals, watch) {
        Ok(status) => status,
        Err(error) => {
            // A container that nobody can attend is ended: nobody asked for one without its runtime.
            let _ = started.unmake(watch);
            return Err(error);
        }
    };
    watch.tell(|| Event::Ended { pid: started.pid.0, status });
    if let Some(comparison) = comparison {
        let changed = comparison.changed(&watch.kernel());
        watch.tell(|| changed);
    }
    if !how.keep {
        started.unmake(watch)?;
    }
    Ok(status)
}

fn to_its_end(started: &Started, signals: &Signals, watch: Watch) -> Result<i32> {
    let k = watch.kernel();
    k.enter(0, "signal");
    attend(&k, started.pid, started.terminal.as_ref(), signals)?;
    plumbing::reap(started.pid.0)
}

/// A plan without a process: the tree is made, compared, visited, and taken away.
fn root_filesystem(
    plan: &Plan,
    dir: &Path,
    how: &Whole,
    watch: Watch,
    signals: Option<&Signals>,
    mut comparison: Option<&mut Comparison>,
) -> Result<i32> {
    let made = create(plan, dir, false, watch)?.without_a_program();
    if let (Some(comparison), Some(root)) = (&mut comparison, plan.own_root()) {
        comparison.made(root);
    }
    let status = match (&how.visit, plan.own_root(), signals) {
        (Some(command), Some(root), Some(signals)) => visit(command, root, signals, watch),
        _ => Ok(0),
    };
    if let Some(comparison) = comparison {
        let changed = comparison.changed(&watch.kernel());
        watch.tell(|| changed);
    }
    if !how.keep {
        made.unmake(watch)?;
    }
    status
}
