//! `--step`: between two steps one may look, compare, go on and quit, and nothing is left behind.
//!
//! learnc is given a terminal by script(1), and a key whenever it asks.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, poll};
use support::*;

/// The end of the prompt.
const ASKS: &str = " › ";

/// A run that asks on a terminal.
struct Stepped {
    script: Child,
    heard: String,
}

impl Stepped {
    fn of(bundle: &Bundle) -> Stepped {
        let plain = bundle.learnc(["run", "--step", "--color=never", &bundle.id]);
        let words = std::iter::once(plain.get_program()).chain(plain.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]).current_dir(&bundle.dir);
        script.env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped());
        Stepped { script: script.spawn().unwrap(), heard: String::new() }
    }

    /// Some more of what it says; nothing at the end.
    fn more(&mut self) -> Vec<u8> {
        let out = self.script.stdout.as_mut().unwrap();
        let mut wanted = [PollFd::new(out.as_fd(), PollFlags::POLLIN)];
        let said = poll(&mut wanted, 30_000u16).unwrap() > 0;
        assert!(said, "neither a word nor an end:\n{}", self.heard);
        let mut piece = [0; 4096];
        let length = out.read(&mut piece).unwrap();
        self.heard += &String::from_utf8_lossy(&piece[..length]);
        piece[..length].to_vec()
    }

    /// Reads on until it asks: what it said since the last time.
    fn until_it_asks(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(ASKS.as_bytes()) {
            let more = self.more();
            assert!(!more.is_empty(), "it ended and did not ask:\n{}", self.heard);
            bytes.extend(more);
        }
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
    }

    fn press(&mut self, key: u8) {
        self.script.stdin.as_mut().unwrap().write_all(&[key]).unwrap();
    }

    /// What is said after this key, when it asks again.
    fn answer(&mut self, key: u8) -> String {
        self.press(key);
        self.until_it_asks()
    }

    /// Goes on until the next step is the container's.
    fn until_the_container(&mut self) {
        let mut said = self.until_it_asks();
        while !said.contains("(container ") {
            said = self.answer(b' ');
        }
    }

    /// Presses a last key: the exit status, and the rest.
    fn end(mut self, key: u8) -> (i32, String) {
        self.press(key);
        let before = self.heard.len();
        while !self.more().is_empty() {}
        (self.script.wait().unwrap().code().unwrap(), self.heard.split_off(before))
    }
}

/// Words of the row of a property.
fn row(said: &str, property: &str) -> Vec<String> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(property));
    let line = line.unwrap_or_else(|| panic!("no {property} in {said}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// A namespace as the kernel has it for this test.
fn own(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

fn what_changed_so_far_is_shown() {
    let bundle = bundle();
    let mut run = Stepped::of(&bundle);
    run.until_the_container();
    let said = run.answer(b'w');
    let mounts = row(&said, "mount namespace");
    assert_eq!((&*mounts[0], &*mounts[2]), (&*own("mnt"), "new"), "{said}");
    // Not every kernel has them.
    if std::path::Path::new("/proc/self/ns/time").exists() {
        assert!(row(&said, "shared").join(" ").contains("time namespace"), "{said}");
    }
    // The same from within, and of the container alone.
    let inside = run.answer(b'i');
    assert_eq!(row(&inside, "mount namespace"), [&*mounts[1]], "{inside}");
    assert_eq!(row(&inside, "pid  "), ["1"], "{inside}");
    let (status, rest) = run.end(b'q');
    assert_eq!(status, 1, "{rest}");
    assert_eq!(bundle.status(), "", "something of the container was left");
}

fn before_the_clone_there_is_nothing_to_compare() {
    let bundle = bundle();
    let mut run = Stepped::of(&bundle);
    run.until_it_asks();
    for key in [b'w', b'i'] {
        let said = run.answer(key);
        assert!(said.contains("There is no container yet"), "{said}");
    }
    assert_eq!(run.end(3).0, 1, "Ctrl-C is a key here");
    assert_eq!(bundle.status(), "");
}

fn the_rest_goes_without_asking() {
    let bundle = bundle().sh("echo a word of the program; exit 7");
    let mut run = Stepped::of(&bundle);
    run.until_it_asks();
    let (status, rest) = run.end(b'c');
    assert_eq!(status, 7, "{rest}");
    assert!(rest.contains("a word of the program") && !rest.contains(ASKS), "{rest}");
}

fn main() {
    let needs: Vec<Need> = RUNS.iter().copied().chain([Need::Terminals]).collect();
    let strangers: Vec<Need> = needs.iter().copied().chain([Need::Strangers]).collect();
    suite(vec![
        test("all of this without root", &strangers, || support::stranger::pass(3)),
        test("what changed so far is shown", &needs, what_changed_so_far_is_shown),
        test(
            "before the clone there is nothing to compare",
            &needs,
            before_the_clone_there_is_nothing_to_compare,
        ),
        test("the rest goes without asking", &needs, the_rest_goes_without_asking),
    ]);
}
