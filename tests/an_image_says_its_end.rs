//! An image says which signal ends its program, and `learnc kill` without one sends that.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::Stdio;

use serde_json::json;
use support::bundle::ran;
use support::imaged::*;
use support::images::*;
use support::*;

/// image-spec, config.md, StopSignal: what ends a container when nobody says how.
fn the_image_says_how_it_is_ended() {
    let trap = "trap 'exit 7' USR1; touch /ready; while :; do sleep 0.01; done";
    let place = place(base().set("/config/StopSignal", json!("SIGUSR1")));
    let (name, image) = (place.bundle.id.clone(), place.image());
    let ready = folder();
    let volume = format!("{}:/here", ready.join("").display());
    let trap = trap.replace("/ready", "/here/ready");
    let run = ["run", "--quiet", "--name", &name, "-v", &volume, &image, "--", "sh", "-c", &trap];
    let mut run = place.learnc(&run).stdin(Stdio::null()).spawn().unwrap();
    wait_until("the program is there", || ready.join("ready").exists());
    ran(&mut place.learnc(&["kill", &name])).ok();
    assert_eq!(run.wait().unwrap().code(), Some(7));
}

/// Who is asked to end it without a word of theirs, and cannot, says so.
fn a_word_that_is_no_signal_is_named() {
    let place = place(base().set("/config/StopSignal", json!("SIGWOBBLE")));
    let name = place.bundle.id.clone();
    let mut run = place.learnc(&[
        "run",
        "--quiet",
        "-d",
        "--name",
        &name,
        &place.image(),
        "--",
        "sleep",
        "1000",
    ]);
    run.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(run.status().unwrap().success());
    let refused = ran(&mut place.learnc(&["kill", &name]));
    assert!(
        refused.status == 1 && refused.stderr.contains("stopSignal: \"SIGWOBBLE\" is no signal"),
        "{refused:?}"
    );
    ran(&mut place.learnc(&["kill", &name, "KILL"])).ok();
}

fn main() {
    suite(vec![
        test("the image says how it is ended", RUNS, the_image_says_how_it_is_ended),
        test("a word that is no signal is named", RUNS, a_word_that_is_no_signal_is_named),
    ]);
}
