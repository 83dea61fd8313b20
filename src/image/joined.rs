//! Layers read as one tree, without joining them: what a path means when some lie on top of others.
//!
//! The kernel's `filesystems/overlayfs`: the highest layer that has a name gives the file; a whiteout, and
//! a directory that is opaque, hide what is below. So can be known whose id a name is in an image that is not
//! mounted yet, and what a program's changes were made to. Links are followed by hand, from one layer into another as
//! they would be inside, and never out of them: no name of a layer is left to the kernel to follow.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;

use crate::error::{Error, Named, Result, WayOut};
use crate::sys::overlay::is_opaque;

/// How many links a path may lead through, as with the kernel.
const LINKS: usize = 40;

/// A character device 0:0.
pub fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// What the layers, the highest first, have at a path without links; and in which it is.
///
/// # Errors
/// It may not be looked at.
pub fn find(lower: &[PathBuf], path: &Path) -> Result<Option<(PathBuf, Metadata)>> {
    for layer in lower {
        match within(layer, path)? {
            Within::Found(place, meta) => return Ok(Some((place, meta))),
            Within::Hidden => return Ok(None),
            Within::Below => {}
        }
    }
    Ok(None)
}

enum Within {
    Found(PathBuf, Metadata),
    /// This layer hides what lower ones have there.
    Hidden,
    /// It has nothing to say.
    Below,
}

fn within(layer: &Path, path: &Path) -> Result<Within> {
    let (mut place, mut hides) = (layer.to_owned(), is_opaque(layer));
    let count = path.components().count();
    for (n, part) in path.components().enumerate() {
        place.push(part);
        match place.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => return Err(closed(e, &place)),
            Err(_) if hides => return Ok(Within::Hidden),
            Err(_) => return Ok(Within::Below),
            Ok(meta) if is_whiteout(&meta) => return Ok(Within::Hidden),
            Ok(meta) if n + 1 == count => return Ok(Within::Found(place, meta)),
            Ok(meta) if !meta.is_dir() => return Ok(Within::Hidden),
            Ok(_) => hides |= is_opaque(&place),
        }
    }
    Ok(Within::Below)
}

fn closed(e: std::io::Error, place: &Path) -> Error {
    Error::from(e).at(place.display().to_string()).or_else_by(WayOut::AsOwner)
}

/// The file that a path of the joined tree leads to, through links.
fn resolve(lower: &[PathBuf], path: &Path) -> Result<Option<PathBuf>> {
    let parts = |path: &Path| -> Vec<OsString> {
        path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
    };
    let (mut left, mut at, mut links) = (parts(path), PathBuf::new(), 0);
    let mut found = None;
    while let Some(part) = left.pop() {
        match Path::new(&part).components().next() {
            Some(Component::RootDir) => at = PathBuf::new(),
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::Normal(name)) => {
                let Some((place, meta)) = find(lower, &at.join(name))? else { return Ok(None) };
                if meta.is_symlink() {
                    links += 1;
                    left.extend(parts(&std::fs::read_link(&place).named(&place)?));
                } else {
                    at.push(name);
                }
                found = Some(place).filter(|_| meta.is_file());
            }
            _ => {}
        }
        if links > LINKS {
            return Ok(None);
        }
    }
    Ok(found)
}

/// The text of a small file of the joined tree; None where there is none.
///
/// # Errors
/// It may not be looked at, or is larger than that.
pub fn read(lower: &[PathBuf], path: &Path, largest: u64) -> Result<Option<String>> {
    let Some(place) = resolve(lower, path)? else { return Ok(None) };
    let mut options = std::fs::OpenOptions::new();
    let nofollow = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file =
        options.read(true).custom_flags(nofollow).open(&place).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => closed(e, &place),
            _ => Error::from(e).at(place.display().to_string()),
        })?;
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).named(&place)?;
    if bytes.len() as u64 > largest {
        return Err(
            Error::yours(format!("more than {largest} bytes")).at(path.display().to_string())
        );
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_layer_to_layer_and_never_out() {
        let dir = std::env::temp_dir().join(format!("learnc-joined-{}", std::process::id()));
        let (low, high) = (dir.join("low"), dir.join("high"));
        std::fs::create_dir_all(low.join("usr/etc")).unwrap();
        std::fs::create_dir_all(high.join("etc")).unwrap();
        std::fs::write(low.join("usr/etc/passwd"), "low").unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, high.join(name)).unwrap();
        };
        link("../../../../../usr/etc/passwd", "etc/passwd");
        link("/usr/etc/passwd", "etc/absolute");
        link("loop", "etc/loop");
        link("/proc/version", "etc/out");
        let layers = [high, low];
        let text = |path: &str| read(&layers, Path::new(path), 100).unwrap();
        assert_eq!(text("/etc/passwd").as_deref(), Some("low"));
        assert_eq!(text("/etc/absolute").as_deref(), Some("low"));
        for path in ["/etc/loop", "/etc/out", "/etc", "/nothing", "/usr/etc/passwd/x"] {
            assert_eq!(text(path), None, "{path}");
        }
        assert!(read(&layers, Path::new("/etc/passwd"), 2).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
