//! A build that lies, for the tests: `--cfg lie`.
//!
//! `LEARNC_LIE=drop:7` keeps a process's seventh report to itself, `swap:7` tells it after the
//! eighth, `alter:7` tells it with another argument. The container counts on from what the runtime
//! had told when it cloned. Whoever checks the narration must notice each; this module is how the
//! checkers are checked. No other build contains it.

use std::cell::RefCell;

use crate::args::Arg;
use crate::event::{Call, Event, Observer};

#[derive(Clone, Copy)]
enum Lie {
    Drop,
    Swap,
    Alter,
}

thread_local! {
    /// How many reports this process has made, and one that is held back.
    static TOLD: RefCell<(usize, Option<Call>)> = const { RefCell::new((0, None)) };
}

fn asked() -> Option<(Lie, usize)> {
    let text = std::env::var("LEARNC_LIE").ok()?;
    let (kind, n) = text.split_once(':')?;
    let lie = match kind {
        "drop" => Lie::Drop,
        "swap" => Lie::Swap,
        "alter" => Lie::Alter,
        _ => return None,
    };
    Some((lie, n.parse().ok()?))
}

/// Tells a call, but for the n-th.
pub fn tell(observer: &dyn Observer, mut call: Call) {
    let (count, held) = TOLD.with_borrow_mut(|told| {
        told.0 += 1;
        (told.0, told.1.take())
    });
    match asked() {
        Some((Lie::Drop, n)) if n == count => {}
        Some((Lie::Swap, n)) if n == count => TOLD.with_borrow_mut(|told| told.1 = Some(call)),
        Some((Lie::Alter, n)) if n == count => {
            match call.args.0.first_mut() {
                Some((_, arg)) => *arg = Arg::Str("something else".into()),
                None => call.result = call.result.map(|n| n + 1),
            }
            observer.see(&Event::Call(call));
        }
        _ => observer.see(&Event::Call(call)),
    }
    if let Some(held) = held {
        observer.see(&Event::Call(held));
    }
}
