//! Images survive: whenever a learnc that writes to the store is killed, nothing is lost, and nothing has a
//! name that is not whole. The next pull goes on with what is there.
//!
//! Two ways of choosing the moment, none of them by the clock. *At random*: a pull is killed when the store
//! has as many bytes as was drawn, or when it has its name before that. *At every call*: strace kills it
//! as it enters its n-th rename, fsync, openat, write, flock or unlink, for every n there is.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use support::bundle::{program, ran};
use support::images::*;
use support::kept::*;
use support::*;

/// How often a pull is killed at random, in each way of pulling; less often where the machine is slow.
fn moments() -> u64 {
    if Need::Patience.is_met() { 50 } else { 5 }
}

/// An image of some size, as a layout and as docker saves it: the two places.
fn places(kept: &Kept) -> (Made, [String; 2]) {
    let big = |n: u64| layer([file(&format!("f{n}"), noise(n, 700 << 10))]);
    let image = image().layer(big(1).gzip()).layer(big(2)).layer(big(3).zstd()).layer(big(4));
    let made = image.made();
    made.layout(&kept.beside("app"), "v1");
    made.docker_archive(&kept.beside("app.tar"), &["app:1"]);
    let places = [("oci", "app"), ("docker-archive", "app.tar")];
    (made, places.map(|(word, name)| format!("{word}:{}", kept.beside(name).display())))
}

fn start(kept: &Kept, place: &str) -> Child {
    let mut pull = kept.learnc(&["pull", "--quiet", place]);
    pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn has_name(kept: &Kept) -> bool {
    let index = std::fs::read_to_string(kept.dir().join("index.json")).unwrap_or_default();
    index.contains("ref.name")
}

/// After a kill: the store is whole, what has a name is there in full, and the next pull completes it.
fn survives(kept: &Kept, place: &str, wanted: usize, moment: &str) {
    let names = kept.names();
    assert!(names.len() <= 1, "{moment}: {names:?}");
    let before = kept.blobs();
    match kept.dir().join("oci-layout").is_file() {
        true => drop(kept.intact()),
        // Until that file is there, which comes last, there is no store.
        false => assert!(before.is_empty(), "{moment}: {before:?}"),
    }
    let pulled = kept.pull(place);
    assert_eq!(pulled.status, 0, "{moment}: {}", pulled.stderr);
    let after = kept.blobs();
    assert!(before.iter().all(|blob| after.contains(blob)), "{moment}: a blob is lost");
    let report = kept.intact();
    assert_eq!((&report["images"], &report["blobs"]), (&json!(1), &json!(wanted)), "{moment}");
    assert_eq!(kept.images()[0]["lacks"], json!([]), "{moment}");
    // What was only begun may have been of the killed one alone: it is known as such, and goes.
    kept.run(&["prune"]).ok();
    assert_eq!(kept.intact()["unfinished"], json!([]), "{moment}");
    assert_eq!(kept.blobs().len(), wanted, "{moment}");
}

fn killed_at_random_it_is_whole(which: usize) {
    let kept = kept();
    let (made, places) = places(&kept);
    let place = &places[which];
    // The layout's own, and the same of docker's archive, where no layer is compressed.
    let wanted = made.blobs.len();
    let all: u64 = made.blobs.values().map(|blob| blob.len() as u64).sum();
    let seed = u64::from(std::process::id());
    let (mut early, mut killed) = (0, 0);
    for round in 0..moments() {
        let drawn =
            noise(seed + round, 8).iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        // One is in its midst for certain.
        let bytes = drawn % if round == 0 { all / 2 } else { all + all / 8 };
        let mut pull = start(&kept, place);
        let over = loop {
            match pull.try_wait().unwrap() {
                Some(status) => break status,
                None if kept.bytes() >= bytes => {
                    pull.kill().unwrap();
                    break pull.wait().unwrap();
                }
                None => std::thread::yield_now(),
            }
        };
        killed += usize::from(over.signal() == Some(9));
        early += usize::from(!has_name(&kept));
        let moment = format!("seed {seed}, round {round}, at {bytes} bytes");
        survives(&kept, place, wanted, &moment);
        if which == 0 && round % 10 == 0 && Need::Skopeo.is_met() {
            let place = format!("oci:{}:localhost/app:v1", kept.dir().display());
            ran(Command::new("skopeo").args(["inspect", &place])).ok();
        }
        std::fs::remove_dir_all(kept.dir()).unwrap();
    }
    // It would be no test if each came too late.
    assert!(killed > 0 && early > 0, "{killed} killed, {early} without a name");
}

/// The calls by which a store changes, or that are between two changes.
const CALLS: [&str; 7] = [
    "renameat,rename,renameat2",
    "fsync",
    "openat",
    "write",
    "flock",
    "unlink,unlinkat",
    "mkdirat",
];

fn killed_at_any_call_it_is_whole() {
    let kept = kept();
    let made = image().layer(layer([file("a", noise(1, 300 << 10))])).made();
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", kept.beside("app").display());
    let mut points = 0;
    for calls in CALLS {
        for nth in 1.. {
            let trace = kept.beside("trace");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-o"]).arg(&trace).arg("-e").arg(format!("trace={calls}"));
            strace.arg("-e").arg(format!("inject={calls}:signal=KILL:when={nth}"));
            strace.arg(program()).args(["pull", "--quiet", &place, "--store"]).arg(kept.dir());
            let ended = ran(&mut strace);
            let text = std::fs::read_to_string(&trace).unwrap();
            if !text.contains("killed by SIGKILL") {
                assert_eq!(ended.status, 0, "{}", ended.stderr);
                break;
            }
            points += 1;
            survives(&kept, &place, made.blobs.len(), &format!("{calls}, number {nth}"));
            std::fs::remove_dir_all(kept.dir()).unwrap();
        }
        std::fs::remove_dir_all(kept.dir()).unwrap();
    }
    assert!(points > 40, "{points} points: the calls are not those that are made");
}

/// Something in the place where the image's only layer would be unpacked.
fn unpacked(kept: &Kept, made: &Made) -> PathBuf {
    let diff_id = made.document(&made.top)["layers"][0]["digest"].as_str().unwrap().to_owned();
    let layer = kept.dir().join("layers").join(diff_id.replace(':', "/"));
    std::fs::create_dir_all(layer.join("etc")).unwrap();
    std::fs::write(layer.join("etc/file"), "text").unwrap();
    layer
}

fn a_killed_prune_or_removal_breaks_no_image() {
    let kept = kept();
    let app = |name: &str| image().layer(layer([file(name, name)])).made();
    let verbs: [&[&str]; 2] = [&["rmi", "localhost/two:v1"], &["prune"]];
    for (verb, calls) in verbs.iter().flat_map(|verb| CALLS.map(|calls| (verb, calls))) {
        for nth in 1.. {
            for name in ["one", "two"] {
                app(name).layout(&kept.beside(name), "v1");
                kept.pull(&format!("oci:{}", kept.beside(name).display())).ok();
                std::fs::remove_dir_all(kept.beside(name)).unwrap();
            }
            let layers = ["one", "nobody's"].map(|name| unpacked(&kept, &app(name)));
            if verb[0] == "prune" {
                kept.run(&["rmi", "--no-prune", "localhost/two:v1"]).ok();
            }
            let trace = kept.beside("trace");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-o"]).arg(&trace).arg("-e").arg(format!("trace={calls}"));
            strace.arg("-e").arg(format!("inject={calls}:signal=KILL:when={nth}"));
            strace.arg(program()).args(*verb).arg("--store").arg(kept.dir());
            ran(&mut strace);
            let report = kept.intact();
            let names = kept.names();
            assert!(names.contains(&"localhost/one:v1".to_owned()), "{verb:?} {calls} {nth}");
            assert_eq!(report["images"], names.len());
            let whole = |layer: &Path| layer.join("etc/file").is_file();
            assert!(whole(&layers[0]), "{verb:?} {calls} {nth}");
            assert!(whole(&layers[1]) || !layers[1].exists(), "{verb:?} {calls} {nth}");
            if !std::fs::read_to_string(&trace).unwrap().contains("killed by SIGKILL") {
                break;
            }
        }
    }
}

/// The file that it is read into has a name between two calls only.
fn asked_to_end_it_leaves_no_archive() {
    let kept = kept();
    let file = kept.beside("app.tar");
    image().layer(layer([dir("etc")])).made().docker_archive(&file, &["app:1"]);
    let mut points = 0;
    for nth in 1.. {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=openat"]);
        strace.arg("-e").arg(format!("inject=openat:signal=TERM:when={nth}"));
        strace.arg(program()).args(["pull", "--quiet", "docker-archive:-", "--store"]);
        strace.arg(kept.dir()).stdin(std::fs::File::open(&file).unwrap());
        let ended = ran(&mut strace);
        let ingest = std::fs::read_dir(kept.dir().join("ingest")).into_iter().flatten().flatten();
        let left = ingest.map(|entry| entry.file_name().into_string().unwrap());
        let left: Vec<_> = left.filter(|name| name.starts_with("archive-")).collect();
        assert!(left.is_empty(), "number {nth}: {left:?}");
        if ended.status == 0 {
            break;
        }
        assert_eq!(ended.status, 128 + 15, "number {nth}: {}", ended.stderr);
        points += 1;
        std::fs::remove_dir_all(kept.dir()).ok();
    }
    assert!(points > 5, "{points} points: the calls are not those that are made");
}

/// Between looking for a store and looking what else is in the folder, another may have made one.
fn a_store_that_another_makes_in_between_is_used() {
    let kept = kept();
    let place = format!("oci:{}", kept.beside("app").display());
    sample("hello").made().layout(&kept.beside("app"), "v1");
    std::fs::create_dir(kept.dir()).unwrap();
    let (trace, layout) = (kept.beside("trace"), kept.dir().join("oci-layout"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(&trace).arg("-P").arg(&layout).args(["-e", "trace=statx"]);
    strace.args(["-e", "inject=statx:signal=SIGSTOP:when=1"]).arg(program());
    strace.args(["pull", "--quiet", &place, "--store"]).arg(kept.dir()).stdout(Stdio::null());
    let mut first = strace.spawn().unwrap();
    let read = || std::fs::read_to_string(&trace).unwrap_or_default();
    wait_until("the first has looked", || read().contains("--- stopped by SIGSTOP ---"));
    kept.pull(&place).ok();
    // With -f each line begins with the number of its process.
    let pid = read().split(' ').next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGCONT).unwrap();
    assert!(first.wait().unwrap().success());
    kept.intact();
}

fn main() {
    let traced = &[Need::Strace, Need::Ptrace, Need::Patience];
    let at_random = |from: &str, which: usize| {
        let moments = moments();
        let sentence =
            format!("killed at {moments} random moments of a pull from {from}, the store is whole");
        test(sentence, &[], move || killed_at_random_it_is_whole(which))
    };
    suite(vec![
        at_random("a layout", 0),
        at_random("docker's archive", 1),
        test(
            "killed at any call of a pull, the store is whole",
            traced,
            killed_at_any_call_it_is_whole,
        ),
        test(
            "a killed prune or removal breaks no image",
            traced,
            a_killed_prune_or_removal_breaks_no_image,
        ),
        test(
            "asked to end at any openat, a pull from a pipe leaves no archive",
            traced,
            asked_to_end_it_leaves_no_archive,
        ),
        test(
            "a store that another makes in between is used",
            &[Need::Strace, Need::Ptrace],
            a_store_that_another_makes_in_between_is_used,
        ),
    ]);
}
