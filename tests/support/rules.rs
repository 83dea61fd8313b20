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

/// Calls that learnc tells and also makes to look or to be silent about: what excuses one of them has
/// conditions, which make it harmless.
pub const SOMETIMES: &[&str] = &["ftruncate", "ioctl", "openat", "prlimit64", "write"];

/// Calls that shape a container too, though learnc makes none of them.
const OTHERS: &str = "\
    chmod chown clone dup2 fchmod fchown fork fsconfig fsmount fsopen keyctl lchown link mkdir mknod \
    mount_setattr move_mount open_tree pidfd_send_signal ptrace reboot rename renameat2 rmdir seccomp \
    setgid setpgid setrlimit setuid swapon symlink sysctl tgkill tkill truncate unlink vfork";

/// Whether a call shapes a container and may never be excused: those that are told, and others.
pub fn is_never_excused(name: &str) -> bool {
    let is_told = learnc::lesson::words::call(name).is_some();
    is_told && !SOMETIMES.contains(&name) || OTHERS.split_whitespace().any(|other| other == name)
}

/// Calls that look, write or ask elsewhere, and here shape a container, or look like an excuse.
pub const SHAPING: &[&str] = &[
    r#"ftruncate(5</r/etc/passwd>, 0) = 0"#,
    r#"openat(AT_FDCWD</>, "/sys/fs/cgroup/x/pids.max", O_WRONLY|O_CLOEXEC) = 3"#,
    r#"openat(AT_FDCWD</>, "/sys/fs/cgroup/O_RDONLY", O_RDWR|O_CLOEXEC) = 3"#,
    r#"openat(4</r>, "etc/passwd", O_RDONLY|O_CREAT|O_CLOEXEC, 0644) = 3"#,
    r#"openat(4</r>, "etc/passwd", O_RDONLY|O_TRUNC|O_CLOEXEC) = 3"#,
    r#"openat(4</r>, "dev", O_RDONLY|O_CLOEXEC|O_PATH) = 3"#,
    r#"openat(4</r>, "journal", O_RDWR|O_TRUNC) = 3"#,
    r#"openat(4</r>, "events.jsonl", O_WRONLY) = 3"#,
    r#"write(12</sys/fs/cgroup/x/pids.max>, "2<", 2) = 2"#,
    r#"write(3</proc/7/uid_map>, "</events.jsonl>", 15) = 15"#,
    r#"write(21</proc/sys/kernel/msgmax>, "9", 1) = 1"#,
    r#"prlimit64(0, RLIMIT_NOFILE, {rlim_cur=9, rlim_max=9}, NULL) = 0"#,
    r#"prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) = 0"#,
    r#"prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN) = 0"#,
    r#"ioctl(0</dev/pts/0>, TIOCSCTTY, 0) = 0"#,
    r#"fcntl(3</x>, F_SETFD, 0) = 0"#,
    r#"fcntl(3</x>, F_DUPFD, 5) = 5"#,
    r#"socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 3"#,
    r#"sendto(3<NETLINK:[ROUTE:4242]>, [{nlmsg_len=32}], 32, 0, NULL, 0) = 32"#,
    r#"sendmsg(3<NETLINK:[ROUTE:4242]>, {msg_name=NULL}, 0) = 32"#,
    r#"bind(3<UNIX:[1]>, {sa_family=AF_UNIX, sun_path="/run/other.sock"}, 110) = 0"#,
    r#"ftruncate(3</r/etc/passwd>, 0) = 0"#,
    r#"bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_CGROUP_DEVICE}, 148) = 3"#,
    r#"umask(000) = 022"#,
];
