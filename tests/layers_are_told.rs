//! What is said of a layer: its entries, without making any of it, and how often which call was made.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::Command;

use learnc::image::document::Descriptor;
use learnc::image::layer::Limits;
use learnc::image::layer::list::{Listed, What, list};
use learnc::image::layer::tar::Kind;
use support::bundle::{ran, read};
use support::images::*;
use support::*;

fn a_layer_is_listed_without_being_made() {
    let made = layer([
        dir("d").mode(0o711).owner(3, 4),
        file("d/f", b"hello").time(9).xattr("user.a", b"1"),
        hard("second", "d/f"),
        whiteout("d/gone"),
        opaque("emptied"),
        file(".wh..wh.aufs", b""),
    ])
    .gzip();
    let descriptor = Descriptor::new(&made.media_type, &made.stored);
    let diff_id = made.diff_id.parse().unwrap();
    let mut seen = vec![];
    let mut each = |listed: Listed| {
        seen.push(listed);
        Ok(())
    };
    let limits = Limits::default();
    let sums = list(&mut &made.stored[..], &descriptor, &diff_id, &limits, &mut each).unwrap();
    assert_eq!(sums.archive, (diff_id, made.archive.len() as u64));
    let lines: Vec<_> =
        seen.iter().map(|one| (one.path.to_str().unwrap(), one.what.clone())).collect();
    let second = What::Made(Kind::HardLink(b"d/f".to_vec()));
    assert_eq!(
        lines,
        [
            ("d", What::Made(Kind::Directory)),
            ("d/f", What::Made(Kind::File)),
            ("second", second),
            ("d/gone", What::Gone),
            ("emptied", What::Emptied),
        ]
    );
    assert_eq!((seen[0].mode, seen[0].uid, seen[0].gid), (0o711, 3, 4));
    assert_eq!((seen[1].size, seen[1].modified.seconds, seen[1].xattrs.len()), (5, 9, 1));
}

/// strace is the witness of the numbers, too.
fn the_calls_are_told_by_their_true_numbers() {
    let place = folder();
    let entries = layer([
        dir("d").xattr("user.a", b"1"),
        file("d/f", b"hello"),
        hard("d/second", "d/f"),
        symlink("d/l", "f"),
        fifo("p"),
        file("implied/f", b""),
    ]);
    let upper = layer([whiteout("d/f"), file("p", b"no pipe")]);
    image().layer(entries.gzip()).layer(upper).made().layout(&place.join("store"), "localhost/x:1");
    let (log, events) = (place.join("log"), place.join("events"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&log).arg(support::bundle::program()).arg("unpack");
    strace.arg("--events").arg(&events).arg("--store").arg(place.join("store"));
    ran(strace.arg("localhost/x:1").arg(place.join("tree"))).ok();
    let (log, events) = (read(&log), read(&events));
    for name in [
        "mkdirat",
        "linkat",
        "symlinkat",
        "mknodat",
        "unlinkat",
        "lsetxattr",
        "utimensat",
        "fchmod",
        "fchmodat",
        "fchownat",
    ] {
        let made = log.lines().filter(|line| line.contains(&format!(" {name}("))).count() as u64;
        let told: u64 = events
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|event| match event["type"].as_str() {
                Some("bulk") => event["calls"][name].as_u64().unwrap_or(0),
                Some("syscall") => u64::from(event["name"] == name),
                _ => 0,
            })
            .sum();
        assert_eq!(made, told, "{name}\n{log}\n{events}");
        assert!(made > 0 || name == "fchownat", "{name} is not tried");
    }
}

fn main() {
    suite(vec![
        test("a layer is listed without being made", &[], a_layer_is_listed_without_being_made),
        test(
            "calls are told by their true numbers",
            &[Need::Strace, Need::Ptrace],
            the_calls_are_told_by_their_true_numbers,
        ),
    ]);
}
