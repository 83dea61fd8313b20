//! The account: what was told on one side, what the kernel got on the other.
//!
//! ```text
//!   the kernel's record   ──►  a queue for each process  ──┐
//!                                                          ├──► events, each call with a mark
//!   the narration         ──►  events, in their order    ──┘
//! ```
//!
//! A told call is looked for in its process's queue. If it is there, it was seen; what stood before
//! it and may not go untold is told now, in the narrator's place. If it is not there, it was not
//! seen. A call is reported after it was made, so the answer is known at once; one that is
//! announced holds up what is told behind it until the kernel gets it, or its process is gone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::same::{same_answer, same_call};
use crate::args::{Arg, Args};
use crate::error::Kind;
use crate::event::{Call, Event, Lane, Seen};

/// The kernel's answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Value(i64),
    /// The error's name.
    Refused(String),
}

/// A call as the kernel got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    pub pid: i32,
    pub name: String,
    pub args: Args,
    pub answer: Answer,
    /// It may go untold.
    pub excused: bool,
}

/// How many calls there were of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub told: usize,
    pub seen: usize,
    pub untold: usize,
    /// Of those that were seen, without what their addresses lead to.
    pub partly: usize,
}

impl Tally {
    pub fn is_true(&self) -> bool {
        self.told == self.seen && self.untold == 0
    }
}

/// Of calls that may go untold, the last ones are kept, in case they are told all the same.
const EXCUSED: usize = 64;

pub struct Account {
    runtime: i32,
    seen: HashMap<i32, VecDeque<Witnessed>>,
    /// How many that may go untold were not kept, since a call of their process was told.
    dropped: HashMap<(i32, String), u64>,
    gone: HashSet<i32>,
    held: VecDeque<Event>,
    closed: bool,
    /// Key and index of the step that was told last.
    step: (String, usize),
    keys: Vec<String>,
    pub tally: Tally,
}

impl Account {
    pub fn new(runtime: i32) -> Account {
        Account {
            runtime,
            seen: HashMap::new(),
            dropped: HashMap::new(),
            gone: HashSet::new(),
            held: VecDeque::new(),
            closed: false,
            step: (String::new(), 0),
            keys: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub fn saw(&mut self, call: Witnessed) {
        let queue = self.seen.entry(call.pid).or_default();
        queue.push_back(call);
        if queue.iter().filter(|call| call.excused).count() > EXCUSED {
            let oldest = queue.iter().position(|call| call.excused);
            if let Some(call) = oldest.and_then(|at| queue.remove(at)) {
                *self.dropped.entry((call.pid, call.name)).or_default() += 1;
            }
        }
    }

    /// This process makes no further calls of ours: it has ended, or is another program.
    pub fn left(&mut self, pid: i32) {
        self.gone.insert(pid);
    }

    pub fn told(&mut self, event: Event) {
        self.held.push_back(event);
    }

    /// What can be said now, marked.
    pub fn ready(&mut self) -> Vec<Event> {
        let mut ready = Vec::new();
        while let Some(event) = self.held.pop_front() {
            match event {
                Event::Call(call) => match self.judge(&call) {
                    Some(seen) => self.mark(call, seen, &mut ready),
                    None => {
                        self.held.push_front(Event::Call(call));
                        break;
                    }
                },
                other => {
                    self.follow(&other);
                    if let Event::Bulk { pid, below, calls, .. } = &other {
                        ready.extend(self.count(*pid, below, calls));
                    }
                    ready.push(other);
                }
            }
        }
        ready
    }

    /// Nothing more will be told, and nothing more will happen.
    pub fn close(&mut self) -> Vec<Event> {
        self.closed = true;
        let mut last = self.ready();
        let mut pids: Vec<i32> = self.seen.keys().copied().collect();
        pids.sort_unstable();
        for pid in pids {
            let rest = self.seen.remove(&pid).unwrap_or_default();
            last.extend(rest.into_iter().filter_map(|call| self.untold(call)));
        }
        last
    }

    fn follow(&mut self, event: &Event) {
        match event {
            Event::Plan { steps, .. } => self.keys = steps.iter().map(|s| s.key.clone()).collect(),
            Event::Step { index, .. } => {
                let key = self.keys.get(*index).cloned().unwrap_or_default();
                self.step = (key, *index);
            }
            _ => {}
        }
    }

    fn position(&self, call: &Call) -> Option<usize> {
        let is_it = |seen: &Witnessed| {
            same_call(call, &seen.name, &seen.args)
                && (call.announced || same_answer(call, &seen.answer))
        };
        self.seen.get(&call.pid)?.iter().position(is_it)
    }

    /// Whether a told call was seen; None as long as that may still happen.
    fn judge(&self, call: &Call) -> Option<bool> {
        let found = self.position(call).map(|at| &self.seen[&call.pid][at].answer);
        match found {
            None if call.announced && !self.closed && !self.gone.contains(&call.pid) => None,
            None => Some(false),
            Some(Answer::Refused(errno)) if call.announced => match self.failure() {
                None => self.closed.then_some(false),
                Some(failure) => Some(failure == (call.name.clone(), errno.clone())),
            },
            Some(_) => Some(true),
        }
    }

    /// An announced call that failed gets its answer with the failure of its step.
    fn failure(&self) -> Option<(String, String)> {
        self.held.iter().find_map(|event| match event {
            Event::Failed { error, .. } => match (&error.kind, error.errno()) {
                (Kind::Refused { name, .. }, Some(errno)) => {
                    Some((name.clone(), crate::event::errno_name(errno)))
                }
                _ => Some((String::new(), String::new())),
            },
            _ => None,
        })
    }

    fn mark(&mut self, call: Call, seen: bool, ready: &mut Vec<Event>) {
        self.tally.told += 1;
        self.tally.seen += usize::from(seen);
        if let (true, Some(at)) = (seen, self.position(&call)) {
            self.dropped.retain(|(pid, _), _| *pid != call.pid);
            let queue = self.seen.entry(call.pid).or_default();
            let is_hidden = |(_, arg): &(_, Arg)| *arg == Arg::Secret;
            self.tally.partly += usize::from(queue[at].args.0.iter().any(is_hidden));
            let passed: Vec<Witnessed> = queue.drain(..=at).take(at).collect();
            ready.extend(passed.into_iter().filter_map(|call| self.untold(call)));
        }
        let mark = if seen { Seen::Seen } else { Seen::NotSeen };
        ready.push(Event::Call(Call { seen: Some(mark), ..call }));
    }

    /// Many calls were told by their number: as many were seen since the last that was told alone.
    fn count(&mut self, pid: i32, below: &str, told: &BTreeMap<String, u64>) -> Vec<Event> {
        let mut left = told.clone();
        let (mut odd, mut excused) = (Vec::new(), HashMap::<String, u64>::new());
        for call in self.seen.remove(&pid).unwrap_or_default() {
            match left.get_mut(&call.name) {
                _ if call.excused => *excused.entry(call.name).or_default() += 1,
                Some(n) if *n > 0 && is_below(&call, below) => *n -= 1,
                _ => odd.extend(self.untold(call)),
            }
        }
        for (name, left) in &mut left {
            let dropped = self.dropped.remove(&(pid, name.clone())).unwrap_or_default();
            let there = excused.get(name).copied().unwrap_or_default() + dropped;
            *left = left.saturating_sub(there);
            if *left > 0 {
                let text = format!("{left} calls of {name} were told and not seen");
                odd.push(Event::Warning { text });
            }
        }
        let (told, missing) = (told.values().sum::<u64>(), left.values().sum::<u64>());
        self.tally.told += told as usize;
        self.tally.seen += (told - missing) as usize;
        odd
    }

    /// Tells a call that was not told, unless it may go so.
    fn untold(&mut self, call: Witnessed) -> Option<Event> {
        if call.excused {
            return None;
        }
        self.tally.untold += 1;
        let (result, errno) = match call.answer {
            Answer::Value(value) => (Some(value), None),
            Answer::Refused(errno) => (None, Some(errno)),
        };
        let lane = if call.pid == self.runtime { Lane::Runtime } else { Lane::Container };
        let (step, index) = self.step.clone();
        Some(Event::Call(Call {
            pid: call.pid,
            lane,
            step,
            index,
            name: call.name,
            args: call.args,
            result,
            errno,
            announced: false,
            expected: false,
            nanos: 0,
            seen: Some(Seen::Unnarrated),
        }))
    }
}

/// Whether a call is about a file below a directory; opening one to read may be about any.
fn is_below(call: &Witnessed, below: &str) -> bool {
    let within = |path: &str| std::path::Path::new(path).starts_with(below);
    let about = call.args.0.iter().any(|(_, arg)| match arg {
        Arg::Fd(_, Some(path)) | Arg::Str(path) => within(path.trim_end_matches(" (deleted)")),
        _ => false,
    });
    let access = call.args.get("flags").map(Arg::to_text).unwrap_or_default();
    about || call.name == "openat" && access.starts_with("O_RDONLY") && !access.contains("O_CREAT")
}
