//! A stage without a process: its root filesystem is made, compared, visited, and taken away.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::bundle::{Ran, ran};
use support::compared::events;
use support::derived::output;
use support::rules::rules;
use support::said::{compare, read as said_in};
use support::strace::{first, read_all, under_strace};
use support::*;

/// `learnc stage rootfs SWITCHES -- WORDS`, with its events in the bundle's file.
fn visit(bundle: &Bundle, switches: &[&str], words: &[&str]) -> Command {
    let mut command = bundle.learnc(["stage", "rootfs", "--id", &bundle.id, "--events"]);
    command.arg(bundle.dir.join("events.jsonl")).args(switches);
    if !words.is_empty() {
        command.arg("--").args(words);
    }
    command
}

fn visited(bundle: &Bundle, script: &str) -> Ran {
    ran(&mut visit(bundle, &["--quiet"], &["sh", "-c", script]))
}

/// The folder that the run makes for itself, and the root filesystem in it.
fn own(bundle: &Bundle) -> PathBuf {
    bundle.dir.canonicalize().unwrap().join("data/learnc").join(&bundle.id)
}

/// Nothing of the tree is left, and that is what was told.
fn is_as_before(bundle: &Bundle) {
    assert!(!own(bundle).exists() && !bundle.state_root().join(&bundle.id).exists());
    let told = events(bundle, "host_as_before");
    let checks = told[0]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check[1] == true), "{checks:?}");
    assert_eq!(checks.len(), 4);
}

fn where_the_visitor_stands() {
    let bundle = bundle();
    let ran = visited(&bundle, "pwd; echo \"$ROOT\"; readlink /proc/self/root; exit 9");
    let root = own(&bundle).join("rootfs").display().to_string();
    assert_eq!(ran.stdout, format!("{root}\n{root}\n/\n"), "{}", ran.stderr);
    assert_eq!(ran.status, 9, "its status is the run's");
    is_as_before(&bundle);
}

fn without_a_visitor() {
    let bundle = bundle();
    ran(&mut visit(&bundle, &["--quiet"], &[])).ok();
    assert_eq!(events(&bundle, "changed").len(), 1);
    is_as_before(&bundle);
}

/// Device and inode as two numbers, from stat's one.
fn directory(root: &Path) -> String {
    let meta = root.metadata().unwrap();
    let (device, inode) = (meta.dev(), meta.ino());
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    format!("device {major}:{minor}, inode {inode}")
}

/// What the visitor itself sees there, with the host's tools.
const LOOKS_ROUND: &str = "ls -A | wc -l; stat -c %d:%i .; readlink bin/sh; stat -L -c %s bin/busybox; \
                           find . -type f -printf '%i %s\\n' | sort -u | awk '{n++; s+=$2} END {print s, n}'";

fn the_table_is_about_the_tree() {
    let bundle = bundle();
    let ran = visited(&bundle, LOOKS_ROUND).ok();
    let seen: Vec<&str> = ran.stdout.lines().map(str::trim).collect();
    let changed = events(&bundle, "changed");
    let cell = |property: &str, side: &str| {
        let rows = changed[0]["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["property"] == property);
        row.unwrap_or_else(|| panic!("{property}"))[side].as_str().unwrap().to_owned()
    };
    assert_eq!(cell("names in it", "container"), seen[0]);
    assert_eq!(cell("names in it", "host"), output(&["sh", "-c", "ls -A / | wc -l"]));
    assert_eq!(cell("directory", "host"), directory(Path::new("/")));
    let inode = seen[1].split_once(':').unwrap().1;
    assert!(cell("directory", "container").ends_with(&format!(", inode {inode}")));
    assert_eq!(cell("directory", "verdict"), "changed");
    assert_eq!(seen[2], "busybox");
    assert_eq!(cell("/bin/sh", "container"), format!("/bin/busybox, {} bytes, static", seen[3]));
    let shell = output(&["readlink", "-f", "/bin/sh"]);
    let bytes = output(&["stat", "-c", "%s", &shell]);
    let host = cell("/bin/sh", "host");
    assert!(host.starts_with(&format!("{shell}, {bytes} bytes, ")), "{host}");
    let (bytes, files) = seen[4].split_once(' ').unwrap();
    assert_eq!(cell("size", "container"), format!("{bytes} bytes in {files} files"));
    assert_eq!(cell("kernel images", "container"), "none");
    let release = output(&["uname", "-r"]);
    assert_eq!(
        [cell("kernel release", "host"), cell("kernel release", "container")],
        [&*release; 2]
    );
    assert_eq!(cell("kernel release", "verdict"), "shared");
}

/// As in a program that is started in the plainest way. Signals above 31 are the C library's affair.
fn signals_are_as_usual() {
    let bundle = bundle();
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let masks = |text: &str| -> Vec<u64> {
        let mask = |line: &str| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap();
        text.lines().map(|line| mask(line) & 0x7fff_ffff).collect()
    };
    let visitor = masks(&visited(&bundle, script).ok().stdout);
    assert_eq!(visitor, masks(&output(&["sh", "-c", script])));
    assert_eq!(visitor.len(), 2);
}

fn a_signal_reaches_the_visitor() {
    let bundle = bundle();
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut command = visit(&bundle, &["--quiet"], &["sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    is_as_before(&bundle);
}

fn telling_comes_before_the_visitor() {
    let bundle = bundle();
    let text = ran(&mut visit(&bundle, &[], &["sh", "-c", "echo THE VISITOR >&2"])).stderr;
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(at("Stand in the folder") < at("chdir("));
    assert!(at("execve(") < at("THE VISITOR") && at("THE VISITOR") < at("What changed"));
    assert!(at("What changed") < at("Host as before"));
}

fn a_visitor_that_is_not_there() {
    let bundle = bundle();
    let ran = ran(&mut visit(&bundle, &["--quiet"], &["no-such-visitor"]));
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("no-such-visitor: no such program"), "{}", ran.stderr);
    is_as_before(&bundle);
}

fn a_visit_is_told_truly() {
    let bundle = bundle();
    let prefix = bundle.dir.join("trace");
    let visit = visit(&bundle, &["--quiet"], &["sh", "-c", "exit 3"]);
    let ran = ran(&mut under_strace(&visit, &prefix));
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let (seen, said) = (read_all(&prefix), said_in(&bundle.dir.join("events.jsonl")));
    let visitor: Vec<&str> =
        said.iter().filter(|said| said.announced).map(|said| &*said.name).collect();
    assert_eq!(visitor, ["chdir", "execve"]);
    let wrong = compare(&said, &seen, first(&seen), &rules());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    is_as_before(&bundle);
}

fn a_verified_visit() {
    let bundle = bundle();
    let words = ["sh", "-c", "grep TracerPid /proc/self/status; exit 4"];
    let ran = ran(&mut visit(&bundle, &["--quiet", "--verify"], &words));
    assert_eq!(ran.status, 4, "{}", ran.stderr);
    assert_eq!(ran.stdout.trim(), "TracerPid:\t0", "the visitor is not watched");
    let calls = events(&bundle, "syscall");
    let visit = calls.iter().filter(|call| call["step"] == "visit").collect::<Vec<_>>();
    assert!(visit.len() == 3 && visit.iter().all(|call| call["seen"] == "seen"), "{visit:?}");
    is_as_before(&bundle);
}

fn main() {
    const TREES: &[Need] = &[Need::Busybox];
    let traced = &[Need::Busybox, Need::Strace, Need::Ptrace];
    let verified = &[Need::Busybox, Need::Ptrace, Need::SyscallInfo];
    let strangers: Vec<Need> = TREES.iter().copied().chain([Need::Strangers]).collect();
    suite(vec![
        test("all of this without root", &strangers, || support::stranger::pass(8)),
        test("the visitor stands in it, with the host's root", TREES, where_the_visitor_stands),
        test("without a visitor it is made and taken away", TREES, without_a_visitor),
        test("the table is about the tree", TREES, the_table_is_about_the_tree),
        test("signals are as usual in there", TREES, signals_are_as_usual),
        test("a signal reaches the visitor", TREES, a_signal_reaches_the_visitor),
        test("all is told before the visitor speaks", TREES, telling_comes_before_the_visitor),
        test("a visitor that is not there is an error", TREES, a_visitor_that_is_not_there),
        test("a visit is verified", verified, a_verified_visit),
        test("a visit is told truly", traced, a_visit_is_told_truly),
    ]);
}
