//! The plan's steps: all parts' acts in one list.
//!
//! To add a mechanism: ARCHITECTURE.md lists what it takes, the variant and the line of `by_hand` here
//! among it.

use crate::event::StepInfo;
use crate::parts::{
    self, capabilities, cgroups, devices, identity, idmap, image, limits, masks, mounts,
    namespaces, overlay, process, rootfs, state, sysctl, terminal, tree, user,
};

/// One entry of a [`Plan`](super::Plan).
pub type Step = parts::step::Step<Act>;

/// What is to be done. One variant per part; the part's file has all of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    State(state::State),
    Tree(tree::Tree),
    Overlay(overlay::Overlay),
    Image(image::Image),
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
    /// The commands that do the same, for `by hand`. Empty where no shell tool can.
    pub fn by_hand(&self) -> Vec<String> {
        match &self.act {
            Act::State(act) => state::by_hand(act),
            Act::Tree(act) => tree::by_hand(act),
            Act::Overlay(act) => overlay::by_hand(act),
            Act::Image(act) => image::by_hand(act),
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
            starts: false,
            known: false,
            by_hand: self.by_hand(),
        }
    }
}

/// The steps of one part, for the plan's list: `all(steps, Act::Mount)`.
pub fn all<A>(
    steps: impl IntoIterator<Item = parts::step::Step<A>>,
    act: fn(A) -> Act,
) -> impl Iterator<Item = Step> {
    steps.into_iter().map(move |step| step.map(act))
}
