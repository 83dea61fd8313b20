//! "What changed", derived once more and by other means: readlink, nsenter, stat, findmnt, the words
//! of /proc read by a table of this test's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use super::bundle::read;

/// A row as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub host: String,
    pub container: String,
    pub verdict: &'static str,
    /// It may be left out of the table.
    pub optional: bool,
}

pub type Table = BTreeMap<String, Expected>;

/// Standard output of a command, which must succeed, without the space around it.
pub fn output(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A line of /proc/PID/status.
pub fn status(pid: i32, name: &str) -> String {
    let text = read(format!("/proc/{pid}/status"));
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in the status of {pid}")).trim().to_owned()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pair(host: impl Into<String>, container: impl Into<String>) -> Expected {
    let (host, container) = (host.into(), container.into());
    let verdict = if host == container { "same" } else { "changed" };
    Expected { host, container, verdict, optional: false }
}

/// A living container, and who made it.
pub struct Sides {
    /// The process that learnc runs in, or one with the same rights.
    pub host: i32,
    pub container: i32,
}

impl Sides {
    fn proc(&self, file: &str) -> [String; 2] {
        [self.host, self.container].map(|pid| format!("/proc/{pid}/{file}"))
    }

    fn is_shared(&self, kind: &str) -> bool {
        let [host, container] = self.proc(&format!("ns/{kind}"));
        output(&["readlink", &host]) == output(&["readlink", &container])
    }

    pub fn namespaces(&self, table: &mut Table) {
        for (name, kind) in [
            ("mount", "mnt"),
            ("pid", "pid"),
            ("UTS", "uts"),
            ("network", "net"),
            ("IPC", "ipc"),
            ("user", "user"),
            ("cgroup", "cgroup"),
            ("time", "time"),
        ] {
            let [host, container] = self.proc(&format!("ns/{kind}"));
            if Path::new(&host).symlink_metadata().is_ok() {
                let verdict = if self.is_shared(kind) { "shared" } else { "new" };
                let [host, container] = [host, container].map(|link| output(&["readlink", &link]));
                let row = Expected { host, container, verdict, optional: false };
                table.insert(format!("{name} namespace"), row);
            }
        }
    }

    /// `rootfs` is the folder that must be its root; inode and device say so.
    pub fn root(&self, table: &mut Table, rootfs: &Path) {
        let rootfs = rootfs.canonicalize().unwrap().display().to_string();
        let identity = |path: &str| output(&["stat", "-L", "-c", "%d:%i", path]);
        let root = format!("/proc/{}/root", self.container);
        assert_eq!(identity(&root), identity(&rootfs));
        let [here, there] = self.proc("mountinfo").map(|path| read(path).lines().count());
        let what = if self.is_shared("mnt") { "folder" } else { "bind of" };
        let types = output(&["findmnt", "--noheadings", "--output", "FSTYPE", "/"]);
        let fstype = types.lines().last().unwrap().to_owned();
        let row =
            pair(format!("{fstype}, {here} mounts"), mounts(&format!("{what} {rootfs}"), there));
        table.insert("/".into(), row);
    }

    fn inside(&self, kind: &str, command: &[&str]) -> String {
        let target = self.container.to_string();
        let mut all = vec!["nsenter", "--target", &target, kind];
        if !self.is_shared("user") {
            all.extend(["--user", "--preserve-credentials"]);
        }
        output(&[&all, command].concat())
    }

    pub fn names(&self, table: &mut Table) {
        for name in ["hostname", "domainname"] {
            let file = format!("/proc/sys/kernel/{name}");
            let host = read(&file).trim().to_owned();
            let container = match self.is_shared("uts") {
                true => host.clone(),
                false => self.inside("--uts", &["cat", &file]),
            };
            let row = pair(host, container);
            let unset = name == "domainname" && row.host == "(none)" && row.container == "(none)";
            table.extend((!unset).then(|| (name.to_owned(), row)));
        }
    }

    /// `said` are the program's own words: its pid, its user id, its group id.
    pub fn ids(&self, table: &mut Table, said: &[&str]) {
        let [pid, uid, gid] = said else { panic!("{said:?}") };
        table.insert("pid".into(), pair(self.container.to_string(), *pid));
        let id = |pid: i32, name| status(pid, name).split_whitespace().nth(1).unwrap().to_owned();
        let both = |pid| format!("{}:{}", id(pid, "Uid"), id(pid, "Gid"));
        let (outside, inside) = (both(self.container), format!("{uid}:{gid}"));
        let container =
            if outside == inside { inside } else { format!("{inside} ({outside} here)") };
        table.insert("uid:gid".into(), pair(both(self.host), container));
        if !self.is_shared("user") {
            for map in ["uid_map", "gid_map"] {
                let [host, container] = self
                    .proc(map)
                    .map(|path| read(path).lines().map(words).collect::<Vec<_>>().join(", "));
                table.insert(map.into(), pair(host, container));
            }
        }
    }

    /// Where the two are in each tree: all that differ, by their path; if none does, the places.
    pub fn cgroup(&self, table: &mut Table) {
        let [host, container] = self.proc("cgroup").map(|path| {
            let text = read(path);
            let line = |line: &str| {
                let (_, rest) = line.split_once(':').unwrap();
                let (tree, path) = rest.split_once(':').unwrap();
                (if tree.is_empty() { "v2" } else { tree }.to_owned(), path.to_owned())
            };
            text.lines().map(line).collect::<Vec<(String, String)>>()
        });
        let moved: Vec<bool> = host.iter().zip(&container).map(|(a, b)| a != b).collect();
        let cell = |side: &[(String, String)]| {
            let none = !moved.contains(&true);
            let mut paths: Vec<&String> = Vec::new();
            let chosen: Vec<_> = side
                .iter()
                .zip(&moved)
                .filter(|(_, moved)| none || **moved)
                .map(|(s, _)| s)
                .collect();
            for (_, path) in &chosen {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            let place = |path: &&String| {
                let of = chosen.iter().filter(|(_, p)| p == *path);
                let of: Vec<&str> = of.map(|(tree, _)| tree.as_str()).collect();
                let bare = none || of == ["v2"];
                if bare { (*path).clone() } else { format!("{}: {path}", of.join(", ")) }
            };
            paths.iter().map(place).collect::<Vec<_>>().join("; ")
        };
        table.insert("cgroup".into(), pair(cell(&host), cell(&container)));
    }

    pub fn limits(&self, table: &mut Table, files: &[&str]) {
        for file in files {
            let [host, container] =
                [self.host, self.container].map(|pid| cgroup_file(pid, file).unwrap_or_default());
            let row = Expected { host, container, verdict: "limit", optional: false };
            table.insert((*file).to_owned(), row);
        }
    }

    pub fn privileges(&self, table: &mut Table) {
        for (name, field, optional) in [
            ("effective", "CapEff", false),
            ("bounding", "CapBnd", false),
            ("permitted", "CapPrm", true),
            ("inheritable", "CapInh", true),
            ("ambient", "CapAmb", true),
        ] {
            let [host, container] = [self.host, self.container].map(|pid| status(pid, field));
            let verdict = if host == container { "same" } else { "changed" };
            let [host, container] = [host, container].map(|mask| decoded(&mask));
            let row = Expected { host, container, verdict, optional };
            table.insert(format!("{name} capabilities"), row);
        }
        let both = |field| [self.host, self.container].map(|pid| status(pid, field));
        let [host, container] = both("NoNewPrivs");
        table.insert("no_new_privs".into(), pair(host, container));
        let mode =
            |number: String| ["disabled", "strict", "filter"][number.parse::<usize>().unwrap()];
        let [host, container] = both("Seccomp").map(mode);
        table.insert("seccomp".into(), pair(host, container));
    }
}

fn mounts(what: &str, n: usize) -> String {
    format!("{what}, {n} mount{}", if n == 1 { "" } else { "s" })
}

/// A file of a process's cgroup, looked for in the trees where they usually are.
fn cgroup_file(pid: i32, file: &str) -> Option<String> {
    let text = read(format!("/proc/{pid}/cgroup"));
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (tree, path) = rest.split_once(':')?;
        let tops = [format!("/sys/fs/cgroup/{tree}"), "/sys/fs/cgroup".into()];
        let read = |top: &String| std::fs::read_to_string(format!("{top}{path}/{file}")).ok();
        tops.iter().find_map(read).map(|text| text.trim().to_owned())
    })
}

/// capability.h's names in the order of their numbers.
const NAMES: &str = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap \
    linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module \
    sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time \
    sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog \
    wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore";

/// A mask as capsh(1) would decode it, or how many of all where they are more than four.
fn decoded(mask: &str) -> String {
    let last: usize = read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap();
    let bits: Vec<char> = mask
        .chars()
        .rev()
        .flat_map(|digit| {
            let bits = format!("{:04b}", digit.to_digit(16).unwrap());
            bits.chars().rev().collect::<Vec<_>>()
        })
        .collect();
    let set = |n: &usize| bits.get(*n) == Some(&'1');
    let names: Vec<&str> = NAMES.split_whitespace().collect();
    let held: Vec<String> =
        (0..=last).filter(set).map(|n| format!("CAP_{}", names[n].to_uppercase())).collect();
    match held.len() {
        0 => "none".into(),
        n if n == last + 1 => format!("all {n}"),
        1..=4 => held.join(", "),
        n => format!("{n} of {}", last + 1),
    }
}

/// What is wrong with a table: rows that nobody expects, that are missing, or that say something else.
pub fn wrong(rows: &[Json], expected: &Table) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut missing = expected.clone();
    for row in rows {
        let property = row["property"].as_str().unwrap();
        match missing.remove(property) {
            None => wrong.push(format!("not expected: {row}")),
            Some(is) => {
                let same = row["host"] == *is.host
                    && row["container"] == *is.container
                    && row["verdict"] == *is.verdict;
                if !same {
                    wrong.push(format!("{row}\n    derived: {is:?}"));
                }
            }
        }
    }
    let missing = missing.into_iter().filter(|(_, row)| !row.optional);
    wrong.extend(missing.map(|(property, row)| format!("missing: {property} {row:?}")));
    wrong
}
