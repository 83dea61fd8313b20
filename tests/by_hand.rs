//! `--by-hand`: the script makes the container that learnc makes, and leaves the host as learnc does.
//!
//! Both are run with the same plan, one after the other, and looked at from outside while the program
//! waits: namespaces, maps, mounts, cgroup, limits, capabilities, environment, descriptors, devices.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

use std::process::{Command, Stdio};

use serde_json::{Value, json};
mod support;
use support::host::{Host, in_a_mount_table_of_its_own};
use support::needs::BY_HAND;
use support::portrait::{Portrait, portrayed};
use support::script::{ByHand, WAITS, chroot_only, own_data, waiting};
use support::*;

fn compared(bundle: Bundle, args: &[&str]) -> (Portrait, Ran) {
    compared_by(bundle, "run", args)
}

/// Makes the container both ways: the one by hand, and what the script said.
fn compared_by(bundle: Bundle, verb: &str, args: &[&str]) -> (Portrait, Ran) {
    let id = bundle.id.clone();
    let program = ["sh", "-c", WAITS, &id];
    let by_hand = ByHand::printed_by(bundle, verb, args);
    let bundle = &by_hand.bundle;
    let mut learnc = bundle.learnc([verb, "--quiet"]);
    let (made, learncs) = portrayed(own_data(&mut learnc, bundle).args(args), &program);
    assert_eq!(learncs.status, 42, "{learncs:?}");
    let before = Host::of(bundle);
    let (portrait, ran) = portrayed(&mut by_hand.command(), &program);
    assert_eq!((ran.status, &ran.stdout), (42, &learncs.stdout), "{ran:?}");
    if let Some(difference) = portrait.differs_from(&made) {
        panic!("by hand, and by learnc:\n{difference}");
    }
    by_hand.assert_nothing_is_left();
    if let Some(difference) = before.differs_from(&Host::of(bundle)) {
        panic!("{difference}");
    }
    (portrait, ran)
}

fn same(bundle: Bundle) -> (Portrait, Ran) {
    let bundle = waiting(bundle);
    let id = bundle.id.clone();
    compared(bundle, &[&id])
}

fn a_run_of_its_own_making_is_the_same() {
    let bundle = bundle();
    let id = bundle.id.clone();
    let (portrait, _) = compared(bundle, &["--", "sh", "-c", WAITS, &id]);
    assert_eq!(portrait.get("pid namespace"), "new");
    assert_eq!(portrait.get("time namespace"), "shared");
    assert!(portrait.get("mount /proc").contains(" proc "));
    assert_eq!(portrait.get("NoNewPrivs"), "1");
}

/// The same command, started as nohup(1) starts one.
fn ignoring_hangups(command: &Command) -> Command {
    let mut deaf = Command::new("sh");
    deaf.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    deaf.arg(command.get_program()).args(command.get_args());
    deaf.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.get_current_dir().iter().for_each(|dir| {
        deaf.current_dir(dir);
    });
    deaf.stdin(Stdio::null());
    deaf
}

fn what_it_was_started_to_ignore_is_the_same() {
    let bundle = waiting(bundle());
    let id = bundle.id.clone();
    let program = ["sh", "-c", WAITS, &id];
    let by_hand = ByHand::of(bundle);
    let mut learnc = by_hand.bundle.learnc(["run", "--quiet"]);
    let learnc = own_data(&mut learnc, &by_hand.bundle).arg(&id);
    let (made, _) = portrayed(&mut ignoring_hangups(learnc), &program);
    let (portrait, _) = portrayed(&mut ignoring_hangups(&by_hand.command()), &program);
    assert_eq!(portrait.get("SigIgn"), made.get("SigIgn"));
    let ignored = u64::from_str_radix(made.get("SigIgn"), 16).unwrap();
    assert_eq!(ignored & 1, 1, "SIGHUP stays ignored");
}

/// What changed is the same by hand as by learnc, stage by stage.
fn each_stage_is_the_same() {
    for stage in stages().filter(|stage| stage.has_program()) {
        let bundle = bundle();
        let id = bundle.id.clone();
        let program = ["--", "sh", "-c", WAITS, &id];
        compared_by(bundle, "stage", &[&[&*stage.name, "--id", &id], &program[..]].concat());
    }
}

/// The stage that starts nothing: the trees are the same, as the visitor sees them.
fn a_tree_is_the_same() {
    let list = "find . -printf '%y %m %U %s %p %l\\n' | grep -v '^d' | sort; exit 42";
    let args = ["rootfs", "--", "sh", "-c", list];
    let by_hand = ByHand::printed_by(bundle(), "stage", &args);
    let mut learnc = by_hand.bundle.learnc(["stage", "--quiet"]);
    let learncs = support::bundle::ran(own_data(&mut learnc, &by_hand.bundle).args(args));
    let ran = support::bundle::ran(&mut by_hand.command());
    assert_eq!((ran.status, learncs.status), (42, 42), "{ran:?}");
    assert!(ran.stdout.contains("./bin/sh"), "{}", ran.stdout);
    assert_eq!(ran.stdout, learncs.stdout);
    by_hand.assert_nothing_is_left();
}

fn a_bundle_is_the_same() {
    let (portrait, ran) = same(bundle().hostname("fern"));
    assert!(portrait.get("mount /").contains(" ro,"), "{}", portrait.get("mount /"));
    assert!(ran.stderr.contains("not by hand: 1/"), "{}", ran.stderr);
}

fn nothing_but_a_change_of_root_is_the_same() {
    for cwd in ["/", "/tmp"] {
        let bundle = chroot_only().set("/process/cwd", json!(cwd));
        let (portrait, ran) = same(bundle);
        assert_eq!(portrait.get("mnt namespace"), "shared");
        assert_eq!(
            portrait.get("cwd").trim_end_matches('/'),
            format!("<rootfs>{cwd}").trim_end_matches('/')
        );
        assert!(!ran.stderr.contains("CAP_SYS_CHROOT"), "{}", ran.stderr);
    }
}

fn a_root_that_is_moved_is_the_same() {
    let bundle = waiting(bundle());
    let id = bundle.id.clone();
    // The program is started through chroot, which takes a capability.
    let bundle = bundle.without("/process/capabilities");
    compared(bundle, &["--no-pivot", &id]);
}

fn every_limit_is_the_same() {
    let resources = json!({
        "pids": {"limit": 30}, "memory": {"limit": 200_000_000, "reservation": 100_000_000},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}
    });
    let bundle = bundle().set("/linux/resources", resources);
    let bundle = bundle.set("/process/oomScoreAdj", json!(500)).set(
        "/process/rlimits",
        json!([
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}
        ]),
    );
    let (portrait, _) = same(bundle);
    let pids = ["pids:pids.max", ":pids.max"].map(|file| portrait.get(file).trim());
    assert!(pids.contains(&"30"), "{pids:?}");
    assert_eq!(portrait.get("oom_score_adj").trim(), "500");
}

fn a_user_namespace_is_the_same() {
    let map = json!([{"containerID": 0, "hostID": 300_000, "size": 65_536}]);
    let bundle = bundle().set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let mut namespaces = bundle.config["linux"]["namespaces"].clone();
    namespaces.as_array_mut().unwrap().push(json!({"type": "user"}));
    let bundle = bundle.set("/linux/namespaces", namespaces).without("/linux/resources");
    let (portrait, _) = same(bundle);
    assert_eq!(portrait.get("user namespace"), "new");
    assert!(portrait.get("uid_map").contains("300000"));
}

fn another_user_with_more_of_everything_is_the_same() {
    let capabilities = json!(["CAP_NET_BIND_SERVICE", "CAP_KILL"]);
    let sets = ["bounding", "effective", "permitted", "inheritable", "ambient"];
    let bundle = sets.iter().fold(bundle(), |bundle, set| {
        bundle.set(&format!("/process/capabilities/{set}"), capabilities.clone())
    });
    let user = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 7], "umask": 63});
    let env = ["PATH=/bin", "QUOTED=it's $HOME \\n \"x\"", "LINES=a\nDO\n.\nb", "PWD=/elsewhere"];
    let source = bundle.dir.join("shared file");
    std::fs::write(&source, "text").unwrap();
    let mut mounts = bundle.config["mounts"].clone();
    let options = json!(["bind", "ro", "nosuid", "rprivate"]);
    mounts.as_array_mut().unwrap().extend([
        json!({"destination": "/tmp/a file", "source": source, "options": options}),
        json!({"destination": "/tmp/more", "type": "tmpfs", "options": ["noexec", "size=1m"]}),
    ]);
    let bundle = bundle
        .set("/process/user", user)
        .set("/process/env", json!(env))
        .set("/process/cwd", json!("/tmp/more"))
        .hostname("it's $(id)_x")
        .set("/domainname", json!("garden"))
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/rootfsPropagation", json!("rshared"))
        .set("/mounts", mounts);
    let device = json!([{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229,
                         "fileMode": 0o640, "uid": 1000, "gid": 5}]);
    let (portrait, ran) = same(bundle.set("/linux/devices", device));
    assert_eq!(portrait.get("CapAmb"), "0000000000000420");
    assert!(ran.stdout.starts_with("it's $(id)_x\ngarden\n"), "{}", ran.stdout);
    assert_eq!(portrait.get("cwd"), "/tmp/more");
    assert_eq!(portrait.get("Umask"), "0077");
    assert!(portrait.get("environ").contains("it's $HOME \\n \"x\""));
}

/// What the program's user may not make, its capabilities may, which are gone when it begins.
fn a_directory_made_for_another_user_is_the_same() {
    let capabilities = json!(["CAP_DAC_OVERRIDE"]);
    let bundle = bundle()
        .set("/process/user", json!({"uid": 1000, "gid": 1001}))
        .set("/process/cwd", json!("/srv/made here/below"))
        .set("/process/capabilities/permitted", capabilities.clone())
        .set("/process/capabilities/effective", capabilities.clone())
        .set("/process/capabilities/bounding", capabilities)
        .set("/root/readonly", json!(false))
        .sh("pwd; stat -c %u:%g . ..");
    let id = bundle.id.clone();
    let by_hand = ByHand::printed_by(bundle, "run", &[&id]);
    let said = support::bundle::ran(&mut by_hand.command()).ok().stdout;
    assert_eq!(said, "/srv/made here/below\n1000:1001\n1000:1001\n");
    std::fs::remove_dir_all(by_hand.bundle.rootfs().join("srv/made here")).unwrap();
    assert_eq!(by_hand.bundle.run().ok().stdout, said);
    by_hand.assert_nothing_is_left();
}

fn an_environment_that_no_shell_can_have_is_the_same() {
    let env = json!(["PATH=/bin", "with.dot=1", "PPID=none"]);
    let (portrait, _) = same(bundle().set("/process/env", env));
    assert!(portrait.get("environ").contains("with.dot=1"));
}

fn a_network_that_is_joined_is_the_same() {
    let mut holder = Command::new("unshare");
    holder.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    wait_until("there is a network to join", || std::fs::read_link(&path).unwrap() != own);
    let joined = std::panic::catch_unwind(|| {
        let mut namespaces = bundle().config["linux"]["namespaces"].clone();
        let of_net = |entry: &&mut Value| entry["type"] == "network";
        namespaces.as_array_mut().unwrap().iter_mut().find(of_net).unwrap()["path"] = json!(path);
        same(bundle().set("/linux/namespaces", namespaces));
    });
    drop(holder.stdin.take());
    holder.wait().unwrap();
    joined.unwrap();
}

/// The same, as a user without rights.
fn a_stranger_passes_too() {
    support::stranger::pass(5);
}

const ROOT: &[Need] = &[Need::Root, Need::Containers, Need::Busybox, Need::HandTools];
const LIMITS: &[Need] = &[Need::Containers, Need::Busybox, Need::HandTools, Need::Limits];
const STRANGER: &[Need] = &[
    Need::Root,
    Need::Containers,
    Need::Busybox,
    Need::HandTools,
    Need::Strangers,
    Need::Patience,
];

fn main() {
    in_a_mount_table_of_its_own();
    suite(vec![
        test("a run of its own making is the same", BY_HAND, a_run_of_its_own_making_is_the_same),
        test("each stage is the same", BY_HAND, each_stage_is_the_same),
        test("a tree is the same", BY_HAND, a_tree_is_the_same),
        test("a bundle is the same", BY_HAND, a_bundle_is_the_same),
        test(
            "nothing but a change of root is the same",
            BY_HAND,
            nothing_but_a_change_of_root_is_the_same,
        ),
        test("a root that is moved is the same", BY_HAND, a_root_that_is_moved_is_the_same),
        test("every limit is the same", LIMITS, every_limit_is_the_same),
        test("a user namespace is the same", ROOT, a_user_namespace_is_the_same),
        test(
            "another user with more of everything is the same",
            ROOT,
            another_user_with_more_of_everything_is_the_same,
        ),
        test(
            "a directory made for another user is the same",
            ROOT,
            a_directory_made_for_another_user_is_the_same,
        ),
        test(
            "an environment that no shell can have is the same",
            BY_HAND,
            an_environment_that_no_shell_can_have_is_the_same,
        ),
        test("a network that is joined is the same", ROOT, a_network_that_is_joined_is_the_same),
        test(
            "what it was started to ignore is the same",
            BY_HAND,
            what_it_was_started_to_ignore_is_the_same,
        ),
        test("a stranger passes too", STRANGER, a_stranger_passes_too),
    ]);
}
