//! The narration for a person: on a terminal, or in a pipe.
//!
//! Events come one by one; a step is told when it is over, as a paragraph, because only then is it
//! known what can be folded ([`fold`]). Two voices speak and are never mixed: the kernel's, in
//! lanes behind a bar ([`lane`]), and ours, at the margin ([`step`]); each has its own colour as well
//! ([`look`]). The words of our voice are data ([`crate::lesson::words`]).
//!
//! While the container's program runs the terminal is its own: what happens meanwhile is held back
//! and told when it has ended. A reader that goes away (`| head`) does not end the run.

mod around;
pub mod fold;
pub mod lane;
pub mod look;
pub mod paragraph;
pub mod say;
pub mod stage;
pub mod step;
pub mod story;
pub mod table;
pub mod text;
pub mod trouble;

use std::cell::RefCell;
use std::io::Write;

use crate::event::{Call, Event, Observer, Seen};
use crate::lesson::words;
use fold::Item;
use look::{Look, Role};
use paragraph::Paragraph;
use step::paragraph;
use story::Story;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A line a step: for doing.
    Folded,
    /// Everything, and why: for learning.
    Explained,
    /// The steps and their calls, which are not made: `--plan`.
    Planned,
}

/// Tells events to a person.
pub struct Terminal {
    manner: Manner,
    look: Look,
    out: RefCell<Box<dyn Write>>,
    story: RefCell<Story>,
}

impl Terminal {
    pub fn new(manner: Manner, look: Look, out: Box<dyn Write>) -> Terminal {
        let story = RefCell::default();
        Terminal { manner, look, out: RefCell::new(out), story }
    }

    /// On stderr, since stdout belongs to the container; a plan, which runs none, on stdout.
    pub fn standard(manner: Manner, colour: look::When, whole: bool) -> Terminal {
        let (fd, out): (_, Box<dyn Write>) = match manner {
            Manner::Planned => (1, Box::new(std::io::stdout())),
            _ => (2, Box::new(std::io::stderr())),
        };
        Terminal::new(manner, Look::of(fd, colour, whole), out)
    }

    /// Writes lines, or keeps them until the container's program has ended.
    fn print(&self, story: &mut Story, lines: Vec<String>) {
        if story.running {
            story.held.extend(lines);
        } else if !lines.is_empty() {
            self.write(&(lines.join("\n") + "\n"));
        }
    }

    fn write(&self, text: &str) {
        let mut out = self.out.borrow_mut();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Tells the step that is under way, which is over.
    fn finish(&self, story: &mut Story) {
        if let Some(paragraph) = story.now.take() {
            let lines = paragraph.lines(&self.look, self.manner, story);
            self.print(story, lines);
        }
    }

    fn begin(&self, story: &mut Story, index: Option<usize>, key: &str) {
        self.finish(story);
        story.count.steps += usize::from(index.is_some());
        story.now = Some(Paragraph { index, key: key.to_owned(), ..Paragraph::default() });
    }

    fn step(&self, story: &mut Story, index: usize) {
        let info = story.steps.get(index).cloned();
        if self.manner == Manner::Explained
            && info.as_ref().is_some_and(|info| info.starts && index > 0)
            && !story.is_early
        {
            self.note(story, None, &words::remark("created", &[]));
        }
        self.begin(story, Some(index), &info.map(|info| info.key).unwrap_or_default());
    }

    fn call(&self, story: &mut Story, call: &Call) {
        // What belongs to no step: a visit, signals passed on, and taking back.
        let (index, key) = match call.step.as_str() {
            "" => (None, "undo"),
            "signal" => (None, "signal"),
            "visit" => (None, "visit"),
            "image_ready" => (None, "image_ready"),
            "looked_into" => (None, "looked_into"),
            key => (Some(call.index), key),
        };
        match &mut story.now {
            Some(now) if now.index == index && now.key == key => {}
            // A `start` without the plan learns from the calls which steps these are.
            Some(now) if now.index == index && now.key.is_empty() => now.key = key.to_owned(),
            _ => self.begin(story, index, key),
        }
        story.is_before = key == "image_ready";
        if index.is_some() && call.seen != Some(Seen::Unnarrated) {
            story.count.calls += 1;
            story.count.nanos += call.nanos;
        }
        if matches!(call.seen, Some(Seen::NotSeen | Seen::Unnarrated)) {
            story.count.objections += 1;
        }
        if let Some(now) = &mut story.now {
            now.items.push(Item::Call(call.clone()));
        }
    }

    fn bulk(&self, story: &mut Story, calls: usize, nanos: u64) {
        // What a run that made nothing else outside takes back first.
        if story.now.is_none() {
            let key = if story.is_before { "image_ready" } else { "undo" };
            self.begin(story, None, key);
        }
        let Some(now) = &mut story.now else { return };
        now.bulk += calls;
        now.bulk_nanos += nanos;
        if now.index.is_some() {
            story.count.calls += calls;
            story.count.nanos += nanos;
        }
    }

    fn note(&self, story: &mut Story, index: Option<usize>, text: &str) {
        let gathers = self.gathers(story);
        match (&mut story.now, index) {
            (Some(now), Some(_)) => now.items.push(Item::Note(text.to_owned())),
            (_, None) if gathers => story.remarks.push(text.to_owned()),
            _ => {
                self.finish(story);
                let lines = paragraph(&self.look, Role::Voice, &self.look.outside(text), 0);
                self.print(story, lines);
            }
        }
    }

    /// Facts that no call of the kernel says: in a step among its calls, else a line of their own.
    fn of_an_image(&self, story: &mut Story, index: Option<usize>, text: &str) {
        if index.is_some() && story.now.is_some() {
            return self.note(story, index, text);
        }
        self.finish(story);
        let text = self.look.outside(text);
        let lines = match self.look.wraps {
            true => paragraph(&self.look, Role::Fact, &text, 0),
            false => vec![text],
        };
        self.print(story, lines);
    }

    /// Whether a sentence about the run can still stand behind the summary.
    fn gathers(&self, story: &Story) -> bool {
        self.manner == Manner::Folded && !story.steps.is_empty() && !story.summed_up
    }

    fn failed(&self, story: &mut Story, index: usize) {
        let title = self.title_of(story, index);
        match &mut story.now {
            Some(now) if now.index == Some(index) => now.failed = true,
            _ => {
                let key = story.steps.get(index).map(|step| step.key.clone()).unwrap_or_default();
                self.begin(story, Some(index), &key);
                story.now.iter_mut().for_each(|now| now.failed = true);
            }
        }
        self.finish(story);
        if self.manner != Manner::Folded {
            let line = trouble::failed(&self.look, index + 1, story.steps.len(), &title);
            self.print(story, vec![line, String::new()]);
        }
        (story.failed, story.summed_up) = (true, true);
    }

    /// Somebody did not want this step: it has neither begun nor failed.
    fn quit(&self, story: &mut Story, index: usize) {
        self.finish(story);
        let title = self.title_of(story, index);
        let line = trouble::quit(&self.look, index + 1, story.steps.len(), &title);
        self.print(story, vec![line, String::new()]);
        (story.failed, story.summed_up) = (true, true);
    }

    fn title_of(&self, story: &Story, index: usize) -> String {
        let info = story.steps.get(index);
        let title = info.map(|info| step::title(&self.look, &info.key, info.subject.as_deref()));
        title.unwrap_or_default()
    }
}

impl Observer for Terminal {
    fn see(&self, event: &Event) {
        let mut story = self.story.borrow_mut();
        let story = &mut *story;
        match event {
            Event::Form { .. } => {}
            Event::Plan { id, steps, .. } => {
                self.finish(story);
                story.steps.clone_from(steps);
                story.is_before = false;
                let lines = paragraph::heading(&self.look, self.manner, id, steps);
                self.print(story, lines);
            }
            Event::Step { index, .. } => self.step(story, *index),
            Event::Call(call) => self.call(story, call),
            Event::Note { index, text } => self.note(story, *index, text),
            Event::Requested { index, .. } | Event::Checked { index, .. } => {
                self.of_an_image(story, *index, &say::of_an_image(&self.look, event));
            }
            Event::Bulk { index, below, calls, nanos, .. } => {
                self.bulk(story, calls.values().sum::<u64>() as usize, *nanos);
                let calls: Vec<_> = calls.iter().map(|(name, n)| format!("{name} ×{n}")).collect();
                self.note(story, Some(*index), &format!("{}, below {below}", calls.join(", ")));
            }
            Event::Warning { text } => {
                self.finish(story);
                self.print(story, trouble::warning(&self.look, text));
            }
            Event::Failed { index, error } if error.is_ended_by_you() => self.quit(story, *index),
            Event::Failed { index, .. } => self.failed(story, *index),
            Event::Undone { text } => {
                if story.now.as_ref().is_none_or(|now| now.index.is_some()) {
                    self.begin(story, None, "undo");
                }
                story.now.iter_mut().for_each(|now| now.undone.push(text.clone()));
            }
            Event::Started { .. } => self.started(story),
            Event::Ended { status, .. } => self.ended(story, *status),
            Event::Changed { rows } => self.changed(story, rows),
            Event::HostAsBefore { checks } => self.host_as_before(story, checks),
            Event::Stage(info) => {
                self.finish(story);
                let is_early = info.number < info.of;
                *story = Story { try_this: info.try_this.clone(), is_early, ..Story::default() };
                self.print(story, stage::header(&self.look, info));
            }
            Event::StageOver { name, next } => {
                self.sum_up(story);
                self.print(story, stage::footer(&self.look, name, next.as_deref()));
            }
        }
    }

    fn flush(&self) {
        let mut story = self.story.borrow_mut();
        if story.now.as_ref().is_some_and(|now| now.key == "visit") {
            return self.visited(&mut story);
        }
        self.finish(&mut story);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut story = self.story.take();
        story.running = false;
        let held = std::mem::take(&mut story.held);
        self.print(&mut story, held);
        self.sum_up(&mut story);
    }
}
