//! A step: the unit in which a container is planned, performed, told, undone and explained.
//!
//! A step is data. It says who performs it, whose idea it is, and under which key `lessons/` explains
//! it. What is to be done is the `Act`: each part has its own kind, which the part alone knows how to
//! perform; [the plan](crate::plan) puts them all in one list.

use crate::event::{Asked, Lane};

/// One entry of a plan, about an act of kind `A`.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<A> {
    /// The word under which it is explained: `pivot_root`.
    pub key: &'static str,
    /// Which field of config.json asked for it, or why it is there all the same.
    pub asked: Asked,
    /// Who performs it.
    pub lane: Lane,
    /// What this one is about, when there are several of its kind.
    pub subject: Option<String>,
    pub act: A,
}

impl<A> Step<A> {
    pub fn runtime(key: &'static str, asked: Asked, act: A) -> Step<A> {
        Step { key, asked, lane: Lane::Runtime, subject: None, act }
    }

    pub fn container(key: &'static str, asked: Asked, act: A) -> Step<A> {
        Step { key, asked, lane: Lane::Container, subject: None, act }
    }

    pub fn about(mut self, subject: impl Into<String>) -> Step<A> {
        self.subject = Some(subject.into());
        self
    }

    /// The same step in a list of a wider kind: `step.map(Act::Mount)`.
    pub fn map<B>(self, wider: impl FnOnce(A) -> B) -> Step<B> {
        let Step { key, asked, lane, subject, act } = self;
        Step { key, asked, lane, subject, act: wider(act) }
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
