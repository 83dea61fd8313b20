//! A call without what differs from run to run, so that two runs can be compared.
//!
//! Numbers of descriptors and processes, addresses, and what was read go; what was asked of the
//! kernel stays. Two kinds are left out altogether: memory, of which telling needs some, and waiting,
//! since how often a process is woken is chance.

use std::collections::BTreeMap;

use learnc::image::digest::Digest;

use super::strace::{Answer, Seen};

const MEMORY: &[&str] = &["brk", "mmap", "munmap", "mprotect", "mremap", "madvise"];
const WAITING: &[&str] = &["poll", "restart_syscall"];

/// Calls of which only the first argument, and a path, is the question; the rest is the answer.
const ASKING: &[&str] = &[
    "read",
    "pread64",
    "getdents64",
    "newfstatat",
    "fstat",
    "statx",
    "statfs",
    "fstatfs",
    "sigaltstack",
    "readlink",
    "readlinkat",
    "sched_getaffinity",
];

/// Spellings of one call: the older one is the newer with the current directory.
const AGAIN: &[(&str, &str)] = &[
    ("mkdir", "mkdirat"),
    ("unlink", "unlinkat"),
    ("rmdir", "unlinkat"),
    ("rename", "renameat"),
    ("open", "openat"),
    ("stat", "newfstatat"),
    ("sendto", "sendmsg"),
    ("recvfrom", "recvmsg"),
];

/// The time is asked without a call, but where the kernel maps no page for it.
fn counts(seen: &Seen) -> bool {
    seen.name != "clock_gettime"
        && !MEMORY.contains(&&*seen.name)
        && !WAITING.contains(&&*seen.name)
        && !looks_at_others(seen)
}

/// Whose root is it? asked of every process of the machine, and how many there are is chance.
fn looks_at_others(seen: &Seen) -> bool {
    let path = seen.texts.get(1).map_or("", |text| text.trim_matches('"'));
    let other = path.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/root"));
    let other = other.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
    other && (seen.name == "statx" || seen.name == "newfstatat")
}

/// What the call asks; None if it does not count.
pub fn shape(seen: &Seen, names: &BTreeMap<String, String>) -> Option<String> {
    if !counts(seen) {
        return None;
    }
    let text = match &*seen.name {
        "sendmsg" | "recvmsg" => kind_of_message(&seen.texts[1]).to_owned(),
        "write" if seen.texts[0].contains("/state.json.new>") => seen.texts[0].clone(),
        "write" if seen.texts[0].starts_with("2<") => seen.texts[0].clone(),
        // Bytes of no text: what looks like a process's number in them is none.
        "write" if is_binary(&seen.texts[1]) => {
            let sum = Digest::of(seen.texts[1].as_bytes());
            format!("{}, bytes{}", seen.texts[0], sum.short())
        }
        // A number of a process can be longer in one run than in the other.
        "write" if seen.texts[0].contains("/cgroup.procs>") => seen.texts[..2].join(", "),
        // In what is written elsewhere a number is none of a process's, though one may have the same.
        "write" => {
            let folders = names.iter().filter(|(this, _)| this.contains('/'));
            let folders = folders.map(|(this, name)| (this.clone(), name.clone())).collect();
            format!("{}, {}", seen.texts[0], plain(&seen.texts[1], &folders))
        }
        "getrandom" | "getcwd" | "wait4" => String::new(),
        name if ASKING.contains(&name) => {
            let path = seen.texts.get(1).filter(|text| text.starts_with('"'));
            let path = path.filter(|_| name.contains("stat") || name == "readlinkat");
            format!("{} {}", seen.texts[0], path.map_or("", String::as_str))
        }
        _ => seen.texts.join(", "),
    };
    let refused = match &seen.answer {
        Answer::Refused(errno) => format!(" = {errno}"),
        _ => String::new(),
    };
    Some(format!("{} {}{refused}", seen.name, plain(&text, names).trim()))
}

/// strace writes what is no text as octal numbers.
fn is_binary(text: &str) -> bool {
    text.as_bytes().windows(2).any(|two| two[0] == b'\\' && two[1].is_ascii_digit())
}

/// `Go`, `Told`, `Done`: the first word of a message of the conversation.
fn kind_of_message(text: &str) -> &str {
    let word = |after: &str| text.split_once(after)?.1.split_once('\\').map(|(word, _)| word);
    word(r#"iov_base="{\""#).or(word(r#"iov_base="\""#)).unwrap_or("the end")
}

/// Numbers of descriptors and addresses taken out, processes and folders called by their names.
fn plain(text: &str, names: &BTreeMap<String, String>) -> String {
    let mut folders: Vec<_> = names.iter().filter(|(this, _)| this.contains('/')).collect();
    // The longest first: one name can begin with another.
    folders.sort_by_key(|(this, _)| std::cmp::Reverse(this.len()));
    let text = folders.iter().fold(text.to_owned(), |text, (this, name)| text.replace(*this, name));
    let mut out = String::new();
    let mut rest = &*text;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (token, after) = rest.split_at(word.max(c.len_utf8()));
        let number = token.bytes().all(|b| b.is_ascii_digit());
        match token {
            _ if number && after.starts_with('<') => {}
            _ if number && out.ends_with("/proc/self/fd/") => out.push('N'),
            _ if number && out.ends_with("cgroup=") => {}
            // `8192*1024` bytes of stack and `mode=1777` are no process, whoever has that number.
            _ if number && (after.starts_with('*') || out.ends_with('=')) => out.push_str(token),
            _ if number && (out.ends_with("UNIX:[") || out.ends_with("->")) => {}
            _ if token.starts_with("0x") && token.len() > 7 => out.push('@'),
            _ => out.push_str(names.get(token).map_or(token, String::as_str)),
        }
        rest = after;
    }
    out
}

/// The same call whatever its spelling, and what it is about: `mkdirat $STATE`. Descriptors that are
/// closed follow from those that are opened.
pub fn about(seen: &Seen, names: &BTreeMap<String, String>) -> Option<String> {
    if !counts(seen) || seen.name == "close" {
        return None;
    }
    let name = AGAIN.iter().find(|(old, _)| *old == seen.name).map_or(&*seen.name, |(_, new)| new);
    let quoted = seen.texts.iter().find(|text| text.starts_with('"') && text.len() > 2);
    let descriptor = seen.texts.iter().find(|text| text.ends_with('>') && text.contains('<'));
    let object = match name {
        "write" | "read" | "sendmsg" | "recvmsg" => descriptor,
        "getrandom" | "getcwd" | "wait4" => None,
        "prctl" | "rt_sigaction" | "rt_sigprocmask" => seen.texts.first(),
        "prlimit64" | "ioctl" | "fcntl" => seen.texts.get(1),
        _ => quoted.or(descriptor),
    };
    let object = object.map_or(String::new(), |text| plain(text, names));
    let object = object.trim_matches('"').trim_start_matches('<').trim_end_matches('>');
    let object = if object.starts_with("UNIX") { "the conversation" } else { object };
    Some(format!("{name} {object}").trim().to_owned())
}
