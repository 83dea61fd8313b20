//! The runtime's side: create, start, and undo when something fails.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::talk::Talk;
use super::turn::{self, End, Partner};
use super::{Held, child, in_step, perform};
use crate::doctor::why;
use crate::error::{Error, Result};
use crate::event::{Event, Lane, Observer};
use crate::inspect::portrait::Own;
use crate::lifecycle::journal::{Journal, Undo};
use crate::lifecycle::undo::{remove_state, undo};
use crate::parts::namespaces::{self, Namespace};
use crate::plan::{Act, Plan, Step};
use crate::sys::{Fork, Kernel, Manner, Pid, alive, look, plumbing};

/// What may happen between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Go,
    Quit,
}

/// Who is asked before each step: `--step`.
pub trait Stepper {
    /// `pid` is the container's first process, 0 before there is one.
    fn before(&self, plan: &Plan, index: usize, pid: i32) -> Decision;
}

/// How a run is watched. Everything optional; nothing here changes what is done.
#[derive(Default, Clone, Copy)]
pub struct Watch<'a> {
    pub observer: Option<&'a dyn Observer>,
    pub stepper: Option<&'a dyn Stepper>,
}

/// A container that has been created and waits.
pub struct Created<'a> {
    plan: &'a Plan,
    watch: Watch<'a>,
    dir: PathBuf,
    talk: Option<Rc<Talk>>,
    pub pid: Pid,
    journal: Journal,
    /// The master of its terminal, where the runtime holds it.
    pub terminal: Option<OwnedFd>,
}

impl<'a> Watch<'a> {
    pub fn kernel(&self) -> Kernel<'a> {
        let manner = self.observer.map_or(Manner::Silent, Manner::Told);
        Kernel::new(manner, Lane::Runtime, look::pid())
    }

    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = self.observer {
            observer.see(&event());
        }
    }
}

/// Performs everything up to `created`. With `later`, start is left to another process, which will
/// find the container's listening socket in the state folder.
pub fn create<'a>(
    plan: &'a Plan,
    dir: &Path,
    later: bool,
    watch: Watch<'a>,
) -> Result<Created<'a>> {
    let k = watch.kernel();
    watch.tell(|| plan.opening(0));
    for text in &plan.warnings {
        watch.tell(|| Event::Warning { text: text.clone() });
    }
    for text in &plan.remarks {
        watch.tell(|| Event::Note { index: None, text: text.clone() });
    }
    let mut held = Held::default();
    let mut terminal = None;
    let mut run = Runner { plan, k: &k, held: &mut held, terminal: &mut terminal, watch, later };
    match run.first_half(dir) {
        Ok(()) => Ok(Created {
            plan,
            watch,
            dir: dir.to_owned(),
            talk: held.talk.take(),
            pid: held.pid,
            journal: held.journal,
            terminal,
        }),
        Err((index, error)) => {
            let error = failed(index, error, Some(&plan.steps[index]), watch);
            // Closing the conversation lets a container that is still waiting end by itself.
            held.talk = None;
            // A kernel value of its own: what is taken back belongs to no step.
            take_back(&watch.kernel(), dir, held.pid, &held.journal, index > 0, watch);
            Err(error)
        }
    }
}

/// A step failed: looks for the cause while everything is still as it was, and tells both.
fn failed(index: usize, error: Error, step: Option<&Step>, watch: Watch) -> Error {
    let error = why::explain(error, step.map_or("", |step| step.key));
    watch.tell(|| Event::Failed { index, error: error.clone() });
    error
}

/// Ends the container's first process, if there is one, and undoes what the journal lists.
fn take_back(k: &Kernel, dir: &Path, pid: Pid, journal: &Journal, ours: bool, watch: Watch) {
    if pid.0 != 0 {
        let _ = k.call(crate::sys::Kill { pid, signal: 9 });
        let _ = plumbing::reap(pid.0);
    }
    if ours {
        // What is left has been told, and the error is what it is all about.
        let _ = unmake(k, dir, journal, watch);
    }
}

/// Walks the journal backwards, then removes the state folder. What cannot be undone is said, and
/// stays in the journal for `learnc clean`; the first of it is the error.
pub fn unmake(k: &Kernel, dir: &Path, journal: &Journal, watch: Watch) -> Result<()> {
    let mut complete = Ok(());
    for line in journal.lines().into_iter().rev() {
        let text = line.as_ref().map_or_else(|_| "a line".into(), ToString::to_string);
        match line.and_then(|line| undo(k, &line)) {
            Ok(true) => watch.tell(|| Event::Undone { text }),
            Ok(false) => {}
            Err(e) => {
                watch.tell(|| Event::Warning { text: format!("could not undo: {text}: {e}") });
                complete = complete.and(Err(e));
            }
        }
    }
    complete?;
    journal.close();
    remove_state(k, dir)
}

struct Runner<'r, 'a> {
    plan: &'a Plan,
    k: &'r Kernel<'a>,
    held: &'r mut Held,
    terminal: &'r mut Option<OwnedFd>,
    watch: Watch<'a>,
    later: bool,
}

impl Runner<'_, '_> {
    fn first_half(&mut self, dir: &Path) -> Result<(), (usize, Error)> {
        let mut index = 0;
        while index < self.plan.start {
            self.ask_before(index)?;
            index =
                self.advance(index, dir).map_err(|(i, e)| (i, in_step(e, &self.plan.steps[i])))?;
        }
        Ok(())
    }

    fn ask_before(&self, index: usize) -> Result<(), (usize, Error)> {
        match self.watch.stepper.map(|s| s.before(self.plan, index, self.held.pid.0)) {
            Some(Decision::Quit) => Err((index, Error::ended_by_you())),
            _ => Ok(()),
        }
    }

    /// Performs the step at `index`, or has the container perform its next run of steps.
    fn advance(&mut self, index: usize, dir: &Path) -> Result<usize, (usize, Error)> {
        let step = &self.plan.steps[index];
        if step.lane == Lane::Container {
            return self.hand_over(index);
        }
        self.k.enter(index, step.key);
        self.watch.tell(|| Event::Step { index, lane: Lane::Runtime, pid: self.k.pid.get() });
        let done = match &step.act {
            Act::Namespace(Namespace::Clone { flags, .. }) => self.split(*flags, dir),
            _ => perform(self.k, step, self.held),
        };
        // What the runtime does to a container that has died meanwhile fails in odd ways: /proc/PID is
        // not the user's any more. The death is the cause.
        let cause = |e| turn::or_died(e, self.held.pid, self.plan.cgroups());
        done.map(|()| index + 1).map_err(|e| (index, cause(e)))
    }

    /// The clone: from here on there are two.
    fn split(&mut self, flags: nix::sched::CloneFlags, dir: &Path) -> Result<()> {
        let (ours, theirs) = plumbing::conversation()?;
        let listener = match self.later {
            true => Some(plumbing::listen_at(&dir.join("start.sock"))?),
            false => None,
        };
        match namespaces::clone(self.k, flags, self.held.cgroup.as_ref())? {
            Fork::Child => {
                drop(ours);
                let held = std::mem::take(self.held);
                child::live(self.plan, Talk::new(theirs), listener, held, self.k)
            }
            Fork::Parent(pid) => {
                self.held.pid = pid;
                self.held.talk = Some(Rc::new(Talk::new(ours)));
                let start_time = alive::start_time(pid.0).unwrap_or(0);
                self.held.journal.will(Undo::Kill { pid: pid.0, start_time })?;
                let root = self.plan.loose_root().map(|root| Undo::KillInRoot(root.to_owned()));
                root.map_or(Ok(()), |undo| self.held.journal.will(undo))
            }
        }
    }

    fn hand_over(&mut self, from: usize) -> Result<usize, (usize, Error)> {
        let end = self.plan.end_of_run(from, self.plan.start, Lane::Container);
        let to = if stops(self.plan, from, self.watch) { from + 1 } else { end };
        let Some(talk) = self.held.talk.clone() else {
            return Err((from, Error::yours("the plan needs a container before there is one")));
        };
        let partner = Partner {
            talk: &talk,
            pid: self.held.pid,
            journal: &self.held.journal,
            cgroups: self.plan.cgroups(),
            watch: self.watch,
        };
        match partner.turn(from, to, self.terminal)? {
            End::Before(next) => Ok(next),
            End::Over { last } => Err(partner.cause(last)),
        }
    }
}

/// Whether the container is to wait behind this step, since somebody is asked before the next. Behind
/// the point of silence there is nobody to stop for.
fn stops(plan: &Plan, index: usize, watch: Watch) -> bool {
    watch.stepper.is_some() && index < plan.silent
}

impl Created<'_> {
    /// Says `start` and waits until the program runs. After an error nothing is left of the
    /// container.
    pub fn start(mut self) -> Result<Started> {
        let mut terminal = self.terminal.take();
        let started = self.talk.take().map_or_else(
            || Err((self.plan.start, Error::yours("the container is not ours to start"))),
            |talk| self.second_half(&talk, &mut terminal),
        );
        match started {
            Ok(()) => {
                self.watch.tell(|| Event::Started { pid: self.pid.0 });
                Ok(Started { pid: self.pid, dir: self.dir, journal: self.journal, terminal })
            }
            Err((index, error)) => {
                let error = failed(index, error, self.plan.steps.get(index), self.watch);
                let k = self.watch.kernel();
                take_back(&k, &self.dir, self.pid, &self.journal, true, self.watch);
                Err(error)
            }
        }
    }

    /// There is nothing to be started: what has been made is all.
    pub fn without_a_program(self) -> Started {
        let Created { pid, dir, journal, terminal, .. } = self;
        Started { pid, dir, journal, terminal }
    }

    /// What the container says of itself. None where it can say nothing any more.
    pub fn own(&self) -> Option<Own> {
        let talk = self.talk.as_ref().filter(|_| self.plan.silent >= self.plan.start)?;
        self.partner(talk).own()
    }

    fn partner<'t>(&'t self, talk: &'t Talk) -> Partner<'t> {
        let Created { pid, journal, watch, .. } = self;
        Partner { talk, pid: *pid, journal, cgroups: self.plan.cgroups(), watch: *watch }
    }

    fn second_half(
        &self,
        talk: &Talk,
        terminal: &mut Option<OwnedFd>,
    ) -> Result<(), (usize, Error)> {
        let (partner, end) = (self.partner(talk), self.plan.steps.len());
        let mut from = self.plan.start;
        while from < end {
            if let Some(Decision::Quit) =
                self.watch.stepper.map(|s| s.before(self.plan, from, self.pid.0))
            {
                return Err((from, Error::ended_by_you()));
            }
            let to = if stops(self.plan, from, self.watch) { from + 1 } else { end };
            match partner.turn(from, to, terminal)? {
                End::Before(next) => from = next,
                End::Over { .. } => break,
            }
        }
        partner.confirm(self.plan.start)
    }
}

/// `start` by a process that did not create the container.
pub fn start_later(dir: &Path, pid: Pid, watch: Watch) -> Result<()> {
    let socket =
        plumbing::connect_to(&dir.join("start.sock"), nix::sys::socket::SockType::SeqPacket)?;
    let (talk, journal) = (Talk::new(socket), Journal::open(dir)?);
    let partner = Partner { talk: &talk, pid, journal: &journal, cgroups: &[], watch };
    // The container knows where it is in the plan, and goes to its end.
    partner
        .turn(usize::MAX, usize::MAX, &mut None)
        .and_then(|_| partner.confirm(0))
        .map_err(|(index, error)| failed(index, error, None, watch))?;
    watch.tell(|| Event::Started { pid: pid.0 });
    Ok(())
}

/// A container whose program runs, or a root filesystem in which none ever will.
pub struct Started {
    pub pid: Pid,
    dir: PathBuf,
    journal: Journal,
    pub terminal: Option<OwnedFd>,
}

impl Started {
    /// Undoes what outlives the container, once it has ended and been reaped. Where somebody has
    /// deleted it meanwhile, the folder is gone, or already the next one's of the same id.
    pub fn unmake(self, watch: Watch) -> Result<()> {
        if self.journal.is_closed() {
            return Ok(());
        }
        let k = watch.kernel();
        let unmade = unmake(&k, &self.dir, &self.journal, watch);
        unmade.map_err(|e| e.at("not everything could be removed").try_this("learnc clean"))
    }
}

/// Undoes what a container left, which is not running any more, or is to be ended.
pub fn delete(dir: &Path, watch: Watch) -> Result<()> {
    let k = watch.kernel();
    let journal = match Journal::open(dir) {
        // Killed between making the folder and the journal: there is nothing else.
        Err(_) if !dir.join(Journal::FILE).exists() => Journal::pretended(),
        // A journal that is there and cannot be read is all that knows what to undo.
        other => other?,
    };
    unmake(&k, dir, &journal, watch)
        .map_err(|e| e.at(format!("{} could not be emptied", dir.display())))
}
