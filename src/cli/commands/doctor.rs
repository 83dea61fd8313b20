//! `learnc doctor`: what this machine can do, what each missing thing costs, and what to try.

use clap::Args;

use crate::cli::{Context, say};
use crate::doctor::{self, attempt, words};
use crate::error::Result;
use crate::event::Lane;
use crate::facts;
use crate::render::doctor::page;
use crate::render::terminal::look::{Look, When};
use crate::sys::{Kernel, Manner, look};

#[derive(Debug, Args)]
pub struct Doctor {
    /// Facts and findings as JSON
    #[arg(long)]
    pub json: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

impl Doctor {
    /// 0 when a container can be run here, 1 when none can.
    pub fn perform(&self, _context: &Context) -> Result<i32> {
        let k = Kernel::new(Manner::Silent, Lane::Runtime, look::pid());
        let mut facts = facts::whole();
        let tried = attempt::all(&k, facts.uid)?;
        if let Some(machine) = &mut facts.machine {
            machine.tried = Some(tried.clone());
            machine.calls_missing =
                look::calls_not_known().into_iter().map(str::to_owned).collect();
        }
        let findings = doctor::findings(&facts);
        let works = doctor::works(&findings);
        let told: Vec<_> = findings.into_iter().map(words::tell).collect();
        if self.json {
            let report = serde_json::json!({ "works": works, "findings": told, "facts": facts });
            say::line(&format!("{report:#}"))?;
        } else {
            let look = Look::of(1, self.color, false);
            say::all(&page(&told, &words::summary(works), &look))?;
        }
        Ok(if works { 0 } else { 1 })
    }
}
