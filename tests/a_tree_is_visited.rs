//! A plan without a process: its root filesystem is made, compared, visited, and taken away.
//!
//! What a stage of the course does with such a plan, this test's own program does when it is told to by
//! its environment: it becomes the runtime, with one thread, before any test has begun.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use learnc::event::Observer;
use learnc::perform::parent::Watch;
use learnc::perform::whole::{Whole, run};
use learnc::render::All;
use learnc::render::json::{Json, Target};
use learnc::render::terminal::look::When;
use learnc::render::terminal::{Manner, Terminal};
use learnc::rootfs::recipe::{CopyOf, Recipe, Tree};
use learnc::trace::{self, Witness};
use serde_json::Value;
use support::bundle::{Ran, ran, read};
use support::derived::output;
use support::rules::rules;
use support::said::{compare, read as said_in};
use support::strace::{first, read_all, under_strace};
use support::*;

/// Where the runtime keeps everything; with it this program is one.
const DIR: &str = "LEARNC_TREE";

/// With it the runtime leaves the tree.
const KEEPS: &str = "LEARNC_TREE_KEEPS";

/// With it all is explained on standard error: a debug build takes its time to read the words.
const EXPLAINS: &str = "LEARNC_TREE_EXPLAINS";

/// With it the kernel's own record is held beside what is told.
const VERIFIES: &str = "LEARNC_TREE_VERIFIES";

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// A small tree, of which all is told call by call.
fn small() -> Recipe {
    let busybox = needs::busybox().unwrap();
    let size = busybox.metadata().unwrap().len() as usize;
    Recipe::Tree(Tree {
        directories: ["bin", "etc", "proc"].map(PathBuf::from).into(),
        programs: vec![CopyOf { from: busybox.into(), to: "bin/busybox".into(), size }],
        names: vec![("bin/sh".into(), "busybox".into())],
        texts: vec![("etc/hostname".into(), "box\n")],
        ..Tree::default()
    })
}

/// The runtime: makes a tree of busybox below the folder, and visits it with the words it was given.
fn be_the_runtime(dir: &Path) -> learnc::error::Result<i32> {
    let config = serde_json::json!({"ociVersion": "1.2.1", "root": {"path": "rootfs"}});
    let bundle = learnc::bundle::from_value(config, dir.join("tree"))?;
    let options = learnc::plan::Options {
        id: "tree".into(),
        bundle: dir.join("tree"),
        state_root: dir.join("states"),
        recipe: Some(small()),
        ..learnc::plan::Options::default()
    };
    let plan = learnc::plan::plan(&bundle, &options, &learnc::facts::read())?;
    let events = Json::open(&Target::File(dir.join("events.jsonl")))?;
    let terminal = Terminal::standard(Manner::Explained, When::Never, false);
    let mut observers = All(vec![&events as &dyn Observer]);
    observers.0.extend(is_set(EXPLAINS).then_some(&terminal as &dyn Observer));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let visit = (!words.is_empty()).then_some(words);
    let how = Whole { keep: is_set(KEEPS), compare: true, visit, ..Whole::default() };
    let state = options.state_root.join(&options.id);
    let whole = |observer: &dyn Observer| {
        run(&plan, &state, &how, Watch { observer: Some(observer), stepper: None })
    };
    if !is_set(VERIFIES) {
        return whole(&observers);
    }
    match trace::witnessed(&observers, |wire| whole(wire))? {
        Witness::Runtime(status) => Ok(status),
        Witness::Tracer { status, tally } => {
            assert!(tally.is_true(), "{}", trace::sentence(&tally));
            Ok(status)
        }
    }
}

/// A folder of one's own, gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("learnc-visit-{}-{n}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(dir.join("states")).unwrap();
        Place(dir.canonicalize().unwrap())
    }

    fn visit(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(words).env(DIR, &self.0).stdin(Stdio::null()).current_dir("/");
        command
    }

    fn root(&self) -> PathBuf {
        self.0.join("tree/rootfs")
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let text = read(self.0.join("events.jsonl"));
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["type"] == kind).collect()
    }

    /// Nothing of the tree is left, and that is what was told.
    fn is_as_before(&self) {
        assert!(!self.0.join("tree").exists() && !self.0.join("states/tree").exists());
        let told = self.events("host_as_before");
        let checks = told[0]["checks"].as_array().unwrap();
        assert!(checks.iter().all(|check| check[1] == true), "{checks:?}");
        assert_eq!(checks.len(), 4);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn visited(place: &Place, script: &str) -> Ran {
    ran(&mut place.visit(&["sh", "-c", script]))
}

fn where_the_visitor_stands() {
    let place = Place::new();
    let ran = visited(&place, "pwd; echo \"$ROOT\"; readlink /proc/self/root; exit 9");
    let root = place.root().display().to_string();
    assert_eq!(ran.stdout, format!("{root}\n{root}\n/\n"), "{}", ran.stderr);
    assert_eq!(ran.status, 9, "its status is the run's");
    place.is_as_before();
}

fn without_a_visitor() {
    let place = Place::new();
    ran(&mut place.visit(&[])).ok();
    assert_eq!(place.events("changed").len(), 1);
    place.is_as_before();
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
    let place = Place::new();
    let ran = visited(&place, LOOKS_ROUND).ok();
    let seen: Vec<&str> = ran.stdout.lines().map(str::trim).collect();
    let changed = place.events("changed");
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
    let place = Place::new();
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let masks = |text: &str| -> Vec<u64> {
        let mask = |line: &str| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap();
        text.lines().map(|line| mask(line) & 0x7fff_ffff).collect()
    };
    let visitor = masks(&visited(&place, script).ok().stdout);
    assert_eq!(visitor, masks(&output(&["sh", "-c", script])));
    assert_eq!(visitor.len(), 2);
}

fn a_signal_reaches_the_visitor() {
    let place = Place::new();
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut command = place.visit(&["sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    place.is_as_before();
}

fn telling_comes_before_the_visitor() {
    let place = Place::new();
    let mut visit = place.visit(&["sh", "-c", "echo THE VISITOR >&2"]);
    let text = ran(visit.env(EXPLAINS, "1")).stderr;
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(at("Stand in the folder") < at("chdir("));
    assert!(at("execve(") < at("THE VISITOR") && at("THE VISITOR") < at("What changed"));
    assert!(at("What changed") < at("Host as before"));
}

fn a_visitor_that_is_not_there() {
    let place = Place::new();
    let ran = ran(&mut place.visit(&["no-such-visitor"]));
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("no-such-visitor: no such program"), "{}", ran.stderr);
    place.is_as_before();
}

/// Kept, since taking a whole tree away is bulk work, which is told by its number.
fn a_visit_is_told_truly() {
    let place = Place::new();
    let prefix = place.0.join("trace");
    let mut visit = place.visit(&["sh", "-c", "exit 3"]);
    let ran = ran(&mut under_strace(visit.env(KEEPS, "1"), &prefix));
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let (seen, said) = (read_all(&prefix), said_in(&place.0.join("events.jsonl")));
    let visitor: Vec<&str> =
        said.iter().filter(|said| said.announced).map(|said| &*said.name).collect();
    assert_eq!(visitor, ["chdir", "execve"]);
    let wrong = compare(&said, &seen, first(&seen), &rules());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(place.events("host_as_before").is_empty(), "what is kept is not as before");
}

fn a_verified_visit() {
    let place = Place::new();
    let mut visit = place.visit(&["sh", "-c", "grep TracerPid /proc/self/status; exit 4"]);
    let ran = ran(visit.env(VERIFIES, "1"));
    assert_eq!(ran.status, 4, "{}", ran.stderr);
    assert_eq!(ran.stdout.trim(), "TracerPid:\t0", "the visitor is not watched");
    let calls = place.events("syscall");
    let visit = calls.iter().filter(|call| call["step"] == "visit").collect::<Vec<_>>();
    assert!(visit.len() == 3 && visit.iter().all(|call| call["seen"] == "seen"), "{visit:?}");
    place.is_as_before();
}

fn main() {
    if let Some(dir) = std::env::var_os(DIR) {
        std::process::exit(be_the_runtime(Path::new(&dir)).unwrap_or_else(|error| {
            eprintln!("learnc: {error}");
            1
        }));
    }
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
