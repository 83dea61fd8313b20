//! What is wrong in a layout or an archive is refused by name, and leaves nothing behind.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::bundle::{learnc, program, ran};
use support::images::*;
use support::kept::*;
use support::*;

/// What must not be believed: how it is changed, and what is said of it.
fn blob(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs").join(digest.replace(':', "/"))
}

fn bad_layouts_are_refused_and_leave_nothing() {
    type Change = fn(&Path, &Made);
    let cases: [(&str, Change); 10] = [
        ("oci-layout", |dir, _| std::fs::remove_file(dir.join("oci-layout")).unwrap()),
        ("version \"7.0.0\"", |dir, _| {
            let text = r#"{"imageLayoutVersion":"7.0.0"}"#;
            std::fs::write(dir.join("oci-layout"), text).unwrap();
        }),
        ("index: EOF", |dir, _| std::fs::write(dir.join("index.json"), "[").unwrap()),
        ("index: manifests[0].digest", |dir, _| {
            let entry = json!({ "mediaType": MANIFEST, "size": 1, "digest": "sha256:../../x" });
            let index = json!({ "schemaVersion": 2, "manifests": [entry] });
            std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
        }),
        ("no image is in it", |dir, _| {
            let index = json!({ "schemaVersion": 2, "manifests": [] });
            std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
        }),
        ("was asked for", |dir, made| {
            let path = blob(dir, made.digest());
            std::fs::write(path, "{}").unwrap();
        }),
        ("No such file", |dir, made| {
            std::fs::remove_file(blob(dir, made.digest())).unwrap();
        }),
        ("is no file", |dir, made| {
            let path = blob(dir, made.digest());
            std::fs::remove_file(&path).unwrap();
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("what came has", |dir, made| {
            let layer = &made.document(&made.top)["layers"][2]["digest"];
            let path = blob(dir, layer.as_str().unwrap());
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[0] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("are said of it", |dir, made| {
            let layer = &made.document(&made.top)["layers"][0]["digest"];
            std::fs::write(blob(dir, layer.as_str().unwrap()), "short").unwrap();
        }),
    ];
    for (number, (wanted, change)) in cases.into_iter().enumerate() {
        let (kept, made) = (kept(), sample("hello").made());
        let dir = kept.beside("app");
        made.layout(&dir, "v1");
        change(&dir, &made);
        kept.refuses(&format!("oci:{}", text(&dir)), wanted, number);
    }
}

fn bad_archives_are_refused_and_leave_nothing() {
    let made = sample("hello").made();
    let entries = made.docker_entries(&["app:1"]);
    let with = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = entries.clone();
        change(&mut entries);
        archive(&entries)
    };
    let list = |value: Value| {
        with(&|entries| {
            entries.pop();
            entries.push(file("manifest.json", value.to_string()));
        })
    };
    let whole = archive(&entries);
    let mut twice = entries.clone();
    twice.push(file("manifest.json", "[]"));
    let mut lies = sample("hello").made().docker_entries(&["app:1"]);
    lies[1] = file(&format!("{:064x}/layer.tar", 0), archive(&[file("x", "another")]));
    let mut zipped = lies.clone();
    zipped[1] = file(&format!("{:064x}/layer.tar", 0), gzip(&archive(&[file("x", "another")])));
    let cases: [(&str, Vec<u8>); 14] = [
        ("no complete tar archive", b"not at all".to_vec()),
        ("no complete tar archive", vec![]),
        ("the last part of it is missing", whole[..whole.len() - 1024].to_vec()),
        ("it ends in the middle", whole[..whole.len() - 1536].to_vec()),
        ("is in it twice", archive(&twice)),
        ("no \"manifest.json\"", archive(&entries[..1])),
        ("no image is in it", list(json!([]))),
        ("no \"etc/passwd\"", list(json!([{ "Config": "/etc/passwd", "Layers": [] }]))),
        ("0 layers, and 3 diff_ids", {
            let config =
                made.document(&made.top)["config"]["digest"].as_str().unwrap()[7..].to_owned();
            list(json!([{ "Config": format!("{config}.json"), "Layers": [] }]))
        }),
        ("manifest.json: missing field", list(json!([{ "Config": "x" }]))),
        ("what came has", archive(&lies)),
        ("this layer is not the config's", archive(&zipped)),
        (
            "links that lead to links",
            with(&|entries| {
                entries.pop();
                entries.push(symlink("manifest.json", "manifest.json"));
            }),
        ),
        ("compressed with xz", b"\xfd7zXZ\0 and more".to_vec()),
    ];
    for (number, (wanted, bytes)) in cases.into_iter().enumerate() {
        let kept = kept();
        let path = kept.beside("app.tar");
        std::fs::write(&path, bytes).unwrap();
        kept.refuses(&format!("docker-archive:{}", text(&path)), wanted, number);
    }
}

/// An image for another machine, which no index says.
fn an_image_for_another_platform_than_the_one_asked_for_is_refused() {
    let kept = kept();
    let place = format!("oci:{}", text(&kept.beside("app")));
    let other = sample("hello").set("/architecture", json!("s390x"));
    other.made().layout(&kept.beside("app"), "v1");
    let pull = |platform| kept.run(&["pull", "--quiet", "--platform", platform, &place]);
    let refused = pull("linux/riscv64");
    assert_eq!((refused.status, &*refused.stdout), (1, ""));
    for part in ["is for linux/s390x", "linux/riscv64 was asked for"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert!(kept.names().is_empty());
    pull("linux/s390x").ok();
    // Where nobody insists, it is kept with a warning.
    kept.pull(&place).ok();
    assert_eq!(kept.images()[0]["platforms"], json!(["linux/s390x"]));
}

fn a_store_that_may_not_be_looked_at_is_an_error_and_not_an_empty_one() {
    let kept = kept();
    sample("hello").made().layout(&kept.beside("app"), "v1");
    kept.pull(&format!("oci:{}", text(&kept.beside("app")))).ok();
    // A link in a circle is refused to root too.
    let circle = kept.beside("circle");
    std::fs::create_dir(&circle).unwrap();
    std::os::unix::fs::symlink("oci-layout", circle.join("oci-layout")).unwrap();
    for args in [&["images"][..], &["image", "check"], &["prune"], &["rmi", "x"]] {
        let answer = ran(learnc(args).arg("--store").arg(&circle));
        assert_eq!((answer.status, &*answer.stdout), (1, ""), "{args:?}");
        assert!(answer.stderr.contains("circle/oci-layout"), "{args:?}: {}", answer.stderr);
    }
    // What is not there cannot be as it should be.
    let checked = ran(learnc(["image", "check", "--store"]).arg(kept.beside("nowhere")));
    assert_eq!((checked.status, &*checked.stdout), (1, ""));
    assert!(checked.stderr.contains("/nowhere is no store"), "{}", checked.stderr);
}

/// Of another tool: it is read, and nothing is left in it.
fn a_layout_of_somebody_else_stays_as_it_is() {
    let kept = kept();
    let theirs = kept.beside("app");
    sample("hello").made().layout(&theirs, "v1");
    let list = || {
        let entries = std::fs::read_dir(&theirs).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = list();
    let on_theirs = |args: &[&str]| ran(learnc(args).arg("--store").arg(&theirs)).ok();
    on_theirs(&["image", "check"]);
    on_theirs(&["images"]);
    on_theirs(&["image", "inspect", "v1"]);
    on_theirs(&["unpack", "--quiet", "v1", text(&kept.beside("tree"))]);
    assert_eq!(list(), before);
}

fn what_is_to_be_unpacked_is_told_by_the_name_that_it_will_have() {
    let kept = kept();
    sample("hello").made().layout(&kept.beside("App"), "v1");
    let place = format!("oci:{}:v1", text(&kept.beside("App")));
    let tree = kept.beside("tree");
    let refused = kept.run(&["unpack", &place, text(&tree)]);
    assert_eq!(refused.status, 1);
    let wanted = format!("learnc unpack localhost/app:v1 {} --store", text(&tree));
    assert!(refused.stderr.contains(&wanted), "{wanted}: {}", refused.stderr);
    // And that is so.
    kept.pull(&place).ok();
    kept.run(&["unpack", "localhost/app:v1", text(&tree)]).ok();
    assert_eq!(std::fs::read_to_string(tree.join("etc/motd")).unwrap(), "hello");
}

/// Who reads on may go away; where it cannot be written, that is said.
fn what_cannot_be_said_is_an_error_and_a_reader_that_went_away_is_none() {
    let kept = kept();
    sample("hello").made().layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    kept.pull(&place).ok();
    let name = "localhost/app:v1";
    let verbs: [&[&str]; 8] = [
        &["images"],
        &["images", "--json"],
        &["images", "--quiet"],
        &["image", "check"],
        &["image", "inspect", "--json", name],
        &["image", "inspect", name],
        &["pull", "--quiet", &place],
        &["prune"],
    ];
    for args in verbs {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = kept.learnc(args).stdout(writer).output().unwrap();
        assert_eq!((closed.status.code(), &*closed.stderr), (Some(0), &b""[..]), "{args:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = kept.learnc(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("stdout: No space left on device"), "{args:?}: {said}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(learnc(["list"]).stdout(full).status().unwrap().code(), Some(1));
}

/// The beginning of a disk's worth of blobs, on one that is too small for them.
fn a_full_disk_is_named_with_what_gives_room() {
    let kept = kept();
    let image = image().layer(layer([file("big", noise(1, 2 << 20))]));
    image.made().layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    std::fs::create_dir(kept.dir()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m none {store} && exec {learnc} pull --quiet {place} --store {store}",
        store = text(&kept.dir()),
        learnc = text(&program()),
    );
    let refused = ran(std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]));
    assert_eq!(refused.status, 1);
    for part in ["No space left", &format!("no room is left in {}", text(&kept.dir())), "--store"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
}

fn main() {
    suite(vec![
        test(
            "an image for another platform than the one asked for is refused",
            &[],
            an_image_for_another_platform_than_the_one_asked_for_is_refused,
        ),
        test(
            "a store that may not be looked at is an error, and not an empty one",
            &[],
            a_store_that_may_not_be_looked_at_is_an_error_and_not_an_empty_one,
        ),
        test(
            "a layout of somebody else stays as it is",
            &[],
            a_layout_of_somebody_else_stays_as_it_is,
        ),
        test(
            "what is to be unpacked is told by the name that it will have",
            &[],
            what_is_to_be_unpacked_is_told_by_the_name_that_it_will_have,
        ),
        test(
            "what cannot be said is an error, and a reader that went away is none",
            &[],
            what_cannot_be_said_is_an_error_and_a_reader_that_went_away_is_none,
        ),
        test(
            "a full disk is named, with what gives room",
            &[Need::Root],
            a_full_disk_is_named_with_what_gives_room,
        ),
        test(
            "bad layouts are refused, and leave nothing",
            &[],
            bad_layouts_are_refused_and_leave_nothing,
        ),
        test(
            "bad archives are refused, and leave nothing",
            &[],
            bad_archives_are_refused_and_leave_nothing,
        ),
    ]);
}
