//! Copying a folder, and unpacking an archive, without trusting a single name.
//!
//! tar(5). An archive is a list of names with contents, and both come from a stranger: `../../etc/cron.d/x`,
//! absolute paths, a link to `/etc` followed by a file "below" the link, a hard link to the host's
//! password file. So no name is ever used as a path of the host. Its directory is resolved below the
//! root's descriptor with openat2 and RESOLVE_IN_ROOT, where `..` and absolute links stop; the last
//! name is made with O_EXCL and O_NOFOLLOW in that directory, after what stood there was unlinked.
//!
//! All of it is bulk work: told as counts of calls ([`Kernel::bulk`]).

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use tar::EntryType;

use crate::error::{Error, Named, Result, ignore};
use crate::sys::{
    At, Fchmodat, Fchownat, Fd, Kernel, Linkat, Mkdirat, Mknodat, Openat, Symlinkat, Unlinkat,
    Utimensat, Write, below, copy as sys_copy, look, stop,
};

/// What was made, and what could not be.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    bytes: u64,
    /// Device nodes and sockets, which take root or make no sense in a copy.
    skipped: usize,
}

impl Tally {
    fn tell(&self, k: &Kernel) {
        let mib = self.bytes as f64 / (1024.0 * 1024.0);
        k.note(|| format!("{} files, {mib:.1} MiB", self.files));
        if self.skipped > 0 {
            k.note(|| format!("{} device nodes and sockets left out", self.skipped));
        }
    }
}

fn open_dir(k: &Kernel, dir: At, path: &Path) -> Result<Fd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    k.call(Openat { dir, path, flags, mode: 0 })
}

/// Copies all below `from` into the directory `root`.
pub fn copy(k: &Kernel, from: &Path, root: &Path) -> Result<()> {
    if root.starts_with(from) {
        return Err(Error::yours(format!("{} would be copied into itself", from.display())));
    }
    let tally = k.bulk(root, |k| {
        let mut copier = Copier { k, tally: Tally::default(), seen: HashMap::new() };
        let (source, target) = (open_dir(k, At::CWD, from)?, open_dir(k, At::CWD, root)?);
        let device = look::stat(&source)?.st_dev;
        copier.directory(&source, &target, &target, Path::new(""), device)?;
        Ok(copier.tally)
    })?;
    tally.tell(k);
    Ok(())
}

struct Copier<'a, 'k> {
    k: &'a Kernel<'k>,
    tally: Tally,
    /// Files with several names, by inode: where the first one was made.
    seen: HashMap<u64, PathBuf>,
}

impl Copier<'_, '_> {
    fn directory(&mut self, from: &Fd, to: &Fd, root: &Fd, at: &Path, device: u64) -> Result<()> {
        for (name, is_dir) in look::entries(from)? {
            stop::go_on()?;
            let name = Path::new(&name);
            let stat = look::stat_at(from, name)?;
            // What is mounted in there belongs to another filesystem.
            if stat.st_dev != device {
                continue;
            }
            if is_dir {
                self.k.call(Mkdirat { dir: to.at(), path: name, mode: 0o700 })?;
                let inner = (open_dir(self.k, from.at(), name)?, open_dir(self.k, to.at(), name)?);
                self.directory(&inner.0, &inner.1, root, &at.join(name), device)?;
                self.finish(to, name, &stat)?;
            } else {
                self.entry(from, to, root, name, &at.join(name), &stat)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &Fd,
        to: &Fd,
        root: &Fd,
        name: &Path,
        at: &Path,
        stat: &nix::sys::stat::FileStat,
    ) -> Result<()> {
        let k = self.k;
        if stat.st_nlink > 1 {
            if let Some(first) = self.seen.get(&stat.st_ino) {
                let link = Linkat { from_dir: root.at(), from: first, dir: to.at(), path: name };
                return k.call(link);
            }
            self.seen.insert(stat.st_ino, at.to_owned());
        }
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => {
                let (read, write) = (OFlag::O_NOFOLLOW, OFlag::O_WRONLY | OFlag::O_CREAT);
                let source = k.call(Openat { dir: from.at(), path: name, flags: read, mode: 0 })?;
                let flags = write | OFlag::O_EXCL;
                let target = k.call(Openat { dir: to.at(), path: name, flags, mode: 0o600 })?;
                let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
                self.tally.bytes += sys_copy::copy(k, &source, &target, size)? as u64;
                self.tally.files += 1;
                self.finish(to, name, stat)
            }
            SFlag::S_IFLNK => {
                let target = look::link_at(from, name)?;
                k.call(Symlinkat { target: &target, dir: to.at(), path: name })
            }
            _ => {
                self.tally.skipped += 1;
                Ok(())
            }
        }
    }

    fn finish(&self, dir: &Fd, name: &Path, stat: &nix::sys::stat::FileStat) -> Result<()> {
        let meta = Meta {
            mode: stat.st_mode & 0o7777,
            owner: Some((stat.st_uid, stat.st_gid)),
            seconds: stat.st_mtime,
        };
        meta.set(self.k, dir, name)
    }
}

/// Permissions, owner and date of a file.
struct Meta {
    mode: u32,
    owner: Option<(u32, u32)>,
    seconds: i64,
}

impl Meta {
    /// Owner before mode, because a change of owner clears the setuid bit.
    fn set(&self, k: &Kernel, dir: &Fd, path: &Path) -> Result<()> {
        if let Some((uid, gid)) = self.owner.filter(|_| look::ids().0 == 0) {
            k.call(Fchownat { dir: dir.at(), path, uid, gid })?;
        }
        k.call(Fchmodat { dir: dir.at(), path, mode: self.mode })?;
        k.call(Utimensat { dir: dir.at(), path: Some(path), seconds: self.seconds, nanos: 0 })
    }
}

/// Unpacks an archive into the directory `root`.
pub fn unpack(k: &Kernel, file: &Path, root: &Path) -> Result<()> {
    if k.pretends() {
        return Ok(());
    }
    let tally = k.bulk(root, |k| {
        let reader = plain(file)?;
        let mut unpacker = Unpacker {
            k,
            root: open_dir(k, At::CWD, root)?,
            tally: Tally::default(),
            directories: Vec::new(),
        };
        let mut archive = tar::Archive::new(reader);
        let named = |e: std::io::Error| not_readable(&e, file);
        for (number, entry) in archive.entries().map_err(named)?.enumerate() {
            stop::go_on()?;
            let entry = entry.map_err(named)?;
            unpacker.entry(entry).map_err(|e| e.at(format!("entry {}", number + 1)))?;
        }
        unpacker.finish()
    })?;
    if tally.files == 0 {
        return Err(Error::yours(format!("{} holds no file", file.display())));
    }
    tally.tell(k);
    Ok(())
}

fn not_readable(e: &std::io::Error, file: &Path) -> Error {
    // What the library quotes behind the first colon are the bytes that are no header.
    Error::yours(format!("{}: {}", file.display(), e.to_string().split(':').next().unwrap_or("")))
        .because("it is no complete tar archive")
        .try_this("a tar or tar.gz of a root filesystem; `tar -tf FILE` tests one")
}

/// The archive's bytes, without their compression.
fn plain(file: &Path) -> Result<Box<dyn Read>> {
    let mut head = [0; 6];
    let count = std::fs::File::open(file).named(file)?.read(&mut head).named(file)?;
    let opened = BufReader::with_capacity(128 * 1024, std::fs::File::open(file).named(file)?);
    let other = |name: &str, tool: &str| {
        Err(Error::yours(format!("{}: compressed with {name}", file.display()))
            .because("tar and tar.gz are read")
            .try_this(format!("{tool} {}", crate::args::shell(file))))
    };
    match &head[..count] {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::read::MultiGzDecoder::new(opened))),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => other("xz", "unxz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => other("zstd", "unzstd"),
        [b'B', b'Z', b'h', ..] => other("bzip2", "bunzip2"),
        _ => Ok(Box::new(opened)),
    }
}

struct Unpacker<'a, 'k> {
    k: &'a Kernel<'k>,
    root: Fd,
    tally: Tally,
    /// Their permissions are set last, or nothing could be put into a read-only one.
    directories: Vec<(PathBuf, Meta)>,
}

/// The path in an archive, as one below the root: no leading `/`, no `.`, and `..` refused.
fn inside(path: &Path) -> Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => {
                let text = format!("{} climbs out of the archive's root", path.display());
                return Err(Error::yours(text).because("archives with `..` are refused whole"));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(inside)
}

impl Unpacker<'_, '_> {
    fn entry<R: Read>(&mut self, mut entry: tar::Entry<R>) -> Result<()> {
        let path = inside(&entry.path()?)?;
        let header = entry.header();
        let owner = header.uid().ok().zip(header.gid().ok());
        let meta = Meta {
            mode: header.mode()? & 0o7777,
            owner: owner.map(|(uid, gid)| (uid as u32, gid as u32)),
            seconds: header.mtime().unwrap_or(0).min(i64::MAX as u64) as i64,
        };
        let kind = header.entry_type();
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        if kind == EntryType::Directory {
            below::directory(self.k, &self.root, &path)?;
            self.directories.push((path, meta));
            return Ok(());
        }
        let (parent, name) = self.place(&path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&mut entry, &parent, name)?;
                meta.set(self.k, &parent, name)
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(no_target)?.into_owned();
                self.k.call(Symlinkat { target: &target, dir: parent.at(), path: name })
            }
            EntryType::Link => {
                let target = inside(&entry.link_name()?.ok_or_else(no_target)?)?;
                let (dir, last) = below::split(&target)?;
                let from_dir = below::open(self.k, &self.root, dir, &[])?;
                let from = Path::new(last);
                self.k.call(Linkat { from_dir: from_dir.at(), from, dir: parent.at(), path: name })
            }
            EntryType::Fifo => {
                let (kind, mode) = (SFlag::S_IFIFO, meta.mode);
                let dir = parent.at();
                self.k.call(Mknodat { dir, path: name, kind, mode, major: 0, minor: 0 })
            }
            // Device nodes take root, and a container gets its own on /dev.
            EntryType::Char | EntryType::Block => {
                self.tally.skipped += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The directory in which an entry is made, with nothing of its name left in there.
    fn place<'p>(&self, path: &'p Path) -> Result<(Fd, &'p Path)> {
        let (parent, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (parent, Path::new(name)),
            _ => return Err(Error::yours(format!("{}: no name", path.display()))),
        };
        let parent = below::directory(self.k, &self.root, parent)?;
        let gone = Unlinkat { dir: parent.at(), path: name, directory: false };
        self.k.ask(gone, &[Errno::ENOENT]).or_else(ignore(Errno::ENOENT))?;
        Ok((parent, name))
    }

    fn file<R: Read>(&mut self, entry: &mut tar::Entry<R>, dir: &Fd, path: &Path) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let file = self.k.call(Openat { dir: dir.at(), path, flags, mode: 0o600 })?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                rest = &rest[self.k.call(Write { fd: &file, data: rest })?..];
            }
            self.tally.bytes += count as u64;
            stop::go_on()?;
        }
        self.tally.files += 1;
        Ok(())
    }

    fn finish(self) -> Result<Tally> {
        // The deepest first, so that a closed directory does not close those in it.
        for (path, meta) in self.directories.iter().rev() {
            let (parent, name) = below::split(path)?;
            let parent = below::open(self.k, &self.root, parent, &[])?;
            let still_is = look::stat_at(&parent, Path::new(name));
            // A later entry may have put a link where the directory was.
            if still_is.is_ok_and(|stat| stat.st_mode & 0o170_000 == 0o040_000) {
                meta.set(self.k, &parent, Path::new(name))?;
            }
        }
        Ok(self.tally)
    }
}

fn no_target() -> Error {
    Error::yours("a link without a target")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_name_leads_outside(path in "[./a]{0,24}") {
            if let Ok(inside) = inside(Path::new(&path)) {
                prop_assert!(inside.is_relative());
                prop_assert!(inside.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
