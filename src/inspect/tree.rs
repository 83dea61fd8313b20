//! A root filesystem without a process: the folder that will be `/`, next to the host's own `/`.
//!
//! path_resolution(7), elf(5), uname(2). To the kernel it is a directory: a device and an inode. What
//! makes a system of it are files, so the rows are about files: how many names lie in it, what its
//! shell is and what that needs to start, how much all of it weighs. And what is not in it: a kernel.
//!
//! Links in it are followed as they would be after the swap of the roots: an absolute one starts at
//! the folder, and `..` does not lead out of it.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::{compared, judged, row};
use crate::event::{Difference, Verdict};
use crate::rootfs::program::{self, Start};
use crate::sys::look;

/// The rows.
pub fn differences(root: &Path) -> Vec<Difference> {
    let host = Path::new("/");
    let cells =
        |cell: fn(&Path) -> Option<String>| [host, root].map(|at| cell(at).unwrap_or_default());
    let [there, here] = cells(directory);
    let mut rows =
        vec![judged("directory", there, here, look::identity(host) == look::identity(root))];
    for (property, cell) in [
        ("names in it", entries as fn(&Path) -> Option<String>),
        ("/bin/sh", shell),
        ("kernel images", images),
    ] {
        let [there, here] = cells(cell);
        rows.push(compared(property, there, here));
    }
    // Adding up the host's files would take minutes.
    rows.push(row("size", String::new(), size(root), Verdict::Unknown));
    // Whoever asks in there is answered by the kernel that runs.
    let release = look::names().map(|names| names.release).unwrap_or_default();
    rows.push(row("kernel release", release.clone(), release, Verdict::Shared));
    rows
}

/// `device 8:1, inode 2`
fn directory(root: &Path) -> Option<String> {
    let (device, inode) = look::identity(root)?;
    Some(format!("device {}, inode {inode}", look::device(device)))
}

fn entries(root: &Path) -> Option<String> {
    Some(names(root)?.len().to_string())
}

fn names(dir: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    Some(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// `/bin/busybox, 1964032 bytes, static`
fn shell(root: &Path) -> Option<String> {
    let inside = resolve(root, Path::new("/bin/sh"))?;
    let file = below(root, &inside);
    let bytes = look::size(&file)?;
    let start = match program::start(&file) {
        Start::Elf { loader: None, .. } => "static".to_owned(),
        Start::Elf { loader: Some(loader), .. } => format!("loader {loader}"),
        Start::Script(line) => format!("script for {}", line.trim()),
        Start::Empty | Start::Other => "no program".to_owned(),
    };
    Some(format!("{}, {bytes} bytes, {start}", inside.display()))
}

/// Files that look like a kernel's, where boot loaders look for them.
fn images(root: &Path) -> Option<String> {
    let folders = [Some(PathBuf::from("/")), resolve(root, Path::new("/boot"))];
    let mut found = Vec::new();
    for folder in folders.into_iter().flatten() {
        for name in names(&below(root, &folder)).unwrap_or_default() {
            if ["vmlinuz", "vmlinux", "Image", "bzImage"].iter().any(|kind| name.starts_with(kind))
            {
                found.push(folder.join(name).display().to_string());
            }
        }
    }
    found.sort();
    Some(if found.is_empty() { "none".into() } else { found.join(", ") })
}

/// `1964032 bytes in 5 files`. A file with several names weighs once.
fn size(root: &Path) -> String {
    let (mut bytes, mut files, mut seen) = (0, 0, HashSet::new());
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && look::identity(entry.path()).is_some_and(|id| seen.insert(id))
            {
                bytes += look::size(entry.path()).unwrap_or(0);
                files += 1;
            }
        }
    }
    format!("{bytes} bytes in {files} file{}", if files == 1 { "" } else { "s" })
}

fn below(root: &Path, inside: &Path) -> PathBuf {
    root.join(inside.strip_prefix("/").unwrap_or(inside))
}

/// As many links as the kernel follows: path_resolution(7).
const MOST_LINKS: usize = 40;

/// Where a path leads in a tree that is not `/` yet; None if it leads nowhere.
fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::from("/");
    let mut left: Vec<PathBuf> =
        path.components().rev().map(|c| PathBuf::from(c.as_os_str())).collect();
    let mut links = 0;
    while let Some(part) = left.pop() {
        match part.components().next()? {
            Component::RootDir => inside = PathBuf::from("/"),
            Component::ParentDir => drop(inside.pop()),
            Component::CurDir | Component::Prefix(_) => {}
            Component::Normal(name) => match look::link(below(root, &inside.join(name))) {
                Some(_) if links == MOST_LINKS => return None,
                Some(target) => {
                    links += 1;
                    left.extend(target.components().rev().map(|c| PathBuf::from(c.as_os_str())));
                }
                None => inside.push(name),
            },
        }
    }
    look::owner(below(root, &inside)).map(|_| inside)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A tree with an odd shell, gone when dropped.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Root {
            let root = Root(
                std::env::temp_dir().join(format!("learnc-tree-{name}-{}", std::process::id())),
            );
            std::fs::create_dir_all(root.0.join("usr/bin")).unwrap();
            symlink("usr/bin", root.0.join("bin")).unwrap();
            symlink("/../../usr/bin/tool", root.0.join("usr/bin/sh")).unwrap();
            std::fs::write(root.0.join("usr/bin/tool"), "#!/bin/true\n").unwrap();
            root
        }

        fn cell(&self, property: &str) -> Difference {
            differences(&self.0).into_iter().find(|row| row.property == property).unwrap()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_shell_is_followed_through_links_as_from_inside() {
        let root = Root::new("shell");
        let shell = root.cell("/bin/sh").container;
        assert_eq!(shell, "/usr/bin/tool, 12 bytes, script for /bin/true");
        assert_eq!(root.cell("names in it").container, "2");
        assert_eq!(root.cell("size").container, "12 bytes in 1 file");
        assert_eq!(root.cell("kernel release").verdict, Verdict::Shared);
        assert_eq!(root.cell("directory").verdict, Verdict::Changed);
    }

    #[test]
    fn a_link_that_leads_round_in_a_circle_leads_nowhere() {
        let root = Root::new("circle");
        symlink("b", root.0.join("a")).unwrap();
        symlink("/a", root.0.join("b")).unwrap();
        assert_eq!(resolve(&root.0, Path::new("/a")), None);
        assert_eq!(resolve(&root.0, Path::new("/missing")), None);
    }

    #[test]
    fn a_kernel_in_the_tree_is_seen() {
        let root = Root::new("kernel");
        assert_eq!(root.cell("kernel images").container, "none");
        std::fs::create_dir(root.0.join("boot")).unwrap();
        std::fs::write(root.0.join("boot/vmlinuz-7"), "x").unwrap();
        assert_eq!(root.cell("kernel images").container, "/boot/vmlinuz-7");
    }
}
