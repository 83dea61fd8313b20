//! Whatever fails, and whoever is killed, nothing is left on the host.
//!
//! A clean life of a container is traced first: run, or create, start, kill and delete. Each call of
//! it that is in the vocabulary is a point, in the runtime and in the container. Then the same life
//! is lived once for each point with that call failing (EIO), and once with the caller killed
//! (SIGKILL) where it would make it. Both are done from outside, by strace's injection: learnc does
//! not know of it. What the host has afterwards is compared with what it had.
//!
//! A call that fails is undone by learnc itself. A killed runtime undoes nothing: then `learnc clean`
//! has to, or `learnc delete --force` where the container is left running.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::process::CommandExt;

use support::faults::{NEVER, Side, points, suffer};
use support::host::{Host, in_a_mount_table_of_its_own};
use support::life::Life;
use support::*;

/// No more points than this are lived one by one.
const MANY: usize = 800;

/// One life for each point; every n-th where the machine is slow (LEARNC_TESTS_EVERY).
fn every_point(life: Life, at_least: usize) {
    let every = std::env::var("LEARNC_TESTS_EVERY").map_or(1, |n| n.parse().unwrap());
    let all = points(life);
    // What a stage's runtime does may be all known from the stage before.
    let runtime = life.stage_before().is_none().then_some(Side::Runtime);
    let container = life.has_container().then_some(Side::Container);
    for side in runtime.into_iter().chain(container) {
        assert!(all.iter().any(|point| point.side == side), "no point in the {side:?}");
    }
    assert!(all.len() >= at_least, "only {} points", all.len());
    // Who packs and unpacks a whole tree makes the same few calls for each of its files. Of thousands of
    // points some hundreds are lived, so far apart that each kind of call has its turn.
    let apart = [1, 5, 7, 11].into_iter().find(|n| all.len() / n <= MANY).unwrap_or(13);
    let chosen: Vec<_> = all.iter().step_by(every * apart).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let worker = || {
        let bundle = life.bundle();
        let mut wrong = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(point) = chosen.get(index) else { return wrong };
            let before = Host::of(&bundle);
            // Whether strace sees the call in which the container waits when it comes is chance.
            let mut problem = suffer(life, &bundle, point).err();
            for _ in 0..9 {
                if !problem.as_ref().is_some_and(|problem| problem.starts_with(NEVER)) {
                    break;
                }
                problem = suffer(life, &bundle, point).err();
            }
            let problem = problem.or_else(|| before.differs_from(&Host::of(&bundle)));
            if let Some(problem) = problem {
                wrong.push(format!("{point:?}: {problem}"));
                // The next point starts from a clean host again.
                bundle.verb("delete", &["--force"]);
            }
        }
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    println!("{} of {} points", chosen.len(), all.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), chosen.len(), wrong.join("\n"));
}

fn a_clean_life_leaves_nothing() {
    for life in [Life::Run, Life::Verbs].into_iter().chain(stages().map(Life::Stage)) {
        let bundle = life.bundle();
        let before = Host::of(&bundle);
        life.live(&bundle).unwrap();
        assert_eq!(before.differs_from(&Host::of(&bundle)), None, "{life:?}");
    }
}

/// The comparison can fail: each kind of thing that could be left is seen.
fn what_is_left_is_seen() {
    let bundle = Life::Run.bundle();
    let before = Host::of(&bundle);
    let left = bundle.state_root().join("left");
    std::fs::create_dir(&left).unwrap();
    assert!(before.differs_from(&Host::of(&bundle)).unwrap().contains("left"));
    std::fs::remove_dir(&left).unwrap();
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .arg0(format!("sleep {}", bundle.id))
        .spawn()
        .unwrap();
    wait_until("the process is seen", || before.differs_from(&Host::of(&bundle)).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(before.differs_from(&Host::of(&bundle)), None);
}

fn main() {
    in_a_mount_table_of_its_own();
    let needs = [WITNESSED, &[Need::Attach]].concat();
    let mut tests = vec![
        test("a clean life leaves nothing", RUNS, a_clean_life_leaves_nothing),
        test("what is left is seen", RUNS, what_is_left_is_seen),
    ];
    let at_least = if needs::is_root() { 2 * 150 } else { 2 * 100 };
    tests.push(test("run: each call fails, each caller is killed", &needs, move || {
        every_point(Life::Run, at_least)
    }));
    tests.push(test("create to delete: the same", &needs, move || {
        every_point(Life::Verbs, at_least);
    }));
    for stage in stages() {
        let sentence = format!("stage {}: the same", stage.name);
        tests.push(test(sentence, &needs, move || every_point(Life::Stage(stage), 2 * 10)));
    }
    suite(tests)
}
