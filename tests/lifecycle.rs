//! A container's life by the verbs, as the OCI runtime specification has it and runc lives it.
//!
//! runtime.md, "Lifecycle" and "Operations". Each sentence below is one promise: what a verb does in
//! each status, what it refuses, which exit status comes back.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::io::{Read, Write};
use std::process::Stdio;

use support::bundle::ran;
use support::*;

fn sleeping() -> Bundle {
    let bundle = bundle().args(["sleep", "1000"]);
    assert_eq!(bundle.create(&[]).status, 0);
    bundle
}

fn refused(ran: Ran, words: &[&str]) {
    assert_ne!(ran.status, 0, "{}", ran.stdout);
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in: {}", ran.stderr);
    }
}

fn created_running_stopped_gone() {
    let bundle = sleeping();
    assert_eq!(bundle.status(), "created");
    bundle.verb("start", &[]).ok();
    assert_eq!(bundle.status(), "running");
    ran(&mut bundle.learnc(["kill", &bundle.id, "KILL"])).ok();
    wait_until("it has stopped", || bundle.status() == "stopped");
    bundle.verb("delete", &[]).ok();
    refused(bundle.verb("state", &[]), &[&bundle.id, "no container"]);
    assert!(!bundle.state_root().join(&bundle.id).exists());
}

fn the_program_does_not_run_before_start() {
    let bundle = bundle().set("/root/readonly", false.into()).sh("echo ran >/ran");
    assert_eq!(bundle.create(&[]).status, 0);
    assert!(!bundle.rootfs().join("ran").exists());
    bundle.verb("start", &[]).ok();
    wait_until("it has run", || bundle.rootfs().join("ran").exists());
}

fn an_id_is_taken_once() {
    let bundle = sleeping();
    refused(bundle.create(&[]), &[&bundle.id]);
    refused(bundle.run(), &[&bundle.id]);
    // The one that was first does not suffer from it.
    assert_eq!(bundle.status(), "created");
}

fn an_unknown_id_is_refused() {
    let bundle = bundle();
    for verb in ["start", "state", "kill", "delete"] {
        refused(bundle.verb(verb, &[]), &[&bundle.id]);
    }
    bundle.verb("delete", &["--force"]).ok();
}

fn a_strange_id_is_refused() {
    let bundle = bundle();
    for id in ["", "..", "a/b", "a b"] {
        refused(ran(&mut bundle.learnc(["run", "--quiet", id])), &["id"]);
    }
}

fn a_running_container_is_not_deleted() {
    let bundle = sleeping();
    bundle.verb("start", &[]).ok();
    refused(bundle.verb("delete", &[]), &["running"]);
    assert_eq!(bundle.status(), "running");
    bundle.verb("delete", &["--force"]).ok();
    assert_eq!(bundle.status(), "");
}

fn a_created_container_can_be_deleted() {
    let bundle = sleeping();
    bundle.verb("delete", &[]).ok();
    assert_eq!(bundle.status(), "");
}

fn a_container_starts_once() {
    let bundle = sleeping();
    bundle.verb("start", &[]).ok();
    refused(bundle.verb("start", &[]), &["running"]);
    ran(&mut bundle.learnc(["kill", &bundle.id, "KILL"])).ok();
    wait_until("it has stopped", || bundle.status() == "stopped");
    refused(bundle.verb("start", &[]), &["stopped"]);
    refused(ran(&mut bundle.learnc(["kill", &bundle.id, "KILL"])), &["not running"]);
}

fn the_state_is_that_of_the_specification() {
    let bundle = sleeping();
    let state = bundle.state().unwrap();
    assert_eq!(state["id"], bundle.id.as_str());
    assert_eq!(state["bundle"], bundle.dir.to_str().unwrap());
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    let pid = state["pid"].as_i64().unwrap();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
}

fn list_shows_every_container() {
    let bundle = sleeping();
    let listed = ran(&mut bundle.learnc(["list"])).ok().stdout;
    let head = listed.lines().next().unwrap();
    let names: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(names, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let line = listed.lines().find(|line| line.starts_with(&bundle.id)).unwrap();
    assert!(line.contains("created") && line.contains(bundle.dir.to_str().unwrap()), "{line}");
    let json = ran(&mut bundle.learnc(["list", "--format", "json"])).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["id"], bundle.id.as_str());
}

fn the_exit_status_is_the_programs() {
    assert_eq!(bundle().sh("exit 42").run().status, 42);
    assert_eq!(bundle().args(["true"]).run().status, 0);
}

fn a_death_by_signal_is_128_and_its_number() {
    let bundle = bundle().args(["sleep", "1000"]);
    let mut run = bundle.learnc(["run", "--quiet", &bundle.id]).spawn().unwrap();
    wait_until("it runs", || bundle.status() == "running");
    ran(&mut bundle.learnc(["kill", &bundle.id, "KILL"])).ok();
    assert_eq!(run.wait().unwrap().code(), Some(128 + 9));
}

fn a_piped_input_reaches_the_program() {
    let bundle = bundle().args(["cat"]);
    let mut command = bundle.learnc(["run", "--quiet", &bundle.id]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "one\ntwo\n");
    assert!(child.wait().unwrap().success());
}

fn signals_are_forwarded() {
    let bundle =
        bundle().sh("trap 'echo heard; exit 7' TERM; echo ready; while :; do sleep 0.1; done");
    let mut command = bundle.learnc(["run", "--quiet", &bundle.id]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "heard\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

fn a_bad_config_is_told_by_its_path() {
    let bundle = bundle().set("/mounts/0/destination", "proc".into());
    let bundle = bundle.set("/process/cwd", "relative".into());
    refused(bundle.run(), &["process.cwd"]);
    let wrong = support::bundle().set("/process/args", 7.into());
    refused(wrong.run(), &["process.args"]);
}

fn a_missing_command_is_answered_with_what_is_there() {
    refused(bundle().args(["hostnam"]).run(), &["hostnam", "PATH", "hostname"]);
}

/// A program under `script`, which gives it a terminal of so many rows and columns.
fn on_a_terminal(bundle: &Bundle, keys: &str) -> Ran {
    let program = bundle.program.display();
    let root = bundle.state_root();
    bundle.write();
    let line = format!(
        "stty rows 33 cols 101; exec {program} --root {} run --quiet {}",
        root.display(),
        bundle.id
    );
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(&bundle.dir);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut one = [0];
    // The program says when it listens.
    while !shown.ends_with(b"ready") && out.read(&mut one).unwrap() == 1 {
        shown.push(one[0]);
    }
    let mut typing = child.stdin.take().unwrap();
    typing.write_all(keys.as_bytes()).unwrap();
    out.read_to_end(&mut shown).unwrap();
    drop(typing);
    let status = child.wait().unwrap().code().unwrap();
    Ran { status, stdout: String::from_utf8_lossy(&shown).into_owned(), stderr: String::new() }
}

fn a_terminal_has_this_ones_size() {
    let bundle = bundle().set("/process/terminal", true.into());
    let bundle = bundle.sh("stty size; tty; printf ready; read line; echo got $line; exit 5");
    let ran = on_a_terminal(&bundle, "hello\r");
    assert!(ran.stdout.contains("33 101"), "{}", ran.stdout);
    assert!(ran.stdout.contains("/dev/"), "{}", ran.stdout);
    assert!(ran.stdout.contains("got hello"), "{}", ran.stdout);
    assert_eq!(ran.status, 5);
}

fn ctrl_c_is_the_container_terminals() {
    let bundle = bundle().set("/process/terminal", true.into());
    let bundle =
        bundle.sh("trap 'echo interrupted; exit 9' INT; printf ready; while :; do sleep 0.1; done");
    let ran = on_a_terminal(&bundle, "\x03");
    assert!(ran.stdout.contains("interrupted"), "{}", ran.stdout);
    assert_eq!(ran.status, 9);
}

fn main() {
    suite(vec![
        test("created, running, stopped, gone", RUNS, created_running_stopped_gone),
        test("nothing runs before start", RUNS, the_program_does_not_run_before_start),
        test("an id is taken once", RUNS, an_id_is_taken_once),
        test("an unknown id is refused", RUNS, an_unknown_id_is_refused),
        test("a strange id is refused", RUNS, a_strange_id_is_refused),
        test("a running container is not deleted", RUNS, a_running_container_is_not_deleted),
        test("a created container can be deleted", RUNS, a_created_container_can_be_deleted),
        test("a container starts once", RUNS, a_container_starts_once),
        test("the state is the specification's", RUNS, the_state_is_that_of_the_specification),
        test("list shows every container", RUNS, list_shows_every_container),
        test("the exit status is the program's", RUNS, the_exit_status_is_the_programs),
        test("a death by signal is 128+N", RUNS, a_death_by_signal_is_128_and_its_number),
        test("a piped input reaches the program", RUNS, a_piped_input_reaches_the_program),
        test("signals are forwarded", RUNS, signals_are_forwarded),
        test("a bad config is told by its path", RUNS, a_bad_config_is_told_by_its_path),
        test("a missing command", RUNS, a_missing_command_is_answered_with_what_is_there),
        test("a terminal has this one's size", RUNS, a_terminal_has_this_ones_size),
        test("ctrl-c is the container's", RUNS, ctrl_c_is_the_container_terminals),
    ]);
}
