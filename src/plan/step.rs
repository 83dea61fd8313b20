//! A step: the unit in which a container is planned, performed, told, undone and explained.
//!
//! A step is data. It says who performs it, whose idea it is, under which key `lessons/` explains
//! it, and (as [`Act`]) what is to be done; the part that owns the act knows how. To add a
//! mechanism: a file in `parts/`, a variant here, a line in `plan/create.rs`, a paragraph in
//! `lessons/`.

use crate::event::{Asked, Lane, StepInfo};
use crate::parts::{
    capabilities, cgroups, devices, identity, idmap, limits, masks, mounts, namespaces, process,
    rootfs, state, sysctl, terminal, user,
};

/// One entry of a [`Plan`](super::Plan).
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The word under which it is explained: `pivot_root`.
    pub key: &'static str,
    /// Which field of config.json asked for it, or why it is there all the same.
    pub asked: Asked,
    /// Who performs it.
    pub lane: Lane,
    /// What this one is about, when there are several of its kind.
    pub subject: Option<String>,
    pub act: Act,
}

/// What is to be done. One variant per part; the part's file has all of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    State(state::State),
    Cgroup(cgroups::Cgroup),
    Namespace(namespaces::Namespace),
    IdMap(idmap::IdMap),
    Rootfs(rootfs::Rootfs),
    Mount(mounts::Mount),
    Device(devices::Device),
    Mask(masks::Mask),
    Identity(identity::Identity),
    Sysctl(sysctl::Sysctl),
    Limit(limits::Limit),
    User(user::User),
    Capability(capabilities::Capability),
    Terminal(terminal::Terminal),
    Process(process::Process),
}

impl Step {
    pub fn runtime(key: &'static str, asked: Asked, act: Act) -> Step {
        Step { key, asked, lane: Lane::Runtime, subject: None, act }
    }

    pub fn container(key: &'static str, asked: Asked, act: Act) -> Step {
        Step { key, asked, lane: Lane::Container, subject: None, act }
    }

    pub fn about(mut self, subject: impl Into<String>) -> Step {
        self.subject = Some(subject.into());
        self
    }

    /// The commands that do the same, for `by hand`. Empty where no shell tool can.
    pub fn by_hand(&self) -> Vec<String> {
        match &self.act {
            Act::State(act) => state::by_hand(act),
            Act::Cgroup(act) => cgroups::by_hand(act),
            Act::Namespace(act) => namespaces::by_hand(act),
            Act::IdMap(act) => idmap::by_hand(act),
            Act::Rootfs(act) => rootfs::by_hand(act),
            Act::Mount(act) => mounts::by_hand(act),
            Act::Device(act) => devices::by_hand(act),
            Act::Mask(act) => masks::by_hand(act),
            Act::Identity(act) => identity::by_hand(act),
            Act::Sysctl(act) => sysctl::by_hand(act),
            Act::Limit(act) => limits::by_hand(act),
            Act::User(act) => user::by_hand(act),
            Act::Capability(act) => capabilities::by_hand(act),
            Act::Terminal(_) => vec![],
            Act::Process(act) => process::by_hand(act),
        }
    }

    /// What an observer is shown of it.
    pub fn info(&self, index: usize) -> StepInfo {
        StepInfo {
            index,
            key: self.key.to_owned(),
            asked: self.asked.clone(),
            lane: self.lane,
            subject: self.subject.clone(),
            by_hand: self.by_hand(),
        }
    }
}

/// A step that a field of config.json asked for.
pub fn config(field: impl Into<String>) -> Asked {
    Asked::Config(field.into())
}

/// A step of every run, with the reason.
pub fn default(why: impl Into<String>) -> Asked {
    Asked::Default(why.into())
}

/// A step without which another cannot be done.
pub fn needed(by: impl Into<String>) -> Asked {
    Asked::Needed(by.into())
}
