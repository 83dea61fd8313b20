//! `--verify` says what the kernel's own record says: a good run is all seen, a lie is found.
//!
//! The witness inside learnc is checked with the build that lies (`src/sys/lie.rs`): whatever report is
//! dropped, swapped or altered, it must not say that all is well. That the witness itself does not
//! merely repeat the narration is what `narration_is_true` shows with strace.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use support::bundle::{liar, ran};
use support::*;

const WATCHED: &[Need] = &[Need::Containers, Need::Busybox, Need::Ptrace, Need::SyscallInfo];
const LIAR: &[Need] =
    &[Need::Containers, Need::Busybox, Need::Ptrace, Need::SyscallInfo, Need::Cargo];

/// The status of a run that went well and was not what it was told to be.
const UNTRUE: i32 = 125;

/// A run with --verify: how it ended, and its calls with their marks.
fn verified(bundle: &Bundle, lie: Option<&str>) -> (Ran, Vec<serde_json::Value>) {
    let events = bundle.dir.join("events.jsonl");
    let mut command = bundle.learnc(["run", "--verify", "--quiet", "--events"]);
    command.arg(&events).arg(&bundle.id);
    lie.map(|lie| command.env("LEARNC_LIE", lie));
    let ran = ran(&mut command);
    let text = std::fs::read_to_string(&events).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let calls = events.filter(|event: &serde_json::Value| event["type"] == "syscall").collect();
    (ran, calls)
}

fn is_all_seen(bundle: &Bundle, status: i32, at_least: usize) {
    let (ran, calls) = verified(bundle, None);
    let odd: Vec<_> = calls.iter().filter(|call| call["seen"] != "seen").collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert_eq!(ran.status, status, "{}", ran.stderr);
    assert!(calls.len() >= at_least, "only {} calls", calls.len());
}

fn a_good_run_is_all_seen() {
    is_all_seen(&bundle().sh("exit 42"), 42, 100);
}

fn a_run_that_makes_everything_is_all_seen() {
    let limit = serde_json::json!({"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99});
    let bundle = bundle()
        .set("/domainname", serde_json::json!("fern.example"))
        .set("/process/rlimits/0", limit)
        .set("/process/oomScoreAdj", serde_json::json!(500))
        .set("/process/cwd", serde_json::json!("/new/place"))
        .set("/root/readonly", serde_json::json!(false))
        .set("/linux/sysctl", serde_json::json!({"kernel.msgmax": "9000"}));
    is_all_seen(&bundle, 0, 100);
}

fn each_stage_is_all_seen() {
    for name in stages().map(|stage| &stage.name) {
        let bundle = bundle();
        let mut command = bundle.learnc(["stage", name, "--verify"]);
        let ran = ran(command.args(["--", "sh", "-c", "exit 42"]));
        assert_eq!(ran.status, 42, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(", none besides."), "{name}: {}", ran.stderr);
    }
}

/// Copies by the hundred are told by their number, and counted.
fn a_run_of_its_own_making_is_all_seen() {
    let bundle = bundle();
    let mut command = bundle.learnc(["run", "--verify", "--from", "host", "--", "true"]);
    let ran = ran(command.env("XDG_DATA_HOME", &bundle.dir)).ok();
    let words: Vec<&str> = ran.stderr.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("calls seen by the kernel's own record, none besides."), "{words}");
}

fn a_block_device_is_named_as_one() {
    let device = serde_json::json!([
        {"path": "/dev/disk", "type": "b", "major": 7, "minor": 0, "fileMode": 384, "uid": 0, "gid": 0}
    ]);
    is_all_seen(&bundle().set("/linux/devices", device), 0, 100);
}

fn a_failing_run_is_all_seen() {
    is_all_seen(&bundle().args(["/bin/nowhere"]), 1, 50);
    is_all_seen(&bundle().set("/mounts/0/type", serde_json::json!("nosuchfs")), 1, 10);
}

/// What the program does is its own affair: nobody watches it.
fn the_program_is_not_watched() {
    let bundle = bundle().sh("grep TracerPid /proc/self/status");
    let (ran, _) = verified(&bundle, None);
    assert_eq!(ran.stdout.trim(), "TracerPid:\t0", "{}", ran.stderr);
}

fn a_signal_to_the_witness_reaches_the_program() {
    let bundle = bundle().sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    let mut command = bundle.learnc(["run", "--verify", "--quiet"]);
    command.arg(&bundle.id).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

fn it_says_who_traces_already() {
    let bundle = bundle();
    let mut command = std::process::Command::new("strace");
    let plain = bundle.learnc(["run", "--verify"]);
    command.args(["-f", "-o", "/dev/null"]).arg(plain.get_program()).args(plain.get_args());
    let ran = ran(command.arg(&bundle.id).current_dir(&bundle.dir));
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("(strace) traces it already"), "{}", ran.stderr);
}

/// Every lie at every tenth report, of each process.
fn a_lie_is_found() {
    let (_, truth) = verified(&bundle(), None);
    let before = truth.iter().position(|call| call["name"] == "clone3").unwrap();
    let inside = truth.iter().filter(|call| call["lane"] == "container").count();
    let mut tried = 0;
    for n in (1..=before + inside).step_by(10) {
        for kind in ["drop", "swap", "alter"] {
            let mut bundle = bundle();
            bundle.program = liar();
            let lie = format!("{kind}:{n}");
            let (ran, calls) = verified(&bundle, Some(&lie));
            assert_eq!(ran.status, UNTRUE, "LEARNC_LIE={lie}: {}", ran.stderr);
            assert!(ran.stderr.contains("not verified"), "{}", ran.stderr);
            assert!(calls.iter().any(|call| call["seen"] != "seen"), "LEARNC_LIE={lie}");
            tried += 1;
        }
    }
    assert!(tried >= 30, "only {tried} lies");
}

fn main() {
    let strace = &[Need::Containers, Need::Busybox, Need::Ptrace, Need::Strace];
    suite(vec![
        test("a good run is all seen", WATCHED, a_good_run_is_all_seen),
        test(
            "a run that makes everything is all seen",
            WATCHED,
            a_run_that_makes_everything_is_all_seen,
        ),
        test("a failing run is all seen", WATCHED, a_failing_run_is_all_seen),
        test(
            "a block device is named as one",
            &[Need::Root, Need::Busybox, Need::Ptrace, Need::SyscallInfo],
            a_block_device_is_named_as_one,
        ),
        test("a run of its own making is all seen", WATCHED, a_run_of_its_own_making_is_all_seen),
        test("each stage is all seen", WATCHED, each_stage_is_all_seen),
        test("the program is not watched", WATCHED, the_program_is_not_watched),
        test(
            "a signal to the witness reaches the program",
            WATCHED,
            a_signal_to_the_witness_reaches_the_program,
        ),
        test("it says who traces already", strace, it_says_who_traces_already),
        test("a lie is found", LIAR, a_lie_is_found),
    ]);
}
