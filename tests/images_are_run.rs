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
    let hits = server.hits().len();
    assert!(hits > 0);
    assert_eq!(ran(&mut place.learnc(&["run", "--quiet", &name])).ok().stdout, "from Cmd\n");
    assert_eq!(server.hits().len(), hits, "what is in the store was asked for again");
}

fn a_stranger_runs_images_too() {
    support::stranger::pass(6);
}

fn main() {
    let ranged: &[Need] = &[Need::Root, Need::Containers, Need::Busybox];
    suite(vec![
        test("the image's wishes are honoured", RUNS, the_images_wishes_are_honoured),
        test("the command line has the last word", RUNS, the_command_line_has_the_last_word),
        test("a user is looked up in the image", ranged, a_user_is_looked_up_in_the_image),
        test("the host's users are never asked", RUNS, the_hosts_users_are_never_asked),
        test("exit statuses are docker's", RUNS, exit_statuses_are_dockers),
        test("a word is never in doubt", RUNS, a_word_is_never_in_doubt),
        test("a registry is asked and told", RUNS, a_registry_is_asked_and_told),
        test("a stranger runs images too", &[Need::Strangers], a_stranger_runs_images_too),
    ]);
}
