//! What a telling has to keep in mind from one event to the next.

use std::collections::HashSet;

use super::lane::Lanes;
use super::paragraph::Paragraph;
use crate::event::StepInfo;

/// What has been heard so far.
#[derive(Default)]
pub struct Story {
    pub steps: Vec<StepInfo>,
    /// There is no plan yet: it takes an image, which is being brought.
    pub is_before: bool,
    /// A stage in which `create` and `start` are not yet two things.
    pub is_early: bool,
    /// What a stage invites to, once its shell is there.
    pub try_this: Vec<String>,
    /// The step that is under way.
    pub now: Option<Paragraph>,
    pub lanes: Lanes,
    /// The last step was told in one line, being known.
    pub in_lines: bool,
    /// What has been explained, and need not be again.
    pub explained: HashSet<String>,
    pub count: Count,
    /// The program runs: the terminal is its own.
    pub running: bool,
    pub held: Vec<String>,
    /// A program of the host's has had the terminal.
    pub visited: bool,
    /// Sentences about the run as a whole, which stand behind the summary.
    pub remarks: Vec<String>,
    /// How it went has been said, or there is nothing to say.
    pub summed_up: bool,
    pub failed: bool,
    pub host: Option<Vec<(String, bool)>>,
}

/// What the summary counts: the steps of the plan and their calls.
#[derive(Default)]
pub struct Count {
    pub steps: usize,
    pub calls: usize,
    pub nanos: u64,
    pub objections: usize,
}

/// `1 step`, `32 steps`
pub fn many(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
