//! Maps of ids, as a user namespace gets them: user_namespaces(7), newuidmap(1).
//!
//! Maps are written from outside, once, into `/proc/PID/uid_map` and `gid_map`. Root of the parent namespace may
//! map anything; anybody else their own id alone, or what the setuid programs `newuidmap` and `newgidmap` find for
//! them in /etc/subuid and /etc/subgid.

use std::path::{Path, PathBuf};

use super::{At, Kernel, Pid, write_file};
use crate::error::{Error, Result};

/// One line of a map: `size` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    pub inside: u32,
    pub outside: u32,
    pub size: u32,
}

/// How the maps get written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maps {
    pub uids: Vec<Range>,
    pub gids: Vec<Range>,
    /// Paths of newuidmap and newgidmap, where they have to do it.
    pub helpers: Option<(String, String)>,
    /// setgroups(2) is given up: an unprivileged map of one id.
    pub deny: bool,
}

/// What is behind an id of the container, on the host.
pub fn outside(map: &[Range], inside: u32) -> Option<u32> {
    let range = map.iter().find(|r| inside >= r.inside && inside - r.inside < r.size)?;
    range.outside.checked_add(inside - range.inside)
}

/// Writes the map of user ids of this process's new namespace: directly, or with the setuid helper.
pub fn write_uids(k: &Kernel, pid: Pid, map: &[Range], helper: Option<&str>) -> Result<()> {
    match helper {
        Some(program) => run_helper(k, program, pid, map),
        None => write_map(k, pid, "uid_map", map),
    }
}

/// Writes the map of group ids; first the word `deny` where the kernel asks for it.
pub fn write_gids(
    k: &Kernel,
    pid: Pid,
    map: &[Range],
    helper: Option<&str>,
    deny: bool,
) -> Result<()> {
    if let Some(program) = helper {
        return run_helper(k, program, pid, map);
    }
    if deny {
        write_file(k, At::CWD, &proc_file(pid, "setgroups"), "deny")?;
    }
    write_map(k, pid, "gid_map", map)
}

fn proc_file(pid: Pid, name: &str) -> PathBuf {
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
    match super::run(k, Path::new(program), &args, &[])? {
        0 => Ok(()),
        status => Err(Error::yours(format!("{program} ended with status {status}"))),
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
