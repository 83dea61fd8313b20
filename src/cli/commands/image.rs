//! `learnc image`: what can be asked of images in the store.

use clap::{Args, Subcommand};

use super::inspect::Inspect;
use crate::args::plain;
use crate::cli::image::{StoreArgs, count, silent, size};
use crate::error::Result;
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
            None => Report::default(),
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            tell(&report);
        }
        Ok(i32::from(!report.problems.is_empty()))
    }
}

fn tell(report: &Report) {
    for problem in &report.problems {
        println!("{}: {}", plain(&problem.of), plain(&problem.what));
    }
    if !report.unnamed.is_empty() {
        println!("{} without a name: learnc prune", count(report.unnamed.len(), "blob"));
    }
    for path in &report.unfinished {
        println!("{}: not finished", plain(&path.display().to_string()));
    }
    if !report.unpacked.is_empty() {
        println!("{} unpacked", count(report.unpacked.len(), "layer"));
    }
    let answer = match report.problems.len() {
        0 => "all as it should be".to_owned(),
        problems => count(problems, "problem"),
    };
    let (images, blobs) = (count(report.images, "image"), count(report.blobs, "blob"));
    println!("{images}, {blobs}, {}: {answer}", size(report.bytes));
}
