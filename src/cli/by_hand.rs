//! `--by-hand`: the plan as a shell script, instead of a run.

use clap::Args;

use crate::emit;
use crate::error::Result;
use crate::plan::Plan;

/// For verbs that plan a whole life of a container.
#[derive(Debug, Args, Clone)]
pub struct ByHand {
    /// Print a shell script that makes the same container without learnc; do nothing
    #[arg(long, conflicts_with_all = ["plan", "step", "quiet", "explain", "verbose", "events"])]
    pub by_hand: bool,
}

impl ByHand {
    /// Prints the script, if it was asked for: the exit status then, and nothing is to be done.
    /// `visit` is what looks at a root filesystem in which nothing is started.
    pub fn print(&self, plan: &Plan, visit: Option<&[String]>) -> Result<Option<i32>> {
        if !self.by_hand {
            return Ok(None);
        }
        super::say::all(&emit::sh(plan, visit))?;
        Ok(Some(0))
    }
}
