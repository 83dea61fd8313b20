//! What cannot be told is announced first, then done in silence; and what fails in it is still said.
//!
//! Where the silence begins is the plan's decision: behind a filter nothing can be said, and without
//! noNewPrivileges a filter goes in long before `created`. So a plan is made here whose silence begins
//! there. This test's own program performs it when it is told to by its environment: it becomes the
//! runtime, with one thread, before any test has begun.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::{Child, Command, Stdio};

use learnc::event::Observer;
use learnc::perform::parent::{self, Watch};
use learnc::perform::whole::{Whole, run};
use learnc::render::json::{Json, Target};
use serde_json::{Value, json};
use support::bundle::{Ran, ran, read};
use support::strace::Seen;
use support::witness::traced;
use support::*;

/// The key of the step from which on nothing can be said; with it this program is a runtime.
const SILENT_FROM: &str = "LEARNC_SILENT_FROM";

/// With it the runtime tells what it does, in events.jsonl.
const TELLS: &str = "LEARNC_SILENT_TELLS";

/// With it the runtime leaves `start` to another.
const CREATES: &str = "LEARNC_SILENT_CREATES";

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// The runtime: the bundle in this directory, and its state in there too.
fn be_the_runtime(key: &str) -> learnc::error::Result<i32> {
    let here = std::env::current_dir()?;
    let options = learnc::plan::Options {
        id: std::env::args().nth(1).unwrap_or_default(),
        bundle: here.clone(),
        state_root: here.join("state"),
        ..learnc::plan::Options::default()
    };
    let bundle = learnc::bundle::load(&here)?;
    let mut plan = learnc::plan::plan(&bundle, &options, &learnc::facts::read())?;
    plan.silent = plan.steps.iter().position(|step| step.key == key).expect("a step of the plan");
    assert!(plan.silent < plan.start);
    let events = Json::open(&Target::File(here.join("events.jsonl")))?;
    let observer = is_set(TELLS).then_some(&events as &dyn Observer);
    let watch = Watch { observer, stepper: None };
    let state = options.state_root.join(&options.id);
    match is_set(CREATES) {
        true => parent::create(&plan, &state, true, watch).map(|_| 0),
        false => run(&plan, &state, &Whole::default(), watch),
    }
}

fn runtime(bundle: &Bundle, key: &str, tells: bool) -> Command {
    bundle.write();
    std::fs::create_dir_all(bundle.state_root()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(&bundle.id).env(SILENT_FROM, key).current_dir(&bundle.dir).stdin(Stdio::null());
    if tells {
        command.env(TELLS, "1");
    }
    command
}

/// A process that does not outlive its test.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its end, which must come.
fn ended(mut command: Command, bundle: &Bundle) -> Ran {
    let [out, err] = ["out", "err"].map(|name| bundle.dir.join(name));
    command.stdout(std::fs::File::create(&out).unwrap());
    command.stderr(std::fs::File::create(&err).unwrap());
    let mut child = Mortal(command.spawn().unwrap());
    wait_until("the runtime has ended", || child.0.try_wait().unwrap().is_some());
    let status = child.0.wait().unwrap().code().unwrap_or(-1);
    Ran { status, stdout: read(out), stderr: read(err) }
}

fn events(bundle: &Bundle, file: &str, kind: &str) -> Vec<Value> {
    let text = read(bundle.dir.join(file));
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["type"] == kind).collect()
}

/// Names of the calls that were announced (true), or told with their answer.
fn names(calls: &[Value], announced: bool) -> Vec<&str> {
    let calls =
        calls.iter().filter(|call| call["announced"].as_bool().unwrap_or(false) == announced);
    calls.map(|call| call["name"].as_str().unwrap()).collect()
}

fn says_hello() -> Bundle {
    bundle().args(["sh", "-c", "echo hello; exit 7"])
}

fn a_told_run() {
    let bundle = says_hello();
    let ran = ended(runtime(&bundle, "cwd", true), &bundle);
    assert_eq!((ran.status, &*ran.stdout), (7, "hello\n"), "{}", ran.stderr);
    let calls = events(&bundle, "events.jsonl", "syscall");
    assert_eq!(names(&calls, true), ["chdir", "close_range", "execve"]);
    let told = names(&calls, false);
    assert!(told.contains(&"clone3") && !told.contains(&"execve"), "{told:?}");
    let steps = events(&bundle, "events.jsonl", "step");
    let indices: Vec<u64> = steps.iter().map(|step| step["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, (0..indices.len() as u64).collect::<Vec<_>>(), "each step once, in order");
}

fn a_quiet_run() {
    let bundle = says_hello();
    let ran = ended(runtime(&bundle, "cwd", false), &bundle);
    assert_eq!((ran.status, &*ran.stdout), (7, "hello\n"), "{}", ran.stderr);
}

fn a_start_by_another() {
    let bundle = bundle().args(["sh", "-c", "echo hello; exec sleep 1000"]);
    let mut create = runtime(&bundle, "cwd", true);
    create.env(CREATES, "1");
    let created = ended(create, &bundle);
    assert_eq!(created.status, 0, "{}", created.stderr);
    let events_of_start = bundle.dir.join("start.jsonl").display().to_string();
    bundle.verb("start", &["--events", &events_of_start]).ok();
    wait_until("it says hello", || read(bundle.dir.join("out")) == "hello\n");
    let calls = events(&bundle, "start.jsonl", "syscall");
    assert_eq!(names(&calls, true), ["close_range", "execve"]);
    assert!(names(&calls, false).is_empty());
}

/// A directory that is a file: chdir answers in the silence.
fn a_failure_before_created(tells: bool) {
    let bundle = says_hello().set("/process/cwd", json!("/bin/busybox"));
    let ran = ended(runtime(&bundle, "cwd", tells), &bundle);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains(r#"chdir("/bin/busybox") = ENOTDIR"#), "{}", ran.stderr);
    if tells {
        let failed = events(&bundle, "events.jsonl", "failed");
        let steps = events(&bundle, "events.jsonl", "plan")[0]["steps"].clone();
        let index = failed[0]["index"].as_u64().unwrap() as usize;
        assert_eq!(steps[index]["key"], "cwd", "{failed:?}");
        assert_eq!(failed[0]["error"]["kind"]["refused"]["name"], "chdir");
    }
    assert_eq!(bundle.status(), "", "nothing is left of it");
}

/// Memory of the process itself, where malloc has none left.
const MEMORY: [&str; 5] = ["brk", "mmap", "munmap", "mremap", "madvise"];

/// What the container was seen to do after the last word that it heard, up to its program.
fn in_silence(command: &Command, bundle: &Bundle) -> Vec<Seen> {
    let traced = traced(command, &bundle.dir.join("trace"));
    assert_eq!(traced.ran.status, 7, "{}", traced.ran.stderr);
    let container = &traced.processes[1];
    let last = container.iter().rposition(|call| call.name == "recvmsg").unwrap();
    let calls = container[last + 1..].iter().filter(|call| !MEMORY.contains(&&*call.name));
    calls.cloned().collect()
}

fn nothing_but_execve() {
    let bundle = says_hello();
    let events = bundle.dir.join("told.jsonl").display().to_string();
    let run = bundle.learnc(["run", "--quiet", "--events", &events, &bundle.id]);
    let names: Vec<String> = in_silence(&run, &bundle).into_iter().map(|call| call.name).collect();
    assert_eq!(names, ["execve"]);
    let early = in_silence(&runtime(&bundle, "cwd", true), &bundle);
    let names: Vec<String> = early.into_iter().map(|call| call.name).collect();
    assert_eq!(names, ["close_range", "execve"]);
}

/// execve(2) takes the environment, and so does what is said of it when it fails.
fn a_long_environment() {
    let long = format!("LONG={}", "x".repeat(20_000));
    let bundle = bundle().args(["/etc/no-program"]).set("/process/env", json!(["PATH=/bin", long]));
    std::fs::write(bundle.rootfs().join("etc/no-program"), "no program").unwrap();
    let ran = ran(&mut bundle.learnc(["run", "--quiet", &bundle.id]));
    assert_eq!(ran.status, 1);
    let said = r#"execve("/etc/no-program", ["/etc/no-program"], ...) = EACCES"#;
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

/// The PATH that was looked through is said too, and may be as long.
fn a_long_path() {
    let long = format!("PATH=/bin:/{}", "x".repeat(20_000));
    let bundle = bundle().args(["no-program"]).set("/process/env", json!([long]));
    let ran = ran(&mut bundle.learnc(["run", "--quiet", &bundle.id]));
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("no-program: no such program"), "{}", ran.stderr);
}

/// Made known by the words that the filter would end the process for: it looks for the cause only
/// when the error itself has been said.
fn whoever_dies_looking_for_the_cause() {
    let bundle = bundle().args(["/etc/no-program"]);
    std::fs::write(bundle.rootfs().join("etc/no-program"), "no program").unwrap();
    let run = bundle.learnc(["run", "--quiet", &bundle.id]);
    let mut strace = Command::new("strace");
    let kill = "inject=statx,newfstatat,faccessat,faccessat2:signal=KILL";
    let program = bundle.rootfs().join("etc/no-program");
    strace.args(["-f", "-q", "-o", "/dev/null", "-P", "/etc/no-program", "-e", kill, "--"]);
    strace.arg(run.get_program()).args(run.get_args()).current_dir(&bundle.dir);
    assert!(program.exists());
    let ran = ran(strace.stdin(Stdio::null()));
    assert!(ran.stderr.contains(r#"execve("/etc/no-program""#), "{}", ran.stderr);
    assert!(ran.stderr.contains("EACCES"), "{}", ran.stderr);
}

fn main() {
    if let Ok(key) = std::env::var(SILENT_FROM) {
        std::process::exit(be_the_runtime(&key).unwrap_or_else(|error| {
            eprintln!("learnc: {error}");
            1
        }));
    }
    suite(vec![
        test("silent before `created`: a told run ends", RUNS, a_told_run),
        test("silent before `created`: a quiet run ends", RUNS, a_quiet_run),
        test("silent before `created`: start by another", RUNS, a_start_by_another),
        test("silent before `created`: a failure, told", RUNS, || a_failure_before_created(true)),
        test("silent before `created`: a failure, quiet", RUNS, || a_failure_before_created(false)),
        test("in the silence nothing is looked up", WITNESSED, nothing_but_execve),
        test("a long environment hides no failure", RUNS, a_long_environment),
        test("a long PATH hides no failure", RUNS, a_long_path),
        test("a look that kills hides no failure", WITNESSED, whoever_dies_looking_for_the_cause),
    ]);
}
