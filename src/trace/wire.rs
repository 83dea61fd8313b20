//! From the narrator to the witness: each event whole, in one message.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use crate::error::Result;
use crate::event::{Event, Observer};
use crate::sys::{Fd, plumbing};

/// The narrator's end.
pub struct Wire(pub Fd);

impl Observer for Wire {
    fn see(&self, event: &Event) {
        let Ok(bytes) = serde_json::to_vec(event) else { return };
        // A witness that is gone has taken this process with it.
        let _ = plumbing::send(&self.0, &bytes, None);
    }
}

/// The next event that has been told already; None when there is none yet.
pub fn next(events: &Fd) -> Result<Option<Event>> {
    let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
    let told = poll(&mut fds, PollTimeout::ZERO).map_err(std::io::Error::from)?;
    if told == 0 {
        return Ok(None);
    }
    let mut buffer = Vec::new();
    match plumbing::receive(events, &mut buffer).map_err(std::io::Error::from)? {
        None => Ok(None),
        Some(_) => Ok(Some(serde_json::from_slice(&buffer)?)),
    }
}
