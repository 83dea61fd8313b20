//! Who a process is and what it may do: setresuid(2), setresgid(2), setgroups(2), capset(2),
//! prctl(2), umask(2). See credentials(7), capabilities(7).

use nix::errno::Errno;
use nix::libc;

use super::CapSet;
use super::kernel::Syscall;
use crate::args::{Arg, Args};

/// setresuid(2): real, effective and saved user id at once.
#[derive(Debug)]
pub struct Setresuid(pub u32);

impl Syscall for Setresuid {
    const NAME: &'static str = "setresuid";
    type Answer = ();

    fn args(&self) -> Args {
        let id = || Arg::Int(self.0.into());
        Args::new().with("ruid", id()).with("euid", id()).with("suid", id())
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: takes numbers. glibc would tell other threads; there are none.
        Errno::result(unsafe { libc::setresuid(self.0, self.0, self.0) }).map(drop)
    }
}

/// setresgid(2): real, effective and saved group id at once.
#[derive(Debug)]
pub struct Setresgid(pub u32);

impl Syscall for Setresgid {
    const NAME: &'static str = "setresgid";
    type Answer = ();

    fn args(&self) -> Args {
        let id = || Arg::Int(self.0.into());
        Args::new().with("rgid", id()).with("egid", id()).with("sgid", id())
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::result(unsafe { libc::setresgid(self.0, self.0, self.0) }).map(drop)
    }
}

/// setgroups(2): the supplementary groups.
#[derive(Debug)]
pub struct Setgroups<'a>(pub &'a [u32]);

impl Syscall for Setgroups<'_> {
    const NAME: &'static str = "setgroups";
    type Answer = ();

    fn args(&self) -> Args {
        let list = self.0.iter().map(|g| Arg::Int((*g).into())).collect();
        Args::new().with("size", Arg::Int(self.0.len() as i64)).with("list", Arg::List(list))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: pointer and length are those of a live slice.
        Errno::result(unsafe { libc::setgroups(self.0.len(), self.0.as_ptr()) }).map(drop)
    }
}

/// capset(2), version 3, of the calling process.
#[derive(Debug)]
pub struct Capset {
    pub effective: CapSet,
    pub permitted: CapSet,
    pub inheritable: CapSet,
}

const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

impl Syscall for Capset {
    const NAME: &'static str = "capset";
    type Answer = ();

    fn args(&self) -> Args {
        let header = Args::new()
            .with("version", Arg::name("_LINUX_CAPABILITY_VERSION_3"))
            .with("pid", Arg::Int(0));
        let data = Args::new()
            .with("effective", Arg::flags(self.effective))
            .with("permitted", Arg::flags(self.permitted))
            .with("inheritable", Arg::flags(self.inheritable));
        Args::new().with("hdrp", Arg::Struct(header)).with("datap", Arg::Struct(data))
    }

    fn perform(&self) -> Result<(), Errno> {
        let header = [LINUX_CAPABILITY_VERSION_3, 0];
        let sets = [self.effective, self.permitted, self.inheritable].map(|s| s.bits());
        let low = sets.map(|bits| bits as u32);
        let high = sets.map(|bits| (bits >> 32) as u32);
        // SAFETY: header and the two halves of the data are laid out as capset(2) has them.
        let answer =
            unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), [low, high].as_ptr()) };
        Errno::result(answer).map(drop)
    }
}

/// The operations of prctl(2) that shape a container.
#[derive(Debug, Clone, Copy)]
pub enum Prctl {
    /// PR_CAPBSET_DROP: gives up a capability for good, for this process and all it starts.
    CapbsetDrop(CapSet),
    /// PR_SET_KEEPCAPS: keep the permitted set over the next change of user.
    SetKeepcaps(bool),
    /// PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL.
    AmbientClearAll,
    /// PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE: survives the execve of an ordinary file.
    AmbientRaise(CapSet),
    /// PR_SET_NO_NEW_PRIVS: no execve from here on can add privileges. There is no way back.
    SetNoNewPrivs,
    /// PR_SET_DUMPABLE: who may ptrace this process and open its /proc files.
    SetDumpable(bool),
    /// PR_SET_NAME: what `ps` shows.
    SetName(&'static str),
    /// PR_SET_CHILD_SUBREAPER: orphans below this process come to it.
    SetChildSubreaper,
    /// PR_SET_PDEATHSIG: this signal comes when the parent ends.
    SetPdeathsig(i32),
}

impl Prctl {
    fn numbers(&self) -> [libc::c_ulong; 3] {
        let number = |set: &CapSet| libc::c_ulong::from(set.bits().trailing_zeros());
        match self {
            Prctl::CapbsetDrop(cap) => [libc::PR_CAPBSET_DROP as _, number(cap), 0],
            Prctl::SetKeepcaps(on) => [libc::PR_SET_KEEPCAPS as _, (*on).into(), 0],
            Prctl::AmbientClearAll => {
                [libc::PR_CAP_AMBIENT as _, libc::PR_CAP_AMBIENT_CLEAR_ALL as _, 0]
            }
            Prctl::AmbientRaise(cap) => {
                [libc::PR_CAP_AMBIENT as _, libc::PR_CAP_AMBIENT_RAISE as _, number(cap)]
            }
            Prctl::SetNoNewPrivs => [libc::PR_SET_NO_NEW_PRIVS as _, 1, 0],
            Prctl::SetDumpable(on) => [libc::PR_SET_DUMPABLE as _, (*on).into(), 0],
            Prctl::SetName(_) => [libc::PR_SET_NAME as _, 0, 0],
            Prctl::SetChildSubreaper => [libc::PR_SET_CHILD_SUBREAPER as _, 1, 0],
            Prctl::SetPdeathsig(signal) => [libc::PR_SET_PDEATHSIG as _, *signal as _, 0],
        }
    }
}

impl Syscall for Prctl {
    const NAME: &'static str = "prctl";
    type Answer = ();

    fn args(&self) -> Args {
        let op = |name| Args::new().with("op", Arg::name(name));
        let cap = |set: &CapSet| Arg::Flags(set.iter_names().map(|(n, _)| n.into()).collect());
        match self {
            Prctl::CapbsetDrop(set) => op("PR_CAPBSET_DROP").with("cap", cap(set)),
            Prctl::SetKeepcaps(on) => op("PR_SET_KEEPCAPS").with("state", Arg::Int(i64::from(*on))),
            Prctl::AmbientClearAll => op("PR_CAP_AMBIENT")
                .with("arg2", Arg::name("PR_CAP_AMBIENT_CLEAR_ALL"))
                .with("arg3", Arg::Int(0))
                .with("arg4", Arg::Int(0))
                .with("arg5", Arg::Int(0)),
            Prctl::AmbientRaise(set) => op("PR_CAP_AMBIENT")
                .with("arg2", Arg::name("PR_CAP_AMBIENT_RAISE"))
                .with("cap", cap(set))
                .with("arg4", Arg::Int(0))
                .with("arg5", Arg::Int(0)),
            Prctl::SetNoNewPrivs => op("PR_SET_NO_NEW_PRIVS")
                .with("arg2", Arg::Int(1))
                .with("arg3", Arg::Int(0))
                .with("arg4", Arg::Int(0))
                .with("arg5", Arg::Int(0)),
            Prctl::SetDumpable(on) => op("PR_SET_DUMPABLE").with(
                "dumpable",
                Arg::name(if *on { "SUID_DUMP_USER" } else { "SUID_DUMP_DISABLE" }),
            ),
            Prctl::SetName(name) => op("PR_SET_NAME").with("name", Arg::Str((*name).into())),
            Prctl::SetChildSubreaper => op("PR_SET_CHILD_SUBREAPER").with("set", Arg::Int(1)),
            Prctl::SetPdeathsig(signal) => {
                op("PR_SET_PDEATHSIG").with("sig", Arg::name(super::signal_name(*signal)))
            }
        }
    }

    fn perform(&self) -> Result<(), Errno> {
        let [op, a, b] = self.numbers();
        let name = if let Prctl::SetName(name) = self { *name } else { "" };
        let mut text = [0u8; 16];
        let length = name.len().min(15);
        text[..length].copy_from_slice(&name.as_bytes()[..length]);
        let a = if name.is_empty() { a } else { text.as_ptr() as libc::c_ulong };
        let none: libc::c_ulong = 0;
        // SAFETY: every operation here takes numbers, or (PR_SET_NAME) a string of at most 16
        // bytes with its NUL, which lives until the call returns.
        Errno::result(unsafe { libc::prctl(op as i32, a, b, none, none) }).map(drop)
    }
}

/// umask(2). Cannot fail; the answer is the mask that was.
#[derive(Debug)]
pub struct Umask(pub u32);

impl Syscall for Umask {
    const NAME: &'static str = "umask";
    type Answer = usize;

    fn args(&self) -> Args {
        Args::new().with("mask", Arg::Mode(self.0))
    }

    fn perform(&self) -> Result<usize, Errno> {
        // SAFETY: takes a number.
        Ok(unsafe { libc::umask(self.0) } as usize)
    }
}
