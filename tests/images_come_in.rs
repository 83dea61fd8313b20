//! Images come in from folders and archives: layouts, and what docker, podman and skopeo save.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

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
    let unknown = kept.pull(&format!("docker-archive:{}:app:3", text(&path)));
    let try_this = "try      docker-archive:FILE:NAME";
    assert!(unknown.status == 1 && unknown.stderr.contains(try_this), "{}", unknown.stderr);
    let pulled = kept.pull(&format!("docker-archive:{}:app:2", text(&path))).ok();
    assert!(pulled.stdout.starts_with("docker.io/library/app:2 "), "{}", pulled.stdout);
    kept.intact();
}

/// Changes one byte, so that the size stays as it was.
fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn what_is_damaged_in_the_store_is_told_and_comes_anew() {
    let (kept, made) = (kept(), several([sample("hello")]));
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    let first = kept.pull(&place).ok().stdout;
    let events = kept.beside("events");
    assert_eq!(made.blobs.len(), 6);
    for (digest, bytes) in &made.blobs {
        damage(&kept.blob(digest));
        assert!(kept.check()["problems"].to_string().contains("what is in it has"));
        let pulled = kept.run(&["pull", "--quiet", "--events", text(&events), &place]).ok();
        assert_eq!(pulled.stdout, first);
        assert_eq!(std::fs::read(kept.blob(digest)).unwrap(), *bytes);
        let told = std::fs::read_to_string(&events).unwrap();
        let told = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told: Vec<Value> = told.filter(|event| event["claimed"] == **digest).collect();
        let wrong = told.iter().filter(|event| event["computed"] != **digest);
        assert_eq!(wrong.count(), 1, "{digest}: {told:?}");
        assert!(told.iter().any(|event| event["computed"] == **digest), "{digest}: {told:?}");
        kept.intact();
    }
    // The same while its layers are unpacked on the way.
    let layer = made.document(&made.document(&made.top)["manifests"][0])["layers"][0].clone();
    damage(&kept.blob(layer["digest"].as_str().unwrap()));
    let refused = kept.run(&["unpack", "localhost/app:v1", text(&kept.beside("tree"))]);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("try      learnc pull NAME, or"), "{}", refused.stderr);
    kept.run(&["pull", "--quiet", "--unpack", &place]).ok();
    assert_eq!(kept.intact()["unpacked"].as_array().unwrap().len(), 3);
    // And what is here for another machine, when the image for this one is pulled.
    let other = sample("other").set("/architecture", json!("s390x"));
    let both = several([sample("hello"), other.clone()]);
    both.layout(&kept.beside("both"), "v1");
    let place = format!("oci:{}", text(&kept.beside("both")));
    kept.run(&["pull", "--quiet", "--platform", "linux/s390x", &place]).ok();
    for (digest, bytes) in other.made().blobs {
        damage(&kept.blob(&digest));
        kept.pull(&place).ok();
        kept.intact();
        assert!(std::fs::read(kept.blob(&digest)).is_ok_and(|now| now == bytes), "{digest}");
    }
}

/// Half of an image is none: what is here for this machine is as it was.
fn a_refused_image_for_another_platform_harms_none_that_is_here() {
    let kept = kept();
    let other = sample("other").set("/architecture", json!("s390x"));
    several([sample("hello"), other.clone()]).layout(&kept.beside("both"), "v1");
    let place = format!("oci:{}", text(&kept.beside("both")));
    kept.pull(&place).ok();
    let before = kept.images();
    let made = other.made();
    let layers = made.document(&made.top)["layers"].clone();
    let digests = layers.as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap());
    let mut own = digests.filter(|digest| !kept.blob(digest).exists());
    let lost = kept.beside("both/blobs").join(own.next().unwrap().replace(':', "/"));
    std::fs::remove_file(lost).unwrap();
    let refused = kept.run(&["pull", "--quiet", "--platform", "linux/s390x", &place]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert_eq!(kept.images(), before);
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

fn what_podman_saves_is_read() {
    let kept = kept();
    let made =
        image().layer(layer([file("a", b"a")]).gzip()).layer(layer([dir("b")]).gzip()).made();
    made.layout(&kept.beside("app"), "v1");
    let podman = |args: &[&str]| {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(kept.beside("podman")).arg("--runroot").arg(kept.beside("run"));
        ran(podman.args(["--storage-driver", "vfs"]).args(args)).ok().stdout
    };
    let id = podman(&["pull", "-q", &format!("oci:{}:v1", text(&kept.beside("app")))]);
    // In full: what a shorter name means is in a file of root's, which the small machine of another user cannot read.
    let name = "localhost/app:7";
    podman(&["tag", id.trim_end(), name]);
    for format in ["docker-archive", "oci-archive"] {
        let file = kept.beside(format);
        podman(&["save", "-q", "--format", format, "-o", text(&file), name]);
        let pulled = kept.pull(&format!("{format}:{}", text(&file))).ok();
        assert!(pulled.stdout.starts_with("localhost/app:7 sha256:"), "{}", pulled.stdout);
        let top = kept.blob(pulled.stdout.trim_end().rsplit(' ').next().unwrap());
        let manifest: Value = serde_json::from_slice(&std::fs::read(top).unwrap()).unwrap();
        assert_eq!(manifest["config"]["digest"], format!("sha256:{}", id.trim_end()));
        kept.intact();
    }
    podman(&["rmi", "--all", "--force"]);
}

fn main() {
    suite(vec![
        test(
            "a refused image for another platform harms none that is here",
            &[],
            a_refused_image_for_another_platform_harms_none_that_is_here,
        ),
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
        test(
            "what is damaged in the store is told, and comes anew",
            &[],
            what_is_damaged_in_the_store_is_told_and_comes_anew,
        ),
        test("what skopeo writes is read", &[Need::Skopeo], what_skopeo_writes_is_read),
        test("what podman saves is read", &[Need::Podman, Need::Root], what_podman_saves_is_read),
    ]);
}
