//! Performing: the loop that both sides run over the same list.
//!
//! Runtime and container each hold the whole plan. Each performs the steps that are its own and, where
//! the side changes, passes the baton over the [conversation](talk). Up to `created` that conversation
//! runs over a pair made before the clone. What follows, `start`, may be asked for by another
//! process; [`child`] decides in one place over which socket it listens for that.
//!
//! * [`parent`]: the runtime's side: create, start, undo.
//! * [`turn`]: how the runtime has the container perform some of its steps, and hears it.
//! * [`child`]: the container's side, from the clone to execve.
//! * [`attend`]: what the runtime does while the program runs: pass bytes and signals on, wait.
//! * [`compare`]: what a run looks at besides, when host and container are to be compared.
//! * [`visit`]: a program of the host's in a root filesystem that has none of its own.
//! * [`whole`]: all of it in one process, for `run` and for stages.
//!
//! What outlives the process is written down in [`crate::lifecycle::journal`], by which it is undone.

pub mod attend;
pub mod child;
pub mod compare;
pub mod parent;
pub mod talk;
pub mod turn;
pub mod visit;
pub mod whole;

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::event::{Event, Lane, Observer};
use crate::lifecycle::journal::Journal;
use crate::parts::namespaces::Namespace;
use crate::parts::state::State;
use crate::parts::{
    capabilities, cgroups, devices, identity, idmap, image, limits, masks, mounts, namespaces,
    overlay, process, rootfs, state, sysctl, terminal, tree, user,
};
use crate::plan::{Act, Plan, Step};
use crate::sys::{Fd, Kernel, Manner, Pid, stop};
use talk::{Message, Talk};

/// What one side holds between its steps: descriptors, never paths.
pub struct Held {
    pub journal: Journal,
    /// The container's first process, as the host counts; 0 before there is one.
    pub pid: Pid,
    /// The cgroup2 directory that the container is born in.
    pub cgroup: Option<Fd>,
    /// The root filesystem.
    pub root: Option<Fd>,
    pub terminal: terminal::Held,
    pub program: process::Held,
    pub talk: Option<Rc<Talk>>,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            journal: Journal::pretended(),
            pid: Pid(0),
            cgroup: None,
            root: None,
            terminal: terminal::Held::default(),
            program: None,
            talk: None,
        }
    }
}

/// Performs one step, but for the clone, after which there are two to go on.
pub fn perform(k: &Kernel, step: &Step, held: &mut Held) -> Result<()> {
    match &step.act {
        Act::State(State::Open { root, dir }) => {
            held.journal = state::open(k, root, dir)?;
            Ok(())
        }
        Act::State(created) => state::created(k, created, held.pid),
        // A tree takes its time: whoever asks for the end meanwhile need not wait for a container.
        Act::Tree(act) => tree::perform(k, act, &mut held.journal).and_then(|()| stop::go_on()),
        Act::Overlay(act) => overlay::perform(k, act, &mut held.journal, &mut held.root),
        Act::Image(act) => image::perform(k, act).and_then(|()| stop::go_on()),
        Act::Cgroup(act) => cgroups::perform(k, act, &mut held.journal, &mut held.cgroup),
        Act::Namespace(act) => namespaces::perform(k, act),
        Act::IdMap(act) => idmap::perform(k, act, held.pid),
        Act::Rootfs(act) => rootfs::perform(k, act, &mut held.root),
        Act::Mount(act) => mounts::perform(k, act, rootfs::held(&held.root)?),
        Act::Device(act) => devices::perform(k, act, rootfs::held(&held.root)?),
        Act::Mask(act) => masks::perform(k, act, rootfs::held(&held.root)?),
        Act::Identity(act) => identity::perform(k, act),
        Act::Sysctl(act) => sysctl::perform(k, act, rootfs::held(&held.root)?),
        Act::Limit(act) => limits::perform(k, act),
        Act::User(act) => user::perform(k, act),
        Act::Capability(act) => capabilities::perform(k, act),
        Act::Terminal(act) => {
            let talk = held.talk.clone();
            terminal::perform(k, act, held.root.as_ref(), &mut held.terminal, |master| match talk {
                Some(talk) => talk.say_with(&Message::Terminal, Some(master.raw())),
                None => Ok(()),
            })
        }
        Act::Process(act) => process::perform(k, act, &held.program),
    }
}

/// Walks the whole plan and performs nothing: every call is announced to the observer. This is the
/// code of a real run with a [`Kernel`] that does not act.
pub fn pretend(plan: &Plan, observer: &dyn Observer) -> Result<()> {
    let kernel = Kernel::new(Manner::Pretended(observer), Lane::Runtime, 0);
    let inside = kernel.in_manner(Manner::Pretended(observer), Lane::Container);
    let mut held = Held::default();
    observer.see(&plan.opening(0));
    for (index, step) in plan.steps.iter().enumerate() {
        let k = if step.lane == Lane::Runtime { &kernel } else { &inside };
        k.enter(index, step.key);
        observer.see(&Event::Step { index, lane: step.lane, pid: 0 });
        let done = match &step.act {
            Act::Namespace(Namespace::Clone { flags, .. }) => {
                namespaces::clone(k, *flags, held.cgroup.as_ref()).map(drop)
            }
            _ => perform(k, step, &mut held),
        };
        done.map_err(|e| in_step(e, step))?;
    }
    Ok(())
}

/// Says in an error which step it belongs to, by its config field where it has one.
pub fn in_step(error: Error, step: &Step) -> Error {
    match &step.asked {
        crate::event::Asked::Config(field) if !error.context.iter().any(|c| c.contains(field)) => {
            error.at(field.clone())
        }
        _ => error,
    }
}
