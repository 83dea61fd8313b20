//! A tree of files as text, line for line, so that two trees can be compared and a difference be read.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use learnc::image::digest::Digest;
use learnc::sys::attributes::attributes;

/// Everything that can be seen of a file but where it lies: a property and its value.
pub type Portrait = BTreeMap<&'static str, String>;

/// All files below a directory and itself, as `.`.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Portrait> {
    let mut all = BTreeMap::new();
    let mut names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    visit(root, Path::new("."), &mut |path| {
        let at = root.join(path);
        let meta = at.symlink_metadata().unwrap();
        let kind = meta.mode() & 0o170_000;
        let mut seen = Portrait::new();
        seen.insert("kind", format!("{kind:o}"));
        // What a link allows means nothing.
        if !meta.is_symlink() {
            seen.insert("mode", format!("{:o}", meta.mode() & 0o7777));
        }
        seen.insert("owner", format!("{}:{}", meta.uid(), meta.gid()));
        seen.insert("modified", format!("{}.{:09}", meta.mtime(), meta.mtime_nsec()));
        if meta.is_symlink() {
            seen.insert("target", format!("{:?}", std::fs::read_link(&at).unwrap()));
        }
        if [0o020_000, 0o060_000].contains(&kind) {
            seen.insert("device", format!("{:#x}", meta.rdev()));
        }
        if meta.is_file() {
            let bytes = std::fs::read(&at).unwrap();
            seen.insert("contents", format!("{} {}", bytes.len(), Digest::of(&bytes)));
        }
        if !meta.is_dir() && meta.nlink() > 1 {
            let first = names.entry((meta.dev(), meta.ino())).or_insert_with(|| path.to_owned());
            seen.insert("same as", first.display().to_string());
        }
        for (name, value) in attributes(&at).unwrap() {
            let shown = format!("{name:?}={value:?}");
            seen.entry("attributes").or_default().push_str(&shown);
        }
        all.insert(path.to_owned(), seen);
    });
    all
}

fn visit(root: &Path, path: &Path, each: &mut dyn FnMut(&Path)) {
    each(path);
    let at = root.join(path);
    if at.symlink_metadata().unwrap().is_dir() {
        let entries = std::fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        names.iter().for_each(|name| visit(root, &path.join(name), each));
    }
}

/// What differs between two trees, without the properties that are not meant, as lines.
pub fn differences(
    ours: &Path,
    theirs: &Path,
    is_meant: impl Fn(&Path, &Portrait, &str) -> bool,
) -> Vec<String> {
    let (ours, theirs) = (tree(ours), tree(theirs));
    let mut found = vec![];
    let nothing = Portrait::new();
    let mut paths: Vec<&PathBuf> = ours.keys().chain(theirs.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let seen = |tree: &BTreeMap<PathBuf, Portrait>| tree.get(path).cloned().unwrap_or_default();
        let (mine, other) = (seen(&ours), seen(&theirs));
        if mine == nothing || other == nothing {
            let whose = if other == nothing { "only ours" } else { "only theirs" };
            if is_meant(path, if other == nothing { &mine } else { &other }, "kind") {
                found.push(format!("{}: {whose}: {mine:?}{other:?}", path.display()));
            }
            continue;
        }
        let mut properties: Vec<&str> = mine.keys().chain(other.keys()).copied().collect();
        properties.dedup();
        for property in properties {
            let (a, b) = (mine.get(property), other.get(property));
            if a != b && is_meant(path, &mine, property) {
                found.push(format!("{}: {property}: {a:?}, theirs {b:?}", path.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
