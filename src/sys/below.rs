//! Paths below the container's root, which come from a config or an image and may be hostile.
//!
//! Everything here is resolved by descriptor with openat2(2) and RESOLVE_IN_ROOT: `..` and absolute
//! links stop at the root's descriptor, whatever an image put there (CVE-2021-30465, 2019-19921).
//! Missing parents are made one by one, each below a descriptor of its parent.

use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::SFlag;

use super::{Fd, Kernel, Mkdirat, Mknodat, Openat2};
use crate::error::{Error, Result, ignore};

/// Opens something below the root, as a place (O_PATH): a directory, file or device.
pub fn open(k: &Kernel, root: &Fd, path: &Path, expected: &[Errno]) -> Result<Fd> {
    let flags = OFlag::O_PATH;
    let call = Openat2 {
        dir: root.at(),
        path: relative(path),
        flags,
        mode: 0,
        resolve: ResolveFlag::RESOLVE_IN_ROOT,
    };
    k.ask(call, expected)
}

/// Opens a directory below the root; makes it, and its parents, where they are missing.
pub fn directory(k: &Kernel, root: &Fd, path: &Path) -> Result<Fd> {
    match open(k, root, path, &[Errno::ENOENT]) {
        Err(e) if e.errno() == Some(Errno::ENOENT) => {}
        other => return other,
    }
    let (parent, name) = split(path)?;
    let parent = directory(k, root, parent)?;
    k.ask(Mkdirat { dir: parent.at(), path: Path::new(name), mode: 0o755 }, &[Errno::EEXIST])
        .or_else(ignore(Errno::EEXIST))?;
    open(k, root, path, &[])
}

/// Opens a file below the root to mount something on; makes an empty one where it is missing.
pub fn file(k: &Kernel, root: &Fd, path: &Path) -> Result<Fd> {
    match open(k, root, path, &[Errno::ENOENT]) {
        Err(e) if e.errno() == Some(Errno::ENOENT) => {}
        other => return other,
    }
    let (parent, name) = split(path)?;
    let parent = directory(k, root, parent)?;
    let (kind, mode) = (SFlag::S_IFREG, 0o644);
    let file = Mknodat { dir: parent.at(), path: Path::new(name), kind, mode, major: 0, minor: 0 };
    k.ask(file, &[Errno::EEXIST]).or_else(ignore(Errno::EEXIST))?;
    open(k, root, path, &[])
}

/// The path without its leading `/`, since resolution starts at the root's descriptor.
pub fn relative(path: &Path) -> &Path {
    match path.strip_prefix("/").unwrap_or(path) {
        empty if empty.as_os_str().is_empty() => Path::new("."),
        path => path,
    }
}

/// Removes `.` and doubled slashes, and refuses `..`: a destination names a place, not a walk.
pub fn normal(path: &Path) -> Result<PathBuf> {
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                let text = format!("{} must not contain `..`", path.display());
                return Err(Error::yours(text).try_this("write the path it leads to"));
            }
            _ => {}
        }
    }
    Ok(normal)
}

/// Directory and last name of a path.
pub fn split(path: &Path) -> Result<(&Path, &str)> {
    let name = path.file_name().and_then(|n| n.to_str());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(Error::yours(format!("{}: no name to make below the root", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_normal_path_never_climbs(path in "[a./]{0,20}") {
            if let Ok(normal) = normal(Path::new(&path)) {
                prop_assert!(normal.is_absolute());
                prop_assert!(normal.components().all(|c| c != Component::ParentDir));
            }
        }
    }

    #[test]
    fn the_root_itself_is_a_dot() {
        assert_eq!(relative(Path::new("/")), Path::new("."));
        assert_eq!(relative(Path::new("/dev/pts")), Path::new("dev/pts"));
    }
}
