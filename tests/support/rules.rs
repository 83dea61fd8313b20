//! What need not be said, and what may never be excused: the reader of `tests/unnarrated.txt`.

use super::strace::Seen;

/// A line of `tests/unnarrated.txt`: a call that need not be said, and when.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub conditions: Vec<Condition>,
    pub reason: String,
}

/// What an argument, as strace writes it, must or must not look like.
#[derive(Debug, Clone)]
pub struct Condition {
    /// From 1.
    pub arg: usize,
    pub wanted: bool,
    /// `*` stands for anything.
    pub pattern: String,
}

/// Reads the list. Each line has a reason.
pub fn rules() -> Vec<Rule> {
    rules_of(include_str!("../unnarrated.txt"))
}

pub fn rules_of(text: &str) -> Vec<Rule> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(rule).collect()
}

fn rule(line: &str) -> Rule {
    let (what, reason) = line.split_once("  # ").unwrap_or_else(|| panic!("no reason: {line}"));
    let mut words = what.split_whitespace();
    let name = words.next().unwrap().to_owned();
    let conditions = words.map(|w| condition(w).unwrap_or_else(|| panic!("unclear: {line}")));
    Rule { name, conditions: conditions.collect(), reason: reason.to_owned() }
}

/// `2=O_RDONLY*` or `2!*O_CREAT*`.
fn condition(word: &str) -> Option<Condition> {
    let (arg, pattern) = word.split_at_checked(1)?;
    let wanted = pattern.starts_with('=');
    let pattern = pattern.strip_prefix(['=', '!'])?.to_owned();
    Some(Condition { arg: arg.parse().ok().filter(|n| *n > 0)?, wanted, pattern })
}

impl Rule {
    pub fn excuses(&self, seen: &Seen) -> bool {
        self.name == seen.name && self.conditions.iter().all(|condition| condition.holds(seen))
    }
}

impl Condition {
    fn holds(&self, seen: &Seen) -> bool {
        let text = seen.texts.get(self.arg - 1);
        text.is_some_and(|text| fits(&self.pattern, text)) == self.wanted
    }
}

/// Whether a text looks like a pattern in which `*` stands for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let ends = text.char_indices().map(|(i, _)| i).chain([text.len()]);
    rest.is_empty() || ends.into_iter().any(|i| fits(rest, &text[i..]))
}

/// What shapes a container: none of these may ever be excused without a condition, and those in
/// the second list only by conditions that make them harmless.
pub const NEVER: &[&str] = &[
    "clone",
    "clone3",
    "fork",
    "vfork",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "chdir",
    "fchdir",
    "fsopen",
    "fsconfig",
    "fsmount",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "openat2",
    "mknod",
    "mknodat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "lchown",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "truncate",
    "sethostname",
    "setdomainname",
    "setuid",
    "setgid",
    "setresuid",
    "setresgid",
    "setgroups",
    "capset",
    "keyctl",
    "setsid",
    "setpgid",
    "seccomp",
    "close_range",
    "kill",
    "tkill",
    "tgkill",
    "pidfd_send_signal",
    "bpf",
    "dup2",
    "dup3",
    "umask",
    "setrlimit",
    "ptrace",
    "sysctl",
    "swapon",
    "reboot",
];
