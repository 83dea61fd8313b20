//! Which call takes what: one entry a call, arguments in the manual's order.
//!
//! This is the vocabulary of the narration, written a second time, from the manual and the kernel's
//! headers and not from `sys`: where the two disagree, one of them is wrong, and `--verify` shows it.

use super::bpf::bpf;
use super::decode::{self, Kind, Kind::*, Source};
use super::names;
use crate::args::{Arg, Args};

/// Names and kinds of a call's arguments.
pub type Takes = &'static [(&'static str, Kind)];

const CALLS: &[(&str, Takes)] = &[
    ("bpf", &[("cmd", Name(names::BPF_COMMAND)), ("attr", Read(bpf)), ("size", Unsigned)]),
    ("capset", &[("hdrp", Read(capset_header)), ("datap", Read(capset_data))]),
    ("chdir", &[("path", Text)]),
    ("chmod", &[("pathname", Text), ("mode", Mode)]),
    ("chroot", &[("path", Text)]),
    ("clone3", &[("cl_args", Read(clone3)), ("size", Unsigned)]),
    (
        "close_range",
        &[("first", Unsigned), ("last", Unsigned), ("flags", Flags(names::CLOSE_RANGE))],
    ),
    ("dup3", &[("oldfd", Fd), ("newfd", Int), ("flags", Flags(&[(0x80000, "O_CLOEXEC")]))]),
    ("execve", &[("pathname", Text), ("argv", Texts), ("envp", Texts)]),
    ("fchdir", &[("fd", Fd)]),
    ("fchmod", &[("fd", Fd), ("mode", Mode)]),
    ("fchmodat", &[("dirfd", Fd), ("pathname", Text), ("mode", Mode)]),
    (
        "fchownat",
        &[
            ("dirfd", Fd),
            ("pathname", Text),
            ("owner", Unsigned),
            ("group", Unsigned),
            ("flags", Flags(names::AT_CHOWN)),
        ],
    ),
    ("ftruncate", &[("fd", Fd), ("length", Long)]),
    ("ioctl", &[("fd", Fd), ("op", Name(names::IOCTL)), ("arg", Int)]),
    ("kill", &[("pid", Pid), ("sig", Signal)]),
    (
        "linkat",
        &[
            ("olddirfd", Fd),
            ("oldpath", Text),
            ("newdirfd", Fd),
            ("newpath", Text),
            ("flags", Flags(names::AT_LINK)),
        ],
    ),
    (
        "lsetxattr",
        &[("path", Text), ("name", Text), ("value", Bytes(3)), ("size", Int), ("flags", Int)],
    ),
    ("mkdir", &[("pathname", Text), ("mode", Mode)]),
    ("mkdirat", &[("dirfd", Fd), ("pathname", Text), ("mode", Mode)]),
    ("mknodat", &[("dirfd", Fd), ("pathname", Text), ("mode", FileMode), ("dev", Device(2))]),
    (
        "mount",
        &[
            ("source", Text),
            ("target", Text),
            ("filesystemtype", Text),
            ("mountflags", Flags(names::MOUNT)),
            ("data", Text),
        ],
    ),
    (
        "openat",
        &[("dirfd", Fd), ("pathname", Text), ("flags", OpenFlags), ("mode", ModeIfCreated(2))],
    ),
    ("openat2", &[("dirfd", Fd), ("pathname", Text), ("how", Read(open_how)), ("size", Int)]),
    ("pivot_root", &[("new_root", Text), ("put_old", Text)]),
    (
        "prlimit64",
        &[
            ("pid", Int),
            ("resource", Name(names::RLIMIT)),
            ("new_limit", Read(limits)),
            ("old_limit", Read(null)),
        ],
    ),
    ("pwrite64", &[("fd", Fd), ("buf", Bytes(2)), ("count", Int), ("offset", Long)]),
    ("renameat", &[("olddirfd", Fd), ("oldpath", Text), ("newdirfd", Fd), ("newpath", Text)]),
    ("rmdir", &[("pathname", Text)]),
    ("sendfile", &[("out_fd", Fd), ("in_fd", Fd), ("offset", Read(null)), ("count", Int)]),
    ("setdomainname", &[("name", Bytes(1)), ("len", Int)]),
    ("setgroups", &[("size", Int), ("list", Read(groups))]),
    ("sethostname", &[("name", Bytes(1)), ("len", Int)]),
    ("setns", &[("fd", Fd), ("nstype", Flags(names::CLONE))]),
    ("setresgid", &[("rgid", Unsigned), ("egid", Unsigned), ("sgid", Unsigned)]),
    ("setresuid", &[("ruid", Unsigned), ("euid", Unsigned), ("suid", Unsigned)]),
    ("setsid", &[]),
    ("symlink", &[("target", Text), ("linkpath", Text)]),
    ("symlinkat", &[("target", Text), ("newdirfd", Fd), ("linkpath", Text)]),
    ("syncfs", &[("fd", Fd)]),
    ("umask", &[("mask", Mode)]),
    ("umount2", &[("target", Text), ("flags", Flags(names::UMOUNT))]),
    ("unlink", &[("pathname", Text)]),
    ("unlinkat", &[("dirfd", Fd), ("pathname", Text), ("flags", Flags(names::AT_UNLINK))]),
    ("unshare", &[("flags", Flags(names::CLONE))]),
    (
        "utimensat",
        &[
            ("dirfd", Fd),
            ("pathname", Text),
            ("times", Read(times)),
            ("flags", Flags(names::AT_CHOWN)),
        ],
    ),
    ("write", &[("fd", Fd), ("buf", Bytes(2)), ("count", Int)]),
];

/// prctl(2) is many calls: by its first number, its name and what that one takes.
const PRCTL: &[(u64, &str, Takes)] = &[
    (1, "PR_SET_PDEATHSIG", &[OP, ("sig", Signal)]),
    (4, "PR_SET_DUMPABLE", &[OP, ("dumpable", Name(names::DUMPABLE))]),
    (8, "PR_SET_KEEPCAPS", &[OP, ("state", Int)]),
    (15, "PR_SET_NAME", &[OP, ("name", Text)]),
    (24, "PR_CAPBSET_DROP", &[OP, ("cap", Read(capability))]),
    (36, "PR_SET_CHILD_SUBREAPER", &[OP, ("set", Int)]),
    (38, "PR_SET_NO_NEW_PRIVS", &[OP, ("arg2", Int), ("arg3", Int), ("arg4", Int), ("arg5", Int)]),
    (47, "PR_CAP_AMBIENT", RAISE),
];
const OP: (&str, Kind) = ("op", Read(prctl_name));
const RAISE: Takes =
    &[OP, ("arg2", Name(names::AMBIENT)), ("cap", Read(capability)), ("arg4", Int), ("arg5", Int)];
/// The one of these, 4, whose third argument is no capability, but must be 0.
const CLEAR: Takes =
    &[OP, ("arg2", Name(names::AMBIENT)), ("arg3", Int), ("arg4", Int), ("arg5", Int)];

/// What a call takes; None for one that is not of the vocabulary.
pub fn takes(call: &str, args: &[u64; 6]) -> Option<Takes> {
    match call {
        "prctl" if args[..2] == [47, 4] => Some(CLEAR),
        "prctl" => PRCTL.iter().find(|(op, ..)| *op == args[0]).map(|(.., takes)| *takes),
        _ => all().find(|(name, _)| *name == call).map(|(_, takes)| takes),
    }
}

/// Every entry; prctl(2) has several.
pub fn all() -> impl Iterator<Item = (&'static str, Takes)> {
    let prctl = PRCTL.iter().map(|(.., takes)| *takes).chain([CLEAR]);
    CALLS.iter().copied().chain(prctl.map(|takes| ("prctl", takes)))
}

/// The arguments of any call: those without an entry as six numbers.
pub fn arguments(call: &str, source: &dyn Source, args: &[u64; 6]) -> Args {
    match takes(call, args) {
        Some(takes) => decode::decode(source, args, takes),
        None => {
            let names = ["arg1", "arg2", "arg3", "arg4", "arg5", "arg6"];
            let number = |n: &u64| Arg::name(format!("{n:#x}"));
            args.iter().zip(names).fold(Args::new(), |all, (n, name)| all.with(name, number(n)))
        }
    }
}

fn null(_: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    Some(if args[i] == 0 { Arg::Null } else { Arg::name(format!("{:#x}", args[i])) })
}

fn prctl_name(_: &dyn Source, args: &[u64; 6], _: usize) -> Option<Arg> {
    PRCTL.iter().find(|(op, ..)| *op == args[0]).map(|(_, name, _)| Arg::name(*name))
}

fn capability(_: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let name = names::name(names::CAPABILITY, args[i]);
    Some(name.map_or(Arg::Int(args[i] as i64), |name| Arg::Flags(vec![name.into()])))
}

/// A structure of numbers: `size` bytes each.
pub(super) fn numbers<const N: usize>(
    source: &dyn Source,
    address: u64,
    size: usize,
) -> Option<[u64; N]> {
    let mut all = [0; N];
    for (i, number) in all.iter_mut().enumerate() {
        *number = decode::number(source, address.wrapping_add((i * size) as u64), size)?;
    }
    Some(all)
}

/// `struct clone_args`: eleven numbers; those not shown must be nothing.
fn clone3(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let Some(all) = numbers::<11>(source, args[i], 8) else {
        return Some(decode::unreadable(args[i]));
    };
    let [flags, pidfd, child_tid, parent_tid, signal, stack, stack_size, tls, tids, count, cgroup] =
        all;
    let mut fields = Args::new()
        .with("flags", decode::flags(names::CLONE, flags))
        .with("exit_signal", Arg::name(crate::sys::process::signal_name(signal as i32)));
    if flags & 0x2_0000_0000 != 0 {
        fields = fields.with("cgroup", decode::descriptor(source, cgroup as i32));
    }
    let rest = [pidfd, child_tid, parent_tid, stack, stack_size, tls, tids, count];
    if rest.iter().any(|number| *number != 0) {
        fields = fields.with("more", Arg::name(format!("{rest:x?}")));
    }
    Some(Arg::Struct(fields))
}

/// `struct open_how`.
fn open_how(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let Some([flags, mode, resolve]) = numbers(source, args[i], 8) else {
        return Some(decode::unreadable(args[i]));
    };
    let mut fields = Args::new().with("flags", decode::open_flags(flags));
    if flags & 0x40 != 0 || mode != 0 {
        fields = fields.with("mode", Arg::Mode(mode as u32));
    }
    Some(Arg::Struct(fields.with("resolve", decode::flags(names::RESOLVE, resolve))))
}

/// `struct rlimit64`.
fn limits(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    if args[i] == 0 {
        return Some(Arg::Null);
    }
    let Some([soft, hard]) = numbers(source, args[i], 8) else {
        return Some(decode::unreadable(args[i]));
    };
    let amount = |n: u64| match n {
        u64::MAX => Arg::name("RLIM64_INFINITY"),
        n => i64::try_from(n).map_or_else(|_| Arg::name(n.to_string()), Arg::Int),
    };
    let fields = Args::new().with("rlim_cur", amount(soft)).with("rlim_max", amount(hard));
    Some(Arg::Struct(fields))
}

/// Two `struct timespec`.
fn times(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let Some([a, a_nano, b, b_nano]) = numbers(source, args[i], 8) else {
        return Some(decode::unreadable(args[i]));
    };
    let time = |seconds: u64, nano: u64| {
        let fields = Args::new().with("tv_sec", Arg::Int(seconds as i64));
        Arg::Struct(fields.with("tv_nsec", Arg::Int(nano as i64)))
    };
    Some(Arg::List(vec![time(a, a_nano), time(b, b_nano)]))
}

fn groups(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let each = |n| decode::number(source, args[i].wrapping_add(4 * n), 4);
    let all = (0..args[i - 1].min(65536)).map(|n| Some(Arg::Int(each(n)? as i64)));
    Some(all.collect::<Option<_>>().map_or_else(|| decode::unreadable(args[i]), Arg::List))
}

fn capset_header(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let Some([version, pid]) = numbers(source, args[i], 4) else {
        return Some(decode::unreadable(args[i]));
    };
    let fields = Args::new()
        .with("version", decode::constant(names::CAPABILITY_VERSION, version))
        .with("pid", Arg::Int(pid as i32 as i64));
    Some(Arg::Struct(fields))
}

/// Effective, permitted, inheritable: the low halves of the three, then the high ones.
fn capset_data(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let Some([e, p, i, more_e, more_p, more_i]) = numbers(source, args[i], 4) else {
        return Some(decode::unreadable(args[i]));
    };
    let set = |low: u64, high: u64| {
        let bits = low | high << 32;
        let named = names::CAPABILITY.iter().filter(|(n, _)| bits >> n & 1 == 1);
        let mut list: Vec<_> = named.map(|(_, name)| (*name).into()).collect();
        if bits >> 41 != 0 {
            list.push(format!("{:#x}", bits >> 41 << 41).into());
        }
        Arg::Flags(list)
    };
    let fields = Args::new()
        .with("effective", set(e, more_e))
        .with("permitted", set(p, more_p))
        .with("inheritable", set(i, more_i));
    Some(Arg::Struct(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A process whose memory is these bytes, from address 4096 on.
    struct Memory(Vec<u8>);

    impl Source for Memory {
        fn memory(&self, address: u64, length: usize) -> Vec<u8> {
            let from = address.checked_sub(4096).and_then(|at| self.0.get(at as usize..));
            from.map_or(vec![], |rest| rest[..length.min(rest.len())].to_vec())
        }

        fn descriptor(&self, fd: i32) -> Option<String> {
            (fd == 5).then(|| "/b/rootfs".to_owned())
        }
    }

    fn text(call: &str, memory: &[u8], args: [u64; 6]) -> String {
        arguments(call, &Memory(memory.to_vec()), &args).to_text()
    }

    #[test]
    fn strings_are_read_where_they_lie() {
        let memory = b"proc\0/proc/self/fd/5\0";
        let args = [4096, 4101, 4096, 0xe, 0, 0];
        let said = r#""proc", "/proc/self/fd/5", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL"#;
        assert_eq!(text("mount", memory, args), said);
        let lost = r#"<unreadable 0x9>, "/proc/self/fd/5", "proc", 0, NULL"#;
        assert_eq!(text("mount", memory, [9, 4101, 4096, 0, 0, 0]), lost);
    }

    /// Else `--verify` would say of a call that was made as it was told: narrated, not seen.
    #[test]
    fn every_call_that_is_told_has_its_entry() {
        for (name, _) in crate::lesson::words::calls() {
            assert!(
                all().any(|(known, _)| known == name),
                "src/trace/table.rs has no entry for {name}"
            );
        }
    }

    #[test]
    fn structures_are_read_field_by_field() {
        let how: Vec<u8> = [0x280000u64, 0, 0x10].iter().flat_map(|n| n.to_le_bytes()).collect();
        let memory = [&how[..], b"dev\0"].concat();
        let said = r#"5</b/rootfs>, "dev", {flags=O_RDONLY|O_CLOEXEC|O_PATH, resolve=RESOLVE_IN_ROOT}, 24"#;
        assert_eq!(text("openat2", &memory, [5, 4096 + 24, 4096, 24, 0, 0]), said);
    }

    #[test]
    fn one_number_has_many_meanings() {
        assert_eq!(
            text("prctl", b"", [47, 4, 0, 0, 0, 0]),
            "PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0"
        );
        assert_eq!(text("prctl", b"", [24, 21, 9, 9, 9, 9]), "PR_CAPBSET_DROP, CAP_SYS_ADMIN");
        let null = [u32::MAX as u64 - 99, 4096, 0o20666, 0x103, 0, 0];
        let said = r#"AT_FDCWD, "null", S_IFCHR|0666, makedev(0x1, 0x3)"#;
        assert_eq!(text("mknodat", b"null\0", null), said);
        assert_eq!(text("setsid", b"", [1; 6]), "");
    }

    proptest! {
        #[test]
        fn no_call_and_no_memory_ends_in_a_panic(
            memory in prop::collection::vec(any::<u8>(), 0..128),
            numbers in prop::array::uniform6(prop_oneof![0u64..64, 4090u64..4250, any::<u64>()]),
        ) {
            let names = CALLS.iter().map(|(name, _)| *name).chain(["prctl", "syscall_9"]);
            for name in names {
                let _ = text(name, &memory, numbers);
            }
        }

        #[test]
        fn every_bit_of_a_set_is_said(value in any::<u64>()) {
            let Arg::Flags(said) = decode::flags(names::MOUNT, value) else { unreachable!() };
            let bits = |name: &str| match name.strip_prefix("0x") {
                Some(rest) => u64::from_str_radix(rest, 16).unwrap(),
                None => names::MOUNT.iter().find(|(_, known)| *known == name).unwrap().0,
            };
            prop_assert_eq!(said.iter().fold(0, |all, name| all | bits(name)), value);
        }
    }
}
