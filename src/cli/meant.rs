//! What somebody probably meant who wrote a word that learnc does not take: docker's and podman's words, mostly.

use std::ffi::OsString;

use clap::Parser;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Cli, Verb};

/// Switches of `docker run` for a network that does not exist here.
const NETWORK: [&str; 11] = [
    "-p",
    "--publish",
    "-P",
    "--publish-all",
    "--expose",
    "--network",
    "--net",
    "--ip",
    "--dns",
    "--add-host",
    "--link",
];

/// Those for what a config.json says, and its field: config.md.
const FIELDS: [(&[&str], &str); 7] = [
    (
        &["-m", "--memory", "--memory-swap", "--cpus", "--cpu-shares", "--pids-limit"],
        "linux.resources",
    ),
    (&["--cap-add", "--cap-drop", "--privileged"], "process.capabilities"),
    (&["--hostname"], "hostname"),
    (&["--device"], "linux.devices"),
    (&["--tmpfs", "--shm-size", "--mount"], "mounts"),
    (&["--ulimit"], "process.rlimits"),
    (&["--sysctl"], "linux.sysctl"),
];

/// Says more about an error of the command line, where more is known.
pub fn explained(mut e: clap::Error) -> clap::Error {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) =
        (e.kind(), e.get(ContextKind::InvalidArg))
    else {
        return e;
    };
    let tip = match word.starts_with('-') {
        true => elsewhere(&e, word),
        false => dashed(word),
    };
    if let Some(tip) = tip {
        e.remove(ContextKind::SuggestedArg);
        e.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    e
}

/// Where to find here what a switch of another tool does.
fn elsewhere(e: &clap::Error, switch: &str) -> Option<String> {
    if !e.get(ContextKind::Usage)?.to_string().contains("learnc run ") {
        return None;
    }
    if NETWORK.contains(&switch) {
        return Some("a container has a network of its own here, with no way out of it yet".into());
    }
    let (_, field) = FIELDS.iter().find(|(switches, _)| switches.contains(&switch))?;
    let way = "learnc unpack IMAGE rootfs, learnc spec, learnc run ID";
    Some(format!("{field} in a config.json says that: {way}"))
}

/// Other tools take the words behind an image for its program. Here two dashes stand before them, and if that is all
/// that is wrong, it is said.
fn dashed(word: &str) -> Option<String> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let right = (1..given.len()).filter(|at| *given[*at] == *word).find_map(|at| {
        let with = [&given[..at], &["--".into()], &given[at..]].concat();
        let parsed = Cli::try_parse_from(&with).ok()?;
        matches!(parsed.verb, Verb::Run(run) if run.word.is_some()).then_some(with)
    })?;
    let words: Vec<String> = right[1..].iter().map(crate::args::shell).collect();
    Some(format!("learnc {}", words.join(" ")))
}
