//! Calls that fail and callers that are killed, from outside: strace's injection, strace(1).

use std::collections::BTreeMap;
use std::path::Path;

use super::bundle::{Bundle, ran, read};
use super::host::processes;
use super::life::{Life, attached, go, silent, under};
use super::strace::line;
use super::wait_until;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Runtime,
    Container,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Error,
    Kill,
}

/// The n-th call of this name by this side of this command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub verb: &'static str,
    pub side: Side,
    pub name: String,
    pub nth: usize,
    pub fault: Fault,
    /// The runtime's call behind its clone at which it is stopped: name and number.
    stop: (String, usize),
    /// The container has ended by then: what fails is its removal.
    removing: bool,
}

/// What shapes a container or the host, which are the calls that learnc tells; and those of the
/// conversation by which both sides walk the plan together.
fn is_a_point(name: &str) -> bool {
    let talks = ["pidfd_open", "recvmsg", "sendmsg"].contains(&name);
    talks || learnc::lesson::words::call(name).is_some()
}

/// Names in the order of the calls. With `until_execve`, up to the one that succeeded.
fn names(trace: &Path, until_execve: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap_or_default()).into_owned();
    let mut names = Vec::new();
    for call in text.lines().filter_map(line) {
        let last = call.name == "execve" && call.answer == super::strace::Answer::Number(0);
        names.push(call.name);
        if last && until_execve {
            break;
        }
    }
    names
}

/// Every point of a clean life, with both faults.
pub fn points(life: Life) -> Vec<Point> {
    let bundle = life.bundle();
    let trace = bundle.dir.join("traces/clean");
    let mut points = Vec::new();
    let mut stop = (String::new(), 0);
    for verb in life.verbs() {
        let mut command = under(&life.verb_of(&bundle, verb), &[], &trace);
        assert!(silent(&mut command, &bundle).wait().unwrap().success());
        if *verb == "kill" {
            wait_until("the container has stopped", || bundle.status() == "stopped");
        }
        // The first is strace's own execve.
        let calls = names(&trace, false).split_off(1);
        let clone = calls.iter().position(|name| name == "clone3");
        if let Some(clone) = clone {
            let name = calls[clone + 1].clone();
            let nth = calls[..=clone + 1].iter().filter(|other| **other == name).count();
            stop = (name, nth);
        }
        // What follows the container's end is its removal.
        // Where no program runs it begins when the tree has been written.
        let last = if life.has_container() { "wait4" } else { "write" };
        let ended = calls.iter().rposition(|name| name == last).filter(|_| life != Life::Verbs);
        let removing = |index: usize| *verb == "delete" || ended.is_some_and(|end| index > end);
        let first = points_of_the_stage_before(life, &calls);
        let all = of_calls(verb, Side::Runtime, &calls, &stop, &removing);
        points.extend(all.into_iter().filter(|(index, _)| *index >= first).map(|(_, point)| point));
    }
    if !life.has_container() {
        return points;
    }
    let begin = life.verbs()[0];
    let command = life.verb_of(&bundle, begin);
    let (mut first, mut second) = attached(&bundle, &command, &stop, &[], &trace);
    assert!(first.wait().unwrap().success());
    for verb in &life.verbs()[1..] {
        go(&bundle, verb, life.verb_of(&bundle, verb)).unwrap();
    }
    second.wait().unwrap();
    let calls = names(&trace, true);
    let all = of_calls(begin, Side::Container, &calls, &stop, &|_| false);
    points.extend(all.into_iter().map(|(_, point)| point));
    points
}

/// How many calls a stage begins with that the one before it makes just so: they are tried there.
fn points_of_the_stage_before(life: Life, calls: &[String]) -> usize {
    let Some(before) = life.stage_before() else { return 0 };
    let bundle = before.bundle();
    let trace = bundle.dir.join("traces/clean");
    let mut command = under(&before.verb_of(&bundle, "stage"), &[], &trace);
    assert!(silent(&mut command, &bundle).wait().unwrap().success());
    let known = names(&trace, false).split_off(1);
    calls.iter().zip(&known).take_while(|(call, known)| call == known).count()
}

fn of_calls(
    verb: &'static str,
    side: Side,
    calls: &[String],
    stop: &(String, usize),
    removing: &dyn Fn(usize) -> bool,
) -> Vec<(usize, Point)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for (index, name) in calls.iter().enumerate() {
        let count = counts.entry(name).or_default();
        *count += 1;
        if !is_a_point(name) {
            continue;
        }
        // In the middle of many of one kind, a hundred links, one is like the other.
        let alike = |other: Option<&String>| other == Some(name);
        let before = index.checked_sub(1).and_then(|i| calls.get(i));
        if verb == "stage" && alike(before) && alike(calls.get(index + 1)) {
            continue;
        }
        for fault in [Fault::Error, Fault::Kill] {
            let (name, nth, stop) = (name.clone(), *count, stop.clone());
            let point = Point { verb, side, name, nth, fault, stop, removing: removing(index) };
            points.push((index, point));
        }
    }
    points
}

/// Lives a life in which this happens, and cleans up as a user would.
pub fn suffer(life: Life, bundle: &Bundle, point: &Point) -> Result<(), String> {
    let what = match point.fault {
        Fault::Error => "error=EIO",
        Fault::Kill => "signal=SIGKILL",
    };
    let name = &point.name;
    let trace = bundle.dir.join("traces/fault");
    let options: Vec<String> = [
        "-e".to_owned(),
        format!("trace={name}"),
        "-e".to_owned(),
        format!("inject={name}:{what}:when={}", point.nth),
    ]
    .into();
    let mut attendant = None;
    for verb in life.verbs() {
        let command = life.verb_of(bundle, verb);
        let ended = match point.side {
            Side::Runtime if *verb == point.verb => {
                silent(&mut under(&command, &options, &trace), bundle).wait().unwrap()
            }
            Side::Container if *verb == point.verb => {
                let (mut first, second) = attached(bundle, &command, &point.stop, &options, &trace);
                attendant = Some(second);
                first.wait().unwrap()
            }
            _ => {
                let mut command = command;
                silent(&mut command, bundle).wait().unwrap()
            }
        };
        if !ended.success() {
            break;
        }
        if *verb == "kill" {
            wait_until("the killed container has stopped", || bundle.status() != "running");
        }
    }
    let undone = point.fault == Fault::Error && !point.removing && life != Life::Verbs;
    let finished = if undone { Ok(()) } else { finish(bundle) };
    if let Some(mut attendant) = attendant {
        attendant.wait().unwrap();
    }
    // A killed runtime's container hears that nobody is there any more, and ends by itself.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !processes(&bundle.id).is_empty() && std::time::Instant::now() < patience {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    finished?;
    happened(&trace, point)
}

pub const NEVER: &str = "never happened";

/// The fault was really injected: strace says so in its record.
fn happened(trace: &Path, point: &Point) -> Result<(), String> {
    let text = read(trace);
    let found = match point.fault {
        Fault::Error => text.contains("(INJECTED)"),
        Fault::Kill => text.contains("+++ killed by SIGKILL +++"),
    };
    if found { Ok(()) } else { Err(format!("{NEVER}: {text}")) }
}

/// What a user does after a crash: `learnc clean`, and `delete --force` for what still runs.
fn finish(bundle: &Bundle) -> Result<(), String> {
    let there = bundle.state_root().join(&bundle.id).exists();
    let cleaned = ran(&mut bundle.learnc(["clean"]));
    if cleaned.status != 0 {
        return Err(format!("clean: {}", cleaned.stderr));
    }
    if there && !cleaned.stdout.contains(&bundle.id) {
        return Err(format!("clean does not name what it found: {}", cleaned.stdout));
    }
    let deleted = bundle.verb("delete", &["--force"]);
    if deleted.status != 0 {
        return Err(format!("delete: {}", deleted.stderr));
    }
    Ok(())
}
