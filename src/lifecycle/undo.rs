//! Undoing, one line of the [journal](super::journal) at a time.
//!
//! rmdir(2) on cgroups(7), kill(2), unlinkat(2). Whoever undoes may be another process than the one that
//! made the thing, at another time: an undo that finds it gone is content, and says that it did nothing.

use std::path::Path;

use nix::errno::Errno;

use super::journal::{Journal, Undo};
use crate::error::Result;
use crate::facts;
use crate::sys::{At, Kernel, Unlinkat, alive, copy, look, mapped, write_file};

/// Undoes one thing. Content when it is gone already: then the answer is false.
pub fn undo(k: &Kernel, what: &Undo) -> Result<bool> {
    match what {
        Undo::RemoveCgroup(path) => remove_cgroup(k, path),
        Undo::LeaveCgroup(path) => {
            let others = [Errno::ENOENT, Errno::EBUSY, Errno::ENOTEMPTY];
            let call = Unlinkat { dir: At::CWD, path, directory: true };
            match k.ask(call, &others) {
                Err(e) if e.errno().is_some_and(|errno| others.contains(&errno)) => Ok(false),
                other => other.map(|()| true),
            }
        }
        Undo::RemoveFile(path) => {
            let call = Unlinkat { dir: At::CWD, path, directory: false };
            match k.ask(call, &[Errno::ENOENT, Errno::EROFS]) {
                // Where nothing can be written, that is the answer for what never was there, too.
                Err(e) if e.errno() == Some(Errno::EROFS) && !look::exists(path) => Ok(false),
                other => unless_gone(other, Errno::ENOENT),
            }
        }
        Undo::LeaveLeaf { own, leaf, handed } => leave_leaf(k, own, leaf, handed),
        Undo::Kill { pid, start_time } => kill_and_wait(k, *pid, *start_time),
        Undo::KillInRoot(path) => kill_in_root(k, path),
        Undo::RemoveTree(path) => remove_tree(k, path),
    }
}

/// A container of a user without root may have given files to ids that only its namespace let it have: there
/// the user is root of them still.
fn remove_tree(k: &Kernel, path: &Path) -> Result<bool> {
    let remove = |k: &Kernel| k.bulk(path, |k| copy::remove_tree(k, path));
    match remove(k) {
        Err(e) if matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM)) => {
            match facts::read().own_maps() {
                Some(maps) => mapped::as_root(k, &maps, remove),
                None => Err(e),
            }
        }
        answer => answer,
    }
}

fn unless_gone(answer: Result<()>, gone: Errno) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(e) if e.errno() == Some(gone) => Ok(false),
        Err(e) => Err(e),
    }
}

fn kill_and_wait(k: &Kernel, pid: i32, start_time: u64) -> Result<bool> {
    if !alive::lives(pid, start_time) {
        return Ok(false);
    }
    // It may end, and be somebody else's number, at any moment until it is held.
    let Some(end) = crate::sys::plumbing::Ending::if_there(pid)? else { return Ok(false) };
    if !alive::lives(pid, start_time) {
        return Ok(false);
    }
    let call = crate::sys::Kill { pid: crate::sys::Pid(pid), signal: 9 };
    let killed = unless_gone(k.ask(call, &[Errno::ESRCH]), Errno::ESRCH)?;
    end.wait()?;
    Ok(killed)
}

/// A cgroup can be removed when its last process has left, which on v1 and v2 is a moment after
/// the process was reaped. v2 tells when, in `cgroup.events`; on v1 the kernel is asked again.
fn remove_cgroup(k: &Kernel, path: &Path) -> Result<bool> {
    let mut patience = 200;
    loop {
        let call = Unlinkat { dir: At::CWD, path, directory: true };
        match k.ask(call, &[Errno::ENOENT, Errno::EBUSY]) {
            Err(e) if e.errno() == Some(Errno::EBUSY) && patience > 0 => {
                remove_children(k, path)?;
                kill_all(k, path)?;
                crate::sys::plumbing::wait_for_cgroup(path)?;
                patience -= 1;
            }
            other => return unless_gone(other, Errno::ENOENT),
        }
    }
}

/// The way out of a leaf: controllers first, since a cgroup that hands some down takes no process.
/// While somebody else's container is beside the leaf it stays; systemd removes it with the scope.
fn leave_leaf(k: &Kernel, own: &Path, leaf: &Path, handed: &str) -> Result<bool> {
    let beside = std::fs::read_dir(own).into_iter().flatten().flatten();
    let others = beside.filter(|entry| entry.path().is_dir() && entry.path() != leaf).count();
    if !leaf.is_dir() || others > 0 {
        return Ok(false);
    }
    let no_entry = || crate::error::ignore(Errno::ENOENT);
    write_file(k, At::CWD, &own.join("cgroup.subtree_control"), handed).or_else(no_entry())?;
    let procs = look::read_if_there(leaf.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines() {
        let gone = crate::error::ignore(Errno::ESRCH);
        write_file(k, At::CWD, &own.join("cgroup.procs"), pid).or_else(gone)?;
    }
    let call = Unlinkat { dir: At::CWD, path: leaf, directory: true };
    unless_gone(k.ask(call, &[Errno::ENOENT]), Errno::ENOENT)
}

/// Cgroups that the container made below its own.
fn remove_children(k: &Kernel, path: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    for entry in entries.filter_map(|e| e.ok()).filter(|e| e.path().is_dir()) {
        remove_cgroup(k, &entry.path())?;
    }
    Ok(())
}

/// Processes that outlived the first one, where there was no pid namespace to end them.
fn kill_all(k: &Kernel, path: &Path) -> Result<()> {
    let procs = look::read_if_there(path.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines().filter_map(|l| l.parse().ok()).filter(|pid| *pid != 0) {
        let call = crate::sys::Kill { pid: crate::sys::Pid(pid), signal: 9 };
        k.ask(call, &[Errno::ESRCH]).or_else(crate::error::ignore(Errno::ESRCH))?;
    }
    Ok(())
}

/// One that is killed may have forked a moment before: until a look finds none.
fn kill_in_root(k: &Kernel, root: &Path) -> Result<bool> {
    let mut killed = false;
    for _ in 0..100 {
        let found = look::processes_with_root(root);
        if found.is_empty() {
            break;
        }
        for pid in found {
            let call = crate::sys::Kill { pid: crate::sys::Pid(pid), signal: 9 };
            k.ask(call, &[Errno::ESRCH]).or_else(crate::error::ignore(Errno::ESRCH))?;
            killed = true;
        }
    }
    Ok(killed)
}

/// Removes a state folder: what is in it, then itself. The journal goes last, so that a kill in
/// between loses nothing.
pub fn remove_state(k: &Kernel, dir: &Path) -> Result<()> {
    let gone = || crate::error::ignore(Errno::ENOENT);
    for name in ["state.json.new", "state.json", "config.json", "start.sock", Journal::FILE] {
        let path = &dir.join(name);
        if path.symlink_metadata().is_ok() {
            let call = Unlinkat { dir: At::CWD, path, directory: false };
            k.ask(call, &[Errno::ENOENT]).or_else(gone())?;
        }
    }
    let call = Unlinkat { dir: At::CWD, path: dir, directory: true };
    k.ask(call, &[Errno::ENOENT]).or_else(gone())
}
