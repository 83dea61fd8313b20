//! `learnc delete`: removes what a container left outside itself.

use clap::Args;

use crate::cli::Context;
use crate::cli::narration::{Narration, Usually};
use crate::error::{Error, Result};
use crate::lifecycle::journal::lock;
use crate::lifecycle::{Status, find};
use crate::perform::parent::{self, Watch};

#[derive(Debug, Args)]
pub struct Delete {
    /// The container's id
    pub id: String,
    /// End it first if it still runs; no error if it is not there
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub narration: Narration,
}

impl Delete {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let container = match find(&context.state_root, &self.id) {
            Err(_) if self.force && !context.state_root.join(&self.id).exists() => return Ok(0),
            other => other?,
        };
        let alone = lock(&container.dir)?;
        let container = find(&context.state_root, &self.id)?;
        if let Some(pid) = container.maker() {
            return Err(Error::yours(format!("container {} is being made", self.id))
                .because(format!("process {pid} is at it"))
                .try_this(format!("kill {pid}, and then learnc clean")));
        }
        let status = container.status();
        if status == Status::Running && !self.force {
            return Err(Error::yours(format!("container {} is running", self.id))
                .try_this(format!("learnc kill {0} KILL, or learnc delete --force {0}", self.id)));
        }
        let observers = self.narration.observers(Usually::Silent)?;
        let watch = Watch { observer: observers.any(), stepper: None };
        parent::delete(&container.dir, watch)?;
        drop(alone);
        Ok(0)
    }
}
