//! The floor: what the default container costs if nothing but its system calls is done.
//!
//! ```text
//! floor ROOTFS STATE CGROUP...      as root
//! ```
//!
//! It makes the calls that `learnc run` makes for the bundle of `learnc spec` (with `true` for a
//! program and no terminal), in the same order: six namespaces, cgroups with device rules, seven
//! mounts, device nodes, masks, the swap of the roots, capabilities, the state folder. There is no
//! config to read, no plan, nothing told, nothing to undo after a failure, and no Rust runtime: its
//! whole content is constants. What learnc takes longer than this is the price of everything else,
//! and `benches/ratio` measures it.
//!
//! ROOTFS and STATE (which must not exist) are absolute; CGROUP are the directories to make, one in
//! each tree of version 1 or the one of version 2. This is a measure, not an example of a runtime:
//! it checks nothing and leaves what it made if a call fails.
#![no_main]
#![allow(unsafe_code)]
// Every call below passes constants, descriptors made here, or texts that end in a zero byte and
// outlive it.
#![allow(clippy::undocumented_unsafe_blocks)]

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong};
use std::ptr::null;

use libc::*;

/// The state folder's file has about the size of learnc's.
const STATE_JSON: &[u8] = &[b' '; 315];
const JOURNAL_SIZE: i64 = 32768;

const ALLOWED: [&[u8]; 11] = [
    b"c *:* m",
    b"b *:* m",
    b"c 1:3 rwm",
    b"c 1:5 rwm",
    b"c 1:7 rwm",
    b"c 1:8 rwm",
    b"c 1:9 rwm",
    b"c 5:0 rwm",
    b"c 5:1 rwm",
    b"c 5:2 rwm",
    b"c 136:* rwm",
];
const MASKED: [&CStr; 12] = [
    c"proc/acpi",
    c"proc/asound",
    c"proc/interrupts",
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"proc/sched_debug",
    c"sys/firmware",
    c"sys/devices/virtual/powercap",
    c"proc/scsi",
];
const READ_ONLY: [&CStr; 5] =
    [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"];
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];
const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"pts/ptmx", c"ptmx"),
];
/// CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE.
const KEPT: u32 = 1 << 5 | 1 << 10 | 1 << 29;

/// `r0 = 1; exit`. learnc loads a longer program; what is paid for is the call and its check.
const DEVICE_PROGRAM: [u64; 2] = [0x0000_0001_0000_00b7, 0x95];

/// Ends the program at the first call that fails.
fn ok(answer: impl Into<c_long>, what: &CStr) -> c_int {
    let answer = answer.into();
    if answer < 0 {
        unsafe {
            perror(what.as_ptr());
            _exit(1)
        }
    }
    answer as c_int
}

/// A text that ends in a zero byte, put together without an allocation.
struct Text([u8; 512]);

impl Text {
    fn of(parts: &[&[u8]]) -> Text {
        let mut text = [0; 512];
        let bytes = parts.iter().flat_map(|part| part.iter());
        for (to, from) in text[..511].iter_mut().zip(bytes) {
            *to = *from;
        }
        Text(text)
    }

    fn below(dir: &CStr, name: &str) -> Text {
        Text::of(&[dir.to_bytes(), b"/", name.as_bytes()])
    }

    fn fd(fd: c_int) -> Text {
        Text::of(&[b"/proc/self/fd/", Text::number(fd).bytes()])
    }

    fn number(n: c_int) -> Text {
        let mut digits = [0; 10];
        let (mut rest, mut at) = (n, digits.len());
        while rest > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Text::of(&[&digits[at..]])
    }

    fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(0);
        &self.0[..end]
    }

    fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

fn write_file(path: &Text, flags: c_int, values: &[&[u8]]) {
    unsafe {
        let fd = ok(open(path.as_ptr(), flags | O_WRONLY | O_CLOEXEC, 0o644), c"open");
        for value in values {
            ok(write(fd, value.as_ptr().cast(), value.len()) as c_long, c"write");
        }
        close(fd);
    }
}

/// A descriptor of what lies below the new root; none if it is not there.
fn below(root: c_int, path: &CStr) -> Option<c_int> {
    const RESOLVE_IN_ROOT: u64 = 0x10;
    let how: [u64; 3] = [(O_PATH | O_CLOEXEC) as u64, 0, RESOLVE_IN_ROOT];
    let fd = unsafe { syscall(SYS_openat2, root, path.as_ptr(), how.as_ptr(), size_of_val(&how)) };
    (fd >= 0).then_some(fd as c_int)
}

fn mount_on(fd: c_int, source: &CStr, kind: &CStr, flags: c_ulong, data: Option<&CStr>) {
    let data = data.map_or(null(), |d| d.as_ptr().cast());
    let answer =
        unsafe { mount(source.as_ptr(), Text::fd(fd).as_ptr(), kind.as_ptr(), flags, data) };
    ok(answer, c"mount");
}

fn change(target: *const c_char, source: *const c_char, flags: c_ulong) {
    ok(unsafe { mount(source, target, null(), flags, null()) }, c"mount");
}

#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let mut args = [c""; 16];
    let count = (argc as usize).min(args.len());
    for (i, arg) in args[..count].iter_mut().enumerate() {
        *arg = unsafe { CStr::from_ptr(*argv.add(i)) };
    }
    let [_, rootfs, state, cgroups @ ..] = &args[..count] else { return 2 };
    unsafe { runtime(rootfs, state, cgroups) }
}

unsafe fn runtime(rootfs: &CStr, state: &CStr, cgroups: &[&CStr]) -> c_int {
    unsafe {
        ok(mkdir(state.as_ptr(), 0o711), c"mkdir state");
        let journal = Text::below(state, "journal");
        let fd = ok(open(journal.as_ptr(), O_RDWR | O_CREAT | O_CLOEXEC, 0o600), c"journal");
        ok(ftruncate(fd, JOURNAL_SIZE), c"ftruncate");
        close(fd);
        for dir in cgroups {
            ok(mkdir(dir.as_ptr(), 0o755), c"mkdir cgroup");
        }
        let into = limit(cgroups);

        let mut talk = [0; 2];
        ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk.as_mut_ptr()), c"socketpair");
        let child = clone(into);
        if child == 0 {
            close(talk[0]);
            container(rootfs, cgroups, into.is_none(), talk[1]);
        }
        close(talk[1]);
        say(talk[0]);
        hear(talk[0]);
        let (new, json) = (Text::below(state, "state.json.new"), Text::below(state, "state.json"));
        write_file(&new, O_CREAT | O_TRUNC | O_NOFOLLOW, &[STATE_JSON]);
        ok(rename(new.as_ptr(), json.as_ptr()), c"rename");
        say(talk[0]);
        hear(talk[0]); // end of file: execve
        close(talk[0]);

        let mut status = 0;
        ok(waitpid(child, &mut status, 0), c"waitpid");
        for dir in cgroups.iter().rev() {
            ok(rmdir(dir.as_ptr()), c"rmdir cgroup");
        }
        ok(unlink(json.as_ptr()), c"unlink");
        ok(unlink(journal.as_ptr()), c"unlink");
        ok(rmdir(state.as_ptr()), c"rmdir state");
        WEXITSTATUS(status)
    }
}

/// The device rules: files of version 1, or a program on version 2, whose directory it returns.
unsafe fn limit(cgroups: &[&CStr]) -> Option<c_int> {
    unsafe {
        for dir in cgroups {
            let deny = Text::below(dir, "devices.deny");
            if access(deny.as_ptr(), F_OK) == 0 {
                write_file(&deny, 0, &[b"a"]);
                write_file(&Text::below(dir, "devices.allow"), 0, &ALLOWED);
                return None;
            }
        }
        let v2 = cgroups
            .iter()
            .find(|dir| access(Text::below(dir, "cgroup.controllers").as_ptr(), F_OK) == 0)?;
        let dir = ok(open(v2.as_ptr(), O_PATH | O_DIRECTORY | O_CLOEXEC), c"open cgroup");
        let target = ok(open(v2.as_ptr(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), c"open cgroup");
        // union bpf_attr, first for BPF_PROG_LOAD (type, count, instructions, license), then for
        // BPF_PROG_ATTACH (target, program, kind, flags).
        let load = [15 | 2 << 32, DEVICE_PROGRAM.as_ptr() as u64, c"Apache".as_ptr() as u64];
        let program = ok(syscall(SYS_bpf, 5, load.as_ptr(), size_of_val(&load)), c"bpf load");
        let attach = [target as u32, program as u32, 6, 2];
        ok(syscall(SYS_bpf, 8, attach.as_ptr(), size_of_val(&attach)), c"bpf attach");
        close(program);
        close(target);
        Some(dir)
    }
}

unsafe fn clone(into: Option<c_int>) -> c_int {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let spaces = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
    unsafe {
        let mut args: clone_args = std::mem::zeroed();
        args.flags = spaces as u64 | if into.is_some() { CLONE_INTO_CGROUP } else { 0 };
        args.cgroup = into.unwrap_or(0) as u64;
        args.exit_signal = SIGCHLD as u64;
        ok(syscall(SYS_clone3, &args, size_of_val(&args)), c"clone3")
    }
}

fn say(fd: c_int) {
    ok(unsafe { send(fd, c"go".as_ptr().cast(), 2, 0) } as c_long, c"send");
}

fn hear(fd: c_int) {
    let mut word = [0u8; 2];
    ok(unsafe { recv(fd, word.as_mut_ptr().cast(), 2, 0) } as c_long, c"recv");
}

unsafe fn container(rootfs: &CStr, cgroups: &[&CStr], joins: bool, talk: c_int) -> ! {
    unsafe {
        hear(talk);
        for dir in cgroups.iter().filter(|_| joins) {
            write_file(&Text::below(dir, "tasks"), 0, &[b"0"]);
        }
        ok(setsid(), c"setsid");
        ok(unshare(CLONE_NEWCGROUP), c"unshare");
        ok(sethostname(c"learnc".as_ptr(), 6), c"sethostname");
        change(c"/".as_ptr(), null(), MS_REC | MS_SLAVE);
        change(rootfs.as_ptr(), rootfs.as_ptr(), MS_REC | MS_BIND);
        let root = ok(open(rootfs.as_ptr(), O_PATH | O_DIRECTORY | O_CLOEXEC), c"open rootfs");
        mounts(root, cgroups);
        devices(root);
        masks(root);
        ok(fchdir(root), c"fchdir");
        ok(syscall(SYS_pivot_root, c".".as_ptr(), c".".as_ptr()), c"pivot_root");
        ok(umount2(c".".as_ptr(), MNT_DETACH), c"umount2");
        ok(chdir(c"/".as_ptr()), c"chdir");
        change(c"/".as_ptr(), null(), MS_RDONLY | MS_REMOUNT | MS_BIND | MS_RELATIME);
        privileges();
        ok(chdir(c"/".as_ptr()), c"chdir");
        say(talk);
        hear(talk);
        ok(syscall(SYS_close_range, 3, u32::MAX, 4 /* CLOSE_RANGE_CLOEXEC */), c"close_range");
        let path = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".as_ptr();
        let (args, env) = ([c"true".as_ptr(), null()], [path, c"TERM=xterm".as_ptr(), null()]);
        ok(execve(c"/bin/true".as_ptr(), args.as_ptr(), env.as_ptr()), c"execve");
        _exit(1)
    }
}

unsafe fn mounts(root: c_int, cgroups: &[&CStr]) {
    const TIGHT: c_ulong = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    unsafe {
        on(root, c"proc", c"proc", c"proc", 0, None);
        let dev = MS_NOSUID | MS_STRICTATIME;
        on(root, c"dev", c"tmpfs", c"tmpfs", dev, Some(c"mode=755,size=65536k"));
        let pts = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
        on(root, c"dev/pts", c"devpts", c"devpts", MS_NOSUID | MS_NOEXEC, Some(pts));
        on(root, c"dev/shm", c"shm", c"tmpfs", TIGHT, Some(c"mode=1777,size=65536k"));
        on(root, c"dev/mqueue", c"mqueue", c"mqueue", TIGHT, None);
        on(root, c"sys", c"sysfs", c"sysfs", TIGHT | MS_RDONLY, None);
        let flags = TIGHT | MS_RELATIME;
        if cgroups.len() == 1 {
            on(root, c"sys/fs/cgroup", c"cgroup", c"cgroup2", flags | MS_RDONLY, None);
            return;
        }
        on(root, c"sys/fs/cgroup", c"tmpfs", c"tmpfs", flags, Some(c"mode=755"));
        let Some(trees) = below(root, c"sys/fs/cgroup") else { _exit(1) };
        for dir in cgroups {
            // /sys/fs/cgroup/TREE/...: its name is what mount(2) calls it.
            let tree = dir.to_bytes().split(|b| *b == b'/').nth(4).unwrap_or_default();
            let name = Text::of(&[tree]);
            ok(mkdirat(trees, name.as_ptr(), 0o755), c"mkdirat");
            let path = Text::of(&[b"sys/fs/cgroup/", tree]);
            let (path, name) = (CStr::from_ptr(path.as_ptr()), CStr::from_ptr(name.as_ptr()));
            on(root, path, c"cgroup", c"cgroup", flags | MS_RDONLY, Some(name));
        }
        let again = flags | MS_RDONLY | MS_REMOUNT | MS_BIND;
        change(Text::fd(trees).as_ptr(), null(), again);
        close(trees);
    }
}

/// One mount, and the directory for it where there is none.
unsafe fn on(
    root: c_int,
    at: &CStr,
    source: &CStr,
    kind: &CStr,
    flags: c_ulong,
    data: Option<&CStr>,
) {
    unsafe {
        let fd = below(root, at).or_else(|| {
            let bytes = at.to_bytes_with_nul();
            let slash = bytes.iter().rposition(|b| *b == b'/')?;
            let parent = Text::of(&[&bytes[..slash]]);
            let parent = below(root, CStr::from_ptr(parent.as_ptr()))?;
            ok(mkdirat(parent, bytes[slash + 1..].as_ptr().cast(), 0o755), c"mkdirat");
            close(parent);
            below(root, at)
        });
        let fd = ok(fd.unwrap_or(-1), at);
        mount_on(fd, source, kind, flags, data);
        close(fd);
    }
}

unsafe fn devices(root: c_int) {
    unsafe {
        let dev = ok(below(root, c"dev").unwrap_or(-1), c"dev");
        let before = umask(0);
        for (name, major, minor) in DEVICES {
            let number = makedev(major, minor);
            ok(mknodat(dev, name.as_ptr(), S_IFCHR | 0o666, number), c"mknodat");
        }
        umask(before);
        for (target, name) in LINKS {
            ok(symlinkat(target.as_ptr(), dev, name.as_ptr()), c"symlinkat");
        }
        close(dev);
    }
}

unsafe fn masks(root: c_int) {
    unsafe {
        let nothing = ok(open(c"/dev/null".as_ptr(), O_PATH | O_CLOEXEC), c"open /dev/null");
        for path in MASKED {
            let Some(fd) = below(root, path) else { continue };
            let mut what: stat = std::mem::zeroed();
            ok(fstat(fd, &mut what), c"fstat");
            match what.st_mode & S_IFMT {
                S_IFDIR => mount_on(fd, c"tmpfs", c"tmpfs", MS_RDONLY, None),
                _ => change(Text::fd(fd).as_ptr(), Text::fd(nothing).as_ptr(), MS_BIND),
            }
            close(fd);
        }
        close(nothing);
        for path in READ_ONLY {
            let Some(fd) = below(root, path) else { continue };
            let name = Text::fd(fd);
            change(name.as_ptr(), name.as_ptr(), MS_BIND | MS_REC);
            // What lies on top now is another mount than the one that was opened.
            let again = ok(below(root, path).unwrap_or(-1), path);
            let flags = MS_RDONLY | MS_REMOUNT | MS_BIND | MS_RELATIME;
            change(Text::fd(again).as_ptr(), null(), flags);
            close(again);
            close(fd);
        }
    }
}

unsafe fn privileges() {
    unsafe {
        let files = rlimit { rlim_cur: 1024, rlim_max: 1024 };
        ok(setrlimit(RLIMIT_NOFILE, &files), c"setrlimit");
        for cap in (0..=40).filter(|cap| *cap >= 32 || KEPT & (1 << cap) == 0) {
            ok(prctl(PR_CAPBSET_DROP, cap as c_ulong), c"PR_CAPBSET_DROP");
        }
        ok(syscall(SYS_setgroups, 0, null::<gid_t>()), c"setgroups");
        ok(syscall(SYS_setresgid, 0, 0, 0), c"setresgid");
        ok(syscall(SYS_setresuid, 0, 0, 0), c"setresuid");
        // _LINUX_CAPABILITY_VERSION_3, this process; then effective, permitted, inheritable, twice.
        let (head, sets) = ([0x2008_0522u32, 0], [KEPT, KEPT, 0, 0, 0, 0]);
        ok(syscall(SYS_capset, head.as_ptr(), sets.as_ptr()), c"capset");
        ok(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), c"PR_CAP_AMBIENT");
        ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), c"PR_SET_NO_NEW_PRIVS");
    }
}
