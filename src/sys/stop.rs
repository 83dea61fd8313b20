//! Being asked to end while something long is made: sigpending(2), signalfd(2), poll(2), signal(7).
//!
//! Whoever has to undo what it makes blocks the signals that would end it. They wait, and between two
//! pieces of work, and wherever this process waits for another, one looks whether such a signal has come.
//! Looking takes none of them away: what nobody answers here is passed on to the program later. A signal
//! that this process was started to ignore, as by nohup(1), asks for nothing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, connect, getsockopt, socket,
    sockopt,
};

use super::plumbing::{self, Ending};
use super::{Kernel, Kill, Pid, signal_name};
use crate::error::{Error, Result};

/// What asks a process to end, and leaves it to the process how.
const ENDS: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// The signal that asks this process to end, if one is blocked and waits.
pub(super) fn asked() -> Option<i32> {
    let mut waiting = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills in the set, and fails only for a pointer to nowhere.
    let waiting = unsafe {
        libc::sigpending(waiting.as_mut_ptr());
        SigSet::from_sigset_t_unchecked(waiting.assume_init())
    };
    let is_meant = |signal: &Signal| waiting.contains(*signal) && !is_ignored(*signal);
    ENDS.into_iter().find(is_meant).map(|signal| signal as i32)
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: plain numbers and an address, for which all zeroes is a valid value.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks for a disposition, and sets none.
    unsafe { libc::sigaction(signal as i32, std::ptr::null(), &mut now) };
    now.sa_sigaction == libc::SIG_IGN
}

/// Between two pieces of work: an error if there shall be no further one.
pub fn go_on() -> Result<()> {
    asked().map_or(Ok(()), |signal| Err(ended(signal)))
}

/// As long as this is there, what asks for the end waits, for whoever looks for it between two pieces of work. Then
/// it comes as it would have.
pub struct Later {
    before: SigSet,
}

/// To be asked for before threads are begun, which have it from whoever begins them.
pub fn later() -> Result<Later> {
    let ends: SigSet = ENDS.into_iter().collect();
    let before = ends.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    Ok(Later { before: before.map_err(io::Error::from)? })
}

impl Drop for Later {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

fn ended(signal: i32) -> Error {
    Error::yours(format!("ended by {}", signal_name(signal)))
}

/// The exit status of whoever was asked to end and gave up for that reason, with this error.
pub fn status(error: &Error) -> Option<i32> {
    asked().filter(|signal| error.kind == ended(*signal).kind).map(|signal| 128 + signal)
}

/// Waits until a descriptor is ready.
///
/// # Errors
/// It is not within this time, or this process is asked to end before.
pub fn wait(fd: BorrowedFd, ready: PollFlags, patience: Option<Duration>) -> io::Result<()> {
    let ends: SigSet = ENDS.into_iter().filter(|signal| !is_ignored(*signal)).collect();
    let asks = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC)?;
    let mut fds = [PollFd::new(fd, ready), PollFd::new(asks.as_fd(), PollFlags::POLLIN)];
    let limit = patience.map_or(PollTimeout::NONE, |patience| {
        PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)
    });
    let count = plumbing::retry(|| poll(&mut fds, limit))?;
    go_on().map_err(io::Error::other)?;
    match patience {
        Some(patience) if count == 0 => {
            let text = format!("nothing came for {} seconds", patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        _ => Ok(()),
    }
}

/// Lets this much time go by.
///
/// # Errors
/// This process is asked to end before.
pub fn pause(time: Duration) -> Result<()> {
    // The descriptor is of an end of a pipe to which nobody writes, and which nobody closes.
    let (quiet, _kept) = io::pipe()?;
    match wait(quiet.as_fd(), PollFlags::POLLIN, Some(time)) {
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(()),
        Err(e) => go_on().and(Err(e.into())),
        Ok(()) => Ok(()),
    }
}

/// Connects to an address of the network.
///
/// # Errors
/// As with [`wait`], and if nobody listens there.
pub fn connected(address: &SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let open = |family| socket(family, SockType::Stream, flags, None);
    let stream = open(if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 })?;
    let answer = match address {
        SocketAddr::V4(address) => connect(stream.as_raw_fd(), &SockaddrIn::from(*address)),
        SocketAddr::V6(address) => connect(stream.as_raw_fd(), &SockaddrIn6::from(*address)),
    };
    match answer {
        Err(Errno::EINPROGRESS) => {
            wait(stream.as_fd(), PollFlags::POLLOUT, Some(patience))?;
            match getsockopt(&stream, sockopt::SocketError)? {
                0 => {}
                errno => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
        answer => answer?,
    }
    let stream = TcpStream::from(stream);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Waits for a child that does a part of the work: its exit status. If this process is asked to end, the
/// child is asked too.
pub fn reap(k: &Kernel, pid: Pid) -> Result<i32> {
    let ending = Ending::of(pid.0)?;
    if let (Err(_), Some(signal)) = (wait(ending.as_fd(), PollFlags::POLLIN, None), asked()) {
        let _ = k.ask(Kill { pid, signal }, &[Errno::ESRCH]);
    }
    plumbing::reap(pid.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn who_says_nothing_is_not_waited_for_longer_than_that() {
        let (here, there) = UnixStream::pair().unwrap();
        let now = Some(Duration::ZERO);
        let error = wait(here.as_fd(), PollFlags::POLLIN, now).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        io::Write::write_all(&mut &there, b"word").unwrap();
        wait(here.as_fd(), PollFlags::POLLIN, now).unwrap();
    }

    /// In a thread of its own, with which the signal goes.
    #[test]
    fn a_signal_that_waits_asks_for_the_end_and_goes_on_waiting() {
        let thread = std::thread::spawn(|| {
            SigSet::from(Signal::SIGTERM).thread_block().unwrap();
            go_on().unwrap();
            nix::sys::signal::raise(Signal::SIGTERM).unwrap();
            let error = go_on().unwrap_err();
            assert_eq!(error.to_string(), "ended by SIGTERM");
            assert_eq!(status(&error.at("entry 7")), Some(128 + 15));
            assert_eq!(status(&Error::yours("another reason")), None);
            let (here, _there) = UnixStream::pair().unwrap();
            wait(here.as_fd(), PollFlags::POLLIN, None).unwrap_err();
        });
        thread.join().unwrap();
    }
}
