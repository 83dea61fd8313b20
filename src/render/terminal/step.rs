//! Our voice: a step's title, why there is such a step, how to do it by hand.
//!
//! ```text
//! ── 7/32  Swap the roots ──────────────────────────────────────── root.path ──
//!    pivot_root makes the new root `/` and stacks the old one on top of it; …
//! ```

use super::lane::indent;
use super::look::{Look, Role};
use super::text::{padded, prose, shorten, width};
use crate::event::{Asked, StepInfo};
use crate::lesson::words::{self, StepWords};

/// Prose is not set wider than this.
const MEASURE: usize = 76;

/// A step's title, as it can be shown here.
pub fn title(look: &Look, key: &str, subject: Option<&str>) -> String {
    look.outside(&words::title(key, subject))
}

/// The rule with number, title and whose idea it is.
pub fn rule(look: &Look, number: &str, title: &str, asked: &str) -> Vec<String> {
    let (dash, room) = (look.glyphs().rule, look.edge());
    let asked = look.outside(asked);
    let space = if number.is_empty() { "" } else { " " };
    let before = format!("{dash}{dash} {number}{space}");
    let title = shorten(title, room.saturating_sub(width(&before) + 4), look.glyphs().dots);
    let used = width(&before) + width(&title) + 1;
    let beside = !asked.is_empty() && used + width(&asked) + 7 <= room;
    let after = if beside { format!(" {asked} {dash}{dash}") } else { String::new() };
    let line = dash.repeat(room.saturating_sub(used + width(&after)).max(2));
    let mut lines = vec![format!(
        "{}{} {}",
        look.paint(Role::Frame, &before),
        look.paint(Role::Title, &title),
        look.paint(Role::Frame, &(line + &after)),
    )];
    if !asked.is_empty() && !beside {
        lines.extend(paragraph(look, Role::Frame, &asked, 3));
    }
    lines
}

/// `root.path`; what nobody asked for says whose idea it is.
pub fn asked(info: &StepInfo) -> String {
    match &info.asked {
        Asked::Config(field) => field.clone(),
        other => other.to_string(),
    }
}

/// The two sentences.
pub fn why(look: &Look, words: &StepWords, subject: Option<&str>) -> Vec<String> {
    let see = words.man.as_ref().map(|man| format!(" See {man}.")).unwrap_or_default();
    paragraph(look, Role::Voice, &(words.why(subject).to_owned() + &see), 3)
}

pub fn paragraph(look: &Look, role: Role, text: &str, indent: usize) -> Vec<String> {
    let room = look.edge().saturating_sub(indent + 1).clamp(16, MEASURE);
    let before = " ".repeat(indent);
    let lines = prose(text, room);
    lines.iter().map(|line| format!("{before}{}", look.paint(role, line))).collect()
}

/// The commands that do the same; a remark where there are none.
pub fn by_hand(look: &Look, info: &StepInfo, words: Option<&StepWords>) -> Vec<String> {
    const LINES: usize = 4;
    if info.by_hand.is_empty() {
        let remark = words.and_then(|words| words.by_hand.as_ref());
        return remark.map_or(vec![], |text| labelled(look, "by hand", text));
    }
    let mut shown: Vec<String> = Vec::new();
    for (i, line) in info.by_hand.iter().enumerate() {
        let label = if i == 0 { "by hand" } else { "" };
        let lines = command(look, label, &look.outside(line));
        let more = info.by_hand.len() - i;
        if look.wraps && !look.whole && i > 0 && more > 1 && shown.len() + lines.len() > LINES {
            let text = format!("# {} and {more} more (-v shows all)", look.glyphs().dots);
            shown.extend(beside(look, "", &text));
            break;
        }
        shown.extend(lines);
    }
    shown
}

/// What a label of two words takes.
const GUTTER: usize = 12;

/// A command in lines that a shell takes as one: broken at spaces outside quotes.
fn command(look: &Look, label: &str, line: &str) -> Vec<String> {
    let room = look.edge().saturating_sub(indent(look) + 2).max(20);
    let longest = if look.is_narrow() { room } else { look.edge().saturating_sub(GUTTER + 2) };
    let mut parts = vec![String::new()];
    for word in words_of_command(line) {
        let Some(part) = parts.last_mut() else { break };
        let word = match look.wraps && !look.whole {
            true => shorten(&word, longest, look.glyphs().dots),
            false => word,
        };
        let fits = width(part) + 1 + width(&word) <= room;
        match (part.is_empty(), fits || !look.wraps) {
            (true, _) => part.push_str(&word),
            (false, true) => *part = format!("{part} {word}"),
            (false, false) => {
                part.push_str(" \\");
                // Rather whole at the margin than shortened for the sake of an indent.
                let indent = if width(&word) + 2 <= room { "  " } else { "" };
                parts.push(format!("{indent}{word}"));
            }
        }
    }
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    parts.iter().zip(labels).flat_map(|(part, label)| beside(look, label, part)).collect()
}

/// Split at spaces, but not inside quotes.
fn words_of_command(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, ' ') => {
                words.push(String::new());
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

/// What people say, and what is so.
pub fn often_believed(look: &Look, words: &StepWords) -> Vec<String> {
    match (&words.often_believed, &words.instead) {
        (Some(belief), Some(truth)) => {
            labelled(look, "often believed", &format!("\"{belief}\". {truth}"))
        }
        _ => vec![],
    }
}

/// A label in the gutter and prose beside it.
pub fn labelled(look: &Look, label: &str, text: &str) -> Vec<String> {
    let room = look.edge().saturating_sub(indent(look) + 1).clamp(16, MEASURE);
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let lines = prose(text, room);
    lines.iter().zip(labels).flat_map(|(line, label)| beside(look, label, line)).collect()
}

/// One line with a label in the gutter, or above where there is no room beside.
pub fn beside(look: &Look, label: &str, text: &str) -> Vec<String> {
    // A word that does not fit behind the gutter goes into it, as far as the label leaves room.
    let room = if look.wraps { look.edge().saturating_sub(width(text)) } else { usize::MAX };
    let text = look.paint(Role::Voice, text);
    if !look.is_narrow() {
        let indent = indent(look).min(room.max(GUTTER));
        let label = look.paint(Role::Title, &padded(label, indent - 3));
        return vec![format!("   {label}{text}")];
    }
    let above = (!label.is_empty()).then(|| format!("   {}", look.paint(Role::Title, label)));
    above.into_iter().chain([format!("     {text}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::look::{When, Width};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_is_not_broken_inside_quotes() {
        assert_eq!(words_of_command("echo 'a b' \"c d\" e"), ["echo", "'a b'", "\"c d\"", "e"]);
    }

    proptest! {
        #[test]
        fn nothing_of_a_command_sticks_out(line in "[a-z/ ]{0,120}", columns in 40usize..140) {
            let width = Width::Fixed(columns);
            let look = Look { width, wraps: true, ..Look::of(2, When::Never, false) };
            for line in command(&look, "by hand", &line) {
                prop_assert!(super::width(&line) <= look.edge(), "{line}");
            }
        }
    }
}
