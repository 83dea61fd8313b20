//! Images come in from folders and archives: layouts, and what docker saves; and what is wrong in one is
//! refused by name, with nothing left behind.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::bundle::ran;
use support::images::*;
use support::kept::*;
use support::*;

fn archives_made_by_code_are_archives() {
    let place = folder();
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let made = layer([
        dir("bin"),
        file("bin/sh", b"#!").mode(0o755).owner(7, 8),
        symlink("bin/ash", "sh"),
        hard("bin/bash", "bin/sh"),
        file(&long, b"deep"),
        device("null", 1, 3),
        fifo("pipe"),
        whiteout("etc/motd"),
        whiteout("tmp"),
        opaque("var"),
    ]);
    for (name, bytes) in [("x.tar", &made.archive), ("x.tar.gz", &made.clone().gzip().stored)] {
        let path = place.join(name);
        std::fs::write(&path, bytes).unwrap();
        let listed = ran(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&path)).ok();
        let wanted = "-rwxr-xr-x 7/8|bin/ash -> sh|bin/bash link to bin/sh|1,3|prw-r--r--|\
                      etc/.wh.motd\n| .wh.tmp\n| var/.wh..wh..opq\n";
        assert!(listed.stdout.contains(&long));
        for part in wanted.split('|') {
            assert!(listed.stdout.contains(part), "{part}: {}", listed.stdout);
        }
        assert_eq!(listed.stderr, "");
    }
    assert_eq!(inflated("+zstd", &made.clone().zstd().stored), made.archive);
}

fn an_archive_of_a_layout_gives_the_same() {
    let (kept, made) = (kept(), sample("hello").made());
    let file = kept.beside("app.tar");
    made.oci_archive(&file, "quay.io/team/app:2");
    kept.pull(&format!("oci-archive:{}", text(&file))).ok();
    assert_eq!(kept.names(), ["quay.io/team/app:2"]);
    assert_eq!(kept.images()[0]["digest"], made.digest());
    kept.intact();
}

fn what_docker_saves_is_kept_as_an_image_with_its_config() {
    let (kept, made) = (kept(), sample("hello").made());
    let (file, zipped) = (kept.beside("app.tar"), kept.beside("app.tar.gz"));
    made.docker_archive(&file, &["app:1"]);
    std::fs::write(&zipped, gzip(&std::fs::read(&file).unwrap())).unwrap();
    let first = kept.pull(&format!("docker-archive:{}", text(&file))).ok();
    assert!(first.stdout.starts_with("docker.io/library/app:1 sha256:"), "{}", first.stdout);
    let config = made.document(&made.top)["config"]["digest"].clone();
    let manifest = std::fs::read(kept.blob(first.stdout.trim_end().split(' ').nth(1).unwrap()));
    let manifest: Value = serde_json::from_slice(&manifest.unwrap()).unwrap();
    assert_eq!(manifest["config"]["digest"], config);
    // As a stream, zipped as a whole, and both: the same image each time.
    assert_eq!(kept.pull_from(&file, "docker-archive:-").ok().stdout, first.stdout);
    assert_eq!(kept.pull_from(&zipped, "docker-archive:-").ok().stdout, first.stdout);
    let named = format!("docker-archive:{}:app:1", text(&zipped));
    assert_eq!(kept.pull(&named).ok().stdout, first.stdout);
    assert_eq!(kept.intact()["unfinished"], json!([]));
}

fn layers_of_an_archive_may_be_links_and_may_be_zipped() {
    let kept = kept();
    let same = layer([file("a", b"a")]);
    let made = image().layer(same.clone()).layer(same.clone()).made();
    let mut entries = made.docker_entries(&["app:1"]);
    let second = format!("{:064x}/layer.tar", 1);
    entries[1] = file(&format!("{:064x}/layer.tar", 0), &same.clone().gzip().stored);
    entries[2] = symlink(&second, &format!("../{:064x}/layer.tar", 0));
    let path = kept.beside("app.tar");
    std::fs::write(&path, archive(&entries)).unwrap();
    kept.pull(&format!("docker-archive:{}", text(&path))).ok();
    assert_eq!(kept.intact()["blobs"], 3);
    assert_eq!(kept.images()[0]["lacks"], json!([]));
}

fn of_several_images_one_is_named_or_all_are_listed() {
    let kept = kept();
    let (one, two) = (sample("one").made(), sample("two").made());
    let dir = kept.beside("both");
    one.layout(&dir, "one");
    two.layout(&dir, "two");
    let refused = kept.pull(&format!("oci:{}", text(&dir)));
    assert_eq!(refused.status, 1);
    for part in ["2 images are in it", "one, two", "both:NAME"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let pulled = kept.pull(&format!("oci:{}:two", text(&dir))).ok();
    assert!(pulled.stdout.contains(two.digest()));

    let mut entries = one.docker_entries(&["app:1"]);
    let mut more = two.docker_entries(&["app:2"]);
    let lists = [entries.pop().unwrap(), more.pop().unwrap()].map(|entry| entry.bytes);
    let lists = lists.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap()[0].take());
    entries.extend(more.into_iter().enumerate().map(|(n, entry)| entry.renamed(&format!("{n}"))));
    let mut second = lists[1].clone();
    second["Config"] = json!("0");
    second["Layers"] = json!(["1", "2", "3"]);
    entries.push(file("manifest.json", json!([lists[0], second]).to_string()));
    let path = kept.beside("both.tar");
    std::fs::write(&path, archive(&entries)).unwrap();
    let refused = kept.pull(&format!("docker-archive:{}", text(&path)));
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("app:1, app:2"), "{}", refused.stderr);
    let pulled = kept.pull(&format!("docker-archive:{}:app:2", text(&path))).ok();
    assert!(pulled.stdout.starts_with("docker.io/library/app:2 "), "{}", pulled.stdout);
    kept.intact();
}

fn what_skopeo_writes_is_read() {
    let kept = kept();
    let made = image()
        .layer(layer([file("a", b"a")]).gzip())
        .layer(layer([file("b", b"b")]).gzip())
        .made();
    made.layout(&kept.beside("app"), "v1");
    let from = format!("oci:{}:v1", text(&kept.beside("app")));
    let places = [
        "oci:SKOPEO/layout:v2",
        "oci-archive:SKOPEO/x.tar:v3",
        "docker-archive:SKOPEO/y.tar:app:4",
    ];
    std::fs::create_dir(kept.beside("skopeo")).unwrap();
    for place in places {
        let place = place.replace("SKOPEO", text(&kept.beside("skopeo")));
        ran(Command::new("skopeo").args(["copy", "--quiet", &from, &place])).ok();
        let pulled = kept.pull(&place).ok();
        if !place.starts_with("docker") {
            assert!(pulled.stdout.contains(made.digest()), "{}", pulled.stdout);
        }
    }
    let names = ["docker.io/library/app:4", "localhost/layout:v2", "localhost/x:v3"];
    assert_eq!(kept.names(), names);
    kept.intact();
}

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

fn main() {
    suite(vec![
        test(
            "archives that tests make by code are archives to tar",
            &[],
            archives_made_by_code_are_archives,
        ),
        test("an archive of a layout gives the same", &[], an_archive_of_a_layout_gives_the_same),
        test(
            "what docker saves is kept as an image with its config",
            &[],
            what_docker_saves_is_kept_as_an_image_with_its_config,
        ),
        test(
            "layers of an archive may be links, and may be zipped",
            &[],
            layers_of_an_archive_may_be_links_and_may_be_zipped,
        ),
        test(
            "of several images one is named, or all are listed",
            &[],
            of_several_images_one_is_named_or_all_are_listed,
        ),
        test("what skopeo writes is read", &[Need::Skopeo], what_skopeo_writes_is_read),
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
