//! The switches that say how much is told, where, and in which form.

use std::io::Write;

use clap::Args;

use super::Cli;
use super::step::Prompt;
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::perform::parent::{Stepper, Watch};
use crate::render::json::{Json, Target};
use crate::render::terminal::look::{Look, When};
use crate::render::terminal::{Manner, Terminal, trouble};
use crate::trace::{self, Witness};

/// Shared by every verb that performs steps.
#[derive(Debug, Args, Clone)]
pub struct Narration {
    /// Say nothing but errors
    #[arg(short, long, conflicts_with_all = ["explain", "verbose", "step", "plan"])]
    pub quiet: bool,
    /// Tell each step as a paragraph: why, every call with its answer, the same by hand
    #[arg(long)]
    pub explain: bool,
    /// Like --explain, with nothing folded or shortened, and a word on every call
    #[arg(short, long)]
    pub verbose: bool,
    /// Write events as JSON lines to a file, or to a descriptor: fd:N
    #[arg(long, value_name = "FILE|fd:N")]
    pub events: Option<Target>,
    /// Print the steps and their calls; do nothing
    #[arg(long)]
    pub plan: bool,
    /// Ask before each step
    #[arg(long, conflicts_with = "plan")]
    pub step: bool,
    /// When to use colours (NO_COLOR and CLICOLOR_FORCE are heeded)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    pub color: When,
}

/// The switch of verbs that are done in one process from beginning to end.
#[derive(Debug, Args, Clone)]
pub struct Verify {
    /// Watch the run with ptrace(2), and mark each call: seen by the kernel, or not
    #[arg(long, conflicts_with_all = ["plan", "step", "by_hand"])]
    pub verify: bool,
}

/// What stands around a telling.
#[derive(Default)]
pub struct Frame {
    pub before: Option<Event>,
    /// Told only where all went well.
    pub after: Option<Event>,
}

/// How much a verb says when nothing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usually {
    /// Engines call it: nothing.
    Silent,
    /// For doing: a line a step.
    Folded,
    /// For learning: everything.
    Explained,
}

/// The observers that the switches ask for.
pub struct Observers {
    list: Vec<Box<dyn Observer>>,
}

impl Narration {
    pub fn observers(&self, usually: Usually) -> Result<Observers> {
        let mut list: Vec<Box<dyn Observer>> = Vec::new();
        if let Some(target) = &self.events {
            list.push(Box::new(Json::open(target)?));
        }
        if let Some(manner) = self.manner(usually) {
            list.push(Box::new(Terminal::standard(manner, self.color, self.verbose)));
        }
        Ok(Observers { list })
    }

    /// How a person is told, if at all.
    fn manner(&self, usually: Usually) -> Option<Manner> {
        let explains = self.explain || self.verbose || self.step;
        match usually {
            _ if self.quiet => None,
            _ if explains => Some(Manner::Explained),
            _ if self.plan => Some(Manner::Planned),
            Usually::Silent => None,
            Usually::Folded => Some(Manner::Folded),
            Usually::Explained => Some(Manner::Explained),
        }
    }
}

impl Narration {
    /// Who asks between the steps, if --step wants somebody to.
    pub fn prompt<'a>(&self, observers: &'a Observers) -> Result<Option<Prompt<'a>>> {
        self.step.then(|| Prompt::new(observers.any(), self.color)).transpose()
    }
}

/// The exit status of a run that went well, but was not what it was told to be.
const UNTRUE: i32 = 125;

impl Narration {
    /// Has something done under the eyes that the switches ask for; if it is to be verified, in a
    /// process of its own, under watch.
    pub fn watched(
        &self,
        usually: Usually,
        verify: bool,
        run: impl FnOnce(Watch) -> Result<i32>,
    ) -> Result<i32> {
        self.framed(usually, verify, Frame::default(), run)
    }

    /// The same, with something told before and after it.
    pub fn framed(
        &self,
        usually: Usually,
        verify: bool,
        frame: Frame,
        run: impl FnOnce(Watch) -> Result<i32>,
    ) -> Result<i32> {
        let observers = self.observers(usually)?;
        frame.before.iter().for_each(|event| observers.see(event));
        let end = || frame.after.iter().for_each(|event| observers.see(event));
        if !verify {
            let prompt = self.prompt(&observers)?;
            let stepper = prompt.as_ref().map(|p| p as &dyn Stepper);
            return run(Watch { observer: observers.any(), stepper }).inspect(|_| end());
        }
        let under_watch = |wire: &dyn Observer| run(Watch { observer: Some(wire), stepper: None });
        let (status, tally) = match trace::witnessed(&observers, under_watch)? {
            Witness::Runtime(status) => return Ok(status),
            Witness::Tracer { status, tally } => (status, tally),
        };
        end();
        if tally.is_true() {
            return Ok(status);
        }
        drop(observers);
        let text = format!("learnc: not verified: {}", trace::sentence(&tally));
        let _ = writeln!(std::io::stderr(), "{text}");
        Ok(UNTRUE)
    }
}

impl Observer for Observers {
    fn see(&self, event: &Event) {
        self.list.iter().for_each(|observer| observer.see(event));
    }

    fn flush(&self) {
        self.list.iter().for_each(|observer| observer.flush());
    }
}

impl Observers {
    /// Of a verb that performs no steps: a line an event.
    pub fn of_lines(events: Option<&Target>, quiet: bool, colour: When) -> Result<Observers> {
        let mut list: Vec<Box<dyn Observer>> = Vec::new();
        if let Some(target) = events {
            list.push(Box::new(Json::open(target)?));
        }
        if !quiet {
            list.push(Box::new(Terminal::standard(Manner::Folded, colour, false)));
        }
        Ok(Observers { list })
    }

    /// None when nobody listens, so that nothing is made to be told.
    pub fn any(&self) -> Option<&dyn Observer> {
        (!self.list.is_empty()).then_some(self)
    }
}

/// Tells an error on stderr.
pub fn tell(error: &Error, colour: When) {
    for line in trouble::error(&Look::of(2, colour, false), error) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Tells an error on stderr, and in the --log file for the engine that asked.
pub fn report(error: &Error, cli: &Cli) {
    let colour = cli.verb.narration().map_or(When::Auto, |narration| narration.color);
    tell(error, colour);
    if let Some(path) = &cli.log {
        let line = match cli.log_format.as_str() {
            "json" => serde_json::json!({
                "level": "error", "msg": error.to_string(), "time": crate::lifecycle::now()
            })
            .to_string(),
            _ => format!(
                "time=\"{}\" level=error msg={:?}",
                crate::lifecycle::now(),
                error.to_string()
            ),
        };
        if let Err(e) = append(path, &line) {
            let unsaid = Error::from(e).at(format!("--log {}", path.display()));
            let unsaid =
                unsaid.try_this("a file that can be written to, in a folder that is there");
            tell(&unsaid, colour);
        }
    }
}

fn append(path: &std::path::Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")
}
