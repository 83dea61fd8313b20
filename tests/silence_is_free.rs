//! A silent run is the narrated one without the telling, and little more than the bare calls.
//!
//! Both are read off the kernel's record, by strace: process by process and in order, the calls of a
//! narrated run are those of a silent run and the sending of reports, which `telling.txt` lists. What
//! a silent run does beyond the floor program (`benches/floor.rs`, the calls of the same container
//! and nothing else) is `above_the_floor.txt`, held both ways. Neither can be a matter of luck: no
//! clock is asked.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use support::rules::{Rule, fits, rules_of};
use support::shape::{about, shape};
use support::strace::Seen;
use support::witness::{Traced, traced};
use support::*;

fn telling() -> Vec<Rule> {
    rules_of(include_str!("telling.txt"))
}

/// What is lived in silence and told: a verb, and its arguments behind the switches.
struct Life<'a>(&'a str, &'a [&'a str]);

/// Lives it in silence and with these switches, and takes the telling away.
/// The answer: which lines of the list were needed.
fn told_for_nothing(
    bundle: &Bundle,
    life: &Life,
    switches: &[&str],
    rules: &[Rule],
) -> BTreeSet<usize> {
    let Life(verb, rest) = life;
    let with = |switches: &[&str]| {
        let mut command = bundle.learnc([*verb]);
        command.args(switches).args(*rest);
        command
    };
    // The first run of all makes the folders of all.
    support::bundle::ran(&mut with(&["--quiet"])).ok();
    let silent = traced(&with(&["--quiet"]), &bundle.dir.join("silent"));
    let told = traced(&with(switches), &bundle.dir.join("told"));
    assert_eq!(silent.ran.status, 0, "{}", silent.ran.stderr);
    assert_eq!(told.ran.status, 0, "{}", told.ran.stderr);
    assert_eq!(silent.processes.len(), told.processes.len());
    let mut used = BTreeSet::new();
    for (role, (silent, told)) in silent.with_shapes().iter().zip(told.with_shapes()).enumerate() {
        let role = ["runtime", "container"][role];
        assert!(silent.len() > 30, "{role}: only {} calls", silent.len());
        match less_the_telling(silent, &told, rules) {
            Ok(more) => used.extend(more),
            Err(wrong) => panic!("{role}: {wrong}"),
        }
    }
    used
}

type Shaped = Vec<(String, Seen)>;

impl Traced {
    fn with_shapes(&self) -> Vec<Shaped> {
        let one = |calls: &Vec<Seen>| -> Shaped {
            let shaped = |call: &Seen| Some((shape(call, &self.names)?, call.clone()));
            calls.iter().filter_map(shaped).collect()
        };
        self.processes.iter().map(one).collect()
    }
}

/// Walks both at once: what the silent run does not make must be telling.
fn less_the_telling(
    silent: &Shaped,
    told: &Shaped,
    rules: &[Rule],
) -> Result<BTreeSet<usize>, String> {
    let mut used = BTreeSet::new();
    let mut next = silent.iter().peekable();
    for (shape, call) in told {
        let expected = next.peek().map_or("the end", |(shape, _)| shape);
        if expected == shape {
            next.next();
        } else if let Some(rule) = rules.iter().position(|rule| rule.excuses(call)) {
            used.insert(rule);
        } else {
            return Err(format!("told:   {shape}\n        silent: {expected}"));
        }
    }
    match next.next() {
        None => Ok(used),
        Some((shape, _)) => Err(format!("only in silence: {shape}")),
    }
}

fn telling_is_all_that_is_added() {
    let bundle = bundle();
    let events = bundle.dir.join("events.jsonl");
    let run = Life("run", &[&bundle.id]);
    let events = ["--quiet", "--events", events.to_str().unwrap()];
    let rules = telling();
    let told = |switches: &[&str]| told_for_nothing(&bundle, &run, switches, &rules);
    let manners: [&[&str]; 4] = [&events, &[], &["--explain"], &["--verbose", "--color=always"]];
    let used = manners.into_iter().flat_map(told).collect();
    all_are_needed(&rules, &used);
}

/// A stage looks at both sides besides: what changed is part of its telling.
fn of_stages_telling_and_looking_is_all_that_is_added() {
    let bundle = bundle();
    let looking = rules_of(include_str!("looking.txt"));
    let rules = [telling(), looking.clone()].concat();
    let mut used = BTreeSet::new();
    for stage in stages() {
        let all = [&stage.name, "--id", &bundle.id, "--", "true"];
        let rest = if stage.has_program() { &all[..] } else { &all[..3] };
        used.extend(told_for_nothing(&bundle, &Life("stage", rest), &["--explain"], &rules));
    }
    let first = telling().len();
    let used = used.iter().filter_map(|rule| rule.checked_sub(first)).collect();
    all_are_needed(&looking, &used);
}

fn all_are_needed(rules: &[Rule], used: &BTreeSet<usize>) {
    let idle = rules.iter().enumerate().filter(|(i, _)| !used.contains(i));
    let idle: Vec<String> = idle.map(|(_, rule)| format!("{rule:?}")).collect();
    assert!(idle.is_empty(), "what no run does is listed:\n{}", idle.join("\n"));
}

/// Each call of a real run, made once more or left out, is found.
fn a_call_more_or_less_is_found() {
    let bundle = bundle();
    let run = traced(&bundle.learnc(["run", "--quiet", &bundle.id]), &bundle.dir.join("silent"));
    for calls in run.with_shapes() {
        assert!(less_the_telling(&calls, &calls, &telling()).is_ok());
        for n in 0..calls.len() {
            let is_telling = |call: &Seen| telling().iter().any(|rule| rule.excuses(call));
            let mut less = calls.clone();
            let left_out = less.remove(n);
            assert!(less_the_telling(&calls, &less, &telling()).is_err(), "{}", left_out.0);
            let more = less_the_telling(&less, &calls, &telling());
            assert!(more.is_err() || is_telling(&left_out.1), "{}", left_out.0);
        }
    }
}

/// A line of `above_the_floor.txt`.
struct Above {
    role: String,
    what: String,
    /// A number, `*` or `?`: how often.
    times: String,
    /// Where it is expected: `debug`, `v1`, `v2`.
    only: Vec<String>,
}

/// `[debug] runtime 3 openat /proc/self/stat  # reason`
fn above_the_floor() -> Vec<Above> {
    let text = include_str!("above_the_floor.txt");
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let (what, _) = line.split_once("  # ").unwrap_or_else(|| panic!("no reason: {line}"));
            let mut words = what.split_whitespace().peekable();
            let tag = |word: &&str| word.starts_with('[');
            let only = std::iter::from_fn(|| words.next_if(tag))
                .map(|tag| tag.trim_matches(['[', ']']).to_owned())
                .collect();
            let role = words.next().unwrap().to_owned();
            let times = words.next().unwrap().to_owned();
            Above { role, what: words.collect::<Vec<_>>().join(" "), times, only }
        })
        .collect()
}

impl Above {
    fn is_expected_here(&self) -> bool {
        let v2 = learnc::facts::read().cgroups.is_v2();
        self.only.iter().all(|tag| match tag.as_str() {
            "debug" => cfg!(debug_assertions),
            "v1" => !v2,
            "v2" => v2,
            tag => panic!("what is [{tag}]?"),
        })
    }
}

/// How often each process asks for each thing.
fn counted(traced: &Traced, names: &[(PathBuf, &str)]) -> BTreeMap<(usize, String), i64> {
    let mut all = traced.names.clone();
    all.extend(names.iter().map(|(path, name)| (path.display().to_string(), (*name).to_owned())));
    let mut counts = BTreeMap::new();
    for (role, calls) in traced.processes.iter().enumerate() {
        for what in calls.iter().filter_map(|call| about(call, &all)) {
            *counts.entry((role, what)).or_default() += 1;
        }
    }
    counts
}

/// The floor program for this bundle: the same cgroup directories under another name.
fn floor(bundle: &Bundle, silent: &Traced) -> (Command, Vec<(PathBuf, String)>) {
    let made: Vec<PathBuf> = silent.processes[0]
        .iter()
        .filter(|call| call.name == "mkdirat")
        .filter_map(|call| Some(PathBuf::from(call.texts.get(1)?.trim_matches('"'))))
        .filter(|path| path.starts_with("/sys/fs/cgroup"))
        .collect();
    let mut command = Command::new(needs::floor().unwrap());
    command.arg(bundle.rootfs()).arg(bundle.dir.join("floor-state"));
    let floors: Vec<PathBuf> = made.iter().map(|path| path.with_extension("floor")).collect();
    command.args(&floors).current_dir(&bundle.dir);
    let tree = |path: &PathBuf| path.parent().unwrap().display().to_string();
    let names = made
        .iter()
        .map(|p| (p.clone(), tree(p)))
        .chain(floors.iter().map(|p| (p.clone(), tree(p))));
    (command, names.map(|(p, tree)| (p, format!("{tree}/$ID"))).collect())
}

fn what_is_above_the_floor_is_written_down() {
    let bundle = bundle();
    let silent = traced(&bundle.learnc(["run", "--quiet", &bundle.id]), &bundle.dir.join("silent"));
    assert_eq!(silent.ran.status, 0, "{}", silent.ran.stderr);
    let (command, cgroups) = floor(&bundle, &silent);
    let bare = traced(&command, &bundle.dir.join("bare"));
    assert_eq!(bare.ran.status, 0, "{}", bare.ran.stderr);

    let state = bundle.state_root().join(&bundle.id);
    let mut names: Vec<(PathBuf, &str)> =
        cgroups.iter().map(|(path, name)| (path.clone(), &**name)).collect();
    names.push((state, "$STATE"));
    names.push((bundle.dir.join("floor-state"), "$STATE"));
    names.push((bundle.state_root(), "$STATES"));
    names.push((bundle.rootfs(), "$ROOT"));
    names.push((bundle.dir.clone(), "$BUNDLE"));
    names.push((bundle.dir.join("config.json"), "$CONFIG"));
    names.push((std::fs::canonicalize(&bundle.program).unwrap(), "$LEARNC"));
    let mut difference = counted(&silent, &names);
    for (what, count) in counted(&bare, &names) {
        *difference.entry(what).or_default() -= count;
    }
    difference.retain(|_, count| *count != 0);
    let wrong = against_the_list(&difference);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not written down, and what is written down and not found.
fn against_the_list(difference: &BTreeMap<(usize, String), i64>) -> Vec<String> {
    let list = above_the_floor();
    let mut wrong = Vec::new();
    let mut found = vec![0i64; list.len()];
    for ((role, what), count) in difference {
        let role = ["runtime", "container"][*role];
        let line = list.iter().position(|line| line.role == role && fits(&line.what, what));
        match line {
            Some(line) => found[line] += count,
            None => wrong.push(format!("not written down: {role} {count} {what}")),
        }
    }
    for (line, found) in list.iter().zip(found).filter(|(line, _)| line.is_expected_here()) {
        let fits = match &*line.times {
            "?" => true,
            "*" => found > 0,
            times => found == times.parse::<i64>().expect("a number, * or ?"),
        };
        if !fits {
            let Above { role, what, times, .. } = line;
            wrong.push(format!("{role} {what}: {times} written down, {found} found"));
        }
    }
    wrong
}

fn main() {
    let bare: Vec<Need> = WITNESSED.iter().copied().chain([Need::Root, Need::Floor]).collect();
    let single: Vec<Need> = WITNESSED.iter().copied().chain([Need::OwnIdMap]).collect();
    let strangers: Vec<Need> = WITNESSED.iter().copied().chain([Need::Strangers]).collect();
    suite(vec![
        test("all of this without root", &strangers, || support::stranger::pass(2)),
        test("telling is all that is added", WITNESSED, telling_is_all_that_is_added),
        test(
            "of stages telling and looking is all that is added",
            &single,
            of_stages_telling_and_looking_is_all_that_is_added,
        ),
        test("a call more or less is found", WITNESSED, a_call_more_or_less_is_found),
        test(
            "what is above the floor is written down",
            &bare,
            what_is_above_the_floor_is_written_down,
        ),
    ]);
}
