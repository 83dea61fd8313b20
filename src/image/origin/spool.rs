//! Opening an archive that cannot be read where it is.
//!
//! What comes through a pipe, or is compressed as a whole, is first brought into a file without a name in
//! the store's `ingest/`: it is gone when nobody has it open.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;

use crate::error::{Error, Named, Result, ignore};
use crate::sys::{At, Kernel, Openat, Unlinkat, look, stop};

/// What decompression may make of an archive: docker's layers in gzip shrink to a half or a third.
const RATIO: u64 = 200;
const ALWAYS: u64 = 128 << 20;

/// Opens an archive, `-` for standard input, without the compression of all of it.
pub(super) fn archive(k: &Kernel, path: &Path, ingest: &Path) -> Result<File> {
    if path == Path::new("-") && look::is_terminal(0) {
        return Err(Error::yours("an archive on standard input, which is a terminal")
            .try_this("docker save NAME | learnc pull docker-archive:-"));
    }
    let file = match path == Path::new("-") {
        true => spool(k, &mut Patient(std::io::stdin().lock()), ingest, u64::MAX)?,
        false => open(path)?,
    };
    plain(k, file, ingest).map_err(|e| e.at(path.display().to_string()))
}

/// Opens a file to be read; what is no file is not waited for.
pub(super) fn open(path: &Path) -> Result<File> {
    let mut options = std::fs::OpenOptions::new();
    let flags = OFlag::O_NONBLOCK.bits();
    let file = options.read(true).custom_flags(flags).open(path).named(path)?;
    match file.metadata().named(path)?.is_file() {
        true => Ok(file),
        false => Err(Error::yours(format!("{} is no file", path.display()))),
    }
}

/// The archive without the compression of all of it, as in `docker save | gzip`.
fn plain(k: &Kernel, mut file: File, ingest: &Path) -> Result<File> {
    let mut head = [0; 6];
    let count = file.read_at(&mut head, 0)?;
    file.rewind()?;
    let other = |name: &str, tool: &str| {
        Err(Error::yours(format!("it is compressed with {name}")).try_this(format!("{tool} FILE")))
    };
    match &head[..count] {
        [0x1f, 0x8b, ..] => {
            let most = ALWAYS + file.metadata()?.len().saturating_mul(RATIO);
            spool(k, &mut flate2::read::MultiGzDecoder::new(file), ingest, most)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => other("xz", "unxz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => other("zstd", "unzstd"),
        [b'B', b'Z', b'h', ..] => other("bzip2", "bunzip2"),
        _ => Ok(file),
    }
}

/// Standard input, for which one waits as long as this process is not asked to end.
struct Patient(std::io::StdinLock<'static>);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        stop::wait(self.0.as_fd(), PollFlags::POLLIN, None)?;
        self.0.read(buffer)
    }
}

/// Brings what is read into a file that has a name for a moment only.
fn spool(k: &Kernel, from: &mut dyn Read, ingest: &Path, most: u64) -> Result<File> {
    let mut file = nameless(k, &ingest.join(format!("archive-{}.part", look::pid())))?;
    let (mut buffer, mut all) = (vec![0; 256 * 1024], 0);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        stop::go_on()?;
        all += count as u64;
        if all > most {
            return Err(Error::yours(format!("decompressed it has more than {most} bytes"))
                .because(format!("no archive of an image shrinks to less than 1/{RATIO}")));
        }
        file.write_all(&buffer[..count])?;
    }
    file.rewind()?;
    Ok(file)
}

/// A file that had this name. To be asked to end between the two calls would leave it behind.
fn nameless(k: &Kernel, path: &Path) -> Result<File> {
    let _later = stop::later()?;
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    // Left by one of the same number that was killed in between; if not, its owner has it open.
    unlink(k, path)?;
    let file = k.call(Openat { dir: At::CWD, path, flags, mode: 0o600 })?;
    unlink(k, path)?;
    let pretended = || Error::yours("reading an archive cannot be pretended");
    file.into_owned().map(File::from).ok_or_else(pretended)
}

fn unlink(k: &Kernel, path: &Path) -> Result<()> {
    let call = Unlinkat { dir: At::CWD, path, directory: false };
    k.ask(call, &[Errno::ENOENT]).or_else(ignore(Errno::ENOENT))
}
