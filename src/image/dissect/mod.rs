//! An image taken apart: its documents, and layer by layer what each adds, overrides and deletes.
//!
//! image-spec, layer.md. A layer is a change to the layers below it. So what a layer *does* is seen only
//! beside them: a file of the same name as one below hides that one, a whiteout hides one without
//! putting another in its place. What is hidden is still carried: it was downloaded, it lies in the store,
//! and no process will ever read it. That is what is counted as wasted.

pub mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::image::document::{Config, Descriptor, Index, Manifest, Platform, Wishes};

/// A whole image, as it is shown and as `--json` writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dissection {
    /// The name or digest that was asked for.
    pub name: String,
    pub platform: Platform,
    /// The index above the manifest, where the name points at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<Part>,
    /// Others that the index has an image for.
    pub also_for: Vec<Platform>,
    pub manifest: Part,
    pub config: Part,
    pub wishes: Wishes,
    /// The lowest first.
    pub layers: Vec<Layer>,
    /// In the end, seen through all layers.
    pub files: u64,
    pub bytes: u64,
    /// Carried by lower layers and hidden by higher ones, in bytes of contents.
    pub wasted: u64,
}

/// A document: what it is called by, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// A layer, and what it does to those below.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// From 1, the lowest.
    pub number: usize,
    pub media_type: String,
    /// Of the bytes as they are stored, compressed or not.
    pub digest: String,
    pub size: u64,
    /// Of the archive itself.
    pub diff_id: String,
    pub archive_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    pub adds: Count,
    pub overrides: Count,
    pub deletes: Count,
    pub entries: Vec<Entry>,
}

/// Files and other things, and their bytes. Of what is overridden and deleted the bytes are those below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Count {
    pub files: u64,
    pub bytes: u64,
}

/// What stands in a layer's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub path: String,
    pub kind: Kind,
    /// Permission bits, in octal: `0755`.
    pub mode: String,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    /// Where a link leads, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    pub does: Does,
    /// The layer whose file it hides, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hides: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File,
    Directory,
    Link,
    /// A second name of a file in this layer or below.
    HardLink,
    /// A device node, a fifo.
    Special,
    /// Takes away what its name names.
    Whiteout,
    /// Takes away all that lower layers have in its directory.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    Adds,
    /// A directory that is there already: its owner, mode and date may change.
    Touches,
    Overrides,
    Deletes,
    /// A whiteout of what no lower layer has.
    Nothing,
}

/// One entry as it was read: [`Entry`] without what follows from the others. The path is relative to the
/// root; that of a whiteout is what it takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub path: PathBuf,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub link: Option<PathBuf>,
}

/// A layer as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLayer {
    pub archive_size: u64,
    pub entries: Vec<Read>,
}

/// Puts together what was read. `index` is what the name points at, if that is an index.
pub fn dissect(
    name: &str,
    index: Option<(&Descriptor, &Index)>,
    manifest: (&Descriptor, &Manifest),
    config: &Config,
    layers: &[ReadLayer],
) -> Dissection {
    let mut tree = Tree::default();
    let mut histories = config.history.iter().filter(|history| !history.empty_layer);
    let stored = manifest.1.layers.iter().zip(&config.rootfs.diff_ids).zip(layers);
    let layers: Vec<Layer> = stored
        .enumerate()
        .map(|(i, ((descriptor, diff_id), read))| {
            let created_by = histories.next().and_then(|history| history.created_by.clone());
            let mut layer = Layer {
                number: i + 1,
                media_type: descriptor.media_type.clone(),
                digest: descriptor.digest.to_string(),
                size: descriptor.size,
                diff_id: diff_id.to_string(),
                archive_size: read.archive_size,
                created_by,
                adds: Count::default(),
                overrides: Count::default(),
                deletes: Count::default(),
                entries: Vec::with_capacity(read.entries.len()),
            };
            read.entries.iter().for_each(|entry| tree.take(entry, &mut layer));
            layer
        })
        .collect();
    let wasted = layers.iter().map(|layer| layer.overrides.bytes + layer.deletes.bytes).sum();
    let others = index.map_or(vec![], |(_, index)| others(index, &manifest.0.digest));
    Dissection {
        name: name.to_owned(),
        platform: config.platform.clone(),
        index: index.map(|(descriptor, _)| part(descriptor)),
        also_for: others,
        manifest: part(manifest.0),
        config: part(&manifest.1.config),
        wishes: config.config.clone().unwrap_or_default(),
        layers,
        files: tree.0.values().filter(|there| !there.directory).count() as u64,
        bytes: tree.0.values().map(|there| there.size).sum(),
        wasted,
    }
}

fn part(descriptor: &Descriptor) -> Part {
    Part {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
    }
}

fn others(index: &Index, but: &crate::image::digest::Digest) -> Vec<Platform> {
    let others = index.manifests.iter().filter(|entry| entry.digest != *but);
    others.filter_map(|entry| entry.platform.clone()).collect()
}

/// What the layers so far have made, by path.
#[derive(Default)]
struct Tree(BTreeMap<PathBuf, There>);

#[derive(Clone, Copy)]
struct There {
    layer: usize,
    size: u64,
    directory: bool,
}

impl Tree {
    /// Takes one more entry in, and writes down what it did.
    fn take(&mut self, read: &Read, layer: &mut Layer) {
        let (does, hides) = match read.kind {
            Kind::Whiteout | Kind::Opaque => {
                let (gone, from) = self.lose(&read.path, read.kind == Kind::Opaque, layer.number);
                layer.deletes.add(gone);
                (if from.is_some() { Does::Deletes } else { Does::Nothing }, from)
            }
            kind => {
                let done = self.put(read, kind == Kind::Directory, layer);
                let (files, bytes) = (u64::from(kind != Kind::Directory), read.size);
                if done.0 == Does::Adds {
                    layer.adds.add(Count { files, bytes });
                }
                done
            }
        };
        layer.entries.push(Entry {
            path: read.path.display().to_string(),
            kind: read.kind,
            mode: format!("{:04o}", read.mode & 0o7777),
            uid: read.uid,
            gid: read.gid,
            size: read.size,
            link: read.link.as_ref().map(|link| link.display().to_string()),
            does,
            hides,
        });
    }

    fn put(&mut self, read: &Read, directory: bool, layer: &mut Layer) -> (Does, Option<usize>) {
        let there = There { layer: layer.number, size: read.size, directory };
        match self.0.insert(read.path.clone(), there) {
            None => (Does::Adds, None),
            Some(old) if old.directory && directory => (Does::Touches, None),
            // Twice in one layer: the later one counts, and nothing below is hidden.
            Some(old) if old.layer == layer.number => (Does::Adds, None),
            Some(old) => {
                let mut hidden = Count { files: u64::from(!old.directory), bytes: old.size };
                if old.directory {
                    hidden.add(self.lose(&read.path, true, layer.number).0);
                }
                layer.overrides.add(hidden);
                (Does::Overrides, Some(old.layer))
            }
        }
    }

    /// Takes away what layers below this one have at a path, or only what they have in it.
    fn lose(&mut self, path: &Path, only_inside: bool, layer: usize) -> (Count, Option<usize>) {
        let (mut gone, mut from) = (Count::default(), None);
        let inside = self.0.range(path.to_owned()..).take_while(|(at, _)| at.starts_with(path));
        let lower = inside
            .filter(|(at, there)| there.layer < layer && !(only_inside && at.as_path() == path));
        let lost: Vec<(PathBuf, There)> = lower.map(|(at, there)| (at.clone(), *there)).collect();
        for (at, there) in lost {
            gone.add(Count { files: u64::from(!there.directory), bytes: there.size });
            from = from.max(Some(there.layer));
            self.0.remove(&at);
        }
        (gone, from)
    }
}

impl Layer {
    /// Its entries that do this.
    pub fn that(&self, does: Does) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.does == does).collect()
    }
}

impl Count {
    fn add(&mut self, other: Count) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> Read {
        let (mode, uid, gid) = (0o644, 0, 0);
        Read { path: path.into(), kind: Kind::File, mode, uid, gid, size, link: None }
    }

    fn of(kind: Kind, path: &str) -> Read {
        Read { kind, ..file(path, 0) }
    }

    fn done(layers: &[Vec<Read>]) -> (Vec<Layer>, Tree) {
        let mut tree = Tree::default();
        let empty = Count::default();
        let layers = layers.iter().enumerate().map(|(i, entries)| {
            let mut layer = Layer {
                number: i + 1,
                media_type: String::new(),
                digest: String::new(),
                size: 0,
                diff_id: String::new(),
                archive_size: 0,
                created_by: None,
                adds: empty,
                overrides: empty,
                deletes: empty,
                entries: vec![],
            };
            entries.iter().for_each(|entry| tree.take(entry, &mut layer));
            layer
        });
        (layers.collect(), tree)
    }

    #[test]
    fn what_a_layer_hides_is_counted_with_the_bytes_below() {
        let below = vec![of(Kind::Directory, "etc"), file("etc/a", 10), file("etc/b", 20)];
        let above = vec![of(Kind::Directory, "etc"), file("etc/a", 1), of(Kind::Whiteout, "etc/b")];
        let (layers, tree) = done(&[below, above]);
        assert_eq!(layers[0].adds, Count { files: 2, bytes: 30 });
        assert_eq!(layers[1].adds, Count::default());
        assert_eq!(layers[1].overrides, Count { files: 1, bytes: 10 });
        assert_eq!(layers[1].deletes, Count { files: 1, bytes: 20 });
        let does: Vec<Does> = layers[1].entries.iter().map(|entry| entry.does).collect();
        assert_eq!(does, [Does::Touches, Does::Overrides, Does::Deletes]);
        assert_eq!(layers[1].entries[2].hides, Some(1));
        assert_eq!(tree.0.values().map(|there| there.size).sum::<u64>(), 1);
    }

    #[test]
    fn an_opaque_directory_empties_what_is_below_and_not_what_came_with_it() {
        let below = vec![of(Kind::Directory, "d"), file("d/x", 5), file("d/y", 6)];
        let above = vec![of(Kind::Directory, "d"), file("d/new", 7), of(Kind::Opaque, "d")];
        let (layers, tree) = done(&[below, above]);
        assert_eq!(layers[1].deletes, Count { files: 2, bytes: 11 });
        let left: Vec<&Path> = tree.0.keys().map(PathBuf::as_path).collect();
        assert_eq!(left, [Path::new("d"), Path::new("d/new")]);
    }

    #[test]
    fn a_file_in_a_directorys_place_hides_all_that_was_in_it() {
        let below = vec![of(Kind::Directory, "d"), file("d/x", 5), file("dx", 1)];
        let (layers, tree) = done(&[below, vec![file("d", 3)]]);
        assert_eq!(layers[1].overrides, Count { files: 1, bytes: 5 });
        assert_eq!(tree.0.len(), 2, "dx is no part of d");
    }

    #[test]
    fn a_whiteout_of_nothing_does_nothing() {
        let (layers, _) = done(&[vec![file("a", 1)], vec![of(Kind::Whiteout, "b")]]);
        assert_eq!(layers[1].entries[0].does, Does::Nothing);
        assert_eq!(layers[1].deletes, Count::default());
    }
}
