//! Layers into the store, some at once.
//!
//! Each thread takes the next layer, has a line and a kernel value of its own, and writes into a file of its
//! own. What it has to tell waits for the layers before it. The first that fails ends the others at their next
//! piece; what they have got so far stays.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use indicatif::ProgressBar;

use super::Options;
use super::bars::Bars;
use super::ear::Ear;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::document::Descriptor;
use crate::image::origin::Source;
use crate::image::store::{Incoming, Store};
use crate::sys::{Kernel, stop};

/// How much is read at once, in bytes.
const PIECE: usize = 128 << 10;

/// How far a layer is, and whether it is still wanted.
pub(super) struct Progress<'a> {
    bar: ProgressBar,
    over: Option<&'a AtomicBool>,
}

impl Progress<'_> {
    pub fn none() -> Progress<'static> {
        Progress { bar: ProgressBar::hidden(), over: None }
    }

    fn is_over(&self) -> bool {
        self.over.is_some_and(|over| over.load(Ordering::Relaxed))
    }
}

/// What came of a layer, and what is to be told of it.
struct Came {
    number: usize,
    told: Vec<Event>,
    answer: Result<()>,
}

/// Brings these layers, but for those that are there.
pub(super) fn all(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    layers: &[Descriptor],
    options: &Options,
) -> Result<()> {
    let mut wanted: Vec<&Descriptor> = vec![];
    for layer in layers {
        // One and the same layer may stand in a manifest twice.
        if !store.has(layer) && !wanted.iter().any(|other| other.digest == layer.digest) {
            wanted.push(layer);
        }
    }
    let bars = Bars::new(options.bars);
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = Work { store, source, wanted: &wanted, bars: &bars, next: &next, over: &over };
    let came = std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let count = options.at_once.clamp(1, wanted.len().max(1));
        let begin = |_| {
            let (work, sender) = (&work, sender.clone());
            scope.spawn(move || work.some(&sender))
        };
        let all: Vec<_> = (0..count).map(begin).collect();
        drop(sender);
        let came = in_order(k, &receiver, &bars);
        // Each to its very end: leaving the scope alone only means that its work is done.
        all.into_iter().for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        came
    });
    bars.clear();
    came
}

/// Tells what came of each, the lowest first. The first error is the answer.
fn in_order(k: &Kernel, receiver: &Receiver<Came>, bars: &Bars) -> Result<()> {
    let (mut early, mut turn, mut answer) = (BTreeMap::new(), 0, Ok(()));
    let mut tell = |came: Came| {
        bars.aside(|| came.told.into_iter().for_each(|event| k.tell(|_| event)));
        match (&mut answer, came.answer) {
            (Ok(()), Err(e)) if !is_unwanted(&e) => answer = Err(e),
            _ => {}
        }
    };
    for came in receiver {
        early.insert(came.number, came);
        while let Some(came) = early.remove(&turn) {
            tell(came);
            turn += 1;
        }
    }
    // A layer that nobody began leaves a gap.
    early.into_values().for_each(tell);
    answer
}

/// What all threads share.
struct Work<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    wanted: &'a [&'a Descriptor],
    bars: &'a Bars,
    next: &'a AtomicUsize,
    over: &'a AtomicBool,
}

impl Work<'_> {
    /// One layer after the other, until there is none.
    fn some(&self, sender: &Sender<Came>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(what) = self.wanted.get(number) else { return };
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let ear = Ear::apart();
            let progress = Progress { bar: self.bars.add(what), over: Some(self.over) };
            let answer = ear.listen(|k| fetch(k, self.store, self.source, what, &progress));
            progress.bar.finish_and_clear();
            let answer = answer.map_err(|e| e.at(format!("layer {}", what.digest.short())));
            self.over.fetch_or(answer.is_err(), Ordering::Relaxed);
            let came = Came { number, told: ear.told(self.store.dir()), answer };
            if sender.send(came).is_err() {
                return;
            }
        }
    }
}

/// Brings one blob into the store, or the rest of it.
pub(super) fn fetch(
    k: &Kernel,
    store: &Store,
    source: &dyn Source,
    what: &Descriptor,
    progress: &Progress,
) -> Result<()> {
    let incoming = store.begin(k, what)?;
    let resumed = incoming.was_resumed();
    let answer = rest(k, source, what, progress, incoming);
    match answer {
        // What an earlier pull left may be what is wrong: it has been thrown away.
        Err(_) if resumed && is_gone(k, store, what)? => {
            stop::go_on()?;
            rest(k, source, what, progress, store.begin(k, what)?)
        }
        answer => answer,
    }
}

/// Whether a blob that did not come in has left nothing.
fn is_gone(k: &Kernel, store: &Store, what: &Descriptor) -> Result<bool> {
    Ok(store.begin(k, what)?.have() == 0)
}

fn rest(
    k: &Kernel,
    source: &dyn Source,
    what: &Descriptor,
    progress: &Progress,
    mut incoming: Incoming,
) -> Result<()> {
    if incoming.have() < what.size || what.size == 0 && !incoming.is_there() {
        let mut reader = source.blob(k, what, incoming.have())?;
        let answer = copy(&mut reader, &mut incoming, progress);
        source.retell(k, what);
        answer?;
    }
    incoming.finish(k)
}

fn copy(reader: &mut dyn Read, incoming: &mut Incoming, progress: &Progress) -> Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        progress.bar.set_position(incoming.have());
        stop::go_on()?;
        if progress.is_over() {
            return Err(unwanted());
        }
        let count = reader.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        incoming.write_all(&piece[..count])?;
    }
}

const UNWANTED: &str = "another layer did not come";

fn unwanted() -> Error {
    Error::yours(UNWANTED)
}

fn is_unwanted(error: &Error) -> bool {
    error.kind == unwanted().kind
}
