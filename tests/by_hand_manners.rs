//! The manners of a script of `--by-hand`: it does or names every step, says what it cannot, gives
//! up in time, cleans up after itself, and lets a terminal be one.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

mod support;
use support::bundle::{ran, read};
use support::host::{Host, in_a_mount_table_of_its_own};
use support::needs::BY_HAND;
use support::portrait::running;
use support::script::{ByHand, WAITS, chroot_only, waiting};
use support::*;

fn a_capability_that_only_the_tool_needs_is_named() {
    let bundle = chroot_only().set("/process/capabilities/bounding", json!([]));
    let ran = ran(&mut ByHand::of(bundle.sh("exit 42")).command());
    assert_eq!(ran.status, 42, "{ran:?}");
    assert!(ran.stderr.contains("not by hand: give up CAP_SYS_CHROOT"), "{}", ran.stderr);
}

fn every_step_is_there_once_and_is_done_or_named() {
    let bundle = waiting(bundle());
    let events = bundle.dir.join("plan.jsonl");
    let mut plan = bundle.learnc(["run", "--plan", "--events"]);
    ran(plan.arg(&events).arg(&bundle.id)).ok();
    let second = read(&events).lines().nth(1).unwrap().to_owned();
    let plan: Value = serde_json::from_str(&second).unwrap();
    let count = plan["steps"].as_array().unwrap().len();
    let by_hand = ByHand::of(bundle);
    for number in 1..=count {
        let heading = format!("\n# {number}/{count} ");
        assert_eq!(by_hand.text.matches(&heading).count(), 1, "step {number}\n{}", by_hand.text);
        let paragraph = by_hand.text.split(&heading).nth(1).unwrap().split("\n\n").next().unwrap();
        let lines = paragraph.lines().skip(1).filter(|line| !line.starts_with('#'));
        assert!(lines.count() > 0, "step {number} does nothing\n{paragraph}");
    }
}

fn a_missing_tool_is_named_before_anything_is_made() {
    let by_hand = ByHand::of(waiting(bundle()));
    let few = by_hand.bundle.dir.join("few");
    std::fs::create_dir(&few).unwrap();
    let sh = std::fs::canonicalize("/bin/sh").unwrap();
    std::os::unix::fs::symlink(sh, few.join("sh")).unwrap();
    // The script looks in the folders of the administrator too.
    let text = by_hand.text.replace("PATH=$PATH:/usr/sbin:/sbin", "");
    std::fs::write(&by_hand.script, text).unwrap();
    let ran = ran(by_hand.command().env("PATH", &few));
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("is missing; the package"), "{}", ran.stderr);
    by_hand.assert_nothing_is_left();
}

/// The lines of a script that say which tools it takes.
fn needed(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("need ")).collect()
}

fn the_words_of_the_program_are_not_needed() {
    let tools = ["curl", "tar", "domainname", "sha256sum", "mknod", "install", "setpriv"];
    let environment = json!(["PATH=/bin", "X=curl", "tar"]);
    for bundle in [bundle, chroot_only] {
        let plain = ByHand::of(bundle().args(["true"]));
        let wordy = ByHand::of(bundle().args(tools).set("/process/env", environment.clone()));
        assert_eq!(needed(&wordy.text), needed(&plain.text));
        assert!(needed(&plain.text).contains(&"need setpriv util-linux"));
    }
    let bundle = bundle();
    let visited = |words: &[&str]| {
        let mut print = bundle.learnc(["stage", "rootfs", "--by-hand", "--"]);
        ran(print.args(words)).ok().stdout
    };
    assert_eq!(needed(&visited(&tools)), needed(&visited(&["true"])));
}

fn a_step_that_fails_leaves_nothing() {
    let mounts = json!([{"destination": "/tmp", "type": "nosuchtype"}]);
    let by_hand = ByHand::of(waiting(bundle().set("/mounts", mounts)));
    let before = Host::of(&by_hand.bundle);
    let ran = ran(&mut by_hand.command());
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("has given up"), "{}", ran.stderr);
    by_hand.assert_nothing_is_left();
    assert_eq!(before.differs_from(&Host::of(&by_hand.bundle)), None);
}

fn a_script_that_is_ended_ends_the_container() {
    let by_hand = ByHand::of(waiting(bundle()));
    let id = by_hand.bundle.id.clone();
    let program = ["sh", "-c", WAITS, &id];
    let mut script = by_hand.command().stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the program is up", || {
        running(&program).is_some() || script.try_wait().unwrap().is_some()
    });
    let pid = nix::unistd::Pid::from_raw(script.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(script.wait().unwrap().code(), Some(143));
    assert_eq!(running(&program), None);
    by_hand.assert_nothing_is_left();
}

fn on_a_terminal_ctrl_c_is_the_programs() {
    let program = "trap 'exit 42' INT; test -t 0 || exit 1; echo up; while :; do sleep 1; done";
    let by_hand = ByHand::of(bundle().sh(program));
    let mut script = Command::new("script");
    let line = format!("exec sh {}", by_hand.script.display());
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("TMPDIR", by_hand.bundle.dir.join("tmp")).env("SHELL", "/bin/sh");
    let said = by_hand.bundle.dir.join("said");
    let output = std::fs::File::create(&said).unwrap();
    let mut script = script.stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    wait_until("the program is up", || {
        read(&said).contains("up\r\n") || script.try_wait().unwrap().is_some()
    });
    let mut keys = script.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let status = script.wait().unwrap();
    assert_eq!(status.code(), Some(42), "{}", read(&said));
    drop(keys);
    by_hand.assert_nothing_is_left();
}

fn a_descriptor_that_a_shell_cannot_close_is_named() {
    let by_hand = ByHand::of(bundle().sh("exit 42"));
    let mut bash = Command::new("bash");
    bash.args(["-c", "exec 20</dev/null; exec sh \"$0\""]).arg(&by_hand.script);
    let ran = ran(bash.env("TMPDIR", by_hand.bundle.dir.join("tmp")).stdin(Stdio::null()));
    assert_eq!(ran.status, 42, "{ran:?}");
    assert!(ran.stderr.contains("Let no descriptor leak in: 20\n"), "{}", ran.stderr);
}

fn a_program_that_is_killed_is_told_by_its_status() {
    let by_hand = ByHand::of(waiting(bundle()));
    let id = by_hand.bundle.id.clone();
    let program = ["sh", "-c", WAITS, &id];
    let said = by_hand.bundle.dir.join("said");
    let out = std::fs::File::create(&said).unwrap();
    let mut command = by_hand.command();
    let command = command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::null());
    let mut script = command.spawn().unwrap();
    // Until then it has children that go by the same words.
    wait_until("the program is up", || {
        read(&said).ends_with("up\n") || script.try_wait().unwrap().is_some()
    });
    let pid = nix::unistd::Pid::from_raw(running(&program).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(script.wait().unwrap().code(), Some(137));
    by_hand.assert_nothing_is_left();
}

fn it_is_printed_instead_of_a_run() {
    let bundle = waiting(bundle());
    for switch in ["--plan", "--step", "--verify", "--detach", "--quiet"] {
        let ran = ran(bundle.learnc(["run", "--by-hand", switch]).arg(&bundle.id));
        assert_eq!(ran.status, 2, "{switch}: {ran:?}");
    }
    let before = Host::of(&bundle);
    ran(bundle.learnc(["run", "--by-hand"]).arg(&bundle.id)).ok();
    assert_eq!(before.differs_from(&Host::of(&bundle)), None);
}

/// The same, as a user without rights.
fn a_stranger_passes_too() {
    support::stranger::pass(8);
}

const STRANGER: &[Need] = &[
    Need::Root,
    Need::Containers,
    Need::Busybox,
    Need::HandTools,
    Need::Strangers,
    Need::Patience,
];
const BASH: &[Need] = &[Need::Containers, Need::Busybox, Need::HandTools, Need::Bash];

fn main() {
    in_a_mount_table_of_its_own();
    suite(vec![
        test(
            "every step is there once, and is done or named",
            BY_HAND,
            every_step_is_there_once_and_is_done_or_named,
        ),
        test(
            "a missing tool is named before anything is made",
            BY_HAND,
            a_missing_tool_is_named_before_anything_is_made,
        ),
        test(
            "a capability that only the tool needs is named",
            BY_HAND,
            a_capability_that_only_the_tool_needs_is_named,
        ),
        test(
            "a descriptor that a shell cannot close is named",
            BASH,
            a_descriptor_that_a_shell_cannot_close_is_named,
        ),
        test(
            "the words of the program are not needed",
            BY_HAND,
            the_words_of_the_program_are_not_needed,
        ),
        test("a step that fails leaves nothing", BY_HAND, a_step_that_fails_leaves_nothing),
        test(
            "a script that is ended ends the container",
            BY_HAND,
            a_script_that_is_ended_ends_the_container,
        ),
        test(
            "a program that is killed is told by its status",
            BY_HAND,
            a_program_that_is_killed_is_told_by_its_status,
        ),
        test(
            "on a terminal Ctrl-C is the program's",
            BY_HAND,
            on_a_terminal_ctrl_c_is_the_programs,
        ),
        test("it is printed instead of a run", BY_HAND, it_is_printed_instead_of_a_run),
        test("a stranger passes too", STRANGER, a_stranger_passes_too),
    ]);
}
