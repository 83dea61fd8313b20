//! A tree as an image: one layer, its config, its manifest, and an index that gives it a name.
//!
//! image-spec, layer.md, config.md, manifest.md, image-layout.md. The layer is a tar archive of the tree in
//! the order of its names, with nobody's name and no dates in it: the same tree gives the same
//! digests. It is hashed twice on its way, before compression for the config's diff_id, and behind it for the
//! manifest. Each document names the one before it by digest, so they are written from the layer upwards.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use nix::fcntl::OFlag;
use serde_json::json;

use super::digest::{Algorithm, Digest, Sum};
use super::document::{
    Descriptor, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform, REF_NAME,
};
use crate::error::{Error, Named, Result};
use crate::sys::{At, Fd, Kernel, Mkdirat, Openat, Renameat, stop, write_new_file};

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub manifest: Descriptor,
    pub layer: Descriptor,
    /// Of the archive before compression.
    pub diff_id: Digest,
}

/// Packs the tree into a new image layout in `dir`, under this name.
pub fn pack(k: &Kernel, tree: &Path, dir: &Path, name: &str, cmd: &[&str]) -> Result<Packed> {
    let blobs = dir.join("blobs/sha256");
    for path in [dir, &dir.join("blobs"), &blobs] {
        k.call(Mkdirat { dir: At::CWD, path, mode: 0o755 })?;
    }
    let (layer, diff_id) =
        k.bulk(&blobs, |k| layer(k, tree, &blobs).map(Some))?.unwrap_or_else(|| {
            // Nothing is packed where calls are only shown.
            (Descriptor::new(&format!("{OCI_LAYER}+gzip"), b""), Digest::of(b""))
        });
    let document = |media_type: &str, value: &serde_json::Value| -> Result<Descriptor> {
        let bytes = serde_json::to_vec(value)?;
        let what = Descriptor::new(media_type, &bytes);
        write_new_file(k, At::CWD, &blobs.join(what.digest.hex()), &bytes, 0o644)?;
        Ok(what)
    };
    let Platform { architecture, os, .. } = Platform::here();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let config = document(
        OCI_CONFIG,
        &json!({
            "architecture": architecture, "os": os,
            "config": {"Env": [path], "Cmd": cmd, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }),
    )?;
    let manifest = document(
        OCI_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}),
    )?;
    let mut named = serde_json::to_value(&manifest)?;
    named["annotations"] = json!({REF_NAME: name});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named]});
    let files = [("oci-layout", json!({"imageLayoutVersion": "1.0.0"})), ("index.json", index)];
    for (file, value) in files {
        write_new_file(k, At::CWD, &dir.join(file), &serde_json::to_vec(&value)?, 0o644)?;
    }
    Ok(Packed { manifest, layer, diff_id })
}

/// The archive, compressed: it gets its name when its digest is known.
fn layer(k: &Kernel, tree: &Path, blobs: &Path) -> Result<(Descriptor, Digest)> {
    let part = blobs.join("layer.part");
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let fd = k.call(Openat { dir: At::CWD, path: &part, flags, mode: 0o644 })?;
    let (digest, size, diff_id) = compressed(k, &fd, tree)?;
    drop(fd);
    k.call(Renameat { from: &part, to: &blobs.join(digest.hex()) })?;
    let media_type = format!("{OCI_LAYER}+gzip");
    Ok((Descriptor { digest, size, ..Descriptor::new(&media_type, b"") }, diff_id))
}

/// Writes it: its digest and size, and the digest of the archive in it.
fn compressed(k: &Kernel, fd: &Fd, tree: &Path) -> Result<(Digest, u64, Digest)> {
    let file = Hashed { to: Told { k, fd }, sum: Sum::new(Algorithm::Sha256), bytes: 0 };
    let gzip = GzEncoder::new(file, flate2::Compression::default());
    let hashed = Hashed { to: gzip, sum: Sum::new(Algorithm::Sha256), bytes: 0 };
    let mut archive = tar::Builder::new(hashed);
    archive.follow_symlinks(false);
    directory(&mut archive, tree, Path::new(""))?;
    let hashed = archive.into_inner()?;
    let diff_id = hashed.sum.finish();
    let file = hashed.to.finish()?;
    Ok((file.sum.finish(), file.bytes, diff_id))
}

/// All in a directory, in the order of the names. What is neither file, directory nor link is left out.
fn directory(archive: &mut tar::Builder<impl Write>, tree: &Path, inside: &Path) -> Result<()> {
    let from = tree.join(inside);
    let mut names: Vec<PathBuf> = std::fs::read_dir(&from)
        .named(&from)?
        .map(|entry| entry.map(|entry| inside.join(entry.file_name())))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    for path in names {
        stop::go_on()?;
        let place = tree.join(&path);
        let meta = place.symlink_metadata().named(&place)?;
        if !(meta.is_file() || meta.is_dir() || meta.is_symlink()) {
            continue;
        }
        let mut header = tar::Header::new_gnu();
        header.set_metadata_in_mode(&meta, tar::HeaderMode::Deterministic);
        header.set_mode(meta.mode() & 0o7777);
        if meta.is_symlink() {
            let target = std::fs::read_link(&place).named(&place)?;
            header.set_size(0);
            archive.append_link(&mut header, &path, target)?;
        } else if meta.is_dir() {
            header.set_size(0);
            archive.append_data(&mut header, path.join(""), std::io::empty())?;
            directory(archive, tree, &path)?;
        } else {
            let file = std::fs::File::open(&place).named(&place)?;
            archive.append_data(&mut header, &path, file.take(meta.len()))?;
        }
    }
    Ok(())
}

/// A file that is written to by told calls.
struct Told<'a, 'k> {
    k: &'a Kernel<'k>,
    fd: &'a Fd,
}

impl Write for Told<'_, '_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let written = self.k.call(crate::sys::Write { fd: self.fd, data });
        written.map_err(|e: Error| std::io::Error::other(e.to_string()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hashes what goes through.
struct Hashed<W> {
    to: W,
    sum: Sum,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let count = self.to.write(data)?;
        self.sum.update(&data[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
