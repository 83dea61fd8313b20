//! `--delegate`: starting learnc again in a cgroup of one's own.
//!
//! Asked for by the switch, or offered on a terminal where nothing else would give limits. What is
//! done is one execve, told as a step of its own before it happens: after it there is nobody left
//! who could say so.

use std::ffi::CString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use clap::Args;

use super::narration::{Narration, Usually};
use super::step;
use crate::doctor::{delegate, why, words};
use crate::error::{Error, Result};
use crate::event::{Asked, Event, FORMAT, Lane, StepInfo};
use crate::facts::{Facts, machine};
use crate::sys::{Become, Execve, Kernel, Manner, look};

#[derive(Debug, Args, Clone)]
pub struct Delegate {
    /// Without root: start again in a cgroup of your own, by systemd-run
    #[arg(long)]
    pub delegate: bool,
}

impl Delegate {
    /// Comes back if there is nothing to be done, nobody who could do it, or no wish for it. To be
    /// called before anything is opened or made: it may never come back.
    ///
    /// # Errors
    /// With the switch, where systemd cannot help.
    pub fn ensure(&self, facts: &Facts, narration: &Narration) -> Result<()> {
        if !delegate::is_needed(facts) || std::env::var_os(delegate::MARK).is_some() {
            return Ok(());
        }
        let wanted = match delegate::command(facts, &machine::read_delegation()) {
            Ok(command) if self.delegate || offer(narration, &command) => command,
            Err(finding) if self.delegate => {
                let error = Error::yours("there is nobody here who could delegate a cgroup");
                return Err(why::explained(error.at("--delegate"), finding));
            }
            Ok(_) | Err(_) => return Ok(()),
        };
        again(wanted, narration)
    }
}

/// On a terminal the question; elsewhere the command, for the next time.
fn offer(narration: &Narration, command: &[String]) -> bool {
    if narration.quiet {
        return false;
    }
    let asks = look::is_terminal(0) && look::is_terminal(2) && !narration.plan;
    let words = words::delegation(if asks { "ask" } else { "say" }, &command.join(" "));
    if asks {
        let yes = matches!(step::ask(&words), b'y' | b'Y');
        let _ = writeln!(std::io::stderr());
        return yes;
    }
    let _ = writeln!(std::io::stderr(), "{words}");
    false
}

/// Becomes systemd-run, which becomes learnc.
fn again(command: Vec<String>, narration: &Narration) -> Result<()> {
    let learnc = std::env::current_exe()?.into_os_string();
    let own = std::iter::once(learnc).chain(std::env::args_os().skip(1));
    let words = command.iter().map(|word| word.clone().into()).chain(own);
    let argv: Vec<CString> = words.filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let mark = format!("{}=1", delegate::MARK).into_bytes();
    let envp: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='))
        .chain([mark])
        .filter_map(|line| CString::new(line).ok())
        .collect();
    // An --events file is the second learnc's to open.
    let seen = Narration { events: None, ..narration.clone() }.observers(Usually::Explained)?;
    let k =
        Kernel::new(seen.any().map_or(Manner::Silent, Manner::Told), Lane::Runtime, look::pid());
    if let Some(observer) = seen.any() {
        observer.see(&Event::Plan {
            version: FORMAT,
            id: String::new(),
            steps: vec![step()],
            first: 0,
        });
        observer.see(&Event::Step { index: 0, lane: Lane::Runtime, pid: look::pid() });
    }
    k.enter(0, "delegate");
    let call = Become(Execve { path: Path::new(&command[0]), argv: &argv, envp: &envp });
    k.announce(&call);
    if let Some(observer) = seen.any() {
        observer.flush();
    }
    match narration.plan {
        true => Ok(()),
        false => k.call(call),
    }
}

fn step() -> StepInfo {
    StepInfo {
        index: 0,
        key: "delegate".into(),
        asked: Asked::Default("--delegate".into()),
        lane: Lane::Runtime,
        subject: None,
        starts: false,
        known: false,
        by_hand: vec!["systemd-run --user --scope -p Delegate=yes -- bash".into()],
    }
}
