//! Taking a root filesystem away takes nothing else away, and can be asked for before it is complete.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use learnc::event::Lane;
use learnc::sys::copy::{give_tree, remove_tree};
use learnc::sys::{Kernel, Manner};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use support::bundle::{ran, read};
use support::*;

/// Something bound on a place, no longer so when dropped.
struct Bound(PathBuf);

impl Bound {
    fn on(source: &Path, place: PathBuf) -> Bound {
        let none: Option<&str> = None;
        mount(Some(source), &place, none, MsFlags::MS_BIND, none).unwrap();
        Bound(place)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn visit(bundle: &Bundle, script: &str) -> Command {
    let mut command = bundle.learnc(["stage", "rootfs", "--quiet", "--id", &bundle.id, "--"]);
    command.args(["sh", "-c", script]);
    command
}

fn folder_with(bundle: &Bundle, name: &str, file: &str) -> PathBuf {
    let folder = bundle.dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(file), "dear").unwrap();
    folder
}

/// Everything below the folder of the runs, by name.
fn left(bundle: &Bundle) -> Vec<String> {
    let runs = std::fs::read_dir(bundle.data().join("learnc/runs")).into_iter().flatten();
    runs.map(|run| run.unwrap().file_name().into_string().unwrap()).collect()
}

fn what_a_visitor_mounted_is_left_alone() {
    let bundle = bundle();
    let precious = folder_with(&bundle, "precious", "letter");
    let script = format!("pwd >{0}/where; mount --bind {0} proc", precious.display());
    let stage = ran(&mut visit(&bundle, &script));
    let place = PathBuf::from(read(precious.join("where")).trim()).join("proc");
    let bound = Bound(place.clone());
    assert_eq!(stage.status, 1, "{}", stage.stderr);
    assert_eq!(read(precious.join("letter")), "dear");
    let clean = ran(bundle.learnc(["clean"]).arg("--quiet"));
    for ran in [stage, clean] {
        assert_eq!(ran.status, 1, "{ran:?}");
        let umount = format!("umount {}", place.display());
        assert!(ran.stderr.contains(&format!("mounted on {}", place.display())), "{ran:?}");
        assert!(ran.stderr.contains(&umount), "{ran:?}");
    }
    assert_eq!(read(precious.join("letter")), "dear");
    drop(bound);
    ran(&mut bundle.learnc(["clean"])).ok();
    assert!(left(&bundle).is_empty() && !place.exists());
    assert_eq!(read(precious.join("letter")), "dear");
}

fn nor_does_a_script_empty_it() {
    let bundle = bundle();
    let precious = folder_with(&bundle, "precious", "letter");
    let temporary = bundle.dir.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let script = format!("pwd >{0}/where; mount --bind {0} proc", precious.display());
    let mut print = bundle.learnc(["stage", "rootfs", "--by-hand", "--", "sh", "-c", &script]);
    let text = ran(&mut print).ok().stdout;
    let by_hand = ran(Command::new("sh").args(["-c", &text]).env("TMPDIR", &temporary));
    let place = PathBuf::from(read(precious.join("where")).trim()).join("proc");
    let bound = Bound(place.clone());
    assert_eq!(read(precious.join("letter")), "dear");
    assert_ne!(by_hand.status, 0, "{by_hand:?}");
    assert!(by_hand.stderr.contains(&format!("mounted on {}", place.display())), "{by_hand:?}");
    drop(bound);
}

/// A file that is bound on a file, a folder on a folder, and the tree's own folder.
fn no_mount_is_entered() {
    let bundle = bundle();
    let precious = folder_with(&bundle, "precious", "letter");
    let letter = precious.join("letter");
    let k = Kernel::new(Manner::Silent, Lane::Runtime, 0);
    for (source, at) in [(&letter, "tree/letter"), (&precious, "tree/inner"), (&precious, "tree")] {
        let tree = folder_with(&bundle, "tree", "letter");
        std::fs::create_dir(tree.join("inner")).unwrap();
        let place = bundle.dir.join(at);
        let bound = Bound::on(source, place.clone());
        for refused in [give_tree(&k, &tree, 7, 7), remove_tree(&k, &tree).map(drop)] {
            let text = refused.unwrap_err().to_string();
            assert!(text.ends_with(&format!("mounted on {}", place.display())), "{text}");
        }
        let owner = letter.metadata().unwrap();
        assert_eq!((owner.uid(), &*read(&letter)), (nix::unistd::geteuid().as_raw(), "dear"));
        drop(bound);
        give_tree(&k, &tree, 7, 7).unwrap();
        let mut all = std::fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path());
        assert!(all.all(|path| path.metadata().unwrap().uid() == 7));
        assert_eq!(tree.metadata().unwrap().uid(), 7);
        assert_eq!(remove_tree(&k, &tree), Ok(true));
        assert_eq!(remove_tree(&k, &tree), Ok(false));
    }
}

/// A mount table of this test's own: what is mounted here is mounted nowhere else.
fn in_a_mount_table_of_its_own() {
    if needs::is_root() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).unwrap();
    }
}

fn main() {
    in_a_mount_table_of_its_own();
    let mounts = &[Need::Root, Need::Busybox];
    let scripts = &[Need::Root, Need::Busybox, Need::HandTools];
    suite(vec![
        test("what a visitor mounted is left alone", mounts, what_a_visitor_mounted_is_left_alone),
        test("nor does a script empty it", scripts, nor_does_a_script_empty_it),
        test("no mount is entered", mounts, no_mount_is_entered),
    ])
}
