//! `learnc run`: create and start in one process, attended to the end.
//!
//! `run ID` is the OCI run of a bundle, `run IMAGE` that of an image. `run [-- CMD]` needs nothing: it makes
//! a root filesystem of its own, and takes it away again. Which of the first two is meant is never in doubt:
//! with --bundle, or a config.json in the current folder, the word is an id, as in runc; else an image.

use std::cell::Cell;
use std::path::Path;

use clap::Args;
use nix::errno::Errno;

use super::create::options;
use crate::args::shell;
use crate::bundle::wishes::Asked;
use crate::bundle::{self, Bundle, defaults};
use crate::cli::bring::Before;
use crate::cli::by_hand::ByHand;
use crate::cli::delegate::Delegate;
use crate::cli::from_image::ImageArgs;
use crate::cli::image::silent;
use crate::cli::narration::{Frame, Narration, Usually, Verify};
use crate::cli::say;
use crate::cli::{BundleArgs, Context, SourceArgs};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::facts::{self, Facts};
use crate::image::digest::Digest;
use crate::lesson::words;
use crate::lifecycle;
use crate::perform::parent::Watch;
use crate::perform::pretend;
use crate::perform::whole::{Whole, run};
use crate::plan::{Options, Plan, Terminals, plan};
use crate::rootfs::recipe::recipe;
use crate::sys::{Kernel, look};

#[derive(Debug, Args)]
#[command(mut_arg("verbose", |verbose| verbose.short(None)))]
pub struct Run {
    /// A container's id, where --bundle is given or this folder has a config.json; else an image. Without one,
    /// learnc runs a container of its own making
    #[arg(value_name = "ID|IMAGE")]
    pub word: Option<String>,
    /// The program and its arguments, instead of what the config says
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub image: ImageArgs,
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
    /// An image is run: its exit statuses are docker's.
    #[arg(skip)]
    of_an_image: Cell<bool>,
}

/// What the words of the command line mean.
enum Meant<'a> {
    /// A container of learnc's own making.
    Own,
    /// The bundle in --bundle or the current folder.
    Bundle,
    Image(&'a str),
}

impl Run {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let facts: Facts = facts::read();
        if !self.by_hand.by_hand {
            self.delegate.ensure(&facts, &self.narration)?;
        }
        match self.meant() {
            Meant::Image(word) => self.image(word, context, facts),
            meant => self.bundled(&meant, context, &facts),
        }
    }

    fn meant(&self) -> Meant<'_> {
        let bundle = self.image.id.is_some() || self.bundle.bundle.is_some();
        match (&self.image.image, &self.word) {
            (Some(image), _) => Meant::Image(image),
            _ if bundle => Meant::Bundle,
            (None, None) => Meant::Own,
            (None, Some(_)) if Path::new("config.json").exists() => Meant::Bundle,
            (None, Some(word)) => Meant::Image(word),
        }
    }

    /// A container of a bundle, or of learnc's own making.
    fn bundled(&self, meant: &Meant, context: &Context, facts: &Facts) -> Result<i32> {
        self.image.refuse_without_an_image()?;
        let brought = matches!(meant, Meant::Bundle);
        let (bundle, options) = match brought {
            true => self.given(context)?,
            false => self.own(context, facts)?,
        };
        let mut plan = plan(&bundle, &options, facts)?;
        let frame = if brought { Frame::default() } else { self.remarks(&mut plan)? };
        if let Some(status) = self.by_hand.print(&plan, None)? {
            return Ok(status);
        }
        self.narration.framed(Usually::Folded, self.verify.verify, frame, |watch| {
            self.go(&plan, &options, watch)
        })
    }

    fn go(&self, plan: &Plan, options: &Options, watch: Watch) -> Result<i32> {
        if self.narration.plan {
            return watch.observer.map_or(Ok(0), |o| pretend(plan, o).map(|()| 0));
        }
        let dir = options.state_root.join(&options.id);
        let (detach, keep, compare) = (self.detach, self.keep, self.changes);
        run(plan, &dir, &Whole { detach, keep, compare, visit: None }, watch)
    }

    /// A container of an image. What is under watch, or only shown, begins when the image is there.
    fn image(&self, word: &str, context: &Context, mut facts: Facts) -> Result<i32> {
        self.of_an_image.set(true);
        self.refuse_a_source(word)?;
        let found = self.image.find(word, &facts)?;
        if found.is_none() {
            // It may have been no image that was meant, unless it is a digest.
            self.of_an_image.set(word.parse::<Digest>().is_ok());
            self.image.agree(word)?;
            self.of_an_image.set(true);
        }
        let (shown, early) = (self.narration.plan || self.by_hand.by_hand, self.verify.verify);
        if shown && !found.as_ref().is_some_and(|found| found.is_whole) {
            return Err(Error::yours(format!("{word} is not in the store, or not all of it"))
                .because("what is only shown pulls nothing")
                .try_this(format!("learnc pull {word}")));
        }
        let id = self.image.name.clone();
        let id = id.unwrap_or_else(|| lifecycle::free_id(&context.state_root, "run"));
        let folder = lifecycle::folder_of_run(&id);
        facts.overlay = Some(facts::overlay::read(&folder));
        let planned = |k: &Kernel| -> Result<(Plan, Options)> {
            let place = (folder.as_path(), &facts);
            let brought = self.image.bring(k, word, found.clone(), self.asked(&facts), place)?;
            let (recipe, layers) = (Some(brought.recipe), brought.layers);
            let options = Options { recipe, layers, ..self.options(&id, context)? };
            let options = Options { bundle: folder.clone(), ..options };
            let mut plan = plan(&brought.bundle, &options, &facts)?;
            plan.remarks.push(words::remark("no_network", &[]));
            if self.detach && self.image.rm {
                plan.remarks.push(words::remark("nobody_waits", &[("id", &id)]));
            }
            if !brought.ports.is_empty() {
                plan.remarks.push(words::remark("exposed_ports", &[("ports", &brought.ports)]));
            }
            Ok((plan, options))
        };
        let ready = (shown || early).then(|| planned(&silent())).transpose()?;
        if let Some((plan, _)) = &ready
            && let Some(status) = self.by_hand.print(plan, None)?
        {
            return Ok(status);
        }
        self.narration.framed(Usually::Folded, early, Frame::default(), |watch| {
            let before = watch.observer.map(Before);
            let observer = before.as_ref().map(|before| before as &dyn Observer);
            let k = Watch { observer, stepper: None }.kernel();
            let (plan, options) = ready.map_or_else(|| planned(&k), Ok)?;
            let status = self.go(&plan, &options, watch)?;
            // Nobody else says what it is called, if it was not given a name.
            if self.detach && !self.narration.plan {
                say::line(&id)?;
            }
            Ok(status)
        })
    }

    fn refuse_a_source(&self, word: &str) -> Result<()> {
        let given = [("--from", &self.source.from), ("--sha256", &self.source.sha256)];
        given.into_iter().find(|(_, value)| value.is_some()).map_or(Ok(()), |(given, _)| {
            Err(Error::yours(
                "is for a root filesystem that learnc makes, and an image brings its own",
            )
            .at(given)
            .try_this(format!("learnc run {word}, or learnc run --from SOURCE -- CMD")))
        })
    }

    fn asked(&self, facts: &Facts) -> Asked {
        let image = &self.image;
        Asked {
            command: self.command.clone(),
            entrypoint: image.entrypoint.clone(),
            env: image.env.clone(),
            workdir: image.workdir.clone(),
            volumes: image.volumes.clone(),
            read_only: image.read_only,
            terminal: !self.detach && look::is_terminal(0) && look::is_terminal(1),
            root: facts.is_root(),
        }
    }

    /// How learnc ends when it failed: as docker does, where an image was run. 125 is its own failure, 126 a
    /// program that cannot be started, 127 one that is not there.
    pub fn status_of(&self, error: &Error) -> i32 {
        if !self.of_an_image.get() {
            return 1;
        }
        let of_program = error.context.iter().any(|place| place.starts_with("process.args"));
        match (of_program, error.errno()) {
            (false, _) => 125,
            (true, None | Some(Errno::ENOENT)) => 127,
            (true, Some(_)) => 126,
        }
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
        if self.image.name.is_some() {
            return Err(Error::yours("is for the container of an image")
                .at("--name")
                .try_this("learnc run ID: the word is what a bundle's container is called"));
        }
        if let Some(word) = self.word.as_ref().filter(|word| word.contains(['/', ':', '@'])) {
            let dir = self.bundle.bundle.as_deref().unwrap_or(".".as_ref());
            let place = dir.join("config.json");
            return Err(Error::yours(format!("{word} cannot be a container's id"))
                .because(format!(
                    "{} makes the word an id, and this looks like an image",
                    place.display()
                ))
                .try_this(format!("learnc run --image {}", shell(word))));
        }
        let id = self.image.id.clone().or_else(|| self.word.clone());
        let options = self.options(&id.unwrap_or_else(free), context)?;
        let mut bundle = bundle::load(self.bundle.bundle.as_deref().unwrap_or(".".as_ref()))?;
        if let (false, Some(process)) = (self.command.is_empty(), bundle.spec.process_mut()) {
            process.set_args(Some(self.command.clone()));
        }
        Ok((bundle, options))
    }

    /// A bundle of learnc's own making.
    fn own(&self, context: &Context, facts: &Facts) -> Result<(Bundle, Options)> {
        let source = self.source.read()?;
        let free = || lifecycle::free_id(&context.state_root, "run");
        let id = self.image.name.clone().unwrap_or_else(free);
        let shell = ["sh".to_owned()];
        let args = if self.command.is_empty() { &shell[..] } else { &self.command };
        let terminal = !self.detach && look::is_terminal(0) && look::is_terminal(1);
        let config = defaults::own(args, terminal, facts.is_root());
        let bundle = bundle::from_value(config, lifecycle::folder_of_run(&id))?;
        let options = Options { recipe: Some(recipe(&source)?), ..self.options(&id, context)? };
        Ok((bundle, options))
    }
}
