//! The user: whom the program runs as.
//!
//! credentials(7), setresuid(2), setgroups(2), umask(2); OCI `process.user`. Groups first, then the
//! group id, then the user id: each of the earlier ones takes a privilege that the last one gives
//! up. Numbers, not names: /etc/passwd is the image's and the kernel has never read it.

use oci_spec::runtime as oci;

use super::idmap::{Range, outside};
use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::sys::{Kernel, Setgroups, Setresgid, Setresuid, Umask};

/// What setresuid(2) reads as -1.
const UNCHANGED: u32 = u32::MAX;

/// The identity of the container's program.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// None where the user namespace has given up setgroups(2).
    pub groups: Option<Vec<u32>>,
    pub umask: Option<u32>,
}

/// `maps` are those of a new user namespace, `deny` tells whether it gave up setgroups.
pub fn step(
    user: &oci::User,
    maps: Option<(&[Range], &[Range])>,
    deny: bool,
) -> Result<Step<User>> {
    let extra = user.additional_gids().clone().unwrap_or_default();
    let gids = extra.iter().map(|gid| (*gid, "process.user.additionalGids"));
    let ids = [(user.uid(), "process.user.uid"), (user.gid(), "process.user.gid")];
    if let Some((_, field)) = ids.into_iter().chain(gids).find(|(id, _)| *id == UNCHANGED) {
        return Err(Error::yours(format!("{UNCHANGED} is no id"))
            .at(field)
            .because("to setresuid(2) it is -1, \"leave it as it is\": the program would stay root")
            .try_this("an id below it"));
    }
    if let Some((uids, gids)) = maps {
        let check = |map: &[Range], id: u32, field: &str, maps: &str| match outside(map, id) {
            Some(_) => Ok(()),
            None => Err(Error::yours(format!("id {id} does not exist in the user namespace"))
                .at(field)
                .because(format!("no range of {maps} covers it"))
                .try_this(
                    "learnc doctor says how this user gets more ids; root, 0, is always one",
                )),
        };
        check(uids, user.uid(), "process.user.uid", "linux.uidMappings")?;
        check(gids, user.gid(), "process.user.gid", "linux.gidMappings")?;
        for gid in extra.iter().filter(|_| !deny) {
            check(gids, *gid, "process.user.additionalGids", "linux.gidMappings")?;
        }
    }
    if deny && !extra.is_empty() {
        return Err(Error::yours("more groups cannot be had")
            .at("process.user.additionalGids")
            .because("an unprivileged map of one id gives up setgroups(2)")
            .try_this("apt-get install uidmap, and ranges in /etc/subuid and /etc/subgid"));
    }
    let groups = (!deny).then_some(extra);
    let user = User { uid: user.uid(), gid: user.gid(), groups, umask: user.umask() };
    let about = format!("{}:{}", user.uid, user.gid);
    Ok(Step::container("user", config("process.user"), user).about(about))
}

pub fn perform(k: &Kernel, user: &User) -> Result<()> {
    if let Some(groups) = &user.groups {
        k.call(Setgroups(groups))?;
    }
    k.call(Setresgid(user.gid))?;
    k.call(Setresuid(user.uid))?;
    if let Some(umask) = user.umask {
        k.call(Umask(umask))?;
    }
    Ok(())
}

pub fn by_hand(user: &User) -> Vec<String> {
    let groups = match &user.groups {
        None => "--keep-groups".into(),
        Some(list) if list.is_empty() => "--clear-groups".into(),
        Some(list) => {
            let list: Vec<String> = list.iter().map(u32::to_string).collect();
            format!("--groups={}", list.join(","))
        }
    };
    let umask = user.umask.map(|mask| format!("umask {mask:04o}"));
    let ids = format!("setpriv --reuid={} --regid={} {groups}", user.uid, user.gid);
    umask.into_iter().chain([ids]).collect()
}
