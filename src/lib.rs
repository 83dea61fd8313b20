//! learnc: a container is what is left after a certain list of system calls.
//!
//! **This is the map.** The rooms stand in reading order, which is the order in which data flows: from
//! what was asked for, through a list of steps, to calls of the kernel and what is told of them. Each
//! room's own page opens with its story. ARCHITECTURE.md has the drawing, and where to add what.
//!
//! # What always holds
//!
//! * **Said is done.** A system call is a value that [`sys::Kernel::call`] performs and reports; nobody
//!   reports anything else. Held by `tests/narration_is_true.rs`, with strace for a witness.
//! * **No `k: &Kernel`, no effects.** What acts takes the kernel as its first parameter. The plan does
//!   not. Held by signatures, `clippy.toml` and `tests/tidy`.
//! * **One door.** `unsafe` and `libc` stay in [`sys`]. Held by a lint and `tests/tidy`.
//! * **One order.** [`plan::create`] alone decides what comes before what, and both sides walk that list.
//! * **One thread** until execve: a process with threads may not enter a user namespace. Asserted where
//!   clone3 is made.
//! * **Written down before it is made:** what outlives the process is in [`lifecycle::journal`] first, so
//!   that a killed run can be finished by somebody else.
//! * **In the root everything stays in the root:** paths from a config or an image are resolved by the
//!   kernel with `RESOLVE_IN_ROOT`, in [`sys::below`].
//! * **Two voices.** An event holds facts; explanations are data below `lessons/`, looked up when it is
//!   shown.
//! * **Standard output is the container's.** And the exit status too.
//! * **No circles.** A room uses only what stands before it in `ROOMS` of `tests/tidy/rooms.rs`,
//!   foundations first. That is not the order of this page: words and events are read about last, and
//!   are used by many.

/// What was asked for: arguments in, exit status out, no logic.
pub mod cli;

/// `config.json`, read and checked, and the one that `learnc spec` writes.
pub mod bundle;

/// Where the new root comes from when nobody brings one.
pub mod rootfs;

/// From an image's name to the files of a root filesystem: registries, the store, layers.
pub mod image;

/// What this machine is: one value, read and never written.
pub mod facts;

/// What that value means for a person: findings, and the cause of an error.
pub mod doctor;

/// The decision, pure: an ordered list of steps.
pub mod plan;

/// The plan as a program of its own: a shell script that makes the same container.
pub mod emit;

/// The mechanisms behind the steps, one a file: pure half, acting half, by hand.
pub mod parts;

/// Resources and places of cgroups, as data for the part that writes them.
pub mod cgroup;

/// Two processes walk the list together: the conversation, create, start, undo.
pub mod perform;

/// What outlives them: state, locks, and the journal of what must be undone.
pub mod lifecycle;

/// What a process is, read from the kernel: the host's side next to the container's.
pub mod inspect;

/// The one door to the kernel: a call is a value.
pub mod sys;

/// The arguments of a call, as values that can be shown, compared and stored.
pub mod args;

/// What can go wrong, in two kinds, with what was attempted.
pub mod error;

/// What can be told: the public form of `--events`.
pub mod event;

/// The kernel's own record beside the narration: a witness by ptrace, with tables of its own.
pub mod trace;

/// Events for eyes: the terminal, JSON lines.
pub mod render;

/// Our words for them, from `lessons/`.
pub mod lesson;
