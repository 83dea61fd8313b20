//! "Host as before" is said when it is so, and not said when something stays.
//!
//! For each thing that a run could leave there is one that stays: a mount, a file, a process. They are
//! made by this test while the container lives, in ways that learnc does not undo.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use support::bundle::ran;
use support::compared::{as_before, chroot_only, compared, events, living};
use support::derived::output;
use support::*;

const NOTHING_ENDS_IT: &[Need] = &[Need::NoCgroup, Need::Containers, Need::Busybox];

/// A mount is made in learnc's own mount namespace meanwhile, which is not this test's.
fn a_mount_that_stays_is_told() {
    let living = living(bundle(), &["unshare", "--mount"], &[]);
    let target = living.learnc().to_string();
    let place = living.bundle.dir.display().to_string();
    output(&[
        "nsenter",
        "--target",
        &target,
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "none",
        &(place + "/state"),
    ]);
    let (bundle, _) = living.let_go();
    assert!(!as_before(&bundle, "mounts"));
    assert!(as_before(&bundle, "cgroups") && as_before(&bundle, "processes"));
}

fn a_file_that_stays_is_told() {
    let living = living(bundle(), &[], &[]);
    std::fs::write(living.bundle.state_root().join(&living.bundle.id).join("foreign"), "").unwrap();
    let (bundle, status) = living.let_go();
    assert_eq!(status, 1, "what could not be removed is an error");
    assert!(!as_before(&bundle, "files"));
    assert!(as_before(&bundle, "mounts") && as_before(&bundle, "processes"));
}

/// Without a pid namespace a process can outlive the first one. The bundle, and which are left.
fn leaves_a_process(name: &str, stays: bool) -> (Bundle, Vec<i32>) {
    let bundle = chroot_only(bundle());
    // A shell opens it for what it leaves behind.
    std::fs::write(bundle.rootfs().join("dev/null"), "").unwrap();
    let bundle = bundle.sh(&format!("sleep {name} >/dev/null 2>&1 &"));
    assert_eq!(ran(&mut compared(&bundle, &[])).status, 0);
    // It may not have got to its execve before all of it was over: then no name tells it.
    if stays {
        wait_until("what stays has its name", || !support::host::processes(name).is_empty());
    }
    let left: Vec<i32> = support::host::processes(name)
        .iter()
        .filter_map(|line| line.split(' ').next()?.strip_prefix("/proc/")?.parse().ok())
        .collect();
    for pid in &left {
        let pid = nix::unistd::Pid::from_raw(*pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    (bundle, left)
}

/// A duration that no other process sleeps for.
fn long(more: u32) -> String {
    format!("{more}000{}", std::process::id())
}

/// Where there is no cgroup either, by which learnc would end it.
fn a_process_that_stays_is_told() {
    let (bundle, left) = leaves_a_process(&long(1), true);
    assert_eq!(left.len(), 1, "this machine was to show a process that stays");
    assert!(!as_before(&bundle, "processes"));
    assert!(as_before(&bundle, "mounts") && as_before(&bundle, "cgroups"));
}

/// By its cgroup, which root always makes where it can.
fn a_process_that_would_stay_is_ended() {
    let (bundle, left) = leaves_a_process(&long(2), false);
    assert_eq!(left, [0; 0]);
    assert!(as_before(&bundle, "processes"));
}

fn a_failed_run_is_told_of_too() {
    let bundle = bundle().args(["/bin/nowhere"]);
    assert_eq!(ran(&mut compared(&bundle, &[])).status, 1);
    for what in ["mounts", "cgroups", "processes", "files"] {
        assert!(as_before(&bundle, what), "{what}");
    }
    assert!(events(&bundle, "changed").is_empty(), "nothing has run");
}

fn main() {
    let strangers: Vec<Need> = RUNS.iter().copied().chain([Need::Strangers]).collect();
    let root = &[Need::Root, Need::Containers, Need::Busybox];
    let limited = &[Need::Root, Need::Limits, Need::Containers, Need::Busybox];
    suite(vec![
        test("all of this without root", &strangers, || support::stranger::pass(3)),
        test("a mount that stays is told", root, a_mount_that_stays_is_told),
        test("a file that stays is told", RUNS, a_file_that_stays_is_told),
        test("a process that stays is told", NOTHING_ENDS_IT, a_process_that_stays_is_told),
        test("what stays in a cgroup is ended", limited, a_process_that_would_stay_is_ended),
        test("a failed run is told of too", RUNS, a_failed_run_is_told_of_too),
    ]);
}
