//! Each cell of "what changed" is what the kernel shows, asked for in another way than learnc asks.
//!
//! A container is held alive while this test derives the whole table itself (`support/derived.rs`);
//! then it is let go, and the table that learnc tells must be that one: no row more, none less. That a
//! false cell would be found is shown with tables that are doctored, cell by cell. What is counted can
//! be read only when it is over: from the cgroup of a run that was told to leave it.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::bundle::ran;
use support::compared::{chroot_only, compared, counted, events, living, rows};
use support::derived::{output, status, wrong};
use support::*;

const LIMITS: &[Need] = &[Need::Containers, Need::Busybox, Need::Limits];
const RANGES: &[Need] = &[Need::IdRanges, Need::Containers, Need::Busybox];
const AS_ROOT: &[Need] = &[Need::Root, Need::Containers, Need::Busybox];

fn the_default_config() {
    let (rows, _) = living(bundle(), &[], &[]).told_truly(&[]);
    let new = rows.iter().filter(|row| row["verdict"] == "new").count();
    assert!(new >= 6, "{rows:#?}");
}

fn a_name_in_a_domain() {
    let bundle = bundle().hostname("fern").set("/domainname", json!("fern.example"));
    let (rows, _) = living(bundle, &[], &[]).told_truly(&[]);
    assert!(rows.iter().any(|row| row["container"] == "fern.example"));
}

/// Mounts and pids of its own, the rest the host's.
fn shared_namespaces() {
    let own: &[&str] = if needs::is_root() { &["mount", "pid"] } else { &["user", "mount", "pid"] };
    let own: Vec<Value> = own.iter().map(|kind| json!({"type": kind})).collect();
    let bundle = bundle()
        .without("/hostname")
        .without("/linux/maskedPaths")
        .without("/linux/readonlyPaths")
        .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
        .set("/linux/namespaces", json!(own));
    let (rows, _) = living(bundle, &[], &[]).told_truly(&[]);
    let shared = rows.iter().filter(|row| row["verdict"] == "shared").count();
    assert!(shared >= 4, "{rows:#?}");
}

fn a_chroot_without_mounts() {
    let (rows, _) = living(chroot_only(bundle()), &[], &[]).told_truly(&[]);
    assert!(rows.iter().any(|row| row["container"].as_str().unwrap().starts_with("folder ")));
}

/// Its capabilities go with execve, and not before: what is told is what the program has.
fn another_user() {
    let bundle = bundle().set("/process/user", json!({"uid": 7, "gid": 8}));
    let (rows, _) = living(bundle, &[], &[]).told_truly(&[]);
    let effective = rows.iter().find(|row| row["property"] == "effective capabilities").unwrap();
    assert_eq!(effective["container"], "none");
}

/// Between its change of user and execve nobody without rights may look at it from outside: the
/// container says itself in which namespaces it is.
fn another_user_by_ranges() {
    let map = |own: u32, file: &str| {
        let name = learnc::facts::login_name().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
        let first: u32 = line.split(':').next().unwrap().parse().unwrap();
        json!([{"containerID": 0, "hostID": own, "size": 1},
               {"containerID": 1, "hostID": first, "size": 100}])
    };
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let bundle = bundle()
        .set("/process/user", json!({"uid": 7, "gid": 8}))
        .set("/linux/uidMappings", map(uid, "/etc/subuid"))
        .set("/linux/gidMappings", map(gid, "/etc/subgid"));
    living(bundle, &[], &[]).told_truly(&[]);
}

/// A namespace that is there already is neither new nor the host's.
fn a_joined_namespace() {
    let mut holder = Command::new("unshare");
    let mut holder =
        holder.args(["--uts", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let path = format!("/proc/{}/ns/uts", holder.id());
    let own = output(&["readlink", "/proc/self/ns/uts"]);
    wait_until("it has a namespace of its own", || output(&["readlink", &path]) != own);
    let bundle = bundle()
        .without("/hostname")
        .set("/linux/namespaces/3", json!({"type": "uts", "path": path}));
    let (bundle, _) = living(bundle, &[], &[]).let_go();
    let rows = rows(&bundle);
    let row = rows.iter().find(|row| row["property"] == "UTS namespace").unwrap();
    assert_eq!(row["container"], output(&["readlink", &path]));
    assert_eq!(row["verdict"], "joined");
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

fn with_limits(bundle: Bundle) -> Bundle {
    bundle
        .set("/linux/resources/pids", json!({"limit": 20}))
        .set("/linux/resources/memory", json!({"limit": 50_000_001}))
        .set("/linux/resources/cpu", json!({"shares": 512, "quota": 20000}))
}

/// The files that limits are written to, on this machine's kind of cgroups.
fn limit_files() -> &'static [&'static str] {
    match needs::cgroups().1 {
        true => &["pids.max", "memory.max", "cpu.weight", "cpu.max"],
        false => &["pids.max", "memory.limit_in_bytes", "cpu.cfs_quota_us", "cpu.shares"],
    }
}

fn limits_as_the_kernel_rounds_them() {
    let (rows, _) = living(with_limits(bundle()), &[], &[]).told_truly(limit_files());
    let memory = rows.iter().find(|row| row["property"] == limit_files()[1]).unwrap();
    assert_eq!(memory["container"], "49999872", "in pages");
}

/// `true` is gone before anybody could look: the table is that of a program that lives.
fn a_program_as_short_as_true() {
    let living = living(bundle(), &[], &[]);
    let derived = living.derived(&[]);
    let (bundle, _) = living.let_go();
    let bundle = bundle.args(["true"]);
    assert_eq!(ran(&mut compared(&bundle, &[])).status, 0);
    let rows: Vec<Value> =
        rows(&bundle).into_iter().filter(|row| row["verdict"] != "counted").collect();
    for row in &rows {
        assert!(row["container"] != "", "{row}");
    }
    // Numbers that are new for each container are the one thing that may differ.
    let alike = |row: &Value| {
        let is = &derived[row["property"].as_str().unwrap()];
        let numbered = matches!(is.verdict, "new") || row["property"] == "pid";
        let same = numbered || row["host"] == *is.host && row["container"] == *is.container;
        same && row["verdict"] == *is.verdict
    };
    let odd: Vec<&Value> = rows.iter().filter(|row| !alike(row)).collect();
    assert!(odd.is_empty() && rows.len() > 12, "{odd:#?}");
}

fn a_verified_run() {
    let living = living(bundle(), &[], &["--verify"]);
    let mut above = living.pid;
    while above != living.learnc() {
        assert!(above > 1, "the container is none of this run's");
        above = status(above, "PPid").parse().unwrap();
    }
    living.told_truly(&[]);
}

fn a_doctored_table_is_found() {
    let (rows, derived) = living(bundle(), &[], &[]).told_truly(&[]);
    let mut tried = 0;
    for n in 0..rows.len() {
        for field in ["property", "host", "container", "verdict"] {
            let mut doctored = rows.clone();
            let text = doctored[n][field].as_str().unwrap().to_owned();
            doctored[n][field] = json!(text + "0");
            assert!(!wrong(&doctored, &derived).is_empty(), "{field} of {}", rows[n]);
            tried += 1;
        }
        let mut fewer = rows.clone();
        let row = fewer.remove(n);
        let optional = derived[row["property"].as_str().unwrap()].optional;
        assert!(optional || !wrong(&fewer, &derived).is_empty(), "without {row}");
    }
    assert!(tried > 48, "{tried}");
}

fn a_fork_bomb_is_counted() {
    let bomb = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done";
    let bundle = bundle().sh(bomb).set("/linux/resources/pids", json!({"limit": 5}));
    assert!(counted(&bundle).of(&["pids.events max"]).unwrap() > 0);
}

fn a_memory_hog_is_counted() {
    let hog = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];
    let bundle = bundle().args(hog).set("/linux/resources/memory", json!({"limit": 20_000_000}));
    let counted = counted(&bundle);
    // memory.peak came with Linux 5.19.
    let most = counted.of(&["memory.peak", "memory.max_usage_in_bytes"]);
    assert!(most.is_none_or(|bytes| (10_000_000..=20_000_000).contains(&bytes)), "{most:?}");
    let kills = counted.of(&["memory.events oom_kill", "memory.oom_control oom_kill"]).unwrap();
    // With swap there is room for all of it, and the kernel need not kill.
    let swaps = support::bundle::read("/proc/swaps").lines().count() > 1;
    assert!(counted.status == 137 && kills > 0 || swaps && counted.status == 0 && kills == 0);
}

/// Without limits only what says something is shown.
fn nothing_counted_is_not_shown() {
    let bundle = bundle();
    assert_eq!(ran(&mut compared(&bundle, &[])).status, 0);
    let zero = |row: &&Value| row["verdict"] == "counted" && row["container"] == "0";
    assert_eq!(rows(&bundle).iter().find(zero), None);
}

fn nobody_compares_unasked() {
    let bundle = bundle();
    let mut command = bundle.learnc(["run", "--quiet", "--events"]);
    command.arg(bundle.dir.join("events.jsonl")).arg(&bundle.id);
    assert_eq!(ran(&mut command).status, 0);
    assert!(events(&bundle, "changed").is_empty() && events(&bundle, "host_as_before").is_empty());
}

fn main() {
    let verified = &[Need::Containers, Need::Busybox, Need::Ptrace, Need::SyscallInfo];
    let strangers: Vec<Need> = RUNS.iter().copied().chain([Need::Strangers]).collect();
    suite(vec![
        test("all of this without root", &strangers, || support::stranger::pass(8)),
        test("the default config is told truly", RUNS, the_default_config),
        test("a host name in a domain is told truly", RUNS, a_name_in_a_domain),
        test("shared namespaces are told truly", RUNS, shared_namespaces),
        test("a chroot without mounts is told truly", RUNS, a_chroot_without_mounts),
        test("a program of another user is told truly", AS_ROOT, another_user),
        test("another user by ranges is told truly", RANGES, another_user_by_ranges),
        test("a joined namespace is not told to be new", AS_ROOT, a_joined_namespace),
        test("limits are told as the kernel rounds them", LIMITS, limits_as_the_kernel_rounds_them),
        test(
            "a program as short as true is told like a long one",
            RUNS,
            a_program_as_short_as_true,
        ),
        test("a verified run is told truly", verified, a_verified_run),
        test("a doctored table is found", RUNS, a_doctored_table_is_found),
        test("a fork bomb is counted", LIMITS, a_fork_bomb_is_counted),
        test("a memory hog is counted", LIMITS, a_memory_hog_is_counted),
        test("a count of nothing is not shown", RUNS, nothing_counted_is_not_shown),
        test("nobody compares unasked", RUNS, nobody_compares_unasked),
    ]);
}
