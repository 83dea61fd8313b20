//! A blob on its way in.
//!
//! ```text
//!   ingest/sha256-<hex>.part   locked by its one writer     ──finish──►   blobs/sha256/<hex>
//!   │ a second who wants the same blob waits for the lock, and finds it there
//!   └ left by a process that was killed: hashed again, and gone on with from its end
//! ```
//!
//! What comes in is hashed on the way. No more is taken than was announced; and what has another digest
//! in the end never gets a name: it is removed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg, OFlag};

use super::files::{self, Hold};
use super::{Store, tell};
use crate::error::{Error, Named, Result};
use crate::image::digest::Sum;
use crate::image::document::Descriptor;
use crate::sys::{Kernel, stop};

/// A blob that is being written: see the [module](self).
#[derive(Debug)]
pub struct Incoming {
    what: Descriptor,
    part: PathBuf,
    blob: PathBuf,
    /// None where the blob is there already.
    file: Option<Flock<File>>,
    sum: Sum,
    have: u64,
    /// Of those, the bytes that an earlier process left.
    resumed: u64,
    _hold: Hold,
}

impl Store {
    /// Begins with a blob, or goes on with it. Waits while somebody else writes the same one.
    pub fn begin(&self, k: &Kernel, what: &Descriptor) -> Result<Incoming> {
        let hold = self.hold(k)?;
        let name = what.digest.as_str().replace(':', "-");
        let mut incoming = Incoming {
            part: self.ingest_dir().join(format!("{name}.part")),
            blob: self.blob_file(&what.digest),
            file: None,
            sum: Sum::new(what.digest.algorithm()),
            have: what.size,
            resumed: 0,
            what: what.clone(),
            _hold: hold,
        };
        while !self.has(what) {
            if let Some(file) = incoming.lock(k)? {
                // Somebody may have finished it since the look at it.
                match self.has(what) {
                    true => files::remove(k, &incoming.part)?,
                    false => incoming.take_up(file)?,
                }
                break;
            }
            files::pause()?;
        }
        Ok(incoming)
    }

    /// Keeps a small document: its descriptor.
    pub fn put(&self, k: &Kernel, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let what = Descriptor::new(media_type, bytes);
        let mut incoming = self.begin(k, &what)?;
        if !incoming.is_there() {
            incoming.restart()?;
            incoming.write_all(bytes).named(&incoming.part)?;
        }
        incoming.finish(k)?;
        Ok(what)
    }
}

impl Incoming {
    /// The part's file, if nobody else writes it and it still has the name.
    fn lock(&self, k: &Kernel) -> Result<Option<Flock<File>>> {
        let file = files::open(k, &self.part, OFlag::O_RDWR | OFlag::O_CREAT)?;
        let Ok(file) = files::lock(file, FlockArg::LockExclusiveNonblock, &self.part)? else {
            return Ok(None);
        };
        // Whoever had the lock before may have finished it, or thrown it away.
        let (ours, named) = (file.metadata().named(&self.part)?, self.part.symlink_metadata());
        let is_it = named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        Ok(is_it.then_some(file))
    }

    /// Hashes what is there.
    fn take_up(&mut self, mut file: Flock<File>) -> Result<()> {
        let mut buffer = vec![0; 128 * 1024];
        self.have = 0;
        loop {
            let count = file.read(&mut buffer).named(&self.part)?;
            if count == 0 {
                break;
            }
            self.sum.update(&buffer[..count]);
            self.have += count as u64;
            stop::go_on()?;
        }
        self.resumed = self.have;
        self.file = Some(file);
        if self.have > self.what.size { self.restart() } else { Ok(()) }
    }

    /// How many bytes are there already: from which on the rest is to be written.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Whether the blob is in the store already: then nothing is to be written.
    pub fn is_there(&self) -> bool {
        self.file.is_none()
    }

    /// Whether an earlier process has left some of it: if in the end it is not what it should be, that
    /// part may be why.
    pub fn was_resumed(&self) -> bool {
        self.resumed > 0
    }

    /// Throws away what is there, and begins from nothing.
    pub fn restart(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).named(&self.part)?;
        (self.have, self.resumed, self.sum) = (0, 0, Sum::new(self.what.digest.algorithm()));
        Ok(())
    }

    /// Gives the blob its name, if it is what it should be.
    pub fn finish(mut self, k: &Kernel) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.have != self.what.size {
            let text =
                format!("{}: {} of {} bytes came", self.what.digest, self.have, self.what.size);
            // They are kept: who wants the blob again goes on from here.
            return Err(Error::yours(text));
        }
        let computed = self.sum.clone().finish();
        tell(k, &self.what, &computed);
        if computed != self.what.digest {
            files::remove(k, &self.part)?;
            let error = Error::yours(format!("{} was asked for", self.what.digest));
            return Err(match self.resumed {
                0 => error.because(format!("what came has {computed}, and was thrown away")),
                bytes => error
                    .because(format!(
                        "what came has {computed}; its first {bytes} bytes were from an earlier try"
                    ))
                    .try_this("once more: all of it was thrown away"),
            });
        }
        if let Some(folder) = self.blob.parent().filter(|folder| !folder.is_dir()) {
            files::directory(k, folder, 0o755)?;
            files::sync_folder_of(folder)?;
        }
        files::settle(k, file, &self.part, &self.blob)?;
        self.file = None;
        Ok(())
    }
}

/// Nothing is left of what has not begun.
impl Drop for Incoming {
    #[expect(clippy::disallowed_methods, reason = "an empty file, whose lock is held")]
    fn drop(&mut self) {
        if self.have == 0 && self.file.is_some() {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.what.size - self.have;
        if bytes.len() as u64 > room {
            let text = format!("{}: more than {} bytes came", self.what.digest, self.what.size);
            return Err(std::io::Error::other(text));
        }
        let Some(file) = &mut self.file else { return Ok(bytes.len()) };
        let count = file.write(bytes)?;
        self.sum.update(&bytes[..count]);
        self.have += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
