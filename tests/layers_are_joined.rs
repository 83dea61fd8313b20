//! A directory for each layer, joined by overlayfs, is the tree that all layers make on top of each other.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use learnc::error::WayOut;
use learnc::image::layer::{How, Tally, Whiteouts, layer_dirs, unpack_image};
use learnc::sys::attributes::attributes;
use support::bundle::{ran, read};
use support::images::*;
use support::needs::is_root;
use support::trees::differences;
use support::unpacked::{Tree, applied, silent, store_of, whiteout_cases};
use support::*;

/// What overlayfs shows of an image's directories, copied.
fn through_overlayfs(place: &Folder, dirs: &[PathBuf]) -> PathBuf {
    let (mount, copy) = (place.join("mount"), place.join("copy"));
    std::fs::create_dir(&mount).unwrap();
    let empty = place.join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    // overlayfs takes two layers at least.
    let lower: Vec<String> =
        dirs.iter().rev().chain([&empty]).map(|d| d.display().to_string()).collect();
    let (flags, options) = if is_root() { ("-m", "") } else { ("-Urm", ",userxattr") };
    let script = format!(
        "mount -t overlay overlay -o lowerdir={}{options} {} && cp -a {1} {}",
        lower.join(":"),
        mount.display(),
        copy.display()
    );
    let script = script.replace("{1}", &mount.display().to_string());
    ran(Command::new("unshare").args([flags, "sh", "-c", &script])).ok();
    copy
}

fn overlayfs_joins_the_directories_to_the_same_tree() {
    let user_xattr = !is_root();
    let mut cases: Vec<Vec<Layer>> = whiteout_cases()
        .into_iter()
        .map(|(lower, upper, _)| vec![layer(lower), layer(upper)])
        .collect();
    cases.push(vec![
        layer([
            dir("./").mode(0o751).time(9),
            dir("etc").mode(0o750).time(42).xattr("user.a", b"1"),
            file("etc/a", b"a"),
            file("deep/er/x", b""),
        ]),
        layer([file("etc/b", b"").mode(0o600), dir("deep").time(3)]).gzip(),
        layer([whiteout("etc/b"), file("deep/er/y", b""), hard("deep/z", "deep/er/y")]),
        layer([]),
    ]);
    for (number, layers) in cases.iter().enumerate() {
        let (place, store, image) = store_of(layers);
        let k = silent();
        let (dirs, tally) = layer_dirs(&k, &store, &image, &How::overlay(user_xattr)).unwrap();
        assert_eq!(tally.layers, layers.len() as u64);
        unpack_image(&k, &store, &image, &place.join("tree"), &How::applied()).unwrap();
        let copy = through_overlayfs(&place, &dirs);
        let found = differences(&place.join("tree"), &copy, |path, seen, property| {
            // Nobody says when a directory without an entry was made.
            let unsaid = ["./a", "./a/b", "./deep/er"].contains(&&*path.display().to_string())
                || path == Path::new(".") && number + 1 < cases.len();
            !(property == "modified" && seen["kind"] == "40000" && unsaid)
        });
        assert!(found.is_empty(), "case {number}:\n{}", found.join("\n"));
        let again = layer_dirs(&k, &store, &image, &How::overlay(user_xattr)).unwrap();
        assert_eq!(again, (dirs, Tally::default()), "what is there is not made again");
        let left = std::fs::read_dir(store.dir().join("layers")).unwrap();
        let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["sha256"], "nothing unfinished is left");
    }
}

fn whiteouts_are_kept_in_overlayfs_own_form() {
    let how = How { whiteouts: Whiteouts::Overlay { user_xattr: true }, ..applied() };
    let tree = Tree::made([layer([whiteout("gone"), opaque("d"), whiteout("e"), dir("e")])], &how);
    assert!(tree.meta("gone").file_type().is_char_device());
    assert_eq!(tree.meta("gone").rdev(), 0);
    let opaque = [("user.overlay.opaque".into(), b"y".to_vec())];
    assert_eq!(attributes(&tree.at("d")).unwrap(), opaque);
    assert_eq!(attributes(&tree.at("e")).unwrap(), opaque);
    assert_eq!(tree.names(), ["d", "e", "gone"]);
}

fn several_at_once_make_each_layer_once() {
    let closed = layer([dir("./").mode(0o555), file("f", b"x"), dir("d").mode(0o500)]);
    let (_place, store, image) =
        store_of(&[closed, layer((0..200).map(|n| file(&format!("g/{n}"), b"y")))]);
    let make = || layer_dirs(&silent(), &store, &image, &How::overlay(true)).unwrap();
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|(dirs, _)| *dirs == all[0].0));
    let mode = |dir: &Path| dir.metadata().unwrap().mode() & 0o7777;
    // The upper one says nothing of its root.
    assert_eq!(all[0].0.iter().map(|dir| mode(dir)).collect::<Vec<_>>(), [0o555, 0o555]);
    assert_eq!(read(all[0].0[1].join("g/7")), "y");
    let left = std::fs::read_dir(store.dir().join("layers")).unwrap().count();
    assert_eq!(left, 1, "nothing unfinished is left");
    // Without a name they go, closed or not.
    let k = silent();
    store.remove(&k, "localhost/x:1").unwrap();
    store.prune(&k).unwrap();
    assert!(!all[0].0[0].exists() && !all[0].0[1].exists());
}

fn one_tree_is_named_where_directories_cannot_do() {
    let lower = layer([dir("usr/lib"), symlink("lib", "usr/lib")]);
    let layers = [lower, layer([file("lib/x", b"through")])];
    let (place, store, image) = store_of(&layers);
    let error = layer_dirs(&silent(), &store, &image, &How::overlay(true)).unwrap_err();
    assert!(error.to_string().contains("lib is a link in a lower layer"), "{error}");
    assert_eq!(error.way_out, Some(WayOut::OneTree));
    let left: Vec<_> = std::fs::read_dir(store.dir().join("layers/sha256")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    unpack_image(&silent(), &store, &image, &place.join("tree"), &How::applied()).unwrap();
    assert_eq!(read(place.join("tree/usr/lib/x")), "through");
    // Names that lead into a lower layer have no place in a directory of their own, either.
    let names = [symlink("link", "usr/lib"), file("link/y", b""), hard("z", "usr/lib/a")];
    for upper in [layer(names[..2].to_vec()), layer(names[2..].to_vec())] {
        let (place, store, image) = store_of(&[layer([file("usr/lib/a", b"below")]), upper]);
        let error = layer_dirs(&silent(), &store, &image, &How::overlay(true)).unwrap_err();
        assert_eq!(error.way_out, Some(WayOut::OneTree), "{error}");
        unpack_image(&silent(), &store, &image, &place.join("tree"), &How::applied()).unwrap();
    }
}

fn main() {
    let can_mount = [Need::Containers, Need::Joins];
    suite(vec![
        test(
            "overlayfs joins the directories to the same tree",
            &can_mount,
            overlayfs_joins_the_directories_to_the_same_tree,
        ),
        test(
            "whiteouts are kept in overlayfs's own form",
            &[Need::Attributes],
            whiteouts_are_kept_in_overlayfs_own_form,
        ),
        test("several at once make each layer once", &[], several_at_once_make_each_layer_once),
        test(
            "one tree is named where directories cannot do",
            &[],
            one_tree_is_named_where_directories_cannot_do,
        ),
    ]);
}
