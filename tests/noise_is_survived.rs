//! Bytes of strangers are read or refused: no panic, no endless loop, nothing made elsewhere.
//!
//! The inputs of `fuzz/seeds`, and thousands made from honest archives and documents by changing a few bytes:
//! the same ones every time. `cargo fuzz` (see `fuzz/README.md`) goes on from here.
#![allow(clippy::disallowed_methods, reason = "a test makes its files itself")]

use std::path::{Component, Path};

use learnc::event::Lane;
use learnc::image::digest::Digest;
use learnc::image::document::{Config, Descriptor, Index, Manifest};
use learnc::image::layer::list::list;
use learnc::image::layer::{How, Limits, receive};
use learnc::image::names::{Name, Place};
use learnc::image::registry::challenge;
use learnc::sys::{At, Fd, Kernel, Manner, Openat};
use nix::fcntl::OFlag;
use serde_json::json;

mod support;
use support::images::*;

/// Numbers that look like chance and are the same every time: xorshift64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// A few bytes changed, a piece lost, or a piece twice.
    fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(changed.len());
            let end = at + self.below((changed.len() - at).min(600));
            match self.below(5) {
                0 => changed.truncate(at),
                1 => drop(changed.drain(at..end)),
                2 => {
                    let piece = changed[at..end].to_vec();
                    changed.splice(at..at, piece);
                }
                _ if changed.is_empty() => {}
                _ => changed[at] = self.below(256) as u8,
            }
        }
        changed
    }
}

/// An archive with everything in it that a layer can have.
fn everything() -> Vec<Entry> {
    vec![
        dir("bin"),
        file("bin/tool", b"#!/bin/sh\n").mode(0o4755).xattr("user.note", b"x").owner(1, 2),
        symlink("sbin", "/bin"),
        hard("bin/same", "bin/tool"),
        fifo("run/pipe"),
        device("dev/null", 1, 3),
        whiteout("etc/motd"),
        opaque("var"),
        file(&"long/".repeat(60), b"").pax("mtime", b"1700000000.5"),
        file("last", vec![7; 1500]),
    ]
}

const SUFFIXES: [&str; 3] = ["", "+gzip", "+zstd"];

/// As the fuzz target has it: the first byte says how it is compressed.
fn read_layer(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let suffix = SUFFIXES[usize::from(*first) % 3];
    let kind = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
    let (layer, id) = (Descriptor::new(&kind, bytes), Digest::of(bytes));
    let limits = Limits { bytes: 1 << 24, entries: 10_000, ..Limits::default() };
    let _ = list(&mut &*bytes, &layer, &id, &limits, &mut |entry| {
        let inside = entry.path.components().all(|part| matches!(part, Component::Normal(_)));
        assert!(inside, "{:?} of {input:?}", entry.path);
        Ok(())
    });
}

fn read_documents(bytes: &[u8]) {
    let (index, manifest) = (Index::parse(bytes), Manifest::parse(bytes));
    assert!(index.is_err() || manifest.is_err(), "{bytes:?} is both");
    if let Ok(manifest) = manifest {
        let _ = Config::parse(bytes, &manifest);
    }
}

fn read_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (Place::parse(&text), Name::parse(&text));
    let _ = challenge::parse(&text);
}

/// What archives look like before they are changed, each with the byte that says its compression.
fn archives() -> Vec<Vec<u8>> {
    let plain = archive(&everything());
    let packed = [plain.clone(), gzip(&plain), zstd(&plain, 20)];
    packed.into_iter().enumerate().map(|(i, bytes)| [&[i as u8][..], &bytes].concat()).collect()
}

#[test]
fn what_was_a_finding_once_is_none_now() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for (folder, read) in [
        ("layer", read_layer as fn(&[u8])),
        ("documents", read_documents),
        ("names", read_text),
        ("challenge", read_text),
    ] {
        for seed in std::fs::read_dir(seeds.join(folder)).unwrap() {
            read(&std::fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
    }
    assert!(count >= 12, "{count} seeds");
}

#[test]
fn an_archive_with_a_few_bytes_changed_is_read_or_refused() {
    let mut chance = Chance(0x5eed);
    for archive in archives() {
        read_layer(&archive);
        for _ in 0..500 {
            read_layer(&chance.change(&archive));
        }
    }
}

#[test]
fn a_document_with_a_few_bytes_changed_is_read_or_refused() {
    let made = several([image().layer(layer([file("x", b"x")]).gzip())]);
    let mut chance = Chance(0xd0c5);
    for document in made.blobs.values().filter(|blob| blob.starts_with(b"{")) {
        read_documents(document);
        (0..4000).for_each(|_| read_documents(&chance.change(document)));
    }
    let deep = vec![b'['; 1 << 20];
    read_documents(&deep);
}

#[test]
fn a_word_with_a_few_bytes_changed_is_read_or_refused() {
    let mut chance = Chance(0x0a5);
    for word in [
        "registry.example:5000/team/app:1.2",
        "oci:/var/lib/images:v1",
        r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull""#,
        r#"Basic realm="a \"b\"", Bearer realm=token"#,
    ] {
        (0..4000).for_each(|_| read_text(&chance.change(word.as_bytes())));
    }
}

/// Changed archives are really unpacked, one above the other, beside a file that nobody may touch.
#[test]
fn an_archive_with_a_few_bytes_changed_makes_nothing_elsewhere() {
    let folder = folder();
    let (root, beside) = (folder.join("root"), folder.join("beside"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(&beside, "as it was").unwrap();
    let (mut chance, k) = (Chance(0xf11e5), Kernel::new(Manner::Silent, Lane::Runtime, 0));
    let flags = OFlag::O_DIRECTORY;
    let dir: Fd = k.call(Openat { dir: At::CWD, path: &root, flags, mode: 0 }).unwrap();
    let mut hostile = everything();
    hostile.extend([symlink("out", ".."), file("out/beside", b"changed"), hard("in", "../beside")]);
    let plain = archive(&hostile);
    let kind = "application/vnd.oci.image.layer.v1.tar";
    let how = How { limits: Limits { bytes: 1 << 22, ..Limits::default() }, ..How::applied() };
    for _ in 0..150 {
        let bytes = chance.change(&plain);
        let (layer, id) = (Descriptor::new(kind, &bytes), Digest::of(&bytes));
        let _ = receive(&k, &mut &*bytes, &layer, &id, &dir, &how);
    }
    assert_eq!(std::fs::read_to_string(&beside).unwrap(), "as it was");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["beside", "root"]);
    assert!(std::fs::read_dir(&root).unwrap().count() > 0, "something was unpacked");
}

/// What the fuzzer begins with; `LEARNC_SEEDS=DIR` writes it there.
fn honest() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = vec![];
    for (archive, name) in archives().into_iter().zip(["plain", "gzip", "zstd"]) {
        all.push(("layer", name.to_owned(), archive));
    }
    let made = several([image().layer(layer([file("x", b"x")])).set("/config/User", json!("me"))]);
    let documents = made.blobs.into_values().filter(|blob| blob.starts_with(b"{"));
    all.extend(documents.enumerate().map(|(i, bytes)| ("documents", format!("honest-{i}"), bytes)));
    for name in ["alpine", "localhost:5000/a/b:1", "oci:x:v1", "a@sha256:0"] {
        all.push(("names", Digest::of(name.as_bytes()).short().to_owned(), name.into()));
    }
    let bearer =
        r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a:pull""#;
    all.push(("challenge", "bearer".to_owned(), bearer.into()));
    all.push(("challenge", "both".to_owned(), br#"Basic realm="x", Bearer realm=y"#.to_vec()));
    all
}

#[test]
fn what_the_fuzzer_begins_with_is_honest() {
    for (folder, name, bytes) in honest() {
        match folder {
            "layer" => read_layer(&bytes),
            "documents" => read_documents(&bytes),
            _ => read_text(&bytes),
        }
        if let Some(dir) = std::env::var_os("LEARNC_SEEDS") {
            let folder = Path::new(&dir).join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let bearer = challenge::parse(r#"Bearer realm="https://auth.example/token",service="r""#);
    assert_eq!(bearer.unwrap()[0].param("service"), Some("r"));
}
