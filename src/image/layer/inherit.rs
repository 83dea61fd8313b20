//! Directories that a layer only implies, in a tree of its own.
//!
//! A layer with `etc/motd` and without `etc` says nothing of `etc`. Its own tree needs that directory all
//! the same, and overlayfs shows the topmost one: so it has to look like the one below, which is found
//! where overlayfs would find it, from the next lower layer down, until something hides what is lower.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::meta::{Meta, is_of_overlay};
use super::place::{CHARACTER, DIRECTORY, KIND, LINK};
use super::tar::Time;
use super::unpack::open_directory;
use super::{How, Tally};
use crate::error::{Error, Result, WayOut};
use crate::sys::{Kernel, attributes::attributes};

/// What is found in a lower layer.
enum Found {
    Directory(Meta),
    /// Nothing, and lower layers may be asked.
    Nothing,
    /// It hides what is lower, if anything is.
    End,
}

/// Gives the directory `path` of the layer in `dir` what the layers below say of it.
pub fn inherit(k: &Kernel, dir: &Path, path: &Path, lower: &[&Path], how: &How) -> Result<()> {
    for layer in lower.iter().rev() {
        match find(layer, path)? {
            Found::Directory(meta) => {
                let fd = open_directory(k, &dir.join(path))?;
                return meta.of_directory(k, &fd, how, &mut Tally::default());
            }
            Found::Nothing => {}
            Found::End => break,
        }
    }
    Ok(())
}

/// Looks for a directory, name by name, so that no link of the layer is ever followed.
fn find(layer: &Path, path: &Path) -> Result<Found> {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    let mut hides = false;
    for part in parts {
        let at = layer.join(part);
        let Ok(stat) = std::fs::symlink_metadata(&at) else {
            return Ok(if hides { Found::End } else { Found::Nothing });
        };
        match stat.mode() & KIND {
            DIRECTORY => {}
            CHARACTER if stat.rdev() == 0 => return Ok(Found::End),
            LINK => {
                let text = format!("{} is a link in a lower layer", part.display());
                return Err(Error::yours(text)
                    .because("a layer has files below it, which only a single tree can have")
                    .try_this("learnc unpack")
                    .or_else_by(WayOut::OneTree));
            }
            _ => return Ok(Found::End),
        }
        let xattrs = attributes(&at)?;
        hides |= xattrs.iter().any(|(name, value)| is_opaque(name) && value == b"y");
        if part == path {
            let own = xattrs.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value));
            let xattrs = own.filter(|(name, _)| !is_of_overlay(name)).collect();
            let modified = Time { seconds: stat.mtime(), nanos: stat.mtime_nsec() as u32 };
            return Ok(Found::Directory(Meta {
                mode: stat.mode() & 0o7777,
                owner: (stat.uid(), stat.gid()),
                modified: Some(modified),
                xattrs,
            }));
        }
    }
    Ok(Found::Nothing)
}

fn is_opaque(name: &OsStr) -> bool {
    name == "trusted.overlay.opaque" || name == "user.overlay.opaque"
}
