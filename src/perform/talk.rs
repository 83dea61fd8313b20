//! The one conversation between runtime and container.
//!
//! ```text
//!   runtime                                       container
//!   ───────                                       ─────────
//!   clone3 ───────────────────────────────────►   waits
//!   …its steps (id maps, cgroup)…
//!   Go { from, to, told }  ───────────────────►   its steps from..to
//!                          ◄───────────────────   Told(event)      any number, only if told
//!                          ◄───────────────────   Terminal         with the master's descriptor
//!                          ◄───────────────────   Done { next }    "your turn"
//!   …its steps…
//!   Go { from, to, told }  ───────────────────►   …
//!                          ◄───────────────────   Failed { index, error }   instead of any Done
//!
//!   after `created` the same, over this socket (`run`) or over one that the container
//!   accepts on its listening socket (`start` after `create`)
//!
//!   between `created` and `start`, only if somebody compares host and container
//!
//!   Who                    ───────────────────►   uname(2), and the links of /proc/self/ns
//!                          ◄───────────────────   Own(what these answer in there)
//!
//!   what nothing can be said after, before `created` or behind it, up to execve
//!
//!   Go { from, to, told }  ───────────────────►   …its steps…
//!                          ◄───────────────────   Told(event)      what it will not be able to tell
//!                          ◄───────────────────   Done { next }    only if told: announced
//!   shows all that
//!   Go { told: false }     ───────────────────►   silence: its steps
//!                          ◄───────────────────   Done { next }    before `created`; else
//!                          ◄───────────────────   end of conversation: execve closes the socket,
//!                                                 or a failure left its last words
//! ```
//!
//! Messages are kept whole by SOCK_SEQPACKET. The runtime waits by receiving, so a full socket never
//! blocks both. End of conversation is no proof of execve, since death closes a socket too: the
//! runtime asks the kernel (PF_FORKNOEXEC) and reads the [last words](crate::lifecycle::journal).

use std::os::fd::{OwnedFd, RawFd};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::inspect::portrait::Own;
use crate::sys::{Fd, plumbing};

/// Everything that is ever said.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// To the container: perform your steps from..to, with reports or without.
    Go { from: usize, to: usize, told: bool, pid: i32 },
    /// To the container: who are you? Some of it nobody outside can see.
    Who,
    /// To the runtime: this is what I am to myself.
    Own(Own),
    /// To the runtime: a report.
    Told(Event),
    /// To the runtime: the master of the container's terminal comes with this message.
    Terminal,
    /// To the runtime: I am before `next`, which is yours (or you asked me to stop there).
    Done { next: usize },
    /// To the runtime: this step failed; I am gone.
    Failed { index: usize, error: Error },
}

/// One end.
#[derive(Debug)]
pub struct Talk {
    socket: Fd,
    buffer: std::cell::RefCell<Vec<u8>>,
}

impl Talk {
    pub fn new(socket: Fd) -> Talk {
        Talk { socket, buffer: std::cell::RefCell::new(Vec::new()) }
    }

    pub fn say(&self, message: &Message) -> Result<()> {
        self.say_with(message, None)
    }

    /// Says something and hands a descriptor over with it.
    pub fn say_with(&self, message: &Message, fd: Option<RawFd>) -> Result<()> {
        let bytes = serde_json::to_vec(message)?;
        plumbing::send(&self.socket, &bytes, fd).map_err(|e| gone(&e))
    }

    /// The next message; None when the other side is gone.
    pub fn hear(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut buffer = self.buffer.borrow_mut();
        let received = plumbing::receive(&self.socket, &mut buffer);
        match received.map_err(|e| gone(&e))? {
            None => Ok(None),
            Some(fd) => Ok(Some((serde_json::from_slice(&buffer)?, fd))),
        }
    }
}

fn gone(errno: &Errno) -> Error {
    Error::yours(format!("the other side of the run is gone ({errno:?})"))
}
