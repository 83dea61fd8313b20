//! `learnc run IMAGE`: the image's wishes are honoured, the command line has the last word, and a word is
//! never taken for what it was not meant.
//!
//! Images are made by code, put into layouts, and run from the store, as root and as others.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::bundle::ran;
use support::images::*;
use support::needs::busybox;
use support::server::{registry, serve};
use support::*;

/// A place without a config.json, and an image of busybox in two layers in a layout in it.
struct Place {
    bundle: Bundle,
}

fn base() -> Image {
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
    let group = "root:x:0:\nweb:x:34:\nlogs:x:4:web\n";
    let applets = "sh cat ls id env pwd echo grep touch rm true sleep mkdir wc hostname stat";
    let links = applets.split(' ').map(|name| symlink(&format!("bin/{name}"), "busybox"));
    let binary = std::fs::read(busybox().unwrap()).unwrap();
    let first = [dir("bin"), dir("etc"), dir("srv"), file("bin/busybox", binary).mode(0o755)];
    let files = [file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"), file("etc/group", group)];
    let more = [file("etc/motd", "old\n"), file("srv/a", "a"), file("data", "not to be run")];
    image()
        .layer(layer(first.into_iter().chain(files).chain(more).chain(links)).gzip())
        .layer(layer([
            file("etc/passwd", passwd),
            whiteout("etc/motd"),
            opaque("srv"),
            file("srv/b", "b"),
        ]))
        .set("/config/Cmd", json!(["sh", "-c", "echo from Cmd"]))
        .set("/config/Env", json!(["PATH=/bin", "COLOUR=red"]))
}

fn place(image: Image) -> Place {
    let bundle = bundle();
    image.made().layout(&bundle.dir.join("layout"), "v1");
    Place { bundle }
}

impl Place {
    fn learnc(&self, args: &[&str]) -> Command {
        let here = self.bundle.dir.join("here");
        std::fs::create_dir_all(&here).unwrap();
        let mut command = self.bundle.learnc(args.iter().copied());
        command.current_dir(here);
        command
    }

    fn image(&self) -> String {
        format!("oci:{}:v1", self.bundle.dir.join("layout").display())
    }

    /// `learnc run --quiet SWITCHES IMAGE -- COMMAND`
    fn run(&self, switches: &[&str], command: &[&str]) -> Ran {
        let image = self.image();
        let dashes: &[&str] = if command.is_empty() { &[] } else { &["--"] };
        ran(&mut self.learnc(&[&["run", "--quiet"], switches, &[&image], dashes, command].concat()))
    }

    fn says(&self, switches: &[&str], command: &[&str]) -> String {
        self.run(switches, command).ok().stdout
    }
}

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

/// Files of the highest layer, whiteouts and opaque directories; and nothing of it stays.
fn the_layers_are_joined() {
    let place = place(base());
    let script = "grep -c web /etc/passwd; ls /srv; ls /etc/motd; grep -c ' / / .* - overlay ' /proc/self/mountinfo";
    let ran = place.run(&[], &["sh", "-c", script]);
    assert_eq!(ran.stdout, "1\nb\n1\n", "{}", ran.stderr);
    let script = "rm /etc/group && echo x > /srv/b && ls /etc";
    assert_eq!(place.says(&[], &["sh", "-c", script]), "passwd\n");
    assert_eq!(place.says(&[], &["cat", "/srv/b"]), "b");
    let left = |dir: &str| std::fs::read_dir(place.bundle.data().join(dir)).unwrap().count();
    assert_eq!(left("learnc"), 1, "the store alone is left");
    assert_eq!(left("learnc/images/users"), 0, "nobody uses a layer");
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

/// A container keeps its layers: prune leaves them until it is deleted.
fn layers_in_use_stay() {
    let place = place(base());
    let (name, image) = (place.bundle.id.clone(), place.image());
    let mut run =
        place.learnc(&["run", "--quiet", "-d", "--name", &name, &image, "--", "sleep", "1000"]);
    let status =
        run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    assert!(status.unwrap().success());
    let state = ran(&mut place.learnc(&["state", &name])).ok().stdout;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["annotations"]["org.opencontainers.image.os"], "linux");
    let layers = || {
        let dir = place.bundle.data().join("learnc/images/layers/sha256");
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    };
    assert_eq!(layers(), 2);
    let names = ran(&mut place.learnc(&["images"])).ok().stdout;
    assert!(names.contains("v1"), "{names}");
    let index = place.bundle.data().join("learnc/images/index.json");
    std::fs::write(&index, r#"{"schemaVersion": 2, "manifests": []}"#).unwrap();
    ran(&mut place.learnc(&["prune"])).ok();
    assert_eq!(layers(), 2, "taken away from under a program");
    ran(&mut place.learnc(&["delete", "--force", &name])).ok();
    ran(&mut place.learnc(&["prune"])).ok();
    assert_eq!(layers(), 0);
}

/// What is only shown pulls nothing and makes no container.
fn a_plan_is_of_what_is_there() {
    let place = place(base());
    let plan = ran(&mut place.learnc(&["run", "--plan", &place.image()]));
    assert!(plan.status != 0 && plan.stderr.contains("learnc pull"), "{plan:?}");
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
        test("the layers are joined", RUNS, the_layers_are_joined),
        test("the command line has the last word", RUNS, the_command_line_has_the_last_word),
        test("a user is looked up in the image", ranged, a_user_is_looked_up_in_the_image),
        test("the host's users are never asked", RUNS, the_hosts_users_are_never_asked),
        test("exit statuses are docker's", RUNS, exit_statuses_are_dockers),
        test("a word is never in doubt", RUNS, a_word_is_never_in_doubt),
        test("layers in use stay", RUNS, layers_in_use_stay),
        test("a plan is of what is there", RUNS, a_plan_is_of_what_is_there),
        test("a registry is asked and told", RUNS, a_registry_is_asked_and_told),
        test("a stranger runs images too", &[Need::Strangers], a_stranger_runs_images_too),
    ]);
}
