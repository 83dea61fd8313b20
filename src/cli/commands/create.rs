//! `learnc create`: everything but starting the program.

use clap::Args;

use crate::bundle::Bundle;
use crate::cli::narration::{Narration, Usually};
use crate::cli::{BundleArgs, Context};
use crate::error::{Error, Result};
use crate::facts::{self, Facts};
use crate::perform::parent::{self, Stepper, Watch};
use crate::plan::{Options, Plan, Terminals, plan};

#[derive(Debug, Args)]
pub struct Create {
    /// The container's id
    pub id: String,
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub narration: Narration,
}

impl Create {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let terminal =
            self.bundle.console_socket.clone().map_or(Terminals::None, Terminals::Socket);
        let options = options(&self.id, &self.bundle, terminal, context)?;
        let bundle = crate::bundle::load(self.bundle.bundle.as_deref().unwrap_or(".".as_ref()))?;
        let plan = planned(&bundle, &options)?;
        let observers = self.narration.observers(Usually::Silent)?;
        let prompt = self.narration.prompt(&observers)?;
        let stepper = prompt.as_ref().map(|p| p as &dyn Stepper);
        let watch = Watch { observer: observers.any(), stepper };
        if self.narration.plan {
            observers.any().map_or(Ok(()), |o| crate::perform::pretend(&plan, o))?;
            return Ok(0);
        }
        parent::create(&plan, &options.state_root.join(&self.id), true, watch)?;
        Ok(0)
    }
}

/// The options that the command line decides.
pub fn options(
    id: &str,
    args: &BundleArgs,
    terminal: Terminals,
    context: &Context,
) -> Result<Options> {
    let bundle = args.bundle.clone().unwrap_or_else(|| ".".into());
    let absolute = |path: &std::path::PathBuf| {
        std::path::absolute(path).map_err(|e| Error::from(e).at(path.display().to_string()))
    };
    Ok(Options {
        recipe: None,
        layers: None,
        no_cgroup_unasked: false,
        limits_may_be_missing: false,
        id: id.to_owned(),
        bundle: absolute(&bundle)?,
        state_root: context.state_root.clone(),
        pid_file: args.pid_file.as_ref().map(absolute).transpose()?,
        no_pivot: args.no_pivot,
        terminal,
        preserve_fds: args.preserve_fds,
        owner: facts::login_name().unwrap_or_default(),
    })
}

/// Reads the machine and plans.
pub fn planned(bundle: &Bundle, options: &Options) -> Result<Plan> {
    let facts: Facts = facts::read();
    plan(bundle, options, &facts)
}
