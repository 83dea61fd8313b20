//! An error says what was attempted, why it failed here, and what to do about it: from real runs.
//!
//! Each run here fails in one way that learners meet, silently (`--quiet`) and so without the names
//! that narration collects. More refusals than can be made on one machine are in `why.rs`.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use support::*;

/// The bundle with a file in its root filesystem, as its program.
fn program(text: impl AsRef<[u8]>, mode: u32) -> Bundle {
    let bundle = bundle().args(["/it"]);
    let path = bundle.rootfs().join("it");
    std::fs::write(&path, text).unwrap();
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

fn main() {
    suite(vec![
        test("a program that is not there: what is", RUNS, a_program_that_is_not_there),
        test("a program that cannot start: which part of it", RUNS, a_program_that_cannot_start),
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
