//! What a container could leave on the host, for comparing before and after.

use std::collections::BTreeSet;
use std::path::Path;

use super::bundle::{Bundle, read};
use super::needs;

/// Everything that is there, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Host(BTreeSet<String>);

impl Host {
    /// Mounts and links are all of the machine's; of cgroups, processes and temporary files, which
    /// other tests make at the same time, those that bear this bundle's name. So it is with mounts where this
    /// is not root's: what comes and goes elsewhere in the machine's table is others', and not kept out.
    pub fn of(bundle: &Bundle) -> Host {
        let mut all = BTreeSet::new();
        let mut add = |kind: &str, what: &str| {
            all.insert(format!("{kind} {what}"));
        };
        let own = |line: &&str| needs::is_root() || line.contains(&bundle.id);
        read("/proc/self/mountinfo").lines().filter(own).for_each(|line| add("mount", line));
        let links = read("/proc/net/dev");
        let links = links.lines().filter_map(|line| line.split_once(':'));
        links.for_each(|(name, _)| add("link", name.trim()));
        let mine = |path: &Path| path.to_string_lossy().contains(&bundle.id);
        below("/sys/fs/cgroup".as_ref(), 6, &mut |path| {
            if path.is_dir() && mine(path) {
                add("cgroup", &path.display().to_string());
            }
        });
        for line in processes(&bundle.id) {
            add("process", &line);
        }
        // What the traces of the test itself are in does not count.
        let traces = bundle.dir.join("traces");
        below(&bundle.dir, 6, &mut |path| {
            if !path.starts_with(&traces) {
                add("file", &path.display().to_string());
            }
        });
        for dir in [std::env::temp_dir(), "/dev/shm".into(), "/run".into()] {
            below(&dir, 1, &mut |path| {
                if mine(path) {
                    add("file", &path.display().to_string());
                }
            });
        }
        Host(all)
    }

    /// What is there and was not, or was and is not.
    pub fn differs_from(&self, after: &Host) -> Option<String> {
        let left = after.0.difference(&self.0).map(|line| format!("  left:  {line}"));
        let gone = self.0.difference(&after.0).map(|line| format!("  gone:  {line}"));
        let lines: Vec<String> = left.chain(gone).collect();
        (!lines.is_empty()).then(|| format!("\n{}", lines.join("\n")))
    }
}

/// A mount table of a test program's own, where no other program's mounts come and go; for its main, where there is
/// one thread yet. All in it is shared, as systemd has it on most machines: what a container mounts without care
/// turns up here.
pub fn in_a_mount_table_of_its_own() {
    use nix::mount::{MsFlags, mount};
    if !needs::is_root() {
        return;
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        let none: Option<&str> = None;
        mount(none, "/", none, propagation | MsFlags::MS_REC, none).unwrap();
    }
}

fn below(dir: &Path, depth: usize, see: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        see(&entry.path());
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), depth - 1, see);
        }
    }
}

/// Living processes whose arguments name the container: copies of the runtime have its id there,
/// and the program is given it. A zombie waits for whoever adopted it, and is no process any more.
pub fn processes(id: &str) -> Vec<String> {
    let mut found = Vec::new();
    below("/proc".as_ref(), 1, &mut |path| {
        let args = read(path.join("cmdline")).replace('\0', " ");
        let ended =
            || read(path.join("stat")).contains(") Z ") || read(path.join("stat")).contains(") X ");
        if args.contains(id) && !ended() {
            found.push(format!("{} {}", path.display(), args.trim()));
        }
    });
    found
}
