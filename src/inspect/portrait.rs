//! The portrait of one process, taken from outside by its number.
//!
//! Everything is read from `/proc/PID` and the cgroup files that it leads to, but for what only the
//! process itself can tell ([`Own`]): how the machine is called in its UTS namespace (uname(2)), and
//! which namespaces it is in where nobody may ask from outside. That is so while a process has changed
//! its user and called no execve yet: it is not "dumpable" (prctl(2)), and an unprivileged runtime may
//! not follow its links.
//!
//! The kernel shows ids and id maps relative to the reader: `0 1000 1` in a `uid_map` means that 0
//! in there is what *the reader* calls 1000 (user_namespaces(7)).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::root::{self, Root};
use super::status::{self, Status};
use crate::facts;
use crate::sys::look::{self, Names};
use crate::sys::namespace::KINDS;

/// What a process is. What could not be read is absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Portrait {
    pub pid: i32,
    /// Kind to identity: `mnt` to `mnt:[4026531841]`.
    pub namespaces: BTreeMap<&'static str, String>,
    pub root: Option<Root>,
    pub status: Option<Status>,
    /// The lines of uid_map and gid_map: inside, outside, count.
    pub uid_map: Option<Vec<[u32; 3]>>,
    pub gid_map: Option<Vec<[u32; 3]>>,
    /// Host name and domain name.
    pub names: Option<Names>,
    /// Each tree's controllers, empty on v2, and the process's cgroup in it.
    pub cgroups: Vec<(String, String)>,
    /// The cgroup files that were asked for, as they read now.
    pub limits: BTreeMap<String, String>,
    /// The highest capability that this kernel knows.
    pub last_capability: Option<u32>,
}

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Own {
    pub names: Option<Names>,
    /// Kind and identity. Nothing where it has no /proc, or one that is not the kernel's.
    pub namespaces: Vec<(String, String)>,
}

/// The kinds of namespaces, by the names of their links.
fn links() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.link)
}

impl Own {
    /// Of the process that asks.
    pub fn now() -> Own {
        let real = look::is_procfs("/proc/self/ns");
        let link = |kind: &str| {
            let link = look::link(format!("/proc/self/ns/{kind}"))?;
            Some((kind.to_owned(), link.display().to_string()))
        };
        let namespaces = links().filter(|_| real).filter_map(link).collect();
        Own { names: look::names(), namespaces }
    }
}

impl Portrait {
    /// Adds what the process says of itself, where it was not to be seen from outside.
    pub fn complete(&mut self, own: &Own) {
        self.names.clone_from(&own.names);
        for kind in links() {
            let said = own.namespaces.iter().find(|(said, _)| said == kind);
            if let Some((_, link)) = said {
                self.namespaces.entry(kind).or_insert_with(|| link.clone());
            }
        }
    }

    /// Takes it. `limits` names the cgroup files to be read: `memory.max`.
    pub fn of(pid: i32, limits: &[String]) -> Portrait {
        let proc = |file: &str| format!("/proc/{pid}/{file}");
        let text = |file| look::read_if_there(proc(file));
        let link = |kind: &'static str| {
            let link = look::link(proc(&format!("ns/{kind}")))?;
            Some((kind, link.display().to_string()))
        };
        let last = look::read_if_there("/proc/sys/kernel/cap_last_cap");
        Portrait {
            pid,
            namespaces: links().filter_map(link).collect(),
            root: root::read(pid),
            status: status::read(pid),
            uid_map: text("uid_map").map(|text| id_map(&text)),
            gid_map: text("gid_map").map(|text| id_map(&text)),
            names: None,
            cgroups: cgroups(&text("cgroup").unwrap_or_default()),
            limits: read_limits(&facts::cgroup_directories(pid), limits),
            last_capability: last.and_then(|number| number.trim().parse().ok()),
        }
    }

    /// This process's own, with the names that it can ask for itself.
    pub fn of_this_process(limits: &[String]) -> Portrait {
        let mut portrait = Portrait::of(look::pid(), limits);
        portrait.complete(&Own::now());
        portrait
    }

    /// What execve decides: capabilities are computed anew by it (capabilities(7)), and a filter that
    /// is installed last is there only now. The file is readable until the process is reaped.
    pub fn after_execve(&mut self) {
        // execve lets go of what was announced a moment before it takes on its new credentials; the
        // kernel lets nobody open this file in between.
        let _ = look::read_if_there(format!("/proc/{}/auxv", self.pid));
        if let (Some(before), Some(now)) = (&mut self.status, status::read(self.pid)) {
            before.sets = now.sets;
            before.no_new_privs = now.no_new_privs;
            before.seccomp = now.seccomp;
        }
    }

    /// Its number in the innermost pid namespace.
    pub fn pid_inside(&self) -> Option<i32> {
        self.status.as_ref()?.pids.last().copied()
    }

    /// User and group id as it sees them itself; None where the kernel has no number for them there.
    pub fn ids_inside(&self) -> Option<(u32, u32)> {
        let status = self.status.as_ref()?;
        Some((
            inside(self.uid_map.as_ref()?, status.uid)?,
            inside(self.gid_map.as_ref()?, status.gid)?,
        ))
    }
}

fn inside(map: &[[u32; 3]], outside: u32) -> Option<u32> {
    let of_line = |&[first, from, count]: &[u32; 3]| {
        let offset = outside.checked_sub(from).filter(|offset| *offset < count)?;
        first.checked_add(offset)
    };
    map.iter().find_map(of_line)
}

fn id_map(text: &str) -> Vec<[u32; 3]> {
    let line = |line: &str| -> Option<[u32; 3]> {
        let numbers: Vec<u32> =
            line.split_ascii_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
        numbers.try_into().ok()
    };
    text.lines().filter_map(line).collect()
}

/// `8:pids:/a` is `("pids", "/a")`.
fn cgroups(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// Each file from the first of these directories that has it.
fn read_limits(dirs: &[PathBuf], names: &[String]) -> BTreeMap<String, String> {
    let read = |name: &String| {
        let text = dirs.iter().find_map(|dir| look::read_if_there(dir.join(name)))?;
        Some((name.clone(), text.trim().to_owned()))
    };
    names.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_a_portrait() {
        let portrait = Portrait::of_this_process(&[]);
        assert!(portrait.namespaces["mnt"].starts_with("mnt:["));
        assert_eq!(portrait.ids_inside(), Some(look::ids()));
        assert!(!portrait.names.unwrap().host.is_empty());
    }

    #[test]
    fn what_is_said_fills_what_was_not_seen_and_nothing_else() {
        let seen = [("mnt", "mnt:[1]".to_owned())].into();
        let mut portrait = Portrait { namespaces: seen, ..Portrait::default() };
        let said = [("mnt", "mnt:[2]"), ("net", "net:[3]"), ("odd", "x")];
        let namespaces = said.map(|(kind, link)| (kind.to_owned(), link.to_owned())).into();
        portrait.complete(&Own { names: None, namespaces });
        let both = [("mnt", "mnt:[1]".to_owned()), ("net", "net:[3]".to_owned())];
        assert_eq!(portrait.namespaces, both.into());
        assert_eq!(Own::now().namespaces.len(), Portrait::of(look::pid(), &[]).namespaces.len());
    }

    #[test]
    fn an_id_is_found_in_its_line_of_the_map() {
        let map = id_map("0 1000 1\n1 100000 65536\n");
        assert_eq!(inside(&map, 1000), Some(0));
        assert_eq!(inside(&map, 100_004), Some(5));
        assert_eq!(inside(&map, 1001), None);
        assert_eq!(inside(&map, 165_536), None);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_properties() {
        let nobody = Portrait::of(i32::MAX, &["pids.max".into()]);
        assert_eq!(nobody.root, None);
        assert!(nobody.namespaces.is_empty() && nobody.limits.is_empty());
    }
}
