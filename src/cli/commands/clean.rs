//! `learnc clean`: finishes what a killed learnc could not undo.
//!
//! Containers that still run are left alone, and so are created ones, which somebody may yet start, and
//! those that a living learnc is about to make.

use clap::Args;

use crate::cli::narration::{Narration, Usually};
use crate::cli::{Context, say};
use crate::error::Result;
use crate::lifecycle::journal::lock;
use crate::lifecycle::{Status, all, find};
use crate::perform::parent::{self, Watch};

#[derive(Debug, Args)]
pub struct Clean {
    #[command(flatten)]
    pub narration: Narration,
}

impl Clean {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let observers = self.narration.observers(Usually::Silent)?;
        let watch = Watch { observer: observers.any(), stepper: None };
        let mut removed = 0;
        for container in all(&context.state_root)? {
            let alone = lock(&container.dir)?;
            let container = find(&context.state_root, &container.id())?;
            match container.status() {
                Status::Creating if container.maker().is_some() => {
                    say::line(&format!("{} is being made: left alone", container.id()))?;
                }
                Status::Running | Status::Created => {
                    let (id, status) = (container.id(), container.status());
                    say::line(&format!(
                        "{id} is {status}: left alone (learnc delete --force {id} ends it)"
                    ))?;
                }
                Status::Stopped | Status::Creating => {
                    parent::delete(&container.dir, watch)?;
                    say::line(&format!("{}: removed what was left", container.id()))?;
                    removed += 1;
                }
            }
            drop(alone);
        }
        if removed == 0 {
            say::line(&format!("nothing to clean in {}", context.state_root.display()))?;
        }
        Ok(0)
    }
}
