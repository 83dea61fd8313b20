//! A recipe: what will be copied, linked and written, decided by looking.
//!
//! The small trees, of busybox or of the host's programs, are listed file by file, so that a plan
//! can show each. The large ones (a folder, an archive) are only named.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::{Source, libraries};
use crate::error::{Error, Result};
use crate::image::document::Descriptor;
use crate::sys::idmap::Maps;
use crate::sys::look;

/// How a root filesystem is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// File by file.
    Tree(Tree),
    /// A copy of this folder.
    Copy(PathBuf),
    /// The contents of this archive.
    Unpack(PathBuf),
    Download {
        url: String,
        sha256: Option<String>,
    },
    Debootstrap {
        program: PathBuf,
    },
    /// All layers of an image, on top of each other.
    Image {
        store: PathBuf,
        /// Its manifest, of this machine's platform.
        manifest: Descriptor,
        /// The ids that its files may belong to, where they are those of a user without root.
        owners: Option<Maps>,
    },
}

/// A small tree. Paths in it are relative to its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    pub directories: Vec<PathBuf>,
    /// From the host, to the tree. Sizes in bytes.
    pub programs: Vec<CopyOf>,
    pub libraries: Vec<CopyOf>,
    /// Name, and what it leads to.
    pub names: Vec<(PathBuf, PathBuf)>,
    pub texts: Vec<(PathBuf, &'static str)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOf {
    pub from: PathBuf,
    pub to: PathBuf,
    pub size: usize,
}

/// What a learner looks for first, as far as the host has it.
const PROGRAMS: &[&str] = &[
    "sh",
    "ls",
    "ps",
    "cat",
    "mount",
    "umount",
    "hostname",
    "id",
    "ip",
    "env",
    "echo",
    "sleep",
    "grep",
    "head",
    "tail",
    "stat",
    "readlink",
    "mkdir",
    "rmdir",
    "touch",
    "rm",
    "cp",
    "mv",
    "ln",
    "chmod",
    "chown",
    "chroot",
    "dd",
    "df",
    "du",
    "free",
    "nproc",
    "uname",
    "true",
    "false",
    "pwd",
    "printenv",
    "kill",
    "tty",
    "stty",
    "wc",
    "sort",
    "uniq",
    "cut",
    "tr",
    "seq",
    "date",
    "find",
    "sed",
    "awk",
    "vi",
    "top",
    "test",
    "whoami",
    "which",
    "ping",
    "mknod",
    "sync",
    "time",
    "tar",
    "unshare",
    "nsenter",
    "ulimit",
    "yes",
    "clear",
    "less",
    "more",
    "xargs",
    "mountpoint",
];

/// Empty directories that a container expects.
const DIRECTORIES: &[&str] = &["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var"];

const TEXTS: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

/// Reads a source. Nothing is changed.
pub fn recipe(source: &Source) -> Result<Recipe> {
    match source {
        Source::Busybox(path) => busybox(path).map(Recipe::Tree),
        Source::Host => host().map(Recipe::Tree),
        Source::Directory(path) => Ok(Recipe::Copy(path.clone())),
        Source::Archive(path) => Ok(Recipe::Unpack(path.clone())),
        Source::Url { url, sha256 } => {
            Ok(Recipe::Download { url: url.clone(), sha256: sha256.clone() })
        }
        Source::Debootstrap { program } => Ok(Recipe::Debootstrap { program: program.clone() }),
    }
}

fn bare() -> Tree {
    Tree {
        directories: DIRECTORIES.iter().map(PathBuf::from).collect(),
        texts: TEXTS.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect(),
        ..Tree::default()
    }
}

/// One program that becomes whatever name it is called by. It holds the list of its names, each
/// between two NULs, so that it need not be run to be asked.
fn busybox(path: &Path) -> Result<Tree> {
    let bytes = std::fs::read(path).map_err(|e| Error::from(e).at(path.display().to_string()))?;
    let words: HashSet<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let to = PathBuf::from("bin/busybox");
    let names = PROGRAMS.iter().filter(|name| words.contains(name.as_bytes()));
    Ok(Tree {
        programs: vec![CopyOf { from: path.to_owned(), to, size: bytes.len() }],
        names: names.map(|name| (Path::new("bin").join(name), PathBuf::from("busybox"))).collect(),
        ..bare()
    })
}

fn host() -> Result<Tree> {
    let mut tree = bare();
    let mut needed = BTreeMap::new();
    for name in PROGRAMS {
        let Some(found) = look::in_path(name).and_then(|path| path.canonicalize().ok()) else {
            continue;
        };
        libraries::needed(&found, &mut needed);
        let to = Path::new("bin").join(name);
        tree.programs.push(CopyOf { size: size(&found), from: found, to });
    }
    if !tree.programs.iter().any(|program| program.to.ends_with("sh")) {
        return Err(Error::yours("--from host: no `sh` is in PATH to begin with"));
    }
    for (to, from) in needed {
        let to = to.strip_prefix("/").unwrap_or(&to).to_owned();
        let parents = to.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
        for dir in parents.collect::<Vec<_>>().into_iter().rev() {
            if !tree.directories.iter().any(|known| known == dir) {
                tree.directories.push(dir.to_owned());
            }
        }
        tree.libraries.push(CopyOf { size: size(&from), from, to });
    }
    Ok(tree)
}

fn size(path: &Path) -> usize {
    std::fs::metadata(path).map_or(0, |meta| meta.len() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_tree_has_the_loader_that_its_shell_names() {
        let Ok(tree) = host() else { return };
        let sh = tree.programs.iter().find(|p| p.to.ends_with("sh")).unwrap();
        if let Some(loader) = super::super::program::interpreter(&sh.from) {
            let inside = Path::new(loader.trim_start_matches('/'));
            assert!(tree.libraries.iter().any(|library| library.to == inside), "{loader}");
        }
    }

    #[test]
    fn every_file_has_its_directory_before_it() {
        let Ok(tree) = host() else { return };
        for copy in tree.programs.iter().chain(&tree.libraries) {
            assert!(tree.directories.iter().any(|dir| Some(dir.as_path()) == copy.to.parent()));
        }
    }
}
