//! What a container is, read from outside while its program waits: for comparing two of them.
//!
//! Everything that names the one container and not the other is taken out: ids, numbers of mounts and
//! processes, and the folder in which its root filesystem lies.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::bundle::{Ran, read};

/// Property and value, one a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Portrait(BTreeMap<String, String>);

/// Runs a command whose program says `up` and waits for the end of its input, and looks at it
/// meanwhile. `args` are the program's, and no other process's on this machine.
pub fn portrayed(command: &mut Command, args: &[&str]) -> (Portrait, Ran) {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut sitter = Sitter(pipes.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")));
    let mut stdout = BufReader::new(sitter.0.stdout.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("up\n") && stdout.read_line(&mut said).unwrap() > 0 {}
    let portrait = running(args).map(Portrait::of);
    drop(sitter.0.stdin.take());
    let mut stderr = String::new();
    stdout.read_to_string(&mut said).unwrap();
    sitter.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = sitter.0.wait().unwrap().code().unwrap_or(-1);
    let ran = Ran { status, stdout: said, stderr };
    match portrait {
        Some(portrait) => (portrait, ran),
        None => panic!("it did not come up: {ran:?}"),
    }
}

/// The process with exactly these arguments.
pub fn running(args: &[&str]) -> Option<i32> {
    let wanted: String = args.iter().map(|arg| format!("{arg}\0")).collect();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| read(format!("/proc/{pid}/cmdline")) == wanted)
}

/// A command that sits for its portrait. It ends with its input, also after a panic.
struct Sitter(Child);

impl Drop for Sitter {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Portrait {
    fn of(pid: i32) -> Portrait {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let mut all = BTreeMap::new();
        namespaces(&proc, &mut all);
        for name in ["uid_map", "gid_map", "setgroups", "oom_score_adj", "limits", "cgroup"] {
            all.insert(name.into(), nameless(&read(proc.join(name))));
        }
        let of_identity =
            ["Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn"];
        for line in read(proc.join("status")).lines() {
            let (name, value) = line.split_once(':').unwrap();
            if name.starts_with("Cap") || of_identity.contains(&name) {
                all.insert(name.into(), value.trim().into());
            }
        }
        let mut environ: Vec<String> =
            read(proc.join("environ")).split('\0').map(str::to_owned).collect();
        environ.sort();
        all.insert("environ".into(), environ.join("\n"));
        let link = |name: &str| std::fs::read_link(proc.join(name)).unwrap_or_default();
        all.insert("cwd".into(), below_root(&link("cwd")));
        all.insert("root".into(), below_root(&link("root")));
        let mut fds: Vec<_> = std::fs::read_dir(proc.join("fd"))
            .map(|fds| fds.filter_map(|fd| fd.ok()?.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        // A shell cannot close what it was started with above these: see the test of that name.
        fds.retain(|fd: &String| fd.len() == 1);
        fds.sort();
        all.insert("fd".into(), fds.join(" "));
        mounts(&proc, &all["mnt namespace"].clone(), &mut all);
        cgroups(&proc, &mut all);
        devices(&proc.join("root/dev"), &mut all);
        Portrait(all)
    }

    /// One value, for a test that insists on it.
    pub fn get(&self, property: &str) -> &str {
        self.0.get(property).map_or("", String::as_str)
    }

    /// What one has and the other has not.
    pub fn differs_from(&self, other: &Portrait) -> Option<String> {
        let names = self.0.keys().chain(other.0.keys()).collect::<std::collections::BTreeSet<_>>();
        let differing = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        let lines = differing
            .map(|name| format!("{name}:\n  {:?}\n  {:?}", self.0.get(name), other.0.get(name)));
        let lines: Vec<String> = lines.collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Each kind: the test's own, or another.
fn namespaces(proc: &Path, all: &mut BTreeMap<String, String>) {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let theirs = std::fs::read_link(proc.join("ns").join(kind)).ok();
        let own = std::fs::read_link(Path::new("/proc/self/ns").join(kind)).ok();
        let verdict = if theirs == own { "shared" } else { "new" };
        all.insert(format!("{kind} namespace"), verdict.into());
    }
}

/// Mount points with types and options. A shared namespace has the host's, which others change.
fn mounts(proc: &Path, namespace: &str, all: &mut BTreeMap<String, String>) {
    if namespace == "shared" {
        return;
    }
    for line in read(proc.join("mountinfo")).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let dash = words.iter().position(|word| *word == "-").unwrap();
        let (place, options) = (words[4], words[5]);
        let root = below_root(Path::new(words[3]));
        // `master:17`: the number is the host's.
        let tags = words[6..dash].iter().map(|tag| tag.split(':').next().unwrap());
        let tags = tags.collect::<Vec<_>>().join(" ");
        let rest = words[dash + 1..].join(" ");
        let text = all.entry(format!("mount {place}")).or_default();
        text.push_str(&nameless(&format!("{root} {options} {tags} {rest}\n")));
    }
}

/// The limits in each of its cgroups.
fn cgroups(proc: &Path, all: &mut BTreeMap<String, String>) {
    let files = [
        "pids.max",
        "memory.limit_in_bytes",
        "memory.soft_limit_in_bytes",
        "cpu.cfs_quota_us",
        "cpu.shares",
        "devices.list",
        "memory.max",
        "memory.low",
        "cpu.max",
        "cpu.weight",
    ];
    for line in read(proc.join("cgroup")).lines() {
        let [number, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let tree = Path::new("/sys/fs/cgroup").join(if number == "0" { "" } else { controllers });
        for file in files {
            let text = read(tree.join(path.trim_start_matches('/')).join(file));
            if !text.is_empty() {
                all.insert(format!("{controllers}:{file}"), text);
            }
        }
    }
}

/// What is in its /dev: names, kinds, numbers, modes, owners, where links lead.
fn devices(dev: &Path, all: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dev).into_iter().flatten().filter_map(Result::ok) {
        let Ok(meta) = entry.path().symlink_metadata() else { continue };
        let kind = meta.file_type();
        let link = std::fs::read_link(entry.path()).unwrap_or_default();
        let number = if kind.is_char_device() { meta.rdev() } else { 0 };
        let text = format!(
            "{:o} {number:x} {}:{} {}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            link.display()
        );
        all.insert(format!("/dev/{}", entry.file_name().display()), text);
    }
}

/// A path on the host as the container's: what comes after the folder of its root filesystem.
fn below_root(path: &Path) -> String {
    let text = path.display().to_string();
    match text.rsplit_once("/rootfs") {
        Some((_, below)) => format!("<rootfs>{below}"),
        None => text,
    }
}

/// Without the number of a run of learnc's own making.
fn nameless(text: &str) -> String {
    let mut parts = text.split("learnc-run-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "learnc-run-N" + part.trim_start_matches(digit_or_dash))
}

fn digit_or_dash(c: char) -> bool {
    c.is_ascii_digit() || c == '-'
}
