//! The root filesystem: a private mount table, a new `/`, and no way back to the old one.
//!
//! mount_namespaces(7), pivot_root(2), chroot(2); OCI `root`, `linux.rootfsPropagation`.
//!
//! In a mount namespace the order is: cut the copied mount table's ties to the host (a copy of a
//! *shared* mount still tells its peers of new mounts); bind the new root on itself, since
//! pivot_root wants a mount point; build below it; then swap. The swap itself is the trick of
//! runc and LXC: with the new root as current directory, `pivot_root(".", ".")` stacks the old root
//! on top of the new one, and one detached umount of `.` takes it away. No directory for the old
//! root has to exist, and no descriptor of it is left.
//!
//! Without a mount namespace there is only chroot, which changes where `/` starts for this process
//! and nothing else. Everything is held by the root's descriptor, never by its path.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags};
use nix::sys::statvfs::FsFlags;

use crate::error::{Error, Result};
use crate::sys::{
    At, Chdir, Chroot, Fchdir, Fd, Kernel, Mount, Openat, PivotRoot, Place, Umount2, look,
};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Rootfs {
    /// Sets how the copied mount table hears of the host's mounts, and the host of ours.
    Propagation { flags: MsFlags },
    /// Makes the new root a mount point by binding it on itself, and holds it.
    Bind { path: PathBuf },
    /// Holds the new root, where there is no mount namespace to bind in.
    Hold { path: PathBuf },
    /// Swaps the roots and lets go of the old one.
    Pivot,
    /// Moves the new root's mount onto `/`, then chroots: `--no-pivot`, for a root on initramfs.
    Move,
    /// Changes where `/` starts for this process.
    Chroot,
    /// Makes `/` read-only.
    ReadOnly,
    /// Sets the final propagation of `/`, which the build needed to be otherwise.
    Final { flags: MsFlags },
}

/// `linux.rootfsPropagation` as mount flags.
pub fn propagation(name: &str) -> Result<MsFlags> {
    let flag = match name.trim_start_matches('r') {
        "private" => MsFlags::MS_PRIVATE,
        "slave" => MsFlags::MS_SLAVE,
        "shared" => MsFlags::MS_SHARED,
        "unbindable" => MsFlags::MS_UNBINDABLE,
        _ => {
            let text = format!("{name:?} is no propagation");
            return Err(Error::yours(text).at("linux.rootfsPropagation").try_this(
                "one of private, rprivate, slave, rslave, shared, rshared, unbindable, runbindable",
            ));
        }
    };
    Ok(if name.starts_with('r') { flag | MsFlags::MS_REC } else { flag })
}

/// Performs one step. `root` is the descriptor that the first of them leaves behind.
pub fn perform(k: &Kernel, what: &Rootfs, root: &mut Option<Fd>) -> Result<()> {
    match what {
        Rootfs::Propagation { flags } | Rootfs::Final { flags } => set_flags(k, "/", *flags),
        Rootfs::Bind { path } => {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            let place = Place::Path(path);
            let (source, fstype, data) = (Some(place), None, None);
            k.call(Mount { source, target: place, fstype, flags, data })
                .map_err(|e| not_there(e, path))?;
            *root = Some(hold(k, path)?);
            Ok(())
        }
        Rootfs::Hold { path } => {
            *root = Some(hold(k, path)?);
            Ok(())
        }
        Rootfs::Pivot => pivot(k, held(root)?),
        Rootfs::Move => move_root(k, held(root)?),
        Rootfs::Chroot => {
            k.call(Fchdir { fd: held(root)? })?;
            chroot_here(k)
        }
        Rootfs::ReadOnly => read_only(k),
    }
}

pub(super) fn hold(k: &Kernel, path: &Path) -> Result<Fd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    k.call(Openat { dir: At::CWD, path, flags, mode: 0 }).map_err(|e| not_there(e, path))
}

/// The first thing that a config from elsewhere gets wrong.
fn not_there(error: Error, path: &Path) -> Error {
    let lacks = match error.errno() {
        Some(Errno::ENOENT) => "There is no folder",
        Some(Errno::ENOTDIR) => "It is no folder:",
        _ => return error.at("root.path"),
    };
    error
        .at("root.path")
        .because(format!("{lacks} {}.", path.display()))
        .try_this("the folder with the root filesystem; a relative path starts at the bundle")
}

/// The container's root, which every step after the first builds on.
pub fn held(root: &Option<Fd>) -> Result<&Fd> {
    root.as_ref().ok_or_else(|| Error::yours("the plan uses the root before it holds it"))
}

fn set_flags(k: &Kernel, target: &str, flags: MsFlags) -> Result<()> {
    let target = target.into();
    k.call(Mount { source: None, target, fstype: None, flags, data: None })
}

// ANCHOR: pivot
fn pivot(k: &Kernel, root: &Fd) -> Result<()> {
    let here = Path::new(".");
    k.call(Fchdir { fd: root })?;
    k.call(PivotRoot { new_root: here, put_old: here })?;
    k.call(Umount2 { target: Place::Path(here), flags: MntFlags::MNT_DETACH })?;
    k.call(Chdir { path: Path::new("/") })
}
// ANCHOR_END: pivot

fn move_root(k: &Kernel, root: &Fd) -> Result<()> {
    k.call(Fchdir { fd: root })?;
    let (source, target) = (Some(".".into()), "/".into());
    k.call(Mount { source, target, fstype: None, flags: MsFlags::MS_MOVE, data: None })?;
    chroot_here(k)
}

fn chroot_here(k: &Kernel) -> Result<()> {
    k.call(Chroot { path: Path::new(".") })?;
    k.call(Chdir { path: Path::new("/") })
}

/// A remount replaces all flags, and in a user namespace those that the host set are locked: they
/// must be said again (mount_namespaces(7)).
fn read_only(k: &Kernel) -> Result<()> {
    let root = k.call(Openat {
        dir: At::CWD,
        path: Path::new("/"),
        flags: OFlag::O_PATH | OFlag::O_DIRECTORY,
        mode: 0,
    })?;
    let kept = if k.pretends() { MsFlags::empty() } else { kept_flags(&root)? };
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept;
    set_flags(k, "/", flags)
}

/// The flags that a mount has and a remount must keep.
pub fn kept_flags(fd: &Fd) -> Result<MsFlags> {
    let now = look::mount_flags(fd)?;
    let pairs = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
    ];
    Ok(pairs.iter().filter(|(is, _)| now.contains(*is)).map(|(_, keep)| *keep).collect())
}

/// mount(8)'s word for a change of propagation: `mount --make-rslave /`.
pub fn spread_by_hand(flags: MsFlags, place: &str) -> String {
    let r = if flags.contains(MsFlags::MS_REC) { "r" } else { "" };
    let kinds = [
        (MsFlags::MS_PRIVATE, "private"),
        (MsFlags::MS_SLAVE, "slave"),
        (MsFlags::MS_SHARED, "shared"),
        (MsFlags::MS_UNBINDABLE, "unbindable"),
    ];
    let kind = kinds.iter().find(|(f, _)| flags.contains(*f)).map_or("private", |(_, w)| w);
    format!("mount --make-{r}{kind} {place}")
}

pub fn by_hand(what: &Rootfs) -> Vec<String> {
    match what {
        Rootfs::Propagation { flags } | Rootfs::Final { flags } => {
            vec![spread_by_hand(*flags, "/")]
        }
        Rootfs::Bind { .. } => vec!["mount --rbind \"$ROOT\" \"$ROOT\"".into()],
        Rootfs::Hold { .. } => vec!["cd \"$ROOT\"".into()],
        Rootfs::Pivot => vec!["cd \"$ROOT\"".into(), "pivot_root . .".into(), "umount -l .".into()],
        Rootfs::Move => {
            vec!["cd \"$ROOT\"".into(), "mount -n --move . /".into(), "chroot .".into()]
        }
        Rootfs::Chroot => vec!["chroot .".into()],
        Rootfs::ReadOnly => vec!["mount -o remount,bind,ro /".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_names_are_those_of_mount8() {
        assert_eq!(propagation("rslave").unwrap(), MsFlags::MS_SLAVE | MsFlags::MS_REC);
        assert_eq!(propagation("private").unwrap(), MsFlags::MS_PRIVATE);
        let error = propagation("sideways").unwrap_err().to_string();
        assert!(error.starts_with("linux.rootfsPropagation: \"sideways\""), "{error}");
    }
}
