//! What was asked for, to stdout: `learnc images`, `learnc list`.
//!
//! A pipe's reader that went away has seen enough: EPIPE is no failure. Any other answer is one, or a script would
//! take half a list, or none, for all of it: write(2), "ENOSPC", "EIO".

use std::io::{ErrorKind, Write};

use crate::error::{Error, Result};

/// Writes it, and a line's end.
pub fn line(text: &str) -> Result<()> {
    all(&format!("{text}\n"))
}

/// Writes it as it is.
pub fn all(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::from(e).at("stdout")),
        _ => Ok(()),
    }
}
