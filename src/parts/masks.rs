//! Masks: parts of /proc and /sys that speak of the whole machine, hidden or made read-only.
//!
//! OCI `linux.maskedPaths`, `linux.readonlyPaths`. /proc has one content for the pid namespace, but
//! /proc/kcore or /proc/sysrq-trigger are the machine's. A masked file gets /dev/null bound over
//! it, a masked directory an empty read-only tmpfs. A path that is not there needs no mask.
//!
//! The null that covers a secret must be *the* null: an image could have put something else there
//! (CVE-2025-31133). It is opened on the host's side and its number checked, 1:3.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;

use super::step::{Step, config};
use super::{mounts, rootfs};
use crate::error::{Error, Result};
use crate::sys::below;
use crate::sys::{At, Fd, Kernel, Mount, Openat, Place, look};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Mask {
    Hide(Vec<PathBuf>),
    ReadOnly(Vec<PathBuf>),
}

/// One step for each of the two lists that is not empty.
pub fn steps(masked: &[String], readonly: &[String]) -> Result<Vec<Step<Mask>>> {
    let read = |list: &[String], field: &str| {
        list.iter()
            .enumerate()
            .map(|(i, p)| below::normal(Path::new(p)).map_err(|e| e.at(format!("{field}[{i}]"))))
            .collect::<Result<Vec<_>>>()
    };
    let mut steps = Vec::new();
    if !masked.is_empty() {
        let act = Mask::Hide(read(masked, "linux.maskedPaths")?);
        steps.push(Step::container("masked_paths", config("linux.maskedPaths"), act));
    }
    if !readonly.is_empty() {
        let act = Mask::ReadOnly(read(readonly, "linux.readonlyPaths")?);
        steps.push(Step::container("readonly_paths", config("linux.readonlyPaths"), act));
    }
    Ok(steps)
}

/// Performs one step.
pub fn perform(k: &Kernel, what: &Mask, root: &Fd) -> Result<()> {
    match what {
        Mask::Hide(paths) => {
            let null = open_null(k)?;
            paths.iter().try_for_each(|path| match there(k, root, path)? {
                Some(target) => hide(k, &null, &target),
                None => Ok(()),
            })
        }
        Mask::ReadOnly(paths) => paths.iter().try_for_each(|path| match there(k, root, path)? {
            Some(target) => read_only(k, root, path, &target),
            None => Ok(()),
        }),
    }
}

fn there(k: &Kernel, root: &Fd, path: &Path) -> Result<Option<Fd>> {
    let absent = [Errno::ENOENT, Errno::ENOTDIR, Errno::EACCES];
    match below::open(k, root, path, &absent) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if e.errno().is_some_and(|errno| absent.contains(&errno)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_null(k: &Kernel) -> Result<Fd> {
    let path = Path::new("/dev/null");
    let null = k.call(Openat { dir: At::CWD, path, flags: OFlag::O_PATH, mode: 0 })?;
    if !k.pretends() && look::stat(&null)?.st_rdev != nix::sys::stat::makedev(1, 3) {
        return Err(Error::yours("this host's /dev/null is not device 1:3")
            .because("what is masked would be covered with something that can be read"));
    }
    Ok(null)
}

fn hide(k: &Kernel, null: &Fd, target: &Fd) -> Result<()> {
    let is_directory = !k.pretends() && look::is_open_dir(target)?;
    let (source, fstype, flags) = match is_directory {
        true => ("tmpfs".into(), Some("tmpfs"), MsFlags::MS_RDONLY),
        false => (Place::Fd(null), None, MsFlags::MS_BIND),
    };
    let target = Place::Fd(target);
    k.call(Mount { source: Some(source), target, fstype, flags, data: None })
}

fn read_only(k: &Kernel, root: &Fd, path: &Path, target: &Fd) -> Result<()> {
    let place = Place::Fd(target);
    let (source, flags) = (Some(place), MsFlags::MS_BIND | MsFlags::MS_REC);
    k.call(Mount { source, target: place, fstype: None, flags, data: None })?;
    let bound = below::open(k, root, path, &[])?;
    let kept = if k.pretends() { MsFlags::empty() } else { rootfs::kept_flags(&bound)? };
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept;
    mounts::change(k, &bound, flags)
}

pub fn by_hand(what: &Mask) -> Vec<String> {
    let place = |path: &Path| format!("\"$ROOT\"{}", crate::args::shell(path));
    match what {
        Mask::Hide(paths) => paths
            .iter()
            .map(|path| {
                let at = place(path);
                format!(
                    "if [ -d {at} ]; then mount -t tmpfs -o ro tmpfs {at}; \
                     elif [ -e {at} ]; then mount --bind /dev/null {at}; fi"
                )
            })
            .collect(),
        Mask::ReadOnly(paths) => paths
            .iter()
            .map(|path| {
                let at = place(path);
                format!(
                    "if [ -e {at} ]; then mount --rbind {at} {at}; \
                     mount -o remount,bind,ro {at}; fi"
                )
            })
            .collect(),
    }
}
