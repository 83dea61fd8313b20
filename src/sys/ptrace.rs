//! Watching another process from outside: ptrace(2), process_vm_readv(2).
//!
//! The tracer seizes a process; from then on that process, and all it starts, stop at the entry and
//! at the exit of every system call until the tracer lets them go on. What the kernel says there
//! (PTRACE_GET_SYSCALL_INFO) does not pass through the code of the process that is watched: that is
//! what makes it evidence.

use nix::errno::Errno;
use nix::libc;

use super::kernel::{Fork, Pid};
use crate::error::Result;

/// Why a process that is watched has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// About to make this call.
    Entry { number: i64, args: [u64; 6] },
    /// Back from a call, with the kernel's answer.
    Exit { value: i64, refused: bool },
    /// It has become another program.
    Exec,
    /// A signal is about to reach it.
    Signal(i32),
    /// A signal has stopped it, as Ctrl-Z does.
    Group,
    /// Anything that only wants to be let go on: a first stop, a clone's notice.
    Passing,
    /// It has ended: its exit status, or 128+N.
    Ended(i32),
}

/// The tracer's request as the C library takes it.
type Request = libc::c_uint;

fn request(request: Request, pid: i32, addr: usize, data: usize) -> Result<i64, Errno> {
    // SAFETY: the requests made here take numbers, or (below) a buffer of the given size.
    let answer = unsafe { libc::ptrace(request as _, pid, addr, data) };
    Errno::result(answer as i64)
}

/// A copy of this process, as fork(2) makes it: it is to be watched from its first step on.
pub fn split() -> Result<Fork> {
    assert_eq!(super::look::threads(), 1, "a process that forks must have one thread");
    // SAFETY: this process has one thread (asserted above), so no lock is held by a thread that
    // the copy lacks.
    match Errno::result(unsafe { libc::fork() }).map_err(std::io::Error::from)? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Pid(pid))),
    }
}

/// Begins to watch a process and all that it will start. They die with the watcher.
pub fn seize(pid: i32) -> Result<(), Errno> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SEIZE, pid, 0, options as usize)?;
    request(libc::PTRACE_INTERRUPT, pid, 0, 0).map(drop)
}

/// Waits until a seized process has stopped for the first time.
pub fn first_stop(pid: i32) -> Result<(), Errno> {
    let mut status = 0;
    loop {
        // SAFETY: takes a pointer to the integer that it fills.
        match Errno::result(unsafe { libc::waitpid(pid, &mut status, libc::__WALL) }) {
            Err(Errno::EINTR) => continue,
            Ok(_) if !libc::WIFSTOPPED(status) => return Err(Errno::ESRCH),
            other => return other.map(drop),
        }
    }
}

/// A signal that was meant for the process that is watched.
pub fn send(pid: i32, signal: i32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(pid, signal) };
}

/// Lets a stopped process go on to its next call, and takes a signal to it.
pub fn go_on(pid: i32, signal: i32) {
    // A process that was killed meanwhile is not there to go on.
    let _ = request(libc::PTRACE_SYSCALL, pid, 0, signal as usize);
}

/// Leaves a process stopped by a signal as it is, until SIGCONT.
pub fn stay(pid: i32) {
    let _ = request(libc::PTRACE_LISTEN, pid, 0, 0);
}

/// Stops watching.
pub fn release(pid: i32) {
    let _ = request(libc::PTRACE_DETACH, pid, 0, 0);
}

/// The next process that has stopped, if one has.
pub fn next_stop() -> Option<(i32, Stop)> {
    let mut status = 0;
    // SAFETY: takes a pointer to the integer that it fills.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::__WALL) };
    (pid > 0).then(|| (pid, meaning(pid, status)))
}

fn meaning(pid: i32, status: i32) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Ended(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Ended(128 + libc::WTERMSIG(status));
    }
    match (libc::WSTOPSIG(status), status >> 16) {
        (signal, _) if signal == libc::SIGTRAP | 0x80 => at_call(pid).unwrap_or(Stop::Passing),
        (_, libc::PTRACE_EVENT_EXEC) => Stop::Exec,
        (libc::SIGTRAP, libc::PTRACE_EVENT_STOP) => Stop::Passing,
        (_, libc::PTRACE_EVENT_STOP) => Stop::Group,
        (signal, 0) => Stop::Signal(signal),
        _ => Stop::Passing,
    }
}

/// What the kernel says about the call at which a process has stopped.
pub fn at_call(pid: i32) -> Result<Stop, Errno> {
    // SAFETY: plain numbers, for which all zeroes is a valid value.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let (size, place) = (size_of_val(&info), &raw mut info as usize);
    request(libc::PTRACE_GET_SYSCALL_INFO as Request, pid, size, place)?;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: the kernel says by `op` which member of the union it filled.
            let entry = unsafe { info.u.entry };
            Stop::Entry { number: entry.nr as i64, args: entry.args }
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => {
            // SAFETY: as above.
            let exit = unsafe { info.u.exit };
            Stop::Exit { value: exit.sval, refused: exit.is_error != 0 }
        }
        _ => Stop::Passing,
    })
}

/// Reads another process's memory: as many of `length` bytes as are there.
pub fn memory(pid: i32, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; length];
    let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    let there = libc::iovec { iov_base: address as usize as *mut _, iov_len: length };
    // SAFETY: `here` is a live buffer of its length; `there` is looked up in the other process,
    // and what is not mapped there is an error, or a shorter answer.
    let read = unsafe { libc::process_vm_readv(pid, &here, 1, &there, 1, 0) };
    bytes.truncate(usize::try_from(read).unwrap_or(0));
    bytes
}

/// Whether this kernel tells a tracer at which call a stopped process is.
pub fn can_ask(pid: i32) -> Result<(), Errno> {
    match at_call(pid) {
        Err(errno @ (Errno::EIO | Errno::EINVAL)) => Err(errno),
        _ => Ok(()),
    }
}
