//! What no file tells is tried: user namespaces, by making one.
//!
//! A child is cloned into a new user namespace, does one thing there that a container begins with,
//! and ends. Nothing of it stays: the namespaces end with the child, and a mount made in there is in
//! no other mount table. Only `learnc doctor` does this; a plan is made from what is read.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::error::Result;
use crate::event::errno_name;
use crate::facts::machine::{Attempt, Tried};
use crate::sys::{At, Clone3, Fork, Kernel, Mount, Openat, Sethostname, Syscall, Write, plumbing};

/// Tries what a container without root begins with.
pub fn all(k: &Kernel, uid: u32) -> Result<Tried> {
    let user = CloneFlags::CLONE_NEWUSER;
    let inside = user | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let map = format!("0 {uid} 1");
    let proc = Mount {
        source: Some("proc".into()),
        target: "/proc".into(),
        fstype: Some("proc"),
        flags: MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        data: None,
    };
    let mounted = format!("mount({})", proc.args().to_text());
    let name = Sethostname { name: "learnc" };
    let named = format!("{}({})", Sethostname::NAME, name.args().to_text());
    Ok(Tried {
        user_namespace: one(k, user, "", &|| Ok(()))?,
        own_id: one(k, user, &format!("write({map:?}) to uid_map"), &|| write_map(&map))?,
        hostname: one(k, user | CloneFlags::CLONE_NEWUTS, &named, &|| name.perform())?,
        fresh_proc: one(k, inside, &mounted, &|| proc.perform())?,
    })
}

/// The map of the process that writes it: its own id becomes root.
fn write_map(map: &str) -> Result<(), Errno> {
    let path = "/proc/self/uid_map".as_ref();
    let fd = Openat { dir: At::CWD, path, flags: OFlag::O_WRONLY, mode: 0 }.perform()?;
    Write { fd: &fd, data: map.as_bytes() }.perform().map(drop)
}

/// One child in new namespaces, which does one thing there: what the kernel said to the clone, or
/// else to that.
fn one(
    k: &Kernel,
    flags: CloneFlags,
    inside: &str,
    act: &dyn Fn() -> Result<(), Errno>,
) -> Result<Attempt> {
    let clone = Clone3 { flags, into_cgroup: None };
    let outside = format!("{}({})", Clone3::NAME, clone.args().to_text());
    let errno = match k.call(clone) {
        Err(e) => return Ok(Attempt { call: outside, errno: e.errno().map(errno_name) }),
        Ok(Fork::Child) => plumbing::leave(act().map_or_else(|errno| errno as i32, |()| 0)),
        Ok(Fork::Parent(pid)) => match plumbing::reap(pid.0)? {
            0 => None,
            number => Some(Errno::from_raw(number)),
        },
    };
    let call = if inside.is_empty() { outside } else { inside.to_owned() };
    Ok(Attempt { call, errno: errno.map(errno_name) })
}
