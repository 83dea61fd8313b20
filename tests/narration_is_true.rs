//! The calls said are the calls made: same process, same order, same arguments, same answers.
//!
//! learnc runs under strace, which knows nothing of it. Its events are held against strace's files,
//! both ways. What need not be said is in `unnarrated.txt`, with reasons; what shapes a container is
//! never excused. That the comparison can fail is shown with doctored events, call by call.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use support::bundle::{Ran, ran};
use support::rules::{SHAPING, SOMETIMES, is_never_excused, rules};
use support::said::{Said, compare, lies, read};
use support::strace::{Seen, first, read_all, under_strace};
use support::*;

/// The build that lies is made with cargo.
const LIAR: &[Need] = &[Need::Containers, Need::Busybox, Need::Strace, Need::Ptrace, Need::Cargo];

/// A learnc command that ran under strace with its events in a file.
struct Witnessed {
    ran: Ran,
    said: Vec<Said>,
    seen: BTreeMap<i32, Vec<Seen>>,
    runtime: i32,
}

/// Runs a learnc command under strace. `tag` keeps several in one bundle apart.
fn witness(bundle: &Bundle, tag: &str, args: &[&str]) -> Witnessed {
    witness_with(bundle, tag, args, None)
}

fn witness_with(bundle: &Bundle, tag: &str, args: &[&str], lie: Option<&str>) -> Witnessed {
    let dir = bundle.dir.join(format!("witness-{tag}"));
    std::fs::create_dir_all(&dir).unwrap();
    let events = dir.join("events.jsonl");
    let (verb, rest) = args.split_first().unwrap();
    let mut command: Command = bundle.learnc([*verb]);
    command.arg("--events").arg(&events).args(rest);
    lie.map(|lie| command.env("LEARNC_LIE", lie));
    let prefix: PathBuf = dir.join("trace");
    let mut strace = under_strace(&command, &prefix);
    let ran = match tag {
        // The container keeps the standard files of `create`: they must not be this test's pipes.
        "create" => {
            let (out, err) = (dir.join("out"), dir.join("err"));
            strace.stdout(std::fs::File::create(&out).unwrap());
            strace.stderr(std::fs::File::create(&err).unwrap());
            strace.arg("--quiet");
            let mut child = strace.spawn().unwrap();
            // strace follows the container for as long as it lives; the runtime has ended when one
            // of the two traces says so.
            wait_until("the runtime has ended", || {
                let ended = |file: std::fs::DirEntry| {
                    support::bundle::read(file.path()).trim_end().ends_with(" +++")
                };
                std::fs::read_dir(&dir).unwrap().filter_map(Result::ok).any(ended)
                    || child.try_wait().unwrap().is_some()
            });
            std::mem::forget(child);
            Ran { status: 0, stdout: String::new(), stderr: String::new() }
        }
        _ => ran(&mut strace),
    };
    let seen = read_all(&prefix);
    let said = read(&events);
    let runtime = first(&seen);
    Witnessed { ran, said, seen, runtime }
}

impl Witnessed {
    fn is_true(&self, at_least: usize) {
        let wrong = compare(&self.said, &self.seen, self.runtime, &rules());
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), self.ran.stderr);
        assert!(self.said.len() >= at_least, "only {} were said: {:?}", self.said.len(), self.ran);
    }
}

fn run_is_true(bundle: Bundle, status: i32, at_least: usize) {
    let witnessed = witness(&bundle, "run", &["run", &bundle.id]);
    assert_eq!(witnessed.ran.status, status, "{}", witnessed.ran.stderr);
    witnessed.is_true(at_least);
}

fn a_run_of_the_default_config() {
    run_is_true(bundle(), 0, 100);
}

/// Taking the whole tree away again is told by the number of its calls.
fn a_run_without_a_bundle() {
    let bundle = bundle();
    let witnessed = witness(&bundle, "default", &["run", "--", "true"]);
    assert_eq!(witnessed.ran.status, 0, "{}", witnessed.ran.stderr);
    witnessed.is_true(200);
}

fn a_run_with(switch: &str) {
    let bundle = bundle();
    let witnessed = witness(&bundle, "run", &["run", switch, &bundle.id]);
    assert_eq!(witnessed.ran.status, 0, "{}", witnessed.ran.stderr);
    witnessed.is_true(100);
}

fn a_run_with_limits() {
    let bundle = bundle()
        .set("/linux/resources/pids", serde_json::json!({"limit": 20}))
        .set("/linux/resources/memory", serde_json::json!({"limit": 50_000_001}))
        .set("/linux/resources/cpu", serde_json::json!({"shares": 512, "quota": 20000}));
    run_is_true(bundle, 0, 100);
}

fn a_run_that_makes_everything() {
    let bundle = bundle()
        .set("/domainname", serde_json::json!("fern.example"))
        .set(
            "/process/rlimits/0",
            serde_json::json!({"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}),
        )
        .set("/process/oomScoreAdj", serde_json::json!(500))
        .set("/process/cwd", serde_json::json!("/new/place"))
        .set("/root/readonly", serde_json::json!(false))
        .set("/linux/sysctl", serde_json::json!({"kernel.msgmax": "9000"}));
    run_is_true(bundle, 0, 100);
}

fn a_run_that_is_chroot_only() {
    let bundle = bundle()
        .without("/mounts")
        .without("/linux/maskedPaths")
        .without("/linux/readonlyPaths")
        .without("/hostname")
        .set("/root/readonly", serde_json::json!(false));
    let bundle = match needs::is_root() {
        true => bundle.set("/linux/namespaces", serde_json::json!([])),
        false => bundle.set("/linux/namespaces", serde_json::json!([{"type": "user"}])),
    };
    run_is_true(bundle, 0, 10);
}

fn each_stage() {
    for name in stages().map(|stage| &*stage.name) {
        let bundle = bundle();
        let witnessed = witness(&bundle, "stage", &["stage", name, "--", "true"]);
        assert_eq!(witnessed.ran.status, 0, "{name}: {}", witnessed.ran.stderr);
        witnessed.is_true(100);
    }
}

fn a_run_whose_program_is_missing() {
    run_is_true(bundle().args(["/bin/nowhere"]), 1, 50);
}

fn a_run_that_fails_half_way() {
    let bundle = bundle().set("/mounts/0/type", serde_json::json!("nosuchfs"));
    run_is_true(bundle, 1, 10);
}

fn create_start_kill_and_delete() {
    let bundle = bundle().args(["sleep", "1000"]);
    let created = witness(&bundle, "create", &["create", &bundle.id]);
    created.is_true(100);
    let started = witness(&bundle, "start", &["start", &bundle.id]);
    assert_eq!(started.ran.status, 0, "{}", started.ran.stderr);
    let began = |line: &str| line.starts_with("execve(\"/bin/sleep\"") && line.ends_with("= 0");
    wait_until("the program's beginning is in the trace", || {
        let mut files = std::fs::read_dir(bundle.dir.join("witness-create")).unwrap().flatten();
        files.any(|file| support::bundle::read(file.path()).lines().any(began))
    });
    witness(&bundle, "kill", &["kill", &bundle.id, "KILL"]).is_true(1);
    wait_until("it has stopped", || bundle.status() == "stopped");
    started.is_started(&created, &bundle);
    witness(&bundle, "delete", &["delete", &bundle.id]).is_true(3);
}

impl Witnessed {
    /// The calls of `start` are made by the container, which the strace of `create` follows to its end.
    fn is_started(&self, created: &Witnessed, bundle: &Bundle) {
        let names: Vec<&str> = self.said.iter().map(|said| &*said.name).collect();
        assert_eq!(names, ["close_range", "execve"]);
        let container = self.said[0].pid;
        let prefix = bundle.dir.join("witness-create/trace");
        let trace = prefix.with_extension(container.to_string());
        wait_until("strace has seen its end", || support::bundle::read(&trace).contains("\n+++ "));
        let seen = read_all(&prefix);
        let differ = |said: &[Said]| compare(said, &seen, created.runtime, &rules());
        let said = [&created.said[..], &self.said].concat();
        assert!(differ(&said).is_empty(), "{}", differ(&said).join("\n"));
        for n in created.said.len()..said.len() {
            for (what, lie) in lies(&said, n) {
                assert!(!differ(&lie).is_empty(), "{what} call {n} was not found: {:?}", said[n]);
            }
        }
        // The process that says `start` says it and makes no call of its own.
        let wrong = compare(&[], &self.seen, self.runtime, &rules());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A build that lies, at every seventh call of a run: dropped, swapped, altered.
fn a_lying_build_is_found() {
    let honest = bundle();
    let truth = witness(&honest, "run", &["run", "--quiet", &honest.id]);
    let before = truth.said.iter().position(|said| said.name == "clone3").unwrap();
    let inside = truth.said.iter().filter(|said| said.pid != truth.runtime).count();
    let mut tried = 0;
    for (i, n) in (1..=before + inside).step_by(7).enumerate() {
        let kind = ["drop", "swap", "alter"][i % 3];
        let mut bundle = bundle();
        bundle.program = support::bundle::liar();
        let lie = format!("{kind}:{n}");
        let lied = witness_with(&bundle, "run", &["run", "--quiet", &bundle.id], Some(&lie));
        let wrong = compare(&lied.said, &lied.seen, lied.runtime, &rules());
        assert!(!wrong.is_empty(), "LEARNC_LIE={lie} was not found");
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} lies");
}

/// Each way of lying, at each call of a real run.
fn a_lie_is_found() {
    let bundle = bundle();
    let truth = witness(&bundle, "run", &["run", "--quiet", &bundle.id]);
    truth.is_true(100);
    let count = truth.said.len();
    let mut tried = 0;
    for n in 0..count {
        for (what, said) in lies(&truth.said, n) {
            let wrong = compare(&said, &truth.seen, truth.runtime, &rules());
            assert!(!wrong.is_empty(), "{what} call {n} was not found: {:?}", truth.said[n]);
            tried += 1;
        }
    }
    assert!(tried >= 4 * count, "{tried} lies about {count} calls");
}

/// A wrong number, or calls below another folder, are found as any other lie.
fn a_lie_about_a_number_is_found() {
    let bundle = bundle();
    let truth = witness(&bundle, "default", &["run", "--", "true"]);
    truth.is_true(200);
    let place = truth.said.iter().position(|said| said.bulk.is_some()).unwrap();
    let (below, counts) = truth.said[place].bulk.clone().unwrap();
    let mut lies = vec![(format!("{below}-other"), counts.clone())];
    for name in counts.keys() {
        for other in [counts[name] - 1, counts[name] + 1] {
            let mut counts = counts.clone();
            counts.insert(name.clone(), other);
            lies.push((below.clone(), counts));
        }
    }
    for lie in lies {
        let mut said = truth.said.clone();
        said[place].bulk = Some(lie.clone());
        let wrong = compare(&said, &truth.seen, truth.runtime, &rules());
        // One opened directory more or less is looking, which need not be told at all.
        let looks = lie.1.get("openat") != counts.get("openat");
        assert!(!wrong.is_empty() || looks, "{lie:?} was not found");
    }
}

fn no_rule_hides_what_shapes_a_container() {
    for rule in rules() {
        assert!(!is_never_excused(&rule.name), "{} may never be excused", rule.name);
        let always = rule.conditions.is_empty() && SOMETIMES.contains(&&*rule.name);
        assert!(!always, "{} is excused without a condition", rule.name);
        assert!(!rule.reason.is_empty(), "{}: no reason", rule.name);
    }
    for name in ["mount", "execve", "pivot_root", "sendfile", "fsopen"] {
        assert!(is_never_excused(name), "{name} might be excused");
    }
    for line in SHAPING {
        let seen = support::strace::line(line).unwrap_or_else(|| panic!("unreadable: {line}"));
        let excused = rules().into_iter().find(|rule| rule.excuses(&seen));
        assert!(excused.is_none(), "{line}\nwould be excused by {excused:?}");
    }
}

fn main() {
    let single: Vec<Need> = WITNESSED.iter().copied().chain([Need::OwnIdMap]).collect();
    let strangers: Vec<Need> = WITNESSED.iter().copied().chain([Need::Strangers]).collect();
    suite(vec![
        test("all of this without root", &strangers, || support::stranger::pass(12)),
        test("a run of the default config is told truly", WITNESSED, a_run_of_the_default_config),
        test("a run without a bundle is told truly", &single, a_run_without_a_bundle),
        test("a quiet run's events are true too", WITNESSED, || a_run_with("--quiet")),
        test("a compared run is told truly", WITNESSED, || a_run_with("--changes")),
        test("a run with limits is told truly", LIMITED, a_run_with_limits),
        test("a run that makes everything is told truly", WITNESSED, a_run_that_makes_everything),
        test("a chroot without mounts is told truly", WITNESSED, a_run_that_is_chroot_only),
        test("each stage is told truly", &single, each_stage),
        test("a missing program is told truly", WITNESSED, a_run_whose_program_is_missing),
        test("a failure half-way is told truly", WITNESSED, a_run_that_fails_half_way),
        test("create, start, kill, delete are told truly", WITNESSED, create_start_kill_and_delete),
        test("a lie about any call is found", WITNESSED, a_lie_is_found),
        test("a lie about a number is found", &single, a_lie_about_a_number_is_found),
        test("a lying build is found", LIAR, a_lying_build_is_found),
        test("no rule hides what shapes a container", &[], no_rule_hides_what_shapes_a_container),
    ]);
}
