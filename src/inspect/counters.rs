//! What the kernel counted in a cgroup: forks refused, processes killed, the most memory there was.
//!
//! cgroups(7), the kernel's `admin-guide/cgroup-v2` and `admin-guide/cgroup-v1`. A limit that was hit
//! leaves a number here, and it can be read as long as the directory stands: after the last process
//! has ended, before the directory is removed. Each kernel has some of these files and not others;
//! those it has not are not spoken of.

use std::path::PathBuf;

use super::row;
use crate::event::{Difference, Verdict};
use crate::sys::look;

/// A counter: whose it is, its file, and the word before it where the file has several.
struct Counter {
    controller: &'static str,
    file: &'static str,
    word: Option<&'static str>,
}

const fn counter(
    controller: &'static str,
    file: &'static str,
    word: Option<&'static str>,
) -> Counter {
    Counter { controller, file, word }
}

const COUNTERS: [Counter; 7] = [
    counter("pids", "pids.events", Some("max")),
    counter("memory", "memory.events", Some("oom_kill")),
    counter("memory", "memory.peak", None),
    counter("cpu", "cpu.stat", Some("nr_throttled")),
    // Version 1 of cgroups.
    counter("memory", "memory.oom_control", Some("oom_kill")),
    counter("memory", "memory.failcnt", None),
    counter("memory", "memory.max_usage_in_bytes", None),
];

/// The counters of a container's cgroup, in the directories that it has: those of a controller that
/// holds it to one of these `limits`, and others where something was counted.
pub fn counters(dirs: &[PathBuf], limits: &[String]) -> Vec<Difference> {
    let limited = |counter: &Counter| {
        limits.iter().any(|file| file.split('.').next() == Some(counter.controller))
    };
    let one = |counter: &Counter| {
        let path = dirs.iter().map(|dir| dir.join(counter.file));
        let text = path.filter_map(look::read_if_there).next()?;
        let value = value(&text, counter.word)?;
        let name = [Some(counter.file), counter.word].into_iter().flatten().collect::<Vec<_>>();
        let shown = value != "0" || limited(counter);
        shown.then(|| row(&name.join(" "), String::new(), value.to_owned(), Verdict::Counted))
    };
    COUNTERS.iter().filter_map(one).collect()
}

/// The only number, or the one behind a word: `oom_kill 3`.
fn value<'a>(text: &'a str, word: Option<&str>) -> Option<&'a str> {
    match word {
        None => Some(text.trim()).filter(|text| !text.is_empty()),
        Some(word) => text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_word() {
        let text = "low 0\noom 1\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(value(text, Some("oom_kill")), Some("3"));
        assert_eq!(value(text, Some("max")), None);
        assert_eq!(value("4096\n", None), Some("4096"));
        assert_eq!(value("", None), None);
    }

    #[test]
    fn only_what_this_kernel_has_and_what_says_something_is_shown() {
        let dir = std::env::temp_dir().join(format!("learnc-counters-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("pids.events"), "max 0\n").unwrap();
        std::fs::write(dir.join("memory.peak"), "8192\n").unwrap();
        let dirs = [dir.clone()];
        let names = |limits: &[String]| -> Vec<(String, String)> {
            let rows = counters(&dirs, limits);
            rows.into_iter().map(|row| (row.property, row.container)).collect()
        };
        let peak = ("memory.peak".to_owned(), "8192".to_owned());
        assert_eq!(names(&[]), std::slice::from_ref(&peak));
        let pids = ("pids.events max".to_owned(), "0".to_owned());
        assert_eq!(names(&["pids.max".into()]), [pids, peak]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
