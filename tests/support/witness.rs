//! A learnc command, or another program, that ran under strace.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::bundle::{Ran, ran};
use super::strace::{Answer, Seen, first, read_all, under_strace};

/// What the kernel saw of a program up to its end, and of its children up to their execve.
pub struct Traced {
    pub ran: Ran,
    /// The process that was started, then the first it cloned.
    pub processes: Vec<Vec<Seen>>,
    /// What differs from run to run, and how it is called instead.
    pub names: BTreeMap<String, String>,
}

/// Runs a command under strace; its files go to `dir`.
pub fn traced(command: &Command, dir: &Path) -> Traced {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir).unwrap();
    let prefix = dir.join("trace");
    let ran = ran(&mut under_strace(command, &prefix));
    let mut seen = read_all(&prefix);
    let runtime = first(&seen);
    let child = |calls: &[Seen]| {
        let clone = calls.iter().find(|call| call.name == "clone3")?;
        let Answer::Number(pid) = clone.answer else { return None };
        Some(pid as i32)
    };
    let mut processes = vec![seen.remove(&runtime).unwrap().split_off(1)];
    let mut names = BTreeMap::from([(runtime.to_string(), "RUNTIME".to_owned())]);
    if let Some(pid) = child(&processes[0]) {
        names.insert(pid.to_string(), "CONTAINER".into());
        let mut calls = seen.remove(&pid).unwrap_or_default();
        let exec = calls.iter().position(|c| c.name == "execve" && c.answer == Answer::Number(0));
        calls.truncate(exec.map_or(calls.len(), |i| i + 1));
        processes.push(calls);
    }
    Traced { ran, processes, names }
}
