//! The narration on a terminal, a step a paragraph.

use crate::event::{Call, Event, Observer};

/// Writes to stderr.
pub struct Terminal {
    pub folded: bool,
}

impl Observer for Terminal {
    fn see(&self, event: &Event) {
        match event {
            Event::Step { index, .. } => say(&format!("── {}", index + 1)),
            Event::Call(call) => say(&format!("   {}", line(call))),
            Event::Note { text, .. } | Event::Warning { text } | Event::Undone { text } => {
                say(&format!("   {text}"));
            }
            _ => {}
        }
    }
}

/// A reader that went away must not end the run.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn line(call: &Call) -> String {
    let answer = match (&call.errno, call.result, call.announced) {
        (Some(errno), ..) => format!("= {errno}"),
        (_, Some(n), _) => format!("= {n}"),
        _ => "then".into(),
    };
    format!("{:?} {} {}({}) {answer}", call.lane, call.pid, call.name, call.args.to_text())
}
