//! What the kernel has, whoever asks: calls, overlay, seccomp, ptrace; and what is around it.

use super::Finding;
use crate::facts::machine::{PTRACE_SCOPE, version};
use crate::facts::{Facts, Machine};
use crate::sys::{CapSet, look};

/// CLOSE_RANGE_CLOEXEC, without which descriptors could leak into a container, came with it.
const OLDEST: &str = "5.11";

/// Whether every call that learnc makes is there.
pub fn kernel(machine: &Machine) -> Finding {
    let release = "/proc/sys/kernel/osrelease";
    if !machine.kernel.is_empty() && machine.version() < version(OLDEST) {
        return Finding::missing("kernel", "old").seen(release, &machine.kernel).blocking_if(true);
    }
    if !machine.calls_missing.is_empty() {
        return Finding::missing("kernel", "filtered")
            .seen(release, &machine.kernel)
            .seen(machine.calls_missing.join(" "), "not to be had")
            .seen("Seccomp in /proc/self/status", machine.seccomp_mode)
            .blocking_if(machine.calls_missing.iter().any(|call| is_needed(call)));
    }
    Finding::good("kernel", "good").seen(release, &machine.kernel)
}

/// mount_setattr is for options that few configs use.
fn is_needed(call: &str) -> bool {
    call != "mount_setattr" && look::known_since(call).is_some()
}

/// What is around this process: a machine, a container, Windows.
pub fn surroundings(machine: &Machine) -> Finding {
    let case = match machine.inside.first().map(|(what, _)| what.as_str()) {
        None => {
            return Finding::good("surroundings", "bare").seen("/run/.containerenv", "not there");
        }
        Some("wsl1") => "wsl1",
        Some("wsl2") => "wsl2",
        Some(_) if hides_nothing(machine) => "open_container",
        Some(_) => "container",
    };
    let finding = match case {
        "wsl1" => Finding::missing("surroundings", case).blocking_if(true),
        "container" => Finding::limited("surroundings", case),
        _ => Finding::good("surroundings", case),
    };
    machine.inside.iter().fold(finding, |finding, (what, file)| finding.seen(file, what))
}

fn hides_nothing(machine: &Machine) -> bool {
    let mounts = &machine.mounts;
    machine.seccomp_mode == 0 && mounts.on_proc.is_empty() && mounts.readonly_cgroups.is_empty()
}

/// Layers that share files: images need them.
pub fn overlay(facts: &Facts, machine: &Machine) -> Finding {
    let has = machine.filesystems.iter().any(|name| name == "overlay");
    let finding = match (has, facts.is_root() && machine.in_first_user_namespace()) {
        (false, _) => Finding::missing("overlay", "absent"),
        (true, false) if machine.version() < (5, 11) => {
            let finding = Finding::limited("overlay", "root_only");
            return finding.seen("/proc/sys/kernel/osrelease", &machine.kernel);
        }
        (true, true) => Finding::good("overlay", "good"),
        (true, false) => Finding::good("overlay", "rootless"),
    };
    finding.seen("/proc/filesystems", if has { "overlay" } else { "no overlay" })
}

pub fn seccomp(machine: &Machine) -> Finding {
    let file = "/proc/sys/kernel/seccomp/actions_avail";
    match machine.seccomp_actions.is_empty() {
        true => Finding::missing("seccomp", "absent").seen(file, "not there"),
        false => Finding::good("seccomp", "good").seen(file, machine.seccomp_actions.join(" ")),
    }
}

/// The witness of --verify traces learnc's own children.
pub fn ptrace(facts: &Facts, machine: &Machine) -> Finding {
    let file = format!("/proc/sys/{PTRACE_SCOPE}");
    let mighty = facts.effective_set().contains(CapSet::CAP_SYS_PTRACE);
    match machine.settings.get(PTRACE_SCOPE).map(String::as_str) {
        Some("3") => Finding::missing("ptrace", "off").seen(file, 3),
        Some("2") if !mighty => Finding::missing("ptrace", "admins_only").seen(file, 2),
        Some(value) => Finding::good("ptrace", "good").seen(file, value),
        None => Finding::good("ptrace", "good").seen(file, "not there: no restriction"),
    }
}
