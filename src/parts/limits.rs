//! Limits of a process, as opposed to those of its cgroup.
//!
//! getrlimit(2), proc_pid_oom_score_adj(5); OCI `process.rlimits`, `process.oomScoreAdj`. They are
//! set by the container's first process on itself and inherited by all it starts. Raising a hard
//! limit takes CAP_SYS_RESOURCE, so this comes before capabilities are given up.

use std::path::Path;

use oci_spec::runtime::PosixRlimit;

use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::sys::{At, Kernel, Prlimit64, write_file};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    Rlimit { resource: (&'static str, u32), soft: u64, hard: u64 },
    OomScoreAdj(i32),
}

/// The kernel's names and numbers, asm-generic/resource.h.
const RESOURCES: &[(&str, u32)] = &[
    ("RLIMIT_CPU", 0),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_RSS", 5),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_AS", 9),
    ("RLIMIT_LOCKS", 10),
    ("RLIMIT_SIGPENDING", 11),
    ("RLIMIT_MSGQUEUE", 12),
    ("RLIMIT_NICE", 13),
    ("RLIMIT_RTPRIO", 14),
    ("RLIMIT_RTTIME", 15),
];

pub fn steps(rlimits: &[PosixRlimit], oom_score_adj: Option<i32>) -> Result<Vec<Step<Limit>>> {
    let mut steps = Vec::new();
    if let Some(score) = oom_score_adj {
        if !(-1000..=1000).contains(&score) {
            let text = format!("{score} is not between -1000 and 1000");
            return Err(Error::yours(text).at("process.oomScoreAdj"));
        }
        let act = Limit::OomScoreAdj(score);
        steps.push(Step::container("oom_score_adj", config("process.oomScoreAdj"), act));
    }
    for (i, limit) in rlimits.iter().enumerate() {
        let field = format!("process.rlimits[{i}]");
        let name = serde_json::to_value(limit.typ())?;
        let name = name.as_str().unwrap_or_default();
        let resource = RESOURCES.iter().find(|(n, _)| *n == name);
        let Some(resource) = resource else {
            return Err(Error::yours(format!("{name} is no limit of Linux")).at(field));
        };
        if rlimits[..i].iter().any(|other| other.typ() == limit.typ()) {
            return Err(Error::yours(format!("{name} stands there twice")).at(field));
        }
        let (soft, hard) = (limit.soft(), limit.hard());
        if soft > hard {
            return Err(Error::yours(format!("soft {soft} is above hard {hard}")).at(field));
        }
        let act = Limit::Rlimit { resource: *resource, soft, hard };
        steps.push(Step::container("rlimit", config(field), act).about(resource.0));
    }
    Ok(steps)
}

pub fn perform(k: &Kernel, what: &Limit) -> Result<()> {
    match what {
        Limit::Rlimit { resource, soft, hard } => {
            k.call(Prlimit64 { resource: *resource, soft: *soft, hard: *hard })
        }
        Limit::OomScoreAdj(score) => {
            write_file(k, At::CWD, Path::new("/proc/self/oom_score_adj"), &score.to_string())
        }
    }
}

pub fn by_hand(what: &Limit) -> Vec<String> {
    let amount = |n: u64| if n == u64::MAX { "unlimited".into() } else { n.to_string() };
    match what {
        Limit::Rlimit { resource, soft, hard } => {
            let name = resource.0.trim_start_matches("RLIMIT_").to_lowercase();
            vec![format!("prlimit --pid $$ --{name}={}:{}", amount(*soft), amount(*hard))]
        }
        Limit::OomScoreAdj(score) => vec![format!("echo {score} > /proc/self/oom_score_adj")],
    }
}
