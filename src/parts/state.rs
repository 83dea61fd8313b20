//! What is written down, so that another process can find the container.
//!
//! OCI runtime.md, "State". The state folder is made first of all: making it is what takes the id.
//! Its journal lists what will be made outside the container, before it is made. When everything is
//! built, `state.json` appears in one moment, by rename: a container that has one is *created*.
//! Whether it is running or has stopped is not written anywhere; the kernel is asked
//! (see [`crate::lifecycle`]).

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::lifecycle::journal::Journal;
use crate::lifecycle::undo::remove_state;
use crate::sys::{At, Kernel, Mkdirat, Pid, Renameat, Unlinkat, write_new_file};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Takes the id by making the state folder.
    Open { root: PathBuf, dir: PathBuf },
    /// Writes state.json, and the pid file if one was asked for.
    Created { dir: PathBuf, record: Box<crate::lifecycle::Record>, pid_file: Option<PathBuf> },
}

/// Performs `Open`; the journal is what the rest of the run writes to.
pub fn open(k: &Kernel, root: &Path, dir: &Path) -> Result<Journal> {
    for missing in root.ancestors().collect::<Vec<_>>().into_iter().rev() {
        if !missing.is_dir() {
            let call = Mkdirat { dir: At::CWD, path: missing, mode: 0o700 };
            let made = k.ask(call, &[Errno::EEXIST]).or_else(crate::error::ignore(Errno::EEXIST));
            made.map_err(|e| no_place(e, root))?;
        }
    }
    if !k.pretends() {
        crate::lifecycle::check_owner(root)?;
    }
    let call = Mkdirat { dir: At::CWD, path: dir, mode: 0o711 };
    k.call(call).map_err(|e| match e.errno() {
        Some(Errno::EEXIST) => taken(dir),
        _ => no_place(e, root),
    })?;
    if k.pretends() {
        return Ok(Journal::pretended());
    }
    // Without a journal nobody knows that the folder is ours to undo.
    Journal::create(dir).inspect_err(|_| drop(remove_state(k, dir)))
}

fn no_place(error: Error, root: &Path) -> Error {
    error
        .because(format!("container states are kept in {}", root.display()))
        .try_this("--root DIR, with a folder that can be written to")
}

fn taken(dir: &Path) -> Error {
    let id = dir.file_name().unwrap_or_default().to_string_lossy();
    Error::yours(format!("a container with the id {id} is there already"))
        .because(format!("its state is in {}", dir.display()))
        .try_this(format!(
            "another id, or learnc delete {id} (--force where it runs); learnc list shows all"
        ))
}

/// Performs `Created`.
pub fn created(k: &Kernel, what: &State, pid: Pid) -> Result<()> {
    let State::Created { dir, record, pid_file } = what else {
        return Err(Error::yours("not the step that writes the state"));
    };
    let record = crate::lifecycle::Record {
        pid: pid.0,
        start_time: crate::sys::alive::start_time(pid.0).unwrap_or(0),
        created: crate::lifecycle::now(),
        ..(**record).clone()
    };
    let text = serde_json::to_vec(&record)?;
    publish(k, &dir.join("state.json"), &text)?;
    match pid_file {
        Some(path) => publish(k, path, pid.0.to_string().as_bytes())
            .map_err(|e| e.at("--pid-file").try_this("a file in a folder that is there")),
        None => Ok(()),
    }
}

/// Writes beside and renames, so that nobody ever reads half a file.
fn publish(k: &Kernel, path: &Path, data: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let made = write_new_file(k, At::CWD, &new, data, 0o644);
    made.and_then(|()| k.call(Renameat { from: &new, to: path })).inspect_err(|_| {
        // No journal names it: a pid file is wherever somebody wants it.
        let half = Unlinkat { dir: At::CWD, path: &new, directory: false };
        let _ = k.ask(half, &[Errno::ENOENT]);
    })
}

pub fn by_hand(_: &State) -> Vec<String> {
    vec![]
}
