//! `--step`: the prompt between two steps.
//!
//! The runtime keeps the baton until a key is pressed, and the container waits. Meanwhile everything
//! can be looked at: nothing moves. Keys are read one at a time, so that what is typed beyond them
//! stays in the terminal for the container's program. Ctrl-C is a key here (ISIG is off, see
//! termios(3)), because being killed half-way is what `q` is there to avoid.

use std::cell::Cell;
use std::ffi::CString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};

use crate::args::plain;
use crate::error::{Error, Result};
use crate::event::{Difference, Lane, Observer};
use crate::inspect::{Portrait, differences};
use crate::lesson::words;
use crate::perform::compare::joined;
use crate::perform::parent::{Decision, Stepper};
use crate::plan::{Plan, Step};
use crate::render::terminal::look::{Look, When};
use crate::render::terminal::table;
use crate::sys::{self, Kernel, Manner, look, plumbing};

/// Asks before each step, on the terminal.
pub struct Prompt<'a> {
    /// Whoever tells the run, to finish a paragraph before a question comes.
    observer: Option<&'a dyn Observer>,
    colour: When,
    /// False once the rest is to be done without asking.
    asks: Cell<bool>,
}

const KEYS: [&str; 6] = [
    "[Enter] go",
    "[s] shell on the host side",
    "[i] look inside",
    "[w] what changed so far",
    "[c] the rest without asking",
    "[q] undo and quit",
];

impl<'a> Prompt<'a> {
    /// # Errors
    /// Without a terminal there is nobody to ask.
    pub fn new(observer: Option<&'a dyn Observer>, colour: When) -> Result<Prompt<'a>> {
        if !look::is_terminal(0) || !look::is_terminal(2) {
            return Err(Error::yours("--step asks on the terminal, and there is none")
                .because("standard input or standard error is a file or a pipe")
                .try_this("leave out --step, or run it in a terminal"));
        }
        Ok(Prompt { observer, colour, asks: Cell::new(true) })
    }
}

impl Stepper for Prompt<'_> {
    fn before(&self, plan: &Plan, index: usize, pid: i32) -> Decision {
        // Where a stage has brought nothing new there is nothing to stop for; behind what is new there is.
        let is_known = |index: &usize| plan.known.contains(index);
        let passes = is_known(&index) && index.checked_sub(1).as_ref().is_none_or(is_known);
        if !self.asks.get() || passes {
            return Decision::Go;
        }
        if let Some(observer) = self.observer {
            observer.flush();
        }
        say(&format!("\nnext: {}", title(plan, index, pid)));
        loop {
            let key = ask(&format!("{} › ", keys()));
            say("");
            match key {
                b'\r' | b'\n' | b' ' => return Decision::Go,
                b's' => shell(pid),
                b'i' => look_inside(plan, pid),
                b'w' => compare(plan, pid, self.colour),
                b'c' => {
                    self.asks.set(false);
                    return Decision::Go;
                }
                b'q' | CTRL_C | CTRL_D => return Decision::Quit,
                _ => {}
            }
        }
    }
}

/// The keys, in as many lines as the terminal needs.
fn keys() -> String {
    let columns = plumbing::terminal_size(2).map_or(80, |(columns, _)| usize::from(columns));
    let mut text = String::new();
    let mut used = 0;
    for key in KEYS {
        let room = key.len() + 3;
        if used > 0 && used + room + 2 > columns {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push_str("   ");
        }
        text.push_str(key);
        used += room;
    }
    text
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `7/32  Swap the roots  (container 4243)`
fn title(plan: &Plan, index: usize, pid: i32) -> String {
    let step: &Step = &plan.steps[index];
    let who = match (step.lane, pid) {
        (Lane::Runtime, _) => format!("runtime {}", look::pid()),
        (Lane::Container, pid) => format!("container {pid}"),
    };
    let title = words::title(step.key, step.subject.as_deref());
    format!("{}/{}  {}  ({who})", index + 1, plan.steps.len(), plain(&title))
}

/// Asks, and reads one byte without waiting for a line. The end of the terminal is like `q`. It is asked
/// when the terminal is ready: a Ctrl-C that came sooner would be a signal, which is blocked, and lost.
pub fn ask(question: &str) -> u8 {
    let stdin = std::io::stdin();
    let Ok(before) = tcgetattr(stdin.as_fd()) else { return CTRL_D };
    let mut raw = before.clone();
    raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
    raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    let _ = tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &raw);
    let _ = write!(std::io::stderr(), "{question}");
    let mut byte = [0; 1];
    let answer = loop {
        match nix::unistd::read(stdin.as_fd(), &mut byte) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other,
        }
    };
    let _ = tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &before);
    match answer {
        Ok(1) => byte[0],
        _ => CTRL_D,
    }
}

/// The user's own shell, beside the waiting container. It is no part of the run, so not narrated.
fn shell(pid: i32) {
    let program = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    let ours = [("PID".to_owned(), pid.to_string())];
    let env: Vec<CString> = std::env::vars()
        .chain(ours.into_iter().filter(|_| pid != 0))
        .filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok())
        .collect();
    match pid {
        0 => say("There is no container yet. `exit` comes back here."),
        _ => say("The container waits as $PID, see /proc/$PID. `exit` comes back here."),
    }
    let silent = Kernel::new(Manner::Silent, Lane::Runtime, look::pid());
    if let Err(e) = sys::run(&silent, Path::new(&program), &[], &env) {
        say(&format!("{e}"));
    }
}

/// Both sides as they are now: nothing moves meanwhile. None before there is a container.
fn rows(plan: &Plan, pid: i32) -> Option<Vec<Difference>> {
    if pid == 0 {
        say("  There is no container yet: the step with clone3 makes its first process.");
        return None;
    }
    let limits = plan.limits();
    let [host, container] = [look::pid(), pid].map(|pid| Portrait::of(pid, &limits));
    Some(differences(&host, &container, &joined(plan)))
}

/// What the kernel says of the container, as it waits.
fn look_inside(plan: &Plan, pid: i32) {
    let Some(rows) = rows(plan, pid) else { return };
    let fact = |name: &str, value: &str| say(&format!("  {name:<22} {}", plain(value)));
    say(&format!("  /proc/{pid}"));
    for name in ["exe", "cwd"] {
        let link = look::link(format!("/proc/{pid}/{name}"));
        fact(name, &link.map(|path| path.display().to_string()).unwrap_or_default());
    }
    rows.iter().for_each(|row| fact(&row.property, &row.container));
}

/// The same beside the host.
fn compare(plan: &Plan, pid: i32, colour: When) {
    let Some(rows) = rows(plan, pid) else { return };
    table::changed(&Look::of(2, colour, false), &rows).iter().for_each(|line| say(line));
}
