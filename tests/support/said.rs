//! What learnc said, held against what the witness saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use learnc::trace::table::{self, Takes};
use serde_json::Value as Json;

use super::rules::Rule;
use super::strace::{Answer, Seen};
use super::value::Value;

/// A narrated call.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub pid: i32,
    pub name: String,
    pub args: Vec<Value>,
    pub answer: Answer,
    /// Nothing could be said after it: the answer is not known, and must have been success.
    pub announced: bool,
    /// Many calls told by their number instead: the directory that they were all made below, and how
    /// many of each name.
    pub bulk: Option<(String, BTreeMap<String, u64>)>,
}

/// The narrated calls of an events file, in order.
pub fn read(path: &Path) -> Vec<Said> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut calls: Vec<Said> = Vec::new();
    for line in text.lines() {
        let event: Json = serde_json::from_str(line).expect("a JSON line");
        match event["type"].as_str() {
            Some("syscall") => calls.push(said(&event)),
            Some("bulk") => calls.push(bulk(&event)),
            Some("failed") => answer_late(&mut calls, &event["error"]["kind"]["refused"]),
            _ => {}
        }
    }
    calls
}

/// A call that was only announced and then failed gets its answer with the failure.
fn answer_late(calls: &mut [Said], refused: &Json) {
    let Some(name) = refused["name"].as_str() else { return };
    let same = |said: &&mut Said| said.announced && said.name == name;
    if let Some(said) = calls.iter_mut().rev().find(same) {
        let errno = nix::errno::Errno::from_raw(refused["errno"].as_i64().unwrap() as i32);
        said.answer = Answer::Refused(format!("{errno:?}"));
        said.announced = false;
    }
}

fn said(event: &Json) -> Said {
    // A map has no order of its own: the call's signature gives it back.
    let name = event["name"].as_str().unwrap().to_owned();
    let text = event["args"].as_object().unwrap();
    let order = signature(&name, text.keys().map(String::as_str).collect());
    let args = order.iter().map(|field| Value::of_event(&text[*field])).collect();
    let answer = match (event["errno"].as_str(), event["result"].as_i64()) {
        (Some(errno), _) => Answer::Refused(errno.to_owned()),
        (None, Some(number)) => Answer::Number(number.into()),
        (None, None) => Answer::None,
    };
    let announced = event["announced"] == true;
    let pid = event["pid"].as_i64().unwrap() as i32;
    Said { pid, name, args, answer, announced, bulk: None }
}

fn bulk(event: &Json) -> Said {
    let counts = event["calls"].as_object().unwrap().iter();
    let counts = counts.map(|(name, n)| (name.clone(), n.as_u64().unwrap())).collect();
    let below = event["below"].as_str().unwrap().to_owned();
    let pid = event["pid"].as_i64().unwrap() as i32;
    let (name, bulk) = ("bulk".into(), Some((below, counts)));
    Said { pid, name, args: vec![], answer: Answer::None, announced: false, bulk }
}

/// Arguments in the manual's order. strace has it from its own tables: a wrong one is a difference.
fn signature<'a>(call: &str, given: BTreeSet<&'a str>) -> Vec<&'a str> {
    let knows = |field: &&str, takes: Takes| takes.iter().any(|(name, _)| name == field);
    let mut entries = table::all().filter(|(name, _)| *name == call);
    let entry = entries.find(|(_, takes)| given.iter().all(|field| knows(field, takes)));
    let (_, takes) = entry.unwrap_or_else(|| panic!("{call}: in which order? {given:?}"));
    takes.iter().filter_map(|(name, _)| given.get(name).copied()).collect()
}

/// Compares process by process, both ways. The answer is every difference found.
pub fn compare(
    said: &[Said],
    seen: &BTreeMap<i32, Vec<Seen>>,
    runtime: i32,
    rules: &[Rule],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let ours = processes(seen, runtime);
    let mut pids: BTreeSet<i32> = said.iter().map(|s| s.pid).collect();
    pids.extend(&ours);
    for pid in pids {
        let Some(calls) = seen.get(&pid).filter(|_| ours.contains(&pid)) else {
            wrong.push(format!("{pid}: said to have made calls, and is no process of learnc's"));
            continue;
        };
        // The runtime's own execve was made by whoever started it.
        let calls = if pid == runtime { &calls[1..] } else { &calls[..] };
        let said: Vec<&Said> = said.iter().filter(|s| s.pid == pid).collect();
        compare_one(pid, &said, calls, rules, &mut wrong);
    }
    wrong
}

fn compare_one(pid: i32, said: &[&Said], seen: &[Seen], rules: &[Rule], wrong: &mut Vec<String>) {
    let mut next: std::collections::VecDeque<Said> = said.iter().map(|s| (*s).clone()).collect();
    for call in seen {
        if next.front().is_some_and(Said::is_used_up) {
            next.pop_front();
        }
        if next.front().is_some_and(|said| said.is(call)) {
            next.pop_front();
        } else if next.front_mut().is_some_and(|said| said.counts(call)) {
        } else if !rules.iter().any(|rule| rule.excuses(call)) {
            let expected = next.front().map_or("nothing more".into(), |s| format!("{s:?}"));
            wrong.push(format!("{pid}: seen and not said: {call}\n    said next: {expected}"));
            return;
        }
        if call.name == "execve" && call.answer == Answer::Number(0) {
            break;
        }
    }
    if let Some(said) = next.iter().find(|said| !said.is_used_up()) {
        wrong.push(format!("{pid}: said and not seen: {said:?}"));
    }
}

impl Said {
    /// Whether this call is one of those that were told by their number, and takes it off that.
    fn counts(&mut self, seen: &Seen) -> bool {
        let Some((below, counts)) = &mut self.bulk else { return false };
        // `below` itself goes last, by its name in the folder above. What is written may speak of it, in the
        // events' file: there only the file counts.
        let places = if seen.name == "write" { 1 } else { seen.texts.len() };
        let path = seen.texts.iter().take(places).any(|text| text.contains(below.as_str()));
        // opendir(3) lists what is there, and is how one looks; what is told is opened in other ways.
        let looks =
            seen.name == "openat" && seen.texts.iter().any(|text| text.contains("O_NONBLOCK"));
        let left = counts.get_mut(&seen.name).filter(|left| path && !looks && **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    /// As many as were told have been seen.
    fn is_used_up(&self) -> bool {
        self.bulk.as_ref().is_some_and(|(_, counts)| counts.values().all(|left| *left == 0))
    }

    /// Whether the witness saw this very call.
    pub fn is(&self, seen: &Seen) -> bool {
        let answered = match self.announced {
            true => matches!(seen.answer, Answer::Number(n) if n >= 0),
            false => self.answer == seen.answer,
        };
        answered
            && self.bulk.is_none()
            && self.name == seen.name
            && self.args.len() == seen.args.len()
            && self.args.iter().zip(&seen.args).all(|(a, b)| a.is(b))
    }
}

/// The processes whose calls are learnc's: the runtime and what it cloned, not what a program did
/// after its execve.
fn processes(seen: &BTreeMap<i32, Vec<Seen>>, runtime: i32) -> BTreeSet<i32> {
    let mut ours = BTreeSet::from([runtime]);
    let mut left = vec![runtime];
    while let Some(pid) = left.pop() {
        let calls = seen.get(&pid).map(Vec::as_slice).unwrap_or_default();
        let skip = usize::from(pid == runtime);
        for call in calls.iter().skip(skip) {
            match (&*call.name, &call.answer) {
                ("execve", Answer::Number(0)) => break,
                ("clone" | "clone3" | "fork" | "vfork", Answer::Number(child)) => {
                    let child = *child as i32;
                    if child > 0 && ours.insert(child) {
                        left.push(child);
                    }
                }
                _ => {}
            }
        }
    }
    ours
}

/// The events with call `n` dropped, told twice, told of another process, given another answer,
/// another argument, or swapped with the next of its process.
pub fn lies(truth: &[Said], n: usize) -> Vec<(&'static str, Vec<Said>)> {
    let changed = |change: &dyn Fn(&mut Said)| {
        let mut said = truth.to_vec();
        change(&mut said[n]);
        said
    };
    let mut dropped = truth.to_vec();
    dropped.remove(n);
    let mut doubled = truth.to_vec();
    doubled.insert(n, truth[n].clone());
    let mut lies = vec![
        ("dropping", dropped),
        ("doubling", doubled),
        ("another pid for", changed(&|said| said.pid += 1)),
        ("another name for", changed(&|said| said.name = "mount_setattr".into())),
    ];
    if !truth[n].announced {
        lies.push(("another answer for", changed(&|said| said.answer = Answer::Number(77))));
    }
    for arg in 0..truth[n].args.len() {
        let other = Value::Text(b"something else".to_vec());
        lies.push(("another argument for", changed(&|said| said.args[arg] = other.clone())));
    }
    let next = (n + 1..truth.len()).find(|&i| truth[i].pid == truth[n].pid);
    if let Some(next) = next.filter(|&next| truth[next] != truth[n]) {
        let mut swapped = truth.to_vec();
        swapped.swap(n, next);
        lies.push(("swapping", swapped));
    }
    lies
}
