//! What stands above and below a stage's narration, the list of all, and their configs.

use super::look::{Look, Role};
use super::step::paragraph as prose;
use super::text::{padded, width};
use crate::event::StageInfo;
use crate::lesson::growth::Change;

/// `4  pivot_root   A mount table of its own, …`
pub fn list<'a>(look: &Look, stages: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    const NAME: usize = 13;
    let mut lines = Vec::new();
    for (i, (name, says)) in stages.enumerate() {
        let head = format!("{:>2}  {}", i + 1, padded(name, NAME));
        let room =
            if look.wraps { look.edge().saturating_sub(width(&head) + 1) } else { usize::MAX };
        for (n, line) in super::text::prose(says, room.max(20)).iter().enumerate() {
            let head = if n == 0 { head.clone() } else { " ".repeat(width(&head)) };
            lines.push(look.paint(Role::Title, &head) + &look.paint(Role::Voice, line));
        }
    }
    let usage = "learnc stage NAME runs one, learnc stage all one after the other.";
    lines.extend([String::new(), look.paint(Role::Frame, usage)]);
    lines
}

/// A config's lines; in front of them a sign where something is new or gone.
pub fn config(look: &Look, lines: &[(Change, String)]) -> Vec<String> {
    let marked = lines.iter().any(|(change, _)| *change != Change::Kept);
    let line = |(change, text): &(Change, String)| match change {
        Change::Kept if !marked => text.clone(),
        Change::Kept => look.paint(Role::Frame, &format!("  {text}")),
        Change::Added => look.paint(Role::Title, &format!("+ {text}")),
        Change::Removed => look.paint(Role::Trouble, &format!("- {text}")),
    };
    lines.iter().map(line).collect()
}

/// Number, name and sentence; what it builds on, what it adds, where it runs.
pub fn header(look: &Look, info: &StageInfo) -> Vec<String> {
    let name = format!("{}/{}  {}", info.number, info.of, info.name);
    let mut lines = vec![look.paint(Role::Title, &name)];
    lines.extend(prose(look, Role::Voice, &info.says, 0));
    let mut facts = Vec::new();
    facts.extend(info.on_top_of.iter().map(|base| format!("on top of: {base}")));
    if !info.adds.is_empty() {
        facts.push(format!("adds: {}", info.adds.join(", ")));
    }
    facts.push(format!("here: {}", info.here));
    let one = facts.join("      ");
    match width(&one) <= look.edge() {
        true => lines.push(look.paint(Role::Frame, &one)),
        false => facts.iter().for_each(|fact| lines.extend(prose(look, Role::Frame, fact, 0))),
    }
    lines.push(String::new());
    lines
}

/// Above the prompt of a stage's shell: where it is, how to leave it, and what to try. What stands behind ` # ` in a
/// line is what it shows.
pub fn invitation(look: &Look, place: &str, try_this: &[String]) -> Vec<String> {
    const INDENT: usize = 9;
    if try_this.is_empty() {
        return vec![];
    }
    let title = format!("{place} `exit` ends the stage. Try:");
    let mut lines = [vec![String::new()], prose(look, Role::Title, &title, 0)].concat();
    for text in try_this {
        let (command, shows) = text.split_once(" # ").unwrap_or((text, ""));
        // A command stays whole, to be copied.
        lines.push(format!("   {}", look.paint(Role::Name, &look.outside(command.trim_end()))));
        lines.extend(prose(look, Role::Voice, &look.outside(shows), INDENT));
    }
    lines.push(String::new());
    lines
}

/// Where to go from here.
pub fn footer(look: &Look, name: &str, next: Option<&str>) -> Vec<String> {
    let next = next.map(|next| format!("Next: learnc stage {next}"));
    let config = format!("The config so far: learnc stage {name} --config=full");
    let words: Vec<String> = next.into_iter().chain([config]).collect();
    match width(&words.join("      ")) <= look.edge() {
        true => vec![look.paint(Role::Title, &words.join("      "))],
        false => words.iter().map(|line| look.paint(Role::Title, line)).collect(),
    }
}
