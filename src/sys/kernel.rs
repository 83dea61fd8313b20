//! The thirty lines on which everything rests.
//!
//! A function that can change the machine takes `k: &Kernel` as its first parameter; one that does
//! not, cannot. There is one `Kernel` per process of a run, and it acts in one of three manners:
//!
//! * silent: perform, and on failure say what was attempted;
//! * told: perform, and report the value with the kernel's answer to an [`Observer`];
//! * pretended: report the value as announced and perform nothing. That is `--plan`, and it is how
//!   the calls behind a seccomp filter are announced before the filter goes in.
//!
//! Because the three walk the same code, a plan shows the calls that a run makes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::RawFd;
use std::time::Instant;

use nix::errno::Errno;

use super::descriptor::Fd;
use crate::args::{Arg, Args};
use crate::error::{Error, Result};
use crate::event::{Call, Event, Lane, Observer, errno_name};

/// One system call, as a value.
pub trait Syscall {
    /// As the manual names it, section 2.
    const NAME: &'static str;
    type Answer: Answer;
    /// Says the call.
    fn args(&self) -> Args;
    /// Does the call.
    fn perform(&self) -> Result<Self::Answer, Errno>;
    /// What a descriptor that this call returns is called in later calls.
    fn opens(&self) -> Option<String> {
        None
    }
}

/// What a call returns.
pub trait Answer: Sized {
    /// The kernel's number.
    fn number(&self) -> i64;
    /// A stand-in for calls that are only announced. `n` is a number that no descriptor has.
    fn pretend(n: i32) -> Self;
    /// The descriptor in it, if it is one.
    fn descriptor(&self) -> Option<RawFd> {
        None
    }
    /// False for the one answer that is given twice: in a clone's child.
    fn is_told(&self) -> bool {
        true
    }
}

/// How a [`Kernel`] acts.
#[derive(Clone, Copy)]
pub enum Manner<'a> {
    Silent,
    Told(&'a dyn Observer),
    Pretended(&'a dyn Observer),
}

/// The capability to act. See the [module](self).
pub struct Kernel<'a> {
    manner: Manner<'a>,
    lane: Lane,
    /// This process, as the host counts.
    pub pid: Cell<i32>,
    step: Cell<usize>,
    key: RefCell<&'static str>,
    names: RefCell<HashMap<RawFd, String>>,
    pretended: Cell<i32>,
    /// Set while calls are only counted: see [`Kernel::bulk`].
    counted: RefCell<Option<Counted>>,
}

/// Calls by name, and the nanoseconds of all of them together.
#[derive(Debug, Default)]
struct Counted {
    calls: BTreeMap<String, u64>,
    nanos: u64,
}

impl<'a> Kernel<'a> {
    pub fn new(manner: Manner<'a>, lane: Lane, pid: i32) -> Kernel<'a> {
        Kernel {
            manner,
            lane,
            pid: Cell::new(pid),
            step: Cell::new(0),
            key: RefCell::new(""),
            names: RefCell::new(HashMap::new()),
            pretended: Cell::new(-1000),
            counted: RefCell::new(None),
        }
    }

    /// The same process, acting in another manner from here on: descriptors keep their names.
    pub fn in_manner<'b>(&self, manner: Manner<'b>, lane: Lane) -> Kernel<'b> {
        let other = Kernel::new(manner, lane, self.pid.get());
        other.names.replace(self.names.borrow().clone());
        other.enter(self.step.get(), *self.key.borrow());
        other
    }

    /// Another process that goes on with the same step: what it tells, if anybody listens here, `observer`
    /// hears.
    pub(super) fn elsewhere<'b>(&self, pid: i32, observer: &'b dyn Observer) -> Kernel<'b> {
        let manner = match self.manner {
            Manner::Silent => Manner::Silent,
            Manner::Told(_) => Manner::Told(observer),
            Manner::Pretended(_) => Manner::Pretended(observer),
        };
        let other = self.in_manner(manner, self.lane);
        other.pid.set(pid);
        other
    }

    /// Performs a call and reports it. The error says the call and what the kernel answered.
    pub fn call<S: Syscall>(&self, call: S) -> Result<S::Answer> {
        self.ask(call, &[])
    }

    /// The same for a call whose refusal, with one of these errors, is part of the way. It is
    /// returned like any error, but narrated as an answer and not as trouble.
    pub fn ask<S: Syscall>(&self, call: S, expected: &[Errno]) -> Result<S::Answer> {
        let refused = |errno| {
            let mut args = self.named(call.args());
            if !expected.contains(&errno) {
                args.0.iter_mut().for_each(|(_, arg)| look_up_descriptors(arg));
            }
            Error::refused(S::NAME, args, errno)
        };
        match self.manner {
            Manner::Silent => call.perform().map_err(refused),
            Manner::Told(_) if self.counted.borrow().is_some() => {
                let before = Instant::now();
                let answer = call.perform();
                self.count(S::NAME, before.elapsed().as_nanos() as u64);
                answer.map_err(refused)
            }
            Manner::Told(observer) => {
                let before = Instant::now();
                let answer = call.perform();
                let nanos = before.elapsed().as_nanos() as u64;
                self.report(observer, &call, &answer, nanos, expected);
                answer.map_err(refused)
            }
            Manner::Pretended(observer) => {
                self.announce_to(observer, &call);
                self.pretended.set(self.pretended.get() - 1);
                let answer = S::Answer::pretend(self.pretended.get());
                self.remember(&call, &answer);
                Ok(answer)
            }
        }
    }

    /// Performs many calls that are told by their number: unpacking ten thousand files is one piece
    /// of work. `below` is the directory below which all of it happens. Nothing is done when the
    /// calls would only be pretended.
    pub fn bulk<T: Default>(
        &self,
        below: &std::path::Path,
        work: impl FnOnce(&Kernel) -> Result<T>,
    ) -> Result<T> {
        match self.manner {
            Manner::Silent => work(self),
            Manner::Pretended(_) => Ok(T::default()),
            Manner::Told(observer) => {
                self.counted.replace(Some(Counted::default()));
                let done = work(self);
                let Counted { calls, nanos } = self.counted.take().unwrap_or_default();
                let (index, pid, lane) = (self.step.get(), self.pid.get(), self.lane);
                let below = below.display().to_string();
                observer.see(&Event::Bulk { index, pid, lane, below, calls, nanos });
                done
            }
        }
    }

    fn count(&self, name: &str, nanos: u64) {
        if let Some(counted) = self.counted.borrow_mut().as_mut() {
            counted.nanos += nanos;
            match counted.calls.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(counted.calls.insert(name.to_owned(), 1)),
            }
        }
    }

    /// Says a call that is about to be made and that nothing can be said after.
    pub fn announce<S: Syscall>(&self, call: &S) {
        if let Manner::Told(observer) | Manner::Pretended(observer) = self.manner {
            self.announce_to(observer, call);
        }
    }

    /// Says a call that a process started by this one is about to make.
    pub fn announce_of<S: Syscall>(&self, pid: Pid, call: &S) {
        if let Manner::Told(observer) | Manner::Pretended(observer) = self.manner {
            let said = self.said::<S>(call.args());
            tell(observer, Call { announced: true, pid: pid.0, ..said });
        }
    }

    fn announce_to<S: Syscall>(&self, observer: &dyn Observer, call: &S) {
        let said = self.said::<S>(call.args());
        tell(observer, Call { announced: true, ..said });
    }

    fn report<S: Syscall>(
        &self,
        observer: &dyn Observer,
        call: &S,
        answer: &Result<S::Answer, Errno>,
        nanos: u64,
        expected: &[Errno],
    ) {
        let said = self.said::<S>(call.args());
        match answer {
            Ok(answer) if !answer.is_told() => {}
            Ok(answer) => {
                self.remember(call, answer);
                tell(observer, Call { result: Some(answer.number()), nanos, ..said });
            }
            Err(errno) => {
                let expected = expected.contains(errno);
                tell(observer, Call { errno: Some(errno_name(*errno)), expected, nanos, ..said });
            }
        }
    }

    fn said<S: Syscall>(&self, args: Args) -> Call {
        Call {
            pid: self.pid.get(),
            lane: self.lane,
            step: (*self.key.borrow()).to_owned(),
            index: self.step.get(),
            name: S::NAME.to_owned(),
            args: self.named(args),
            result: None,
            errno: None,
            announced: false,
            expected: false,
            nanos: 0,
            seen: None,
        }
    }

    /// From here on, calls belong to this step.
    pub fn enter(&self, step: usize, key: &'static str) {
        self.step.set(step);
        *self.key.borrow_mut() = key;
    }

    /// Says something about the current step, in a sentence made only if somebody listens.
    pub fn note(&self, text: impl FnOnce() -> String) {
        if let Manner::Told(observer) | Manner::Pretended(observer) = self.manner {
            observer.see(&Event::Note { index: Some(self.step.get()), text: text() });
        }
    }

    /// Tells an event of the current step that is no system call: a registry's answer, a digest that was
    /// checked. It is given the step's index.
    pub fn tell(&self, event: impl FnOnce(Option<usize>) -> Event) {
        if let Manner::Told(observer) | Manner::Pretended(observer) = self.manner {
            let index = (!self.key.borrow().is_empty()).then(|| self.step.get());
            observer.see(&event(index));
        }
    }

    /// True when calls are only announced: then nothing that they would make is there to be read.
    pub fn pretends(&self) -> bool {
        matches!(self.manner, Manner::Pretended(_))
    }

    fn remember<S: Syscall>(&self, call: &S, answer: &S::Answer) {
        if let (Some(fd), Some(name)) = (answer.descriptor(), call.opens()) {
            let name = self.resolve_own_fds(name);
            self.names.borrow_mut().insert(fd, name);
        }
    }

    /// Takes over the names that another value of this process has learned.
    pub fn take_names_of(&self, other: &Kernel) {
        self.names.replace(other.names.borrow().clone());
    }

    fn named(&self, mut args: Args) -> Args {
        let names = self.names.borrow();
        for (_, arg) in &mut args.0 {
            name_descriptors(arg, &names);
        }
        args
    }

    /// `5/dev/pts` as written by [`At::join`] becomes `/the/root/dev/pts`.
    fn resolve_own_fds(&self, name: String) -> String {
        let Some(rest) = name.strip_prefix("fd:") else { return name };
        let (fd, below) = rest.split_once('/').unwrap_or((rest, ""));
        let base = fd.parse().ok().and_then(|fd: RawFd| self.names.borrow().get(&fd).cloned());
        match base {
            Some(base) if below.is_empty() || below == "." => base,
            Some(base) => format!("{}/{below}", base.trim_end_matches('/')),
            None => below.to_owned(),
        }
    }
}

fn name_descriptors(arg: &mut Arg, names: &HashMap<RawFd, String>) {
    match arg {
        Arg::Fd(fd, path @ None) | Arg::FdPath(fd, path @ None) => *path = names.get(fd).cloned(),
        Arg::Struct(fields) => fields.0.iter_mut().for_each(|(_, a)| name_descriptors(a, names)),
        Arg::List(items) => items.iter_mut().for_each(|a| name_descriptors(a, names)),
        _ => {}
    }
}

/// A silent kernel learns no names; where a call was refused, /proc tells what a descriptor is.
fn look_up_descriptors(arg: &mut Arg) {
    match arg {
        Arg::Fd(fd, path @ None) | Arg::FdPath(fd, path @ None) if *fd >= 0 => {
            let link = super::look::link(format!("/proc/self/fd/{fd}"));
            *path = link.map(|link| link.display().to_string());
        }
        Arg::Struct(fields) => fields.0.iter_mut().for_each(|(_, a)| look_up_descriptors(a)),
        _ => {}
    }
}

/// Hands one report over. A build with `--cfg lie` tampers with the n-th one here, so that the
/// tests can show that a lie is found.
#[cfg(not(lie))]
fn tell(observer: &dyn Observer, call: Call) {
    observer.see(&Event::Call(call));
}

#[cfg(lie)]
fn tell(observer: &dyn Observer, call: Call) {
    super::lie::tell(observer, call);
}

/// A process id. A named type, so that a pid is not taken for a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(pub i32);

/// The two ways in which a clone returns.
#[derive(Debug)]
pub enum Fork {
    Parent(Pid),
    Child,
}

impl Answer for () {
    fn number(&self) -> i64 {
        0
    }
    fn pretend(_: i32) {}
}

impl Answer for usize {
    fn number(&self) -> i64 {
        *self as i64
    }
    fn pretend(_: i32) -> usize {
        0
    }
}

impl Answer for Fd {
    fn number(&self) -> i64 {
        self.raw().into()
    }
    fn pretend(n: i32) -> Fd {
        Fd::pretended(n)
    }
    fn descriptor(&self) -> Option<RawFd> {
        Some(self.raw())
    }
}

impl Answer for Fork {
    fn number(&self) -> i64 {
        match self {
            Fork::Parent(pid) => pid.0.into(),
            Fork::Child => 0,
        }
    }
    fn pretend(_: i32) -> Fork {
        Fork::Parent(Pid(0))
    }
    fn is_told(&self) -> bool {
        !matches!(self, Fork::Child)
    }
}
