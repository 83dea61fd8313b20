//! A pull that is killed, wherever it is, leaves a store that is whole, and the next one goes on from there.
//!
//! The moments are not by chance: the server stalls in one answer after another, at its beginning, in it, and before its
//! last byte, and when it does, the pull is killed.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nix::sys::signal::{SIGINT, SIGTERM};
use support::asking::*;
use support::images::*;
use support::server::*;
use support::{learnc, wait_until};

fn pull(server: &Server, store: &Path, more: &[&str]) -> Command {
    let mut pull = learnc(["pull", "--quiet", &server.name("app:v1"), "--store"]);
    pull.arg(store).args(more).stdout(Stdio::null());
    pull
}

/// An image of two layers, and where its blobs are asked for.
fn two_layers() -> (Made, Vec<String>) {
    let noise = |seed: u32| -> Vec<u8> {
        (0..150_000u32)
            .map(|n| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    };
    let made = image()
        .layer(layer([file("a", noise(1)), dir("etc")]))
        .layer(layer([file("b", noise(7)), whiteout("a")]))
        .made();
    let manifest = made.document(&made.top);
    let digest = |of: &serde_json::Value| of["digest"].as_str().unwrap().to_owned();
    let layers = manifest["layers"].as_array().unwrap().iter().map(digest);
    let asked = [vec!["manifests/v1".to_owned(), digest(&manifest["config"])], layers.collect()];
    (made, asked.concat())
}

/// Kills a pull in the answer to each question, after no byte of it, some, and all but one.
fn killed_everywhere(more: &[&str]) {
    let (made, asked) = two_layers();
    for path in &asked {
        for part in [0.0, 0.5, 1.0] {
            let folder = folder();
            let stalls = Arc::new(AtomicBool::new(true));
            let (honest, slow, still) =
                (registry(&made, "app", "v1"), path.clone(), stalls.clone());
            let server = serve(move |hit| match honest(hit) {
                answer if hit.path.ends_with(&slow) && still.load(SeqCst) => {
                    let bytes = (answer.body.len() - 1) as f64 * part;
                    answer.stall_after(bytes as usize)
                }
                answer => answer,
            });
            let mut first = pull(&server, &folder.join("store"), more).spawn().unwrap();
            wait_until("the server stalls", || !server.hits_of(path).is_empty());
            first.kill().unwrap();
            first.wait().unwrap();
            assert_eq!(left(&folder).1, 0, "{path} {part}: no name");
            stalls.store(false, SeqCst);
            assert!(pull(&server, &folder.join("store"), more).status().unwrap().success());
            assert_eq!(left(&folder), (vec![], 1), "{path} {part}");
        }
    }
}

#[test]
fn a_pull_may_be_killed_in_any_answer() {
    killed_everywhere(&[]);
}

#[test]
fn a_pull_that_unpacks_may_be_killed_in_any_answer() {
    killed_everywhere(&["--unpack"]);
}

#[test]
fn a_pull_that_is_killed_is_gone_on_with_by_the_next() {
    let folder = folder();
    let made = image().layer(layer([file("zeroes", vec![0; 400_000])])).made();
    let honest = registry(&made, "app", "v1");
    let layer = made.document(&made.top)["layers"][0]["digest"].as_str().unwrap().to_owned();
    let slow = layer.clone();
    let server = serve(move |hit| match honest(hit) {
        answer if hit.path.ends_with(&slow) && hit.before == 0 => answer.stall_after(300_000),
        answer => answer,
    });
    let store = folder.join("store");
    let mut first = pull(&server, &store, &[]).spawn().unwrap();
    let part = store.join(format!("ingest/{}.part", layer.replace(':', "-")));
    wait_until("the part has come", || part.metadata().is_ok_and(|part| part.len() >= 200_000));
    first.kill().unwrap();
    first.wait().unwrap();
    let had = part.metadata().unwrap().len() as usize;
    assert_eq!(left(&folder).1, 0);
    assert!(pull(&server, &store, &[]).status().unwrap().success());
    assert_eq!(server.hits_of(&layer).last().unwrap().from(), Some(had));
    assert_eq!(left(&folder), (vec![], 1));
}

/// Ctrl-C, or the end that a machine asks for: what was being unpacked goes first.
#[test]
fn a_pull_that_unpacks_and_is_asked_to_end_leaves_no_half_of_a_directory() {
    let (made, asked) = two_layers();
    let layer = asked.last().unwrap().clone();
    for signal in [SIGINT, SIGTERM] {
        let (folder, honest, slow) = (folder(), registry(&made, "app", "v1"), layer.clone());
        let server = serve(move |hit| match honest(hit) {
            answer if hit.path.ends_with(&slow) => answer.stall_after(100_000),
            answer => answer,
        });
        let store = folder.join("store");
        let mut pull = pull(&server, &store, &["--unpack"]).spawn().unwrap();
        let names = || std::fs::read_dir(layer_set(&store)).unwrap().flatten();
        wait_until("one layer is unpacked and the other stalls", || {
            let is_half = |entry: std::fs::DirEntry| entry.path().join("a").exists();
            !server.hits_of(&layer).is_empty() && names().any(is_half)
        });
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pull.id() as i32), signal).unwrap();
        assert_eq!(pull.wait().unwrap().signal(), Some(signal as i32));
        let left: Vec<_> = names().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["sha256"]);
    }
}

/// Of an archive that comes through a pipe, and does not come.
#[test]
fn a_pull_that_waits_for_its_archive_ends_when_asked() {
    for more in [&[][..], &["--unpack"]] {
        let folder = folder();
        let mut pull = learnc(["pull", "--quiet", "docker-archive:-", "--store"]);
        pull.arg(folder.join("store")).args(more).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut pull = pull.spawn().unwrap();
        let layout = folder.join("store/oci-layout");
        wait_until("the store is there", || layout.is_file());
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pull.id() as i32), SIGTERM).unwrap();
        assert_eq!(pull.wait().unwrap().signal(), Some(SIGTERM as i32));
        assert_eq!(left(&folder), (vec![], 0));
    }
}
