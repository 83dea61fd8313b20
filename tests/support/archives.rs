//! Archives and layers made by code, entry by entry: the lower half of [`super::images`].
//!
//! POSIX ustar headers, PAX records where a name is longer or an attribute is wanted. Nothing is checked, so
//! that a test can say what no honest archiver would. Compression is real: gzip by flate2; zstd (RFC 8878) as
//! a frame of raw blocks, whose window a test may choose.

use std::io::Write;

use learnc::image::digest::Digest;
use tar::{EntryType, Header};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// One header of an archive and what belongs to it.
#[derive(Debug, Clone)]
pub struct Entry {
    path: Vec<u8>,
    kind: EntryType,
    link: Vec<u8>,
    pub bytes: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    time: u64,
    device: (u32, u32),
    /// Records of a PAX header before it: `SCHILY.xattr.user.x`, `path`, `mtime` ...
    pax: Vec<(String, Vec<u8>)>,
}

fn entry(path: &str, kind: EntryType, mode: u32) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        link: vec![],
        bytes: vec![],
        mode,
        owner: (0, 0),
        time: 1_600_000_000,
        device: (0, 0),
        pax: vec![],
    }
}

pub fn file(path: &str, bytes: impl AsRef<[u8]>) -> Entry {
    Entry { bytes: bytes.as_ref().to_vec(), ..entry(path, EntryType::Regular, 0o644) }
}

pub fn dir(path: &str) -> Entry {
    entry(&format!("{}/", path.trim_end_matches('/')), EntryType::Directory, 0o755)
}

pub fn symlink(path: &str, target: &str) -> Entry {
    Entry { link: target.as_bytes().to_vec(), ..entry(path, EntryType::Symlink, 0o777) }
}

/// Another name for a file that the archive, or a layer below, has.
pub fn hard(path: &str, target: &str) -> Entry {
    Entry { link: target.as_bytes().to_vec(), ..entry(path, EntryType::Link, 0o644) }
}

pub fn fifo(path: &str) -> Entry {
    entry(path, EntryType::Fifo, 0o644)
}

/// A character device.
pub fn device(path: &str, major: u32, minor: u32) -> Entry {
    Entry { device: (major, minor), ..entry(path, EntryType::Char, 0o600) }
}

/// What removes `path` of the layers below.
pub fn whiteout(path: &str) -> Entry {
    let (parent, name) = path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name));
    file(format!("{parent}/.wh.{name}").trim_start_matches('/'), b"")
}

/// What hides all that the layers below have in `path`.
pub fn opaque(path: &str) -> Entry {
    file(&format!("{path}/.wh..wh..opq"), b"")
}

impl Entry {
    pub fn mode(self, mode: u32) -> Entry {
        Entry { mode, ..self }
    }

    pub fn owner(self, uid: u64, gid: u64) -> Entry {
        Entry { owner: (uid, gid), ..self }
    }

    /// Seconds since 1970.
    pub fn time(self, time: u64) -> Entry {
        Entry { time, ..self }
    }

    pub fn renamed(self, path: &str) -> Entry {
        Entry { path: path.as_bytes().to_vec(), ..self }
    }

    pub fn kind(self, kind: EntryType) -> Entry {
        Entry { kind, ..self }
    }

    pub fn xattr(self, name: &str, value: &[u8]) -> Entry {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    pub fn pax(mut self, key: &str, value: &[u8]) -> Entry {
        self.pax.push((key.to_owned(), value.to_vec()));
        self
    }

    fn write(&self, archive: &mut Vec<u8>) {
        let mut pax = self.pax.clone();
        let mut header = Header::new_ustar();
        let mut name = |field: &mut [u8; 100], text: &[u8], key: &str| {
            let fits = text.len().min(field.len());
            field[..fits].copy_from_slice(&text[..fits]);
            if text.len() > fits {
                pax.push((key.to_owned(), text.to_vec()));
            }
        };
        name(&mut header.as_ustar_mut().unwrap().name, &self.path, "path");
        name(&mut header.as_ustar_mut().unwrap().linkname, &self.link, "linkpath");
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(self.time);
        header.set_size(self.bytes.len() as u64);
        header.set_device_major(self.device.0).unwrap();
        header.set_device_minor(self.device.1).unwrap();
        header.set_cksum();
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            let mut before = Header::new_ustar();
            before.set_path("PaxHeaders/x").unwrap();
            before.set_entry_type(EntryType::XHeader);
            before.set_mode(0o644);
            before.set_size(records.len() as u64);
            before.set_cksum();
            append(archive, &before, &records);
        }
        append(archive, &header, &self.bytes);
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let with = |digits: usize| rest + digits;
    let digits = (1..).find(|digits| with(*digits).to_string().len() == *digits).unwrap();
    [format!("{} {key}=", with(digits)).as_bytes(), value, b"\n"].concat()
}

fn append(archive: &mut Vec<u8>, header: &Header, bytes: &[u8]) {
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// An archive of these entries.
pub fn archive<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut archive = vec![];
    entries.into_iter().for_each(|entry| entry.write(&mut archive));
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A layer: its archive, and how it is kept.
#[derive(Debug, Clone)]
pub struct Layer {
    pub archive: Vec<u8>,
    /// What is kept and sent.
    pub stored: Vec<u8>,
    pub media_type: String,
    pub diff_id: String,
}

/// A layer of these entries, not compressed.
pub fn layer(entries: impl IntoIterator<Item = Entry>) -> Layer {
    layer_of(archive(&entries.into_iter().collect::<Vec<_>>()))
}

/// A layer of these bytes, whatever they are.
pub fn layer_of(archive: Vec<u8>) -> Layer {
    let diff_id = Digest::of(&archive).to_string();
    Layer { stored: archive.clone(), archive, media_type: TAR.to_owned(), diff_id }
}

impl Layer {
    pub fn gzip(self) -> Layer {
        let stored = gzip(&self.archive);
        Layer { stored, media_type: format!("{TAR}+gzip"), ..self }
    }

    /// In a frame whose decoder needs a window of 128 KiB.
    pub fn zstd(self) -> Layer {
        self.zstd_with_window(17)
    }

    /// In a frame that says it needs a window of 2^`log` bytes.
    pub fn zstd_with_window(self, log: u8) -> Layer {
        let stored = zstd(&self.archive, log);
        Layer { stored, media_type: format!("{TAR}+zstd"), ..self }
    }

    pub fn lie_about_diff_id(self) -> Layer {
        Layer { diff_id: Digest::of(b"another archive").to_string(), ..self }
    }
}

/// Bytes that do not shrink: the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// RFC 8878: magic number, a descriptor with a window, blocks of the kind "raw".
pub fn zstd(bytes: &[u8], window_log: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let pieces: Vec<&[u8]> = match bytes.is_empty() {
        true => vec![&[]],
        false => bytes.chunks(1 << window_log.min(17)).collect(),
    };
    for (at, piece) in pieces.iter().enumerate() {
        let last = u32::from(at + 1 == pieces.len());
        frame.extend_from_slice(&((piece.len() as u32) << 3 | last).to_le_bytes()[..3]);
        frame.extend_from_slice(piece);
    }
    frame
}

/// What [`Layer::gzip`] and [`Layer::zstd`] made, as it was before.
pub fn inflated(media_type: &str, stored: &[u8]) -> Vec<u8> {
    let mut archive = vec![];
    if media_type.ends_with("+gzip") {
        std::io::copy(&mut flate2::read::GzDecoder::new(stored), &mut archive).unwrap();
    } else if media_type.ends_with("+zstd") {
        let mut rest = &stored[6..];
        while !rest.is_empty() {
            let head = u32::from_le_bytes([rest[0], rest[1], rest[2], 0]);
            let (size, after) = ((head >> 3) as usize, &rest[3..]);
            archive.extend_from_slice(&after[..size]);
            rest = &after[size..];
        }
    } else {
        archive.extend_from_slice(stored);
    }
    archive
}
