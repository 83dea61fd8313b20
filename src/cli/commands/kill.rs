//! `learnc kill`: a signal to the container's first process.

use std::collections::BTreeMap;

use clap::Args;
use nix::sys::signal::Signal;

use crate::cli::Context;
use crate::cli::narration::{Narration, Usually};
use crate::error::{Error, Result};
use crate::event::Lane;
use crate::lifecycle::{Container, Status, find};
use crate::sys::{Kernel, Manner, Pid, look};

/// image-spec, annotations.md and conversion.md.
const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

#[derive(Debug, Args)]
pub struct Kill {
    /// The container's id
    pub id: String,
    /// The signal: KILL, SIGKILL or 9 [default: what the container's image wishes, else SIGTERM]
    pub signal: Option<String>,
    /// Every process of the container, not only the first
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub narration: Narration,
}

impl Kill {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let given = self.signal.as_deref().map(number).transpose()?;
        let container = find(&context.state_root, &self.id)?;
        let record = container.record()?;
        let signal = given.map_or_else(|| usual(&record.annotations), Ok)?;
        let alive = matches!(container.status(), Status::Created | Status::Running);
        if !alive && !self.all {
            return Err(Error::yours(format!("container {} is not running", self.id))
                .because("its first process has ended, and a signal needs somebody to take it")
                .try_this(format!("learnc delete {}", self.id)));
        }
        let observers = self.narration.observers(Usually::Silent)?;
        let manner = observers.any().map_or(Manner::Silent, Manner::Told);
        let k = Kernel::new(manner, Lane::Runtime, look::pid());
        k.enter(0, "signal");
        let pids = if self.all { members(&container) } else { vec![record.pid] };
        for pid in pids {
            let gone = nix::errno::Errno::ESRCH;
            let call = crate::sys::Kill { pid: Pid(pid), signal };
            k.ask(call, &[gone]).or_else(crate::error::ignore(gone))?;
        }
        Ok(0)
    }
}

/// What ends a container: its image may say so, in image-spec's word of it.
fn usual(annotations: &BTreeMap<String, String>) -> Result<i32> {
    let wished = annotations.get(STOP_SIGNAL).map_or("SIGTERM", String::as_str);
    number(wished).map_err(|e| e.at(STOP_SIGNAL))
}

/// Every process in the container's cgroups.
fn members(container: &Container) -> Vec<i32> {
    let Some(record) = &container.record else { return vec![] };
    let mut pids: Vec<i32> = record
        .cgroups
        .iter()
        .filter_map(|dir| look::read_if_there(dir.join("cgroup.procs")))
        .flat_map(|text| text.lines().filter_map(|l| l.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
pub fn number(text: &str) -> Result<i32> {
    if let Ok(number) = text.parse()
        && (0..=64).contains(&number)
    {
        return Ok(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.trim_start_matches("SIG");
    let signal = format!("SIG{name}").parse::<Signal>().ok().map(|s| s as i32);
    let realtime = || name.strip_prefix("RTMIN+")?.parse().ok().map(|n: i32| 34 + n);
    signal.or_else(realtime).filter(|n| *n <= 64).ok_or_else(|| {
        Error::yours(format!("{text:?} is no signal")).try_this("KILL, SIGTERM or 9; see kill -l")
    })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_signal_has_three_spellings() {
        assert_eq!(number("KILL").unwrap(), 9);
        assert_eq!(number("sigterm").unwrap(), 15);
        assert_eq!(number("10").unwrap(), 10);
        assert_eq!(number("RTMIN+3").unwrap(), 37);
        for bad in ["", "SIG", "99", "-1", "WOBBLE"] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }
}
