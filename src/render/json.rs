//! `--events`: one JSON object a line, as documented in `book/src/events.md`.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, Named, Result};
use crate::event::{Event, FORMAT, Observer};

/// Where events go: `FILE` or `fd:N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    File(PathBuf),
    Descriptor(i32),
}

impl std::str::FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target> {
        match text.strip_prefix("fd:") {
            None => Ok(Target::File(text.into())),
            Some(number) => number.parse().ok().filter(|n| *n > 0).map(Target::Descriptor).ok_or(
                Error::yours(format!("{text:?} is no descriptor")).try_this("--events fd:3"),
            ),
        }
    }
}

/// Writes each event at once, so that a killed run leaves what it did.
pub struct Json {
    file: RefCell<File>,
}

impl Json {
    pub fn open(target: &Target) -> Result<Json> {
        let file = match target {
            Target::File(path) => create(path)?,
            Target::Descriptor(number) => descriptor(*number)?,
        };
        let json = Json { file: RefCell::new(file) };
        json.see(&Event::Form { version: FORMAT });
        Ok(json)
    }
}

#[expect(clippy::disallowed_methods, reason = "the file that the user asked for by --events")]
fn create(path: &PathBuf) -> Result<File> {
    let writable = "a file that can be written to, in a folder that is there";
    File::create(path).named(path).map_err(|e| e.at("--events").try_this(writable))
}

fn descriptor(number: i32) -> Result<File> {
    crate::sys::plumbing::adopt(number).map(File::from).map_err(|e| e.at("--events"))
}

impl Observer for Json {
    fn see(&self, event: &Event) {
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        // A reader that went away must not end the run.
        let _ = self.file.borrow_mut().write_all(&line);
    }
}
