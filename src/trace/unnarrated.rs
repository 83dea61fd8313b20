//! What learnc does and does not tell, and why that hides nothing.
//!
//! The same list in meaning as `tests/unnarrated.txt`, where each line has its reason; a test holds
//! the two together. Here a call is judged by its numbers: which flags, what kind of descriptor. A
//! call that stands in neither list is not excused, whatever it is.

use nix::fcntl::OFlag;

use super::decode::{self, Source};
use crate::args::Arg;

/// Calls that only look, wait, talk or manage a process's own memory, whatever their arguments.
pub const ALWAYS: &[&str] = &[
    "accept4",
    "access",
    "arch_prctl",
    "brk",
    "capget",
    "clock_gettime",
    "close",
    "connect",
    "exit_group",
    "faccessat",
    "faccessat2",
    "flock",
    "fstat",
    "fstatfs",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "getuid",
    "getxattr",
    "lgetxattr",
    "inotify_add_watch",
    "inotify_init1",
    "listen",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "pidfd_open",
    "poll",
    "ppoll",
    "pread64",
    "read",
    "readlink",
    "readlinkat",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "signalfd4",
    "socketpair",
    "stat",
    "statfs",
    "statx",
    "uname",
    "wait4",
    "waitid",
];

/// A call as it is judged.
pub struct Judged<'a> {
    pub source: &'a dyn Source,
    pub args: &'a [u64; 6],
}

/// Whether a call is excused.
type Rule = fn(&Judged) -> bool;

/// Calls that are excused only with some arguments.
pub const SOMETIMES: &[(&str, Rule)] = &[
    ("bind", |call| {
        // struct sockaddr_un: the family, then the path.
        matches!(decode::text(call.source, call.args[1] + 2), Arg::Str(p) if p.ends_with("/start.sock"))
    }),
    ("fcntl", |call| {
        const HARMLESS: &[u64] = &[F_GETFD, F_GETFL, F_DUPFD_CLOEXEC];
        HARMLESS.contains(&call.args[1]) || call.args[1..3] == [F_SETFD, FD_CLOEXEC]
    }),
    ("ftruncate", |call| call.leads_to(0, &["/journal"])),
    ("ioctl", |call| IOCTLS.contains(&(call.args[1] & 0xffff_ffff))),
    ("openat", opens_to_look),
    ("prlimit64", |call| call.args[2] == 0),
    ("recvmsg", talks),
    ("sendmsg", talks),
    ("sendto", talks),
    ("socket", |call| call.args[0] == AF_UNIX),
    ("write", |call| matches!(call.args[0], 1 | 2) || call.leads_to(0, &["/ptmx"])),
];

const F_GETFD: u64 = 1;
const F_SETFD: u64 = 2;
const FD_CLOEXEC: u64 = 1;
const F_GETFL: u64 = 3;
const F_DUPFD_CLOEXEC: u64 = 1030;
const AF_UNIX: u64 = 1;
/// Asking a terminal (TCGETS, TIOCGWINSZ, TIOCGPTN), and setting up this one (TCSETS and its two
/// kinds, TIOCSWINSZ, TIOCSPTLCK).
const IOCTLS: &[u64] = &[0x5401, 0x5413, 0x8004_5430, 0x5402, 0x5403, 0x5404, 0x5414, 0x4004_5431];

impl Judged<'_> {
    fn leads_to(&self, arg: usize, ends: &[&str]) -> bool {
        let path = self.source.descriptor(self.args[arg] as i32).unwrap_or_default();
        ends.iter().any(|end| path.ends_with(end))
    }
}

/// Over a socket: of which family is judged where it is made.
fn talks(call: &Judged) -> bool {
    let path = call.source.descriptor(call.args[0] as i32);
    path.is_some_and(|path| path.starts_with("socket:"))
}

/// To read, without making, emptying or only pinning anything; a directory only as the standard
/// library lists it. Or the journal.
fn opens_to_look(call: &Judged) -> bool {
    let flags = OFlag::from_bits_retain(call.args[2] as i32);
    let acts = OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_PATH | OFlag::O_DIRECTORY;
    let reads = flags & OFlag::O_ACCMODE == OFlag::O_RDONLY;
    let lists = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY;
    let large = OFlag::O_LARGEFILE;
    let journal = || matches!(decode::text(call.source, call.args[1]), Arg::Str(p) if p.ends_with("/journal"));
    reads && (!flags.intersects(acts) || flags - large == lists)
        || flags & OFlag::O_ACCMODE == OFlag::O_RDWR && journal()
}

/// Whether a call may go without being narrated.
pub fn is_excused(call: &str, judged: &Judged) -> bool {
    ALWAYS.contains(&call) || SOMETIMES.iter().any(|(name, rule)| *name == call && rule(judged))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_the_tests_list() {
        let text = include_str!("../../tests/unnarrated.txt");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let theirs: BTreeSet<&str> =
            lines.filter_map(|line| line.split_ascii_whitespace().next()).collect();
        let ours: BTreeSet<&str> =
            ALWAYS.iter().copied().chain(SOMETIMES.iter().map(|(name, _)| *name)).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn each_is_known_by_its_number() {
        let numbered: Vec<&str> = (0..1024).filter_map(crate::sys::numbers::name_of).collect();
        let named = ALWAYS.iter().chain(SOMETIMES.iter().map(|(name, _)| name));
        for name in named {
            assert!(numbered.contains(name), "{name} would be told by a number");
        }
    }

    #[test]
    fn what_has_conditions_there_has_them_here() {
        let text = include_str!("../../tests/unnarrated.txt");
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (what, _) = line.split_once("  # ").unwrap();
            if let Some((name, _)) = what.split_once(' ') {
                let also_without = text.lines().any(|l| l.starts_with(&format!("{name}  # ")));
                assert!(
                    also_without || !ALWAYS.contains(&name),
                    "{name} is excused without conditions"
                );
            }
        }
    }
}
