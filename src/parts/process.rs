//! The program: its session, its directory, what it may gain, and at last execve.
//!
//! setsid(2), chdir(2), prctl(2) PR_SET_NO_NEW_PRIVS, close_range(2), execve(2); OCI `process.args`,
//! `env`, `cwd`, `noNewPrivileges`. Everything so far made the place; here the runtime's own code
//! leaves it. What is looked up is looked up *inside*: the program is found along the PATH that the
//! config's `env` gives it, below the container's root. It is made [`Ready`] before the point from
//! which on nothing can be said, since a filter there may forbid to look round: execve is then all.
//!
//! Two attacks end here. The working directory is checked after chdir to be inside the root, since
//! a leaked descriptor of the host could otherwise be entered as `/proc/self/fd/N`
//! (CVE-2024-21626); and every descriptor but the three standard ones closes at execve.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::doctor::program;
use crate::error::{Error, Result};
use crate::sys::{At, Chdir, CloseRange, Execve, Kernel, Mkdirat, Prctl, Setsid, Syscall};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Process {
    /// A session of its own, so that a terminal can become its controlling terminal and signals to
    /// the runtime's group do not reach it.
    Session,
    /// The directory in which it starts; made if it is missing.
    Cwd(PathBuf),
    NoNewPrivileges,
    /// Everything from this descriptor on closes at execve.
    CloseFrom(u32),
    Exec(Program),
}

/// What is executed.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: PathBuf,
    /// The root filesystem as the host sees it, where a plan that is only shown looks.
    pub root: PathBuf,
}

/// A program that is found, and its words as the kernel takes them.
#[derive(Debug)]
pub struct Ready {
    path: PathBuf,
    argv: Vec<CString>,
    envp: Vec<CString>,
}

/// What is kept between the steps: the program, or why there is none, which is `Exec`'s to say.
pub type Held = Option<Result<Ready>>;

/// Performs one step.
pub fn perform(k: &Kernel, what: &Process, held: &Held) -> Result<()> {
    match what {
        Process::Session => k.call(Setsid).map(drop),
        Process::Cwd(path) => enter(k, path),
        Process::NoNewPrivileges => k.call(Prctl::SetNoNewPrivs),
        Process::CloseFrom(first) => k.call(CloseRange { first: *first }),
        Process::Exec(program) => exec(k, program, held),
    }
}

/// Enters the working directory, makes it where it is missing, and checks that it is inside.
fn enter(k: &Kernel, path: &Path) -> Result<()> {
    match k.ask(Chdir { path }, &[Errno::ENOENT]) {
        Err(e) if e.errno() == Some(Errno::ENOENT) => {
            make_parents(k, path).map_err(|e| {
                e.because(format!("There is no {} inside the container.", path.display()))
                    .try_this("make it in the root filesystem, or another process.cwd")
            })?;
            k.call(Chdir { path })?;
        }
        other => other?,
    }
    if k.pretends() {
        return Ok(());
    }
    // getcwd(3): a directory that cannot be reached from the root has no name, or one that says so.
    match std::env::current_dir() {
        Ok(cwd) if cwd.is_absolute() => Ok(()),
        _ => Err(Error::yours("the working directory is outside the container's root")
            .at("process.cwd")
            .because("it was reached through a descriptor of the host")),
    }
}

fn make_parents(k: &Kernel, path: &Path) -> Result<()> {
    for ancestor in path.ancestors().collect::<Vec<_>>().into_iter().rev().skip(1) {
        let call = Mkdirat { dir: At::CWD, path: ancestor, mode: 0o755 };
        k.ask(call, &[Errno::EEXIST]).or_else(crate::error::ignore(Errno::EEXIST))?;
    }
    Ok(())
}

/// execve. Nothing is looked up and nothing is made here that could be had before.
fn exec(k: &Kernel, what: &Program, held: &Held) -> Result<()> {
    let shown;
    let ready = match held {
        Some(Ok(ready)) => ready,
        Some(Err(error)) => return Err(error.clone()),
        // No process yet: a plan that is only shown.
        None => {
            shown = make_ready(what, k.pretends())?;
            &shown
        }
    };
    k.call(Execve { path: &ready.path, argv: &ready.argv, envp: &ready.envp })
}

/// Looks the program up, and makes its words ready for the kernel.
pub fn make_ready(what: &Program, only_shown: bool) -> Result<Ready> {
    let path = find(what, only_shown)?;
    let strings = |list: &[String], field: &str| {
        list.iter()
            .enumerate()
            .map(|(i, s)| {
                let nul = |_| Error::yours("contains a NUL byte").at(format!("{field}[{i}]"));
                CString::new(s.as_str()).map_err(nul)
            })
            .collect::<Result<Vec<_>>>()
    };
    let argv = strings(&what.args, "process.args")?;
    let envp = strings(&what.env, "process.env")?;
    Ok(Ready { path, argv, envp })
}

/// Why execve returned, as far as it can be seen from where it was called. This looks round.
pub fn explain(error: Error, held: &Held) -> Error {
    match (error.call(), held) {
        (Some(Execve::NAME), Some(Ok(ready))) => program::explain(error, &ready.path),
        _ => error,
    }
}

/// Finds the program as execvp(3) would, but along the PATH of the *container's* environment.
fn find(what: &Program, only_shown: bool) -> Result<PathBuf> {
    let Some(name) = what.args.first().filter(|name| !name.is_empty()) else {
        return Err(Error::yours("no program to run")
            .at("process.args[0]")
            .try_this("\"args\": [\"sh\"]"));
    };
    if name.contains('/') {
        return Ok(what.cwd.join(name));
    }
    let path = search_path(&what.env);
    // A plan is shown before the swap of the roots: it looks below the folder that will be `/`.
    let outside = only_shown && what.root.is_dir();
    let there = |file: &PathBuf| match outside {
        true => what.root.join(crate::sys::below::relative(file)).symlink_metadata().is_ok(),
        false => program::is_program(file),
    };
    let found = path.split(':').map(|dir| Path::new(dir).join(name)).find(there);
    found.ok_or_else(|| program::not_found(name, path, outside.then_some(&what.root)))
}

/// The PATH that counts, or what shells fall back on.
pub fn search_path(env: &[String]) -> &str {
    env.iter().rev().find_map(|e| e.strip_prefix("PATH=")).unwrap_or("/usr/local/bin:/usr/bin:/bin")
}

pub fn by_hand(what: &Process) -> Vec<String> {
    match what {
        Process::Session => vec!["setsid".into()],
        Process::Cwd(path) => vec![format!("cd {}", crate::args::shell(path))],
        Process::NoNewPrivileges => vec!["setpriv --no-new-privs".into()],
        // A shell knows descriptors of one digit.
        Process::CloseFrom(first) if *first > 9 => vec![],
        Process::CloseFrom(first) => {
            let each: Vec<String> = (*first..10).map(|fd| format!("{fd}<&-")).collect();
            vec![format!("exec {}", each.join(" "))]
        }
        Process::Exec(program) => {
            let words: Vec<String> = program.args.iter().map(crate::args::shell).collect();
            vec![format!("exec {}", words.join(" "))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_path_of_the_environment_counts() {
        let env = ["PATH=/a".to_owned(), "HOME=/".to_owned(), "PATH=/b:/c".to_owned()];
        assert_eq!(search_path(&env), "/b:/c");
        assert_eq!(search_path(&[]), "/usr/local/bin:/usr/bin:/bin");
    }
}
