//! What `/` is to a process, and how many mounts there are below it.
//!
//! proc_pid_mountinfo(5), proc_pid_root(5). Its mount table has a line for every mount that it can
//! reach; the last of those at `/` is its root. Where that mount shows a folder of a filesystem
//! and not all of it, it is a bind of this folder, and the host's own table says how the folder is
//! called out here. A process that was only chrooted has no mount at its root: then the link
//! `/proc/PID/root` names the folder.

use std::path::{Path, PathBuf};

use crate::sys::look;

/// One line of a mount table, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `8:1`
    pub device: String,
    /// The folder of the filesystem that is shown at the mount point.
    pub folder: PathBuf,
    pub point: PathBuf,
    pub fstype: String,
}

/// What `/` is to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The mount at `/`; None where there is none, after chroot.
    pub mount: Option<Mount>,
    /// The folder, as the reader would name it, where it is not the whole of a filesystem.
    pub folder: Option<PathBuf>,
    /// Mounts that it can reach.
    pub mounts: usize,
    /// Device and inode.
    pub identity: Option<(u64, u64)>,
}

/// Reads it; None when that is not allowed, or there is no such process.
pub fn read(pid: i32) -> Option<Root> {
    let table = table(&look::read_if_there(format!("/proc/{pid}/mountinfo"))?);
    let path = format!("/proc/{pid}/root");
    let identity = look::identity(&path);
    let mount = table.iter().rev().find(|mount| mount.point == Path::new("/")).cloned();
    let link = look::link(&path).filter(|link| link != Path::new("/"));
    let folder = match (&mount, link) {
        (_, Some(link)) => Some(link),
        (Some(mount), None) => {
            let own = look::read_if_there("/proc/self/mountinfo").unwrap_or_default();
            let same = |path: &Path| identity.is_none() || look::identity(path) == identity;
            seen_from_here(mount, &self::table(&own), &same)
        }
        (None, None) => None,
    };
    Some(Root { mount, folder, mounts: table.len(), identity })
}

/// How a mounted folder is called in the reader's own table: below the mount that shows most of the
/// way to it. None if it is the root of the reader itself, or a whole filesystem.
fn seen_from_here(mount: &Mount, own: &[Mount], same: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let mut above: Vec<(&Mount, &Path)> = own
        .iter()
        .filter(|other| other.device == mount.device)
        .filter_map(|other| Some((other, mount.folder.strip_prefix(&other.folder).ok()?)))
        .collect();
    above.sort_by_key(|(other, _)| std::cmp::Reverse(other.folder.as_os_str().len()));
    let path = |(other, rest): (&Mount, &Path)| match rest.as_os_str().is_empty() {
        true => other.point.clone(),
        false => other.point.join(rest),
    };
    let found = above.into_iter().map(path).find(|path| same(path));
    match found {
        Some(path) if path == Path::new("/") => None,
        Some(path) => Some(path),
        // Not to be seen from here: the name that the filesystem itself has for it.
        None => Some(mount.folder.clone()).filter(|folder| folder != Path::new("/")),
    }
}

impl std::fmt::Display for Root {
    /// `ext4, 31 mounts`; `bind of /box/rootfs, 6 mounts`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.mount, &self.folder) {
            (Some(_), Some(folder)) => write!(f, "bind of {}", folder.display())?,
            (Some(mount), None) => f.write_str(&mount.fstype)?,
            (None, Some(folder)) => write!(f, "folder {}", folder.display())?,
            (None, None) => f.write_str("no mount")?,
        }
        let plural = if self.mounts == 1 { "" } else { "s" };
        write!(f, ", {} mount{plural}", self.mounts)
    }
}

/// The lines of a mount table.
pub fn table(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

/// `36 35 8:1 FOLDER POINT OPTIONS … - TYPE SOURCE OPTIONS`
fn line(text: &str) -> Option<Mount> {
    let (left, right) = text.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let device = left.next()?.to_owned();
    let (folder, point) = (unescaped(left.next()?), unescaped(left.next()?));
    Some(Mount { device, folder, point, fstype: right.split(' ').next()?.to_owned() })
}

/// Space, tab, newline and backslash stand in the table as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let (mut path, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                at += 4;
            }
            None => {
                path.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: &str = "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
                        30 27 254:0 /srv /data rw - ext4 /dev/vda rw\n\
                        31 27 0:40 / /run rw - tmpfs tmpfs rw\n";

    fn mounted(folder: &str, device: &str) -> Mount {
        table(&format!("50 1 {device} {folder} / rw - ext4 x rw"))[0].clone()
    }

    fn seen(folder: &str, device: &str, same: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
        seen_from_here(&mounted(folder, device), &table(HOST), same)
    }

    #[test]
    fn a_bound_folder_has_the_name_that_it_has_out_here() {
        let any = |_: &Path| true;
        assert_eq!(seen("/b/root", "254:0", &any), Some("/b/root".into()));
        assert_eq!(seen("/srv/c", "254:0", &any), Some("/data/c".into()));
        assert_eq!(seen("/box/r", "0:40", &any), Some("/run/box/r".into()));
        let hidden = |path: &Path| path != Path::new("/data/c");
        assert_eq!(seen("/srv/c", "254:0", &hidden), Some("/srv/c".into()));
    }

    #[test]
    fn the_readers_own_root_is_no_bind_and_a_filesystem_unknown_here_neither() {
        assert_eq!(seen("/", "254:0", &|_| true), None);
        assert_eq!(seen("/", "0:99", &|_| true), None);
    }

    #[test]
    fn a_space_in_a_name_is_a_space() {
        assert_eq!(unescaped(r"/a\040b\134\9"), Path::new(r"/a b\\9"));
    }

    #[test]
    fn the_root_of_this_very_process_is_read() {
        let root = read(look::pid()).unwrap();
        assert_eq!(root.identity, look::identity("/"));
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_a_panic(text in "([0-9: /\\\\a漢-]{0,40}\n){0,4}") {
            table(&text);
        }
    }
}
