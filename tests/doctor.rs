//! Doctor's findings are produced for real: each machine here is made to lack something.
//!
//! What cannot be made (AppArmor's restriction, WSL2, an old kernel) is in `plans.rs`, from facts.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::bundle::{copy_program, program, ran};
use support::*;

/// A copy of learnc that any user may execute, gone with the value.
struct Copied(PathBuf);

impl Copied {
    fn new(name: &str) -> Copied {
        let name = format!("learnc-doctor-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // By another process: see `copy_program`.
        ran(Command::new("install").args(["-m", "755"]).arg(program()).arg(&path)).ok();
        Copied(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// `sh -c SCRIPT` with learnc as `$0`, inside what the words before make.
fn inside(words: &[&str], script: &str, learnc: &str) -> Ran {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["sh", "-c", script, learnc]).env("LANG", "C.UTF-8");
    ran(&mut command)
}

/// The finding on a subject in `doctor --json`.
fn finding(ran: &Ran, subject: &str) -> Value {
    let json = ran.stdout.lines().collect::<Vec<_>>().join("\n");
    let report: Value = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["subject"] == subject);
    found.unwrap_or_else(|| panic!("nothing on {subject} in {json}")).clone()
}

/// What is found, and that it is found with evidence, cost and remedy.
fn amiss(ran: &Ran, subject: &str, case: &str, evidence: &str) {
    let finding = finding(ran, subject);
    assert_eq!(finding["case"], case, "{finding:#}");
    let seen = finding["evidence"].to_string();
    assert!(seen.contains(evidence), "{seen} does not show {evidence}");
    for field in ["says", "costs", "remedy"] {
        assert!(
            finding[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}: {finding:#}"
        );
    }
}

/// Nobody, if this is root; whoever runs this, if not.
fn unprivileged(command: &mut Vec<&str>) {
    if needs::is_root() {
        command.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
}

fn no_newuidmap_in_path() {
    let copied = Copied::new("path");
    let mut words = vec![];
    unprivileged(&mut words);
    words.extend(["env", "PATH=/nowhere", copied.path(), "doctor", "--json"]);
    let doctor = ran(Command::new(words[0]).args(&words[1..]));
    assert_eq!(doctor.status, 0, "{doctor:?}");
    amiss(&doctor, "id_ranges", "no_program", "/nowhere");
}

const NONE_ALLOWED: &str = "echo 0 > /proc/sys/user/max_user_namespaces; ";
/// Root of a user namespace, without the power over it: as good as an ordinary user.
const POWERLESS: &str = "exec setpriv --bounding-set=-sys_admin --no-new-privs ";

fn no_user_namespaces_allowed() {
    let doctor = format!("{NONE_ALLOWED} {POWERLESS} $0 doctor --json");
    let doctor = inside(&["unshare", "-Ur"], &doctor, program().to_str().unwrap());
    amiss(&doctor, "user_namespaces", "max_zero", "/proc/sys/user/max_user_namespaces");
    assert_eq!(doctor.status, 1, "nothing can run, and that is the exit status");
}

fn a_run_where_no_user_namespace_is_allowed_says_so() {
    let (bundle, copied) = (bundle(), Copied::new("run"));
    bundle.write();
    let mut words = vec![];
    unprivileged(&mut words);
    words.extend(["unshare", "-Ur"]);
    let run = format!(
        "{NONE_ALLOWED} state=$(mktemp -d); \
         setpriv --bounding-set=-sys_admin --no-new-privs \
             $0 --root $state run --quiet --bundle {} x; \
         status=$?; rmdir $state; exit $status",
        bundle.dir.display()
    );
    let run = inside(&words, &run, copied.path());
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("ENOSPC"), "{}", run.stderr);
    assert!(run.stderr.contains("/proc/sys/user/max_user_namespaces is 0"), "{}", run.stderr);
    assert!(run.stderr.contains("sysctl -w user.max_user_namespaces"), "{}", run.stderr);
}

/// Makes every cgroup tree read-only, in a mount table of its own.
const READ_ONLY: &str = "while read -r _ _ _ _ point _ rest; do case \"$rest\" in \
     *'- cgroup'*) mount -o remount,bind,ro \"$point\" || exit 99;; esac; \
     done < /proc/self/mountinfo; ";

fn a_readonly_cgroup_tree() {
    let flags = if needs::is_root() { "-m" } else { "-Urm" };
    let script = format!("{READ_ONLY} exec $0 doctor --json");
    let doctor = inside(&["unshare", flags], &script, program().to_str().unwrap());
    amiss(&doctor, "cgroups", "read_only", "mounted read-only");
    assert_eq!(doctor.status, 0, "containers run without limits: {doctor:?}");
}

/// A bundle for runc, with learnc and a bundle for learnc in it.
fn in_a_container_of_runcs(script: &str, more: &[&str]) -> Ran {
    let inner = bundle();
    let mut outer = bundle().sh(script).set("/root/readonly", false.into());
    for set in ["bounding", "permitted", "effective"] {
        let set = outer.config["process"]["capabilities"][set].as_array_mut().unwrap();
        set.extend(more.iter().map(|name| Value::from(*name)));
    }
    copy_program(program(), outer.rootfs().join("bin/learnc"));
    std::fs::create_dir_all(outer.rootfs().join("inner/rootfs")).unwrap();
    inner.write();
    let config = outer.rootfs().join("inner/config.json");
    std::fs::copy(inner.dir.join("config.json"), config).unwrap();
    outer.write();
    let root = outer.dir.join("runc");
    let mut runc = Command::new("runc");
    runc.arg("--root").arg(root).arg("run").arg(&outer.id).current_dir(&outer.dir);
    ran(runc.stdin(std::process::Stdio::null()))
}

fn inside_a_container() {
    let doctor = in_a_container_of_runcs("exec learnc doctor --json", &[]);
    amiss(&doctor, "standing", "root_without_power", "CAP_SYS_ADMIN");
    amiss(&doctor, "user_namespaces", "root_not_mappable", "CapEff");
    amiss(&doctor, "fresh_proc", "masked", "/proc/sys");
    assert_eq!(doctor.status, 1, "a container without /proc is none: {doctor:?}");
}

fn a_run_inside_a_container_names_what_covers_proc() {
    let run = "learnc --root /tmp/state run --quiet -b /inner x";
    let says = |run: Ran, words: &[&str]| {
        assert_eq!(run.status, 1, "{run:?}");
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "{word}: {}", run.stderr));
    };
    says(in_a_container_of_runcs(run, &[]), &["uid_map", "= EPERM", "CAP_SETFCAP"]);
    let run = in_a_container_of_runcs(run, &["CAP_SETFCAP"]);
    says(run, &["mount(", "\"proc\"", "= EPERM", "/proc/sys"]);
}

/// A cgroup for what podman makes, in every tree; gone with the value.
struct Parent(String);

impl Drop for Parent {
    fn drop(&mut self) {
        let trees = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let trees = trees.map(|tree| tree.path()).chain(["/sys/fs/cgroup".into()]);
        let dirs: Vec<PathBuf> = trees.map(|tree| tree.join(&self.0)).collect();
        wait_until("podman's helpers have ended", || {
            dirs.iter().for_each(|dir| remove_cgroups(dir));
            !dirs.iter().any(|dir| dir.exists())
        });
    }
}

fn remove_cgroups(dir: &Path) {
    let below = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).for_each(|path| remove_cgroups(&path));
    let _ = std::fs::remove_dir(dir);
}

/// podman with nothing of this machine's: neither its storage nor its configuration's limits.
fn in_a_container_of_podmans(script: &str, more: &[&str]) -> Ran {
    let outer = bundle();
    copy_program(program(), outer.rootfs().join("bin/learnc"));
    let parent = Parent(format!("learnc-podman-{}", outer.id));
    let mut podman = Command::new("podman");
    for (option, place) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        podman.arg(option).arg(outer.dir.join("podman").join(place));
    }
    podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    podman.args(["--events-backend", "none", "run", "--rm", "--network", "none"]);
    podman.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
    podman.args(["--cgroup-parent", &parent.0]).args(more).arg("--rootfs").arg(outer.rootfs());
    ran(podman.args(["/bin/sh", "-c", script]).stdin(std::process::Stdio::null()))
}

fn inside_a_container_of_podmans() {
    let doctor = in_a_container_of_podmans("exec learnc doctor --json", &[]);
    amiss(&doctor, "surroundings", "container", "podman");
    amiss(&doctor, "fresh_proc", "masked", "/proc/sys");
    amiss(&doctor, "user_namespaces", "filtered", "sethostname");
    assert_eq!(doctor.status, 1, "{doctor:?}");
}

fn a_run_inside_a_container_of_podmans_names_its_filter() {
    let run = "HOME=/tmp learnc --root /tmp/state run --quiet -- true";
    let unmasked = ["--security-opt", "unmask=ALL"];
    let run = in_a_container_of_podmans(run, &unmasked);
    assert_eq!(run.status, 1, "{run:?}");
    for word in ["sethostname(", "= EPERM", "seccomp filter", "seccomp=unconfined"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    let open = [&unmasked[..], &["--security-opt", "seccomp=unconfined"]].concat();
    let run = "HOME=/tmp learnc --root /tmp/state run --quiet -- hostname";
    let run = in_a_container_of_podmans(run, &open);
    assert_eq!((run.status, run.stdout.trim()), (0, "box"), "the remedies help: {}", run.stderr);
}

fn the_page_is_plain_where_nobody_can_see_colours() {
    let page = |locale: &str, more: &[&str]| {
        let mut doctor = learnc(["doctor"]);
        doctor.args(more).env_remove("LC_ALL").env_remove("LC_CTYPE").env("LANG", locale);
        ran(&mut doctor).stdout
    };
    let (piped, coloured) = (page("C", &[]), page("C.UTF-8", &["--color", "always"]));
    assert!(piped.is_ascii(), "no marks beyond ASCII in a C locale: {piped}");
    assert!(!piped.contains('\x1b'), "no colours in a pipe: {piped}");
    assert!(coloured.contains("\x1b["), "colours where they are asked for");
    assert!(coloured.contains('✓') || coloured.contains('✗'));
    for line in piped.lines() {
        assert!(line.len() <= 80 || !line.trim().contains(' '), "wider than 80: {line}");
    }
}

/// Where it can be, in a mount namespace in which nobody else mounts; what podman removes, beside this, goes from it.
fn what_doctor_tries_leaves_nothing() {
    let script = "cat /proc/self/mountinfo; echo; $0 doctor --json; echo; cat /proc/self/mountinfo";
    let alone: &[&str] = if needs::is_root() { &["unshare", "-m"] } else { &["env"] };
    let said = inside(alone, script, program().to_str().unwrap()).stdout;
    let parts: Vec<&str> = said.trim_end().split("\n\n").collect();
    let [before, doctor, after] = parts[..] else { panic!("{said}") };
    let doctor = Ran { status: 0, stdout: doctor.to_owned(), stderr: String::new() };
    assert!(finding(&doctor, "user_namespaces")["evidence"].to_string().contains("clone3("));
    let left = after.lines().find(|line| !before.contains(line));
    assert_eq!(left, None);
}

fn main() {
    let namespaces = &[Need::Containers];
    let runs_runc = &[Need::Root, Need::Busybox, Need::Runc, Need::Containers];
    let runs_podman = &[Need::Root, Need::Busybox, Need::Podman, Need::Containers];
    suite(vec![
        test(
            "no newuidmap in PATH: one id, and the package that helps",
            namespaces,
            no_newuidmap_in_path,
        ),
        test(
            "max_user_namespaces 0: doctor names it and ends with 1",
            namespaces,
            no_user_namespaces_allowed,
        ),
        test(
            "max_user_namespaces 0: a run names it",
            &[Need::Containers, Need::Busybox],
            a_run_where_no_user_namespace_is_allowed_says_so,
        ),
        test("a read-only cgroup tree costs the limits", namespaces, a_readonly_cgroup_tree),
        test("inside a container doctor says what is hidden", runs_runc, inside_a_container),
        test(
            "inside a container a run names what covers /proc",
            runs_runc,
            a_run_inside_a_container_names_what_covers_proc,
        ),
        test(
            "inside podman's container: its masks and filter",
            runs_podman,
            inside_a_container_of_podmans,
        ),
        test(
            "inside podman's container a run names the filter",
            runs_podman,
            a_run_inside_a_container_of_podmans_names_its_filter,
        ),
        test(
            "the page is plain text in a pipe",
            &[],
            the_page_is_plain_where_nobody_can_see_colours,
        ),
        test("what doctor tries leaves nothing behind", &[], what_doctor_tries_leaves_nothing),
    ]);
}
