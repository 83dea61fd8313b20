//! While the program runs: pass bytes and signals on, and wait for its end.
//!
//! signalfd(2), pidfd_open(2), termios(3). One poll over four descriptors: what is typed here, what
//! the container's terminal shows, signals to this process, the program's end. Signals are blocked
//! from before the clone (the container unblocks them for itself), so none is lost in between.
//! With a relayed terminal, this terminal is in raw mode: Ctrl-C is a byte for the container's
//! terminal, which turns it into a signal for whoever is in front *there*. Without one, the program
//! has this process's own standard files, and signals are forwarded.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

use crate::error::Result;
use crate::sys::plumbing::{self, Ending};
use crate::sys::{Kernel, Kill, Pid, look};

/// Blocks the signals that will be forwarded. To be made before the clone.
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

fn io<T>(answer: nix::Result<T>) -> Result<T> {
    answer.map_err(|e| std::io::Error::from(e).into())
}

impl Signals {
    pub fn block() -> Result<Signals> {
        Signals::block_these(SigSet::empty())
    }

    /// The same, and the word that a child has stopped or ended: a tracer waits for it.
    pub fn block_with_children() -> Result<Signals> {
        Signals::block_these(SigSet::from(Signal::SIGCHLD))
    }

    fn block_these(more: SigSet) -> Result<Signals> {
        let mut set = SigSet::all();
        // A stop of this process is its own affair, faults cannot wait, and the end of the container
        // is told by its pidfd.
        for signal in [
            Signal::SIGSTOP,
            Signal::SIGKILL,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGABRT,
            Signal::SIGILL,
            Signal::SIGFPE,
            Signal::SIGTTOU,
            Signal::SIGTTIN,
            // Not a signal to us, but of us: a reader of the narration went away.
            Signal::SIGPIPE,
            Signal::SIGCHLD,
        ] {
            set.remove(signal);
        }
        set.extend(&more);
        let mut before = SigSet::empty();
        io(sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals { fd: io(SignalFd::with_flags(&set, flags))?, before })
    }

    /// The next signal that has come, and whether a process sent it (and not the terminal).
    pub fn next(&self) -> Option<(i32, bool)> {
        let info = self.fd.read_signal().ok()??;
        Some((info.ssi_signo as i32, info.ssi_code <= 0))
    }

    /// Takes away all that have come.
    pub fn clear(&self) {
        while self.next().is_some() {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// This terminal in raw mode; as before when dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> Option<Raw> {
        let stdin = std::io::stdin();
        if !look::is_terminal(0) {
            return None;
        }
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).ok()?;
        Some(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Gives the container's terminal the size of this one.
pub fn copy_size(master: &OwnedFd) {
    let here = [0, 1, 2].into_iter().find_map(plumbing::terminal_size);
    if let Some((columns, rows)) = here {
        let _ = plumbing::set_terminal_size(master, columns, rows);
    }
}

/// Attends the program until it ends. It stays a zombie, so that its last state can be read.
pub fn attend(k: &Kernel, pid: Pid, terminal: Option<&OwnedFd>, signals: &Signals) -> Result<()> {
    let _raw = terminal.and_then(|_| Raw::enter());
    let ending = Ending::of(pid.0)?;
    let mut typing = terminal.is_some();
    let mut showing = terminal.is_some();
    let stdin = std::io::stdin();
    loop {
        let mut fds = vec![
            PollFd::new(ending.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.fd.as_fd(), PollFlags::POLLIN),
        ];
        let master = terminal.map(AsFd::as_fd);
        if let Some(master) = master.filter(|_| showing) {
            fds.push(PollFd::new(master, PollFlags::POLLIN));
        }
        if typing {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => io(other)?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(fds);
        if ready[1] {
            forward(k, pid, terminal, signals);
        }
        if let Some(master) = master {
            let shown = showing && ready[2];
            if typing && ready[if showing { 3 } else { 2 }] {
                typing = copy(stdin.as_fd(), master) != Copied::End;
                if !typing {
                    // The end of a piped input is Ctrl-D for the programs in there.
                    let _ = write(master, &[4]);
                }
            }
            if shown {
                showing = copy(master, std::io::stdout().as_fd()) != Copied::End;
            }
        }
        if ready[0] {
            drain(master.filter(|_| showing));
            return Ok(());
        }
    }
}

/// Stands by while a program runs that has this terminal to itself, in this process's own group: what
/// is typed reaches both, and is meant for the program; what a process sends here is passed on.
pub fn stand_by(k: &Kernel, pid: Pid, signals: &Signals) -> Result<()> {
    let ending = Ending::of(pid.0)?;
    loop {
        let ending = PollFd::new(ending.as_fd(), PollFlags::POLLIN);
        let mut fds = [ending, PollFd::new(signals.fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => io(other)?,
        };
        let ended = fds[0].any().unwrap_or(false);
        while let Some((signal, is_sent)) = signals.next() {
            match (signal, is_sent) {
                (signal, true) => {
                    let _ = k.ask(Kill { pid, signal }, &[Errno::ESRCH]);
                }
                // The shell that started this process is to see it stopped, with the program.
                (signal, false) if signal == Signal::SIGTSTP as i32 => {
                    let _ = nix::sys::signal::raise(Signal::SIGSTOP);
                }
                _ => {}
            }
        }
        if ended {
            return Ok(());
        }
    }
}

#[derive(PartialEq, Eq)]
enum Copied {
    Some,
    End,
}

fn copy(from: BorrowedFd, to: BorrowedFd) -> Copied {
    let mut buffer = [0; 16 * 1024];
    match read(from, &mut buffer) {
        Ok(0) => Copied::End,
        Ok(n) => {
            let mut rest = &buffer[..n];
            while !rest.is_empty() {
                match write(to, rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(Errno::EINTR | Errno::EAGAIN) => {}
                    Err(_) => return Copied::End,
                }
            }
            Copied::Some
        }
        Err(Errno::EINTR | Errno::EAGAIN) => Copied::Some,
        // The slave's last holder has gone: EIO.
        Err(_) => Copied::End,
    }
}

/// What the program wrote just before it ended is still in the terminal.
fn drain(master: Option<BorrowedFd>) {
    let Some(master) = master else { return };
    loop {
        let mut fds = [PollFd::new(master, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(1) if fds[0].revents().is_some_and(|r| r.contains(PollFlags::POLLIN)) => {}
            _ => return,
        }
        if copy(master, std::io::stdout().as_fd()) == Copied::End {
            return;
        }
    }
}

fn forward(k: &Kernel, pid: Pid, terminal: Option<&OwnedFd>, signals: &Signals) {
    while let Ok(Some(info)) = signals.fd.read_signal() {
        match Signal::try_from(info.ssi_signo as i32) {
            Ok(Signal::SIGWINCH) => {
                if let Some(master) = terminal {
                    copy_size(master);
                }
            }
            // With a container that has its own terminal, stopping is that terminal's affair.
            Ok(Signal::SIGTSTP) => {
                let _ = nix::sys::signal::raise(Signal::SIGSTOP);
            }
            _ => {
                let signal = info.ssi_signo as i32;
                let _ = k.ask(Kill { pid, signal }, &[Errno::ESRCH]);
            }
        }
    }
}
