//! The container's cgroup: made, limited, joined, before the first instruction of the program.
//!
//! cgroups(7), clone3(2) CLONE_INTO_CGROUP; OCI `linux.cgroupsPath`, `linux.resources`. Limits are
//! written while the cgroup is empty, so there is no moment in which the program runs without them.
//! On v2 the container is born inside (CLONE_INTO_CGROUP); on v1 its first process writes itself into
//! each tree before it does anything else.
//!
//! Where things go is decided in [`crate::cgroup::place`], what is written in `cgroup::v1` and
//! `cgroup::v2`; [`decide`] makes steps of both, and here they are performed.

mod decide;

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::cgroup::devices;
use crate::error::Result;
use crate::lifecycle::journal::{Journal, Undo};
use crate::sys::{
    At, BpfProgAttach, BpfProgLoad, Fd, Kernel, Mkdirat, Openat, Write, look, write_file,
};

pub use decide::{Cgroups, Wishes, plan};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Cgroup {
    /// Makes a leaf of this process's own cgroup and moves into it, so that its own can hand down
    /// controllers.
    MoveOut { from: PathBuf, to: PathBuf, handed: String },
    /// Makes the directories and hands controllers down.
    Make { make: Vec<PathBuf>, enable: Vec<(PathBuf, String)>, hold: Option<PathBuf> },
    /// Writes files in the container's cgroup: all that one field of the config asks for.
    Limit { writes: Vec<(PathBuf, String)> },
    /// v2: loads the device rules as a program and attaches it to the cgroup.
    DeviceRules { dir: PathBuf, rules: Vec<devices::Rule> },
    /// v1: the container's first process goes into each tree.
    Join { tasks: Vec<PathBuf> },
}

/// Performs one step. `hold` receives the v2 directory, for the clone.
pub fn perform(
    k: &Kernel,
    what: &Cgroup,
    journal: &mut Journal,
    hold: &mut Option<Fd>,
) -> Result<()> {
    match what {
        Cgroup::MoveOut { from, to, handed } => {
            let (own, leaf, handed) = (from.clone(), to.clone(), handed.clone());
            journal.will(Undo::LeaveLeaf { own, leaf, handed })?;
            k.call(Mkdirat { dir: At::CWD, path: to, mode: 0o755 })?;
            // 0 is whoever writes it.
            write_file(k, At::CWD, &to.join("cgroup.procs"), "0")
        }
        Cgroup::Make { make, enable, hold: held } => {
            for path in make {
                let above = make.iter().any(|other| other != path && other.starts_with(path));
                make_one(k, path, above, journal)?;
                let file = path.parent().map(|p| p.join("cgroup.subtree_control"));
                hand_down(k, enable, file)?;
            }
            if let Some(path) = held {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
                *hold = Some(k.call(Openat { dir: At::CWD, path, flags, mode: 0 })?);
            }
            Ok(())
        }
        Cgroup::Limit { writes } => write_limits(k, writes),
        Cgroup::DeviceRules { dir, rules } => {
            let program = k.call(BpfProgLoad { insns: &devices::program(rules) })?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let cgroup = k.call(Openat { dir: At::CWD, path: dir, flags, mode: 0 })?;
            k.call(BpfProgAttach { cgroup: &cgroup, program: &program })
        }
        // Whoever moves another process, or all threads of one, stops every fork and exec of the
        // machine for that moment, which takes milliseconds to come. A thread that moves itself does
        // not, and there is only one here.
        Cgroup::Join { tasks } => {
            tasks.iter().try_for_each(|file| write_file(k, At::CWD, file, "0"))
        }
    }
}

/// A file that takes several values (v1's device rules) is opened once and takes one a write.
fn write_limits(k: &Kernel, writes: &[(PathBuf, String)]) -> Result<()> {
    for group in writes.chunk_by(|a, b| a.0 == b.0) {
        let path = &group[0].0;
        let file = k.call(Openat { dir: At::CWD, path, flags: OFlag::O_WRONLY, mode: 0 })?;
        for (_, value) in group {
            k.call(Write { fd: &file, data: value.as_bytes() })?;
        }
    }
    Ok(())
}

/// Only what was not there is made, and only what is made will be removed. A cgroup `above` the
/// container's own may meanwhile have become that of others too.
fn make_one(k: &Kernel, path: &Path, above: bool, journal: &mut Journal) -> Result<()> {
    if !look::is_dir(path) {
        let undo = if above { Undo::LeaveCgroup } else { Undo::RemoveCgroup };
        journal.will(undo(path.to_owned()))?;
    }
    let call = Mkdirat { dir: At::CWD, path, mode: 0o755 };
    k.ask(call, &[Errno::EEXIST]).or_else(crate::error::ignore(Errno::EEXIST))
}

fn hand_down(k: &Kernel, enable: &[(PathBuf, String)], file: Option<PathBuf>) -> Result<()> {
    match enable.iter().find(|(path, _)| Some(path) == file.as_ref()) {
        Some((path, words)) => write_file(k, At::CWD, path, words),
        None => Ok(()),
    }
}

pub fn by_hand(what: &Cgroup) -> Vec<String> {
    use crate::args::shell;
    match what {
        Cgroup::MoveOut { to, .. } => vec![
            format!("mkdir {}", shell(to)),
            format!("echo $$ > {}", shell(to.join("cgroup.procs"))),
        ],
        Cgroup::Make { make, enable, .. } => {
            let dirs: Vec<String> = make.iter().map(|d| format!("mkdir {}", shell(d))).collect();
            let hand = enable.iter().map(|(f, words)| format!("echo '{words}' > {}", shell(f)));
            dirs.into_iter().chain(hand).collect()
        }
        Cgroup::Limit { writes } => {
            let line = |(file, value): &(PathBuf, String)| {
                format!("echo {} > {}", shell(value), shell(file))
            };
            writes.iter().map(line).collect()
        }
        Cgroup::DeviceRules { .. } => vec![],
        Cgroup::Join { tasks } => tasks.iter().map(|f| format!("echo 0 > {}", shell(f))).collect(),
    }
}
