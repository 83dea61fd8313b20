//! What doctor found, as a page: a mark, a subject and a sentence a finding, what was looked at
//! below it, and where something is amiss what that costs and what to try.
//!
//! The two voices stay apart: what the kernel said (file and value) is indented below our sentence
//! and has its own colour. Without colour the words `looked at` still tell them apart; without
//! UTF-8 the marks are `+`, `!` and `x`.

use colored::{ColoredString, Colorize};
use unicode_width::UnicodeWidthStr;

use crate::args::plain;
use crate::doctor::Verdict;
use crate::doctor::words::Told;

/// How wide a page is, and whether its reader's terminal knows more than ASCII.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub width: usize,
    pub unicode: bool,
}

/// Columns of the mark and the subject.
const LEFT: usize = 22;

type Paint = fn(&str) -> ColoredString;

/// The whole page.
pub fn page(told: &[Told], page: Page) -> String {
    let mut text = String::new();
    for one in told {
        text.push_str(&finding(one, page));
    }
    text.trim_start_matches('\n').replace("\n\n\n", "\n\n")
}

fn finding(told: &Told, page: Page) -> String {
    let head = format!("{} {}", mark(told.finding.verdict, page), plain(&told.title).bold());
    let wide = 2 + told.title.width();
    let mut text = entry(&head, wide, &told.words.says, page, |text| text.into());
    for (i, seen) in told.finding.evidence.iter().enumerate() {
        let label = if i == 0 { "looked at" } else { "" };
        let line = format!("{}: {}", seen.looked_at, seen.value);
        text.push_str(&row(label, &line, page, |line| line.cyan()));
    }
    if let Some(costs) = &told.words.costs {
        text.push_str(&row("costs", costs, page, |text| text.into()));
    }
    if let Some(remedy) = &told.words.remedy {
        text.push_str(&command(remedy, page));
    }
    // What is amiss stands alone, so that the eye finds it.
    match told.finding.verdict {
        Verdict::Good => text,
        _ => format!("\n{text}\n"),
    }
}

fn mark(verdict: Verdict, page: Page) -> ColoredString {
    match (verdict, page.unicode) {
        (Verdict::Good, true) => "✓".green(),
        (Verdict::Good, false) => "+".green(),
        (Verdict::Limited, _) => "!".yellow(),
        (Verdict::Missing, true) => "✗".red(),
        (Verdict::Missing, false) => "x".red(),
    }
}

fn row(label: &str, text: &str, page: Page, paint: Paint) -> String {
    let head = format!("      {}", label.dimmed());
    entry(&head, 6 + label.width(), text, page, paint)
}

/// A remedy is copied by hand or mouse: where a line of its own keeps it whole, it gets one.
fn command(remedy: &str, page: Page) -> String {
    let (beside, below) = (page.width.saturating_sub(LEFT + 1), page.width.saturating_sub(7));
    if remedy.width() > beside && remedy.width() <= below {
        return format!("      {}\n      {}\n", "try".dimmed(), plain(remedy).bold());
    }
    row("try", remedy, page, |line| line.bold())
}

/// A head of `wide` columns, and beside it the text, as many lines as it takes.
fn entry(head: &str, wide: usize, text: &str, page: Page, paint: Paint) -> String {
    let room = page.width.saturating_sub(LEFT + 1).max(20);
    let lines = wrapped(&plain(text), room);
    let mut out = format!("{head}{}", " ".repeat(LEFT.saturating_sub(wide).max(1)));
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push_str(&" ".repeat(LEFT));
        }
        out.push_str(&format!("{}\n", paint(line)));
    }
    out
}

/// Lines of at most `room` columns, broken between words; a longer word stands alone, unbroken.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && line.width() + 1 + word.width() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_room_but_for_a_single_word(text in "[a-zé ]{0,120}") {
            let lines = wrapped(&text, 20);
            for line in &lines {
                prop_assert!(line.width() <= 20 || !line.contains(' '), "{line:?}");
            }
            let words: Vec<&str> = text.split(' ').filter(|w| !w.is_empty()).collect();
            let joined = lines.join(" ");
            prop_assert_eq!(joined.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>(), words);
        }
    }
}
