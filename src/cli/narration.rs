//! The switches that say how much is told, where, and in which form.

use clap::Args;

use super::Cli;
use super::step::Prompt;
use crate::error::{Error, Result};
use crate::event::Observer;
use crate::render::json::{Json, Target};
use crate::render::terminal::Terminal;

/// Shared by every verb that performs steps.
#[derive(Debug, Args, Clone)]
pub struct Narration {
    /// Say nothing but errors
    #[arg(short, long, conflicts_with_all = ["explain", "step", "plan"])]
    pub quiet: bool,
    /// Explain every step, and show every call
    #[arg(long)]
    pub explain: bool,
    /// Write events as JSON lines to a file, or to a descriptor: fd:N
    #[arg(long, value_name = "FILE|fd:N")]
    pub events: Option<Target>,
    /// Print the steps and their calls; do nothing
    #[arg(long)]
    pub plan: bool,
    /// Ask before each step
    #[arg(long, conflicts_with = "plan")]
    pub step: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto",
          value_parser = ["auto", "always", "never"])]
    pub color: String,
}

/// How much a verb says when nothing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usually {
    /// Engines call it: nothing.
    Silent,
    /// For doing: a line a step.
    Folded,
    /// For learning: everything.
    Explained,
}

/// The observers that the switches ask for.
pub struct Observers {
    list: Vec<Box<dyn Observer>>,
}

impl Narration {
    pub fn observers(&self, usually: Usually) -> Result<Observers> {
        let mut list: Vec<Box<dyn Observer>> = Vec::new();
        if let Some(target) = &self.events {
            list.push(Box::new(Json::open(target)?));
        }
        let manner = match (self.quiet, self.explain || self.step || self.plan) {
            (true, _) => Usually::Silent,
            (_, true) => Usually::Explained,
            _ => usually,
        };
        if manner != Usually::Silent {
            list.push(Box::new(Terminal { folded: manner == Usually::Folded }));
        }
        Ok(Observers { list })
    }
}

impl Narration {
    /// Who asks between the steps, if --step wants somebody to.
    pub fn prompt<'a>(&self, observers: &'a Observers) -> Result<Option<Prompt<'a>>> {
        self.step.then(|| Prompt::new(observers.any())).transpose()
    }
}

impl Observer for Observers {
    fn see(&self, event: &crate::event::Event) {
        self.list.iter().for_each(|observer| observer.see(event));
    }

    fn flush(&self) {
        self.list.iter().for_each(|observer| observer.flush());
    }
}

impl Observers {
    /// None when nobody listens, so that nothing is made to be told.
    pub fn any(&self) -> Option<&dyn Observer> {
        (!self.list.is_empty()).then_some(self)
    }
}

/// Tells an error on stderr, and in the --log file for the engine that asked.
pub fn report(error: &Error, cli: &Cli) {
    eprintln!("learnc: {error}");
    if let Some(diagnosis) = &error.diagnosis {
        eprintln!("  because  {diagnosis}");
    }
    if let Some(remedy) = &error.remedy {
        eprintln!("  try      {remedy}");
    }
    if let Some(path) = &cli.log {
        let line = match cli.log_format.as_str() {
            "json" => serde_json::json!({
                "level": "error", "msg": error.to_string(), "time": crate::lifecycle::now()
            })
            .to_string(),
            _ => format!(
                "time=\"{}\" level=error msg={:?}",
                crate::lifecycle::now(),
                error.to_string()
            ),
        };
        let _ = append(path, &line);
    }
}

fn append(path: &std::path::Path, line: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")
}
