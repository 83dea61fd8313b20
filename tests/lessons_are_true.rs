//! What a lesson says is tried: a lesson that says something untrue fails here.
//!
//! * The `expect` lines of its head are calls that a real run of the stage makes, in that order.
//! * Each `try` of its head is run in the stage, and prints what stands beside it.
//! * Each ```` ```console ```` block of the lessons, the book and the README is played in a shell, and
//!   every line of output is held against what the block has (`support/console.rs` has the notation).
//!
//! All of it as whoever runs the tests, and by root as a user without rights once more.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use include_dir::{Dir, include_dir};
use learnc::event::{Call, Event, Lane};
use learnc::lesson::stage::{self, Stage, Try};
use support::bundle::ran;
use support::console::{self, Block, Turn};
use support::rules::fits;
use support::*;

static LESSONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/lessons");
static BOOK: Dir = include_dir!("$CARGO_MANIFEST_DIR/book/src");
const README: &str = include_str!("../README.md");

/// Every document that may hold a transcript, with its path.
fn documents() -> Vec<(String, &'static str)> {
    let mut found = vec![("README.md".to_owned(), README)];
    for (above, dir) in [("lessons", &LESSONS), ("book/src", &BOOK)] {
        let mut dirs = vec![dir];
        while let Some(dir) = dirs.pop() {
            dirs.extend(dir.dirs());
            let files = dir.files().filter(|f| f.path().extension().is_some_and(|e| e == "md"));
            found.extend(files.map(|file| {
                let path = format!("{above}/{}", file.path().display());
                (path, file.contents_utf8().expect("UTF-8"))
            }));
        }
    }
    found.sort();
    found
}

fn blocks() -> Vec<Block> {
    documents().iter().flat_map(|(path, text)| console::blocks(path, text)).collect()
}

/// A `try` is a block of one command.
fn tried(stage: &Stage, this: &Try) -> Block {
    let command = this.run.replace('\'', r"'\''");
    let command = format!("learnc stage {} --quiet -- sh -c '{command}'", stage.name);
    let prints = this.prints.lines().map(str::to_owned).collect();
    let turn = Turn { command, prints, status: this.status };
    let needs = this.needs.iter().map(|name| console::need(name)).collect();
    Block { place: format!("try of {}", stage.name), needs, turns: vec![turn] }
}

/// All that a stage tells to try, in one shell from top to bottom, as a reader does it: what a command
/// leaves behind may not spoil the next. One that gives up, for want of a process, ends its parentheses.
fn tried_in_one_shell(stage: &Stage) -> Block {
    let tries = &stage.head.try_this;
    let typed: Vec<String> = tries.iter().map(|this| format!("({})", this.run)).collect();
    let typed = typed.join("\n").replace('\'', r"'\''");
    let command = format!("learnc stage {} --quiet -- sh -c '{typed}\nexit 0'", stage.name);
    let prints = tries.iter().flat_map(|this| this.prints.lines()).map(str::to_owned).collect();
    let needs = tries.iter().flat_map(|this| &this.needs).map(|name| console::need(name)).collect();
    let turn = Turn { command, prints, status: 0 };
    Block { place: format!("all tries of {}", stage.name), needs, turns: vec![turn] }
}

/// The calls of a run of a stage, in the order in which they were told.
fn calls(stage: &Stage) -> Vec<Call> {
    let own = bundle();
    let events = own.dir.join("events.jsonl");
    let mut command = own.learnc(["stage", &stage.name, "--quiet", "--events"]);
    command.arg(&events).env("XDG_DATA_HOME", &own.dir);
    let program: &[&str] = if stage.has_program() { &["--", "sh", "-c", "true"] } else { &[] };
    ran(command.args(program)).ok();
    let text = std::fs::read_to_string(events).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events
        .filter_map(|event| if let Event::Call(call) = event { Some(call) } else { None })
        .collect()
}

/// `container chroot(".")`; with ` = EPERM` where it was refused.
fn written(call: &Call) -> String {
    let lane = match call.lane {
        Lane::Runtime => "runtime",
        Lane::Container => "container",
    };
    let refused = call.errno.as_ref().map(|errno| format!(" = {errno}")).unwrap_or_default();
    format!("{lane} {}({}){refused}", call.name, call.args.to_text())
}

/// The first line that is not found behind those before it.
fn missing<'a>(expected: &'a [String], calls: &[String]) -> Option<&'a str> {
    let mut calls = calls.iter();
    let lost = |line: &&String| !calls.any(|call| fits(line, call));
    expected.iter().find(lost).map(String::as_str)
}

fn the_stage_makes_the_calls(stage: &Stage) {
    let calls: Vec<String> = calls(stage).iter().map(written).collect();
    if let Some(line) = missing(&stage.head.expect, &calls) {
        let name = line.split(['(', ' ']).nth(1).unwrap_or_default();
        let alike: Vec<String> = calls.into_iter().filter(|call| call.contains(name)).collect();
        panic!("{}: no such call behind those before: {line}\n{}", stage.name, alike.join("\n"));
    }
}

/// The test can fail: whatever a true line is changed into is not found.
fn a_call_that_was_not_made_is_missed() {
    let stage = stage::find("chroot").unwrap();
    let calls: Vec<String> = calls(stage).iter().map(written).collect();
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let (root, cwd) = ("container chroot(\".\")", "container chdir(\"/\")");
    assert_eq!(missing(&lines(&[root, cwd]), &calls), None);
    for wrong in [
        &["container pivot_root(\".\", \".\")"][..],
        &["container chroot(\"/\")"],
        &["runtime chroot(\".\")"],
        &["container chroot(\".\") = EPERM"],
        &["container execve(*)", root],
    ] {
        let wrong = lines(wrong);
        assert!(missing(&wrong, &calls).is_some(), "{wrong:?} was found");
    }
}

/// The test can fail: a block that says something else than the shell is caught.
fn a_doctored_transcript_is_caught() {
    let play = |text: &str| {
        let text = format!("```console\n{text}\n```\n");
        console::check(&console::blocks("doctored", &text)[0])
    };
    let honest = "$ echo one; echo two >&2\none\ntwo\n$ x=3\n$ exit_with() { return $1; }\n\
                  $ exit_with $x\n(exit status 3)\n$ learnc stage --help\n…\nUsage: learnc stage …\n…";
    assert_eq!(play(honest), Ok(()));
    for doctored in [
        "$ echo one\ntwo",
        "$ echo one",
        "$ echo one\none\ntwo",
        "$ true\none",
        "$ false",
        "$ true\n(exit status 1)",
        "$ (exit 2)\n(exit status 1)",
        "$ echo one two\n… three",
        "$ echo one\n…\ntwo\n…",
        "$ exit 0\n$ true",
        "$ learnc stage nowhere\n…",
    ] {
        assert!(play(doctored).is_err(), "nobody minds:\n{doctored}");
    }
}

fn every_stage_has_its_chapter_with_something_to_try() {
    for stage in stage::all() {
        let text = console::blocks(&stage.name, &stage.text);
        assert!(text.len() >= 3, "{}: {} console blocks", stage.name, text.len());
        assert!(!stage.head.try_this.is_empty(), "{}: nothing to try", stage.name);
        assert!(!stage.head.expect.is_empty(), "{}: no calls expected", stage.name);
    }
}

/// As a user without rights, name, home or id ranges.
fn a_stranger_finds_the_same() {
    support::stranger::pass(40);
}

fn main() {
    let mut tests = vec![
        test("a call that was not made is missed", RUNS, a_call_that_was_not_made_is_missed),
        test("a doctored transcript is caught", &[], a_doctored_transcript_is_caught),
        test("every stage has its chapter", &[], every_stage_has_its_chapter_with_something_to_try),
    ];
    for stage in stage::all() {
        let sentence = format!("{} makes the calls that its lesson names", stage.name);
        let needs = if stage.limits() { LIMITED } else { RUNS };
        tests.push(test(sentence, needs, move || the_stage_makes_the_calls(stage)));
        let sentence = format!("in {}: all of it, in one shell", stage.name);
        tests.push(played(sentence, tried_in_one_shell(stage)));
        for this in &stage.head.try_this {
            let sentence = format!("in {}: {}", stage.name, this.to_text());
            tests.push(played(sentence, tried(stage, this)));
        }
    }
    for block in blocks() {
        let first = block.turns[0].command.lines().next().unwrap_or_default();
        tests.push(played(format!("{} {first}", block.place), block));
    }
    tests.push(test("a stranger finds the same", &[Need::Strangers], a_stranger_finds_the_same));
    suite(tests);
}

fn played(sentence: String, block: Block) -> libtest_mimic::Trial {
    let needs = [RUNS, &block.needs].concat();
    test(sentence, &needs, move || {
        if let Err(wrong) = console::check(&block) {
            panic!("{wrong}");
        }
    })
}
