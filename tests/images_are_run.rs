//! `learnc run IMAGE`: the image's wishes are honoured, the command line has the last word, and a word is
//! never taken for what it was not meant.
//!
//! Images are made by code, put into layouts, and run from the store, as root and as others.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use serde_json::{Value, json};
use support::bundle::ran;
use support::imaged::*;
use support::images::*;
use support::server::{registry, serve};
use support::*;

fn the_images_wishes_are_honoured() {
    let place = place(base().set("/config/WorkingDir", json!("/srv")));
    assert_eq!(place.says(&[], &[]), "from Cmd\n");
    assert_eq!(place.says(&[], &["pwd"]), "/srv\n");
    assert_eq!(place.says(&[], &["sh", "-c", "echo $COLOUR $PATH"]), "red /bin\n");
    let place = self::place(base().set("/config/Entrypoint", json!(["echo", "entry"])));
    assert_eq!(place.says(&[], &[]), "entry sh -c echo from Cmd\n");
    assert_eq!(place.says(&[], &["other"]), "entry other\n");
    assert_eq!(place.says(&["--entrypoint", "pwd"], &[]), "/\n");
}

fn the_command_line_has_the_last_word() {
    let place = place(base());
    assert_eq!(place.says(&["-e", "COLOUR=blue"], &["sh", "-c", "echo $COLOUR"]), "blue\n");
    assert_eq!(place.says(&["-w", "/new/place"], &["pwd"]), "/new/place\n");
    let read_only = place.run(&["--read-only"], &["touch", "/x"]);
    assert!(read_only.status == 1 && read_only.stderr.contains("Read-only"), "{read_only:?}");
    let shared = place.bundle.dir.join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "of the host").unwrap();
    let volume = format!("{}:/mnt", shared.display());
    assert_eq!(
        place.says(&["-v", &volume], &["sh", "-c", "cat /mnt/file; echo new > /mnt/made"]),
        "of the host"
    );
    assert_eq!(std::fs::read_to_string(shared.join("made")).unwrap(), "new\n");
    let refused = place.run(&["-v", &format!("{volume}:ro")], &["touch", "/mnt/no"]);
    assert!(refused.stderr.contains("Read-only"), "{refused:?}");
    let ran = place.run(&["-v", "data:/mnt"], &["true"]);
    assert!(ran.status == 125 && ran.stderr.contains("no volumes with names"), "{ran:?}");
}

/// A layer has a file below what is a link in the layer under it: the image is run from a tree of its own.
fn what_cannot_be_joined_is_copied_and_the_reason_is_told() {
    let linked = layer([symlink("tools", "bin")]);
    let place = place(base().layer(linked).layer(layer([file("tools/tool", "through a link\n")])));
    let image = place.image();
    let unpacked = ran(&mut place.learnc(&["pull", "--unpack", &image])).ok();
    let said = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said(&unpacked.stderr).contains("The layers stay packed: layer "), "{unpacked:?}");
    let shown = ["-u", "web", &image, "--", "sh", "-c", "cat /bin/tool; id -u"];
    let ran = ran(&mut place.learnc(&[&["run"], &shown[..]].concat())).ok();
    assert_eq!(ran.stdout, "through a link\n33\n");
    for why in
        ["copied into one tree, not joined: layer", "tools is a link in a lower layer: a layer has"]
    {
        assert!(said(&ran.stderr).contains(why), "{ran:?}");
    }
    let layers = place.bundle.data().join("learnc/images/layers");
    let left = std::fs::read_dir(layers).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["sha256"], "nothing unfinished is left");
}

/// Names are the image's: the host has a user web or not, with whatever number.
fn a_user_is_looked_up_in_the_image() {
    let place = place(base().set("/config/User", json!("web")));
    let id = "id -u; id -g; id -G; echo $HOME";
    assert_eq!(place.says(&[], &["sh", "-c", id]), "33\n34\n34 4\n/srv\n");
    assert_eq!(place.says(&["-u", "5:6"], &["sh", "-c", id]), "5\n6\n6\n/\n");
    assert_eq!(place.says(&["--user", "0"], &["id", "-u"]), "0\n");
    let ran = place.run(&["-u", "stranger"], &["true"]);
    assert_eq!(ran.status, 125);
    assert!(ran.stderr.contains("there is no user \"stranger\" in the image"), "{}", ran.stderr);
}

/// /etc/passwd of the image is a link to a file that this host has and the image has not.
fn the_hosts_users_are_never_asked() {
    let outside = folder();
    let passwd = outside.join("passwd");
    std::fs::write(&passwd, "outsider:x:0:0::/:/bin/sh\n").unwrap();
    for target in [passwd.display().to_string(), format!("../../../../../..{}", passwd.display())] {
        let place = place(base().layer(layer([symlink("etc/passwd", &target)])));
        let ran = place.run(&["-u", "outsider"], &["true"]);
        assert!(ran.status == 125 && ran.stderr.contains("in the image"), "{ran:?}");
    }
}

fn exit_statuses_are_dockers() {
    let place = place(base());
    assert_eq!(place.run(&[], &["sh", "-c", "exit 42"]).status, 42);
    assert_eq!(place.run(&[], &["no-such-program"]).status, 127);
    assert_eq!(place.run(&[], &["/no/such/program"]).status, 127);
    assert_eq!(place.run(&[], &["/data"]).status, 126);
    assert_eq!(place.run(&["-w", "relative"], &["true"]).status, 125);
    let gone = ran(&mut place.learnc(&["run", "oci:/no/such/layout:v1"]));
    assert_eq!(gone.status, 125, "{gone:?}");
}

/// The word of a command line, in a folder with a config.json and in one without.
fn a_word_is_never_in_doubt() {
    let place = place(base());
    let unknown = ran(&mut place.learnc(&["run", "fern"]));
    assert_eq!(unknown.status, 1);
    for reading in [
        "is that a container or an image?",
        "config.json in this folder",
        "no image of that",
        "learnc run docker.io/library/fern:latest",
        "learnc run -- fern",
        "--bundle DIR",
    ] {
        let said = unknown.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(reading), "{reading}: {said}");
    }
    assert!(!place.bundle.data().join("learnc").exists(), "a store was made");
    // In the store under that name, it is the image.
    let store = place.bundle.data().join("learnc/images");
    ran(&mut place.learnc(&["pull", "--quiet", &place.image()])).ok();
    let index = store.join("index.json");
    let mut list: Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    list["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] =
        json!("docker.io/library/fern:latest");
    std::fs::write(&index, list.to_string()).unwrap();
    assert_eq!(ran(&mut place.learnc(&["run", "--quiet", "fern"])).ok().stdout, "from Cmd\n");
    // With a config.json beside, or --bundle, or --id, it is an id.
    let bundle = &place.bundle;
    let own = bundle.dir.join("rootfs");
    assert!(own.is_dir());
    let said = |args: &[&str]| {
        let mut command = bundle.learnc(args.iter().copied());
        ran(&mut command).ok().stdout
    };
    assert_eq!(said(&["run", "--quiet", "fern", "--", "echo", "id"]), "id\n");
    assert_eq!(said(&["run", "--quiet", "--id", "fern", "--", "echo", "id"]), "id\n");
    assert_eq!(said(&["run", "--quiet", "--image", "fern"]), "from Cmd\n");
    let dir = bundle.dir.display().to_string();
    let given =
        ran(&mut place.learnc(&["run", "--quiet", "--bundle", &dir, "fern", "--", "echo", "id"]));
    assert_eq!(given.ok().stdout, "id\n");
    let no = ran(&mut bundle.learnc(["run", "-e", "A=1", "fern"]));
    assert!(
        no.status == 1 && no.stderr.contains("--env: is for the container of an image"),
        "{no:?}"
    );
}

fn a_registry_is_asked_and_told() {
    let made = base().made();
    let server = serve(registry(&made, "team/app", "1"));
    let place = place(base());
    let name = server.name("team/app:1");
    let told = ran(&mut place.learnc(&["run", &name]));
    assert_eq!(told.ok().stdout, "from Cmd\n");
    let explained = ran(&mut place.learnc(&["run", "--explain", &name])).ok().stderr;
    let (ready, rest) = explained.split_once("Get the image ready").unwrap();
    assert!(!ready.contains("Put the host back"), "{ready}");
    assert_eq!(rest.matches("Put the host back").count(), 1, "{rest}");
    let hits = server.hits().len();
    assert!(hits > 0);
    assert_eq!(ran(&mut place.learnc(&["run", "--quiet", &name])).ok().stdout, "from Cmd\n");
    assert_eq!(server.hits().len(), hits, "what is in the store was asked for again");
}

/// Names of images for two machines: of what is in the store the other one's half is there alone, or no layer.
fn what_is_missing_of_an_image_is_pulled() {
    let other = base().set("/architecture", json!("s390x"));
    let server = serve(registry(&several([base(), other]), "team/app", "1"));
    let place = place(base());
    let name = server.name("team/app:1");
    ran(&mut place.learnc(&["pull", "--quiet", "--platform", "linux/s390x", &name])).ok();
    let shown = ran(&mut place.learnc(&["run", "--plan", &name]));
    assert!(shown.status == 125 && shown.stderr.contains("not all of it"), "{shown:?}");
    let run = || ran(&mut place.learnc(&["run", "--quiet", &name])).ok().stdout;
    assert_eq!(run(), "from Cmd\n");
    let store = place.bundle.data().join("learnc/images");
    // Unpacked layers are enough, and packed ones are, too.
    let largest = || {
        let blobs = std::fs::read_dir(store.join("blobs/sha256")).unwrap();
        let blobs = blobs.map(|blob| blob.unwrap().path());
        blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap()
    };
    let hits = server.hits().len();
    std::fs::remove_file(largest()).unwrap();
    assert_eq!((run(), server.hits().len()), ("from Cmd\n".to_owned(), hits));
    for layer in unpacked_layers(&store) {
        std::fs::remove_dir_all(layer).unwrap();
    }
    assert_eq!(run(), "from Cmd\n");
    assert!(server.hits().len() > hits, "the layer was not asked for");
}

fn a_store_that_cannot_be_written_to_is_named_and_nothing_stays() {
    let place = place(base());
    let name = place.pulled();
    ran(&mut place.learnc(&["run", "--quiet", &name])).ok();
    let store = place.bundle.data().join("learnc/images");
    let script = "mount --bind $0 $0 && mount -o remount,ro,bind $0 && exec \"$@\"";
    let run = place.learnc(&["run", &name]);
    let mut read_only = std::process::Command::new("unshare");
    read_only.args(["-m", "sh", "-c", script]).arg(&store).arg(run.get_program());
    read_only.args(run.get_args()).current_dir(run.get_current_dir().unwrap());
    let refused = ran(read_only.env("XDG_DATA_HOME", place.bundle.data()));
    assert_eq!(refused.status, 125, "{refused:?}");
    let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("--store DIR, with a folder to which this user may write"), "{said}");
    assert!(said.contains(&store.display().to_string()), "{said}");
    assert!(!said.contains("could not undo"), "{said}");
    let list = ran(&mut place.learnc(&["list", "--quiet"])).ok().stdout;
    assert_eq!(list, "", "a state stays");
}

fn habits_of_other_tools_are_answered_with_what_is_to_be_written_here() {
    let place = place(base());
    for (args, tip) in [
        (&["run", "fern", "echo", "hi there"][..], "run fern -- echo 'hi there'"),
        (&["run", "-e", "A=1", "ls", "ls"], "run -e A=1 ls -- ls"),
    ] {
        let ran = ran(&mut place.learnc(args));
        assert!(ran.status == 2 && ran.stderr.contains("tip: learnc --root"), "{ran:?}");
        assert!(ran.stderr.contains(tip), "{ran:?}");
    }
    for (switch, tip) in [("-p", "no way out of it yet"), ("--memory=1g", "linux.resources in")] {
        let ran = ran(&mut place.learnc(&["run", switch, "fern"]));
        assert!(ran.status == 2 && ran.stderr.contains(tip), "{ran:?}");
        assert!(!ran.stderr.contains("as a value"), "{ran:?}");
    }
    let list = ran(&mut place.learnc(&["list", "word"]));
    assert!(list.status == 2 && !list.stderr.contains("tip:"), "{list:?}");
    let from = place.run(&["--from", "host"], &["true"]);
    assert_eq!(from.status, 125);
    assert!(from.stderr.contains("an image brings its own"), "{from:?}");
}

fn a_stranger_runs_images_too() {
    support::stranger::pass(6);
}

fn main() {
    let ranged: &[Need] = &[Need::Root, Need::Containers, Need::Busybox];
    suite(vec![
        test("the image's wishes are honoured", RUNS, the_images_wishes_are_honoured),
        test("the command line has the last word", RUNS, the_command_line_has_the_last_word),
        test(
            "what cannot be joined is copied, and the reason is told",
            ranged,
            what_cannot_be_joined_is_copied_and_the_reason_is_told,
        ),
        test("a user is looked up in the image", ranged, a_user_is_looked_up_in_the_image),
        test("the host's users are never asked", RUNS, the_hosts_users_are_never_asked),
        test("exit statuses are docker's", RUNS, exit_statuses_are_dockers),
        test("a word is never in doubt", RUNS, a_word_is_never_in_doubt),
        test("a registry is asked and told", RUNS, a_registry_is_asked_and_told),
        test(
            "what is missing of an image is pulled",
            &[RUNS, &[Need::Joins]].concat(),
            what_is_missing_of_an_image_is_pulled,
        ),
        test(
            "a store that cannot be written to is named, and nothing stays",
            ranged,
            a_store_that_cannot_be_written_to_is_named_and_nothing_stays,
        ),
        test(
            "habits of other tools are answered with what is to be written here",
            RUNS,
            habits_of_other_tools_are_answered_with_what_is_to_be_written_here,
        ),
        test("a stranger runs images too", &[Need::Strangers], a_stranger_runs_images_too),
    ]);
}
