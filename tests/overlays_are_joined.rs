//! Layers joined by overlay: what the container sees, what is told of what it wrote, and that nobody takes a
//! layer away meanwhile.
//!
//! In the stage of that name, whose two layers learnc makes, and with images, whose layers the store shares.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::io::Read;
use std::process::{Command, Stdio};

use learnc::event::Event;
use serde_json::Value;
use support::bundle::ran;
use support::imaged::*;
use support::images::unpacked_layers;
use support::needs::BY_HAND;
use support::*;

/// Each file is that of the highest layer that has it; a whiteout has none.
fn the_stage_joins_two_layers() {
    let script = "grep -c learner /etc/passwd; ls /etc/hosts 2>/dev/null || echo hidden; ls /etc/group; \
                  grep -c ' / / rw.* - overlay overlay ' /proc/self/mountinfo";
    assert_eq!(inside(script), "1\nhidden\n/etc/group\n1\n");
}

/// What changed, by its rows, is what the program did, and what find(1) sees in upper while it still runs.
fn what_was_written_is_told() {
    let bundle = bundle();
    let events = bundle.dir.join("events.jsonl");
    let upper = bundle.data().join("learnc").join(&bundle.id).join("upper");
    let script = "echo x >> /etc/passwd; chmod 700 /root; rm /bin/ls; rm -r /var; mkdir /var; ln -s a /root/b; \
                  mkfifo /p; echo /tmp/x > /tmp/x; echo ready; read -r line";
    let mut command =
        bundle.learnc(["stage", "overlay", "--quiet", "--id", &bundle.id, "--events"]);
    command.arg(&events).args(["--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let mut find = Command::new("find");
    let found = ran(find.arg(&upper).args(["-mindepth", "1", "-printf", "%P %y\\n"])).ok().stdout;
    drop(child.stdin.take());
    child.wait().unwrap();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    let expected = [
        "bin d",
        "bin/ls c",
        "etc d",
        "etc/passwd f",
        "p p",
        "root d",
        "root/b l",
        "sys d",
        "sys/fs d",
        "sys/fs/cgroup d",
        "var d",
    ];
    assert_eq!(found, expected);
    let text = std::fs::read_to_string(&events).unwrap();
    let rows: Vec<String> = text
        .lines()
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            Event::Changed { rows } => Some(rows),
            _ => None,
        })
        .flatten()
        .filter(|row| row.property.starts_with("upper/"))
        .map(|row| [&*row.property, &*row.host, &*row.container, row.verdict.text()].join("|"))
        .collect();
    let wanted = [
        "upper/bin/ls|link to busybox|whiteout: character device 0:0|changed",
        "upper/etc/passwd|file, 113 bytes|copied up: file, 115 bytes|changed",
        "upper/p||made: pipe|new",
        "upper/root/b||made: link to a|new",
        "upper/sys/fs||made: directory|new",
        "upper/sys/fs/cgroup||made: directory|new",
        "upper/var|directory|opaque directory|changed",
    ];
    assert_eq!(rows, wanted);
}

/// Where the run's folder is on an overlay, no upper directory can be: the layers are copied.
fn overlay_on_overlay_is_a_copy_with_the_reason() {
    let bundle = bundle();
    let at = |name: &str| bundle.dir.join(name).display().to_string();
    for dir in ["low", "up", "wk", "on"] {
        std::fs::create_dir(bundle.dir.join(dir)).unwrap();
    }
    let mut command = bundle.learnc(["stage", "overlay"]);
    command.args(["--", "sh", "-c", "grep -c learner /etc/passwd; cat /etc/hosts"]);
    let words: Vec<String> =
        command.get_args().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let script = format!(
        "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {on} && \
         XDG_DATA_HOME={on} exec {} {}",
        at("low"),
        at("up"),
        at("wk"),
        bundle.program.display(),
        words.join(" "),
        on = at("on"),
    );
    let ran = ran(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert_eq!((ran.status, &*ran.stdout), (1, "1\n"), "{}", ran.stderr);
    let reason = "The layers are copied into one tree, not joined: the folder for it is on overlay";
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(reason), "{said}");
    assert!(!said.contains("lowerdir="), "{said}");
}

/// Files of the highest layer, whiteouts and opaque directories; and nothing of it stays.
fn the_layers_are_joined() {
    let place = place(base());
    let script = "grep -c web /etc/passwd; ls /srv; ls /etc/motd; grep -c ' / / .* - overlay ' /proc/self/mountinfo";
    let ran = place.run(&[], &["sh", "-c", script]);
    assert_eq!(ran.stdout, "1\nb\n1\n", "{}", ran.stderr);
    let script = "rm /etc/group && echo x > /srv/b && ls /etc";
    assert_eq!(place.says(&[], &["sh", "-c", script]), "passwd\n");
    assert_eq!(place.says(&[], &["cat", "/srv/b"]), "b");
    let left = |dir: &str| std::fs::read_dir(place.bundle.data().join(dir)).unwrap().count();
    assert_eq!(left("learnc"), 1, "the store alone is left");
    assert_eq!(left("learnc/images/users"), 0, "nobody uses a layer");
}

/// A container keeps its layers: prune leaves them until it is deleted.
fn layers_in_use_stay() {
    let place = place(base());
    let (name, image) = (place.bundle.id.clone(), place.image());
    let mut run =
        place.learnc(&["run", "--quiet", "-d", "--name", &name, &image, "--", "sleep", "1000"]);
    let status =
        run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    assert!(status.unwrap().success());
    let state = ran(&mut place.learnc(&["state", &name])).ok().stdout;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["annotations"]["org.opencontainers.image.os"], "linux");
    let layers = || unpacked_layers(&place.bundle.data().join("learnc/images")).len();
    assert_eq!(layers(), 2);
    let names = ran(&mut place.learnc(&["images"])).ok().stdout;
    assert!(names.contains("v1"), "{names}");
    let index = place.bundle.data().join("learnc/images/index.json");
    std::fs::write(&index, r#"{"schemaVersion": 2, "manifests": []}"#).unwrap();
    ran(&mut place.learnc(&["prune"])).ok();
    assert_eq!(layers(), 2, "taken away from under a program");
    ran(&mut place.learnc(&["delete", "--force", &name])).ok();
    ran(&mut place.learnc(&["prune"])).ok();
    assert_eq!(layers(), 0);
}

/// What is only shown pulls nothing and makes no container.
fn a_plan_is_of_what_is_there() {
    let place = place(base());
    let plan = ran(&mut place.learnc(&["run", "--plan", &place.image()]));
    assert!(plan.status != 0 && plan.stderr.contains("learnc pull"), "{plan:?}");
    let plan = ran(&mut place.learnc(&["run", "--plan", &place.pulled()])).ok().stdout;
    assert!(plan.contains("lowerdir=l/1:l/0,upperdir=upper"), "{plan}");
    assert!(plan.contains("None of them was made."), "{plan}");
    assert!(!place.bundle.state_root().exists());
}

fn by_hand_it_is_the_same_image() {
    let place = place(base());
    let script = ran(&mut place.learnc(&["run", "--by-hand", &place.pulled()])).ok().stdout;
    let path = place.bundle.dir.join("script");
    std::fs::write(&path, script).unwrap();
    let said = ran(Command::new("sh").arg(&path).stdin(std::process::Stdio::null()));
    assert_eq!((said.status, &*said.stdout), (0, "from Cmd\n"), "{said:?}");
}

/// An independent witness sees each call that is told, and no other.
fn what_is_told_is_what_the_kernel_saw() {
    let place = place(base());
    let name = place.pulled();
    for _ in 0..2 {
        let told = ran(&mut place.learnc(&["run", "--verify", &name]));
        assert_eq!((told.status, &*told.stdout), (0, "from Cmd\n"), "{}", told.stderr);
        assert!(told.stderr.contains("Join the layers into one tree"), "{}", told.stderr);
    }
}

/// What a script prints in the stage.
fn inside(script: &str) -> String {
    let bundle = bundle();
    let mut command = bundle.learnc(["stage", "overlay", "--quiet", "--", "sh", "-c", script]);
    ran(&mut command).ok().stdout
}

/// All of this as a user without rights.
fn a_stranger_joins_layers_too() {
    support::stranger::pass(5);
}

fn main() {
    let joins = [RUNS, &[Need::Joins]].concat();
    suite(vec![
        test("the stage joins two layers", RUNS, the_stage_joins_two_layers),
        test(
            "what was written is told",
            &[RUNS, &[Need::Attributes]].concat(),
            what_was_written_is_told,
        ),
        test(
            "overlay on overlay is a copy, with the reason",
            &[Need::Root, Need::Containers, Need::Busybox],
            overlay_on_overlay_is_a_copy_with_the_reason,
        ),
        test("the layers are joined", &joins, the_layers_are_joined),
        test("layers in use stay", &joins, layers_in_use_stay),
        test("a plan is of what is there", &joins, a_plan_is_of_what_is_there),
        test(
            "by hand it is the same image",
            &[&joins, BY_HAND].concat(),
            by_hand_it_is_the_same_image,
        ),
        test(
            "what is told is what the kernel saw",
            &[Need::Containers, Need::Busybox, Need::Ptrace, Need::SyscallInfo, Need::OwnIdMap],
            what_is_told_is_what_the_kernel_saw,
        ),
        test("a stranger joins layers too", &[Need::Strangers], a_stranger_joins_layers_too),
    ]);
}
