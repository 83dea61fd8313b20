//! A layer that means harm is refused by name: nothing outside is touched, and nothing is left.

#![allow(
    clippy::disallowed_methods,
    unsafe_code,
    reason = "a test makes its files and processes itself"
)]

mod support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use learnc::image::layer::{How, Limits};
use nix::sys::signal::{SigSet, Signal, raise};
use support::bundle::{Ran, ran, read};
use support::images::*;
use support::trees::tree;
use support::unpacked::{applied, unpack};
use support::*;

/// A folder with something dear in it, and beside that whatever a test unpacks.
struct Place {
    folder: Folder,
}

impl Place {
    fn new() -> Place {
        let folder = folder();
        std::fs::create_dir(folder.join("outside")).unwrap();
        std::fs::write(folder.join("outside/dear"), "dear").unwrap();
        Place { folder }
    }

    fn outside(&self) -> String {
        self.folder.join("outside").display().to_string()
    }

    fn learnc(&self, made: &Made) -> Command {
        let _ = std::fs::remove_dir_all(self.folder.join("store"));
        made.layout(&self.folder.join("store"), "localhost/bad:1");
        let mut command = learnc(["unpack", "--store"]);
        command.arg(self.folder.join("store")).arg("localhost/bad:1").arg(self.folder.join("tree"));
        command
    }

    fn is_unharmed(&self) {
        assert_eq!(read(self.folder.join("outside/dear")), "dear");
        let names: Vec<_> = tree(&self.folder.join("outside")).into_keys().collect();
        assert_eq!(names, [Path::new("."), Path::new("./dear")]);
    }
}

/// Unpacks such an image, which is refused in these words.
fn refused(words: &str, made: &Made, place: &Place) -> Ran {
    let ran = ran(&mut place.learnc(made));
    assert_eq!(ran.status, 1, "{words}: {ran:?}");
    assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(!place.folder.join("tree").exists(), "{words}: something is left");
    place.is_unharmed();
    ran
}

fn no_name_and_no_link_leads_out() {
    let place = Place::new();
    let out = place.outside();
    let dear = format!("{out}/dear");
    let cases: Vec<(&str, Vec<Entry>)> = vec![
        ("a name with `..`", vec![file("../outside/evil", b"")]),
        ("a name with `..`", vec![file("a/../../outside/evil", b"")]),
        ("a name with `..`", vec![dir("..")]),
        ("leads nowhere", vec![symlink("l", &out), file("l/evil", b"")]),
        ("leads nowhere", vec![symlink("l", &out), dir("l/evil")]),
        (
            "leads nowhere",
            vec![dir("d"), file("d/x", b""), symlink("d", &out), file("d/evil", b"")],
        ),
        ("go round in a circle", vec![symlink("a", "b"), symlink("b", "a"), file("a/x", b"")]),
        ("is no directory", vec![file("f", b""), file("f/x", b"")]),
        ("what is not there", vec![hard("h", &dear)]),
        ("a name with `..`", vec![hard("h", "../outside/dear")]),
        ("what is not there", vec![symlink("l", &out), hard("h", "l/dear")]),
        ("for a directory", vec![dir("d"), hard("h", "d")]),
        ("that is the first one", vec![file("f", b""), hard("./f", "f")]),
        ("no name", vec![file("a/.wh..", b"")]),
        ("no name", vec![file("a/.wh...", b"")]),
        ("no name", vec![file("a/.wh.", b"")]),
        ("in a whiteout", vec![file(".wh.a/b", b"")]),
        ("no empty file", vec![symlink(".wh.a", "b")]),
        ("no empty file", vec![file(".wh.a", b"contents")]),
        ("overlayfs would take it for a whiteout", vec![device("white", 0, 0)]),
        ("nothing but a directory", vec![file("/", b"").kind(tar::EntryType::Symlink)]),
    ];
    for (words, entries) in cases {
        let words = if words == "nothing but a directory" { "" } else { words };
        refused(words, &image().layer(layer(entries)).made(), &place);
    }
    // Below a link of its own layer a whiteout means nothing; one of a lower layer it follows, and not out.
    let link = || symlink("l", &out);
    for white in [whiteout("l/dear"), opaque("l")] {
        let own = image().layer(layer([link(), white.clone()]));
        ran(&mut place.learnc(&own.made())).ok();
        place.is_unharmed();
        std::fs::remove_dir_all(place.folder.join("tree")).unwrap();
        let lower = image().layer(layer([link()])).layer(layer([white]));
        refused("leads nowhere", &lower.made(), &place);
    }
}

fn what_stays_inside_is_made_inside() {
    let place = Place::new();
    let made = image().layer(layer([
        symlink("up", "../../../../.."),
        file("up/in-the-root", b"1"),
        file("/absolute", b"2"),
        symlink("twice", &format!("{}/dear", place.outside())),
        file("twice", b"3"),
        symlink("copy", &format!("{}/dear", place.outside())),
        hard("copy-too", "copy"),
    ]));
    let said = ran(&mut place.learnc(&made.made())).ok().stdout;
    assert!(said.starts_with("1 layer: 3 files, "), "{said}");
    let at = |name: &str| place.folder.join("tree").join(name);
    assert_eq!((read(at("in-the-root")), read(at("absolute"))), ("1".into(), "2".into()));
    assert_eq!(read(at("twice")), "3");
    assert!(at("copy-too").symlink_metadata().unwrap().is_symlink());
    place.is_unharmed();
}

fn bytes_are_what_their_digests_say() {
    let place = Place::new();
    let good = || layer([file("f", vec![b'x'; 5000])]);
    let not_the_one = "not the one that the image's config names";
    refused(not_the_one, &image().layer(good().gzip().lie_about_diff_id()).made(), &place);
    for stored in [good().gzip(), good().zstd(), good()] {
        let mut made = image().layer(stored.clone()).made();
        let digest = learnc::image::digest::Digest::of(&stored.stored).to_string();
        let bytes = made.blobs.get_mut(&digest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let ran = refused("not those that its digest names", &made, &place);
        assert!(ran.stderr.contains(&digest), "{}", ran.stderr);
        made.blobs.get_mut(&digest).unwrap().truncate(middle);
        refused("is damaged in the store", &made, &place);
    }
}

/// A layer that says it is compressed in this way, and is these bytes.
fn stored(kind: &str, stored: Vec<u8>) -> Made {
    let good = layer([file("f", b"x")]);
    let media_type = format!("{}{kind}", good.media_type);
    image().layer(Layer { stored, media_type, ..good }).made()
}

fn streams_are_whole_and_of_their_kind() {
    let place = Place::new();
    let archive = layer([file("f", vec![b'x'; 70_000])]).archive;
    let gz = gzip(&archive);
    refused("gzip", &stored("+gzip", archive.clone()), &place);
    refused("zstd", &stored("+zstd", gz.clone()), &place);
    refused("gzip", &stored("+gzip", gz[..gz.len() - 9].to_vec()), &place);
    refused("gzip", &stored("+gzip", [&gz[..], b"junk behind it"].concat()), &place);
    let frame = zstd(&archive, 17);
    refused("zstd", &stored("+zstd", frame[..frame.len() - 5].to_vec()), &place);
    refused("larger than 8 MiB", &stored("+zstd", zstd(&archive, 24)), &place);
    refused("media type", &stored("+xz", archive.clone()), &place);
    refused("checksum", &stored("", vec![b'x'; 4096]), &place);
    refused("in the middle", &stored("", archive[..1024].to_vec()), &place);
    // What is missing at a place where an archive may end is missed by its digest.
    refused("not the one", &stored("", vec![]), &place);
    refused("not the one", &stored("", archive[..archive.len() - 512].to_vec()), &place);
    let twice = [&archive[..], &archive[..]].concat();
    refused("follows the end", &stored("", twice), &place);
    // Several members and frames are one stream.
    let (first, second) = archive.split_at(30_000);
    let members = [gzip(first), gzip(second)].concat();
    let media_type = layer([]).gzip().media_type;
    let good = Layer { stored: members, media_type, ..layer_of(archive.clone()) };
    ran(&mut place.learnc(&image().layer(good).made())).ok();
    std::fs::remove_dir_all(place.folder.join("tree")).unwrap();
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..]].concat();
    let frames = [zstd(first, 17), skipped, zstd(second, 23)].concat();
    let media_type = layer([]).zstd().media_type;
    let good = Layer { stored: frames, media_type, ..layer_of(archive.clone()) };
    ran(&mut place.learnc(&image().layer(good).made())).ok();
}

fn a_bomb_does_not_go_off() {
    let place = Place::new();
    let zeros = layer([file("zeros", vec![0; 100 << 20])]).gzip();
    assert!(zeros.stored.len() < (100 << 20) / 1000, "{}", zeros.stored.len());
    refused("times as many", &image().layer(zeros).made(), &place);
}

fn there_is_an_end_to_bytes_entries_and_depth() {
    let limited = |layer: Layer, limits: Limits| {
        let folder = folder();
        let error = unpack(&[layer], &folder.0, &How { limits, ..applied() }).unwrap_err();
        error.to_string()
    };
    let many = || layer((0..50).map(|n| file(&format!("f{n}"), vec![b'x'; 5000])));
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    assert!(limited(many(), limits).contains("more than 100000 bytes"));
    let limits = Limits { entries: 49, ..Limits::default() };
    assert!(limited(many(), limits).contains("more than 49 entries"));
    let deep = |depth: usize| file(&format!("{}f", "d/".repeat(depth)), b"");
    let error = limited(layer([deep(300)]), Limits::default());
    assert!(error.contains("more than 200 directories deep"), "{error}");
    // Links do not make a longer way out of several short ones.
    let half = "d/".repeat(150);
    let error = limited(
        layer([deep(150), symlink("l", &half), file(&format!("l/{half}f"), b"")]),
        Limits::default(),
    );
    assert!(error.contains("more than 200 directories deep"), "{error}");
}

/// The signal waits from before learnc starts, so that it is there at the first look.
fn whoever_ends_it_leaves_nothing_behind() {
    let place = Place::new();
    let mut command = place.learnc(&image().layer(layer([file("f", b"x")])).made());
    let wait = || {
        SigSet::from(Signal::SIGTERM).thread_block()?;
        Ok(raise(Signal::SIGTERM)?)
    };
    // SAFETY: two calls that may be made between fork and exec.
    unsafe { command.pre_exec(wait) };
    let ran = ran(&mut command);
    assert_eq!(ran.status, 128 + 15, "{ran:?}");
    assert!(!place.folder.join("tree").exists());
}

fn nothing_raw_reaches_the_terminal() {
    let place = Place::new();
    let entry = file("../\u{1b}[31mred\u{7}", b"");
    let ran = refused("a name with `..`", &image().layer(layer([entry])).made(), &place);
    assert!(
        !ran.stderr.contains("\u{1b}[31mred") && !ran.stderr.contains('\u{7}'),
        "{:?}",
        ran.stderr
    );
}

fn main() {
    suite(vec![
        test("no name and no link leads out", &[], no_name_and_no_link_leads_out),
        test("what stays inside is made inside", &[], what_stays_inside_is_made_inside),
        test("bytes are what their digests say", &[], bytes_are_what_their_digests_say),
        test("streams are whole, and of their kind", &[], streams_are_whole_and_of_their_kind),
        test("a bomb does not go off", &[], a_bomb_does_not_go_off),
        test(
            "there is an end to bytes, entries and depth",
            &[],
            there_is_an_end_to_bytes_entries_and_depth,
        ),
        test("whoever ends it leaves nothing behind", &[], whoever_ends_it_leaves_nothing_behind),
        test("nothing raw reaches the terminal", &[], nothing_raw_reaches_the_terminal),
    ]);
}
