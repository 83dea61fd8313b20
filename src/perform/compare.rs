//! What a compared run looks at besides, and at which moment.
//!
//! ```text
//!   before anything     the host's portrait; its mounts
//!   created             the container's portrait: complete, and nothing of its program in it yet;
//!                       what it alone can say, for which it is asked over the conversation
//!   started             what execve decides: capabilities, filters
//!   ended               what the kernel counted in its cgroup, which stands for a moment longer;
//!                       what was written on top of the layers of its root
//!   undone              the host again
//! ```
//!
//! So the moments are the same for a program that runs for a year and for one that is gone at once.
//! All of it is looking, done only when somebody compares and somebody listens. Where a user without root may not look,
//! into directories of ids that only a namespace lets it have, a child does that is root of one: those calls are told.

use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;

use super::parent::Created;
use crate::event::{Difference, Event, Verdict};
use crate::facts;
use crate::inspect::counters::counters;
use crate::inspect::host::{Host, Made};
use crate::inspect::{Portrait, differences, tree, upper};
use crate::parts::namespaces::Namespace;
use crate::parts::overlay::upper_of;
use crate::plan::{Act, Plan, Step};
use crate::sys::namespace::KINDS;
use crate::sys::{Kernel, look, mapped};

/// Both sides, as far as they have been seen.
pub struct Comparison<'a> {
    plan: &'a Plan,
    /// Files that limits were written to, by name.
    limits: Vec<String>,
    host: Portrait,
    before: Host,
    container: Option<Portrait>,
    /// Rows about a root filesystem that has no process.
    tree: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    /// Before anything is done. `dir` is the state folder.
    pub fn begin(plan: &'a Plan, dir: &Path) -> Comparison<'a> {
        let limits = plan.limits();
        let own = plan.own_root().and_then(Path::parent).map(Path::to_owned);
        let folders = std::iter::once(dir.to_owned()).chain(own).collect();
        let before = Host::before(made(plan.cgroups(), folders));
        let host = Portrait::of_this_process(&limits);
        Comparison { plan, limits, host, before, container: None, tree: vec![] }
    }

    /// The container is complete but for its program.
    pub fn created(&mut self, created: &Created) {
        let mut portrait = Portrait::of(created.pid.0, &self.limits);
        if let Some(own) = created.own() {
            portrait.complete(&own);
        }
        // A joined tree is another directory than the one that it is mounted on.
        let own = portrait.root.as_ref().and_then(|root| root.identity);
        let root = own.or_else(|| self.plan.root().and_then(look::identity));
        self.before.container(root, portrait.namespaces.get("mnt").cloned());
        self.container = Some(portrait);
    }

    /// The root filesystem is complete, and nothing will be started in it.
    pub fn made(&mut self, root: &Path) {
        self.before.container(look::identity(root), None);
        self.tree = tree::differences(root);
    }

    pub fn started(&mut self) {
        if let Some(container) = &mut self.container {
            container.after_execve();
        }
    }

    /// What differs; to be asked when the program has ended and its cgroup still stands.
    pub fn changed(&self, k: &Kernel) -> Event {
        let Some(container) = &self.container else {
            return Event::Changed { rows: self.tree.clone() };
        };
        let mut rows = differences(&self.host, container, &joined(self.plan));
        rows.extend(counters(self.plan.cgroups(), &self.limits));
        if let Some((folder, names)) = self.plan.joined() {
            let lower: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
            let look = || upper::differences(&upper_of(folder), &lower);
            rows.extend(self.within(k, look));
        }
        Event::Changed { rows }
    }

    /// What lies in directories of others is looked at by whom they are open to, if this user can be that.
    fn within(&self, k: &Kernel, look: impl Fn() -> Vec<Difference>) -> Vec<Difference> {
        let seen = look();
        let is_closed = seen.iter().any(|row| row.verdict == Verdict::Unknown);
        match is_closed.then(facts::read).and_then(|facts| facts.own_maps()) {
            None => seen,
            Some(maps) => {
                k.enter(0, "looked_into");
                mapped::as_root(k, &maps, |_| Ok(look())).unwrap_or(seen)
            }
        }
    }

    /// To be asked when everything is undone.
    pub fn host_as_before(&self) -> Event {
        Event::HostAsBefore { checks: self.before.as_before() }
    }
}

fn made(cgroups: &[PathBuf], folders: Vec<PathBuf>) -> Made {
    Made { cgroups: cgroups.to_vec(), folders, ..Made::default() }
}

/// The kinds of namespaces that others made, by their links: the plan knows.
pub fn joined(plan: &Plan) -> Vec<&'static str> {
    let link = |flag: CloneFlags| KINDS.iter().find(|kind| kind.flag == flag).map(|kind| kind.link);
    let join = |step: &Step| match &step.act {
        Act::Namespace(Namespace::Join { kind, .. }) => link(*kind),
        _ => None,
    };
    plan.steps.iter().filter_map(join).collect()
}
