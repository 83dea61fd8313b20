//! What belongs together in one step is told together.
//!
//! * A file that is opened and written is one line: the two calls are how Linux spells "write this
//!   into that".
//! * Many calls of one kind, which differ in one thing only, are one call and a list of what differs
//!   in the others.
//!
//! Nothing is lost in what matters: an error is never folded away, nor is a call that a witness did
//! not see. `-v` and pipes get every call by itself.

use super::look::Look;
use super::say::briefly;
use crate::args::Arg;
use crate::event::{Call, Seen};

/// What a step consists of, as it came.
#[derive(Debug, Clone)]
pub enum Item {
    Call(Call),
    Note(String),
}

/// What will be a line, or a few.
#[derive(Debug)]
pub enum Told<'a> {
    Note(&'a str),
    Call(&'a Call),
    /// A file opened (unless it was open already) and written.
    Write {
        open: Option<&'a Call>,
        write: &'a Call,
        path: &'a str,
    },
    /// One, and the others of its kind with what differs in them.
    Many {
        first: Box<Told<'a>>,
        rest: Vec<Told<'a>>,
        differ: Vec<String>,
    },
}

/// From this many on, calls of a kind are folded.
const MANY: usize = 3;

/// The items of a step as they will be told.
pub fn fold<'a>(items: &'a [Item], look: &Look) -> Vec<Told<'a>> {
    if look.whole {
        return items.iter().map(single).collect();
    }
    let joined = join_writes(items);
    if look.wraps { gather(joined, look) } else { joined }
}

fn single(item: &Item) -> Told<'_> {
    match item {
        Item::Call(call) => Told::Call(call),
        Item::Note(text) => Told::Note(text),
    }
}

/// An open for writing and the writes to what it opened.
fn join_writes(items: &[Item]) -> Vec<Told<'_>> {
    let mut told: Vec<Told> = Vec::new();
    for item in items {
        let Item::Call(call) = item else {
            told.push(single(item));
            continue;
        };
        let Some(path) = written(call).filter(|_| is_plain(call)) else {
            told.push(Told::Call(call));
            continue;
        };
        match told.last() {
            Some(Told::Call(open)) if opens(open, call) => {
                let open = Some(*open);
                told.pop();
                told.push(Told::Write { open, write: call, path });
            }
            // The same open file takes another write.
            Some(Told::Write { write, .. }) if write.args.0.first() == call.args.0.first() => {
                told.push(Told::Write { open: None, write: call, path });
            }
            _ => told.push(Told::Call(call)),
        }
    }
    told
}

/// The path of the file that a call writes to.
fn written(call: &Call) -> Option<&str> {
    match (call.name.as_str(), call.args.0.first()) {
        ("write", Some((_, Arg::Fd(_, Some(path))))) => Some(path),
        _ => None,
    }
}

/// Whether `open` made the descriptor that `write` writes to. In a plan there are no numbers yet,
/// and the next write is to what was opened last.
fn opens(open: &Call, write: &Call) -> bool {
    let Some((_, Arg::Fd(fd, _))) = write.args.0.first() else { return false };
    let made = open.announced || open.result == Some(i64::from(*fd));
    open.name.starts_with("openat") && is_plain(open) && made
}

/// Neither trouble nor a witness's objection: it may be told with others.
fn is_plain(call: &Call) -> bool {
    (call.errno.is_none() || call.expected)
        && !matches!(call.seen, Some(Seen::NotSeen | Seen::Unnarrated))
}

/// Gathers calls of a kind at the place of the first one.
fn gather<'a>(told: Vec<Told<'a>>, look: &Look) -> Vec<Told<'a>> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (i, one) in told.iter().enumerate() {
        let Some(shape) = shape(one) else { continue };
        match kinds.iter_mut().position(|kind| kind.takes(&shape)) {
            Some(kind) => kinds[kind].members.push(i),
            None => kinds.push(Kind { first: shape, differs: None, members: vec![i] }),
        }
    }
    kinds.retain(|kind| kind.members.len() >= MANY);
    let mut slots: Vec<Option<Told>> = told.into_iter().map(Some).collect();
    for kind in kinds {
        let place = kind.differs.as_ref().and_then(|d| d.first().copied()).unwrap_or(0);
        let taken: Vec<Told> = kind.members.iter().filter_map(|i| slots[*i].take()).collect();
        let differ = taken[1..].iter().map(|one| differing(one, place, look)).collect();
        let mut taken = taken.into_iter();
        if let Some(first) = taken.next() {
            let first = Box::new(first);
            slots[kind.members[0]] = Some(Told::Many { first, rest: taken.collect(), differ });
        }
    }
    slots.into_iter().flatten().collect()
}

/// Calls that are alike but for one thing, which may stand at several places.
struct Kind {
    first: (String, Vec<String>),
    differs: Option<Vec<usize>>,
    members: Vec<usize>,
}

impl Kind {
    fn takes(&mut self, (name, args): &(String, Vec<String>)) -> bool {
        if *name != self.first.0 || args.len() != self.first.1.len() {
            return false;
        }
        let places: Vec<usize> = (0..args.len()).filter(|i| args[*i] != self.first.1[*i]).collect();
        let one_thing = places.windows(2).all(|pair| args[pair[0]] == args[pair[1]]);
        match &self.differs {
            None if one_thing && !places.is_empty() => {
                self.differs = Some(places);
                true
            }
            Some(known) => one_thing && (places.is_empty() || *known == places),
            None => false,
        }
    }
}

/// A call's name and what its arguments mean: of a descriptor, what it leads to.
fn shape(told: &Told) -> Option<(String, Vec<String>)> {
    let meaning = |arg: &Arg| match arg {
        Arg::Fd(_, Some(path)) | Arg::FdPath(_, Some(path)) => path.clone(),
        other => other.to_text(),
    };
    match told {
        Told::Call(call) if is_plain(call) => {
            let args = call.args.0.iter().map(|(_, arg)| meaning(arg)).collect();
            Some((call.name.clone(), args))
        }
        Told::Write { write, path, .. } => {
            let data = write.args.get("buf").map(Arg::to_text).unwrap_or_default();
            Some(("write a file".into(), vec![(*path).to_owned(), data]))
        }
        _ => None,
    }
}

/// What distinguishes a member, and its errno if it has one.
fn differing(told: &Told, place: usize, look: &Look) -> String {
    match told {
        Told::Call(call) => {
            let arg = call.args.0.get(place).map(|(_, arg)| briefly(look, arg));
            let errno = call.errno.as_ref().map(|e| format!(" = {e}")).unwrap_or_default();
            arg.unwrap_or_default() + &errno
        }
        Told::Write { path, .. } if place == 0 => look.outside(path),
        Told::Write { write, .. } => {
            write.args.get("buf").map(|arg| briefly(look, arg)).unwrap_or_default()
        }
        _ => String::new(),
    }
}

impl Told<'_> {
    /// The calls behind it.
    pub fn calls(&self) -> Vec<&Call> {
        match self {
            Told::Note(_) => vec![],
            Told::Call(call) => vec![call],
            Told::Write { open, write, .. } => open.iter().copied().chain([*write]).collect(),
            Told::Many { first, rest, .. } => {
                first.calls().into_iter().chain(rest.iter().flat_map(Told::calls)).collect()
            }
        }
    }
}
