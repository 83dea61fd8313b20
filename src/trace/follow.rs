//! The witness at work: one loop over the stops of the processes that it watches.
//!
//! Between two system calls a watched process runs as it likes; at each it waits here, at the entry
//! and at the exit, until it is let go on. Arguments are read at the entry, the answer at the exit.
//! At its execve the container's process is released: its program is not watched, and runs at full
//! speed. The runtime stays under watch to its end, so that what it undoes is witnessed as well.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

use super::account::{Account, Answer, Witnessed};
use super::decode::{self, Source};
use super::unnarrated::{self, Judged};
use super::{table, wire};
use crate::error::Result;
use crate::event::Observer;
use crate::perform::attend::Signals;
use crate::sys::ptrace::{self, Stop};
use crate::sys::{Fd, look, numbers};

/// A watched process's memory and descriptors.
struct Process<'a> {
    pid: i32,
    /// Where descriptors led when that could be read.
    known: &'a RefCell<HashMap<(i32, i32), String>>,
}

impl Source for Process<'_> {
    fn memory(&self, address: u64, length: usize) -> Vec<u8> {
        ptrace::memory(self.pid, address, length)
    }

    fn descriptor(&self, fd: i32) -> Option<String> {
        let at = (self.pid, fd);
        match look::link(format!("/proc/{}/fd/{fd}", self.pid)) {
            Some(link) => {
                let link = link.display().to_string();
                self.known.borrow_mut().insert(at, link.clone());
                Some(link)
            }
            None if self.is_closed() => self.known.borrow().get(&at).cloned(),
            None => None,
        }
    }
}

impl Process<'_> {
    /// It has become another user, and this one, without root, is shown nothing but its registers: ptrace(2), "Ptrace
    /// access mode checking".
    fn is_closed(&self) -> bool {
        let link = std::fs::read_link(format!("/proc/{}/exe", self.pid));
        link.is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
    }
}

/// A call that has been entered.
struct Entered {
    name: String,
    args: [u64; 6],
    /// As it is recorded if it must be; None for calls that are nobody's business.
    record: Option<Witnessed>,
}

pub struct Follow<'a> {
    runtime: i32,
    events: &'a Fd,
    observer: &'a dyn Observer,
    entered: HashMap<i32, Entered>,
    /// Programs with privileges that a watched process would not get: released at the entry of
    /// execve. Their parent learns whether it came to that.
    released: HashMap<i32, Witnessed>,
    known: RefCell<HashMap<(i32, i32), String>>,
    pub account: Account,
}

impl<'a> Follow<'a> {
    pub fn new(runtime: i32, events: &'a Fd, observer: &'a dyn Observer) -> Follow<'a> {
        let account = Account::new(runtime);
        let (entered, released, known) = (HashMap::new(), HashMap::new(), RefCell::default());
        Follow { runtime, events, observer, entered, released, known, account }
    }

    /// Watches until the runtime has ended: its exit status.
    pub fn to_the_end(&mut self, signals: &Signals) -> Result<i32> {
        loop {
            while let Some((pid, stop)) = ptrace::next_stop() {
                if let Some(status) = self.at(pid, stop)? {
                    return Ok(status);
                }
            }
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(std::io::Error::from(errno).into()),
            }
            self.pass_on(signals);
        }
    }

    /// Signals from the terminal reach the runtime too; those meant for this process alone do not.
    fn pass_on(&self, signals: &Signals) {
        while let Some((signal, from_a_process)) = signals.next() {
            if from_a_process && signal != Signal::SIGCHLD as i32 {
                ptrace::send(self.runtime, signal);
            }
        }
    }

    fn at(&mut self, pid: i32, stop: Stop) -> Result<Option<i32>> {
        match stop {
            Stop::Entry { number, args } => {
                if !self.enter(pid, number, args) {
                    return Ok(None);
                }
            }
            Stop::Exit { value, refused } => self.exit(pid, value, refused)?,
            Stop::Exec => {
                self.becomes_another_program(pid)?;
                return Ok(None);
            }
            Stop::Group => {
                ptrace::stay(pid);
                if pid == self.runtime {
                    // The shell that started this process is to see it stopped.
                    let _ = raise(Signal::SIGSTOP);
                }
                return Ok(None);
            }
            Stop::Ended(status) => {
                self.account.left(pid);
                self.hear()?;
                return Ok((pid == self.runtime).then_some(status));
            }
            Stop::Signal(signal) => {
                ptrace::go_on(pid, signal);
                return Ok(None);
            }
            Stop::Passing => {}
        }
        ptrace::go_on(pid, 0);
        Ok(None)
    }

    /// Reads a call that is about to be made. False when its process was released.
    fn enter(&mut self, pid: i32, number: i64, args: [u64; 6]) -> bool {
        let source = Process { pid, known: &self.known };
        let name = numbers::name_of(number)
            .map_or_else(|| format!("syscall_{number}"), |name| name.to_owned());
        let excused = unnarrated::is_excused(&name, &Judged { source: &source, args: &args });
        let told = table::takes(&name, &args).is_some();
        let read = || {
            let read = table::arguments(&name, &source, &args);
            if source.is_closed() { decode::hidden(read) } else { read }
        };
        let record = (told || !excused).then(|| Witnessed {
            pid,
            args: read(),
            name: name.clone(),
            answer: Answer::Value(0),
            excused,
        });
        if let Some(record) =
            record.as_ref().filter(|_| name == "execve" && would_lose(pid, &source, &args))
        {
            self.released.insert(pid, record.clone());
            ptrace::release(pid);
            return false;
        }
        self.entered.insert(pid, Entered { name, args, record });
        true
    }

    fn exit(&mut self, pid: i32, value: i64, refused: bool) -> Result<()> {
        // A clone's child comes back from a call that it has not entered.
        let Some(entered) = self.entered.remove(&pid) else { return Ok(()) };
        let answer = match refused {
            true => Answer::Refused(crate::event::errno_name(Errno::from_raw(-value as i32))),
            false => Answer::Value(value),
        };
        if let Some(record) = entered.record {
            self.account.saw(Witnessed { answer, ..record });
        }
        match &*entered.name {
            "wait4" if !refused => self.reaped(pid, value as i32, entered.args[1]),
            "sendmsg" if pid == self.runtime => self.hear()?,
            _ => {}
        }
        Ok(())
    }

    /// A released child has ended: 127 is what learnc's own children say if execve failed.
    fn reaped(&mut self, parent: i32, child: i32, status: u64) {
        let Some(record) = self.released.remove(&child) else { return };
        let source = Process { pid: parent, known: &self.known };
        let status = decode::number(&source, status, 4).unwrap_or(127 << 8);
        let answer = match status == 127 << 8 {
            true => Answer::Refused("unknown".into()),
            false => Answer::Value(0),
        };
        self.account.saw(Witnessed { answer, ..record });
        self.account.left(child);
    }

    /// The last call of ours that it made; what was announced is told before its program runs.
    fn becomes_another_program(&mut self, pid: i32) -> Result<()> {
        if let Some(record) = self.entered.remove(&pid).and_then(|entered| entered.record) {
            self.account.saw(record);
        }
        self.account.left(pid);
        self.hear()?;
        self.observer.flush();
        ptrace::release(pid);
        Ok(())
    }

    /// Takes in what has been told, and tells on what can be judged.
    fn hear(&mut self) -> Result<()> {
        while let Some(event) = wire::next(self.events)? {
            self.account.told(event);
        }
        self.account.ready().iter().for_each(|event| self.observer.see(event));
        Ok(())
    }
}

/// Whether a process would get privileges by this execve, and not while it is watched by somebody
/// without them: newuidmap, for one. See execve(2). In a user namespace of its own it would.
fn would_lose(pid: i32, source: &Process, args: &[u64; 6]) -> bool {
    let here = look::identity("/proc/self/ns/user");
    let crate::args::Arg::Str(path) = decode::text(source, args[0]) else { return false };
    look::ids().0 != 0
        && look::identity(format!("/proc/{pid}/ns/user")) == here
        && look::privileged(path.as_ref()) == Some(look::Privileged::Yes)
}
