//! `learnc unpack` makes of an image what umoci and podman make of it, file by file.
//!
//! The tools do not agree with each other on everything: what is left out of a comparison is named
//! there, with the reason.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::bundle::ran;
use support::images::*;
use support::needs::is_root;
use support::trees::differences;
use support::*;

/// The archive that GNU tar makes of a folder of this host.
fn by_tar(parent: &str, names: &[&str], options: &[&str]) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.args(["-C", parent, "--sort=name", "-cf", "-"]).args(options).args(names);
    let made = tar.output().unwrap();
    // Something may change on the host meanwhile.
    assert!(made.status.code().is_some_and(|code| code < 2), "{made:?}");
    made.stdout
}

/// Layers that use every property of a file, and change and take away what the ones below have.
fn everything() -> Image {
    let names = |range: std::ops::Range<u32>| {
        range.map(|n| file(&format!("many/{}/{n}", n % 7), format!("file {n}")).time(n.into()))
    };
    let lowest = [
        dir("./"),
        dir("bin").mode(0o1777).owner(3, 4).time(7),
        file("bin/tool", b"#!/bin/sh").mode(0o755),
        file("bin/setuid", b"#!").mode(0o4711),
        hard("bin/second", "bin/tool").mode(0o755),
        symlink("bin/link", "tool").owner(5, 6).time(9),
        symlink("lib", "usr/lib"),
        dir("usr"),
        dir("usr/lib").mode(0o750).owner(8, 8).time(100),
        dir("closed").mode(0o500).time(11),
        file("closed/inside", b"x").mode(0o400).pax("mtime", b"12.123456789"),
        fifo("pipe").mode(0o640),
        file("etc/old", b"old"),
        file("etc/kept", b"kept"),
        file("etc/changed", b"before").mode(0o600).owner(1, 1),
        file("gone/a/b/c", b"c"),
        file("emptied/lower", b"lower"),
        file("emptied/deep/lower", b"lower"),
        dir("becomes-file"),
        file("becomes-file/x", b"x"),
        file("becomes-dir", b"x"),
        symlink("link-becomes-dir", "etc"),
        dir("attributes").xattr("user.dir", b"d"),
        file("attributes/f", b"f").xattr("user.test", b"\x00\xffvalue"),
    ];
    let middle = [
        dir("./").mode(0o755),
        whiteout("etc/old"),
        file("etc/changed", b"after"),
        whiteout("gone/a"),
        file("lib/through-a-link", b"found below usr"),
        dir("emptied"),
        opaque("emptied"),
        file("emptied/upper", b"upper"),
        file("becomes-file", b"now a file"),
        dir("becomes-dir"),
        file("becomes-dir/x", b"x"),
        dir("link-becomes-dir"),
    ];
    let long = format!("many/{}/{}", "d".repeat(120), "f".repeat(120));
    let highest = [file(&long, b"long"), file("closed/also", b"y"), whiteout("many/3")];
    image()
        .layer(layer(lowest.into_iter().chain(names(0..500))).gzip())
        .layer(layer(middle).gzip())
        .layer(layer(highest))
}

/// An image in a layout, which is a store of learnc's too, and what learnc makes of it.
struct Unpacked {
    folder: Folder,
}

const NAME: &str = "localhost/app:1";

impl Unpacked {
    fn new(image: &Image) -> Unpacked {
        let folder = folder();
        image.made().layout(&folder.join("layout"), NAME);
        // Other tools take a name without a slash.
        image.made().layout(&folder.join("theirs"), "v1");
        let unpacked = Unpacked { folder };
        ran(&mut unpacked.learnc()).ok();
        unpacked
    }

    fn learnc(&self) -> Command {
        let mut command = learnc(["unpack", "--store"]);
        command.arg(self.folder.join("layout")).arg(NAME).arg(self.ours());
        command
    }

    fn ours(&self) -> PathBuf {
        self.folder.join("ours")
    }

    fn by_umoci(&self) -> PathBuf {
        let bundle = self.folder.join("umoci");
        let mut umoci = Command::new("umoci");
        umoci
            .arg("unpack")
            .arg("--image")
            .arg(format!("{}:v1", self.folder.join("theirs").display()));
        if !is_root() {
            umoci.arg("--rootless");
        }
        ran(umoci.arg(&bundle)).ok();
        bundle.join("rootfs")
    }
}

impl Drop for Unpacked {
    /// Some directories are closed to this user.
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.folder.0).status();
    }
}

fn the_tree_is_umocis() {
    let unpacked = Unpacked::new(&everything());
    let theirs = unpacked.by_umoci();
    let implied = |path: &Path| {
        ["etc", "gone", "many"].iter().any(|p| path.starts_with(Path::new(".").join(p)))
    };
    let found = differences(&unpacked.ours(), &theirs, |path, seen, property| {
        let is_dir = seen["kind"] == "40000";
        // A directory that no layer names has whatever time it was made at.
        let unsaid = property == "modified" && is_dir && implied(path);
        // Without root umoci notes owners in an attribute, user.rootlesscontainers.
        let noted = !is_root() && property == "attributes" && !path.starts_with("./attributes");
        !unsaid && !noted
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn and_so_is_that_of_a_host() {
    let folders = ["doc", "zoneinfo", "python3"];
    let there: Vec<&str> =
        folders.into_iter().filter(|name| Path::new("/usr/share").join(name).is_dir()).collect();
    let image = image()
        .layer(layer_of(by_tar("/usr/share", &there, &["--format=posix", "--xattrs"])).gzip())
        .layer(layer_of(by_tar("/etc", &["alternatives"], &["--format=gnu"])));
    let unpacked = Unpacked::new(&image);
    let theirs = unpacked.by_umoci();
    let is_root_dir = |path: &Path| path == Path::new(".");
    let found = differences(&unpacked.ours(), &theirs, |path, _, property| {
        !(is_root_dir(path) && property == "modified")
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
    let files = support::trees::tree(&unpacked.ours()).len();
    assert!(files > 300, "{files} files are few");
}

/// podman's own storage, in a folder of its own: its images are in no other's list.
struct Podman {
    place: PathBuf,
}

impl Podman {
    fn call(&self, args: &[&str]) -> String {
        let mut podman = Command::new("podman");
        podman
            .arg("--root")
            .arg(self.place.join("root"))
            .arg("--runroot")
            .arg(self.place.join("run"));
        podman.args(["--storage-driver", "vfs"]).args(args);
        ran(&mut podman).ok().stdout.trim().to_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut podman = Command::new("podman");
        podman
            .arg("--root")
            .arg(self.place.join("root"))
            .arg("--runroot")
            .arg(self.place.join("run"));
        let _ = podman.args(["--storage-driver", "vfs", "rmi", "--all", "--force"]).output();
    }
}

fn it_is_podmans_too() {
    let mut image = everything();
    image = image.layer(layer([file("with/zstd", b"zstd").owner(9, 9)]).zstd());
    let unpacked = Unpacked::new(&image);
    let podman = Podman { place: unpacked.folder.join("podman") };
    let theirs = format!("oci:{}:v1", unpacked.folder.join("theirs").display());
    let id = podman.call(&["pull", "--quiet", &theirs]);
    let mounted = podman.call(&["image", "mount", &id]);
    let found = differences(&unpacked.ours(), Path::new(&mounted), |_, seen, property| {
        // A directory in which a higher layer changes something gets the time of that from podman, and
        // from learnc and umoci the one that its own layer says.
        !(property == "modified" && seen["kind"] == "40000")
    });
    podman.call(&["image", "umount", &id]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// An archive alone, without the rules of layers.
fn an_archive_is_what_gnu_tar_reads_in_it() {
    let entries = [
        dir("./").mode(0o755).time(4),
        dir("d").mode(0o2751).time(7).owner(3, 4),
        file("d/f", b"hello").mode(0o4755).pax("mtime", b"12.5").owner(7, 8).xattr("user.a", b"b"),
        hard("d/second", "d/f")
            .mode(0o4755)
            .pax("mtime", b"12.5")
            .owner(7, 8)
            .xattr("user.a", b"b"),
        symlink("d/l", "../x").owner(5, 6).time(9),
        fifo("p").mode(0o620).time(3),
        file(&format!("{}/f", "long".repeat(50)), b"long"),
        device("null", 1, 3),
    ];
    let made = layer(entries);
    let unpacked = Unpacked::new(&image().layer(made.clone().gzip()));
    let (archive, theirs) = (unpacked.folder.join("x.tar"), unpacked.folder.join("tar"));
    std::fs::write(&archive, &made.archive).unwrap();
    std::fs::create_dir(&theirs).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"]).arg(&archive);
    ran(tar.arg("-C").arg(&theirs)).ok();
    let found = differences(&unpacked.ours(), &theirs, |path, _, property| {
        // Nobody says when this directory was made.
        !(property == "modified" && path == Path::new(".").join("long".repeat(50)))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn main() {
    suite(vec![
        test(
            "the tree is umoci's, property by property",
            &[Need::Umoci, Need::Attributes],
            the_tree_is_umocis,
        ),
        test(
            "and so is that of folders of a host",
            &[Need::Umoci, Need::Attributes],
            and_so_is_that_of_a_host,
        ),
        test(
            "an archive is what GNU tar reads in it",
            &[Need::Root, Need::Attributes],
            an_archive_is_what_gnu_tar_reads_in_it,
        ),
        test(
            "it is podman's, too",
            &[Need::Podman, Need::Root, Need::Attributes],
            it_is_podmans_too,
        ),
    ]);
}
