//! `learnc run`: create and start in one process, attended to the end.
//!
//! `run ID` is the OCI run of a bundle. `run [-- CMD]` needs nothing: it makes a default bundle.

use clap::Args;

use super::create::{options, planned};
use crate::cli::narration::{Narration, Usually};
use crate::cli::{BundleArgs, Context};
use crate::error::Result;
use crate::perform::attend::{Signals, attend, copy_size};
use crate::perform::parent::{Watch, create};
use crate::plan::{Plan, Terminals};
use crate::sys::plumbing;

#[derive(Debug, Args)]
pub struct Run {
    /// The container's id; the bundle is --bundle or the current folder
    pub id: String,
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Do not wait for the program
    #[arg(short, long)]
    pub detach: bool,
    /// Keep the container's state after it has ended
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub narration: Narration,
}

impl Run {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let terminal = match (&self.bundle.console_socket, self.detach) {
            (Some(path), _) => Terminals::Socket(path.clone()),
            (None, true) => Terminals::None,
            (None, false) => Terminals::Relay,
        };
        let options = options(&self.id, &self.bundle, terminal, context)?;
        let bundle = crate::bundle::load(self.bundle.bundle.as_deref().unwrap_or(".".as_ref()))?;
        let plan = planned(&bundle, &options)?;
        let observers = self.narration.observers(Usually::Folded)?;
        let watch = Watch { observer: observers.any(), stepper: None };
        if self.narration.plan {
            if let Some(observer) = watch.observer {
                crate::perform::pretend(&plan, observer)?;
            }
            return Ok(0);
        }
        let dir = options.state_root.join(&options.id);
        run(&plan, &dir, self.detach, self.keep, watch)
    }
}

/// Creates, starts, attends, removes: the program's exit status.
pub fn run(
    plan: &Plan,
    dir: &std::path::Path,
    detach: bool,
    keep: bool,
    watch: Watch,
) -> Result<i32> {
    let signals = if detach { None } else { Some(Signals::block()?) };
    let created = create(plan, dir, false, &[], watch)?;
    if let Some(master) = &created.terminal {
        copy_size(master);
    }
    let started = created.start()?;
    let Some(signals) = signals else { return Ok(0) };
    attend(started.pid, started.terminal.as_ref(), &signals)?;
    let status = plumbing::reap(started.pid.0)?;
    if let Some(observer) = watch.observer {
        observer.see(&crate::event::Event::Ended { pid: started.pid.0, status });
    }
    if !keep {
        started.unmake(watch)?;
    }
    Ok(status)
}
