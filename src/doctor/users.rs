//! Who this process is, and which users a container of its can have.
//!
//! user_namespaces(7), newuidmap(1), subuid(5). Without root everything begins with a user
//! namespace, and four hands can forbid it: the kernel's own count (`max_user_namespaces`), Debian's
//! switch, Ubuntu's AppArmor restriction (24.04: the namespace is made, but nothing is allowed in
//! it), and the seccomp filter of a container around us.

use super::{Finding, Verdict};
use crate::facts::machine::{APPARMOR_RESTRICTS, UNPRIVILEGED_CLONE};
use crate::facts::{Facts, Machine};

const MOST: &str = "/proc/sys/user/max_user_namespaces";

/// Root, a user, or something between.
pub fn standing(facts: &Facts, machine: &Machine) -> Finding {
    let case = match (facts.is_root(), facts.uid, machine.in_first_user_namespace()) {
        (true, _, true) => "root",
        (true, _, false) => "root_of_a_namespace",
        (false, 0, _) => "root_without_power",
        (false, ..) => "user",
    };
    let finding = match case {
        "root_without_power" => Finding::limited("standing", case),
        _ => Finding::good("standing", case),
    };
    let name = facts.user.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    finding
        .seen("uid", format!("{}{name}", facts.uid))
        .seen("/proc/self/uid_map", &machine.uid_map)
        .seen("CAP_SYS_ADMIN", if facts.is_root() { "yes" } else { "no" })
}

/// Whether a user namespace can be made, and what forbids it.
pub fn namespaces(facts: &Facts, machine: &Machine) -> Finding {
    let finding = forbidden(facts, machine).unwrap_or_else(|| {
        let good = Finding::good("user_namespaces", "good");
        match (&machine.tried, machine.most.get("user")) {
            (Some(tried), _) => good.seen(&tried.user_namespace.call, "works"),
            (None, Some(most)) => good.seen(MOST, most),
            (None, None) => good,
        }
    });
    let blocks = finding.verdict == Verdict::Missing && !facts.is_root();
    finding.blocking_if(blocks)
}

/// The first thing that stands in the way. What was tried decides; settings explain.
fn forbidden(facts: &Facts, machine: &Machine) -> Option<Finding> {
    let missing = |case| Finding::missing("user_namespaces", case);
    let (refused, bare) = match &machine.tried {
        Some(tried) => (tried.user_namespace.errno.clone(), tried.fresh_proc.errno.clone()),
        None => (None, None),
    };
    let works = machine.tried.is_some() && refused.is_none();
    let setting = |key| machine.settings.get(key).map(String::as_str);
    if !machine.namespaces.iter().any(|kind| kind == "user") {
        return Some(missing("not_in_kernel").seen("/proc/self/ns/user", "not there"));
    }
    if !works && machine.most.get("user") == Some(&0) {
        return Some(missing("max_zero").seen(MOST, 0));
    }
    // Ubuntu lets the namespace be made, then allows nothing in it.
    let empty_shell = bare.as_deref() == Some("EPERM") && machine.mounts.on_proc.is_empty();
    if setting(APPARMOR_RESTRICTS) == Some("1") && !facts.is_root() && (!works || empty_shell) {
        return Some(apparmor(machine));
    }
    if works {
        return powerless(facts, machine);
    }
    if setting(UNPRIVILEGED_CLONE) == Some("0") && !facts.is_root() {
        return Some(missing("switched_off").seen(format!("/proc/sys/{UNPRIVILEGED_CLONE}"), 0));
    }
    let refused = refused?;
    let call = machine.tried.as_ref().map(|t| t.user_namespace.call.clone()).unwrap_or_default();
    Some(refusal(machine, &refused).seen(call, refused))
}

/// One can be made, and what a container begins with is refused in it.
fn powerless(facts: &Facts, machine: &Machine) -> Option<Finding> {
    let tried = machine.tried.as_ref()?;
    if let Some(errno) = &tried.own_id.errno {
        let refused = || Finding::missing("user_namespaces", "refused");
        let finding = if facts.uid == 0 { root_not_mappable(facts) } else { refused() };
        return Some(finding.seen(&tried.own_id.call, errno));
    }
    let errno = tried.hostname.errno.as_deref().filter(|_| machine.seccomp_mode == 2)?;
    Some(filtered().seen(&tried.hostname.call, errno))
}

/// Engines' filters go by the capabilities of *their* container, and know of no namespace in it.
pub fn filtered() -> Finding {
    let finding = Finding::missing("user_namespaces", "filtered");
    finding.seen("Seccomp in /proc/self/status", 2)
}

/// Ubuntu's restriction: a profile must allow user namespaces to the program.
pub fn apparmor(machine: &Machine) -> Finding {
    Finding::missing("user_namespaces", "apparmor")
        .seen(format!("/proc/sys/{APPARMOR_RESTRICTS}"), 1)
        .seen("/proc/self/attr/current", machine.apparmor.as_deref().unwrap_or("none"))
}

/// Root of the parent namespace becomes root of the new one only for a process with CAP_SETFCAP:
/// otherwise it could give files capabilities that count outside (Linux 5.12, CVE-2021-3493).
pub fn root_not_mappable(facts: &Facts) -> Finding {
    let effective = format!("{:016x}", facts.effective);
    let finding = Finding::missing("user_namespaces", "root_not_mappable");
    finding.seen("CapEff in /proc/self/status", effective)
}

/// What a refusal points to when no setting explains it.
pub fn refusal(machine: &Machine, errno: &str) -> Finding {
    let missing = |case| Finding::missing("user_namespaces", case);
    match errno {
        "ENOSPC" | "EUSERS" => {
            let most = machine.most.get("user").copied().unwrap_or(0);
            missing("all_used").seen(MOST, most)
        }
        "EPERM" | "ENOSYS" if machine.seccomp_mode == 2 => filtered(),
        _ => missing("refused"),
    }
}

/// More than one id in a container without root.
pub fn id_ranges(facts: &Facts, machine: &Machine) -> Finding {
    let limited = |case| Finding::limited("id_ranges", case);
    if facts.is_root() {
        let map = &machine.uid_map;
        return match (machine.in_first_user_namespace(), map.split(' ').nth(2)) {
            (true, _) => Finding::good("id_ranges", "root"),
            (_, Some("1")) if map.split(' ').count() == 3 => limited("only_root"),
            _ => Finding::good("id_ranges", "mapped_here"),
        }
        .seen("/proc/self/uid_map", map);
    }
    let Some((newuidmap, _)) = &facts.idmap_helpers else {
        return limited("no_program")
            .seen("newuidmap, newgidmap in PATH", "not there")
            .seen("PATH", &machine.path);
    };
    if let Some(lack) = &machine.helpers_lack {
        return limited("no_privilege").seen("newuidmap, newgidmap", lack);
    }
    if machine.no_new_privs {
        return limited("no_new_privs").seen("NoNewPrivs in /proc/self/status", 1);
    }
    let name = facts.user.clone().unwrap_or_else(|| facts.uid.to_string());
    for (file, ranges) in [("/etc/subuid", &facts.subuids), ("/etc/subgid", &facts.subgids)] {
        if ranges.is_empty() {
            return limited("no_ranges").seen(file, format!("no line for {name}"));
        }
    }
    let shown = |ranges: &[(u32, u32)]| {
        let words: Vec<String> =
            ranges.iter().map(|(start, count)| format!("{start}:{count}")).collect();
        words.join(" ")
    };
    Finding::good("id_ranges", "good")
        .seen("newuidmap", newuidmap)
        .seen("/etc/subuid", shown(&facts.subuids))
        .seen("/etc/subgid", shown(&facts.subgids))
}

/// Whether a new procfs can be mounted from within a user namespace. The kernel refuses one that
/// would show what the procfs here hides. Root of the first namespace is not asked.
pub fn fresh_proc(facts: &Facts, machine: &Machine) -> Option<Finding> {
    let matters = !facts.is_root() || !machine.in_first_user_namespace();
    let covered = machine.mounts.on_proc.join(" ");
    let Some(tried) = &machine.tried else {
        let finding =
            Finding::missing("fresh_proc", "masked").seen("/proc/self/mountinfo", &covered);
        return (!covered.is_empty() && matters).then(|| finding.blocking_if(true));
    };
    if tried.user_namespace.errno.is_some() {
        return None;
    }
    let attempt = &tried.fresh_proc;
    match attempt.errno.as_deref() {
        None => Some(Finding::good("fresh_proc", "good").seen(&attempt.call, "works")),
        Some(_) if covered.is_empty() => None,
        Some(errno) => {
            let finding = match matters {
                true => Finding::missing("fresh_proc", "masked"),
                false => Finding::limited("fresh_proc", "masked"),
            };
            let finding = finding.seen(&attempt.call, errno).seen("/proc/self/mountinfo", covered);
            Some(finding.blocking_if(matters))
        }
    }
}
