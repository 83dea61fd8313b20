//! The one door to the kernel.
//!
//! A system call is a value: one small struct with named fields whose `args()` says it and whose
//! `perform()` does it, a few lines apart, from the same fields. [`Kernel::call`] performs the
//! value, reports that same value with the kernel's answer, and returns a typed result. So what is
//! said is what was done, by construction, and the test suite holds strace against it.
//!
//! This is the only room in which `unsafe` is allowed and `libc` is named. The structs are grouped
//! as the manual groups them; to add a call, add a struct to its group and nothing else.
//!
//! Looking is not acting: helpers in [`look`] read files and ask for ids without being narrated
//! (each kind is listed, with its reason, in `tests/unnarrated.txt`).
#![allow(unsafe_code, clippy::disallowed_methods)]

pub mod kernel;

pub mod attributes;
pub mod capset;
pub mod copy;
pub mod descriptor;
pub mod file;
pub mod identity;
pub mod mount;
pub mod namespace;
pub mod process;
pub mod system;

pub mod alive;
pub mod below;
pub mod home;
pub mod idmap;
#[cfg(lie)]
mod lie;
pub mod look;
pub mod mapped;
pub mod numbers;
pub mod overlay;
pub mod plumbing;
pub mod ptrace;
pub mod stop;
pub mod write;

pub use attributes::{Fchmod, Ftruncate, Lsetxattr, Pwrite64, Syncfs};
pub use capset::CapSet;
pub use copy::{Linkat, Sendfile, Utimensat};
pub use descriptor::{At, Fd};
pub use file::*;
pub use identity::*;
pub use kernel::{Answer, Fork, Kernel, Manner, Pid, Syscall};
pub use mount::*;
pub use namespace::*;
pub use process::*;
pub use system::*;
pub use write::{write_file, write_new_file};
