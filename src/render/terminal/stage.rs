//! What stands above and below a stage's narration.

use super::Manner;
use super::look::{Look, Role};

use super::step::{beside, paragraph as prose};
use super::text::width;
use crate::event::StageInfo;

/// Number, name and sentence; what it builds on, what it adds, where it runs.
pub fn header(look: &Look, manner: Manner, info: &StageInfo) -> Vec<String> {
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
    if manner == Manner::Explained {
        lines.extend(info.try_this.iter().flat_map(|text| beside(look, "try", text)));
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
