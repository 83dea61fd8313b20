//! A visit: a program of the host's, started in a root filesystem before it is taken away again.
//!
//! clone3(2), chdir(2), execve(2). The tree has no process of its own, so nothing is entered in the
//! sense of containers: the visitor is the host's program, with the host's `/`, standing in a folder.
//! It gets this terminal and the environment as they are, and `ROOT`, the folder's path.
//!
//! It waits until all that was told has been shown, so that nothing is told into what it shows.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::attend::{Signals, stand_by};
use super::parent::Watch;
use crate::error::{Error, Result};
use crate::sys::{Execve, look, plumbing, start_in};

/// Starts the program in the folder and waits for it: its exit status.
pub fn visit(command: &[String], root: &Path, signals: &Signals, watch: Watch) -> Result<i32> {
    let k = watch.kernel();
    k.enter(0, "visit");
    let path = find(command)?;
    let argv = command.iter().map(|word| c_string(word.as_bytes())).collect::<Result<Vec<_>>>()?;
    let envp = environment(root)?;
    let program = Execve { path: &path, argv: &argv, envp: &envp };
    let pid = start_in(&k, root, program, || {
        if let Some(observer) = watch.observer {
            observer.flush();
        }
    })?;
    k.enter(0, "signal");
    stand_by(&k, pid, signals)?;
    plumbing::reap(pid.0)
}

/// The program as the user's shell would find it; a path is one from the folder.
fn find(command: &[String]) -> Result<PathBuf> {
    match command.first() {
        Some(name) if name.contains('/') => Ok(name.into()),
        Some(name) if !name.is_empty() => look::in_path(name)
            .ok_or_else(|| Error::yours(format!("{name}: no such program in this host's PATH"))),
        _ => Err(Error::yours("no program to visit the root filesystem with")),
    }
}

fn environment(root: &Path) -> Result<Vec<CString>> {
    let others = std::env::vars_os().filter(|(name, _)| name != "ROOT");
    let ours = std::iter::once(("ROOT".into(), root.as_os_str().to_owned()));
    let line = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    others.chain(ours).map(line).collect()
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::yours("an argument contains a NUL byte"))
}
