//! What is told around the program's own life: before its first word, and after its last.
//!
//! While it runs the terminal is its own, so what happens meanwhile waits. With a terminal that learnc
//! relays, nothing of the program is shown before the summary, which then stands above its prompt.

use super::look::Role;
use super::step::paragraph;
use super::story::{self, Story};
use super::{Manner, Terminal, stage, table};
use crate::event::Difference;

impl Terminal {
    /// The program has the terminal from here on.
    pub(super) fn started(&self, story: &mut Story) {
        self.finish(story);
        // With a terminal of its own nothing of the program is shown before this: the summary can
        // stand above its prompt. Otherwise it may be writing already.
        let relayed = story.steps.iter().any(|step| step.key == "terminal");
        if self.manner == Manner::Folded && relayed {
            self.sum_up(story);
        }
        if self.manner == Manner::Explained {
            let lines = stage::invitation(&self.look, "You are in it now.", &story.try_this);
            self.print(story, lines);
        }
        story.running = true;
    }

    /// A program of the host's has the terminal from here on. It is not the container's: nothing waits for it.
    pub(super) fn visited(&self, story: &mut Story) {
        self.finish(story);
        let lines = stage::invitation(&self.look, "You stand in it now.", &story.try_this);
        self.print(story, lines);
        story.visited = true;
    }

    pub(super) fn ended(&self, story: &mut Story, status: i32) {
        self.finish(story);
        (story.running, story.in_lines) = (false, false);
        self.end_its_line();
        let held = std::mem::take(&mut story.held);
        self.print(story, held);
        if self.manner == Manner::Explained {
            let text = format!("The program ended with status {status}.");
            let lines = paragraph(&self.look, Role::Fact, &text, 0);
            self.print(story, [vec![String::new()], lines, vec![String::new()]].concat());
        }
    }

    /// If the program's last line did not end, these spaces do; else they leave no trace.
    fn end_its_line(&self) {
        if self.look.wraps {
            self.write(&(" ".repeat(self.look.columns().saturating_sub(1)) + "\r"));
        }
    }

    pub(super) fn changed(&self, story: &mut Story, rows: &[Difference]) {
        self.finish(story);
        let mut lines = table::changed(&self.look, rows);
        if story.visited {
            self.end_its_line();
        }
        if self.manner == Manner::Folded || story.visited {
            lines.insert(0, String::new());
        }
        lines.push(String::new());
        self.print(story, lines);
    }

    /// Beside the summary; by itself where that was said before the program began, or a step failed.
    pub(super) fn host_as_before(&self, story: &mut Story, checks: &[(String, bool)]) {
        story.host = Some(checks.to_vec());
        self.sum_up(story);
        if let Some(checks) = story.host.take() {
            let line = table::host_as_before(&self.look, &checks);
            self.print(story, vec![line]);
        }
    }

    /// `✓ 32 steps, 171 calls, 3.1 ms in the kernel.`
    pub(super) fn sum_up(&self, story: &mut Story) {
        self.finish(story);
        if story.summed_up || story.count.steps == 0 {
            return;
        }
        story.summed_up = true;
        let (count, look) = (&story.count, &self.look);
        let done =
            format!("{}, {}", story::many(count.steps, "step"), story::many(count.calls, "call"));
        let sign = if count.objections == 0 { look.glyphs().yes } else { look.glyphs().no };
        let mut text = match self.manner {
            Manner::Planned => format!("{done}. None of them was made."),
            _ => format!("{sign} {done}, {} in the kernel.", look.time(count.nanos)),
        };
        for remark in &story.remarks {
            text = format!("{text} {}", look.outside(remark));
        }
        let mut lines = paragraph(look, Role::Title, &text, 0);
        lines.extend(story.host.take().map(|checks| table::host_as_before(look, &checks)));
        self.print(story, lines);
    }
}
