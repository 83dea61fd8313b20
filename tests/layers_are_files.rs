//! What a layer says of files is what they are, and what it takes away is gone.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use learnc::image::layer::{How, Owners, unpack_image};
use learnc::sys::attributes::attributes;
use support::bundle::{ran, read};
use support::images::*;
use support::unpacked::{Tree, applied, silent, store_of, whiteout_cases};
use support::*;

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

fn whiteouts_take_away_what_lower_layers_made_and_nothing_else() {
    for (number, (lower, upper, wanted)) in whiteout_cases().into_iter().enumerate() {
        let tree = Tree::of([layer(lower), layer(upper)]);
        assert_eq!(tree.names(), wanted, "case {number}");
    }
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
    suite(vec![
        test(
            "modes, times and attributes are the archive's",
            &[Need::Attributes],
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
        test("no layer speaks for overlayfs", &[Need::Attributes], no_layer_speaks_for_overlayfs),
        test("holes stay holes", &[], holes_stay_holes),
        test("the later entry wins, whatever it is", &[], the_later_entry_wins_whatever_it_is),
        test(
            "a directory that is only implied keeps what was said of it",
            &[],
            a_directory_that_is_only_implied_keeps_what_was_said_of_it,
        ),
        test(
            "a directory said anew loses its attributes and keeps its files",
            &[Need::Attributes],
            a_directory_said_anew_loses_its_attributes_and_keeps_its_files,
        ),
        test(
            "whiteouts take away what lower layers made, and nothing else",
            &[],
            whiteouts_take_away_what_lower_layers_made_and_nothing_else,
        ),
        test(
            "a folder that is there is used only if it is empty",
            &[],
            a_folder_that_is_there_keeps_its_own_and_takes_only_nothing,
        ),
    ]);
}
