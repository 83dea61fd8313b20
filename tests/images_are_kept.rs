//! Images are kept: the store is an OCI image layout that other tools read, and what is put into it is found
//! again, wherever it came from.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::bundle::{learnc, ran};
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
        let wanted = [
            "-rwxr-xr-x 7/8",
            "bin/ash -> sh",
            "bin/bash link to bin/sh",
            &long,
            "1,3",
            "prw-r--r--",
            " etc/.wh.motd\n",
            " .wh.tmp\n",
            " var/.wh..wh..opq\n",
        ];
        for part in wanted {
            assert!(listed.stdout.contains(part), "{part}: {}", listed.stdout);
        }
        assert_eq!(listed.stderr, "");
    }
    assert_eq!(inflated("+zstd", &made.clone().zstd().stored), made.archive);
}

/// Two layers, one in each compression.
fn sample(text: &str) -> Image {
    image()
        .layer(layer([dir("etc"), file("etc/motd", text)]).gzip())
        .layer(layer([file("etc/more", b"more of it")]).zstd())
        .layer(layer([file("etc/plain", b"as it is")]))
        .set("/config/Cmd", json!(["/bin/sh"]))
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

fn what_a_layout_has_is_kept_by_its_digest() {
    let (kept, made) = (kept(), sample("hello").made());
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}:v1", text(&kept.beside("app")));
    let pulled = kept.pull(&place).ok();
    assert_eq!(pulled.stdout, format!("localhost/app:v1 {}\n", made.digest()));
    assert_eq!(kept.names(), ["localhost/app:v1"]);
    let image = &kept.images()[0];
    assert_eq!(image["digest"], made.digest());
    assert_eq!(image["created"], "2024-05-06T07:08:09Z");
    let sizes = made.blobs.values().map(Vec::len).sum::<usize>();
    assert_eq!(image["size"], sizes);
    for (digest, bytes) in &made.blobs {
        assert_eq!(std::fs::read(kept.blob(digest)).unwrap(), *bytes);
    }
    assert_eq!(kept.intact()["blobs"], made.blobs.len());
    // Nothing is fetched again, and nothing is said to be new.
    assert_eq!(kept.pull(&place).ok().stdout, pulled.stdout);
    assert_eq!(kept.blobs().len(), made.blobs.len());
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

fn a_removed_image_takes_with_it_what_no_other_needs() {
    let kept = kept();
    let common = layer([file("common", b"to both")]).gzip();
    let app = |name: &str| image().layer(common.clone()).layer(layer([file(name, name)])).made();
    let (one, two) = (app("one"), app("two"));
    one.layout(&kept.beside("one"), "v1");
    two.layout(&kept.beside("two"), "v1");
    for name in ["one", "two"] {
        kept.pull(&format!("oci:{}", text(&kept.beside(name)))).ok();
    }
    assert_eq!(kept.blobs().len(), 7);
    let refused = kept.run(&["rmi", "localhost/one:v1", "localhost/three:v1"]);
    assert_eq!((refused.status, kept.names().len()), (1, 2));
    let removed = kept.run(&["rmi", "localhost/one:v1"]).ok();
    assert!(removed.stdout.starts_with("localhost/one:v1\ntaken away: 3 blobs, "));
    assert_eq!(kept.blobs().len(), 4);
    kept.intact();
    // By the first digits of the digest, and without taking anything away at once.
    let digits = &two.digest()[7..19];
    assert_eq!(kept.run(&["rmi", "--no-prune", digits]).ok().stdout, "localhost/two:v1\n");
    assert_eq!(kept.check()["unnamed"].as_array().unwrap().len(), 4);
    assert!(kept.run(&["prune"]).ok().stdout.starts_with("taken away: 4 blobs, "));
    assert_eq!(kept.run(&["prune"]).ok().stdout, "nothing to take away\n");
    assert!(kept.blobs().is_empty() && kept.names().is_empty());
}

fn a_damaged_blob_is_named_by_the_check_and_by_who_reads_it() {
    let (kept, made) = (kept(), sample("hello").made());
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    kept.pull(&place).ok();
    for digest in made.blobs.keys() {
        let path = kept.blob(digest);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let found = kept.check();
        let problems = found["problems"].as_array().unwrap();
        assert!(problems.iter().any(|problem| problem["of"] == **digest), "{found}");
        std::fs::write(&path, &whole[1..]).unwrap();
        let found = kept.check()["problems"].to_string();
        assert!(found.contains(digest) && found.contains("localhost/app:v1"), "{found}");
        std::fs::remove_file(&path).unwrap();
        let found = kept.check()["problems"].to_string();
        assert!(found.contains(digest), "{found}");
        // What is not there, or has another size, is fetched again.
        kept.pull(&place).ok();
        kept.intact();
    }
    let top = kept.blob(made.digest());
    let bytes = std::fs::read(&top).unwrap();
    std::fs::write(&top, String::from_utf8(bytes).unwrap().replace("layers", "Layers")).unwrap();
    assert!(kept.run(&["images"]).ok().stdout.contains("damaged"));
    let lacks = kept.images()[0]["lacks"].to_string();
    assert!(lacks.contains(made.digest()), "{lacks}");
    // It is not known what belongs to it, so nothing is taken away.
    let pruned = kept.run(&["prune"]);
    assert!(pruned.status == 1 && pruned.stderr.contains(made.digest()), "{}", pruned.stderr);
    assert_eq!(kept.blobs().len(), made.blobs.len());
}

fn two_who_pull_the_same_at_once_do_not_meet() {
    let kept = kept();
    let big = |n: u8| file(&format!("f{n}"), noise(n.into(), 1 << 20));
    let made = image().layer(layer([big(1)])).layer(layer([big(2)])).layer(layer([big(3)])).made();
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    let pull = || {
        let mut command = kept.learnc(&["pull", "--quiet", &place]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let pulls: Vec<_> = (0..4).map(|_| pull()).collect();
    for pulled in pulls {
        let output = pulled.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(answer, format!("localhost/app:v1 {}\n", made.digest()));
    }
    let report = kept.intact();
    assert_eq!((&report["images"], &report["blobs"]), (&json!(1), &json!(5)));
    assert_eq!(report["unfinished"], json!([]));
}

/// What must not be believed: how it is changed, and what is said of it.
fn bad_layouts_are_refused_and_leave_nothing() {
    type Change = fn(&std::path::Path, &Made);
    let blob =
        |dir: &std::path::Path, digest: &str| dir.join("blobs").join(digest.replace(':', "/"));
    let cases: [(&str, Change); 9] = [
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
            let path = dir.join("blobs").join(made.digest().replace(':', "/"));
            std::fs::write(path, "{}").unwrap();
        }),
        ("No such file", |dir, made| {
            std::fs::remove_file(dir.join("blobs").join(made.digest().replace(':', "/"))).unwrap();
        }),
        ("is no file", |dir, made| {
            let path = dir.join("blobs").join(made.digest().replace(':', "/"));
            std::fs::remove_file(&path).unwrap();
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("are said of it", |dir, made| {
            let layer = &made.document(&made.top)["layers"][0]["digest"];
            let path = dir.join("blobs").join(layer.as_str().unwrap().replace(':', "/"));
            std::fs::write(path, "short").unwrap();
        }),
    ];
    for (number, (wanted, change)) in cases.into_iter().enumerate() {
        let (kept, made) = (kept(), sample("hello").made());
        let dir = kept.beside("app");
        made.layout(&dir, "v1");
        change(&dir, &made);
        refused(&kept, &format!("oci:{}", text(&dir)), wanted, number);
    }
    let (kept, made) = (kept(), sample("hello").made());
    let dir = kept.beside("app");
    made.layout(&dir, "v1");
    let layer = made.document(&made.top)["layers"][2]["digest"].as_str().unwrap().to_owned();
    let mut bytes = std::fs::read(blob(&dir, &layer)).unwrap();
    bytes[0] ^= 1;
    std::fs::write(blob(&dir, &layer), bytes).unwrap();
    refused(&kept, &format!("oci:{}", text(&dir)), &layer, 100);
}

/// The place is refused with these words; nothing has a name, and the rest can be taken away.
fn refused(kept: &Kept, place: &str, wanted: &str, number: usize) {
    let answer = kept.pull(place);
    assert_eq!(answer.status, 1, "{number}: {}{}", answer.stdout, answer.stderr);
    assert!(answer.stderr.contains(wanted), "{number}: {wanted}: {}", answer.stderr);
    assert!(!answer.stderr.contains("panicked"), "{number}: {}", answer.stderr);
    assert_eq!(answer.stdout, "");
    let report = kept.intact();
    assert_eq!(report["images"], 0, "{number}");
    assert_eq!(report["unfinished"], json!([]), "{number}");
    kept.run(&["prune"]).ok();
    assert!(kept.blobs().is_empty(), "{number}");
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
        refused(&kept, &format!("docker-archive:{}", text(&path)), wanted, number);
    }
}

fn a_folder_of_something_else_does_not_become_a_store() {
    let kept = kept();
    std::fs::create_dir(kept.dir()).unwrap();
    std::fs::write(kept.dir().join("thesis.tex"), "").unwrap();
    sample("x").made().layout(&kept.beside("app"), "v1");
    let refused = kept.pull(&format!("oci:{}", text(&kept.beside("app"))));
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("thesis.tex"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(kept.dir()).unwrap().count(), 1);
}

fn where_there_is_no_store_none_is_made_by_looking() {
    let kept = kept();
    assert!(kept.images().is_empty());
    assert_eq!(kept.run(&["prune"]).ok().stdout, "nothing to take away\n");
    assert_eq!(kept.intact()["blobs"], 0);
    assert_eq!(kept.run(&["rmi", "x"]).status, 1);
    assert!(!kept.dir().exists());
    // Without --store it is where this user's data are.
    let mut images = learnc(["images", "--quiet"]);
    assert_eq!(ran(images.env("XDG_DATA_HOME", kept.beside("data"))).ok().stdout, "");
    assert!(!kept.beside("data").exists());
}

fn skopeo_and_umoci_read_the_store() {
    let kept = kept();
    let (one, many) = (sample("one").made(), several([sample("two"), other_machine()]));
    one.layout(&kept.beside("one"), "v1");
    many.layout(&kept.beside("many"), "v1");
    for name in ["one", "many"] {
        kept.pull(&format!("oci:{}", text(&kept.beside(name)))).ok();
    }
    // Of the index the image for this machine alone is here.
    assert_eq!(kept.blobs().len(), 5 + 4);
    for (name, made) in [("localhost/one:v1", &one), ("localhost/many:v1", &many)] {
        let place = format!("oci:{}:{name}", text(&kept.dir()));
        let seen = ran(Command::new("skopeo").args(["inspect", "--raw", &place])).ok();
        assert_eq!(seen.stdout.as_bytes(), made.blobs[made.digest()]);
        ran(Command::new("skopeo").args(["inspect", &place])).ok();
        let copy = format!("dir:{}", text(&kept.beside("copy")));
        ran(Command::new("skopeo").args(["copy", "--quiet", &place, &copy])).ok();
    }
    let listed = ran(Command::new("umoci").args(["ls", "--layout", text(&kept.dir())])).ok();
    let mut names: Vec<&str> = listed.stdout.lines().collect();
    names.sort();
    assert_eq!(names, ["localhost/many:v1", "localhost/one:v1"]);
    kept.intact();
}

fn other_machine() -> Image {
    image().layer(layer([file("other", b"machine")])).set("/architecture", json!("s390x"))
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

fn main() {
    let store = &[Need::Skopeo];
    suite(vec![
        test(
            "archives that tests make by code are archives to tar",
            &[],
            archives_made_by_code_are_archives,
        ),
        test(
            "what a layout has is kept by its digest",
            &[],
            what_a_layout_has_is_kept_by_its_digest,
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
            "a removed image takes with it what no other needs",
            &[],
            a_removed_image_takes_with_it_what_no_other_needs,
        ),
        test(
            "a damaged blob is named by the check, and by who reads it",
            &[],
            a_damaged_blob_is_named_by_the_check_and_by_who_reads_it,
        ),
        test(
            "four who pull the same at once do not meet",
            &[],
            two_who_pull_the_same_at_once_do_not_meet,
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
        test(
            "a folder of something else does not become a store",
            &[],
            a_folder_of_something_else_does_not_become_a_store,
        ),
        test(
            "where there is no store, none is made by looking",
            &[],
            where_there_is_no_store_none_is_made_by_looking,
        ),
        test(
            "skopeo and umoci read the store",
            &[Need::Skopeo, Need::Umoci],
            skopeo_and_umoci_read_the_store,
        ),
        test("what skopeo writes is read", store, what_skopeo_writes_is_read),
    ]);
}
