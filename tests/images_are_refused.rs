//! What is wrong in a layout or an archive is refused by name, and leaves nothing behind.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
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

fn main() {
    suite(vec![
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
