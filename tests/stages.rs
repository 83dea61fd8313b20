//! Each stage runs alone, for root and for others, and says what is promised of it.
//!
//! A stage is a config.json with most of it missing, so what it does is tried as for any container: from
//! inside, by what its program sees. That it is told truly, and leaves nothing, is tried where that is
//! tried for all (`narration_is_true`, `silence_is_free`, `host_is_left_clean`).

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::io::{Read, Write};
use std::process::Stdio;

use learnc::lesson::stage::{self, Stage};
use support::bundle::ran;
use support::*;

/// Those that run a program of their own root.
fn with_a_program() -> impl Iterator<Item = &'static str> {
    stages().filter(|stage| stage.has_program()).map(|stage| &*stage.name)
}

/// `learnc stage NAME SWITCHES -- sh -c SCRIPT`
fn stage(name: &str, switches: &[&str], script: &str) -> Ran {
    let bundle = bundle();
    let mut command = bundle.learnc(["stage", name]);
    ran(command.args(switches).args(["--", "sh", "-c", script]))
}

fn inside(name: &str, script: &str) -> String {
    stage(name, &["--quiet"], script).ok().stdout
}

fn they_are_listed_with_a_sentence_each() {
    let list = ran(&mut learnc(["stage"])).ok().stdout;
    for (stage, line) in stage::all().iter().zip(list.lines()) {
        let start = format!("{:>2}  {} ", stage.number, stage.name);
        assert!(line.starts_with(&start) && line.ends_with('.'), "{line}");
    }
}

fn the_exit_status_is_the_programs() {
    for name in with_a_program() {
        let ran = stage(name, &["--quiet"], "exit 42");
        assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (42, "", ""), "{name}");
    }
}

fn the_root_is_another_one() {
    for name in with_a_program() {
        assert_eq!(
            inside(name, "ls / | grep home || echo none"),
            "none\n",
            "{name} shows the host's files"
        );
    }
}

fn chroot_changes_nothing_else() {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(inside("chroot", "hostname"), own);
    // Not 1: it is one of the host's processes.
    assert_ne!(inside("chroot", "echo $$"), "1\n");
    assert_eq!(inside("chroot", "ls /proc"), "", "no /proc is mounted");
}

fn unshare_gives_names_ids_and_pids_of_its_own() {
    assert_eq!(inside("unshare", "echo $$; hostname; id -u"), "1\nbox\n0\n");
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(inside("unshare", "hostname other; hostname"), "other\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), own);
}

fn pivot_root_gives_a_mount_table_of_its_own() {
    let mounts = inside("pivot_root", "cut -d' ' -f5 /proc/self/mountinfo");
    let mut lines = mounts.lines();
    assert_eq!(lines.next(), Some("/"));
    assert!(lines.all(|at| at.starts_with("/proc") || at.starts_with("/dev")), "{mounts}");
    // Whoever counted by a pipe would count the pipe's other end, or not: it may not be there yet.
    assert_eq!(inside("pivot_root", "echo /proc/[0-9]*"), "/proc/1\n");
    assert_eq!(inside("pivot_root", "head -c 3 /dev/zero | wc -c"), "3\n");
}

fn cgroups_stops_a_fork_bomb() {
    let script = "for i in $(seq 40); do sleep 1000 & done";
    let ran = stage("cgroups", &["--quiet"], script);
    assert_ne!(ran.status, 0);
    assert!(ran.stderr.contains("can't fork"), "{}", ran.stderr);
}

fn cgroups_stops_a_hog() {
    let ran = stage("cgroups", &["--quiet"], "head -c 100m /dev/zero | tail >/dev/null; echo $?");
    assert_eq!(ran.stdout, "137\n", "128+9, killed: {}", ran.stderr);
}

fn oci_is_what_spec_writes() {
    let script =
        "hostname; touch /x 2>/dev/null || echo read-only; grep NoNewPrivs /proc/self/status";
    assert_eq!(inside("oci", script), "learnc\nread-only\nNoNewPrivs:\t1\n");
}

fn all_runs_one_after_the_other() {
    let bundle = bundle();
    let ran = ran(bundle.learnc(["stage", "all", "--"]).args(["sh", "-c", "echo here"])).ok();
    assert_eq!(ran.stdout, "here\n".repeat(stage::all().len()));
    for stage in stage::all() {
        let title = title(stage);
        assert!(ran.stderr.contains(&title), "no {title:?} in {}", ran.stderr);
    }
}

/// The line above a stage's narration.
fn title(stage: &Stage) -> String {
    format!("{}/{}  {}\n", stage.number, stage::all().len(), stage.name)
}

fn a_plan_makes_nothing() {
    for name in stages().map(|stage| &*stage.name) {
        let bundle = bundle();
        let ran = ran(bundle.learnc(["stage", name, "--plan"]).args(["--", "true"])).ok();
        assert!(ran.stdout.contains("mkdirat("), "{}", ran.stdout);
        assert!(ran.stdout.contains("None of them was made."), "{}", ran.stdout);
        assert!(!bundle.state_root().exists() && !bundle.data().exists(), "{name} made something");
    }
}

/// What the stage before has told takes a line; with --explain it is all told again.
fn what_is_known_takes_a_line() {
    let told = stage("pivot_root", &[], "true").ok().stderr;
    assert!(told.contains("Swap the roots"), "{told}");
    let root =
        |told: &str| told.lines().any(|l| l.contains("often believed") && l.contains("image"));
    assert!(!root(&told), "making a folder was explained by stage 1: {told}");
    assert!(root(&stage("pivot_root", &["--explain"], "true").ok().stderr));
    // That there is a record is no news, though what is in it differs with each stage.
    let oci = stage("oci", &[], "true").ok().stderr;
    assert!(oci.contains("Write down that it is there  ") && !oci.contains("rename(2)"), "{oci}");
}

fn a_config_is_shown_as_what_it_adds() {
    let bundle = bundle();
    let added = ran(&mut bundle.learnc(["stage", "pivot_root", "--config"])).ok().stdout;
    assert!(added.contains("\n+       {\"type\": \"mount\"}\n"), "{added}");
    assert!(added.contains("\n        {\"type\": \"pid\"},\n"), "{added}");
}

/// `--config=full` is a config.json: the OCI run of it is the stage.
fn a_full_config_is_one_to_run() {
    let bundle = bundle();
    let text = ran(&mut bundle.learnc(["stage", "pivot_root", "--config=full"])).ok().stdout;
    let bundle = bundle.config(serde_json::from_str(&text).unwrap()).args(["hostname"]);
    assert_eq!(bundle.run().ok().stdout, "box\n");
}

fn a_stage_that_is_not_there_is_named_with_those_that_are() {
    let bundle = bundle();
    let ran = ran(&mut bundle.learnc(["stage", "mount"]));
    assert_eq!(ran.status, 1);
    assert!(
        ran.stderr.contains("\"mount\"") && ran.stderr.contains("pivot_root"),
        "{}",
        ran.stderr
    );
}

fn other_names_are_understood() {
    for (other, name) in [("fetch", "rootfs"), ("pivot-root", "pivot_root")] {
        let bundle = bundle();
        let told = ran(bundle.learnc(["stage", other]).args(["--", "true"])).ok().stderr;
        assert!(told.starts_with(&title(stage::find(name).unwrap())), "{told}");
    }
}

fn a_closed_stdin_is_an_end_and_no_hang() {
    for name in stages().map(|stage| &*stage.name) {
        let bundle = bundle();
        let mut command = bundle.learnc(["stage", name, "--quiet"]);
        assert_eq!(ran(command.stdin(Stdio::null())).status, 0, "{name}");
    }
}

/// On a terminal, which `script` gives it: these keys are typed. How it ends, and all that is shown.
fn typed(name: &str, switches: &str, keys: &str) -> (Option<i32>, String) {
    let bundle = bundle();
    let place = [bundle.program.display(), bundle.state_root().display()].map(|p| p.to_string());
    let line = format!("exec {} --root {} stage {name} {switches}", place[0], place[1]);
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh");
    script.env("XDG_DATA_HOME", bundle.data()).env("TERM", "dumb");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    let mut shown = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut shown).unwrap();
    (child.wait().unwrap().code(), shown)
}

fn a_shell_is_told_what_to_try() {
    for stage in stages() {
        let (status, shown) = typed(&stage.name, "", "exit\r");
        assert_eq!(status, Some(0), "{shown}");
        let invitation = shown.find("`exit` ends the stage. Try:").expect(&shown);
        assert!(invitation < shown.find("What changed").expect(&shown), "{shown}");
        for this in &stage.head.try_this {
            let word = this.run.split_whitespace().next().unwrap();
            assert!(shown[invitation..].contains(&format!("\n   {word}")), "{word}: {shown}");
        }
    }
}

/// Of a stage's steps those are asked about that are new in it, and the one behind.
fn stepping_stops_at_what_is_new() {
    let (status, shown) = typed("unshare", "--step", " q");
    assert_eq!(status, Some(1), "{shown}");
    assert!(!shown.contains("next: 1/"), "making a folder is known: {shown}");
    // Root gives the files to root in there, who is somebody else out here.
    let (first, second) = match needs::is_root() {
        true => ("7/24  Give the files", "8 of 24: Start a process"),
        false => ("7/23  Start a process", "8 of 23: Say which users exist"),
    };
    assert!(shown.contains(&format!("next: {first}")), "{shown}");
    assert!(shown.contains(&format!("Ended before step {second}")), "{shown}");
    assert!(!shown.contains("failed"), "{shown}");
    let (_, shown) = typed("unshare", "--step --explain", "q");
    assert!(shown.contains("Ended before step 1 of 2"), "{shown}");
}

fn main() {
    let limited: Vec<Need> = RUNS.iter().copied().chain([Need::Limits]).collect();
    let strangers: Vec<Need> = RUNS.iter().copied().chain([Need::Strangers]).collect();
    suite(vec![
        test("the stages without root", &strangers, || support::stranger::pass(8)),
        test("they are listed with a sentence each", &[], they_are_listed_with_a_sentence_each),
        test("the exit status is the program's", RUNS, the_exit_status_is_the_programs),
        test("the root is another one", RUNS, the_root_is_another_one),
        test("chroot changes nothing else", RUNS, chroot_changes_nothing_else),
        test("unshare: names, ids and pids", RUNS, unshare_gives_names_ids_and_pids_of_its_own),
        test("pivot_root: mounts", RUNS, pivot_root_gives_a_mount_table_of_its_own),
        test("cgroups stops a fork bomb", &limited, cgroups_stops_a_fork_bomb),
        test("cgroups stops a hog", &limited, cgroups_stops_a_hog),
        test("oci is what spec writes", RUNS, oci_is_what_spec_writes),
        test("all runs one after the other", &limited, all_runs_one_after_the_other),
        test("a plan makes nothing", RUNS, a_plan_makes_nothing),
        test("what is known takes a line", RUNS, what_is_known_takes_a_line),
        test("a shell is told what to try", RUNS, a_shell_is_told_what_to_try),
        test("stepping stops at what is new", RUNS, stepping_stops_at_what_is_new),
        test("a config is shown as what it adds", RUNS, a_config_is_shown_as_what_it_adds),
        test("a full config is one to run", RUNS, a_full_config_is_one_to_run),
        test(
            "an unknown stage is named",
            RUNS,
            a_stage_that_is_not_there_is_named_with_those_that_are,
        ),
        test("other names are understood", RUNS, other_names_are_understood),
        test("a closed stdin is an end", RUNS, a_closed_stdin_is_an_end_and_no_hang),
    ]);
}
