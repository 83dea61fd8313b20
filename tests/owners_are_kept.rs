//! Without root, files belong to whom the image says, as ids of /etc/subuid; and what belongs to them goes again.
//!
//! What an id is on this host is read from subuid(5) here, and asked of the files by lstat(2).

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use support::bundle::ran;
use support::imaged::*;
use support::images::*;
use support::*;

/// In which files belong to root, to the user web, and to an id that no range has.
fn owned() -> Image {
    let closed = |path: &str| dir(path).owner(33, 34).mode(0o700);
    let files = [
        closed("home"),
        file("home/letter", "dear\n").owner(33, 34).mode(0o600),
        dir("nobodys").owner(4_000_000_000, 0),
        file("etc/shadow", "").owner(0, 42).mode(0o640),
    ];
    base().layer(layer(files)).set("/config/User", json!("web"))
}

/// What an id of a container is outside: root is this user, and the others follow in the range of the file.
fn outside(file: &str, inside: u32, own: u32) -> u32 {
    let name = learnc::facts::login_name().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.split(':').next() == Some(&name)).unwrap();
    let first: u32 = line.split(':').nth(1).unwrap().parse().unwrap();
    if inside == 0 { own } else { first + inside - 1 }
}

fn owner_outside(uid: u32, gid: u32) -> (u32, u32) {
    let (own, group) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    (outside("/etc/subuid", uid, own), outside("/etc/subgid", gid, group))
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = path.symlink_metadata().unwrap();
    (meta.uid(), meta.gid())
}

fn layers(place: &Place) -> Vec<PathBuf> {
    let mut layers = unpacked_layers(&place.bundle.data().join("learnc/images"));
    layers.sort();
    layers
}

/// Folders of runs in the data folder.
fn runs(place: &Place) -> usize {
    let entries = std::fs::read_dir(place.bundle.data().join("learnc")).into_iter().flatten();
    entries.filter(|e| e.as_ref().unwrap().file_name() != "images").count()
}

/// Takes the store's layers away, since this user cannot.
fn empty(place: &Place) {
    let image = ran(&mut place.learnc(&["images", "--quiet"])).ok().stdout;
    image.lines().for_each(|id| drop(ran(&mut place.learnc(&["rmi", id])).ok()));
    ran(&mut place.learnc(&["prune"])).ok();
    assert_eq!(layers(place), Vec::<PathBuf>::new());
}

fn whom_the_image_names_finds_its_own_files() {
    let place = place(owned());
    let script = "stat -c %u:%g,%n /home /home/letter /etc/shadow; cat /home/letter; \
                  echo mine > /home/new; stat -c %u:%g /home/new";
    let said = place.says(&[], &["sh", "-c", script]);
    assert_eq!(said, "33:34,/home\n33:34,/home/letter\n0:42,/etc/shadow\ndear\n33:34\n");
    let homes: Vec<_> =
        layers(&place).iter().map(|l| l.join("home")).filter(|p| p.exists()).collect();
    assert_eq!(homes.len(), 1);
    assert_eq!(owner(&homes[0]), owner_outside(33, 34));
    assert_eq!(owner(&homes[0].with_file_name("nobodys")), owner_outside(0, 0), "no id is like it");
    assert_eq!(place.says(&[], &["cat", "/home/letter"]), "dear\n", "the same layers again");
    assert_eq!(runs(&place), 0, "what it has written is gone");
    empty(&place);
}

fn what_is_pulled_and_unpacked_is_what_is_run() {
    let place = place(owned());
    let pulled = ran(&mut place.learnc(&["pull", "--quiet", "--unpack", &place.image()])).ok();
    let name = pulled.stdout.split(' ').next().unwrap().to_owned();
    let before = layers(&place);
    assert_eq!(before.len(), 3);
    let said = ran(&mut place.learnc(&["run", "--quiet", &name, "--", "cat", "/home/letter"])).ok();
    assert_eq!((said.stdout.as_str(), layers(&place)), ("dear\n", before));
    let checked = ran(&mut place.learnc(&["image", "check"])).ok().stdout;
    assert!(checked.contains("3 layers unpacked"), "{checked}");
    empty(&place);
}

/// A layer has a file below what is a link in the layer under it.
fn a_copied_tree_keeps_them_too() {
    let linked = layer([symlink("tools", "bin")]);
    let place = place(owned().layer(linked).layer(layer([file("tools/tool", "")])));
    let ran = ran(&mut place.learnc(&["run", &place.image(), "--", "cat", "/home/letter"])).ok();
    assert_eq!(ran.stdout, "dear\n");
    assert!(ran.stderr.contains("copied into one tree"), "{ran:?}");
    assert_eq!((runs(&place), layers(&place).len()), (0, 0));
}

fn what_a_container_gave_away_goes_with_it() {
    let place = place(base());
    let give = "mkdir -p /q/r; touch /q/f /q/r/g; chown -R 5:6 /q; chmod 700 /q; stat -c %u:%g /q";
    let said = ran(&mut place.learnc(&["run", "--quiet", &place.image(), "--", "sh", "-c", give]));
    assert_eq!(said.ok().stdout, "5:6\n");
    assert_eq!(runs(&place), 0);
    let kept =
        ["run", "--quiet", "--keep", "--name", "kept", &place.image(), "--", "sh", "-c", give];
    ran(&mut place.learnc(&kept)).ok();
    let upper = place.bundle.data().join("learnc/kept/upper/q");
    assert_eq!(owner(&upper), owner_outside(5, 6));
    ran(&mut place.learnc(&["delete", "kept"])).ok();
    assert_eq!(runs(&place), 0);
    empty(&place);
}

fn an_image_is_unpacked_with_its_owners_or_with_one() {
    let place = place(owned());
    let name = place.pulled();
    let (one, all) = (place.bundle.dir.join("one"), place.bundle.dir.join("all"));
    let unpack = |switches: &[&str], to: &Path| {
        let to = to.display().to_string();
        ran(&mut place.learnc(&[&["unpack", "--color", "never"], switches, &[&name, &to]].concat()))
    };
    let said = unpack(&[], &one).ok().stdout;
    assert!(said.contains("entries of owners who are not here"), "{said}");
    assert_eq!(owner(&one.join("home/letter")), owner_outside(0, 0));
    let said = unpack(&["--map-owners"], &all).ok().stdout;
    assert!(said.contains("1 entries of owners who are not here"), "{said}");
    assert_eq!(owner(&all.join("home")), owner_outside(33, 34));
    assert_eq!(owner(&all.join("etc/shadow")), owner_outside(0, 42));
    let remove = ["--map-auto", "--map-root-user", "rm", "-r", &all.display().to_string()];
    ran(std::process::Command::new("unshare").args(remove)).ok();
}

/// As for a user whom nobody has given more ids: newuidmap is not in PATH.
fn with_one_id_all_is_this_users() {
    let place = place(owned());
    let name = place.pulled();
    let to = place.bundle.dir.join("all").display().to_string();
    let mut unpack = place.learnc(&["unpack", "--map-owners", &name, &to]);
    let said = ran(unpack.env("PATH", "/nowhere"));
    assert_eq!(said.status, 1);
    let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["--map-owners: there is one id only", "newuidmap", "learnc doctor"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!Path::new(&to).exists());
    let mut run =
        place.learnc(&["run", "--quiet", "-u", "0", &name, "--", "stat", "-c", "%u", "/home"]);
    assert_eq!(ran(run.env("PATH", "/nowhere")).ok().stdout, "0\n");
    // The same layers with owners are others.
    assert_eq!(place.says(&[], &["stat", "-c", "%u", "/home"]), "33\n");
    empty(&place);
}

/// Ranges of somebody who has had others before: what the old ones own is kept, said, and prunes are done all the same.
fn layers_of_other_ranges_are_not_in_the_way() {
    let place = place(owned());
    let image = place.image();
    ran(&mut place.learnc(&["pull", "--quiet", "--unpack", &image])).ok();
    let store = place.bundle.data().join("learnc/images");
    let old = layer_set(&store).with_file_name("ids-000000000000");
    // Of one's own a set of other maps goes; who is in use says nothing of it.
    let layer = unpacked_layers(&store)[0].clone();
    std::fs::create_dir_all(old.join("sha256")).unwrap();
    std::fs::create_dir(old.join("sha256").join(layer.file_name().unwrap())).unwrap();
    let said = ran(&mut place.learnc(&["prune"])).ok().stdout;
    assert!(said.contains("1 unpacked layer"), "{said}");
    assert!(!old.exists());
    assert_eq!(place.says(&[], &["cat", "/home/letter"]), "dear\n");
    // Without newuidmap nothing of another id can go: the rest does, and the reason is said.
    let name = ran(&mut place.learnc(&["images", "--quiet"])).ok().stdout;
    let mut rmi = place.learnc(&["rmi", name.trim()]);
    let said = ran(rmi.env("PATH", "/nowhere"));
    assert!(said.status == 1 && said.stdout.contains("2 unpacked layers"), "{said:?}");
    for part in ["1 unpacked layer could not be taken away", "/etc/subuid", "sudo rm -r"] {
        assert!(said.stderr.contains(part), "{part}: {said:?}");
    }
    // What may be half a layer has no name of one any more, and is named as it is.
    let left = layers(&place);
    assert_eq!(left.len(), 1);
    assert!(left[0].file_name().unwrap().to_string_lossy().starts_with("tmp-"), "{left:?}");
    assert!(said.stderr.contains(&left[0].display().to_string()), "{left:?}: {said:?}");
    // The image comes again, with layers of its own, and is not hindered by what is left.
    ran(&mut place.learnc(&["pull", "--quiet", "--unpack", &image])).ok();
    assert_eq!(place.says(&[], &["stat", "-c", "%a %u", "/home"]), "700 33\n");
    assert_eq!(layers(&place).len(), 4);
    let mut prune = place.learnc(&["prune"]);
    assert_eq!(ran(prune.env("PATH", "/nowhere")).status, 1);
    assert_eq!((layers(&place).len(), left[0].exists()), (4, true));
    let said = ran(&mut place.learnc(&["prune"])).ok().stdout;
    assert!(said.contains("1 unfinished"), "{said}");
    assert_eq!(layers(&place).len(), 3);
    empty(&place);
}

/// The user web is another one than the witness, out here: of the calls behind that change the witness sees numbers.
fn a_run_of_another_user_is_verified_as_far_as_can_be() {
    let place = place(owned());
    let name = place.pulled();
    let verified = |more: &[&str]| {
        let words = [&["run", "--verify"], more, &[&name, "--", "cat", "/home/letter"]].concat();
        let ran = ran(&mut place.learnc(&words)).ok();
        assert_eq!(ran.stdout, "dear\n");
        ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = verified(&[]);
    assert!(said.contains("own record (3 without what their addresses lead to"), "{said}");
    assert!(said.contains("another user), none besides"), "{said}");
    let said = verified(&["-u", "0"]);
    assert!(said.contains("own record, none besides"), "{said}");
}

/// What it wrote in its own closed home is told, though this user may not look there.
fn what_was_written_in_a_closed_home_is_told() {
    let place = place(owned());
    let events = place.bundle.dir.join("events.jsonl");
    let write = "echo more > /home/letter; echo new > /home/new";
    let mut run = place.learnc(&["run", "--quiet", "--changes", "--events"]);
    run.arg(&events).args([&place.image(), "--", "sh", "-c", write]);
    ran(&mut run).ok();
    let told = std::fs::read_to_string(events).unwrap();
    let changed = told.lines().find(|line| line.contains(r#""type":"changed""#)).unwrap();
    let changed: serde_json::Value = serde_json::from_str(changed).unwrap();
    let row = |property: &str| {
        let mut rows = changed["rows"].as_array().unwrap().iter();
        let row = rows.find(|row| row["property"] == property);
        row.unwrap_or_else(|| panic!("{property}: {changed:#}"))["container"].clone()
    };
    assert_eq!(row("upper/home/letter"), "copied up: file, 5 bytes");
    assert_eq!(row("upper/home/new"), "made: file, 4 bytes");
    assert_eq!(row("size of upper"), "9 bytes in 2 files");
}

fn main() {
    let ranges: &[Need] = &[Need::IdRanges, Need::Containers, Need::Busybox];
    let joined = [ranges, &[Need::Joins]].concat();
    suite(vec![
        test("a copied tree keeps them too", ranges, a_copied_tree_keeps_them_too),
        test(
            "whom the image names finds its own files",
            &joined,
            whom_the_image_names_finds_its_own_files,
        ),
        test(
            "what is pulled and unpacked is what is run",
            &joined,
            what_is_pulled_and_unpacked_is_what_is_run,
        ),
        test(
            "what a container gave away goes with it",
            &joined,
            what_a_container_gave_away_goes_with_it,
        ),
        test(
            "an image is unpacked with its owners, or with one",
            ranges,
            an_image_is_unpacked_with_its_owners_or_with_one,
        ),
        test(
            "layers of other ranges are not in the way",
            &joined,
            layers_of_other_ranges_are_not_in_the_way,
        ),
        test(
            "a run of another user is verified as far as can be",
            &[&joined[..], &[Need::Ptrace, Need::SyscallInfo]].concat(),
            a_run_of_another_user_is_verified_as_far_as_can_be,
        ),
        test(
            "what was written in a closed home is told",
            &joined,
            what_was_written_in_a_closed_home_is_told,
        ),
        test("with one id all is this user's", &joined, with_one_id_all_is_this_users),
    ]);
}
