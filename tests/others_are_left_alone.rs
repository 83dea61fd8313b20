//! What is not learnc's, or is another learnc's at this moment, is left alone.
//!
//! Undoing is done by whoever comes: `delete`, `clean`, another run. Each sentence is a thing that such a
//! one must not touch: a neighbour below the same cgroup, a tree that is being looked at, a folder that is
//! mounted in it, the states of another user.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::bundle::ran;
use support::*;

/// Below one cgroup are two containers; one of them is deleted.
fn a_neighbour_below_the_same_cgroup() {
    let created = |above: &str, name: &str| {
        let path = serde_json::json!(format!("{above}/{name}"));
        let bundle = bundle().args(["sleep", "1000"]).set("/linux/cgroupsPath", path);
        assert_eq!(bundle.create(&[]).status, 0);
        bundle
    };
    let first = bundle();
    let above = format!("learnc-above-{}", first.id);
    let (one, other) = (created(&above, "one"), created(&above, "other"));
    other.verb("delete", &["--force"]).ok();
    assert_eq!(one.status(), "created", "its neighbour was deleted");
    one.verb("delete", &["--force"]).ok();
    assert!(!below_cgroups(&above), "who made the folder above, and goes last, takes it away");
    let (one, other) = (created(&above, "one"), created(&above, "other"));
    one.verb("delete", &["--force"]).ok();
    assert_eq!(other.status(), "created", "its neighbour was deleted");
    other.verb("delete", &["--force"]).ok();
    // Who made it could not take it away, and nobody else may: as with runc, it stays.
    ran(Command::new("find").args(["/sys/fs/cgroup", "-depth", "-name", &above, "-delete"]));
    assert!(!below_cgroups(&above));
}

fn below_cgroups(name: &str) -> bool {
    let find = ran(Command::new("find").args(["/sys/fs/cgroup", "-name", name]));
    !find.stdout.is_empty()
}

/// `learnc stage rootfs`, whose visitor stays until the file `go` is there.
struct Visit(Child);

impl Visit {
    fn begin(bundle: &Bundle, script: &str) -> Visit {
        let (up, go) = (bundle.dir.join("up"), bundle.dir.join("go"));
        // It ends with the bundle, too: who was to read `go` may come when that is gone already.
        let (here, told) = (up.display(), go.display());
        let script = format!(
            "{script}; touch {here}; while [ -e {here} ] && [ ! -e {told} ]; do sleep 0.01; done"
        );
        let mut learnc = bundle.learnc(["stage", "rootfs", "--quiet", "--id", &bundle.id]);
        learnc.args(["--", "sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::piped());
        let visit = Visit(learnc.spawn().unwrap());
        wait_until("the visitor is there", || up.exists());
        visit
    }

    fn end(mut self, bundle: &Bundle) -> bool {
        std::fs::write(bundle.dir.join("go"), "").unwrap();
        self.0.wait().unwrap().success()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tree(bundle: &Bundle) -> std::path::PathBuf {
    bundle.data().join("learnc").join(&bundle.id)
}

fn a_tree_that_is_being_looked_at() {
    let bundle = bundle();
    let visit = Visit::begin(&bundle, "true");
    let cleaned = ran(&mut bundle.learnc(["clean"])).ok();
    assert!(cleaned.stdout.contains("is being made: left alone"), "{}", cleaned.stdout);
    for more in [&[][..], &["--force"]] {
        let refused = bundle.verb("delete", more);
        assert!(refused.stderr.contains("is being made"), "{}", refused.stderr);
    }
    assert!(tree(&bundle).join("rootfs/bin").is_dir(), "the tree was taken away");
    assert!(visit.end(&bundle));
    assert!(!tree(&bundle).exists());
}

/// Killed in the middle, it is nobody's any more.
fn a_tree_of_a_killed_run_is_taken_away() {
    let bundle = bundle();
    drop(Visit::begin(&bundle, "true"));
    std::fs::write(bundle.dir.join("go"), "").unwrap();
    let cleaned = ran(&mut bundle.learnc(["clean"])).ok();
    assert!(cleaned.stdout.contains("removed what was left"), "{}", cleaned.stdout);
    assert!(!tree(&bundle).exists());
}

/// A run that is held up while its container is deleted, and another takes the id.
fn the_next_container_of_a_name() {
    let bundle = bundle().args(["sleep", "1000"]);
    let mut run = bundle.learnc(["run", "--quiet", &bundle.id]).spawn().unwrap();
    wait_until("it runs", || bundle.verb("state", &[]).stdout.contains("\"running\""));
    let hold = |signal: &str| ran(Command::new("kill").args([signal, &run.id().to_string()])).ok();
    hold("-STOP");
    bundle.verb("delete", &["--force"]).ok();
    assert_eq!(bundle.create(&[]).status, 0);
    hold("-CONT");
    assert_eq!(run.wait().unwrap().code(), Some(137));
    assert_eq!(bundle.status(), "created", "the run has removed what is not its own");
    bundle.verb("delete", &["--force"]).ok();
}

/// The folder of a run follows from its id: two states with the same id have one folder.
fn the_folder_of_a_run_with_the_same_id() {
    let bundle = bundle();
    let visit = Visit::begin(&bundle, "true");
    let mut second = learnc(["--root"]);
    second.arg(bundle.dir.join("other-state")).env("XDG_DATA_HOME", bundle.data());
    let refused = ran(second.args(["stage", "rootfs", "--quiet", "--id", &bundle.id]));
    assert!(refused.stderr.contains("is there already"), "{}", refused.stderr);
    assert!(tree(&bundle).join("rootfs/bin").is_dir(), "the first one's tree was taken away");
    assert!(visit.end(&bundle));
}

/// What came out of an archive may have set-user-id bits: nobody else gets to it.
fn the_folder_of_a_run_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let bundle = bundle();
    let visit = Visit::begin(&bundle, "true");
    let mode = std::fs::metadata(tree(&bundle)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    assert!(visit.end(&bundle));
}

/// In a mount namespace of the test's own, in which learnc's visitor mounts something below the tree.
fn what_is_mounted_in_a_tree() {
    let bundle = bundle();
    let precious = bundle.dir.join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("file"), "").unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount"]).arg(&bundle.program).arg("--root").arg(bundle.state_root());
    unshare.env("XDG_DATA_HOME", bundle.data()).stdin(Stdio::null());
    let mount = format!("mount --bind {} proc", precious.display());
    unshare.args(["stage", "rootfs", "--id", &bundle.id, "--", "sh", "-c", &mount]);
    let ended = ran(&mut unshare);
    assert_ne!(ended.status, 0);
    assert!(ended.stderr.contains("something is mounted on"), "{}", ended.stderr);
    assert!(precious.join("file").exists(), "what was mounted there was emptied");
    ran(&mut bundle.learnc(["clean"])).ok();
    assert!(!tree(&bundle).exists() && precious.join("file").exists());
}

fn the_states_of_a_stranger() {
    let bundle = bundle();
    let mut container = bundle.learnc(["create"]);
    container.arg(&bundle.id).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(container.status().unwrap().success());
    let give = |to: u32| {
        std::os::unix::fs::chown(bundle.state_root(), Some(to), Some(to)).unwrap();
    };
    give(54321);
    for verb in ["delete", "kill", "state", "start"] {
        let refused = bundle.verb(verb, &[]);
        assert!(refused.stderr.contains("belongs to user 54321"), "{verb}: {}", refused.stderr);
    }
    let refused = ran(&mut bundle.learnc(["clean"]));
    assert!(refused.stderr.contains("belongs to user 54321"), "{}", refused.stderr);
    give(0);
    assert_eq!(bundle.status(), "created");
}

/// A line of the journal that nobody can read is said, and stays for who can.
fn a_journal_that_cannot_be_read() {
    let bundle = bundle().args(["sleep", "1000"]);
    assert_eq!(bundle.create(&[]).status, 0);
    let path = bundle.state_root().join(&bundle.id).join("journal");
    let whole = std::fs::read(&path).unwrap();
    write_over(&path, &damaged(&whole));
    let refused = bundle.verb("delete", &["--force"]);
    assert_ne!(refused.status, 0);
    assert!(path.exists(), "the journal was thrown away");
    write_over(&path, &whole);
    bundle.verb("delete", &["--force"]).ok();
    assert!(!path.exists());
}

/// The first line, of another version: its first word is one that nobody knows.
fn damaged(journal: &[u8]) -> Vec<u8> {
    let mut damaged = journal.to_vec();
    let start = damaged.iter().skip(4096).position(|byte| *byte == b'"').unwrap() + 4096;
    damaged[start + 1] = b'X';
    damaged
}

/// In place: the container has the file mapped.
fn write_over(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn main() {
    let limited: Vec<Need> = RUNS.iter().copied().chain([Need::Limits]).collect();
    let root: Vec<Need> = RUNS.iter().copied().chain([Need::Root]).collect();
    suite(vec![
        test("the next container of a name", RUNS, the_next_container_of_a_name),
        test("a neighbour below the same cgroup", &limited, a_neighbour_below_the_same_cgroup),
        test("a tree that is being looked at", RUNS, a_tree_that_is_being_looked_at),
        test("but not a tree of a killed run", RUNS, a_tree_of_a_killed_run_is_taken_away),
        test("the folder of a run with the same id", RUNS, the_folder_of_a_run_with_the_same_id),
        test("by others: the folder of a run", RUNS, the_folder_of_a_run_is_closed_to_others),
        test("what is mounted in a tree", &root, what_is_mounted_in_a_tree),
        test("the states of a stranger", &root, the_states_of_a_stranger),
        test("a journal that cannot be read", RUNS, a_journal_that_cannot_be_read),
    ]);
}
