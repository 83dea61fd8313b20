//! Processes: execve(2), kill(2), setsid(2), close_range(2), prlimit64(2), dup3(2), ioctl_tty(2).

use std::ffi::CString;
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;

use super::descriptor::Fd;
use super::kernel::{Pid, Syscall};
use crate::args::{Arg, Args};

/// execve(2). If it succeeds there is nobody left to say so: it is always announced first.
#[derive(Debug)]
pub struct Execve<'a> {
    pub path: &'a Path,
    pub argv: &'a [CString],
    pub envp: &'a [CString],
}

impl Syscall for Execve<'_> {
    const NAME: &'static str = "execve";
    type Answer = ();

    fn args(&self) -> Args {
        let list = |items: &[CString]| {
            Arg::List(items.iter().map(|item| Arg::bytes(item.as_bytes())).collect())
        };
        Args::new()
            .with("pathname", Arg::path(self.path))
            .with("argv", list(self.argv))
            .with("envp", list(self.envp))
    }

    fn perform(&self) -> Result<(), Errno> {
        let pointers = |items: &[CString]| {
            let mut list: Vec<_> = items.iter().map(|item| item.as_ptr()).collect();
            list.push(std::ptr::null());
            list
        };
        let (argv, envp) = (pointers(self.argv), pointers(self.envp));
        // SAFETY: both lists end in null, and every string lives until the call returns, if it does.
        let call =
            |c: &std::ffi::CStr| unsafe { libc::execve(c.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        Errno::result(self.path.with_nix_path(call)?).map(drop)
    }
}

/// execve(2) by which learnc becomes another program of the user's, with the user's environment. What
/// stands in there is nobody else's business, so it is not told.
#[derive(Debug)]
pub struct Become<'a>(pub Execve<'a>);

impl Syscall for Become<'_> {
    const NAME: &'static str = Execve::NAME;
    type Answer = ();

    fn args(&self) -> Args {
        let mut args = self.0.args();
        args.0.retain(|(name, _)| name != "envp");
        args.with("envp", Arg::Secret)
    }

    fn perform(&self) -> Result<(), Errno> {
        self.0.perform()
    }
}

/// kill(2): a signal to one process.
#[derive(Debug)]
pub struct Kill {
    pub pid: Pid,
    pub signal: i32,
}

/// `SIGTERM` for 15; the number itself where it has no name.
pub fn signal_name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if (34..=64).contains(&signal) => format!("SIGRT_{}", signal - 32),
        Err(_) => signal.to_string(),
    }
}

impl Syscall for Kill {
    const NAME: &'static str = "kill";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("pid", Arg::Pid(self.pid.0))
            .with("sig", Arg::name(signal_name(self.signal)))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::result(unsafe { libc::kill(self.pid.0, self.signal) }).map(drop)
    }
}

/// setsid(2): a new session, without a controlling terminal yet.
#[derive(Debug)]
pub struct Setsid;

impl Syscall for Setsid {
    const NAME: &'static str = "setsid";
    type Answer = usize;

    fn args(&self) -> Args {
        Args::new()
    }

    fn perform(&self) -> Result<usize, Errno> {
        // SAFETY: takes nothing.
        Errno::result(unsafe { libc::setsid() }).map(|sid| sid as usize)
    }
}

/// ioctl(2) TIOCSCTTY: this terminal becomes the session's controlling terminal.
#[derive(Debug)]
pub struct Tiocsctty<'a> {
    pub fd: &'a Fd,
}

impl Syscall for Tiocsctty<'_> {
    const NAME: &'static str = "ioctl";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("fd", self.fd.at().arg())
            .with("op", Arg::name("TIOCSCTTY"))
            .with("arg", Arg::Int(0))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: this operation takes a number.
        Errno::result(unsafe { libc::ioctl(self.fd.raw(), libc::TIOCSCTTY, 0) }).map(drop)
    }
}

/// dup3(2): makes `to` another name of `fd`, one that stays open over execve.
#[derive(Debug)]
pub struct Dup3<'a> {
    pub fd: &'a Fd,
    pub to: i32,
}

impl Syscall for Dup3<'_> {
    const NAME: &'static str = "dup3";
    type Answer = usize;

    fn args(&self) -> Args {
        Args::new()
            .with("oldfd", self.fd.at().arg())
            .with("newfd", Arg::Int(self.to.into()))
            .with("flags", Arg::Flags(vec![]))
    }

    fn perform(&self) -> Result<usize, Errno> {
        // SAFETY: takes numbers; nothing in this process owns `to` as an Fd (0, 1 and 2 are never
        // wrapped).
        Errno::result(unsafe { libc::dup3(self.fd.raw(), self.to, 0) }).map(|fd| fd as usize)
    }
}

/// close_range(2) with CLOSE_RANGE_CLOEXEC: every descriptor from `first` on closes at execve.
#[derive(Debug)]
pub struct CloseRange {
    pub first: u32,
}

const CLOSE_RANGE_CLOEXEC: u32 = 4;

impl Syscall for CloseRange {
    const NAME: &'static str = "close_range";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("first", Arg::Int(self.first.into()))
            .with("last", Arg::Int(u32::MAX.into()))
            .with("flags", Arg::Flags(vec!["CLOSE_RANGE_CLOEXEC".into()]))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: marks descriptors, closes none that this process still uses.
        let answer = unsafe {
            libc::syscall(libc::SYS_close_range, self.first, u32::MAX, CLOSE_RANGE_CLOEXEC)
        };
        Errno::result(answer).map(drop)
    }
}

/// prlimit64(2), setting a limit of the calling process. Units: see getrlimit(2).
#[derive(Debug)]
pub struct Prlimit64 {
    /// `RLIMIT_NOFILE` and so on, with the kernel's number.
    pub resource: (&'static str, u32),
    pub soft: u64,
    pub hard: u64,
}

impl Syscall for Prlimit64 {
    const NAME: &'static str = "prlimit64";
    type Answer = ();

    fn args(&self) -> Args {
        let amount = |n: u64| match n {
            u64::MAX => Arg::name("RLIM64_INFINITY"),
            n => i64::try_from(n).map_or_else(|_| Arg::name(n.to_string()), Arg::Int),
        };
        let limits =
            Args::new().with("rlim_cur", amount(self.soft)).with("rlim_max", amount(self.hard));
        Args::new()
            .with("pid", Arg::Int(0))
            .with("resource", Arg::name(self.resource.0))
            .with("new_limit", Arg::Struct(limits))
            .with("old_limit", Arg::Null)
    }

    fn perform(&self) -> Result<(), Errno> {
        let new = libc::rlimit64 { rlim_cur: self.soft, rlim_max: self.hard };
        // SAFETY: the structure lives until the call returns; the old limit is not asked for.
        let answer =
            unsafe { libc::prlimit64(0, self.resource.1 as _, &new, std::ptr::null_mut()) };
        Errno::result(answer).map(drop)
    }
}

/// Runs a program of the host's and waits for it: its exit status.
pub fn run(
    k: &super::Kernel,
    program: &Path,
    args: &[String],
    env: &[CString],
) -> crate::error::Result<i32> {
    let pid = start(k, program, args, env)?;
    if k.pretends() { Ok(0) } else { super::plumbing::reap(pid.0) }
}

/// Starts a program of the host's. Used only where the kernel leaves no other way (newuidmap is setuid
/// for a reason). The child's execve is announced by the parent, who knows what it will be.
pub fn start(
    k: &super::Kernel,
    program: &Path,
    args: &[String],
    env: &[CString],
) -> crate::error::Result<Pid> {
    let words = std::iter::once(program.display().to_string()).chain(args.iter().cloned());
    let argv: Vec<CString> = words.filter_map(|w| CString::new(w).ok()).collect();
    let flags = nix::sched::CloneFlags::empty();
    match k.call(super::Clone3 { flags, into_cgroup: None })? {
        super::Fork::Child => {
            super::plumbing::restore_signals();
            let _ = Execve { path: program, argv: &argv, envp: env }.perform();
            super::plumbing::leave(127)
        }
        super::Fork::Parent(pid) => {
            k.announce_of(pid, &Execve { path: program, argv: &argv, envp: env });
            Ok(pid)
        }
    }
}

/// Starts a program of the host's in a directory. It waits until its calls have been told and
/// `all_is_shown` has been done: what it writes comes after them.
pub fn start_in(
    k: &super::Kernel,
    dir: &Path,
    program: Execve,
    all_is_shown: impl FnOnce(),
) -> crate::error::Result<Pid> {
    let (ours, theirs) = super::plumbing::conversation()?;
    let enter = super::Chdir { path: dir };
    let program = Become(program);
    let flags = nix::sched::CloneFlags::empty();
    match k.call(super::Clone3 { flags, into_cgroup: None })? {
        super::Fork::Child => {
            drop(ours);
            if !matches!(super::plumbing::receive(&theirs, &mut Vec::new()), Ok(Some(_))) {
                super::plumbing::leave(1);
            }
            super::plumbing::restore_signals();
            let _ = enter.perform().and_then(|()| program.perform());
            super::plumbing::leave(127)
        }
        super::Fork::Parent(pid) => {
            drop(theirs);
            k.announce_of(pid, &enter);
            k.announce_of(pid, &program);
            all_is_shown();
            super::plumbing::send(&ours, b"go", None).map_err(std::io::Error::from)?;
            Ok(pid)
        }
    }
}
