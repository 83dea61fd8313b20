//! What can go wrong, in two kinds.
//!
//! Something *you can fix* is told with the fix. Something *the kernel refused* is told as the call
//! that was refused, with its arguments and the kernel's word, which is the very sentence that the
//! narration shows. A diagnosis, where evidence for one can be read from the machine, comes on top.
//!
//! One type for the whole crate: an error made inside the container travels to the runtime whole
//! (it is serialisable), with the step it belongs to.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::args::{Arg, Args};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not work. Boxed, since every `Result` in the crate carries room for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Error(Box<Trouble>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub kind: Kind,
    /// What was being done, outermost first: `mounts[3].destination`.
    #[serde(default)]
    pub context: Vec<String>,
    /// What the machine shows about the cause, where something was found.
    #[serde(default)]
    pub diagnosis: Option<String>,
    /// The smallest thing to do about it, as a command or a sentence.
    #[serde(default)]
    pub remedy: Option<String>,
    /// What whoever asked can do another way instead.
    #[serde(skip)]
    pub way_out: Option<WayOut>,
}

/// By what else an error can be got around. Those who try something look at it; nobody reads the text for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayOut {
    /// These layers make one tree, and no directory each.
    OneTree,
    /// What is missing can be pulled.
    Pull,
    /// It belongs to an id that this user has in a user namespace, and root of that may look at it.
    AsOwner,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something in the arguments, the config or the machine's set-up, said in one sentence.
    Yours(String),
    /// A call and the kernel's answer to it.
    Refused { name: String, args: Args, errno: i32 },
}

const ENDED: &str = "ended by you";

impl Error {
    /// Something that the person who reads it can fix.
    pub fn yours(what: impl Into<String>) -> Error {
        Error::new(Kind::Yours(what.into()))
    }

    /// Somebody who was asked did not want to go on: nothing has gone wrong.
    pub fn ended_by_you() -> Error {
        Error::yours(ENDED)
    }

    pub fn is_ended_by_you(&self) -> bool {
        matches!(&self.kind, Kind::Yours(what) if what == ENDED)
    }

    /// The kernel said no.
    pub fn refused(name: &str, args: Args, errno: Errno) -> Error {
        Error::new(Kind::Refused { name: name.into(), args, errno: errno as i32 })
    }

    fn new(kind: Kind) -> Error {
        let (context, diagnosis, remedy, way_out) = (vec![], None, None, None);
        Error(Box::new(Trouble { kind, context, diagnosis, remedy, way_out }))
    }

    /// Says where: `.at("mounts[3]")`.
    pub fn at(mut self, place: impl Into<String>) -> Error {
        self.context.insert(0, place.into());
        self
    }

    pub fn because(mut self, evidence: impl Into<String>) -> Error {
        self.diagnosis.get_or_insert(evidence.into());
        self
    }

    pub fn try_this(mut self, remedy: impl Into<String>) -> Error {
        self.remedy.get_or_insert(remedy.into());
        self
    }

    pub fn or_else_by(mut self, way_out: WayOut) -> Error {
        self.way_out = Some(way_out);
        self
    }

    /// The kernel's answer, where it was the kernel who refused.
    pub fn errno(&self) -> Option<Errno> {
        match self.kind {
            Kind::Refused { errno, .. } => Some(Errno::from_raw(errno)),
            Kind::Yours(_) => None,
        }
    }

    /// The refused call's name: `mount`.
    pub fn call(&self) -> Option<&str> {
        match &self.kind {
            Kind::Refused { name, .. } => Some(name),
            Kind::Yours(_) => None,
        }
    }
}

impl std::ops::Deref for Error {
    type Target = Trouble;
    fn deref(&self) -> &Trouble {
        &self.0
    }
}

impl std::ops::DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Trouble {
        &mut self.0
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for place in &self.context {
            write!(f, "{}: ", crate::args::plain(place))?;
        }
        match &self.kind {
            Kind::Yours(what) => f.write_str(&crate::args::plain(what)),
            Kind::Refused { name, args, errno } => {
                let errno = Errno::from_raw(*errno);
                let args: Vec<String> = args.0.iter().map(|(_, arg)| brief(name, arg)).collect();
                write!(f, "{name}({}) = {errno:?} ({})", args.join(", "), errno.desc())
            }
        }
    }
}

/// The most that an error shows of the bytes that a call was to write: where they went and why not is what matters.
const MOST: usize = 64;

/// An argument as the narration has it, but for long contents, of which the beginning is enough. Paths and a mount's
/// options are never cut: they may be the cause.
fn brief(call: &str, arg: &Arg) -> String {
    let contents = match arg {
        Arg::Str(text) if call == "write" || call.ends_with("setxattr") => text.as_bytes(),
        Arg::Bytes(bytes) => bytes,
        other => return other.to_text(),
    };
    if contents.len() <= MOST {
        return arg.to_text();
    }
    let mut end = MOST;
    if let Arg::Str(text) = arg {
        while !text.is_char_boundary(end) {
            end -= 1;
        }
    }
    format!("{}...", crate::args::quote(&contents[..end]))
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Error {
        Error::yours(e.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        // One of ours may have come through a reader or a library, which know the standard's only.
        if let Some(own) = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return own.clone();
        }
        match e.raw_os_error() {
            Some(errno) => Error::yours(Errno::from_raw(errno).desc()),
            None => Error::yours(e.to_string()),
        }
    }
}

/// `.or_else(ignore(Errno::EEXIST))`: this answer is as good as success.
pub fn ignore(errno: Errno) -> impl Fn(Error) -> Result<()> {
    move |e| if e.errno() == Some(errno) { Ok(()) } else { Err(e) }
}

/// Names the file in errors of the standard library, which does not.
pub trait Named<T> {
    fn named(self, path: impl AsRef<std::path::Path>) -> Result<T>;
}

impl<T> Named<T> for std::io::Result<T> {
    fn named(self, path: impl AsRef<std::path::Path>) -> Result<T> {
        self.map_err(|e| Error::from(e).at(path.as_ref().display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_contents_the_beginning_is_shown_and_paths_are_whole() {
        let said = |call: &str, arg: Arg| {
            let args = Args::new().with("fd", Arg::Int(3)).with("buf", arg);
            Error::refused(call, args, Errno::ENOSPC).to_string()
        };
        let end = ") = ENOSPC (No space left on device)";
        let bytes = said("write", Arg::bytes(&[0x90; 6200]));
        assert_eq!(bytes, format!("write(3, \"{}\"...{end}", r"\x90".repeat(64)));
        let text = said("write", Arg::Str("ä".repeat(3000)));
        assert_eq!(text, format!("write(3, \"{}\"...{end}", "ä".repeat(32)));
        let odd = said("write", Arg::Str("x".to_owned() + &"ä".repeat(3000)));
        assert_eq!(odd, format!("write(3, \"x{}\"...{end}", "ä".repeat(31)));
        assert_eq!(said("write", Arg::bytes(b"1 2 3")), format!("write(3, \"1 2 3\"{end}"));
        let path = format!("/{}", "long".repeat(40));
        assert_eq!(said("openat", Arg::Str(path.clone())), format!("openat(3, \"{path}\"{end}"));
    }
}
