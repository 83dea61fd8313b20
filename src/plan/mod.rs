//! The plan: everything that will be done, decided before anything is.
//!
//! `plan(&Spec, &Options, &Facts) -> Plan` is a pure function: no `&Kernel` in its signature, so it
//! cannot act. A bad config fails here, before the first system call. The one place that decides
//! the order of `create` is [`create`]; the reason stands beside each constraint.
//!
//! A plan can be printed (`--plan`), counted, and compared in a test for a machine that the test
//! does not run on, because [`crate::facts::Facts`] is a plain value.

mod config;
pub mod create;
mod ids;
pub mod layers;
mod root;
pub mod step;

use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;

use crate::event::{Event, FORMAT, Lane, StepInfo};
use crate::parts::cgroups::Cgroup;
use crate::parts::namespaces::Namespace;
use crate::parts::overlay::{Overlay, What as Joins};
use crate::parts::process::Process;
use crate::parts::state::State;
use crate::parts::tree::What;
use crate::rootfs::Recipe;
pub use create::plan;
pub use layers::Layers;
pub use step::{Act, Step};

/// What the command line decides, beside the config.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// The container's id.
    pub id: String,
    /// Absolute path of the bundle: relative paths in the config start here.
    pub bundle: PathBuf,
    /// Absolute path of the folder in which container states are kept.
    pub state_root: PathBuf,
    /// Where the first process's pid is written.
    pub pid_file: Option<PathBuf>,
    /// chroot instead of pivot_root, in a mount namespace as well (MS_MOVE), as runc has it.
    pub no_pivot: bool,
    /// Where the container's terminal goes when the config asks for one.
    pub terminal: Terminals,
    /// Descriptors from 3 on that the container's program keeps.
    pub preserve_fds: u32,
    /// How the root filesystem is made, when it is not the bundle's own.
    pub recipe: Option<Recipe>,
    /// What it is joined from, where it is more than one tree.
    pub layers: Option<Layers>,
    /// No cgroup unless the config asks for one: by its path, by limits, or by a cgroup namespace.
    pub no_cgroup_unasked: bool,
    /// A limit that this machine cannot give is left out with a warning, and is no error: the config is
    /// ours, and not the user's.
    pub limits_may_be_missing: bool,
    /// Who asks, for the state's `owner`.
    pub owner: String,
}

/// Who takes the other end of the container's terminal.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Terminals {
    /// The runtime itself, which passes bytes on.
    #[default]
    Relay,
    /// Whoever listens on this unix socket: `--console-socket`.
    Socket(PathBuf),
    /// Nobody: a terminal is an error.
    None,
}

/// The ordered list that runtime and container walk together.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub id: String,
    pub steps: Vec<Step>,
    /// Index of the first step of `start`: everything before it is `create`.
    pub start: usize,
    /// From this step on nothing can be said any more: what follows is announced first.
    pub silent: usize,
    /// Steps that a reader has been told before, by their index: see [`Plan::grows_from`].
    pub known: Vec<usize>,
    /// What is said about the run as a whole.
    pub remarks: Vec<String>,
    /// Things worth saying that are no steps: unknown fields, what the machine cannot give.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The steps, and where `start` and where silence begin in them. Nothing is known yet.
    fn new(options: &Options, steps: Vec<Step>, at: (usize, usize), warnings: Vec<String>) -> Plan {
        let ((start, silent), id) = (at, options.id.clone());
        Plan { id, steps, start, silent, known: vec![], remarks: vec![], warnings }
    }

    /// A plan that ends with a root filesystem: a config without `process` starts none.
    fn without_a_process(options: &Options, steps: Vec<Step>, warnings: Vec<String>) -> Plan {
        let end = steps.len();
        Plan::new(options, steps, (end, end), warnings)
    }

    /// Steps that are in one of these other plans too, to the last argument, are known from there. Of those
    /// whose arguments follow from other steps it is enough that they are: the record that is written in the
    /// end, and who may get to the folder. And files are the same in whatever folder they are put.
    pub fn grows_from(&mut self, before: &[Plan]) {
        let follows = |step: &Step| match &step.act {
            Act::State(State::Created { .. }) => true,
            Act::Tree(tree) => matches!(tree.what, What::Place { .. }),
            _ => false,
        };
        let files = |step: &Step, other: &Step| match (&step.act, &other.act) {
            (Act::Tree(own), Act::Tree(other)) => own.what == other.what,
            _ => false,
        };
        let alike = |step: &Step, other: &Step| {
            let same = follows(step) && follows(other) || files(step, other);
            step == other || same && step.key == other.key
        };
        let told = || before.iter().flat_map(|plan| &plan.steps);
        let steps = self.steps.iter().enumerate();
        let known = steps.filter(|(_, step)| told().any(|other| alike(step, other)));
        self.known = known.map(|(i, _)| i).collect();
    }

    /// The infos of all steps, for observers.
    pub fn infos(&self) -> Vec<StepInfo> {
        let steps = self.steps.iter().enumerate();
        let info = |(i, step): (usize, &Step)| StepInfo {
            known: self.known.contains(&i),
            starts: i == self.start,
            ..step.info(i)
        };
        steps.map(info).collect()
    }

    /// The event that opens a telling.
    pub fn opening(&self, first: usize) -> Event {
        Event::Plan { version: FORMAT, id: self.id.clone(), steps: self.infos(), first }
    }

    /// Directories of the container's cgroup, one in each tree.
    pub fn cgroups(&self) -> &[PathBuf] {
        let created = self.steps.iter().find_map(|step| match &step.act {
            Act::State(State::Created { record, .. }) => Some(record.cgroups.as_slice()),
            _ => None,
        });
        created.unwrap_or_default()
    }

    /// The files that limits are written to, by name: `memory.max`. Rules over devices are no amounts.
    pub fn limits(&self) -> Vec<String> {
        let written = self.steps.iter().filter_map(|step| match &step.act {
            Act::Cgroup(Cgroup::Limit { writes }) => Some(writes),
            _ => None,
        });
        let names = written.flatten().filter_map(|(path, _)| path.file_name()?.to_str());
        names.filter(|name| !name.starts_with("devices.")).map(str::to_owned).collect()
    }

    /// The root of learnc's own making whose processes nothing holds together but that root: where there
    /// is neither a new pid namespace, which ends with its first process, nor a cgroup.
    pub fn loose_root(&self) -> Option<&Path> {
        let contained = self.steps.iter().any(|step| match &step.act {
            Act::Namespace(Namespace::Clone { flags, .. }) => {
                flags.contains(CloneFlags::CLONE_NEWPID)
            }
            _ => false,
        });
        self.own_root().filter(|_| !contained && self.cgroups().is_empty())
    }

    /// The root filesystem that the run makes for itself, in a folder of its own.
    pub fn own_root(&self) -> Option<&Path> {
        self.steps.iter().find_map(|step| match &step.act {
            Act::Tree(tree) => Some(tree.root.as_path()),
            _ => None,
        })
    }

    /// What the root filesystem is joined from: the run's folder, and names in it, the highest layer first.
    pub fn joined(&self) -> Option<(&Path, &[String])> {
        self.steps.iter().find_map(|step| match &step.act {
            Act::Overlay(Overlay { folder, what: Joins::Join { lower, .. } }) => {
                Some((folder.as_path(), lower.as_slice()))
            }
            _ => None,
        })
    }

    /// The folder that becomes the container's root.
    pub fn root(&self) -> Option<&Path> {
        self.steps.iter().find_map(|step| match &step.act {
            Act::Process(Process::Exec(program)) => Some(program.root.as_path()),
            _ => None,
        })
    }

    /// Whether it ends with a root filesystem, in which nothing is started.
    pub fn has_no_process(&self) -> bool {
        self.start == self.steps.len()
    }

    /// Index of the first step at or after `from` that the other side performs.
    pub fn end_of_run(&self, from: usize, end: usize, lane: Lane) -> usize {
        (from..end).find(|&i| self.steps[i].lane != lane).unwrap_or(end)
    }
}
