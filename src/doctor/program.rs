//! Why a program did not start, said from inside the container.
//!
//! execve(2) answers ENOENT for a program whose *loader* is missing, and for a script whose `#!`
//! line ends in a carriage return; it answers EACCES for a file without the x bit, on a mount with
//! noexec, or behind a directory that may not be entered. What is so can be seen only where the
//! call was made: after the swap of the roots, as the container's user.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Finding;
use super::why::explained;
use crate::error::Error;
use crate::rootfs::program::{Start, start};
use crate::sys::{below, look};

/// Explains execve's error about a program.
pub fn explain(error: Error, path: &Path) -> Error {
    let finding = match error.errno() {
        Some(Errno::ENOENT) => missing(path),
        Some(Errno::EACCES) => forbidden(path),
        Some(Errno::ENOEXEC) => Some(unreadable(path)),
        _ => None,
    };
    match finding {
        Some(finding) => explained(error, finding),
        None => error,
    }
}

fn found(case: &'static str, path: &Path) -> Finding {
    Finding::missing("program", case).seen("program", path.display())
}

fn missing(path: &Path) -> Option<Finding> {
    if !path.exists() {
        return Some(found("no_file", path));
    }
    let absent = |program: &str| !Path::new(program).exists();
    match start(path) {
        Start::Script(line) if line.ends_with('\r') => Some(found("carriage_return", path)),
        Start::Script(line) => {
            let program = line.split_whitespace().next().filter(|program| absent(program))?;
            Some(found("no_interpreter", path).seen("#!", program))
        }
        Start::Elf { loader: Some(loader), .. } if absent(&loader) => {
            Some(found("no_loader", path).seen("PT_INTERP", loader))
        }
        _ => None,
    }
}

fn forbidden(path: &Path) -> Option<Finding> {
    if path.is_dir() {
        return Some(found("directory", path));
    }
    let closed = path.ancestors().skip(1).filter(|dir| !look::is_searchable(dir)).last();
    if let Some(dir) = closed {
        return Some(found("closed_directory", path).seen("directory", dir.display()));
    }
    if !is_program(path) {
        return Some(found("not_executable", path));
    }
    if look::is_on_noexec(path) {
        return Some(found("noexec_mount", path));
    }
    match start(path) {
        Start::Script(line) => {
            let program = line.split_whitespace().next()?.to_owned();
            (!is_program(Path::new(&program)))
                .then(|| found("interpreter_not_executable", path).seen("#!", program))
        }
        _ => None,
    }
}

fn unreadable(path: &Path) -> Finding {
    match start(path) {
        Start::Elf { machine, .. } if machine != std::env::consts::ARCH => {
            found("wrong_machine", path)
                .seen("machine", machine)
                .seen("here", std::env::consts::ARCH)
        }
        Start::Elf { .. } => found("broken", path),
        Start::Empty => found("empty", path),
        _ => found("no_format", path),
    }
}

pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// A name that is nowhere in PATH: what is there instead. `root` is where `/` will be, for a plan
/// that is only shown.
pub fn not_found(name: &str, path: &str, root: Option<&PathBuf>) -> Error {
    let inside = |dir: &str| match root {
        Some(root) => root.join(below::relative(Path::new(dir))),
        None => dir.into(),
    };
    let error = Error::yours(format!("{name}: no such program in the container's PATH ({path})"));
    let error = error.at("process.args[0]");
    let file = path.split(':').map(|dir| inside(dir).join(name)).find(|file| file.is_file());
    if let Some(file) = file {
        return explained(error, found("not_executable", &file));
    }
    let mut names: Vec<String> = path
        .split(':')
        .filter_map(|dir| std::fs::read_dir(inside(dir)).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return explained(error, found("nothing_in_path", Path::new(name)));
    }
    let count = names.len();
    let finding = found("not_in_path", Path::new(name)).seen("count", count);
    explained(error, finding.seen("such as", nearest(names, name).join(", ")))
}

/// A few of the names: those that are most like the one that was asked for.
fn nearest(names: Vec<String>, asked: &str) -> Vec<String> {
    let start: String = asked.chars().take(2).collect();
    let (near, rest): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| name.starts_with(&start) || name.contains(asked));
    match near.is_empty() {
        true => rest.into_iter().take(12).collect(),
        false => near.into_iter().take(6).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_like_the_asked_one_come_first() {
        let names = ["awk", "bash", "basename", "sh"].map(str::to_owned).to_vec();
        assert_eq!(nearest(names.clone(), "bahs"), ["bash", "basename"]);
        assert_eq!(nearest(names, "zsh"), ["awk", "bash", "basename", "sh"]);
    }

    proptest! {
        #[test]
        fn any_name_can_be_missing(name in ".{1,8}", path in ".{0,20}") {
            prop_assert!(not_found(&name, &path, None).diagnosis.is_some());
        }
    }
}
