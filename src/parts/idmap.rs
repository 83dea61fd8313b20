//! Id maps: what "root" means inside a user namespace.
//!
//! user_namespaces(7), newuidmap(1); OCI `linux.uidMappings`, `linux.gidMappings`. A new user
//! namespace has no ids at all: every id shows as 65534. Maps are written from outside, once, into
//! `/proc/PID/uid_map` and `gid_map`. Root of the parent namespace may map anything. Anybody else
//! may map one id, their own, and must first give up setgroups(2) for the namespace, because
//! otherwise dropping a group could *add* access. To map more, Debian's `newuidmap`/`newgidmap`
//! (setuid programs) write the ranges of /etc/subuid and /etc/subgid for the user.
//!
//! The container waits meanwhile: until the maps are there it has no id to be.

use std::path::Path;

use oci_spec::runtime::LinuxIdMapping;

use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::event::Asked;
use crate::sys::{At, Kernel, Pid, Setgroups, Setresgid, Setresuid, write_file};

/// One line of a map: `size` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    pub inside: u32,
    pub outside: u32,
    pub size: u32,
}

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum IdMap {
    /// Writes the map of user ids: directly, or with the setuid helper.
    Uids { map: Vec<Range>, helper: Option<String> },
    /// Writes the map of group ids; first the word `deny` where the kernel asks for it.
    Gids { map: Vec<Range>, helper: Option<String>, deny: bool },
    /// Becomes id 0 of the new namespace.
    BecomeRoot { groups: bool },
}

/// How the maps get written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Maps {
    pub uids: Vec<Range>,
    pub gids: Vec<Range>,
    /// Paths of newuidmap and newgidmap, where they have to do it.
    pub helpers: Option<(String, String)>,
    /// setgroups(2) is given up: an unprivileged map of one id.
    pub deny: bool,
}

/// The config's ranges.
pub fn ranges(mappings: &[LinuxIdMapping]) -> Vec<Range> {
    let range = |m: &LinuxIdMapping| Range {
        inside: m.container_id(),
        outside: m.host_id(),
        size: m.size(),
    };
    mappings.iter().map(range).collect()
}

/// What is behind an id of the container, on the host.
pub fn outside(map: &[Range], inside: u32) -> Option<u32> {
    let range = map.iter().find(|r| inside >= r.inside && inside - r.inside < r.size)?;
    range.outside.checked_add(inside - range.inside)
}

impl Maps {
    /// The runtime's two steps and the container's one. `asked` says whose idea the namespace was; None
    /// that the config has the maps.
    pub fn steps(&self, asked: Option<&Asked>) -> Vec<Step<IdMap>> {
        let asked = |field: &str| asked.cloned().unwrap_or_else(|| config(field));
        let helpers = self.helpers.clone().unzip();
        let uids = IdMap::Uids { map: self.uids.clone(), helper: helpers.0 };
        let gids = IdMap::Gids { map: self.gids.clone(), helper: helpers.1, deny: self.deny };
        let root = IdMap::BecomeRoot { groups: !self.deny };
        vec![
            Step::runtime("uid_map", asked("linux.uidMappings"), uids),
            Step::runtime("gid_map", asked("linux.gidMappings"), gids),
            Step::container("become_root", asked("linux.uidMappings"), root),
        ]
    }
}

/// Performs one step. `pid` is the container's first process.
pub fn perform(k: &Kernel, what: &IdMap, pid: Pid) -> Result<()> {
    match what {
        IdMap::Uids { map, helper: None } => write_map(k, pid, "uid_map", map),
        IdMap::Gids { map, helper: None, deny } => {
            if *deny {
                write_file(k, At::CWD, &proc_file(pid, "setgroups"), "deny")?;
            }
            write_map(k, pid, "gid_map", map)
        }
        IdMap::Uids { map, helper: Some(program) }
        | IdMap::Gids { map, helper: Some(program), .. } => run_helper(k, program, pid, map),
        IdMap::BecomeRoot { groups } => {
            if *groups {
                k.call(Setgroups(&[]))?;
            }
            k.call(Setresgid(0))?;
            k.call(Setresuid(0))
        }
    }
}

fn proc_file(pid: Pid, name: &str) -> std::path::PathBuf {
    match pid {
        Pid(0) => format!("/proc/<pid of the container>/{name}").into(),
        Pid(pid) => format!("/proc/{pid}/{name}").into(),
    }
}

/// All lines in one write: the kernel takes a map once and whole.
fn write_map(k: &Kernel, pid: Pid, name: &str, map: &[Range]) -> Result<()> {
    let lines: Vec<String> =
        map.iter().map(|r| format!("{} {} {}", r.inside, r.outside, r.size)).collect();
    write_file(k, At::CWD, &proc_file(pid, name), &lines.join("\n"))
}

fn run_helper(k: &Kernel, program: &str, pid: Pid, map: &[Range]) -> Result<()> {
    let mut args = vec![pid.0.to_string()];
    for range in map {
        args.extend([range.inside, range.outside, range.size].map(|n| n.to_string()));
    }
    match crate::sys::run(k, Path::new(program), &args, &[])? {
        0 => Ok(()),
        status => Err(Error::yours(format!("{program} ended with status {status}"))),
    }
}

pub fn by_hand(what: &IdMap) -> Vec<String> {
    let lines = |map: &[Range]| {
        let lines: Vec<_> =
            map.iter().map(|r| format!("{} {} {}", r.inside, r.outside, r.size)).collect();
        lines.join("\\n")
    };
    let plain = |map: &[Range]| lines(map).replace("\\n", " ");
    match what {
        IdMap::Uids { map, helper: None } => {
            vec![format!("printf '{}' > /proc/$PID/uid_map", lines(map))]
        }
        IdMap::Gids { map, helper: None, deny } => {
            let write = format!("printf '{}' > /proc/$PID/gid_map", lines(map));
            let deny = deny.then(|| "echo deny > /proc/$PID/setgroups".to_owned());
            deny.into_iter().chain([write]).collect()
        }
        IdMap::Uids { map, .. } => vec![format!("newuidmap $PID {}", plain(map))],
        IdMap::Gids { map, .. } => vec![format!("newgidmap $PID {}", plain(map))],
        IdMap::BecomeRoot { groups: true } => {
            vec!["setpriv --reuid=0 --regid=0 --clear-groups --inh-caps=-all".into()]
        }
        IdMap::BecomeRoot { groups: false } => {
            vec!["setpriv --reuid=0 --regid=0 --keep-groups --inh-caps=-all".into()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_looked_up_in_its_range() {
        let map = [
            Range { inside: 0, outside: 1000, size: 1 },
            Range { inside: 1, outside: 100_000, size: 65_536 },
        ];
        assert_eq!(outside(&map, 0), Some(1000));
        assert_eq!(outside(&map, 33), Some(100_032));
        assert_eq!(outside(&map, 70_000), None);
    }
}
