//! What doctor found, as a page: a mark, a subject and a sentence a finding, what was looked at
//! below it, and where something is amiss what that costs and what to try.
//!
//! The two voices stay apart: what the kernel said (file and value) is indented below our sentence
//! and has its own colour. Without colour the words `looked at` still tell them apart; without
//! UTF-8 the marks are `+`, `!` and `x`.

use super::terminal::look::{Look, Role};
use super::terminal::text::{padded, prose, width};
use crate::doctor::Verdict;
use crate::doctor::words::Told;

/// Columns of the mark and the subject.
const LEFT: usize = 22;
/// Columns before a label.
const INDENT: usize = 6;

/// The whole page, and its last line.
pub fn page(told: &[Told], summary: &str, look: &Look) -> String {
    let findings: String = told.iter().map(|one| finding(one, look)).collect();
    let text = format!("{findings}\n{summary}\n");
    text.trim_start_matches('\n').replace("\n\n\n", "\n\n")
}

fn finding(told: &Told, look: &Look) -> String {
    let (mark, role) = mark(told.finding.verdict, look);
    let title = padded(&told.title, LEFT - 2);
    let head = format!("{} {}", look.paint(role, mark), look.paint(Role::Title, &title));
    let mut text = entry(&head, &told.words.says, Role::Voice, look);
    for (i, seen) in told.finding.evidence.iter().enumerate() {
        let label = if i == 0 { "looked at" } else { "" };
        let line = format!("{}: {}", seen.looked_at, seen.value);
        text.push_str(&row(label, &line, Role::Fact, look));
    }
    if let Some(costs) = &told.words.costs {
        text.push_str(&row("costs", costs, Role::Voice, look));
    }
    if let Some(remedy) = &told.words.remedy {
        text.push_str(&command(remedy, look));
    }
    // What is amiss stands alone, so that the eye finds it.
    match told.finding.verdict {
        Verdict::Good => text,
        _ => format!("\n{text}\n"),
    }
}

fn mark(verdict: Verdict, look: &Look) -> (&'static str, Role) {
    match verdict {
        Verdict::Good => (look.glyphs().yes, Role::Name),
        Verdict::Limited => ("!", Role::Trouble),
        Verdict::Missing => (look.glyphs().no, Role::Trouble),
    }
}

fn row(label: &str, text: &str, role: Role, look: &Look) -> String {
    let label = padded(label, LEFT - INDENT);
    let head = format!("{}{}", " ".repeat(INDENT), look.paint(Role::Frame, &label));
    entry(&head, text, role, look)
}

/// A remedy is copied by hand or mouse: where a line of its own keeps it whole, it gets one.
fn command(remedy: &str, look: &Look) -> String {
    let room = |indent| look.edge().saturating_sub(indent + 1);
    if width(remedy) > room(LEFT) && width(remedy) <= room(INDENT) {
        let (indent, remedy) = (" ".repeat(INDENT), look.paint(Role::Title, &look.outside(remedy)));
        return format!("{indent}{}\n{indent}{remedy}\n", look.paint(Role::Frame, "try"));
    }
    row("try", remedy, Role::Title, look)
}

/// A head, and beside it the text, as many lines as it takes.
fn entry(head: &str, text: &str, role: Role, look: &Look) -> String {
    let room = look.edge().saturating_sub(LEFT + 1).max(20);
    let lines = prose(&look.outside(text), room);
    let lines = lines.iter().map(|line| look.paint(role, line));
    let lines: Vec<String> = lines.collect();
    format!("{head}{}\n", lines.join(&format!("\n{}", " ".repeat(LEFT))))
}
