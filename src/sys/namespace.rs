//! Namespaces: clone3(2), unshare(2), setns(2). See namespaces(7).

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;

use super::descriptor::Fd;
use super::kernel::{Answer, Fork, Pid, Syscall};
use crate::args::{Arg, Args};

/// A kind of namespace, by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its link in `/proc/PID/ns`.
    pub link: &'static str,
    /// As people say it: `mount namespace`.
    pub name: &'static str,
    pub flag: CloneFlags,
}

/// CLONE_NEWTIME is newer than nix's list; its bit is clone(2)'s exit-signal byte, so that only
/// clone3 and unshare take it.
pub const NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

/// All of them, in the order in which they tell most of a container.
pub const KINDS: [Kind; 8] = [
    Kind { link: "mnt", name: "mount", flag: CloneFlags::CLONE_NEWNS },
    Kind { link: "pid", name: "pid", flag: CloneFlags::CLONE_NEWPID },
    Kind { link: "uts", name: "UTS", flag: CloneFlags::CLONE_NEWUTS },
    Kind { link: "net", name: "network", flag: CloneFlags::CLONE_NEWNET },
    Kind { link: "ipc", name: "IPC", flag: CloneFlags::CLONE_NEWIPC },
    Kind { link: "user", name: "user", flag: CloneFlags::CLONE_NEWUSER },
    Kind { link: "cgroup", name: "cgroup", flag: CloneFlags::CLONE_NEWCGROUP },
    Kind { link: "time", name: "time", flag: NEWTIME },
];

/// clone3(2): a new process, in the new namespaces that `flags` name, and born in a cgroup (v2).
#[derive(Debug)]
pub struct Clone3<'a> {
    pub flags: CloneFlags,
    /// The cgroup2 directory to be born in: `CLONE_INTO_CGROUP`.
    pub into_cgroup: Option<&'a Fd>,
}

/// Not in nix's or libc's flag type, which has 32 bits: linux/sched.h.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl Syscall for Clone3<'_> {
    const NAME: &'static str = "clone3";
    type Answer = Fork;

    fn args(&self) -> Args {
        let mut flags = Arg::flags(self.flags);
        if let (Arg::Flags(names), true) = (&mut flags, self.into_cgroup.is_some()) {
            names.push("CLONE_INTO_CGROUP".into());
        }
        let mut fields = Args::new().with("flags", flags).with("exit_signal", Arg::name("SIGCHLD"));
        if let Some(cgroup) = self.into_cgroup {
            fields = fields.with("cgroup", cgroup.at().arg());
        }
        let size = size_of::<libc::clone_args>() as i64;
        Args::new().with("cl_args", Arg::Struct(fields)).with("size", Arg::Int(size))
    }

    fn perform(&self) -> Result<Fork, Errno> {
        assert_eq!(super::look::threads(), 1, "a process that clones must have one thread");
        let args = libc::clone_args {
            flags: self.flags.bits() as u64
                | if self.into_cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
            pidfd: 0,
            child_tid: 0,
            parent_tid: 0,
            exit_signal: libc::SIGCHLD as u64,
            stack: 0,
            stack_size: 0,
            tls: 0,
            set_tid: 0,
            set_tid_size: 0,
            cgroup: self.into_cgroup.map_or(0, |fd| fd.raw() as u64),
        };
        // SAFETY: without CLONE_VM the child gets its own copy of memory, as after fork; this
        // process has one thread (asserted above), so no lock is held by a thread that the child
        // lacks. The structure outlives the call.
        let answer = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) };
        match Errno::result(answer)? {
            0 => Ok(Fork::Child),
            pid => Ok(Fork::Parent(Pid(pid as i32))),
        }
    }
}

/// unshare(2): this process leaves the namespaces it shares with others for new ones.
#[derive(Debug)]
pub struct Unshare {
    pub flags: CloneFlags,
}

impl Syscall for Unshare {
    const NAME: &'static str = "unshare";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("flags", Arg::flags(self.flags))
    }

    fn perform(&self) -> Result<(), Errno> {
        nix::sched::unshare(self.flags)
    }
}

/// setns(2): joins the namespace behind a descriptor. For pid and time, children join, not the
/// caller.
#[derive(Debug)]
pub struct Setns<'a> {
    pub fd: &'a Fd,
    pub kind: CloneFlags,
}

impl Syscall for Setns<'_> {
    const NAME: &'static str = "setns";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new().with("fd", self.fd.at().arg()).with("nstype", Arg::flags(self.kind))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: takes numbers, touches no memory of ours.
        Errno::result(unsafe { libc::setns(self.fd.raw(), self.kind.bits()) }).map(drop)
    }
}

impl Answer for Pid {
    fn number(&self) -> i64 {
        self.0.into()
    }
    fn pretend(_: i32) -> Pid {
        Pid(0)
    }
}
