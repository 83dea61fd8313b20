//! The same commands on the same bundle, with runc and with learnc: what a tutorial shows is seen.
//!
//! The flow of every text about OCI runtimes: `spec`, an edit of config.json, `run`, `list` while it
//! runs, `state`, `kill`, `delete`. Exit statuses, outputs and effects are compared, ids of processes
//! and times apart. Where learnc differs on purpose, [`support::beside`] and [`DIFFERENT`] say so.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;
use std::collections::BTreeMap;

use serde_json::Value;
use support::beside::{NO_SENSE, Runtime, Said};
use support::bundle::{ran, read};
use support::*;

/// Does the same with both, and compares what each said, line by line.
fn the_same(bundle: &Bundle, flow: impl Fn(&Runtime) -> Vec<(String, Said)>) {
    let [runc, learnc] = Runtime::both(bundle).map(|runtime| flow(&runtime));
    assert_eq!(runc.len(), learnc.len());
    for (runc, learnc) in runc.iter().zip(&learnc) {
        assert_eq!(learnc, runc, "learnc on the left, runc on the right");
    }
}

fn all(runtime: &Runtime, lines: &[&str]) -> Vec<(String, Said)> {
    lines.iter().map(|line| ((*line).to_owned(), runtime.say(line))).collect()
}

/// A program that writes down what it hears, and ends at TERM with status 3.
fn listener() -> Bundle {
    let heard = "for s in USR1 USR2 HUP; do trap \"echo $s >>/heard\" $s; done; ";
    let bundle = bundle().set("/root/readonly", false.into());
    bundle.sh(&format!(
        "{heard} trap 'echo TERM >>/heard; exit 3' TERM; echo ready >>/heard; \
         while :; do sleep 0.05; done"
    ))
}

/// While it runs, in the words of every tutorial.
const WHILE_IT_RUNS: &[&str] = &[
    "list",
    "list -q",
    "list --quiet",
    "list -f json",
    "list --format table",
    "state ID",
    "run ID",
    "create ID",
    "start ID",
    "delete ID",
    "kill ID WOBBLE",
    "kill ID SIGWOBBLE",
    "kill ID 99",
    "kill ID 0",
    "state ID",
];

fn run_list_state_kill() {
    let bundle = listener();
    the_same(&bundle, |runtime| {
        let _ = std::fs::remove_file(bundle.rootfs().join("heard"));
        let mut child = runtime.attached();
        let mut said = all(runtime, WHILE_IT_RUNS);
        for (signal, name) in
            [("USR1", "USR1"), ("SIGUSR2", "USR2"), ("1", "HUP"), ("usr1", "USR1")]
        {
            let heard = runtime.output().lines().count();
            said.extend(all(runtime, &[&format!("kill ID {signal}")]));
            wait_until("it has heard", || runtime.output().lines().count() > heard);
            assert!(runtime.output().ends_with(&format!("{name}\n")), "{signal}");
        }
        said.extend(all(runtime, &["kill ID"]));
        said.push(("run ID".into(), (child.wait().unwrap().code().unwrap(), runtime.output())));
        said.extend(all(runtime, &["state ID", "list", "delete ID", "delete --force ID"]));
        said
    });
}

fn create_start_kill_delete() {
    let bundle = bundle().args(["sleep", "1000"]);
    the_same(&bundle, |runtime| {
        let mut said = vec![("create ID".into(), runtime.silently("create ID"))];
        said.extend(all(runtime, &["state ID", "list", "create ID", "delete ID", "state ID"]));
        said.push(("create ID".into(), runtime.silently("create ID")));
        said.extend(all(runtime, &["start ID", "state ID", "delete ID", "kill ID KILL"]));
        wait_until("it has stopped", || runtime.status() == "stopped");
        said.extend(all(runtime, &["list", "state ID", "kill ID", "kill ID 9", "start ID"]));
        said.extend(all(runtime, &["delete ID", "delete ID", "delete --force ID", "list"]));
        said.push(("run -d ID".into(), runtime.silently("run --detach ID")));
        said.extend(all(runtime, &["state ID", "delete -f ID", "state ID", "list -q"]));
        said.push(("create ID".into(), runtime.silently("create ID")));
        said.extend(all(runtime, &["kill ID KILL"]));
        wait_until("it has stopped", || runtime.status() == "stopped");
        said.extend(all(runtime, &["start ID", "delete ID"]));
        said
    });
}

fn nothing_there_and_no_sense() {
    let bundle = bundle();
    the_same(&bundle, |runtime| {
        let nothing = ["list", "list -q", "list -f json", "state ID", "kill ID", "start ID"];
        let mut said = all(runtime, &nothing);
        said.extend(all(runtime, &["delete ID", "delete --force ID", "run a/b", "create a/b"]));
        said.extend(all(runtime, &["run -b /nowhere ID", "create -b / ID", "spec"]));
        said.extend(all(runtime, NO_SENSE));
        said
    });
}

fn the_root_by_its_path_and_its_readonly() {
    let script = "echo x >/written || exit 5; exit 42";
    let bundle = bundle().set("/root/path", "another".into()).sh(script);
    std::fs::rename(bundle.rootfs(), bundle.dir.join("another")).unwrap();
    let written = bundle.dir.join("another/written");
    the_same(&bundle, |runtime| all(runtime, &["run ID"]));
    assert!(!written.exists());
    let bundle = bundle.set("/root/readonly", false.into());
    the_same(&bundle, |runtime| {
        let said = all(runtime, &["run ID"]);
        assert_eq!(said[0].1.0, 42);
        std::fs::remove_file(&written).unwrap();
        said
    });
    let bundle = bundle.set("/root/path", "nowhere".into());
    the_same(&bundle, |runtime| all(runtime, &["run ID", "state ID", "list"]));
}

/// A program killed: 128 and the signal's number.
fn a_death_by_signal() {
    let bundle = listener();
    the_same(&bundle, |runtime| {
        let _ = std::fs::remove_file(bundle.rootfs().join("heard"));
        let mut child = runtime.attached();
        let mut said = all(runtime, &["kill ID SIGKILL"]);
        said.push(("run ID".into(), (child.wait().unwrap().code().unwrap(), runtime.output())));
        said
    });
}

/// Where the written config is another than runc's, and why. Newer releases of runc have some of it too.
const DIFFERENT: &[(&str, &str)] = &[
    ("ociVersion", "the specification that each is written to"),
    ("hostname", "a container says who made it"),
    ("process.capabilities.ambient", "without inheritable ones the kernel refuses them"),
    ("linux.maskedPaths[/proc/interrupts]", "its counts tell of the host's keys and disks"),
    ("linux.maskedPaths[/sys/devices/virtual/powercap]", "CVE-2020-8694: what others compute"),
    ("linux.namespaces[cgroup]", "runc writes it on cgroup v2 alone; v1 has paths to hide too"),
    (
        "linux.namespaces[network]",
        "rootless: one of its own takes no rights, and is what a container has",
    ),
    ("mounts[/sys].", "rootless: with a network namespace of its own, a /sys of its own"),
    ("mounts[/proc].options", "rootless: runc writes null for none"),
];

/// Every value by its path; of a list, by what names its members.
fn flat(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, v)| flat(&format!("{path}{dot}{key}"), v, found));
        }
        Value::Array(list) => list.iter().for_each(|one| {
            let name = one.get("destination").or(one.get("type")).unwrap_or(one);
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            flat(&format!("{path}[{name}]"), one, found);
        }),
        value => drop(found.insert(path.to_owned(), value.to_string())),
    }
}

fn the_config_is_runcs_but_for_a_list() {
    for more in [&[][..], &["--rootless"]] {
        let bundle = bundle();
        let configs = Runtime::both(&bundle).map(|runtime| {
            let _ = std::fs::remove_file(bundle.dir.join("config.json"));
            ran(runtime.command("spec").args(more)).ok();
            read(bundle.dir.join("config.json"))
        });
        let [runc, learnc] = configs.each_ref().map(|text| {
            let mut found = BTreeMap::new();
            flat("", &serde_json::from_str(text).unwrap(), &mut found);
            found
        });
        let paths = runc.keys().chain(learnc.keys());
        for path in paths.filter(|path| runc.get(*path) != learnc.get(*path)) {
            let (left, right) = (learnc.get(path), runc.get(path));
            let why = DIFFERENT.iter().find(|(known, _)| path.starts_with(known));
            assert!(why.is_some(), "{more:?} {path}: learnc {left:?}, runc {right:?}");
        }
        let fields = |text: &str| -> Vec<String> {
            let fields = text.lines().filter(|line| line.starts_with("\t\""));
            fields.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
        };
        assert_eq!(fields(&configs[1]), fields(&configs[0]), "the order in which one reads it");
    }
}

fn main() {
    let both = &[Need::Containers, Need::Busybox, Need::Runc];
    suite(vec![
        test("run, list, state, kill: as runc does", both, run_list_state_kill),
        test("create, start, kill, delete: as runc does", both, create_start_kill_delete),
        test("nothing there, and no sense: as runc does", both, nothing_there_and_no_sense),
        test(
            "root.path and root.readonly: as with runc",
            both,
            the_root_by_its_path_and_its_readonly,
        ),
        test("a death by signal is told as by runc", both, a_death_by_signal),
        test(
            "the config is runc's but for a list",
            &[Need::Runc],
            the_config_is_runcs_but_for_a_list,
        ),
    ]);
}
