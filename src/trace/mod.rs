//! The kernel's own record, beside the narration: `--verify`.
//!
//! The process that the user started splits in two before anything is done. One half is the runtime,
//! and runs the same code as ever; its events go into a socket. The other half is the witness: it
//! watches the runtime and all that it starts (ptrace(2)), reads every system call off registers and
//! memory, and marks what was told: seen, not seen, or seen and not told.
//!
//! ```text
//!   the user's process = witness ──ptrace──► runtime ──clone──► container ──execve──► program
//!            ▲        ▲                        │                    │               (released)
//!            │        └────────── events ──────┘◄────── events ─────┘
//!            └── stops, registers, memory: what the kernel got
//! ```
//!
//! The witness shares nothing with the narration but the vocabulary: its names of calls, arguments and
//! flags are tables of its own ([`table`], [`names`]). The runtime stays in the terminal's foreground,
//! gets its signals, and ends with its own status, which the witness passes on.
//!
//! A process that becomes another user than the witness, who is not root, shows it the registers alone until its execve.
//! Of those calls the numbers are held against the narration, and it is said how many they are.
//!
//! What this cannot show: a call is told true, not that nothing else could have been done without
//! one; and a tracer sees what processes ask of the kernel, not what the kernel does by itself.

pub mod account;
pub mod bpf;
pub mod decode;
pub mod follow;
pub mod names;
pub mod same;
pub mod table;
pub mod unnarrated;
pub mod wire;

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::perform::attend::Signals;
use crate::sys::{Fd, Fork, Pid, look, plumbing, ptrace};
use account::Tally;
use follow::Follow;
use wire::Wire;

/// How a witnessed run went.
pub enum Witness {
    /// This process is the runtime, and has done what it was to do: its exit status.
    Runtime(i32),
    /// This process watched: the runtime's exit status, and how narration and record compare.
    Tracer { status: i32, tally: Tally },
}

/// Does `run` in a process that is watched from its first call on. Both processes return.
pub fn witnessed(
    observer: &dyn Observer,
    run: impl FnOnce(&dyn Observer) -> Result<i32>,
) -> Result<Witness> {
    let (ours, theirs) = plumbing::conversation()?;
    match ptrace::split()? {
        Fork::Child => {
            drop(ours);
            wait_for_the_watch(&theirs);
            run(&Wire(theirs)).map(Witness::Runtime)
        }
        Fork::Parent(Pid(runtime)) => {
            drop(theirs);
            let signals = Signals::block_with_children()?;
            begin(runtime).map_err(|errno| not_allowed(runtime, errno))?;
            plumbing::send(&ours, b"go", None).map_err(std::io::Error::from)?;
            let mut follow = Follow::new(runtime, &ours, observer);
            let status = follow.to_the_end(&signals)?;
            follow.account.close().iter().for_each(|event| observer.see(event));
            let tally = follow.account.tally;
            observer.see(&Event::Note { index: None, text: sentence(&tally) });
            Ok(Witness::Tracer { status, tally })
        }
    }
}

/// Nothing is done before it is seen. Without a witness there is nothing to do.
fn wait_for_the_watch(socket: &Fd) {
    let mut buffer = Vec::new();
    if !matches!(plumbing::receive(socket, &mut buffer), Ok(Some(_))) {
        plumbing::leave(1);
    }
}

/// Seizes the runtime, which waits, and lets it go on under watch.
fn begin(runtime: i32) -> Result<(), Errno> {
    ptrace::seize(runtime)?;
    ptrace::first_stop(runtime)?;
    ptrace::can_ask(runtime).inspect_err(|_| ptrace::release(runtime))?;
    ptrace::go_on(runtime, 0);
    Ok(())
}

/// `21 of 21 calls seen by the kernel's own record, none besides.`
pub fn sentence(tally: &Tally) -> String {
    let Tally { told, seen, untold, partly } = tally;
    let besides = match untold {
        0 => "none besides".to_owned(),
        n => format!("{n} besides that {} not narrated", if *n == 1 { "was" } else { "were" }),
    };
    let partly = match partly {
        0 => String::new(),
        n => format!(
            " ({n} without what their addresses lead to: the process had become another user)"
        ),
    };
    format!("{seen} of {told} calls seen by the kernel's own record{partly}, {besides}.")
}

/// Why a process may not watch its own child, from what the machine shows.
fn not_allowed(runtime: i32, errno: Errno) -> Error {
    let error = Error::yours(format!("--verify needs ptrace(2), which is refused ({errno:?})"));
    if matches!(errno, Errno::EIO | Errno::EINVAL) {
        return error.because("this kernel has no PTRACE_GET_SYSCALL_INFO: it came with Linux 5.3");
    }
    let status = look::read_if_there(format!("/proc/{runtime}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    if let Some(tracer) = tracer.map(str::trim).filter(|pid| *pid != "0") {
        let name = look::read_if_there(format!("/proc/{tracer}/comm")).unwrap_or_default();
        let text = format!("process {tracer} ({}) traces it already; it can have one", name.trim());
        return error.because(text).try_this("run it without that tracer");
    }
    const SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";
    match look::read_if_there(SCOPE).unwrap_or_default().trim() {
        scope @ ("2" | "3") => {
            let error = error.because(format!("{SCOPE} is {scope}"));
            match scope {
                "2" => error.try_this("sudo learnc …"),
                _ => error.try_this("allow it at the next boot: kernel.yama.ptrace_scope=1"),
            }
        }
        _ => error
            .because("no setting forbids it: a seccomp filter does, as engines install them")
            .try_this("podman run --cap-add SYS_PTRACE …"),
    }
}
