//! Where newuidmap and newgidmap map a user's ranges, what is told is what the kernel saw, from the maps to the
//! removal of files that only root of such a namespace can remove.
//!
//! As in tests/narration_is_true.rs; there the programs would lose their rights under an ordinary user's strace.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::MetadataExt;

use support::bundle::ran;
use support::imaged::base;
use support::images::*;
use support::ranged::Ranged;
use support::rules::rules;
use support::said::{Said, compare, read};
use support::strace::{first, read_all};
use support::*;

/// Runs a learnc command of the user's under strace, holds what it said against that, and gives it back.
fn told_truly(user: &Ranged, tag: &str, args: &[&str]) -> Vec<Said> {
    let traces = user.dir.join(format!("{tag}.d"));
    std::fs::create_dir(&traces).unwrap();
    std::os::unix::fs::chown(&traces, Some(Ranged::outside(0)), None).unwrap();
    let (events, prefix) = (traces.join("events.jsonl"), traces.join("trace"));
    let (verb, rest) = args.split_first().unwrap();
    let said = [&[verb, "--events", events.to_str().unwrap()], rest].concat();
    let ran = ran(&mut user.learnc(&said, Some(&prefix)));
    assert_eq!(ran.status, 0, "{ran:?}");
    let (said, seen) = (read(&events), read_all(&prefix));
    let wrong = compare(&said, &seen, first(&seen), &rules());
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), ran.stderr);
    said
}

fn count(said: &[Said], name: &str) -> usize {
    said.iter().filter(|call| call.name == name).count()
}

fn a_run_with_ranges() {
    let user = Ranged::new("run");
    let said = told_truly(&user, "run", &["run", "--", "true"]);
    assert!(said.len() > 200, "only {} were said", said.len());
    // newuidmap, newgidmap, and the program.
    assert_eq!((count(&said, "clone3"), count(&said, "execve")), (3, 3));
}

fn what_was_given_away_is_taken_away() {
    let user = Ranged::new("gift");
    base().made().layout(&user.dir.join("layout"), "v1");
    let image = format!("oci:{}:v1", user.dir.join("layout").display());
    let pulled = ran(&mut user.learnc(&["pull", "--quiet", "--unpack", &image], None)).ok();
    let name = pulled.stdout.split(' ').next().unwrap().to_owned();
    let give = "mkdir /q; touch /q/f; chown -R 5:6 /q; chmod 700 /q";
    let keep = ["run", "--changes", "--keep", "--name", "gift", &name, "--", "sh", "-c", give];
    told_truly(&user, "run", &keep);
    let gift = user.home().join(".local/share/learnc/gift/upper/q").metadata().unwrap();
    assert_eq!((gift.uid(), gift.gid()), (Ranged::outside(5), Ranged::outside(6)));
    let said = told_truly(&user, "delete", &["delete", "gift"]);
    // Of the child that is root of a namespace, and of the two programs that map it.
    assert_eq!((count(&said, "clone3"), count(&said, "execve")), (3, 2));
    assert_eq!(count(&said, "prctl"), 1);
    assert!(!user.home().join(".local/share/learnc/gift").exists());
}

/// A folder with the set-group-id bit gives its group to all that is made in it, and the namespace has no such group:
/// root of it may not give such a file away.
fn what_cannot_be_given_away_stays_roots() {
    let user = Ranged::new("group");
    let closed = [dir("home").owner(33, 34), file("home/letter", "dear").owner(33, 34)];
    base().layer(layer(closed)).made().layout(&user.dir.join("layout"), "v1");
    let shared = user.dir.join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::os::unix::fs::chown(&shared, Some(Ranged::outside(0)), Some(999)).unwrap();
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o2755))
        .unwrap();
    let image = format!("oci:{}:v1", user.dir.join("layout").display());
    let store = shared.join("images").display().to_string();
    let show = ["--", "stat", "-c", "%u", "/home/letter"];
    let run = [&["run", "--quiet", "--store", &store, &image], &show[..]].concat();
    assert_eq!(ran(&mut user.learnc(&run, None)).ok().stdout, "0\n");
}

fn main() {
    let needs: &[Need] = &[
        Need::Strangers,
        Need::Containers,
        Need::Busybox,
        Need::Strace,
        Need::Ptrace,
        Need::IdMaps,
    ];
    suite(vec![
        test("a run with ranges", needs, a_run_with_ranges),
        test(
            "what cannot be given away stays root's",
            needs,
            what_cannot_be_given_away_stays_roots,
        ),
        test("what was given away is taken away", needs, what_was_given_away_is_taken_away),
    ]);
}
