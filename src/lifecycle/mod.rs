//! A container's life as the OCI spec has it: creating, created, running, stopped.
//!
//! runtime.md, "State" and "Lifecycle". What is written down ([`Record`]) is only what cannot be
//! found out later. The status is not written: the kernel is asked. A first process that has not
//! called execve yet (PF_FORKNOEXEC) is *created*, one that has is *running*, one that is gone, a
//! zombie, or another process with the same number has *stopped*.

pub mod journal;
pub mod undo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Named, Result};
use crate::sys::{alive, home, look};

/// What state.json holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub oci_version: String,
    pub id: String,
    /// The first process, as the host counts.
    pub pid: i32,
    /// When it started, in clock ticks since boot: a pid alone may be used again.
    pub start_time: u64,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339, UTC.
    pub created: String,
    /// Who created it.
    pub owner: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroup: one directory on v2, one for each tree on v1.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

/// OCI's four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Stopped => "stopped",
        })
    }
}

/// A container that has a state folder.
#[derive(Debug, Clone)]
pub struct Container {
    pub dir: PathBuf,
    /// None while it is being created, or if that never finished.
    pub record: Option<Record>,
}

impl Container {
    pub fn id(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Asked of the kernel, at this moment.
    pub fn status(&self) -> Status {
        let Some(record) = &self.record else { return Status::Creating };
        if !alive::lives(record.pid, record.start_time) {
            return Status::Stopped;
        }
        match alive::has_not_execed(record.pid) {
            None => Status::Stopped,
            Some(true) => Status::Created,
            Some(false) => Status::Running,
        }
    }

    /// The process that makes it, or its root filesystem, at this moment.
    pub fn maker(&self) -> Option<i32> {
        match &self.record {
            None => journal::Journal::open(&self.dir).ok()?.maker(),
            Some(_) => None,
        }
    }

    /// The record, or why there is none.
    pub fn record(&self) -> Result<&Record> {
        self.record.as_ref().ok_or_else(|| {
            Error::yours(format!("container {} has not been created to the end", self.id()))
                .try_this(format!("learnc delete --force {}", self.id()))
        })
    }
}

/// Where the states of root's containers are, or of this user's.
pub fn default_root() -> PathBuf {
    let (uid, _) = look::ids();
    let runtime_dir = || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match uid {
        0 => PathBuf::from("/run/learnc"),
        _ => match runtime_dir().filter(|dir| look::is_writable(dir)) {
            Some(dir) => dir.join("learnc"),
            None => std::env::temp_dir().join(format!("learnc-{uid}")),
        },
    }
}

/// Where a run that brings no root filesystem gets one of its own: a folder that goes with it.
/// Not below the states: those are in memory, and often on a mount from which nothing may be run.
pub fn folder_of_run(id: &str) -> PathBuf {
    let data = home::data_folder().join("learnc");
    // Beside them are the images; no id has an `@`.
    if id == "images" { data.join("images@") } else { data.join(id) }
}

/// An id that is free, for a run that was given none: `run-4242`.
pub fn free_id(root: &Path, word: &str) -> String {
    let pid = look::pid();
    let names = std::iter::once(format!("{word}-{pid}"));
    let mut names = names.chain((2..).map(|n| format!("{word}-{pid}-{n}")));
    let free = |id: &String| !root.join(id).exists() && !folder_of_run(id).exists();
    names.find(free).unwrap_or_default()
}

/// An id is a file name: letters, digits and `_+-.`, as runc has it; not `.` or `..`.
pub fn check_id(id: &str) -> Result<()> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id == "." || id == ".." || id.len() > 200 || !id.chars().all(harmless) {
        return Err(Error::yours(format!("{id:?} cannot be a container's id"))
            .try_this("letters, digits and any of _ + - ."));
    }
    Ok(())
}

/// Whoever owns the folder of states decides what `delete` removes and kills: it must not be a stranger,
/// who might have made it first below /tmp.
pub fn check_owner(root: &Path) -> Result<()> {
    let ours = look::ids().0;
    match look::owner(root) {
        Some(owner) if owner != ours && owner != 0 => {
            Err(Error::yours(format!("{} belongs to user {owner}", root.display()))
                .because("container states are kept there, which only their owner may write")
                .try_this("--root DIR, with a folder of your own"))
        }
        _ => Ok(()),
    }
}

/// Finds a container by its id.
pub fn find(root: &Path, id: &str) -> Result<Container> {
    check_id(id)?;
    check_owner(root)?;
    let dir = root.join(id);
    if !dir.is_dir() {
        return Err(Error::yours(format!("there is no container {id}"))
            .because(format!("no state of it is in {}", root.display()))
            .try_this("learnc list"));
    }
    load(dir)
}

fn load(dir: PathBuf) -> Result<Container> {
    let path = dir.join("state.json");
    let record = match look::read_if_there(&path) {
        None => None,
        Some(text) => Some(
            serde_json::from_str(&text)
                .map_err(|e| Error::from(e).at(path.display().to_string()))?,
        ),
    };
    Ok(Container { dir, record })
}

/// All containers of a root, by id.
pub fn all(root: &Path) -> Result<Vec<Container>> {
    check_owner(root)?;
    let entries = match std::fs::read_dir(root) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        other => other.named(root)?,
    };
    let mut dirs: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
    dirs.sort();
    dirs.into_iter().map(load).collect()
}

/// The state as OCI's `state` answers it: runtime.md, "State".
pub fn oci_state(container: &Container) -> Result<serde_json::Value> {
    let record = container.record()?;
    let status = container.status();
    let mut state = serde_json::json!({
        "ociVersion": record.oci_version,
        "id": record.id,
        // "REQUIRED when status is created or running": runc answers 0 for a stopped one.
        "pid": if status == Status::Stopped { 0 } else { record.pid },
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": record.owner,
    });
    if !record.annotations.is_empty() {
        state["annotations"] = serde_json::to_value(&record.annotations)?;
    }
    Ok(state)
}

/// This moment, RFC 3339 with nanoseconds, in UTC.
pub fn now() -> String {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
    let (year, month, day) = date((seconds / 86_400) as i64);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{nanos:09}Z")
}

/// Days since 1970 as a date of the Gregorian calendar, counted in years that begin in March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_781), (2026, 11, 24));
    }

    #[test]
    fn an_id_is_a_file_name() {
        assert!(check_id("my-cont_1.x+y").is_ok());
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ü", "a\0"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }
}
