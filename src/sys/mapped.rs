//! Work on files whose owners are not this user: in a user namespace where the user is root.
//!
//! user_namespaces(7). What belongs to an id of /etc/subuid is out of its user's reach, but not out of that of root in
//! a namespace into which both are mapped. The work is done by a child born in one; when it is done, the namespace
//! is gone. The child waits for its maps, tells what it does to whoever listens here, and says what came of it:
//!
//! ```text
//!   here                                child
//!   ────                                ─────
//!   clone3(CLONE_NEWUSER) ──────────►   waits
//!   …the maps…
//!   go                    ──────────►   works
//!                         ◄──────────   Told(event)     any number
//!                         ◄──────────   Done(answer)
//!   reaps it
//! ```

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::os::fd::AsFd;

use super::idmap::{Maps, write_gids, write_uids};
use super::{Clone3, Fd, Fork, Kernel, Kill, Pid, Prctl, look, plumbing, stop};
use crate::error::{Error, Result, WayOut};
use crate::event::{Event, Observer};

/// What the child says.
#[derive(Serialize, Deserialize)]
enum Said<T> {
    Told(Event),
    /// And what an error does not say of itself.
    Done(Result<T>, Option<WayOut>),
}

/// Has the work done as root of a user namespace with these maps. To be called by a process with one thread; the
/// child may begin others. If this process is asked to end, the child is asked too.
pub fn as_root<T: Serialize + DeserializeOwned>(
    k: &Kernel,
    maps: &Maps,
    work: impl FnOnce(&Kernel) -> Result<T>,
) -> Result<T> {
    if k.pretends() {
        k.call(Clone3 { flags: CloneFlags::CLONE_NEWUSER, into_cgroup: None })?;
        write(k, maps, Pid(0))?;
        k.call(BOUND)?;
        return work(k);
    }
    let _later = stop::later()?;
    let (ours, theirs) = plumbing::conversation()?;
    match k.call(Clone3 { flags: CloneFlags::CLONE_NEWUSER, into_cgroup: None })? {
        Fork::Child => {
            drop(ours);
            let answer = when_mapped(k, &theirs, work);
            let told = answer.map_or(Ok(()), |answer| {
                let way_out = answer.as_ref().err().and_then(|e| e.way_out);
                say(&theirs, &Said::Done(answer, way_out))
            });
            plumbing::leave(told.is_err().into())
        }
        Fork::Parent(pid) => {
            drop(theirs);
            let begun = write(k, maps, pid).and_then(|()| {
                Ok(plumbing::send(&ours, b"go", None).map_err(std::io::Error::from)?)
            });
            let answer = begun.and_then(|()| answer(k, &ours, pid));
            // A child that still waits for its maps leaves now.
            drop(ours);
            let status = plumbing::reap(pid.0)?;
            answer?.unwrap_or_else(|| {
                Err(Error::yours(format!("the process that does it ended with status {status}")))
            })
        }
    }
}

/// Who began the child is its end, too.
const BOUND: Prctl = Prctl::SetPdeathsig(nix::libc::SIGKILL);

fn write(k: &Kernel, maps: &Maps, pid: Pid) -> Result<()> {
    let (users, groups) = maps.helpers.clone().unzip();
    write_uids(k, pid, &maps.uids, users.as_deref())?;
    write_gids(k, pid, &maps.gids, groups.as_deref(), maps.deny)
}

/// The child's side: None if it was never told to begin.
fn when_mapped<T>(
    k: &Kernel,
    talk: &Fd,
    work: impl FnOnce(&Kernel) -> Result<T>,
) -> Option<Result<T>> {
    let begin = plumbing::receive(talk, &mut Vec::new());
    if !matches!(begin, Ok(Some(_))) {
        return None;
    }
    let observer = Told(talk);
    let k = k.elsewhere(look::pid(), &observer);
    Some(k.call(BOUND).and_then(|()| work(&k)))
}

fn say<T: Serialize>(talk: &Fd, what: &Said<T>) -> Result<()> {
    Ok(plumbing::send(talk, &serde_json::to_vec(what)?, None).map_err(std::io::Error::from)?)
}

/// Hears what the child says to its end, and tells what is to be told.
fn answer<T: DeserializeOwned>(k: &Kernel, talk: &Fd, pid: Pid) -> Result<Option<Result<T>>> {
    let (mut buffer, mut asked) = (Vec::new(), false);
    loop {
        if !asked && stop::wait(talk.as_fd(), PollFlags::POLLIN, None).is_err() {
            asked = true;
            if let Some(signal) = stop::asked() {
                let _ = k.ask(Kill { pid, signal }, &[Errno::ESRCH]);
            }
        }
        match plumbing::receive(talk, &mut buffer).map_err(std::io::Error::from)? {
            None => return Ok(None),
            Some(_) => match serde_json::from_slice(&buffer)? {
                Said::Told(event) => k.tell(|_| event),
                Said::Done(answer, None) => return Ok(Some(answer)),
                Said::Done(answer, Some(way)) => {
                    return Ok(Some(answer.map_err(|e| e.or_else_by(way))));
                }
            },
        }
    }
}

/// Listens in the child, for whoever listens here.
struct Told<'a>(&'a Fd);

impl Observer for Told<'_> {
    fn see(&self, event: &Event) {
        // Nobody is there to be told of it; and what came of the work is said in any case.
        let _ = say(self.0, &Said::<()>::Told(event.clone()));
    }
}
