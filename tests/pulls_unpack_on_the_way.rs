//! `pull --unpack`: one pass from the line to files makes what a pull and an unpacking after it make; and where something
//! is wrong, no directory of it is left.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use learnc::image::digest::Digest;
use learnc::image::document::{Manifest, Platform};
use learnc::image::layer::{How, layer_dirs};
use learnc::image::pull::{Options, pull};
use learnc::image::registry::Registry;
use learnc::image::store::Store;
use support::asking::*;
use support::images::*;
use support::needs::{Need, is_root};
use support::server::*;

fn how() -> How {
    How::overlay(!is_root())
}

fn store(folder: &Folder) -> Store {
    told(|k| Store::open(k, &folder.join("store"))).0.unwrap()
}

fn unpacked(registry: &Registry, folder: &Folder) -> learnc::error::Result<()> {
    let options = Options { unpack: Some(how()), ..Options::default() };
    let store = store(folder);
    told(|k| pull(k, &store, registry, "name", &Platform::here(), &options)).0.map(drop)
}

fn three() -> Made {
    let mut upper = vec![whiteout("etc/motd"), dir("var"), file("var/x", "y")];
    // Not every filesystem can keep that for a user.
    if Need::Joins.is_met() {
        upper.push(opaque("var"));
    }
    image()
        .layer(
            layer([
                dir("bin"),
                file("bin/sh", vec![7; 90_000]).mode(0o755),
                hard("bin/a", "bin/sh"),
            ])
            .gzip(),
        )
        .layer(layer([dir("etc"), file("etc/motd", "hello"), symlink("etc/x", "motd")]).zstd())
        .layer(layer(upper))
        .made()
}

/// What is below a directory: kind, mode, time, device, and digest.
fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let bytes = if meta.is_file() { std::fs::read(&path).unwrap() } else { vec![] };
        // What overlayfs takes for a whiteout has no time of its own.
        let time = if meta.is_file() || meta.is_dir() { meta.mtime() } else { 0 };
        let text = format!("{:o} {time} {} {}", meta.mode(), meta.rdev(), Digest::of(&bytes));
        found.insert(PathBuf::from(entry.file_name()), text);
        if meta.is_dir() {
            let below = tree(&path).into_iter();
            found
                .extend(below.map(|(name, text)| (Path::new(&entry.file_name()).join(name), text)));
        }
    }
    found
}

/// The trees of an image's layers, the lowest first, by the directories that are there.
fn trees(folder: &Folder) -> Vec<BTreeMap<PathBuf, String>> {
    let store = store(folder);
    let top = store.images().unwrap()[0].clone();
    let image = told(|k| store.image(k, &top, &Platform::here())).0.unwrap();
    image.chain_ids().iter().map(|id| tree(&store.layer_dir(id))).collect()
}

fn directories(folder: &Folder) -> usize {
    let layers = folder.join("store/layers");
    let all = std::fs::read_dir(layers).unwrap().flatten();
    let count = |entry: std::fs::DirEntry| std::fs::read_dir(entry.path()).unwrap().count();
    all.map(count).sum()
}

#[test]
fn the_trees_are_those_of_a_pull_and_an_unpacking_after_it() {
    let (one, other) = (folder(), folder());
    let server = serve(registry(&three(), "app", "v1"));
    let registry = at(&server, "app:v1", quick());
    unpacked(&registry, &one).unwrap();
    pulled(&registry, &other).unwrap();
    let there = store(&other);
    let top = there.images().unwrap()[0].clone();
    let image = told(|k| there.image(k, &top, &Platform::here())).0.unwrap();
    told(|k| layer_dirs(k, &there, &image, &how())).0.unwrap();
    assert_eq!(trees(&one).len(), 3);
    assert!(trees(&one)[0].contains_key(Path::new("bin/sh")));
    assert_eq!(trees(&one), trees(&other));
    assert_eq!((left(&one), left(&other)), ((vec![], 1), (vec![], 1)));
}

#[test]
fn lines_that_break_do_not_show_in_the_trees() {
    let (one, other) = (folder(), folder());
    let honest = registry(&three(), "app", "v1");
    let server = serve(move |hit| match (hit.before, honest(hit)) {
        (0, answer) => answer.cut_after(60),
        (_, answer) => answer,
    });
    unpacked(&at(&server, "app:v1", quick()), &one).unwrap();
    unpacked(&at(&server, "app:v1", quick()), &other).unwrap();
    assert_eq!(trees(&one), trees(&other));
    assert_eq!(left(&one), (vec![], 1));
}

#[test]
fn what_an_earlier_pull_left_is_gone_on_with() {
    let (made, folder) = (three(), folder());
    let layers = Manifest::parse(&made.blobs[made.digest()]).unwrap().layers;
    let (whole, digest) = (&made.blobs[layers[0].digest.as_str()], layers[0].digest.as_str());
    store(&folder);
    let part = folder.join(&format!("store/ingest/{}.part", digest.replace(':', "-")));
    std::fs::write(part, &whole[..50]).unwrap();
    let server = serve(registry(&made, "app", "v1"));
    unpacked(&at(&server, "app:v1", quick()), &folder).unwrap();
    let from: Vec<_> = server.hits_of(digest).iter().map(Hit::from).collect();
    assert_eq!(from, [Some(50)]);
    assert_eq!((directories(&folder), left(&folder)), (3, (vec![], 1)));
}

#[test]
fn a_blob_whose_directory_is_there_already_comes_too() {
    let (made, folder) = (three(), folder());
    let server = serve(registry(&made, "app", "v1"));
    let registry = at(&server, "app:v1", quick());
    unpacked(&registry, &folder).unwrap();
    let layer = &Manifest::parse(&made.blobs[made.digest()]).unwrap().layers[1];
    std::fs::remove_file(store(&folder).blob_file(&layer.digest)).unwrap();
    unpacked(&registry, &folder).unwrap();
    assert_eq!(left(&folder), (vec![], 1));
}

#[test]
fn a_wrong_byte_leaves_no_directory_and_no_name() {
    let (made, folder) = (three(), folder());
    let layer = Manifest::parse(&made.blobs[made.digest()]).unwrap().layers[0].digest.to_string();
    let honest = registry(&made, "app", "v1");
    let server = serve(move |hit| match honest(hit) {
        mut answer if hit.path.ends_with(&layer) => {
            // The last of gzip's bytes is of a length that nobody needs for reading.
            *answer.body.last_mut().unwrap() ^= 1;
            answer
        }
        answer => answer,
    });
    let registry = at(&server, "app:v1", quick());
    unpacked(&registry, &folder).unwrap_err();
    assert_eq!((directories(&folder), left(&folder).1), (0, 0));
    // And again: what was wrong is not gone on with for ever.
    unpacked(&registry, &folder).unwrap_err();
    assert_eq!((directories(&folder), left(&folder).1), (0, 0));
}

#[test]
fn a_layer_that_is_not_what_the_config_says_leaves_no_directory_and_no_name() {
    let folder = folder();
    let lie = layer([file("x", "y")]).gzip().lie_about_diff_id();
    let made = image().layer(layer([file("a", "b")])).layer(lie).made();
    let server = serve(registry(&made, "app", "v1"));
    unpacked(&at(&server, "app:v1", quick()), &folder).unwrap_err();
    assert_eq!((directories(&folder), left(&folder).1), (0, 0));
}
