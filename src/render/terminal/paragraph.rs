//! One step, told: as a line, as a paragraph, or as it would be.

use super::Manner;
use super::fold::{Item, Told, fold};
use super::lane::{mark, sign};
use super::look::{Look, Role};
use super::step::{asked, beside, by_hand, often_believed, rule, title, why};
use super::story::Story;
use super::text::{padded, shorten, width};
use crate::event::{Call, Lane, Seen, StepInfo};
use crate::lesson::words;

/// A step and what happened in it. Without an index: what happened after the last one.
#[derive(Debug, Default)]
pub struct Paragraph {
    pub index: Option<usize>,
    /// Under which `lessons/words` knows it.
    pub key: String,
    pub items: Vec<Item>,
    pub undone: Vec<String>,
    /// Calls that were told by their number.
    pub bulk: usize,
    pub bulk_nanos: u64,
    pub failed: bool,
}

/// The line above the first step.
pub fn heading(look: &Look, manner: Manner, id: &str, steps: &[StepInfo]) -> Vec<String> {
    if manner == Manner::Folded || id.is_empty() {
        return vec![];
    }
    let runtime = steps.iter().filter(|step| step.lane == Lane::Runtime).count();
    let inside = steps.len() - runtime;
    let steps = super::story::many(steps.len(), "step");
    let text = format!("{steps}: {runtime} by the runtime, {inside} inside");
    let id = look.paint(Role::Title, &look.outside(id));
    vec![format!("{id}   {}", look.paint(Role::Frame, &text)), String::new()]
}

impl Paragraph {
    pub fn lines(&self, look: &Look, manner: Manner, story: &mut Story) -> Vec<String> {
        let info = self.index.and_then(|index| story.steps.get(index)).cloned();
        // A stage that knows steps from the one before knows its end from there too.
        let ends = self.index.is_none() && self.key == "undo" && !story.failed;
        let known = match ends {
            true => story.steps.iter().any(|step| step.known),
            false => info.as_ref().is_some_and(|info| info.known) && !self.failed,
        };
        let after_a_line = std::mem::replace(&mut story.in_lines, known);
        match manner {
            Manner::Explained if known => self.folded(look, info.as_ref(), story),
            Manner::Explained if after_a_line => {
                let lines = self.explained(look, info.as_ref(), story, true);
                [vec![String::new()], lines].concat()
            }
            Manner::Folded => self.folded(look, info.as_ref(), story),
            Manner::Explained => self.explained(look, info.as_ref(), story, true),
            Manner::Planned if look.wraps && look.columns() < 110 => {
                self.explained(look, info.as_ref(), story, false)
            }
            Manner::Planned => self.planned(look, info.as_ref(), story),
        }
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.items.iter().filter_map(|item| match item {
            Item::Call(call) => Some(call),
            Item::Note(_) => None,
        })
    }

    fn number(&self, of: usize) -> String {
        match (self.index, of) {
            (None, _) => String::new(),
            (Some(index), 0) => format!("{}", index + 1),
            (Some(index), of) => format!("{}/{of}", index + 1),
        }
    }

    fn title(&self, look: &Look, info: Option<&StepInfo>) -> String {
        title(look, &self.key, info.and_then(|info| info.subject.as_deref()))
    }

    /// Rule, why, calls, by hand, often believed. Without the words it is the picture of a plan.
    fn explained(
        &self,
        look: &Look,
        info: Option<&StepInfo>,
        story: &mut Story,
        with_words: bool,
    ) -> Vec<String> {
        let asked = info.map(asked).unwrap_or_default();
        let number = self.number(story.steps.len());
        let mut lines = rule(look, &number, &self.title(look, info), &asked);
        let words = words::step(&self.key).filter(|_| with_words);
        let subject = info.and_then(|info| info.subject.as_deref());
        let mut first = false;
        if let Some(words) = words {
            first = story.explained.insert(words.why(subject).to_owned());
            if first {
                lines.extend(why(look, words, subject));
                lines.push(String::new());
            }
        }
        story.lanes.rest();
        for told in fold(&self.items, look) {
            lines.extend(story.lanes.lines(look, &told));
            lines.extend(glosses(look, &told, story));
        }
        if let (Some(info), true) = (info, with_words) {
            lines.extend(by_hand(look, info, words));
        }
        for (i, text) in self.undone.iter().enumerate() {
            let label = if i == 0 { "undone" } else { "" };
            lines.extend(beside(look, label, &look.outside(text)));
        }
        if let Some(words) = words.filter(|_| first) {
            lines.extend(often_believed(look, words));
        }
        lines.push(String::new());
        lines
    }

    /// ` 7/32  Mount /proc                              mounts[0]      2 calls   33 µs`
    fn folded(&self, look: &Look, info: Option<&StepInfo>, story: &mut Story) -> Vec<String> {
        let mut lines = Vec::new();
        if self.index.is_some() || story.in_lines {
            lines.push(self.line(look, info, story.steps.len()));
        }
        for (i, text) in self.undone.iter().enumerate().filter(|_| story.failed) {
            let label = if i == 0 { "undone" } else { "" };
            lines.extend(beside(look, label, &look.outside(text)));
        }
        // Trouble, and a witness's objection, are never folded away.
        story.lanes.rest();
        for item in &self.items {
            match item {
                Item::Call(call) if is_trouble(call) => {
                    lines.extend(story.lanes.lines(look, &Told::Call(call)));
                }
                _ => {}
            }
        }
        lines
    }

    fn line(&self, look: &Look, info: Option<&StepInfo>, of: usize) -> String {
        let calls = self.calls().count() + self.bulk;
        let nanos = self.calls().map(|call| call.nanos).sum::<u64>() + self.bulk_nanos;
        let announced = calls > 0 && self.bulk == 0 && self.calls().all(|call| call.announced);
        let time = match (announced, nanos) {
            (true, _) => "then".into(),
            // None was made.
            (false, 0) => String::new(),
            (false, nanos) => look.time(nanos),
        };
        let noun = if calls == 1 { "call " } else { "calls" };
        let counted = format!("{calls:>4} {noun} {time:>7}");
        let (sign, role) = match self.failed {
            true => (look.glyphs().no, Role::Trouble),
            false => sign(look, mark(&self.calls().collect::<Vec<_>>())),
        };
        let number = self.number(of);
        let room = look.edge().saturating_sub(9 + width(&counted) + 1);
        let asked = if room >= 74 { 24 } else { 0 };
        let dots = look.glyphs().dots;
        let title = shorten(&self.title(look, info), room - asked.min(room), dots);
        let title = look.paint(Role::Voice, &padded(&title, room - asked.min(room)));
        let field = match asked {
            0 => String::new(),
            _ => info.map(brief_asked).unwrap_or_default(),
        };
        let field = shorten(&look.outside(&field), asked.saturating_sub(1), dots);
        let rest = format!("{number:>5}  ");
        format!(
            "{}{}{title}{}",
            look.paint(role, sign) + " ",
            look.paint(Role::Frame, &rest),
            look.paint(Role::Frame, &(padded(&format!(" {field}"), asked.max(1)) + &counted))
        )
    }

    /// ` 1/9  linux.namespaces[1]   runtime    clone3(CLONE_NEWNS|…)`: every call by itself.
    fn planned(&self, look: &Look, info: Option<&StepInfo>, story: &mut Story) -> Vec<String> {
        let lane = info.map_or("", |info| match info.lane {
            Lane::Runtime => "runtime",
            Lane::Container => "container",
        });
        let field = info.map(brief_asked).unwrap_or_default();
        let field = shorten(&look.outside(&field), 26, look.glyphs().dots);
        let number = self.number(story.steps.len());
        let before = format!("{number:>5}  {}  {lane:<9}  ", padded(&field, 26));
        let mut lines = Vec::new();
        for told in fold(&self.items, look) {
            let again = !lines.is_empty() && look.wraps;
            let before = if again { " ".repeat(width(&before)) } else { before.clone() };
            lines.extend(story.lanes.bare(look, &told, &before));
        }
        lines
    }
}

/// With `-v`, what a call does, in one sentence, when it is made for the first time.
fn glosses(look: &Look, told: &Told, story: &mut Story) -> Vec<String> {
    if !look.whole {
        return vec![];
    }
    let mut lines = Vec::new();
    for call in told.calls() {
        let words = words::call(&call.name);
        if let Some(words) = words.filter(|_| story.explained.insert(call.name.clone())) {
            lines.extend(super::step::labelled(look, &call.name, words));
        }
    }
    lines
}

fn is_trouble(call: &Call) -> bool {
    let failed = call.errno.is_some() && !call.expected;
    failed || matches!(call.seen, Some(Seen::NotSeen | Seen::Unnarrated))
}

/// Whose idea, without the reason.
fn brief_asked(info: &StepInfo) -> String {
    match &info.asked {
        crate::event::Asked::Config(field) => field.clone(),
        crate::event::Asked::Default(_) => "default".into(),
        crate::event::Asked::Needed(by) => format!("needed by {by}"),
    }
}
