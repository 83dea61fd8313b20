//! What is asked for with an image's name is heeded also where the image is in the store: for which machine, under
//! which id, and that it is an image.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::Stdio;

use serde_json::json;
use support::bundle::ran;
use support::imaged::*;
use support::*;

fn another_machine_is_refused_when_it_was_asked_for() {
    let place = place(base());
    let (name, to) = (place.pulled(), place.bundle.dir.join("to").display().to_string());
    let asks: [&[&str]; 2] = [
        &["run", "--quiet", "--platform", "linux/s390x", &name, "--", "true"],
        &["unpack", "--platform", "linux/s390x", &name, &to],
    ];
    for ask in asks {
        let said = ran(&mut place.learnc(ask));
        assert!(
            said.status != 0 && said.stderr.contains("and linux/s390x was asked for"),
            "{said:?}"
        );
    }
    assert!(!std::path::Path::new(&to).exists());
}

/// Nobody asked for it: perhaps it runs all the same, by an emulator that this machine has.
fn an_image_for_another_machine_is_named() {
    let place = place(base().set("/architecture", json!("s390x")));
    let name = place.pulled();
    let said = ran(&mut place.learnc(&["run", &name, "--", "echo", "here"])).ok();
    let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("the image is for linux/s390x, and"), "{text}");
    assert_eq!(said.stdout, "here\n");
}

/// To setresuid(2) it is -1: who calls for it stays root.
fn an_id_that_means_none_is_refused() {
    let place = place(base().set("/config/User", json!("7:4294967295")));
    let name = place.pulled();
    let run = |more: &[&str]| {
        let words = [&["run", "--quiet"], more, &[&name, "--", "id"]].concat();
        let said = ran(&mut place.learnc(&words));
        (said.status, said.stdout, said.stderr.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for more in [&["-u", "4294967295"][..], &["-u", "5:4294967295"], &[], &["-u", ""]] {
        let (status, stdout, said) = run(more);
        assert!(said.contains("4294967295 is no id") && (status, &*stdout) == (125, ""), "{said}");
    }
    let (status, _, said) = run(&["-u", "4294967296"]);
    assert!(said.contains("ids go from 0 to 4294967294") && status == 125, "{said}");
}

fn a_digest_is_asked_for_at_nobodys_registry() {
    let place = place(base());
    let digest = format!("sha256:{}", "a".repeat(64));
    let said = ran(&mut place.learnc(&["run", &digest, "--", "id"]));
    assert!(said.status == 125 && said.stderr.contains("is in the store"), "{said:?}");
}

/// docker's habit: a script takes the id from there.
fn a_container_that_is_not_waited_for_says_its_id() {
    let place = place(base());
    let run = ["run", "--quiet", "-d", &place.pulled(), "--", "sleep", "1000"];
    let file = place.bundle.dir.join("said");
    let mut run = place.learnc(&run);
    run.stdout(std::fs::File::create(&file).unwrap()).stderr(Stdio::null());
    assert!(run.status().unwrap().success());
    let id = std::fs::read_to_string(file).unwrap();
    let state = ran(&mut place.learnc(&["state", id.trim_end()])).ok().stdout;
    assert!(state.contains("\"running\""), "{state}");
    ran(&mut place.learnc(&["rm", "--force", id.trim_end()])).ok();
}

fn beside_a_config_a_name_of_an_image_is_said_to_be_one() {
    let place = place(base());
    place.bundle.write();
    let mut run = place.learnc(&["run", "localhost/layout:v1"]);
    let said = ran(run.current_dir(&place.bundle.dir));
    let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["cannot be a container's id", "config.json", "learnc run --image localhost/layout:v1"]
    {
        assert!(said.status == 1 && text.contains(part), "{part}: {text}");
    }
}

/// Both take away what was made: whoever comes second finds less, and that is no trouble.
fn a_container_that_is_waited_for_may_be_deleted_by_somebody_else() {
    for _ in 0..8 {
        let place = place(base());
        let (id, name) = (place.bundle.id.clone(), place.pulled());
        let run = ["run", "--quiet", "--name", &id, &name, "--", "sleep", "1000"];
        let mut run =
            place.learnc(&run).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let state = || ran(&mut place.learnc(&["state", &id])).stdout;
        wait_until("it runs", || state().contains("\"running\""));
        ran(&mut place.learnc(&["delete", "--force", &id])).ok();
        let status = run.wait().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut run.stderr.take().unwrap(), &mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(137), ""));
    }
}

fn main() {
    suite(vec![
        test(
            "another machine is refused when it was asked for",
            RUNS,
            another_machine_is_refused_when_it_was_asked_for,
        ),
        test("an id that means none is refused", RUNS, an_id_that_means_none_is_refused),
        test(
            "a digest is asked for at nobody's registry",
            RUNS,
            a_digest_is_asked_for_at_nobodys_registry,
        ),
        test("an image for another machine is named", RUNS, an_image_for_another_machine_is_named),
        test(
            "a container that is not waited for says its id",
            RUNS,
            a_container_that_is_not_waited_for_says_its_id,
        ),
        test(
            "beside a config, a name of an image is said to be one",
            RUNS,
            beside_a_config_a_name_of_an_image_is_said_to_be_one,
        ),
        test(
            "a container that is waited for may be deleted by somebody else",
            RUNS,
            a_container_that_is_waited_for_may_be_deleted_by_somebody_else,
        ),
    ]);
}
