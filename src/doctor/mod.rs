//! What this machine can do, and why something failed.
//!
//! A [`Finding`] is one thing that was looked at: the evidence (which file, which value), a verdict,
//! and a `case`, the word under which `lessons/words/doctor.toml` says what it means, what it costs
//! and the smallest thing to do about it. Two roads lead to findings:
//!
//! * [`findings`] goes through everything that matters, for `learnc doctor`;
//! * [`why`] starts from an error: the refused call, the step it belongs to, and the machine as it is
//!   at that moment. [`program`] does the same for a program that would not start, from inside the
//!   container, since only there its loader can be missing.
//!
//! Both are pure: facts in, findings out. So a test asks what doctor says of a machine that it does
//! not run on (`fixtures/facts/*.json`). [`attempt`] is the exception, and takes `k: &Kernel`: it
//! makes a user namespace in a child that ends at once, since no file tells all that can forbid it.

pub mod attempt;
pub mod cgroups;
pub mod delegate;
pub mod features;
pub mod program;
pub mod users;
pub mod why;
pub mod words;

use serde::Serialize;

use crate::facts::{Facts, Machine};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: a table of `lessons/words/doctor.toml`.
    pub subject: &'static str,
    /// What was found: a table below the subject's.
    pub case: &'static str,
    pub verdict: Verdict,
    /// Nothing can run while this is so.
    pub blocks: bool,
    pub evidence: Vec<Evidence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Good,
    /// It works, with something less.
    Limited,
    /// It does not work.
    Missing,
}

/// What was looked at, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub looked_at: String,
    pub value: String,
}

impl Finding {
    pub fn good(subject: &'static str, case: &'static str) -> Finding {
        Finding { subject, case, verdict: Verdict::Good, blocks: false, evidence: vec![] }
    }

    pub fn limited(subject: &'static str, case: &'static str) -> Finding {
        Finding { verdict: Verdict::Limited, ..Finding::good(subject, case) }
    }

    pub fn missing(subject: &'static str, case: &'static str) -> Finding {
        Finding { verdict: Verdict::Missing, ..Finding::good(subject, case) }
    }

    /// Adds a piece of evidence.
    pub fn seen(mut self, looked_at: impl Into<String>, value: impl ToString) -> Finding {
        self.evidence.push(Evidence { looked_at: looked_at.into(), value: value.to_string() });
        self
    }

    /// If this is so, nothing can run.
    pub fn blocking_if(mut self, blocks: bool) -> Finding {
        self.blocks = blocks;
        self
    }
}

/// Everything that doctor has to say of a machine, in the order in which it is shown.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let nothing = Machine::default();
    let machine = facts.machine.as_ref().unwrap_or(&nothing);
    let mut all = vec![
        features::kernel(machine),
        users::standing(facts, machine),
        features::surroundings(machine),
        users::namespaces(facts, machine),
        users::id_ranges(facts, machine),
    ];
    all.extend(users::fresh_proc(facts, machine));
    all.push(cgroups::limits(facts, machine));
    all.push(features::overlay(facts, machine));
    all.push(features::seccomp(machine));
    all.push(features::ptrace(facts, machine));
    all
}

/// Whether a container can be run at all.
pub fn works(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| !finding.blocks)
}
