//! `learnc run`: create and start in one process, attended to the end.
//!
//! `run ID` is the OCI run of a bundle. `run [-- CMD]` needs nothing: it makes a root filesystem of
//! its own, and takes it away again.

use std::path::Path;

use clap::Args;

use super::create::options;
use crate::bundle::{self, Bundle, defaults};
use crate::cli::by_hand::ByHand;
use crate::cli::delegate::Delegate;
use crate::cli::narration::{Frame, Narration, Usually, Verify};
use crate::cli::{BundleArgs, Context, SourceArgs};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::facts::{self, Facts};
use crate::lesson::words;
use crate::lifecycle;
use crate::perform::pretend;
use crate::perform::whole::{Whole, run};
use crate::plan::{Options, Plan, Terminals, plan};
use crate::rootfs::recipe::recipe;
use crate::sys::look;

#[derive(Debug, Args)]
pub struct Run {
    /// The container's id; its bundle is --bundle or the current folder. Without one, learnc runs a
    /// container of its own making
    pub id: Option<String>,
    /// The program and its arguments, instead of what the config says
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Do not wait for the program
    #[arg(short, long, conflicts_with = "by_hand")]
    pub detach: bool,
    /// Accepted for scripts that pass it; learnc never is a subreaper
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
    /// Keep the container's state after it has ended
    #[arg(long, conflicts_with = "by_hand")]
    pub keep: bool,
    /// After it, show what differs between this host and the container
    #[arg(long, conflicts_with_all = ["plan", "detach"])]
    pub changes: bool,
    #[command(flatten)]
    pub verify: Verify,
    #[command(flatten)]
    pub narration: Narration,
    #[command(flatten)]
    pub by_hand: ByHand,
    #[command(flatten)]
    pub delegate: Delegate,
}

impl Run {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let facts = facts::read();
        if !self.by_hand.by_hand {
            self.delegate.ensure(&facts, &self.narration)?;
        }
        let brought = self.id.is_some() || self.bundle.bundle.is_some();
        let (bundle, options) = match brought {
            true => self.given(context)?,
            false => self.own(context, &facts)?,
        };
        let mut plan = plan(&bundle, &options, &facts)?;
        let frame = if brought { Frame::default() } else { self.remarks(&mut plan)? };
        if let Some(status) = self.by_hand.print(&plan, None)? {
            return Ok(status);
        }
        let dir = options.state_root.join(&options.id);
        let (detach, keep, compare) = (self.detach, self.keep, self.changes);
        let how = Whole { detach, keep, compare, visit: None };
        self.narration.framed(Usually::Folded, self.verify.verify, frame, |watch| {
            match self.narration.plan {
                true => watch.observer.map_or(Ok(0), |o| pretend(&plan, o).map(|()| 0)),
                false => run(&plan, &dir, &how, watch),
            }
        })
    }

    /// What is worth knowing of a container of learnc's own making: before it, and when it is there.
    fn remarks(&self, plan: &mut Plan) -> Result<Frame> {
        plan.remarks.push(words::remark("no_network", &[]));
        let place = plan.own_root().and_then(Path::parent).unwrap_or(Path::new("/"));
        let (source, place) = (self.source.read()?.name(), place.display().to_string());
        let text = words::remark("own_root", &[("source", &source), ("place", &place)]);
        Ok(Frame { before: Some(Event::Note { index: None, text }), after: None })
    }

    fn options(&self, id: &str, context: &Context) -> Result<Options> {
        let terminal = match (&self.bundle.console_socket, self.detach) {
            (Some(path), _) => Terminals::Socket(path.clone()),
            (None, true) => Terminals::None,
            (None, false) => Terminals::Relay,
        };
        options(id, &self.bundle, terminal, context)
    }

    /// The bundle that was named.
    fn given(&self, context: &Context) -> Result<(Bundle, Options)> {
        if self.source.from.is_some() {
            return Err(Error::yours(
                "--from makes a root filesystem, and a bundle brings its own",
            )
            .try_this("learnc run --from SOURCE -- CMD, without an id"));
        }
        let free = || lifecycle::free_id(&context.state_root, "run");
        let options = self.options(&self.id.clone().unwrap_or_else(free), context)?;
        let mut bundle = self.load()?;
        if let (false, Some(process)) = (self.command.is_empty(), bundle.spec.process_mut()) {
            process.set_args(Some(self.command.clone()));
        }
        Ok((bundle, options))
    }

    /// `learnc run hostname` is a container named hostname; who meant the program is told how.
    fn load(&self) -> Result<Bundle> {
        let folder = self.bundle.bundle.as_deref().unwrap_or(".".as_ref());
        match (bundle::load(folder), &self.id, &self.bundle.bundle) {
            (Err(_), Some(id), None) if !folder.join("config.json").exists() => {
                let program = std::iter::once(id).chain(&self.command);
                let program = program.map(String::as_str).collect::<Vec<_>>().join(" ");
                Err(Error::yours(format!("there is no config.json in this folder for {id}"))
                    .because(format!("{id} is taken for a container's id, as with runc"))
                    .try_this(format!(
                        "learnc run -- {program} (a program, in a container of learnc's making), \
                         --bundle DIR, or learnc spec"
                    )))
            }
            (loaded, ..) => loaded,
        }
    }

    /// A bundle of learnc's own making.
    fn own(&self, context: &Context, facts: &Facts) -> Result<(Bundle, Options)> {
        let source = self.source.read()?;
        let id = lifecycle::free_id(&context.state_root, "run");
        let shell = ["sh".to_owned()];
        let args = if self.command.is_empty() { &shell[..] } else { &self.command };
        let terminal = !self.detach && look::is_terminal(0) && look::is_terminal(1);
        let config = defaults::own(args, terminal, facts.is_root());
        let bundle = bundle::from_value(config, lifecycle::folder_of_run(&id))?;
        let options = Options { recipe: Some(recipe(&source)?), ..self.options(&id, context)? };
        Ok((bundle, options))
    }
}
