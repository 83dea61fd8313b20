//! The container's turn, as the runtime sees it: go, listen, and let go silently what was announced.
//!
//! `create` and `start` have the container perform some steps, and both do it here: whichever half the
//! silence begins in, what cannot be told is first announced, then shown, then done.
//!
//! A conversation that ends says nothing about why. At `start` that should be execve, and the kernel
//! is asked; before it, it is a death. What stood in the way is in the container's last words, in the
//! [journal](crate::lifecycle::journal), or else only the kernel can say something.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::parent::Watch;
use super::talk::{Message, Talk};
use crate::doctor::why;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::inspect::portrait::Own;
use crate::lifecycle::journal::{Journal, LastWords};
use crate::sys::{Pid, alive, plumbing};

/// The container, as somebody to be given turns.
pub struct Partner<'a> {
    pub talk: &'a Talk,
    pub pid: Pid,
    pub journal: &'a Journal,
    /// Where the kernel counts how it ended.
    pub cgroups: &'a [PathBuf],
    pub watch: Watch<'a>,
}

/// How a turn ends.
pub enum End {
    /// The container is before this step, and waits.
    Before(usize),
    /// The conversation is over; this is the step that was last heard of.
    Over { last: usize },
}

/// What ends listening.
enum Heard {
    Done(usize),
    Own(Own),
    Over { last: usize },
}

impl Partner<'_> {
    /// Has the container perform from..to. What it could only announce is shown, and then it may do
    /// that: it is told nothing more, and says nothing more.
    pub fn turn(
        &self,
        mut from: usize,
        to: usize,
        terminal: &mut Option<OwnedFd>,
    ) -> Result<End, (usize, Error)> {
        let mut told = self.watch.observer.is_some();
        loop {
            let go = Message::Go { from, to, told, pid: self.pid.0 };
            self.talk.say(&go).map_err(|e| (from, self.or_died(e)))?;
            match self.listen(from, terminal)? {
                Heard::Done(next) if told && next < to => (from, told) = (next, false),
                Heard::Done(next) => return Ok(End::Before(next)),
                Heard::Over { last } => return Ok(End::Over { last }),
                Heard::Own(_) => return Err((from, out_of_turn())),
            }
            if let Some(observer) = self.watch.observer {
                observer.flush();
            }
        }
    }

    /// What the container says of itself.
    pub fn own(&self) -> Option<Own> {
        self.talk.say(&Message::Who).ok()?;
        match self.listen(0, &mut None) {
            Ok(Heard::Own(own)) => Some(own),
            _ => None,
        }
    }

    /// Hears what the container says until its turn is over. `last` is the step that it is at.
    fn listen(
        &self,
        mut last: usize,
        terminal: &mut Option<OwnedFd>,
    ) -> Result<Heard, (usize, Error)> {
        loop {
            match self.talk.hear().map_err(|e| (last, e))? {
                Some((Message::Told(event), _)) => {
                    if let Event::Step { index, .. } = event {
                        last = index;
                    }
                    self.watch.tell(|| event);
                }
                Some((Message::Terminal, fd)) => *terminal = fd,
                Some((Message::Done { next }, _)) => return Ok(Heard::Done(next)),
                Some((Message::Own(own), _)) => return Ok(Heard::Own(own)),
                Some((Message::Failed { index, error }, _)) => return Err((index, error)),
                Some((Message::Go { .. } | Message::Who, _)) => return Err((last, out_of_turn())),
                None => return Ok(Heard::Over { last }),
            }
        }
    }

    /// The conversation is over at `start`: was it execve?
    pub fn confirm(&self, start: usize) -> Result<(), (usize, Error)> {
        let execed = || alive::has_not_execed(self.pid.0) != Some(true);
        match self.journal.heard() {
            LastWords::Announced if execed() => Ok(()),
            _ => Err(self.cause(start)),
        }
    }

    /// Why the conversation is over that was at this step.
    pub fn cause(&self, at: usize) -> (usize, Error) {
        match self.journal.heard() {
            LastWords::Failed { index, error } => (index, *error),
            LastWords::None | LastWords::Announced => (at, self.died()),
        }
    }

    /// What fails because the container is gone fails for that reason. One that lives still waits for
    /// its orders: nobody may wait for its end.
    pub fn or_died(&self, error: Error) -> Error {
        or_died(error, self.pid, self.cgroups)
    }

    fn died(&self) -> Error {
        died(self.pid, self.cgroups)
    }
}

fn out_of_turn() -> Error {
    Error::yours("the container's first process spoke out of turn")
}

/// See [`Partner::or_died`]; for what the runtime does to a container of which it awaits no word.
pub fn or_died(error: Error, pid: Pid, cgroups: &[PathBuf]) -> Error {
    match alive::is_ending(pid.0) {
        true => died(pid, cgroups),
        false => error,
    }
}

/// The container is gone without a word: what the kernel can say about that.
fn died(pid: Pid, cgroups: &[PathBuf]) -> Error {
    // Its socket closes a moment before its cgroup has counted how it ended.
    let _ = plumbing::Ending::of(pid.0).and_then(|ending| ending.wait());
    let error = Error::yours("the container's first process died");
    why::explained(error, why::death(cgroups))
}
