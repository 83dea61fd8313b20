//! `learnc doctor`: what this machine can do, what each missing thing costs, and what to try.

use std::io::Write;

use clap::Args;

use crate::cli::Context;
use crate::doctor::{self, attempt, words};
use crate::error::Result;
use crate::event::Lane;
use crate::facts;
use crate::render::doctor::{Page, page};
use crate::sys::{Kernel, Manner, look, plumbing};

#[derive(Debug, Args)]
pub struct Doctor {
    /// Facts and findings as JSON
    #[arg(long)]
    pub json: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto",
          value_parser = ["auto", "always", "never"])]
    pub color: String,
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
        let mut out = std::io::stdout().lock();
        // A reader that went away has seen enough.
        let _ = if self.json {
            let report = serde_json::json!({ "works": works, "findings": told, "facts": facts });
            writeln!(out, "{report:#}")
        } else {
            self.choose_colours();
            let width = plumbing::terminal_size(1).map_or(80, |(columns, _)| columns.into());
            let shape = Page { width, unicode: speaks_unicode() };
            write!(out, "{}\n{}\n", page(&told, shape), words::summary(works))
        };
        Ok(if works { 0 } else { 1 })
    }

    fn choose_colours(&self) {
        match self.color.as_str() {
            "always" => colored::control::set_override(true),
            "never" => colored::control::set_override(false),
            _ => {}
        }
    }
}

/// Whether the reader's locale is UTF-8, by the first of these that is set: locale(7).
fn speaks_unicode() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    })
}
