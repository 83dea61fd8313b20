//! The narration and the program share a terminal, or a file, and neither speaks into the other.
//!
//! The calls before execve are told before the program's first word, and what comes after the
//! program has ended is told after its last. A narration that nobody can hear ends no run.

mod support;

use std::fs::File;
use std::process::{Command, Stdio};

use support::{RUNS, bundle, suite, test};

/// Both voices in one file, in the order in which they were heard; and the exit status.
fn heard(mut command: Command, dir: &std::path::Path) -> (String, i32) {
    let path = dir.join("both-voices");
    let file = File::options().create(true).append(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let status = command.status().unwrap().code().unwrap_or(-1);
    (std::fs::read_to_string(&path).unwrap(), status)
}

fn the_steps_are_told_before_the_programs_first_word() {
    let bundle = bundle().sh("echo a word of the program; exit 7");
    for _ in 0..5 {
        let run = bundle.learnc(["run", "--explain", &bundle.id]);
        let (text, status) = heard(run, &bundle.dir);
        assert_eq!(status, 7, "{text}");
        let (before, after) = text.split_once("\na word of the program\n").unwrap();
        assert!(before.contains("then execve(\"/bin/sh\""), "execve was told late:\n{text}");
        assert!(!after.contains("execve("), "{text}");
        assert!(!before.contains("ended with status") && after.contains("ended with status 7"));
        assert!(!before.contains("Put the host back"), "{text}");
    }
}

fn a_folded_run_has_its_summary_last() {
    let bundle = bundle().sh("echo a word of the program");
    let (text, _) = heard(bundle.learnc(["run", &bundle.id]), &bundle.dir);
    let (before, after) = text.split_once("\na word of the program\n").unwrap();
    assert!(before.contains("Become the program"), "{text}");
    assert!(after.contains(" in the kernel."), "{text}");
}

fn a_run_of_its_own_says_where_it_is_and_what_it_lacks() {
    let bundle = bundle();
    let (text, _) = heard(bundle.learnc(["run", "--", "true"]), &bundle.dir);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (first, rest) = words.split_once(" 1/").unwrap();
    assert!(first.contains("busybox") && first.contains(bundle.data().to_str().unwrap()), "{text}");
    assert!(rest.ends_with("No network in here yet, on purpose."), "{text}");
}

fn a_narration_that_nobody_hears_ends_no_run() {
    let bundle = bundle().sh("exit 7");
    let mut child = bundle.learnc(["run", "--explain", &bundle.id]);
    let mut child = child.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(bundle.status(), "", "something of the container was left");
}

fn quiet_is_quiet() {
    let bundle = bundle().sh("echo a word of the program");
    let (text, status) = heard(bundle.learnc(["run", "--quiet", &bundle.id]), &bundle.dir);
    assert_eq!((text.as_str(), status), ("a word of the program\n", 0));
}

fn colours_are_where_they_are_asked_for() {
    let bundle = bundle();
    let escapes = |when: &str| {
        let ran = bundle.verb("run", &["--explain", "--color", when]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stderr.contains('\u{1b}')
    };
    assert!(escapes("always"));
    assert!(!escapes("never"));
    assert!(!escapes("auto"), "a pipe got colours");
}

fn main() {
    suite(vec![
        test(
            "the steps are told before the program's first word",
            RUNS,
            the_steps_are_told_before_the_programs_first_word,
        ),
        test("a folded run has its summary last", RUNS, a_folded_run_has_its_summary_last),
        test(
            "a run of its own says where it is and what it lacks",
            RUNS,
            a_run_of_its_own_says_where_it_is_and_what_it_lacks,
        ),
        test(
            "a narration that nobody hears ends no run",
            RUNS,
            a_narration_that_nobody_hears_ends_no_run,
        ),
        test("quiet is quiet", RUNS, quiet_is_quiet),
        test("colours are where they are asked for", RUNS, colours_are_where_they_are_asked_for),
    ]);
}
