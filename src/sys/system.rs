//! What the machine is called: sethostname(2), setdomainname(2). And bpf(2), for device rules on
//! cgroup v2.

use nix::errno::Errno;
use nix::libc;

use super::descriptor::Fd;
use super::kernel::Syscall;
use crate::args::{Arg, Args};

/// sethostname(2), in the caller's UTS namespace.
#[derive(Debug)]
pub struct Sethostname<'a> {
    pub name: &'a str,
}

impl Syscall for Sethostname<'_> {
    const NAME: &'static str = "sethostname";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("name", Arg::Str(self.name.into()))
            .with("len", Arg::Int(self.name.len() as i64))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: pointer and length are those of a live string.
        Errno::result(unsafe { libc::sethostname(self.name.as_ptr().cast(), self.name.len()) })
            .map(drop)
    }
}

/// setdomainname(2): the NIS domain name, in the caller's UTS namespace.
#[derive(Debug)]
pub struct Setdomainname<'a> {
    pub name: &'a str,
}

impl Syscall for Setdomainname<'_> {
    const NAME: &'static str = "setdomainname";
    type Answer = ();

    fn args(&self) -> Args {
        Args::new()
            .with("name", Arg::Str(self.name.into()))
            .with("len", Arg::Int(self.name.len() as i64))
    }

    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: pointer and length are those of a live string.
        Errno::result(unsafe { libc::setdomainname(self.name.as_ptr().cast(), self.name.len()) })
            .map(drop)
    }
}

/// One eBPF instruction, linux/bpf.h `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    pub code: u8,
    /// Destination register in the low four bits, source in the high four.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// bpf(2) BPF_PROG_LOAD of a BPF_PROG_TYPE_CGROUP_DEVICE program.
#[derive(Debug)]
pub struct BpfProgLoad<'a> {
    pub insns: &'a [Insn],
}

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The start of `union bpf_attr` for BPF_PROG_LOAD; the kernel takes the rest as zero.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

impl Syscall for BpfProgLoad<'_> {
    const NAME: &'static str = "bpf";
    type Answer = Fd;

    fn args(&self) -> Args {
        let attr = Args::new()
            .with("prog_type", Arg::name("BPF_PROG_TYPE_CGROUP_DEVICE"))
            .with("insn_cnt", Arg::Int(self.insns.len() as i64))
            .with("license", Arg::Str("Apache".into()));
        Args::new()
            .with("cmd", Arg::name("BPF_PROG_LOAD"))
            .with("attr", Arg::Struct(attr))
            .with("size", Arg::Int(size_of::<LoadAttr>() as i64))
    }

    fn perform(&self) -> Result<Fd, Errno> {
        let attr = LoadAttr {
            prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
            insn_cnt: self.insns.len() as u32,
            insns: self.insns.as_ptr() as u64,
            license: c"Apache".as_ptr() as u64,
        };
        // SAFETY: attr and what it points to live until the call returns; the size is its own.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &attr, size_of_val(&attr)) };
        // SAFETY: the kernel just gave it to us.
        Ok(unsafe { Fd::own(Errno::result(fd)? as i32) })
    }

    fn opens(&self) -> Option<String> {
        Some("device rules".into())
    }
}

/// bpf(2) BPF_PROG_ATTACH: the kernel asks the program about every device that the cgroup opens.
#[derive(Debug)]
pub struct BpfProgAttach<'a> {
    pub cgroup: &'a Fd,
    pub program: &'a Fd,
}

#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

impl Syscall for BpfProgAttach<'_> {
    const NAME: &'static str = "bpf";
    type Answer = ();

    fn args(&self) -> Args {
        let attr = Args::new()
            .with("target_fd", self.cgroup.at().arg())
            .with("attach_bpf_fd", self.program.at().arg())
            .with("attach_type", Arg::name("BPF_CGROUP_DEVICE"))
            .with("attach_flags", Arg::Flags(vec!["BPF_F_ALLOW_MULTI".into()]));
        Args::new()
            .with("cmd", Arg::name("BPF_PROG_ATTACH"))
            .with("attr", Arg::Struct(attr))
            .with("size", Arg::Int(size_of::<AttachAttr>() as i64))
    }

    fn perform(&self) -> Result<(), Errno> {
        let attr = AttachAttr {
            target_fd: self.cgroup.raw() as u32,
            attach_bpf_fd: self.program.raw() as u32,
            attach_type: BPF_CGROUP_DEVICE,
            attach_flags: BPF_F_ALLOW_MULTI,
        };
        // SAFETY: attr lives until the call returns; the size is its own.
        let answer =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &attr, size_of_val(&attr)) };
        Errno::result(answer).map(drop)
    }
}
