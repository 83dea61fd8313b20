//! The container's side: from the clone to execve.
//!
//! A copy of the runtime that obeys: it waits for `Go`, performs its own steps, says `Done` when the
//! next one is not its own. It never returns: it becomes the program, or it ends.

use std::rc::Rc;

use super::talk::{Message, Talk};
use super::{Held, in_step, perform};
use crate::error::{Error, Result};
use crate::event::{Event, Lane, Observer};
use crate::inspect::portrait::Own;
use crate::lifecycle::journal::Journal;
use crate::parts::process::{self, Process};
use crate::plan::{Act, Plan};
use crate::sys::{Fd, Kernel, Manner, plumbing};

/// Sends what is told to the runtime.
struct Wire<'a>(&'a Talk);

impl Observer for Wire<'_> {
    fn see(&self, event: &Event) {
        // A runtime that is gone hears nothing; the next `hear` ends this process.
        let _ = self.0.say(&Message::Told(event.clone()));
    }
}

/// How a conversation ended.
enum End {
    /// The other side is gone, and we are before this step.
    Left(usize),
}

/// Lives the container's side. `names` is the runtime's kernel value, whose descriptors are ours
/// too.
pub fn live(plan: &Plan, talk: Talk, listener: Option<Fd>, mut held: Held, names: &Kernel) -> ! {
    plumbing::restore_signals();
    held.talk = Some(Rc::new(talk));
    let status = match converse(plan, &mut held, names) {
        // The second half is asked for by whoever connects; before `created` nobody can.
        Ok(End::Left(next)) if next + 1 >= plan.start => match listener {
            Some(listener) => second_half(plan, &listener, &mut held, names),
            None => 1,
        },
        _ => 1,
    };
    plumbing::leave(status)
}

fn second_half(plan: &Plan, listener: &Fd, held: &mut Held, names: &Kernel) -> i32 {
    loop {
        let Ok(peer) = plumbing::accept_one(listener) else { return 1 };
        held.talk = Some(Rc::new(Talk::new(peer)));
        // A peer that connects and leaves without a word was killed: wait for the next one.
        if !matches!(converse(plan, held, names), Ok(End::Left(next)) if next <= plan.start) {
            return 1;
        }
    }
}

/// Obeys until the other side is gone or a step fails.
fn converse(plan: &Plan, held: &mut Held, names: &Kernel) -> Result<End> {
    // Whoever leaves without a word leaves us before the first step, and not before `start`.
    let mut at = 0;
    loop {
        let Some(talk) = held.talk.clone() else { return Ok(End::Left(at)) };
        let (from, to, told, pid) = match talk.hear()? {
            Some((Message::Go { from, to, told, pid }, _)) => (from, to, told, pid),
            Some((Message::Who, _)) => {
                talk.say(&Message::Own(Own::now()))?;
                continue;
            }
            _ => return Ok(End::Left(at)),
        };
        // A `start` that did not plan the container does not know the numbers: from here, to the end.
        let from = if from == usize::MAX { plan.start } else { from };
        let to = to.min(plan.steps.len());
        match walk(plan, from, to, told.then_some(pid), held, names) {
            Ok(next) => at = next,
            Err((index, error)) if index < plan.silent => {
                talk.say(&Message::Failed { index, error: error.clone() })?;
                return Err(error);
            }
            Err((index, error)) => return Err(last_words(index, error, held)),
        }
        talk.say(&Message::Done { next: at })?;
    }
}

/// What failed in the silence is said twice: a filter may end this process for looking round for the
/// cause, and by then the error itself has been left.
fn last_words(index: usize, mut error: Error, held: &Held) -> Error {
    held.journal.last_words(index, &mut error);
    let mut error = process::explain(error, &held.program);
    held.journal.last_words(index, &mut error);
    error
}

/// Performs from..to, reporting if somebody listens: the step that it is before then. What cannot
/// be told is announced and left for another `Go`, so that all of it is seen before the program
/// itself says anything.
fn walk(
    plan: &Plan,
    from: usize,
    to: usize,
    told: Option<i32>,
    held: &mut Held,
    names: &Kernel,
) -> Result<usize, (usize, Error)> {
    let mut index = from;
    while index < to && index < plan.silent {
        one(plan, index, told, held, names).map_err(|e| (index, e))?;
        index += 1;
    }
    if index == to {
        return Ok(to);
    }
    look_ahead(plan, held);
    match (told, held.talk.clone()) {
        (Some(pid), Some(talk)) => {
            announce(plan, index, to, pid, &talk, held, names).map(|()| index)
        }
        _ => silently(plan, index, to, held).map(|()| to),
    }
}

fn one(
    plan: &Plan,
    index: usize,
    told: Option<i32>,
    held: &mut Held,
    names: &Kernel,
) -> Result<()> {
    let step = &plan.steps[index];
    let done = match (told, held.talk.clone()) {
        (Some(pid), Some(talk)) => {
            let wire = Wire(&talk);
            let k = names.in_manner(Manner::Told(&wire), Lane::Container);
            k.pid.set(pid);
            k.enter(index, step.key);
            wire.see(&Event::Step { index, lane: Lane::Container, pid });
            let done = perform(&k, step, held);
            names.take_names_of(&k);
            done
        }
        _ => perform(&Kernel::new(Manner::Silent, Lane::Container, 0), step, held),
    };
    done.map_err(|e| in_step(e, step))
}

/// Before the silence: finds the program, while looking is nobody's affair but ours. Where the silence
/// begins before the change of user, that user may still not be allowed to execute what is found.
fn look_ahead(plan: &Plan, held: &mut Held) {
    let program = plan.steps.iter().find_map(|step| match &step.act {
        Act::Process(Process::Exec(program)) => Some(program),
        _ => None,
    });
    if let (Some(program), None) = (program, &held.program) {
        held.program = Some(process::make_ready(program, false));
    }
}

/// From here on nothing can be said.
fn silently(plan: &Plan, from: usize, to: usize, held: &mut Held) -> Result<(), (usize, Error)> {
    held.journal.announce();
    let k = Kernel::new(Manner::Silent, Lane::Container, 0);
    for index in from..to {
        let step = &plan.steps[index];
        perform(&k, step, held).map_err(|e| (index, in_step(e, step)))?;
    }
    Ok(())
}

fn announce(
    plan: &Plan,
    from: usize,
    to: usize,
    pid: i32,
    talk: &Talk,
    held: &mut Held,
    names: &Kernel,
) -> Result<(), (usize, Error)> {
    let wire = Wire(talk);
    let k = names.in_manner(Manner::Pretended(&wire), Lane::Container);
    k.pid.set(pid);
    let journal = std::mem::replace(&mut held.journal, Journal::pretended());
    let mut said = Ok(());
    for index in from..to {
        let step = &plan.steps[index];
        k.enter(index, step.key);
        wire.see(&Event::Step { index, lane: Lane::Container, pid });
        said = perform(&k, step, held).map_err(|e| (index, in_step(e, step)));
        if said.is_err() {
            break;
        }
    }
    held.journal = journal;
    said
}
