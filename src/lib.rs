//! learnc: a container is what is left after a certain list of system calls.
#![doc = ""]

pub mod cli;

pub mod bundle;

pub mod facts;

pub mod doctor;

pub mod plan;

pub mod parts;

pub mod perform;

pub mod sys;

pub mod error;

pub mod args;

pub mod event;

pub mod cgroup;

pub mod lifecycle;

pub mod rootfs;

pub mod render;

pub mod lesson;
