//! `learnc image inspect`: what it says of an image is what is in it.
#![allow(clippy::disallowed_methods, reason = "a test makes its files itself")]

use serde_json::{Value, json};

mod support;
use support::bundle::{Ran, learnc, ran};
use support::images::*;

const BELOW: usize = 1000;

/// Two layers: the second adds one file, overrides one, deletes one, and empties a directory.
fn two_layers() -> Image {
    let below = [
        dir("etc"),
        file("etc/motd", vec![b'm'; BELOW]),
        file("etc/gone", vec![b'g'; 2 * BELOW]).owner(7, 8),
        dir("var"),
        file("var/a", vec![b'a'; 4 * BELOW]),
        file("var/b", vec![b'b'; 8 * BELOW]),
        hard("etc/same", "etc/motd"),
    ];
    let above = [
        file("etc/motd", b"other"),
        whiteout("etc/gone"),
        opaque("var"),
        file("var/new", vec![b'n'; 16]).mode(0o4755),
        symlink("etc/link", "../var/new"),
    ];
    image()
        .layer(layer(below).gzip())
        .layer(layer(above).zstd())
        .set("/config/Entrypoint", json!(["/bin/app"]))
        .set("/config/Cmd", json!(["--serve"]))
        .set("/config/User", json!("app"))
        .set("/config/ExposedPorts", json!({ "80/tcp": {} }))
        .set(
            "/history",
            json!([
                { "created_by": "COPY below /" }, { "created_by": "ENV A=b", "empty_layer": true },
                { "created_by": "COPY above /" },
            ]),
        )
}

/// Any OCI image layout is a store to look into.
fn inspect(folder: &Folder, args: &[&str]) -> Ran {
    let mut learnc = learnc(["image", "inspect", "--store"]);
    learnc.arg(folder.join("store")).args(args);
    ran(learnc.env("COLUMNS", "100").env("LANG", "C.UTF-8").env_remove("LC_ALL"))
}

fn inspected(made: &Made) -> Value {
    let folder = folder();
    made.layout(&folder.join("store"), "app:1");
    serde_json::from_str(&inspect(&folder, &["app:1", "--json"]).ok().stdout).unwrap()
}

#[test]
fn what_each_layer_does_to_those_below_is_told() {
    let image = inspected(&two_layers().made());
    let (below, above) = (&image["layers"][0], &image["layers"][1]);
    assert_eq!(below["adds"], json!({ "files": 5, "bytes": 15 * BELOW }));
    assert_eq!(below["createdBy"], "COPY below /");
    assert_eq!(
        above["createdBy"], "COPY above /",
        "an entry of the history without a layer is none"
    );
    assert_eq!(above["adds"], json!({ "files": 2, "bytes": 16 }));
    assert_eq!(above["overrides"], json!({ "files": 1, "bytes": BELOW }));
    assert_eq!(above["deletes"], json!({ "files": 3, "bytes": 14 * BELOW }));
    assert_eq!(image["wasted"], 15 * BELOW);
    assert_eq!((&image["files"], &image["bytes"]), (&json!(4), &json!(5 + 16)));
    let entries: Vec<(&str, &str, &str)> = above["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let text = |name: &str| e[name].as_str().unwrap();
            (text("path"), text("kind"), text("does"))
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("etc/motd", "file", "overrides"),
            ("etc/gone", "whiteout", "deletes"),
            ("var", "opaque", "deletes"),
            ("var/new", "file", "adds"),
            ("etc/link", "link", "adds"),
        ]
    );
    assert_eq!(above["entries"][3]["mode"], "4755");
    assert_eq!(below["entries"][2]["uid"], 7);
    assert_eq!(above["entries"][0]["hides"], 1);
}

#[test]
fn digests_and_sizes_are_those_of_the_bytes() {
    let made = two_layers().made();
    let image = inspected(&made);
    let manifest = made.document(&made.top);
    assert_eq!(image["manifest"]["digest"], made.top["digest"]);
    assert_eq!(image["config"]["digest"], manifest["config"]["digest"]);
    let ids = made.document(&manifest["config"])["rootfs"]["diff_ids"].clone();
    for i in 0..2 {
        let (told, layer) = (&image["layers"][i], &manifest["layers"][i]);
        assert_eq!(
            (&told["digest"], &told["size"], &told["mediaType"]),
            (&layer["digest"], &layer["size"], &layer["mediaType"])
        );
        assert_eq!(told["diffId"], ids[i]);
        let stored = &made.blobs[layer["digest"].as_str().unwrap()];
        let archive = inflated(layer["mediaType"].as_str().unwrap(), stored);
        assert_eq!(told["archiveSize"], archive.len());
    }
}

#[test]
fn an_index_is_shown_with_the_others_that_it_has() {
    let other = two_layers().set("/architecture", json!("s390x"));
    let image = inspected(&several([two_layers(), other]));
    assert!(image["index"]["mediaType"].as_str().unwrap().contains("image.index"));
    assert_eq!(image["alsoFor"], json!([{ "architecture": "s390x", "os": "linux" }]));
    assert_ne!(image["platform"]["architecture"], "s390x");
}

#[test]
fn the_tree_shows_the_same() {
    let folder = folder();
    two_layers().made().layout(&folder.join("store"), "app:1");
    let tree = inspect(&folder, &["app:1"]).ok().stdout;
    for line in [
        "runs      /bin/app --serve",
        "as        app",
        "ports     80/tcp",
        "overrides 1 file, 1000 B of layers below",
        "deletes   3 files, 13.7 KiB of layers below",
        "whiteout                etc/gone  (layer 1)",
        "l0777 0:0               etc/link -> ../var/new",
        "wasted: 14.6 KiB",
    ] {
        assert!(tree.contains(line), "{line}\n{tree}");
    }
    let whole = inspect(&folder, &["app:1", "--files"]).ok().stdout;
    assert!(!tree.contains("var/b") || whole.lines().count() >= tree.lines().count());
    assert!(whole.contains("h0644 0:0               etc/same is etc/motd"), "{whole}");
}

#[test]
fn a_page_needs_nothing_else_and_no_name_becomes_html() {
    let folder = folder();
    let evil = "x<script>alert(1)</script>\u{1b}[31m";
    let image = image().layer(layer([file(evil, b"x")])).set("/config/Cmd", json!(["<b>"]));
    image.made().layout(&folder.join("store"), "app:1");
    let page = folder.join("page.html");
    inspect(&folder, &["app:1", "--page", page.to_str().unwrap()]).ok();
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    for outside in ["<script", "<b>&lt;", "http://", "https://", "src=", "@import", "\u{1b}"] {
        assert!(!html.contains(outside), "{outside} in\n{html}");
    }
    assert!(html.contains("x&lt;script&gt;alert(1)"), "{html}");
    for tag in ["ul", "li", "div", "dl", "details", "table", "body", "html"] {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "<{tag}> is closed");
    }
    let nowhere = inspect(&folder, &["app:1", "--page", "/dev/null/page.html"]);
    assert_eq!(nowhere.status, 1);
    assert!(nowhere.stderr.contains("--page: openat("), "{}", nowhere.stderr);
    let printed = inspect(&folder, &["app:1", "--page", "-"]).ok().stdout;
    assert_eq!(printed, html);
    let tree = inspect(&folder, &["app:1"]).ok().stdout;
    assert!(!tree.contains('\u{1b}'), "nothing from outside reaches a terminal raw");
}

#[test]
fn a_layer_that_is_not_what_it_should_be_is_refused_by_name() {
    let folder = folder();
    let made = two_layers().made();
    made.layout(&folder.join("store"), "app:1");
    let manifest = made.document(&made.top);
    let digest = manifest["layers"][1]["digest"].as_str().unwrap();
    let blob = folder.join("store/blobs").join(digest.replace(':', "/"));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let refused = inspect(&folder, &["app:1"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains(&digest[7..19]), "{}", refused.stderr);
    assert!(refused.stderr.contains("try      learnc pull NAME, or"), "{}", refused.stderr);
    let missing = inspect(&folder, &["nothing:1"]);
    assert_eq!(missing.status, 1);
    assert!(missing.stderr.contains("learnc images lists"), "{}", missing.stderr);
}
