//! The command line: types for clap, and one short file a verb below [`commands`].
//!
//! No logic lives here: a verb gathers its arguments, calls the rooms below, and turns their answer
//! into output and an exit status. Names and options are runc's where runc has them, so that
//! engines can be pointed at learnc.

pub mod bring;
pub mod by_hand;
pub mod commands;
pub mod delegate;
pub mod from_image;
pub mod image;
pub mod meant;
pub mod narration;
pub mod say;
pub mod step;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Learn how Linux containers work, from the system calls up, with a real OCI runtime.
#[derive(Debug, Parser)]
#[command(name = "learnc", version, about, max_term_width = 100)]
pub struct Cli {
    /// Where container states are kept [default: /run/learnc, or $XDG_RUNTIME_DIR/learnc]
    #[arg(long, value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,
    /// Also write errors to this file
    #[arg(long, value_name = "FILE", global = true)]
    pub log: Option<PathBuf>,
    /// Format of the --log file
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"],
          global = true)]
    pub log_format: String,
    /// Accepted for engines that pass it
    #[arg(long, global = true, hide = true)]
    pub debug: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a container: the default one, that of a bundle, or one of an image
    Run(Box<commands::run::Run>),
    /// Learn how a container is made, stage by stage
    Stage(commands::stage::Stage),
    /// Create a container: everything but starting its program
    Create(commands::create::Create),
    /// Start the program of a created container
    Start(commands::start::Start),
    /// Show the state of a container as JSON
    State(commands::state::State),
    /// Send a signal to a container's first process
    Kill(commands::kill::Kill),
    /// Remove what a stopped container left
    #[command(alias = "rm")]
    Delete(commands::delete::Delete),
    /// List containers
    #[command(visible_alias = "ls", alias = "ps")]
    List(commands::list::List),
    /// Unpack an image of the store into a folder
    Unpack(commands::unpack::Unpack),
    /// Write a config.json to start from
    Spec(commands::spec::Spec),
    /// Bring images from registries into this machine's store
    Pull(commands::pull::Pull),
    /// List the images in the store
    Images(commands::images::Images),
    /// Remove images from the store
    Rmi(commands::rmi::Rmi),
    /// Remove what no image in the store needs
    Prune(commands::prune::Prune),
    /// Look at images: check, inspect
    Image(commands::image::Image),
    /// Finish what a killed learnc could not undo
    Clean(commands::clean::Clean),
    /// Show what this machine can do, and what to do about what it cannot
    Doctor(commands::doctor::Doctor),
}

impl Verb {
    /// How this verb tells what it does, if it does something.
    fn narration(&self) -> Option<&narration::Narration> {
        match self {
            Verb::Run(verb) => Some(&verb.narration),
            Verb::Stage(verb) => Some(&verb.narration),
            Verb::Create(verb) => Some(&verb.narration),
            Verb::Start(verb) => Some(&verb.narration),
            Verb::Kill(verb) => Some(&verb.narration),
            Verb::Delete(verb) => Some(&verb.narration),
            Verb::Clean(verb) => Some(&verb.narration),
            _ => None,
        }
    }
}

/// Options of verbs that take a bundle.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The folder with config.json [default: the current folder]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Send the terminal's master to this unix socket
    #[arg(long, value_name = "PATH")]
    pub console_socket: Option<PathBuf>,
    /// Write the first process's pid to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Do not use pivot_root (for a root on initramfs)
    #[arg(long)]
    pub no_pivot: bool,
    /// Pass this many descriptors, from 3 on, to the program
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Accepted for engines that pass it; learnc makes no session keyring
    #[arg(long, hide = true)]
    pub no_new_keyring: bool,
}

/// Where a root filesystem of learnc's own making comes from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// What it is made of: busybox, host, debootstrap, a folder, a tar archive or its URL
    /// [default: busybox where this host has it, else this host's programs]
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<String>,
    /// What a downloaded archive must hash to
    #[arg(long, value_name = "SUM")]
    pub sha256: Option<String>,
}

impl SourceArgs {
    pub fn read(&self) -> crate::error::Result<crate::rootfs::Source> {
        crate::rootfs::Source::read(self.from.as_deref(), self.sha256.as_deref())
    }
}

/// What every verb is given besides its own arguments.
#[derive(Debug)]
pub struct Context {
    /// Absolute.
    pub state_root: PathBuf,
}

/// Parses, runs the verb, reports an error: the exit status.
pub fn main() -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let e = meant::explained(e);
            let _ = e.print();
            return if e.use_stderr() { 2 } else { 0 };
        }
    };
    let root = cli.root.clone().unwrap_or_else(crate::lifecycle::default_root);
    let context = Context { state_root: std::path::absolute(&root).unwrap_or(root) };
    let answer = match &cli.verb {
        Verb::Run(verb) => verb.perform(&context),
        Verb::Stage(verb) => verb.perform(&context),
        Verb::Create(verb) => verb.perform(&context),
        Verb::Start(verb) => verb.perform(&context),
        Verb::State(verb) => verb.perform(&context),
        Verb::Kill(verb) => verb.perform(&context),
        Verb::Delete(verb) => verb.perform(&context),
        Verb::List(verb) => verb.perform(&context),
        Verb::Unpack(verb) => verb.perform(&context),
        Verb::Spec(verb) => verb.perform(),
        Verb::Pull(verb) => verb.perform(&context),
        Verb::Images(verb) => verb.perform(),
        Verb::Rmi(verb) => verb.perform(),
        Verb::Prune(verb) => verb.perform(),
        Verb::Image(verb) => verb.perform(),
        Verb::Clean(verb) => verb.perform(&context),
        Verb::Doctor(verb) => verb.perform(&context),
    };
    match answer {
        Ok(status) => status,
        Err(error) => {
            narration::report(&error, &cli);
            if let Verb::Run(verb) = &cli.verb { verb.status_of(&error) } else { 1 }
        }
    }
}
