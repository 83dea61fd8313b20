//! What can be told.
//!
//! Everything learnc says about a run is one of these values. They are made where things happen
//! ([`crate::sys::Kernel::call`] for system calls, [`crate::perform`] for steps), they travel over
//! the conversation between runtime and container when they are made inside it, and only
//! [`crate::render`] turns them into something for eyes. Serialised they are the public format of
//! `--events` (see `book/src/events.md` and `book/src/events.schema.json`).
//!
//! Two voices are kept apart from the start: an event carries facts (the call, its arguments, the
//! kernel's answer). Explanations are looked up in `lessons/` by the step's key when an event is
//! shown; they are never part of one.

use std::collections::BTreeMap;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

pub use crate::args::{Arg, Args};

/// The version of the serialised form. It changes when a reader of the old form would misread.
pub const FORMAT: u32 = 1;

/// Whoever wants to be told. An observer changes nothing: it may not call the kernel in the
/// container's name.
pub trait Observer {
    fn see(&self, event: &Event);
    /// What was told so far is to be seen now: somebody is about to be asked something.
    fn flush(&self) {}
}

/// Who made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The process that the user or the engine started.
    Runtime,
    /// The first process of the container, up to its execve.
    Container,
}

/// Whose idea a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A field of config.json, as a path in it: `linux.namespaces[1]`.
    Config(String),
    /// Nobody asked; every run does it, for the reason named: `default: the spec's default devices`.
    Default(String),
    /// Another step cannot work without it: `needed by linux.uidMappings`.
    Needed(String),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asked::Config(field) => f.write_str(field),
            Asked::Default(why) => write!(f, "default: {why}"),
            Asked::Needed(by) => write!(f, "needed by {by}"),
        }
    }
}

/// A step as an observer sees it: who, what for, about what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Position in the plan, from 0.
    pub index: usize,
    /// The word under which `lessons/` explains it: `pivot_root`.
    pub key: String,
    pub asked: Asked,
    pub lane: Lane,
    /// What this one is about when there are several of a kind: a mount's destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The first step of `start`: everything before it is `create`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starts: bool,
    /// An earlier stage of the course has told this very step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
    /// Shell commands (util-linux and the like) that do the same by hand; empty where none can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

/// One system call and the kernel's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The process that made it, as the host counts processes. 0 in a plan, where there is none yet.
    pub pid: i32,
    pub lane: Lane,
    /// Key of the step it belongs to, and that step's index.
    pub step: String,
    pub index: usize,
    pub name: String,
    pub args: Args,
    /// What the call returned. Absent when it failed or when it is only announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<i64>,
    /// The error's name (`EPERM`) when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// Said before it is made, because nothing can be said after it: the calls behind a seccomp
    /// filter, and execve. Also every call of a `--plan`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
    /// The errno is part of the way: the caller expected it might come, and went on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expected: bool,
    /// How long the kernel took, in nanoseconds, on the caller's clock. 0 when only announced.
    #[serde(default)]
    pub nanos: u64,
    /// What an independent witness says about this call, where one was asked: `--verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// A witness's word on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Narrated, and the kernel got it.
    Seen,
    /// Narrated, but the kernel never got it.
    NotSeen,
    /// The kernel got it, and it was not narrated: the witness tells it in the narrator's place.
    Unnarrated,
}

/// A row of "what changed": one property, read on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The name under which the property is known: `mount namespace`, `/`, `hostname`, `memory.max`.
    pub property: String,
    /// Empty where the host has no such thing, or it could not be read.
    pub host: String,
    /// Empty where it could not be read.
    pub container: String,
    pub verdict: Verdict,
}

/// What follows from a row's two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A namespace that was made for it, one that others made, or the host's.
    New,
    Joined,
    Shared,
    /// Any other property.
    Changed,
    Same,
    /// What a cgroup allows, and what the kernel counted in it.
    Limit,
    Counted,
    /// A side is not known.
    #[serde(rename = "")]
    Unknown,
}

impl Verdict {
    pub const ALL: [Verdict; 8] = [
        Verdict::New,
        Verdict::Joined,
        Verdict::Shared,
        Verdict::Changed,
        Verdict::Same,
        Verdict::Limit,
        Verdict::Counted,
        Verdict::Unknown,
    ];

    /// As it is serialised, and shown.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::New => "new",
            Verdict::Joined => "joined",
            Verdict::Shared => "shared",
            Verdict::Changed => "changed",
            Verdict::Same => "same",
            Verdict::Limit => "limit",
            Verdict::Counted => "counted",
            Verdict::Unknown => "",
        }
    }
}

/// A stage of the course: what stands above its narration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInfo {
    /// From 1, and how many there are.
    pub number: usize,
    pub of: usize,
    pub name: String,
    /// The one sentence.
    pub says: String,
    /// The stage that it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_top_of: Option<String>,
    /// The fields of config.json that it adds to that one, as paths: `mounts`, `root.readonly`.
    pub adds: Vec<String>,
    /// Where it is run: `root, cgroup hybrid`.
    pub here: String,
    /// Things to try in it, as commands or sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub try_this: Vec<String>,
}

/// Everything that can be told of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first line of a stream: in which form the others are.
    Form { version: u32 },
    /// The whole list, before its first step. `first` is where this process begins in it: 0 for
    /// `run` and `create`, later for `start`.
    Plan { version: u32, id: String, steps: Vec<StepInfo>, first: usize },
    /// A stage begins; its plan comes next.
    Stage(StageInfo),
    /// A stage is over: the one that comes after it, if there is one.
    StageOver { name: String, next: Option<String> },
    /// This step begins.
    Step { index: usize, lane: Lane, pid: i32 },
    #[serde(rename = "syscall")]
    Call(Call),
    /// Many calls that are told by their number, since each is like the other: how often each was
    /// made, by which process, all of them on files below one directory, and how long all took together.
    Bulk {
        index: usize,
        pid: i32,
        lane: Lane,
        below: String,
        calls: BTreeMap<String, u64>,
        #[serde(default)]
        nanos: u64,
    },
    /// An observation in a step, as a sentence of facts: `4 files, 1.9 MiB copied`.
    Note { index: Option<usize>, text: String },
    /// A registry was asked something, and answered. Only those of its words that learnc goes by.
    Requested {
        index: Option<usize>,
        /// `GET`, `HEAD`
        method: String,
        /// Without what is secret in it.
        url: String,
        /// The answer's number: 200.
        status: u16,
        /// As the answer says; empty where it does not.
        media_type: String,
        /// Length of the answer's body in bytes, where it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// Bytes were held against the digest by which they were asked for.
    Checked {
        index: Option<usize>,
        /// `manifest`, `config`, `layer`, `layer's archive`
        what: String,
        bytes: u64,
        claimed: String,
        computed: String,
    },
    /// Something in the config that learnc does not know (and the spec says to ignore), or that
    /// this machine cannot give.
    Warning { text: String },
    /// A step failed. What the error says is said by whoever reports it; this marks where.
    Failed { index: usize, error: crate::error::Error },
    /// What was undone after a failure or at the end, one line each.
    Undone { text: String },
    /// The container's program has been started (`execve` did not return).
    Started { pid: i32 },
    /// The container's program has ended.
    Ended { pid: i32, status: i32 },
    /// What differs between this host and the container, read from the kernel.
    Changed { rows: Vec<Difference> },
    /// Which of the host's properties are as they were before: `mounts`, `cgroups`, `processes`, `files`.
    HostAsBefore { checks: Vec<(String, bool)> },
}

/// The error's name and its sentence, as `errno(3)` has them.
pub fn errno_name(errno: Errno) -> String {
    format!("{errno:?}")
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn a_verdict_is_serialised_as_it_is_shown() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.text());
        }
    }
}
