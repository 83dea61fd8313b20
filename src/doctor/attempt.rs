//! What no file tells is tried: user namespaces, by making one.
//!
//! A child is cloned into a new user namespace, does one thing that takes a privilege there, and
//! ends. Nothing of it stays: the namespaces end with the child, and a mount made in there is in no
//! other mount table. Only `learnc doctor` does this; a plan is made from what is read.

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::error::Result;
use crate::event::errno_name;
use crate::facts::machine::{Attempt, Tried};
use crate::sys::{Clone3, Fork, Kernel, Mount, Syscall, Unshare, plumbing};

/// Tries what a container without root begins with.
pub fn all(k: &Kernel) -> Result<Tried> {
    let user = CloneFlags::CLONE_NEWUSER;
    let inside = user | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let proc = Mount {
        source: Some("proc".into()),
        target: "/proc".into(),
        fstype: Some("proc"),
        flags: MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        data: None,
    };
    Ok(Tried {
        user_namespace: one(k, user, None::<&Unshare>)?,
        fresh_proc: one(k, inside, Some(&proc))?,
    })
}

/// One child in new namespaces, which makes one call there: what the kernel said to the clone, or
/// else to that call.
fn one<S: Syscall>(k: &Kernel, flags: CloneFlags, inside: Option<&S>) -> Result<Attempt> {
    let clone = Clone3 { flags, into_cgroup: None };
    let outside = text(&clone);
    let errno = match k.call(clone) {
        Err(e) => return Ok(Attempt { call: outside, errno: e.errno().map(errno_name) }),
        Ok(Fork::Child) => {
            let answer = inside.map_or(Ok(()), |call| call.perform().map(drop));
            plumbing::leave(answer.map_or_else(|errno| errno as i32, |()| 0))
        }
        Ok(Fork::Parent(pid)) => match plumbing::reap(pid.0)? {
            0 => None,
            number => Some(Errno::from_raw(number)),
        },
    };
    Ok(Attempt { call: inside.map_or(outside, text), errno: errno.map(errno_name) })
}

fn text<S: Syscall>(call: &S) -> String {
    format!("{}({})", S::NAME, call.args().to_text())
}
