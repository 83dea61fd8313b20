//! `learnc start`: tells a created container to go.

use clap::Args;

use crate::cli::Context;
use crate::cli::narration::{Narration, Usually};
use crate::error::{Error, Result};
use crate::lifecycle::journal::lock;
use crate::lifecycle::{Status, find};
use crate::perform::parent::{Watch, start_later};
use crate::sys::Pid;

#[derive(Debug, Args)]
pub struct Start {
    /// The container's id
    pub id: String,
    #[command(flatten)]
    pub narration: Narration,
}

impl Start {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let container = find(&context.state_root, &self.id)?;
        let _alone = lock(&container.dir)?;
        let record = container.record()?;
        let status = container.status();
        if status != Status::Created {
            return Err(Error::yours(format!("container {} is {status}", self.id))
                .because("only a created container can be started, and only once")
                .try_this(format!("learnc delete --force {0}, then learnc create {0}", self.id)));
        }
        let observers = self.narration.observers(Usually::Silent)?;
        let watch = Watch { observer: observers.any(), stepper: None };
        start_later(&container.dir, Pid(record.pid), watch)?;
        Ok(0)
    }
}
