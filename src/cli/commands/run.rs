//! `learnc run`: create and start in one process, attended to the end.
//!
//! `run ID` is the OCI run of a bundle. `run [-- CMD]` needs nothing: it makes a default bundle.

use clap::Args;

use super::create::options;
use crate::cli::delegate::Delegate;
use crate::cli::narration::{Narration, Usually};
use crate::cli::{BundleArgs, Context};
use crate::error::Result;
use crate::facts;
use crate::perform::parent::{Stepper, Watch};
use crate::perform::whole::{Whole, run};
use crate::plan::{Terminals, plan};

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
    #[command(flatten)]
    pub delegate: Delegate,
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
        let facts = facts::read();
        self.delegate.ensure(&facts, &self.narration)?;
        let plan = plan(&bundle, &options, &facts)?;
        let observers = self.narration.observers(Usually::Folded)?;
        let prompt = self.narration.prompt(&observers)?;
        let stepper = prompt.as_ref().map(|p| p as &dyn Stepper);
        let watch = Watch { observer: observers.any(), stepper };
        if self.narration.plan {
            if let Some(observer) = watch.observer {
                crate::perform::pretend(&plan, observer)?;
            }
            return Ok(0);
        }
        let dir = options.state_root.join(&options.id);
        let how = Whole { detach: self.detach, keep: self.keep, ..Whole::default() };
        run(&plan, &dir, &how, watch)
    }
}
