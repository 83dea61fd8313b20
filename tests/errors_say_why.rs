//! An error says what was attempted, why it failed here, and what to do about it: from real runs.
//!
//! Each run here fails in one way that learners meet, silently (`--quiet`) and so without the names
//! that narration collects. More refusals than can be made on one machine are in `why.rs`.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;
use support::bundle::{copy_program, ran};
use support::*;

/// The bundle with a file in its root filesystem, as its program.
fn program(text: impl AsRef<[u8]>, mode: u32) -> Bundle {
    let bundle = bundle().args(["/it"]);
    let (made, path) = (bundle.dir.join("it"), bundle.rootfs().join("it"));
    std::fs::write(&made, text).unwrap();
    copy_program(&made, &path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    bundle
}

/// The run fails with these words in what it says, and leaves no state.
fn fails(bundle: &Bundle, words: &[&str]) {
    let run = bundle.run();
    assert_eq!(run.status, 1, "{run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not in: {}", run.stderr);
    }
    assert!(run.stderr.contains("\n  try "), "no remedy: {}", run.stderr);
    assert_eq!(bundle.status(), "", "a state is left");
}

/// A busybox whose loader is nowhere: a program built for other libraries.
fn with_a_loader_that_is_not_there() -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/ls").unwrap();
    let old = b"/ld-linux";
    let at = bytes.windows(old.len()).position(|window| window == old).expect("ls names a loader");
    bytes[at..at + 4].copy_from_slice(b"/xx-");
    bytes
}

fn for_another_processor() -> Vec<u8> {
    let mut bytes = std::fs::read(needs::busybox().unwrap()).unwrap();
    // e_machine: elf(5). 183 is EM_AARCH64, 62 is EM_X86_64.
    bytes[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    bytes
}

fn a_program_that_is_not_there() {
    fails(&bundle().args(["/nope"]), &["execve(", "ENOENT", "no /nope inside"]);
    fails(&bundle().args(["hostnam"]), &["PATH", "hostname"]);
}

fn a_program_that_cannot_start() {
    fails(&program("#!/usr/bin/python9\n", 0o755), &["ENOENT", "missing is /usr/bin/python9"]);
    fails(&program("#!/bin/sh\r\necho\r\n", 0o755), &["ENOENT", "carriage return"]);
    fails(&program("#!/bin/sh\n", 0o644), &["EACCES", "no x bit", "chmod +x /it"]);
    fails(&program("echo hello\n", 0o755), &["ENOEXEC", "#!"]);
    fails(&program("", 0o755), &["ENOEXEC", "empty"]);
    fails(&bundle().args(["/bin"]), &["EACCES", "directory"]);
}

fn a_program_for_another_machine() {
    fails(&program(for_another_processor(), 0o755), &["ENOEXEC", "is built for"]);
    fails(&program(with_a_loader_that_is_not_there(), 0o755), &["ENOENT", "PT_INTERP", "/xx-"]);
}

fn a_program_on_a_noexec_mount() {
    let bundle = bundle().args(["/tmp/sh"]);
    let options = json!(["noexec", "nosuid"]);
    let mount =
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options});
    let bin = json!({"destination": "/tmp/sh", "type": "bind", "source": bundle.rootfs().join("bin/busybox"),
                     "options": ["bind", "noexec"]});
    let count = bundle.config["mounts"].as_array().unwrap().len();
    let bundle = bundle.set(&format!("/mounts/{count}"), mount);
    fails(&bundle.set(&format!("/mounts/{}", count + 1), bin), &["EACCES", "noexec"]);
}

fn a_filesystem_that_no_kernel_knows() {
    let bundle = bundle();
    let count = bundle.config["mounts"].as_array().unwrap().len();
    let mount = json!({"destination": "/x", "type": "wobblefs", "source": "x"});
    fails(&bundle.set(&format!("/mounts/{count}"), mount), &["ENODEV", "no wobblefs"]);
}

fn a_limit_that_the_kernel_does_not_take() {
    let cpu = json!({"quota": 5, "period": 100_000});
    fails(&bundle().set("/linux/resources/cpu", cpu), &["EINVAL", "takes no such value", "5"]);
}

fn a_memory_limit_in_which_nothing_fits() {
    let bundle = bundle().set("/linux/resources/memory", json!({"limit": 1}));
    fails(&bundle, &["died", "oom_kill 1", "memory.limit"]);
}

fn a_limit_above_what_this_user_has() {
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 99_999_999, "hard": 99_999_999}]);
    let bundle = bundle().set("/process/rlimits", limit);
    fails(&bundle, &["prlimit64", "EPERM", "hard limit"]);
}

fn ids_that_this_user_does_not_have() {
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let bundle = bundle().set("/linux/uidMappings", map);
    fails(&bundle, &["linux.uidMappings"]);
}

fn a_folder_that_root_path_does_not_lead_to() {
    fails(&bundle().set("/root/path", "rootsf".into()), &["root.path", "no folder", "rootsf"]);
    let file = bundle().set("/root/path", "config.json".into());
    fails(&file, &["root.path", "no folder", "config.json"]);
}

fn a_word_misspelt_in_the_config() {
    let namespaces =
        |bundle: &Bundle| bundle.config["linux"]["namespaces"].as_array().unwrap().len();
    let bundle = bundle();
    let count = namespaces(&bundle);
    let bundle = bundle.set(&format!("/linux/namespaces/{count}"), json!({"type": "pdi"}));
    fails(&bundle, &[&format!("linux.namespaces[{count}].type"), "`pdi`", "try      \"pid\""]);
    let limit = json!([{"type": "RLIMIT_NOFIEL", "soft": 9, "hard": 9}]);
    let bundle = support::bundle().set("/process/rlimits", limit);
    fails(&bundle, &["process.rlimits[0].type", "try      \"RLIMIT_NOFILE\""]);
}

fn an_option_that_a_filesystem_does_not_take() {
    let bundle = bundle();
    let options = bundle.config["mounts"][1]["options"].as_array().unwrap().len();
    let bundle = bundle.set(&format!("/mounts/1/options/{options}"), "nosiud".into());
    fails(&bundle, &["mounts[1]", "EINVAL", "nosiud", "typing error"]);
}

fn what_the_config_names_and_nobody_has() {
    let mounts = bundle().config["mounts"].as_array().unwrap().len();
    let mount =
        json!({"destination": "/x", "type": "bind", "source": "/nowhere/x", "options": ["bind"]});
    let bound = bundle().set(&format!("/mounts/{mounts}"), mount);
    fails(&bound, &["source /nowhere/x", "ENOENT"]);
    let joined = bundle().set("/linux/namespaces/0/path", "/nowhere/ns".into());
    fails(&joined, &["linux.namespaces[0]", "/nowhere/ns"]);
    fails(&bundle().set("/process/cwd", "/nowhere".into()), &["process.cwd", "no /nowhere inside"]);
    fails(&bundle().args([""]), &["process.args[0]"]);
}

fn a_config_that_is_none() {
    let broken = |text: &str, words: &[&str]| {
        let bundle = bundle();
        std::fs::write(bundle.dir.join("config.json"), text).unwrap();
        let mut run = support::learnc(["--root"]);
        run.arg(bundle.state_root()).args(["run", "--quiet", "x", "--bundle"]).arg(&bundle.dir);
        let run = ran(&mut run);
        assert_eq!(run.status, 1, "{run:?}");
        let said = |word: &str| assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
        words.iter().copied().chain(["config.json", "\n  try "]).for_each(said);
    };
    broken("{\"ociVersion\": \"1.0.0\",\n }", &["line 2, column 2"]);
    broken("", &["line 1"]);
    broken("[]", &["must be an object"]);
    broken("{\"ociVersion\": \"2.0.0\"}", &["ociVersion", "2.0.0"]);
}

/// The command fails, says these words, and what to try.
fn refused(command: &mut Command, words: &[&str]) {
    let run = ran(command);
    assert_eq!(run.status, 1, "{command:?}: {run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "{command:?}: {word:?} is not in: {}", run.stderr);
    }
    assert!(run.stderr.contains("\n  try "), "{command:?}: no remedy: {}", run.stderr);
    assert!(!run.stderr.contains("os error"), "a number for people: {}", run.stderr);
}

fn a_file_of_the_command_line_that_cannot_be() {
    let bundle = bundle();
    let run = |option: &str, path: &str, word: &str| {
        let run = ["run", "--quiet", option, path, "x"];
        refused(&mut bundle.learnc(run), &[option, word]);
    };
    run("--events", "/nowhere/x", "/nowhere/x");
    run("--pid-file", "/nowhere/x", "/nowhere/x");
    let folder = bundle.dir.join("folder");
    std::fs::create_dir(&folder).unwrap();
    run("--pid-file", folder.to_str().unwrap(), "EISDIR");
    assert!(!bundle.dir.join("folder.new").exists(), "half of a pid file stays");
    run("--console-socket", "/nowhere/x", "terminal");
    refused(&mut bundle.learnc(["run", "--from", "/nowhere/x"]), &["--from /nowhere/x"]);
    let log = ["--log", "/nowhere/x", "state", "x"];
    refused(&mut bundle.learnc(log), &["--log /nowhere/x", "no container x"]);
    let states = ["--root", "/proc/nowhere", "run", "--quiet", "x"];
    refused(support::learnc(states).current_dir(&bundle.dir), &["/proc/nowhere", "--root DIR"]);
}

fn a_program_taken_for_an_id() {
    let bundle = bundle();
    std::fs::create_dir(bundle.dir.join("empty")).unwrap();
    let mut run = bundle.learnc(["run", "hostname"]);
    let run = ran(run.current_dir(bundle.dir.join("empty")));
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("learnc run -- hostname"), "{}", run.stderr);
}

fn an_archive_of_something_else() {
    let bundle = bundle();
    let noise: Vec<u8> = (0..4096_u32).map(|n| ((n * 7919) >> 3) as u8 | 0x80).collect();
    let path = bundle.dir.join("noise");
    std::fs::write(&path, noise).unwrap();
    let from = path.to_str().unwrap();
    let run = ran(&mut bundle.learnc(["run", "--quiet", "--from", from]));
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stderr.contains("no complete tar archive"), "{}", run.stderr);
    assert!(run.stderr.is_ascii(), "the archive's bytes are shown: {}", run.stderr);
}

fn main() {
    suite(vec![
        test("a program that is not there: what is", RUNS, a_program_that_is_not_there),
        test("a program that cannot start: which part of it", RUNS, a_program_that_cannot_start),
        test("a program taken for an id", RUNS, a_program_taken_for_an_id),
        test("root.path leads nowhere", RUNS, a_folder_that_root_path_does_not_lead_to),
        test("a word misspelt: which was meant", RUNS, a_word_misspelt_in_the_config),
        test("a mount option misspelt", RUNS, an_option_that_a_filesystem_does_not_take),
        test("what the config names is not there", RUNS, what_the_config_names_and_nobody_has),
        test("a config that is none: where", RUNS, a_config_that_is_none),
        test("a file of an option that cannot be", RUNS, a_file_of_the_command_line_that_cannot_be),
        test("an archive of something else", RUNS, an_archive_of_something_else),
        test("a program for another machine, or another libc", RUNS, a_program_for_another_machine),
        test("a program on a noexec mount", RUNS, a_program_on_a_noexec_mount),
        test("a filesystem that no kernel knows", RUNS, a_filesystem_that_no_kernel_knows),
        test(
            "a value that the kernel does not take",
            LIMITED,
            a_limit_that_the_kernel_does_not_take,
        ),
        test("a memory limit in which nothing fits", LIMITED, a_memory_limit_in_which_nothing_fits),
        test(
            "a limit above this user's",
            &[Need::Containers, Need::Busybox, Need::Unprivileged],
            a_limit_above_what_this_user_has,
        ),
        test(
            "ids that this user does not have",
            &[Need::Containers, Need::Busybox, Need::Unprivileged],
            ids_that_this_user_does_not_have,
        ),
    ]);
}
