//! Each refusal is explained by what the machine shows.
//!
//! The machines are `fixtures/facts/*.json`, the files that a diagnosis reads are given here, and the
//! errors are those that the kernel's manual promises. That real machines give these errors and
//! values is checked where they can be made to: see `doctor.rs`.

use std::path::Path;

use learnc::args::{Arg, Args};
use learnc::doctor::{program, why};
use learnc::error::Error;
use learnc::facts::Facts;
use nix::errno::Errno;

fn machine(name: &str) -> Facts {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/facts");
    let text = std::fs::read_to_string(dir.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text(text: &str) -> Arg {
    Arg::Str(text.into())
}

fn clone3(flags: &[&'static str]) -> Args {
    let flags = Arg::Flags(flags.iter().map(|flag| (*flag).into()).collect());
    Args::new().with("cl_args", Arg::Struct(Args::new().with("flags", flags)))
}

fn mount(fstype: &str) -> Args {
    Args::new().with("target", text("/x")).with("filesystemtype", text(fstype))
}

fn write(path: &str, data: &str) -> Args {
    Args::new().with("fd", Arg::Fd(5, Some(path.into()))).with("buf", text(data))
}

fn open(path: &str) -> Args {
    Args::new().with("dirfd", Arg::Fd(-100, None)).with("pathname", text(path))
}

/// The case that explains a refusal on a machine where these files say this.
fn explained(
    on: &str,
    step: &str,
    call: (&str, Args, Errno),
    files: &[(&str, &str)],
) -> (String, String) {
    let error = Error::refused(call.0, call.1, call.2);
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let finding = why::cause(&error, step, &machine(on), &read)
        .unwrap_or_else(|| panic!("{error} on {on} was not explained"));
    let case = format!("{}.{}", finding.subject, finding.case);
    let told = why::explained(error, finding);
    assert!(told.remedy.is_some(), "{case} has no remedy");
    (case, told.diagnosis.clone().unwrap())
}

macro_rules! because {
    ($on:literal, $step:literal, $call:expr, $files:expr => $case:literal, $shows:literal) => {
        let (case, says) = explained($on, $step, $call, $files);
        assert_eq!(case, $case, "{says}");
        assert!(says.contains($shows), "{says:?} does not show {:?}", $shows);
    };
}

#[test]
fn a_refused_user_namespace_names_what_forbids_it() {
    let user = || clone3(&["CLONE_NEWUSER", "CLONE_NEWNS"]);
    because!("userns-disabled", "namespaces", ("clone3", user(), Errno::ENOSPC), &[]
        => "user_namespaces.max_zero", "/proc/sys/user/max_user_namespaces");
    because!("debian-old", "namespaces", ("clone3", user(), Errno::EPERM), &[]
        => "user_namespaces.switched_off", "kernel.unprivileged_userns_clone");
    because!("apparmor-blocked", "namespaces", ("clone3", user(), Errno::EPERM), &[]
        => "user_namespaces.apparmor", "unconfined");
    let name = Args::new().with("name", text("box"));
    because!("apparmor-blocked", "hostname", ("sethostname", name, Errno::EPERM), &[]
        => "user_namespaces.apparmor", "apparmor_restrict_unprivileged_userns");
    because!("inside-podman", "namespaces", ("clone3", user(), Errno::EPERM), &[]
        => "user_namespaces.filtered", "seccomp");
    because!("v2-rootless-delegated", "namespaces", ("clone3", user(), Errno::ENOSPC), &[]
        => "user_namespaces.all_used", "63434");
}

#[test]
fn another_refused_namespace_names_the_power_that_is_lacking() {
    let net = || clone3(&["CLONE_NEWNET"]);
    because!("v2-rootless-delegated", "namespaces", ("clone3", net(), Errno::EPERM), &[]
        => "refused.no_power", "0000000000000000");
}

#[test]
fn a_missing_call_names_the_kernel_that_has_it() {
    let args = || open("/x");
    because!("debian-old", "bind_root", ("mount_setattr", args(), Errno::ENOSYS), &[]
        => "refused.call_too_young", "5.12");
    because!("inside-docker", "namespaces", ("clone3", clone3(&[]), Errno::ENOSYS), &[]
        => "refused.call_filtered", "seccomp");
}

#[test]
fn a_refused_mount_names_what_is_in_its_way() {
    because!("inside-podman", "mount", ("mount", mount("proc"), Errno::EPERM), &[]
        => "fresh_proc.masked", "/proc/kcore");
    because!("v2-rootless-delegated", "mount", ("mount", mount("sysfs"), Errno::EPERM), &[]
        => "refused.sysfs_of_another_net", "network namespace");
    because!("v2-root", "mount", ("mount", mount("wobblefs"), Errno::ENODEV), &[]
        => "refused.no_such_filesystem", "no wobblefs");
    because!("v2-rootless-delegated", "mount", ("mount", mount("ext4"), Errno::EPERM), &[]
        => "refused.not_in_user_namespace", "ext4");
    because!("v2-root", "mount", ("mount", mount(""), Errno::ENOTDIR), &[]
        => "refused.directory_on_file", "a file on a file");
}

#[test]
fn a_working_directory_that_cannot_be_entered_is_named() {
    let to = || Args::new().with("path", text("/srv"));
    because!("v2-root", "cwd", ("chdir", to(), Errno::ENOTDIR), &[]
        => "cwd.not_a_directory", "/srv");
    because!("v2-root", "cwd", ("chdir", to(), Errno::EACCES), &[]
        => "cwd.closed_directory", "/srv");
    because!("v2-root", "cwd", ("chdir", to(), Errno::ELOOP), &[]
        => "cwd.links_in_a_circle", "/srv");
}

#[test]
fn pivot_root_on_an_initramfs_says_so() {
    let mut facts = machine("v2-root");
    facts.machine.as_mut().unwrap().mounts.root = "rootfs".into();
    let error = Error::refused("pivot_root", Args::new(), Errno::EINVAL);
    let finding = why::cause(&error, "pivot_root", &facts, &|_| None).unwrap();
    assert_eq!(why::explained(error, finding).remedy.as_deref(), Some("--no-pivot"));
}

#[test]
fn a_cgroup_without_delegation_names_the_command_that_gives_it() {
    let own = "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope/learnc-x";
    because!("v2-rootless-not-delegated", "cgroup", ("mkdirat", open(own), Errno::EACCES), &[]
        => "cgroups.systemd_can_delegate", "session-3.scope");
    because!("inside-podman", "cgroup", ("mkdirat", open("/sys/fs/cgroup/learnc-x"), Errno::EROFS), &[]
        => "cgroups.read_only", "/sys/fs/cgroup");
}

#[test]
fn a_refused_cgroup_file_shows_the_file_that_explains_it() {
    let max = "/sys/fs/cgroup/a/memory.max";
    let files = [("/sys/fs/cgroup/a/cgroup.controllers", "cpu pids\n")];
    because!("v2-root", "cgroup_limit", ("openat", open(max), Errno::ENOENT), &files
        => "cgroup_files.controller_off", "cpu pids");
    let files = [("/sys/fs/cgroup/a/memory.current", "8192000\n")];
    because!("v2-root", "cgroup_limit", ("write", write(max, "4096"), Errno::EBUSY), &files
        => "cgroup_files.in_use", "8192000");
    let control = "/sys/fs/cgroup/a/cgroup.subtree_control";
    let files = [("/sys/fs/cgroup/a/cgroup.procs", "17\n18\n")];
    because!("v2-root", "cgroup", ("write", write(control, "+pids"), Errno::EBUSY), &files
        => "cgroup_files.has_processes", "17 18");
    let files = [("/sys/fs/cgroup/a/cgroup.controllers", "cpu\n")];
    because!("v2-root", "cgroup", ("write", write(control, "+pids"), Errno::ENOENT), &files
        => "cgroup_files.not_to_hand_down", "cpu");
    let files = [("/sys/fs/cgroup/a/cpu.max", "max 100000\n")];
    let deny = write("/sys/fs/cgroup/devices/a/devices.deny", "a");
    because!("v1", "device_rules", ("write", deny, Errno::EPERM), &[]
        => "cgroup_files.devices_are_the_machines", "user namespace");
    let cpu = write("/sys/fs/cgroup/a/cpu.max", "5 100000");
    because!("v2-root", "cgroup_limit", ("write", cpu, Errno::EINVAL), &files
        => "cgroup_files.no_such_value", "max 100000");
}

#[test]
fn a_place_that_takes_no_files_is_named_with_another() {
    let file = "/var/lib/learnc/run-1/rootfs/bin/busybox";
    because!("v2-root", "root_programs", ("openat", open(file), Errno::ENOSPC), &[]
        => "own_files.full", "busybox");
    because!("v2-root", "root_programs", ("write", write(file, "x"), Errno::EDQUOT), &[]
        => "own_files.full", "busybox");
    because!("v2-root", "root_place", ("mkdirat", open(file), Errno::EROFS), &[]
        => "own_files.read_only", "busybox");
    because!("v2-rootless-delegated", "state", ("mkdirat", open("/run/learnc"), Errno::EACCES), &[]
        => "own_files.not_yours", "/run/learnc");
}

#[test]
fn a_refused_id_map_says_what_was_asked_for() {
    let map = write("/proc/7/gid_map", "0 1000 1\n1 100000 5");
    because!("v2-rootless-delegated", "gid_map", ("write", map, Errno::EPERM), &[]
        => "refused.map_not_yours", "0 1000 1, 1 100000 5");
}

#[test]
fn a_helper_that_ended_badly_is_explained_by_its_ranges() {
    let error = || Error::yours("/usr/bin/newuidmap ended with status 1");
    let case = |on, step| why::cause(&error(), step, &machine(on), &|_| None).map(|f| f.case);
    assert_eq!(case("v2-rootless-without-systemd", "uid_map"), Some("no_ranges"));
    assert_eq!(case("v2-rootless-delegated", "gid_map"), Some("other_ids"));
    assert_eq!(case("v2-rootless-delegated", "mount"), None);
}

#[test]
fn what_a_machine_does_not_explain_is_left_alone() {
    let error = Error::refused("setsid", Args::new(), Errno::EPERM);
    assert_eq!(why::cause(&error, "session", &machine("v2-root"), &|_| None), None);
}

#[test]
fn a_program_that_is_nowhere_in_path_is_answered_with_those_that_are() {
    let error = program::not_found("lib", concat!(env!("CARGO_MANIFEST_DIR"), "/src"), None);
    let says = error.diagnosis.as_deref().unwrap();
    assert!(says.contains("such as lib.rs"), "{says}");
}
