//! What a program has changed in a root filesystem of layers: what lies in the upper directory.
//!
//! The kernel's `filesystems/overlayfs`. A file in there has been made, or copied up from a layer before
//! it was changed; a character device 0:0 hides one that is deleted; a directory with the attribute
//! `overlay.opaque` hides all that the layers have in it. A directory that is there only because of what is in it
//! says nothing. It is looked at from outside, when the program has ended.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::row;
use crate::event::{Difference, Verdict};
use crate::image::joined::{find, is_whiteout};
use crate::sys::look;
use crate::sys::overlay::is_opaque;

/// More changes are counted, and not listed.
const LISTED: usize = 24;

/// The rows. `lower` are the layers, the highest first.
pub fn differences(upper: &Path, lower: &[PathBuf]) -> Vec<Difference> {
    let mut walk = Walk { upper, lower, rows: vec![], more: 0, bytes: 0, files: 0 };
    walk.directory(Path::new(""));
    let Walk { mut rows, more, bytes, files, .. } = walk;
    if more > 0 {
        rows.push(row("upper", String::new(), format!("{more} more"), Verdict::Changed));
    }
    let plural = if files == 1 { "" } else { "s" };
    let size = format!("{bytes} bytes in {files} file{plural}");
    rows.push(row("size of upper", String::new(), size, Verdict::Counted));
    rows
}

struct Walk<'a> {
    upper: &'a Path,
    lower: &'a [PathBuf],
    rows: Vec<Difference>,
    more: usize,
    bytes: u64,
    files: usize,
}

impl Walk<'_> {
    fn directory(&mut self, inside: &Path) {
        let entries = std::fs::read_dir(self.upper.join(inside));
        if entries.as_ref().is_err_and(|e| e.kind() == ErrorKind::PermissionDenied) {
            let text = "its owner's alone: not looked into".to_owned();
            self.row(inside, String::new(), text, Verdict::Unknown);
        }
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            let path = inside.join(name);
            let Ok(meta) = self.upper.join(&path).symlink_metadata() else { continue };
            self.entry(&path, &meta);
            if meta.is_dir() {
                self.directory(&path);
            }
        }
    }

    fn entry(&mut self, path: &Path, meta: &Metadata) {
        if meta.is_file() {
            self.bytes += meta.len();
            self.files += 1;
        }
        let upper = self.upper.join(path);
        let below = find(self.lower, path);
        let hidden = below.is_err();
        let below = below.ok().flatten();
        let (is, verdict) = match &below {
            _ if is_whiteout(meta) => {
                ("whiteout: ".to_owned() + &kind(&upper, meta), Verdict::Changed)
            }
            Some(_) if meta.is_dir() && is_opaque(&upper) => {
                ("opaque directory".to_owned(), Verdict::Changed)
            }
            Some((_, below)) if meta.is_dir() && below.is_dir() => return,
            Some(_) => ("copied up: ".to_owned() + &kind(&upper, meta), Verdict::Changed),
            // The layers' own is in a directory that this user may not look into.
            None if hidden => {
                ("made, or copied up: ".to_owned() + &kind(&upper, meta), Verdict::Changed)
            }
            None => ("made: ".to_owned() + &kind(&upper, meta), Verdict::New),
        };
        let was = below.map(|(path, meta)| kind(&path, &meta)).unwrap_or_default();
        self.row(path, was, is, verdict);
    }

    fn row(&mut self, path: &Path, was: String, is: String, verdict: Verdict) {
        match self.rows.len() == LISTED {
            true => self.more += 1,
            false => self.rows.push(row(&format!("upper/{}", path.display()), was, is, verdict)),
        }
    }
}

/// `file, 86 bytes`
fn kind(path: &Path, meta: &Metadata) -> String {
    let kind = meta.file_type();
    if kind.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        return format!("link to {}", target.display());
    }
    match () {
        () if kind.is_dir() => "directory".to_owned(),
        () if kind.is_file() => {
            format!("file, {} byte{}", meta.len(), if meta.len() == 1 { "" } else { "s" })
        }
        () if kind.is_char_device() => format!("character device {}", look::device(meta.rdev())),
        () if kind.is_block_device() => format!("block device {}", look::device(meta.rdev())),
        () if kind.is_fifo() => "pipe".to_owned(),
        () => "socket".to_owned(),
    }
}
