//! What a layer says of files is what they are, and what it takes away is gone.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use learnc::image::document::Platform;
use learnc::image::layer::{How, Owners, Tally, Whiteouts, layer_dirs, unpack_image};
use learnc::image::store::Store;
use learnc::sys::attributes::attributes;
use support::bundle::{ran, read};
use support::images::*;
use support::needs::is_root;
use support::trees::{differences, tree};
use support::unpacked::{applied, silent, unpack};
use support::*;

/// A tree of layers; opened again for its removal.
struct Tree {
    folder: Folder,
    tally: Tally,
}

impl Tree {
    fn of(layers: impl IntoIterator<Item = Layer>) -> Tree {
        Tree::made(layers, &applied())
    }

    fn made(layers: impl IntoIterator<Item = Layer>, how: &How) -> Tree {
        let folder = folder();
        let layers: Vec<Layer> = layers.into_iter().collect();
        let tally = unpack(&layers, &folder.0, how).unwrap();
        Tree { folder, tally }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn meta(&self, path: &str) -> std::fs::Metadata {
        self.at(path).symlink_metadata().unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn is_there(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    fn names(&self) -> Vec<String> {
        let names = tree(&self.folder.0).into_keys().map(|path| path.display().to_string());
        names.map(|name| name.trim_start_matches("./").to_owned()).filter(|n| n != ".").collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.folder.0).status();
    }
}

fn modes_times_and_attributes_are_the_archives() {
    let tree = Tree::of([layer([
        dir("d").mode(0o3571).time(5),
        file("d/f", b"hello").mode(0o6755).pax("mtime", b"-1.25"),
        symlink("d/l", "nowhere/at/all").time(77),
        hard("d/second", "d/f"),
        fifo("d/p").mode(0o622).time(3),
        file("d/x", b"").xattr("user.a", b"\x00b").xattr("user.empty", b""),
        dir("a").xattr("user.dir", b"1"),
    ])]);
    let mode = |path| tree.meta(path).mode() & 0o7777;
    assert_eq!((mode("d"), mode("d/f"), mode("d/p")), (0o3571, 0o6755, 0o622));
    let time = |path| (tree.meta(path).mtime(), tree.meta(path).mtime_nsec());
    assert_eq!(time("d/f"), (-2, 750_000_000));
    assert_eq!((time("d"), time("d/l"), time("d/p")), ((5, 0), (77, 0), (3, 0)));
    assert_eq!(std::fs::read_link(tree.at("d/l")).unwrap(), Path::new("nowhere/at/all"));
    assert_eq!(tree.meta("d/f").ino(), tree.meta("d/second").ino());
    assert!(tree.meta("d/p").file_type().is_fifo());
    let written = attributes(&tree.at("d/x")).unwrap();
    assert_eq!(written, [("user.a".into(), b"\0b".to_vec()), ("user.empty".into(), vec![])]);
    assert_eq!(attributes(&tree.at("a")).unwrap(), [("user.dir".into(), b"1".to_vec())]);
    assert_eq!((tree.tally.files, tree.tally.links, tree.tally.names), (2, 1, 1));
    assert_eq!((tree.tally.directories, tree.tally.others, tree.tally.bytes), (2, 1, 5));
}

fn owners_and_devices_are_as_root_may_make_them() {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let entries = || {
        layer([
            file("f", b"x").owner(1234, 5678).mode(0o4755).xattr("security.capability", capability),
            symlink("l", "f").owner(11, 12),
            dir("d").owner(3_000_000, 7),
            device("null", 1, 3).owner(1, 2),
            fifo("p").owner(4, 5),
        ])
    };
    let tree = Tree::of([entries()]);
    let owner = |path| (tree.meta(path).uid(), tree.meta(path).gid());
    assert_eq!((owner("f"), owner("l")), ((1234, 5678), (11, 12)));
    assert_eq!((owner("d"), owner("p")), ((3_000_000, 7), (4, 5)));
    assert_eq!((tree.meta("null").rdev(), owner("null")), (0x103, (1, 2)));
    assert_eq!(tree.meta("f").mode() & 0o7777, 0o4755);
    let written = attributes(&tree.at("f")).unwrap();
    assert_eq!(written, [("security.capability".into(), capability.to_vec())]);
    // The same, as if by somebody else.
    let mine = Tree::made([entries()], &How { owners: Owners::Mine, ..applied() });
    assert_eq!((mine.meta("f").uid(), mine.meta("f").mode() & 0o7777), (0, 0o4755));
    assert!(mine.tally.owners_changed >= 4, "{:?}", mine.tally);
}

fn who_is_not_root_gets_what_there_is_and_is_told() {
    let tree = Tree::of([layer([
        file("f", b"x").owner(0, 0).mode(0o4755).xattr("security.capability", b"\x01"),
        device("null", 1, 3),
        dir("closed").mode(0o000),
        file("closed/f", b"x"),
    ])]);
    assert_eq!(tree.meta("f").mode() & 0o7777, 0o4755);
    assert!(!tree.is_there("null"));
    assert_eq!(tree.meta("closed").mode() & 0o7777, 0);
    let tally = &tree.tally;
    assert_eq!((tally.devices_left_out, tally.attributes_refused), (1, 1));
    assert_eq!(tally.first_refused.as_deref(), Some("security.capability"));
    assert!(
        tally.lacks().iter().any(|lack| lack.contains("1 device nodes")),
        "{:?}",
        tally.lacks()
    );
}

fn no_layer_speaks_for_overlayfs() {
    let tree = Tree::of([layer([
        dir("d").xattr("trusted.overlay.opaque", b"y").xattr("user.overlay.redirect", b"/etc"),
        file("f", b"").xattr("user.overlay.metacopy", b"").xattr("user.overlays", b"1"),
    ])]);
    assert_eq!(attributes(&tree.at("d")).unwrap(), []);
    assert_eq!(attributes(&tree.at("f")).unwrap(), [("user.overlays".into(), b"1".to_vec())]);
    assert_eq!(tree.tally.attributes_dropped, 3);
}

fn holes_stay_holes() {
    let made = folder();
    let script = "printf x | dd of=holes bs=1 seek=50000000 status=none && \
        printf y | dd of=holes bs=1 seek=1000000 conv=notrunc status=none && truncate -s 90000000 holes";
    ran(Command::new("sh").args(["-c", script]).current_dir(&made.0)).ok();
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=1.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=0.0"],
    ] {
        let mut tar = Command::new("tar");
        tar.args(["-cf", "x.tar", "--sparse"]).args(format).arg("holes").current_dir(&made.0);
        ran(&mut tar).ok();
        let archive = std::fs::read(made.join("x.tar")).unwrap();
        let tree = Tree::of([layer_of(archive).gzip()]);
        let meta = tree.meta("holes");
        assert_eq!(meta.len(), 90_000_000, "{format:?}");
        assert!(meta.blocks() * 512 < 1_000_000, "{format:?}: {} blocks", meta.blocks());
        let same = ran(Command::new("cmp").arg(tree.at("holes")).arg(made.join("holes")));
        assert_eq!(same.status, 0, "{format:?}: {same:?}");
    }
}

fn the_later_entry_wins_whatever_it_is() {
    let tree = Tree::of([
        layer([
            file("twice", b"first"),
            file("twice", b"second"),
            dir("d"),
            file("d/x/y", b""),
            file("d", b"a file now"),
            file("f", b""),
            dir("f"),
            file("f/inside", b"a directory now"),
            symlink("l", "d"),
            file("l", b"no link now"),
            file("target", b"old"),
            hard("second", "target"),
            file("target", b"new"),
        ]),
        layer([dir("twice"), file("f", b"a file again"), symlink("target", "twice")]),
    ]);
    assert!(tree.meta("twice").is_dir());
    assert_eq!(read(tree.at("d")), "a file now");
    assert_eq!(read(tree.at("f")), "a file again");
    assert_eq!(read(tree.at("l")), "no link now");
    assert_eq!(read(tree.at("second")), "old");
    assert!(tree.meta("target").is_symlink());
}

fn a_directory_that_is_only_implied_keeps_what_was_said_of_it() {
    let tree = Tree::of([
        layer([dir("etc").mode(0o2750).time(42), file("etc/a", b""), file("new/below/x", b"")]),
        layer([file("etc/b", b""), whiteout("etc/a")]),
        layer([dir("new").mode(0o711).time(43)]),
    ]);
    assert_eq!((tree.meta("etc").mode() & 0o7777, tree.meta("etc").mtime()), (0o2750, 42));
    assert_eq!(tree.meta("new/below").mode() & 0o7777, 0o755);
    assert_eq!((tree.meta("new").mode() & 0o7777, tree.meta("new").mtime()), (0o711, 43));
    assert!(tree.meta("new/below/x").is_file());
}

fn a_directory_said_anew_loses_its_attributes_and_keeps_its_files() {
    let lower = layer([dir("d").xattr("user.a", b"1").mode(0o700), file("d/f", b"")]);
    let tree = Tree::of([lower, layer([dir("d").mode(0o755).xattr("user.b", b"2")])]);
    assert_eq!(attributes(&tree.at("d")).unwrap(), [("user.b".into(), b"2".to_vec())]);
    assert_eq!(tree.meta("d").mode() & 0o7777, 0o755);
    assert!(tree.is_there("d/f"));
}

/// Lower and upper layer, and the names that are there in the end.
fn whiteout_cases() -> Vec<(Vec<Entry>, Vec<Entry>, Vec<&'static str>)> {
    let lower = || vec![dir("a"), file("a/x", b""), file("a/b/y", b""), file("c", b"")];
    vec![
        (lower(), vec![whiteout("a")], vec!["c"]),
        (lower(), vec![whiteout("c"), whiteout("a/x")], vec!["a", "a/b", "a/b/y"]),
        (lower(), vec![opaque("a")], vec!["a", "c"]),
        (lower(), vec![opaque("a"), file("a/new", b"")], vec!["a", "a/new", "c"]),
        // Also where it comes last: what this layer has made stays.
        (lower(), vec![file("a/new", b""), opaque("a")], vec!["a", "a/new", "c"]),
        (lower(), vec![file("a/b/new", b""), opaque("a")], vec!["a", "a/b", "a/b/new", "c"]),
        (lower(), vec![whiteout("a"), file("a/new", b"")], vec!["a", "a/new", "c"]),
        (lower(), vec![dir("a"), file("a/new", b""), whiteout("a")], vec!["a", "a/new", "c"]),
        (lower(), vec![file("c", b"new"), whiteout("c")], vec!["a", "a/b", "a/b/y", "a/x", "c"]),
        (
            lower(),
            vec![whiteout("not-there"), file(".wh..wh.aufs", b"")],
            vec!["a", "a/b", "a/b/y", "a/x", "c"],
        ),
        (lower(), vec![whiteout("a/b"), symlink("a/b", "x")], vec!["a", "a/b", "a/x", "c"]),
    ]
}

fn whiteouts_take_away_what_lower_layers_made_and_nothing_else() {
    for (number, (lower, upper, wanted)) in whiteout_cases().into_iter().enumerate() {
        let tree = Tree::of([layer(lower), layer(upper)]);
        assert_eq!(tree.names(), wanted, "case {number}");
    }
}

/// A store with one image of these layers.
fn store_of(layers: &[Layer]) -> (Folder, Store, learnc::image::store::Image) {
    let place = folder();
    let made = layers.iter().fold(image(), |image, layer| image.layer(layer.clone())).made();
    let k = silent();
    let store = Store::open(&k, &place.join("store")).unwrap();
    made.layout(store.dir(), "localhost/x:1");
    let top = store.find("localhost/x:1").unwrap().unwrap();
    let image = store.image(&k, &top, &Platform::here()).unwrap();
    (place, store, image)
}

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

fn one_tree_is_named_where_directories_cannot_do() {
    let lower = layer([dir("usr/lib"), symlink("lib", "usr/lib")]);
    let layers = [lower, layer([file("lib/x", b"through")])];
    let (place, store, image) = store_of(&layers);
    let error = layer_dirs(&silent(), &store, &image, &How::overlay(true)).unwrap_err();
    assert!(error.to_string().contains("lib is a link in a lower layer"), "{error}");
    let left: Vec<_> = std::fs::read_dir(store.dir().join("layers/sha256")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    unpack_image(&silent(), &store, &image, &place.join("tree"), &How::applied()).unwrap();
    assert_eq!(read(place.join("tree/usr/lib/x")), "through");
}

fn a_folder_that_is_there_keeps_its_own_and_takes_only_nothing() {
    let (place, store, image) = store_of(&[layer([file("f", b"")])]);
    let full = place.join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "dear").unwrap();
    let unpack = |dir: &Path| unpack_image(&silent(), &store, &image, dir, &How::applied());
    assert!(unpack(&full).unwrap_err().to_string().contains("is not empty"));
    assert_eq!(read(full.join("mine")), "dear");
    let empty = place.join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::set_permissions(&empty, PermissionsExt::from_mode(0o700)).unwrap();
    unpack(&empty).unwrap();
    assert!(empty.join("f").is_file());
}

fn main() {
    let can_mount = [Need::Containers];
    suite(vec![
        test(
            "modes, times and attributes are the archive's",
            &[],
            modes_times_and_attributes_are_the_archives,
        ),
        test(
            "owners and devices are what root may make",
            &[Need::Root],
            owners_and_devices_are_as_root_may_make_them,
        ),
        test(
            "who is not root gets what there is and is told",
            &[Need::Unprivileged],
            who_is_not_root_gets_what_there_is_and_is_told,
        ),
        test("no layer speaks for overlayfs", &[], no_layer_speaks_for_overlayfs),
        test("holes stay holes", &[], holes_stay_holes),
        test("the later entry wins, whatever it is", &[], the_later_entry_wins_whatever_it_is),
        test(
            "a directory that is only implied keeps what was said of it",
            &[],
            a_directory_that_is_only_implied_keeps_what_was_said_of_it,
        ),
        test(
            "a directory said anew loses its attributes and keeps its files",
            &[],
            a_directory_said_anew_loses_its_attributes_and_keeps_its_files,
        ),
        test(
            "whiteouts take away what lower layers made, and nothing else",
            &[],
            whiteouts_take_away_what_lower_layers_made_and_nothing_else,
        ),
        test(
            "overlayfs joins the directories to the same tree",
            &can_mount,
            overlayfs_joins_the_directories_to_the_same_tree,
        ),
        test(
            "whiteouts are kept in overlayfs's own form",
            &[],
            whiteouts_are_kept_in_overlayfs_own_form,
        ),
        test(
            "one tree is named where directories cannot do",
            &[],
            one_tree_is_named_where_directories_cannot_do,
        ),
        test(
            "a folder that is there is used only if it is empty",
            &[],
            a_folder_that_is_there_keeps_its_own_and_takes_only_nothing,
        ),
    ]);
}
