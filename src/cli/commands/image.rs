//! `learnc image`: what can be asked of images in the store.

use clap::{Args, Subcommand};

use super::inspect::Inspect;
use crate::args::plain;
use crate::cli::image::{StoreArgs, count, silent, size};
use crate::cli::say;
use crate::error::{Error, Result};
use crate::image::store::Report;

#[derive(Debug, Args)]
pub struct Image {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Hash every blob of the store again, and follow every name to all that it needs
    Check(Check),
    /// Take an image apart: its documents, and what each layer adds, overrides and deletes
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub store: StoreArgs,
    /// What was found, as JSON
    #[arg(long)]
    pub json: bool,
}

impl Image {
    pub fn perform(&self) -> Result<i32> {
        match &self.verb {
            Verb::Check(check) => check.perform(),
            Verb::Inspect(inspect) => inspect.perform(),
        }
    }
}

impl Check {
    /// 0 when all is as it should be, 1 when something is not.
    pub fn perform(&self) -> Result<i32> {
        let report = match self.store.look()? {
            Some(store) => store.check(&silent())?,
            // The usual place may not be there yet; of one that was named something is expected.
            None if self.store.store.is_some() => {
                let dir = self.store.dir().display().to_string();
                let evidence = "no oci-layout is in it, or it is not there";
                return Err(Error::yours(format!("{dir} is no store of images")).because(evidence));
            }
            None => Report::default(),
        };
        if self.json {
            say::line(&serde_json::to_string_pretty(&report)?)?;
        } else {
            say::all(&told(&report))?;
        }
        Ok(i32::from(!report.problems.is_empty()))
    }
}

fn told(report: &Report) -> String {
    let mut lines = vec![];
    for problem in &report.problems {
        lines.push(format!("{}: {}", plain(&problem.of), plain(&problem.what)));
    }
    if !report.unnamed.is_empty() {
        lines.push(format!("{} without a name: learnc prune", count(report.unnamed.len(), "blob")));
    }
    for path in &report.unfinished {
        lines.push(format!("{}: not finished", plain(&path.display().to_string())));
    }
    if !report.unpacked.is_empty() {
        lines.push(format!("{} unpacked", count(report.unpacked.len(), "layer")));
    }
    let answer = match report.problems.len() {
        0 => "all as it should be".to_owned(),
        problems => count(problems, "problem"),
    };
    let (images, blobs) = (count(report.images, "image"), count(report.blobs, "blob"));
    lines.push(format!("{images}, {blobs}, {}: {answer}", size(report.bytes)));
    lines.join("\n") + "\n"
}
