//! The journal: what outlives the process is written down before it is made.
//!
//! One file in the state folder, mapped into memory by everybody who takes part. Its first page
//! holds the last words of a container that can no longer speak; the rest is one line for each
//! thing that will have to be undone: a cgroup directory, a private copy of a root filesystem.
//! Writing a line is a copy in memory, no system call, and what is written stays when the writer is
//! killed: the next `delete` or `learnc clean` walks the lines backwards. An undo that finds the
//! thing gone is content ([`super::undo`]). What dies with the namespaces by itself is not in here.

use std::borrow::Cow;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::args::Arg;
use crate::error::{Error, Kind, Named, Result};
use crate::sys::plumbing::SharedPage;
use crate::sys::{alive, look};

/// Something to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// rmdir of a cgroup directory, once its processes are gone.
    RemoveCgroup(PathBuf),
    /// rmdir of a cgroup directory above the container's own, unless another container is below it.
    LeaveCgroup(PathBuf),
    RemoveFile(PathBuf),
    /// From a leaf back to the cgroup above, which takes back the controllers that it handed down.
    LeaveLeaf {
        own: PathBuf,
        leaf: PathBuf,
        handed: String,
    },
    /// The container's first process, if it is still the one that started then.
    Kill {
        pid: i32,
        start_time: u64,
    },
    /// Whoever still has this directory for its root: processes that outlived the first one, where
    /// neither a pid namespace nor a cgroup holds them together. Only ever a root that learnc made.
    KillInRoot(PathBuf),
    /// A directory and all that is below it; only ever one that learnc made.
    RemoveTree(PathBuf),
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Undo::RemoveCgroup(path) | Undo::LeaveCgroup(path) => {
                write!(f, "rmdir {}", path.display())
            }
            Undo::RemoveFile(path) => write!(f, "rm {}", path.display()),
            Undo::RemoveTree(path) => write!(f, "rm -r {}", path.display()),
            Undo::KillInRoot(path) => write!(f, "kill -KILL what runs in {}", path.display()),
            Undo::LeaveLeaf { own, .. } => write!(f, "back to {}", own.display()),
            Undo::Kill { pid, .. } => write!(f, "kill -KILL {pid}"),
        }
    }
}

/// See the [module](self).
pub struct Journal {
    page: Option<SharedPage>,
    /// How many bytes of lines are written.
    used: usize,
}

const LAST_WORDS: usize = 4096;
const LENGTH: usize = 32 * 1024;

/// Behind the last words: pid and start time of the process that made the journal.
const MAKER: usize = LAST_WORDS - 16;

/// Behind those: whether all of it has been undone.
const UNDONE: usize = LAST_WORDS - 4;

/// How much of a sentence is kept in last words that are too long.
const LONGEST_SENTENCE: usize = 1000;

/// What the first word of the file says about the container's last words.
const SAID: u32 = 1;
const ANNOUNCED: u32 = 2;

/// How far a container got that can no longer speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastWords {
    None,
    /// It was about to do what it had announced.
    Announced,
    /// This step failed.
    Failed {
        index: usize,
        error: Box<Error>,
    },
}

impl Journal {
    pub const FILE: &'static str = "journal";

    /// Makes the journal of a new state folder.
    pub fn create(dir: &Path) -> Result<Journal> {
        let path = dir.join(Self::FILE);
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).named(&path)?;
        file.set_len(LENGTH as u64).named(&path)?;
        let page = SharedPage::map(file.as_fd(), LENGTH)?;
        let pid = look::pid();
        let start = alive::start_time(pid).unwrap_or(0);
        let words = [pid as u32, start as u32, (start >> 32) as u32];
        for (word, at) in words.into_iter().zip([MAKER, MAKER + 4, MAKER + 8]) {
            page.word(at).store(word, Ordering::Relaxed);
        }
        Ok(Journal { page: Some(page), used: 0 })
    }

    /// Opens the journal that another process has written.
    pub fn open(dir: &Path) -> Result<Journal> {
        let path = dir.join(Self::FILE);
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).open(&path).named(&path)?;
        let length = file.metadata().named(&path)?.len() as usize;
        if length < LENGTH {
            // Killed between creating the file and giving it its length: nothing was made yet.
            return Ok(Journal { page: None, used: 0 });
        }
        let page = SharedPage::map(file.as_fd(), LENGTH)?;
        let used = page.word(4).load(Ordering::Acquire) as usize;
        Ok(Journal { page: Some(page), used })
    }

    /// For plans that are only shown.
    pub fn pretended() -> Journal {
        Journal { page: None, used: 0 }
    }

    /// Notes what is about to be made. To be called before making it.
    pub fn will(&mut self, undo: Undo) -> Result<()> {
        let Some(page) = &self.page else { return Ok(()) };
        let mut line = serde_json::to_vec(&undo)?;
        line.push(b'\n');
        let start = LAST_WORDS + self.used;
        if start + line.len() > page.len() {
            return Err(Error::yours("the journal is full: this run makes too many things"));
        }
        self.used += line.len();
        page.publish(start, &line, 4, self.used as u32);
        Ok(())
    }

    /// What has to be undone, in the order in which it was noted. A line that cannot be read, being
    /// damaged or of another version, is an error of its own: nobody else knows what it was.
    pub fn lines(&self) -> Vec<Result<Undo>> {
        let Some(page) = &self.page else { return vec![] };
        let text = page.read(LAST_WORDS, self.used);
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let read = |line: &[u8]| {
            let shown = String::from_utf8_lossy(line).into_owned();
            serde_json::from_slice(line).map_err(|e| Error::from(e).at(format!("journal: {shown}")))
        };
        lines.map(read).collect()
    }

    /// Who makes the container, if that process is still there: its pid.
    pub fn maker(&self) -> Option<i32> {
        let word = |at| self.page.as_ref().map(|page| page.word(at).load(Ordering::Relaxed));
        let pid = word(MAKER)? as i32;
        let start = u64::from(word(MAKER + 4)?) | u64::from(word(MAKER + 8)?) << 32;
        (pid != 0 && alive::lives(pid, start)).then_some(pid)
    }

    /// All that is listed has been undone: what is of its name from now on is another container's.
    pub fn close(&self) {
        if let Some(page) = &self.page {
            page.word(UNDONE).store(1, Ordering::Release);
        }
    }

    /// Whether somebody, perhaps another process, has undone all of it.
    pub fn is_closed(&self) -> bool {
        self.page.as_ref().is_some_and(|page| page.word(UNDONE).load(Ordering::Acquire) != 0)
    }

    /// The container: what follows has been announced, and I may not be heard again.
    pub fn announce(&self) {
        if let Some(page) = &self.page {
            page.publish(8, &[], 0, ANNOUNCED);
        }
    }

    /// The container: this step failed. What was said before is said no more. Makes no system call, and
    /// allocates nothing but the text of a file's mode, if one is among the arguments: the error is
    /// written from where it is. (Making the error took memory, which malloc may have asked the kernel
    /// for: brk(2) and mmap(2), which the loader of the program would make as well.) One that does not
    /// fit is shortened in place.
    pub fn last_words(&self, index: usize, error: &mut Error) {
        let Some(page) = &self.page else { return };
        let mut words = [0; MAKER - 16];
        loop {
            let mut room = &mut words[..];
            let fits = serde_json::to_writer(&mut room, &(index, &*error)).is_ok();
            let left = room.len();
            if fits {
                let length = words.len() - left;
                page.word(12).store(length as u32, Ordering::Relaxed);
                return page.publish(16, &words[..length], 0, SAID);
            }
            if !shorten(error) {
                return;
            }
        }
    }

    /// What the container left behind.
    pub fn heard(&self) -> LastWords {
        let Some(page) = &self.page else { return LastWords::None };
        match page.word(0).load(Ordering::Acquire) {
            ANNOUNCED => LastWords::Announced,
            SAID => {
                let length = page.word(12).load(Ordering::Relaxed) as usize;
                let words = page.read(16, length.min(MAKER - 16));
                match serde_json::from_slice::<(usize, Error)>(&words) {
                    Ok((index, error)) => LastWords::Failed { index, error: Box::new(error) },
                    Err(_) => LastWords::Announced,
                }
            }
            _ => LastWords::None,
        }
    }
}

/// Leaves out of an error what can be missed: its last argument that is still there, or the end of a long
/// sentence. False where there is no such thing.
fn shorten(error: &mut Error) -> bool {
    const LEFT_OUT: Arg = Arg::Name(Cow::Borrowed("..."));
    match &mut error.kind {
        Kind::Refused { args, .. } => {
            let last = args.0.iter_mut().rev().find(|(_, arg)| *arg != LEFT_OUT);
            last.map(|(_, arg)| *arg = LEFT_OUT).is_some()
        }
        Kind::Yours(what) if what.len() > LONGEST_SENTENCE + 3 => {
            let is_end = |&at: &usize| what.is_char_boundary(at);
            what.truncate((0..=LONGEST_SENTENCE).rev().find(is_end).unwrap_or(0));
            what.push_str("...");
            true
        }
        Kind::Yours(_) => false,
    }
}

/// Holds the state folder for this process alone; let go when dropped. flock(2).
pub fn lock(dir: &Path) -> Result<nix::fcntl::Flock<std::fs::File>> {
    let file = std::fs::File::open(dir).named(dir)?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, errno)| std::io::Error::from(errno).into())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_found_by_the_next_reader() {
        let dir = std::env::temp_dir().join(format!("learnc-journal-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let mut journal = Journal::create(&dir).unwrap();
        journal.will(Undo::RemoveCgroup("/a".into())).unwrap();
        journal.will(Undo::RemoveFile("/b".into())).unwrap();
        journal.last_words(7, &mut Error::yours("no"));
        let other = Journal::open(&dir).unwrap();
        let lines: Vec<Undo> = other.lines().into_iter().map(Result::unwrap).collect();
        assert_eq!(lines, [Undo::RemoveCgroup("/a".into()), Undo::RemoveFile("/b".into())]);
        assert_eq!(other.maker(), Some(std::process::id() as i32));
        let error = Box::new(Error::yours("no"));
        assert_eq!(other.heard(), LastWords::Failed { index: 7, error });
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_shortened_from_its_end() {
        use crate::args::Args;
        use nix::errno::Errno;
        let long = || "x".repeat(3 * LAST_WORDS);
        let args =
            Args::new().with("pathname", Arg::Str("/a".into())).with("argv", Arg::Str(long()));
        let mut refused =
            Error::refused("execve", args.with("envp", Arg::Str(long())), Errno::EACCES);
        assert!(shorten(&mut refused));
        assert!(refused.to_string().contains("...) = EACCES"));
        assert!(shorten(&mut refused));
        assert!(refused.to_string().starts_with("execve(\"/a\", ..., ...) = EACCES"));
        let mut yours = Error::yours("é".repeat(LAST_WORDS));
        assert!(shorten(&mut yours) && yours.to_string().ends_with("é..."));
        assert!(yours.to_string().len() <= LONGEST_SENTENCE + 4);
        assert!(!shorten(&mut Error::yours("no")));
    }
}
