//! Trouble, told like a step: what was attempted, what the machine shows about it, what to do.

use super::look::{Look, Role};
use super::step::labelled;
use super::text::prose;
use crate::error::Error;

/// `✗ Step 4 of 32 failed: Start a process with a view of its own`
pub fn failed(look: &Look, number: usize, of: usize, title: &str) -> String {
    // A `start` without the plan does not know how many there are.
    let of = if of == 0 { String::new() } else { format!(" of {of}") };
    let text = format!("{} Step {number}{of} failed: {title}", look.glyphs().no);
    look.paint(Role::Trouble, &text)
}

/// Where somebody who was asked has ended it.
pub fn quit(look: &Look, number: usize, of: usize, title: &str) -> String {
    look.paint(Role::Title, &format!("Ended before step {number} of {of}: {title}"))
}

/// The error as the last thing on the screen: the sentence, why, and what to try.
pub fn error(look: &Look, error: &Error) -> Vec<String> {
    let sentence = format!("learnc: {}", look.outside(&error.to_string()));
    let mut lines = wrapped(look, &sentence);
    for (label, text) in [("because", &error.diagnosis), ("try", &error.remedy)] {
        let Some(text) = text else { continue };
        let text = look.outside(text);
        match look.wraps {
            true => lines.extend(labelled(look, label, &text)),
            false => lines.push(format!("  {label:<8} {text}")),
        }
    }
    lines
}

/// What is worth knowing and stops nothing.
pub fn warning(look: &Look, text: &str) -> Vec<String> {
    wrapped(look, &format!("! {}", look.outside(text)))
}

fn wrapped(look: &Look, text: &str) -> Vec<String> {
    if !look.wraps {
        return vec![look.paint(Role::Trouble, text)];
    }
    let lines = prose(text, look.edge().saturating_sub(3).max(16));
    let indent = |i: usize| if i == 0 { "" } else { "  " };
    let paint =
        |(i, line): (usize, &String)| format!("{}{}", indent(i), look.paint(Role::Trouble, line));
    lines.iter().enumerate().map(paint).collect()
}
