//! The terminal: a pair of files of which the container holds one end.
//!
//! pty(7), pts(4), ioctl_tty(2); OCI `process.terminal`, `process.consoleSize`. A pseudoterminal is
//! a master, where somebody reads and types, and a slave, which programs take for a terminal. It is
//! opened from the *container's* devpts where it has one, so that inside, `tty` finds its own name;
//! else from the host's. The slave becomes descriptors 0, 1 and 2 and the session's controlling
//! terminal, which is what makes job control work; the master travels to whoever relays bytes: the
//! runtime, or a program that listens on `--console-socket`.
//!
//! The master is sent over a socket as a descriptor (SCM_RIGHTS, unix(7)).

use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sys::socket::SockType;

use crate::error::{Error, Result};
use crate::sys::below;
use crate::sys::{At, Dup3, Fd, Kernel, Mount, Openat, Openat2, Place, Tiocsctty, plumbing};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Terminal {
    /// Opens the pair and sends the master away.
    Open { inside: bool, size: Option<(u16, u16)>, socket: Option<PathBuf> },
    /// Takes the slave as standard input, output and error.
    Take,
}

/// What stays open between the steps.
#[derive(Debug, Default)]
pub struct Held {
    pub slave: Option<Fd>,
}

/// Performs one step. `send` hands the master to the runtime.
pub fn perform(
    k: &Kernel,
    what: &Terminal,
    root: Option<&Fd>,
    held: &mut Held,
    send: impl FnOnce(&Fd) -> Result<()>,
) -> Result<()> {
    match what {
        Terminal::Open { inside, size, socket } => {
            let root = if *inside { root } else { None };
            let master = open_master(k, root)?;
            let number = if k.pretends() { 0 } else { plumbing::unlock_terminal(&master, *size)? };
            let slave = open_slave(k, root, number)?;
            match socket {
                None => send(&master)?,
                Some(path) => send_to_socket(path, &master, number)?,
            }
            if let (Some(root), true) = (root, *inside) {
                bind_console(k, root, &slave)?;
            }
            held.slave = Some(slave);
            Ok(())
        }
        Terminal::Take => {
            let missing = || Error::yours("the plan takes a terminal that it has not opened");
            let slave = held.slave.take().ok_or_else(missing)?;
            k.call(Tiocsctty { fd: &slave })?;
            for fd in 0..3 {
                k.call(Dup3 { fd: &slave, to: fd })?;
            }
            Ok(())
        }
    }
}

const READ_WRITE: OFlag = OFlag::O_RDWR.union(OFlag::O_NOCTTY);

fn open_master(k: &Kernel, root: Option<&Fd>) -> Result<Fd> {
    open_device(k, root, Path::new("/dev/pts/ptmx"), Path::new("/dev/ptmx"))
}

fn open_slave(k: &Kernel, root: Option<&Fd>, number: u32) -> Result<Fd> {
    let path = PathBuf::from(format!("/dev/pts/{number}"));
    open_device(k, root, &path, &path)
}

fn open_device(k: &Kernel, root: Option<&Fd>, inside: &Path, outside: &Path) -> Result<Fd> {
    let resolve = nix::fcntl::ResolveFlag::RESOLVE_IN_ROOT;
    match root {
        Some(root) => {
            let path = below::relative(inside);
            k.call(Openat2 { dir: root.at(), path, flags: READ_WRITE, mode: 0, resolve })
        }
        None => k.call(Openat { dir: At::CWD, path: outside, flags: READ_WRITE, mode: 0 }),
    }
}

/// `/dev/console` is the container's terminal: runtime-linux.md, "Default Devices".
fn bind_console(k: &Kernel, root: &Fd, slave: &Fd) -> Result<()> {
    let target = below::file(k, root, Path::new("/dev/console"))?;
    let (source, target) = (Some(Place::Fd(slave)), Place::Fd(&target));
    k.call(Mount { source, target, fstype: None, flags: MsFlags::MS_BIND, data: None })
}

fn send_to_socket(path: &Path, master: &Fd, number: u32) -> Result<()> {
    let at = |e: Error| {
        e.at(format!("--console-socket {}", path.display()))
            .try_this("something must listen there and take the terminal, as recvtty does")
    };
    let socket = plumbing::connect_to(path, SockType::Stream).map_err(at)?;
    let name = format!("/dev/pts/{number}");
    plumbing::send(&socket, name.as_bytes(), Some(master.raw()))
        .map_err(|e| at(std::io::Error::from(e).into()))
}
