//! How one step is done in the script: by which of the two processes, and with which commands.
//!
//! Most are the part's own [`Step::by_hand`]. Others need a word around them: a tool that changes a
//! process by starting a program (setsid, unshare, nsenter, setpriv) is given the obeying shell to
//! start; options of setpriv are gathered, since each of its runs would take what the next one needs.

use std::path::Path;

use super::privileges::{keeping_chroot, pivots, sets, user};
use crate::args::shell;
use crate::event::Lane;
use crate::parts::cgroups::Cgroup;
use crate::parts::devices::Device;
use crate::parts::idmap::IdMap;
use crate::parts::namespaces::Namespace;
use crate::parts::process::{Process, Program};
use crate::parts::rootfs::{Rootfs, spread_by_hand};
use crate::parts::user::User;
use crate::plan::{Act, Plan, Step};
use crate::sys::CapSet;

/// Who does it, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The script itself.
    Outside(Vec<String>),
    /// The container's first process.
    Inside(Vec<String>),
    /// The same, unless the script has a terminal, whose session it then stays in: Ctrl-C and job
    /// control go on working.
    OffTerminal(Vec<String>),
    /// The container's first process, which becomes the program.
    Last(Vec<String>),
    /// No tool can.
    Never,
}

pub(super) fn way(plan: &Plan, step: &Step) -> Way {
    let lines = step.by_hand();
    match &step.act {
        Act::Cgroup(cgroup) => cgroups(cgroup, lines),
        Act::Namespace(what) => namespaces(plan, step, what, lines),
        Act::IdMap(IdMap::BecomeRoot { .. }) => Way::Inside(becoming(lines)),
        Act::Rootfs(what) => root(plan, what, lines),
        Act::Device(Device::Nodes { nodes, bind: false }) => {
            let places = nodes.iter().map(|node| format!(" \"$ROOT\"{}", shell(&node.path)));
            let away = format!("rm -f{}", places.collect::<String>());
            Way::Inside(std::iter::once(away).chain(lines).collect())
        }
        Act::Device(Device::Links(_)) => {
            // What the image has at the place stays.
            let guarded = |line: String| {
                let place = line.rsplit(' ').next().unwrap_or_default().to_owned();
                format!("[ -e {place} ] || [ -L {place} ] || {line}")
            };
            Way::Inside(lines.into_iter().map(guarded).collect())
        }
        Act::User(_) | Act::Capability(_) => Way::Inside(keeping_chroot(plan, step)),
        Act::Process(what) => process(plan, what, lines),
        _ if lines.is_empty() => Way::Never,
        _ if step.lane == Lane::Runtime => Way::Outside(lines),
        _ => Way::Inside(lines),
    }
}

/// Each tool starts the obeying shell again, as what it has made of it.
fn becoming(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("exec {line} sh -c \"$OBEY\"")).collect()
}

fn cgroups(what: &Cgroup, lines: Vec<String>) -> Way {
    match what {
        Cgroup::Make { make, .. } => {
            // Those above the container's own are removed only if nobody else is below them.
            let above =
                |dir: &Path| make.iter().any(|other| other != dir && other.starts_with(dir));
            let verb = |dir: &Path| if above(dir) { "make_above" } else { "make_cgroup" };
            let made = make.iter().map(|dir| format!("{} {}", verb(dir), shell(dir)));
            Way::Outside(made.chain(lines.into_iter().skip(make.len())).collect())
        }
        Cgroup::MoveOut { to, handed, .. } => {
            Way::Outside(vec![format!("make_room {} {}", shell(to), shell(handed))])
        }
        Cgroup::DeviceRules { .. } => Way::Never,
        Cgroup::Limit { .. } => Way::Outside(lines),
        Cgroup::Join { .. } => Way::Inside(lines),
    }
}

fn namespaces(plan: &Plan, step: &Step, what: &Namespace, lines: Vec<String>) -> Way {
    match what {
        Namespace::Clone { into_cgroup, .. } => {
            let tool = lines.first().map(|line| format!(" {line}")).unwrap_or_default();
            // The shell that stays behind forks.
            let start = format!("start \"$@\"{}", tool.trim_end_matches(" --fork"));
            let cgroups = plan.cgroups().iter().filter(|_| *into_cgroup);
            let joins = cgroups.map(|dir| format!("born_in {}", shell(dir)));
            Way::Outside(std::iter::once(start).chain(joins).collect())
        }
        // Only children move, so the one that is started is started through it.
        Namespace::Join { .. } if step.lane == Lane::Runtime => {
            Way::Outside(lines.iter().map(|line| format!("set -- \"$@\" {line}")).collect())
        }
        Namespace::Join { .. } | Namespace::Unshare { .. } => Way::Inside(becoming(lines)),
    }
}

fn root(plan: &Plan, what: &Rootfs, lines: Vec<String>) -> Way {
    let pivots = pivots(plan);
    // `-c`: the path is the kernel's affair, which follows it to the root of that process.
    let (tool, place) = match pivots {
        true => ("entered mount -c", "/proc/\"$PID\"/root"),
        false => ("mount -c", "."),
    };
    let line = match what {
        Rootfs::Propagation { .. } | Rootfs::Bind { .. } | Rootfs::Hold { .. } => {
            return Way::Inside(lines);
        }
        Rootfs::Pivot => {
            let [enter, swap, ..] = &lines[..] else { return Way::Never };
            format!("entered sh -c '{enter} && {swap}'")
        }
        Rootfs::Move | Rootfs::Chroot => {
            let before = lines.iter().take(lines.len().saturating_sub(1)).cloned();
            return Way::Inside(before.chain([through(plan)]).collect());
        }
        Rootfs::ReadOnly => format!("{tool} -o remount,bind,ro {place}"),
        Rootfs::Final { flags } => spread_by_hand(*flags, place).replacen("mount", tool, 1),
    };
    if pivots { Way::Outside(vec![line]) } else { Way::Inside(vec![line]) }
}

fn cwd(plan: &Plan) -> &Path {
    let cwd = plan.steps.iter().find_map(|step| match &step.act {
        Act::Process(Process::Cwd(path)) => Some(path.as_path()),
        _ => None,
    });
    cwd.unwrap_or(Path::new("/"))
}

/// What makes the working directory of a program that is not root. A runtime does it as the program's user, with
/// capabilities that only the program gives up; a shell that has become that user has none, so it is done before.
pub(super) fn made_before(plan: &Plan) -> Option<String> {
    let (user, cwd) = (user(plan)?, cwd(plan));
    if !pivots(plan) || user.uid == 0 || cwd == Path::new("/") {
        return None;
    }
    let (place, User { uid, gid, .. }) = (shell(cwd), user);
    let overrides =
        sets(plan).is_some_and(|sets| sets.permitted.contains(CapSet::CAP_DAC_OVERRIDE));
    let more = if overrides { ",+dac_override" } else { "" };
    let caps = format!("--inh-caps=+sys_chroot{more} --ambient-caps=+sys_chroot{more}");
    let ids = format!("--reuid={uid} --regid={gid} --keep-groups");
    Some(format!(
        "[ -d \"$ROOT\"{place} ] || setpriv {ids} {caps} chroot \"$ROOT\" mkdir -p {place}"
    ))
}

/// The tool that changes the root and starts the program, for the end. chroot(1) knows no directory
/// but `/`.
fn through(plan: &Plan) -> String {
    match cwd(plan) == Path::new("/") {
        true => "set -- \"$(command -v chroot)\" .".into(),
        false => "set -- \"$(command -v unshare)\" --root=.".into(),
    }
}

fn process(plan: &Plan, what: &Process, lines: Vec<String>) -> Way {
    match what {
        Process::Session => Way::OffTerminal(becoming(lines)),
        Process::Cwd(path) if pivots(plan) => {
            let place = shell(path);
            let make = format!("[ -d {place} ] || mkdir -p {place}");
            let is_made = path == Path::new("/") || made_before(plan).is_some();
            let make = Some(make).filter(|_| !is_made);
            Way::Inside(make.into_iter().chain(lines).collect())
        }
        // chroot(1) goes there.
        Process::Cwd(path) if path == Path::new("/") => Way::Inside(vec![":".into()]),
        Process::Cwd(path) => Way::Inside(vec![
            format!("mkdir -p .{}", shell(path)),
            format!("set -- \"$@\" --wd={}", shell(path)),
        ]),
        Process::NoNewPrivileges => {
            Way::Inside(lines.iter().map(|line| super::privileges::gathered(line)).collect())
        }
        // From 5 on they are the script's own, and the last two are needed until the end.
        Process::CloseFrom(first) if *first > 5 => Way::Never,
        Process::CloseFrom(_) => {
            let all_but = |line: &String| line.replace(" 8<&- 9<&-", "");
            Way::Inside(lines.iter().map(all_but).collect())
        }
        Process::Exec(program) => Way::Last(exec(plan, program, lines)),
    }
}

/// The program with the environment of the config and nothing else.
fn exec(plan: &Plan, program: &Program, lines: Vec<String>) -> Vec<String> {
    let hang_up = "exec 8<&- 9<&-".to_owned();
    let words: Vec<String> = program.env.iter().map(|entry| entry_by_hand(entry)).collect();
    let command = lines.iter().filter_map(|line| line.strip_prefix("exec ")).collect::<String>();
    let env: String = words.iter().map(|word| format!(" {word}")).collect();
    if !pivots(plan) {
        let exec = format!("exec setpriv $PRIVILEGES env -i{env} \"$@\" {command}");
        return vec![hang_up, exec];
    }
    let mut lines = vec![hang_up];
    if program.env.iter().all(|entry| is_variable(entry)) {
        // What a shell puts there by itself.
        lines.push("unset PWD OLDPWD SHLVL".into());
        lines.extend(words.iter().map(|word| format!("export {word}")));
        lines.push(format!("exec {command}"));
    } else {
        let path = crate::parts::process::search_path(&program.env);
        lines.push(format!("PATH={}", shell(path)));
        lines.push(format!("exec env -i{env} {command}"));
    }
    lines
}

/// `NAME='the value'`
fn entry_by_hand(entry: &str) -> String {
    match entry.split_once('=') {
        Some((name, value)) if is_variable(entry) => format!("{name}={}", shell(value)),
        _ => shell(entry),
    }
}

/// Whether a shell can have this in its environment as it stands.
fn is_variable(entry: &str) -> bool {
    const OF_THE_SHELL: &[&str] = &["_", "PPID", "UID", "EUID", "BASHOPTS", "SHELLOPTS"];
    let Some((name, _)) = entry.split_once('=') else { return false };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(letters) && !OF_THE_SHELL.contains(&name)
}
