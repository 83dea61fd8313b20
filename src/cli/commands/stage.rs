//! `learnc stage`: a part of the road to a container, alone, and explained.
//!
//! A stage is a config.json with most of it missing. Here its config is made fit for whoever runs it
//! and for the terminal; from there on it is a run like any other.

use std::io::Write;

use clap::Args;

use crate::bundle::{self, Bundle, defaults};
use crate::cli::by_hand::ByHand;
use crate::cli::delegate::Delegate;
use crate::cli::narration::{Frame, Narration, Usually, Verify, tell};
use crate::cli::{Context, SourceArgs};
use crate::error::{Error, Result};
use crate::event::{Event, StageInfo};
use crate::facts::{self, Facts};
use crate::lesson::stage::{self, Root, Runner, Stage as Lesson};
use crate::lifecycle;
use crate::perform::pretend;
use crate::perform::whole::{Whole, run};
use crate::plan::{Layers, Options, Plan, Terminals, plan};
use crate::render::terminal::look::{Look, When};
use crate::render::terminal::stage as page;
use crate::rootfs::recipe::recipe;
use crate::sys::look;

#[derive(Debug, Args)]
pub struct Stage {
    /// Its name, or `all` for one after the other; without one they are listed
    pub name: Option<String>,
    /// The program and its arguments, instead of a shell
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// The container's id [default: the stage's name and a number]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Show its config.json: what it adds to the stage before, or the full text
    #[arg(long, value_name = "PART", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "added", conflicts_with_all = ["plan", "step", "verify", "by_hand"])]
    pub config: Option<Part>,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub verify: Verify,
    #[command(flatten)]
    pub narration: Narration,
    #[command(flatten)]
    pub by_hand: ByHand,
    #[command(flatten)]
    pub delegate: Delegate,
}

/// How much of a stage's config is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Added,
    Full,
}

impl Stage {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        match self.name.as_deref() {
            None if self.config.is_some() || !self.command.is_empty() => {
                let names: Vec<&str> = stage::all().iter().map(|stage| &*stage.name).collect();
                Err(Error::yours("which stage?").try_this(format!("one of {}", names.join(", "))))
            }
            None => Ok(list(self.narration.color)),
            Some("all") => self.each(context),
            Some(name) => self.one(stage::find(name)?, context),
        }
    }

    /// One after the other; the first exit status that is not 0 is that of all. One that this machine
    /// refuses is told as such, and the next ones come all the same.
    fn each(&self, context: &Context) -> Result<i32> {
        let one = |stage| {
            self.one(stage, context).unwrap_or_else(|error| {
                tell(&error, self.narration.color);
                1
            })
        };
        let answers: Vec<i32> = stage::all().iter().map(one).collect();
        Ok(answers.into_iter().find(|status| *status != 0).unwrap_or(0))
    }

    fn one(&self, stage: &'static Lesson, context: &Context) -> Result<i32> {
        let mut facts = facts::read();
        let by = Runner { root: facts.is_root() && !facts.nested, uid: facts.uid, gid: facts.gid };
        if let Some(part) = self.config {
            return Ok(show_config(stage, by, part, self.narration.color));
        }
        if (stage.limits() || self.delegate.delegate) && !self.by_hand.by_hand {
            self.delegate.ensure(&facts, &self.narration)?;
        }
        let options = self.options(stage, context)?;
        if stage.head.root != Root::Tree {
            facts.overlay = Some(facts::overlay::read(&options.bundle));
        }
        let plan = self.plan(stage, by, &options, &facts)?;
        let visit = (!stage.has_program()).then(|| self.visitor()).flatten();
        if let Some(status) = self.by_hand.print(&plan, visit.as_deref())? {
            return Ok(status);
        }
        let next = stage.next().map(|next| next.name.clone());
        let frame = Frame {
            before: Some(Event::Stage(self.info(stage, &facts))),
            after: Some(Event::StageOver { name: stage.name.clone(), next }),
        };
        let dir = options.state_root.join(&options.id);
        let how = Whole { compare: true, visit, ..Whole::default() };
        self.narration.framed(Usually::Explained, self.verify.verify, frame, |watch| {
            match self.narration.plan {
                true => watch.observer.map_or(Ok(0), |o| pretend(&plan, o).map(|()| 0)),
                false => run(&plan, &dir, &how, watch),
            }
        })
    }

    /// What to try is for a shell on a terminal.
    fn info(&self, stage: &Lesson, facts: &Facts) -> StageInfo {
        let invites = self.command.is_empty() && look::is_terminal(0) && !self.narration.plan;
        let info = stage.info(here(facts));
        StageInfo { try_this: if invites { info.try_this } else { vec![] }, ..info }
    }

    /// Who looks at a tree in which nothing is started: the program that was asked for, or on a terminal the
    /// user's shell.
    fn visitor(&self) -> Option<Vec<String>> {
        if !self.command.is_empty() {
            return Some(self.command.clone());
        }
        let shell = || std::env::var("SHELL").unwrap_or_else(|_| "sh".into());
        look::is_terminal(0).then(|| vec![shell()])
    }

    /// A root filesystem and an id of its own.
    fn options(&self, stage: &Lesson, context: &Context) -> Result<Options> {
        let free = || lifecycle::free_id(&context.state_root, &stage.name);
        let id = self.id.clone().unwrap_or_else(free);
        Ok(Options {
            recipe: Some(recipe(&self.source.read()?)?),
            state_root: context.state_root.clone(),
            bundle: lifecycle::folder_of_run(&id),
            terminal: Terminals::Relay,
            owner: facts::login_name().unwrap_or_default(),
            no_cgroup_unasked: true,
            limits_may_be_missing: true,
            id,
            ..Options::default()
        })
    }

    /// The stage's config for this user, and for a terminal or none.
    fn bundle(&self, stage: &Lesson, by: Runner, tty: bool, options: &Options) -> Result<Bundle> {
        let mut config = stage.config(by);
        defaults::set_program(&mut config, &self.command, tty);
        bundle::from_value(config, options.bundle.clone())
    }

    /// Its plan, in which what the stages before would do here is known already: that needs no explanation
    /// any more, unless somebody wants it all.
    fn plan(&self, stage: &Lesson, by: Runner, options: &Options, facts: &Facts) -> Result<Plan> {
        let tty = look::is_terminal(0) && look::is_terminal(1);
        let planned = |stage: &Lesson| {
            let layers = match stage.head.root {
                Root::Tree => None,
                Root::Layers => Some(Layers::Two),
                Root::Image => Some(Layers::Packed),
            };
            let options = Options { layers, ..options.clone() };
            plan(&self.bundle(stage, by, tty, &options)?, &options, facts)
        };
        let mut own = planned(stage)?;
        let tells_all = self.narration.explain || self.narration.verbose;
        // One that cannot be run here, for want of a cgroup, has told nothing.
        let before = std::iter::successors(stage.base(), |stage| stage.base());
        let before = before.filter_map(|base| planned(base).ok()).filter(|_| !tells_all);
        own.grows_from(&before.collect::<Vec<_>>());
        Ok(own)
    }
}

/// Where it is run, as far as it makes a difference: `root, cgroup hybrid`.
fn here(facts: &Facts) -> String {
    let who = match facts.is_root() {
        true => "root".to_owned(),
        false => format!("without root (uid {})", facts.uid),
    };
    format!("{who}, cgroup {}", facts.cgroups.layout())
}

fn list(color: When) -> i32 {
    let look = Look::of(1, color, false);
    let lines = page::list(&look, stage::all().iter().map(|s| (&*s.name, &*s.head.says)));
    print(&lines);
    0
}

fn show_config(stage: &Lesson, by: Runner, part: Part, color: When) -> i32 {
    let look = Look::of(1, color, false);
    let base = stage.base().map(|base| base.config(by)).filter(|_| part == Part::Added);
    print(&page::config(&look, &crate::lesson::growth::lines(base.as_ref(), &stage.config(by))));
    0
}

/// On stdout, since it is what was asked for. A reader that went away has seen enough.
fn print(lines: &[String]) {
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}
