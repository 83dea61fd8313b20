//! What learnc needs to hold a conversation with itself: a socket pair, a shared page, waiting.
//!
//! This is how a run is told and synchronised, not what makes a container. It is not narrated by
//! default; `tests/unnarrated.txt` lists these calls with the reason.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept4, bind, connect, listen, recvmsg, sendmsg, socket, socketpair,
};
use nix::sys::wait::WaitStatus;

use super::descriptor::Fd;
use crate::error::{Error, Result};

/// The most bytes that one message has. The kernel's default buffer holds a little more.
pub const LONGEST_MESSAGE: usize = 160 * 1024;

fn io(errno: Errno) -> Error {
    std::io::Error::from(errno).into()
}

/// The two ends of a conversation that keeps messages whole and ends with its holder: unix(7),
/// SOCK_SEQPACKET.
pub fn conversation() -> Result<(Fd, Fd)> {
    let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(io)?;
    Ok((a.into(), b.into()))
}

/// A socket that waits at a path for the one peer that will say `start`.
pub fn listen_at(path: &Path) -> Result<Fd> {
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
        .map_err(io)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path).map_err(io)?).map_err(io)?;
    listen(&fd, Backlog::new(1).map_err(io)?).map_err(io)?;
    Ok(fd.into())
}

/// Takes the one peer that connects.
pub fn accept_one(listener: &Fd) -> Result<Fd> {
    Ok(retry(|| accept4(listener, SockFlag::SOCK_CLOEXEC)).map_err(io)?.into())
}

/// Connects to a socket that waits at a path.
pub fn connect_to(path: &Path, kind: SockType) -> Result<Fd> {
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).map_err(io)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path).map_err(io)?).map_err(io)?;
    Ok(fd.into())
}

/// Sends one message, whole, and a descriptor with it if there is one. MSG_NOSIGNAL: a peer that
/// has gone is an error, not a signal.
pub fn send(socket: &Fd, bytes: &[u8], fd: Option<RawFd>) -> Result<(), Errno> {
    let iov = [std::io::IoSlice::new(bytes)];
    let fds = fd.map(|fd| [fd]);
    let control: Vec<_> = fds.iter().map(|fds| ControlMessage::ScmRights(fds)).collect();
    retry(|| sendmsg::<()>(socket.raw(), &iov, &control, MsgFlags::MSG_NOSIGNAL, None)).map(drop)
}

/// Receives one message into `buffer`; None at the end of the conversation.
pub fn receive(socket: &Fd, buffer: &mut Vec<u8>) -> Result<Option<Option<OwnedFd>>, Errno> {
    buffer.resize(LONGEST_MESSAGE, 0);
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let (length, fd) = {
        let mut iov = [IoSliceMut::new(buffer)];
        let message = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(socket.raw(), &mut iov, Some(&mut space), flags) {
                Err(Errno::EINTR) => continue,
                // A peer that died with unread messages resets; that is the end as well.
                Err(Errno::ECONNRESET) => return Ok(None),
                other => break other?,
            }
        };
        let mut fd = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                // SAFETY: the kernel just gave them to us; we ask for room for one.
                fd = fds.first().map(|raw| unsafe { Fd::own(*raw) });
            }
        }
        (message.bytes, fd)
    };
    buffer.truncate(length);
    Ok(if length == 0 { None } else { Some(fd.and_then(Fd::into_owned)) })
}

/// Asks again after a signal came in between.
pub(super) fn retry<T>(mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match f() {
            Err(Errno::EINTR) => continue,
            other => return other,
        }
    }
}

/// Takes over a descriptor that was handed to this process by its number, as the command line says.
pub fn adopt(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: asks about a number; EBADF is an answer.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(Error::yours(format!("descriptor {number} is not open")));
    }
    // SAFETY: it is open, and by the option's meaning nobody else here uses it.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}

/// Reaps a child: its exit status, or 128+N if signal N ended it.
pub fn reap(pid: i32) -> Result<i32> {
    let pid = nix::unistd::Pid::from_raw(pid);
    loop {
        match retry(|| nix::sys::wait::waitpid(pid, None)).map_err(io)? {
            WaitStatus::Exited(_, status) => return Ok(status),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
            _ => continue,
        }
    }
}

/// Prepares the slave of a fresh terminal: its number below /dev/pts, unlocked, of this size
/// (columns, rows). ioctl_tty(2).
pub fn unlock_terminal(master: &Fd, size: Option<(u16, u16)>) -> Result<u32> {
    let (mut number, unlock) = (0u32, 0i32);
    // SAFETY: each operation takes a pointer to the integer it documents, which outlives the call.
    Errno::result(unsafe { libc::ioctl(master.raw(), libc::TIOCGPTN, &mut number) }).map_err(io)?;
    // SAFETY: as above.
    Errno::result(unsafe { libc::ioctl(master.raw(), libc::TIOCSPTLCK, &unlock) }).map_err(io)?;
    if let Some((columns, rows)) = size {
        set_terminal_size(master, columns, rows)?;
    }
    Ok(number)
}

/// Tells a terminal its size; its programs get SIGWINCH.
pub fn set_terminal_size(terminal: &impl AsRawFd, columns: u16, rows: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: takes a pointer to a winsize, which outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) })
        .map(drop)
        .map_err(io)
}

/// Columns and rows of a terminal; None if it is none.
pub fn terminal_size(fd: RawFd) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: takes a pointer to a winsize, which outlives the call; the number may be anything.
    let answer = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &mut size) };
    (answer == 0 && size.ws_col > 0).then_some((size.ws_col, size.ws_row))
}

/// Ends this process at once, without running what was registered for its end: it is a copy of
/// the runtime, whose affairs are not its own.
pub fn leave(status: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// A file shared in memory by everybody who maps it. What is written stays when the writer is
/// killed, and writing it takes no system call.
pub struct SharedPage {
    start: *mut u8,
    length: usize,
}

impl SharedPage {
    /// Maps `length` bytes of an open file, which must be at least that long.
    pub fn map(fd: BorrowedFd, length: usize) -> Result<SharedPage> {
        let size = std::num::NonZeroUsize::new(length).ok_or(Errno::EINVAL).map_err(io)?;
        use nix::sys::mman::{MapFlags, ProtFlags, mmap};
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping, placed by the kernel, overlaps nothing of ours.
        let start = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, fd, 0) };
        Ok(SharedPage { start: start.map_err(io)?.as_ptr().cast(), length })
    }

    /// Copies bytes in at an offset, as far as they fit, then makes them valid by storing `value`
    /// in the word at `flag`.
    pub fn publish(&self, offset: usize, bytes: &[u8], flag: usize, value: u32) {
        let room = self.length.saturating_sub(offset).min(bytes.len());
        // SAFETY: offset + room is within the mapping; the other side reads these bytes only
        // after it has seen the word below.
        unsafe { self.start.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), room) };
        self.word(flag).store(value, Ordering::Release);
    }

    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.length);
        // SAFETY: aligned (a mapping starts on a page), inside the mapping, and only ever
        // accessed atomically.
        unsafe { AtomicU32::from_ptr(self.start.add(offset).cast()) }
    }

    /// A copy of some bytes.
    pub fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let room = self.length.saturating_sub(offset).min(length);
        let mut bytes = vec![0; room];
        // SAFETY: offset + room is within the mapping.
        unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(self.start.add(offset), room) };
        bytes
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// The end of a process, to be waited for whosever child it is: pidfd_open(2).
pub struct Ending(OwnedFd);

impl Ending {
    pub fn of(pid: i32) -> Result<Ending> {
        Ending::open(pid).map_err(io)
    }

    /// The same of a process that may be gone by now.
    pub fn if_there(pid: i32) -> Result<Option<Ending>> {
        match Ending::open(pid) {
            Err(Errno::ESRCH) => Ok(None),
            answer => answer.map(Some).map_err(io),
        }
    }

    fn open(pid: i32) -> Result<Ending, Errno> {
        // SAFETY: takes numbers.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let raw = Errno::result(answer)? as RawFd;
        // SAFETY: the kernel just gave it to us. pidfds are close-on-exec.
        Ok(Ending(unsafe { std::os::fd::FromRawFd::from_raw_fd(raw) }))
    }

    /// Waits for it.
    pub fn wait(&self) -> Result<()> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        retry(|| poll(&mut fds, PollTimeout::NONE)).map(drop).map_err(io)
    }
}

impl AsFd for Ending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives a new process the signal mask and dispositions that programs expect: nothing blocked,
/// nothing ignored. The runtime blocks what it forwards, and Rust ignores SIGPIPE.
pub fn restore_signals() {
    use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Waits until a cgroup may have become empty: v2 changes `cgroup.events` at that moment, which
/// inotify(7) tells; v1 tells nobody, so there a processor's turn is given to the exiting process.
pub fn wait_for_cgroup(path: &Path) -> Result<()> {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let events = path.join("cgroup.events");
    let populated =
        || std::fs::read_to_string(&events).is_ok_and(|text| text.contains("populated 1"));
    if !events.exists() || !populated() {
        // SAFETY: takes nothing.
        unsafe { libc::sched_yield() };
        return Ok(());
    }
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(io)?;
    watch.add_watch(&events, AddWatchFlags::IN_MODIFY).map_err(io)?;
    if populated() {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        retry(|| poll(&mut fds, PollTimeout::from(1000u16))).map_err(io)?;
    }
    Ok(())
}
