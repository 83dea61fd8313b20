//! The pure half: which steps make the layers of a root filesystem, and join them.

use std::path::{Path, PathBuf};

use super::super::step::{Step, config, needed};
use super::{BASE, CHANGE, LINKS, Overlay, ROOT, UPPER, WORK, What};
use crate::image::digest::Digest;

/// The second layer: a file is there whole or not at all, so another line means another file.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nlearner:x:1000:1000:learner:/root:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";

fn step(root: &Path, key: &'static str, what: What) -> Step<Overlay> {
    let folder = root.parent().unwrap_or(root).to_owned();
    let asked = match what {
        What::Change { .. } | What::Links(_) => config("root.path"),
        What::Give { .. } => config("linux.uidMappings"),
        _ => needed("the container, which writes to none of the layers"),
    };
    Step::runtime(key, asked, Overlay { folder, what })
}

fn change(root: &Path, dir: &str, copy: bool) -> Step<Overlay> {
    let texts = vec![(PathBuf::from("etc/passwd"), PASSWD)];
    let gone = vec![PathBuf::from("etc/hosts")];
    let key = if copy { "layer_copied" } else { "layer" };
    step(root, key, What::Change { dir: dir.to_owned(), texts, gone, copy }).about("etc/passwd")
}

fn name_of(root: &Path) -> String {
    root.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The second layer's changes, made to a copy.
pub fn changed_copy(root: &Path, owner: Option<(u32, u32)>) -> Vec<Step<Overlay>> {
    let changed = change(root, &name_of(root), true);
    std::iter::once(changed).chain(give(root, vec![ROOT], owner)).collect()
}

/// The second layer above the recipe's tree, and what is written to.
pub fn layers_of_two(root: &Path, owner: Option<(u32, u32)>) -> Vec<Step<Overlay>> {
    let mut steps = vec![change(root, CHANGE, false)];
    steps.extend(writable(root, true, &[CHANGE], owner));
    steps
}

/// Says whose layers of the store are used.
pub fn used_step(
    root: &Path,
    store: &Path,
    state: &Path,
    layers: impl Iterator<Item = (Digest, PathBuf)>,
) -> Step<Overlay> {
    let (store, state, layers) = (store.to_owned(), state.to_owned(), layers.collect());
    step(root, "layers_used", What::Use { store, state, layers })
}

/// Layers that lie elsewhere, the lowest first, and what is written to.
pub fn layers_of(root: &Path, dirs: &[PathBuf], owner: Option<(u32, u32)>) -> Vec<Step<Overlay>> {
    let count = dirs.len().to_string();
    let mut steps = vec![step(root, "layer_links", What::Links(dirs.to_vec())).about(count)];
    steps.extend(writable(root, false, &[], owner));
    steps
}

fn writable(
    root: &Path,
    with_root: bool,
    others: &[&'static str],
    owner: Option<(u32, u32)>,
) -> Vec<Step<Overlay>> {
    let mut dirs = vec![UPPER, WORK];
    let names = others.iter().copied().chain(dirs.clone()).collect();
    if with_root {
        dirs.push(ROOT);
    }
    let made = step(root, "upper", What::Writable(dirs));
    std::iter::once(made).chain(give(root, names, owner)).collect()
}

fn give(root: &Path, names: Vec<&'static str>, owner: Option<(u32, u32)>) -> Option<Step<Overlay>> {
    let (uid, gid) = owner?;
    Some(step(root, "root_owner", What::Give { names, uid, gid }).about(uid.to_string()))
}

/// The names under which they are joined, the highest first.
pub fn names_of_two() -> Vec<String> {
    [CHANGE, BASE].map(str::to_owned).into()
}

pub fn names_of(count: usize) -> Vec<String> {
    (0..count).rev().map(|n| format!("{LINKS}/{n}")).collect()
}

/// The mount itself.
pub fn join_step(root: &Path, lower: Vec<String>, user_xattrs: bool) -> Step<Overlay> {
    let folder = root.parent().unwrap_or(root).to_owned();
    let what = What::Join { root: name_of(root), lower, user_xattrs };
    Step::container("overlay", config("root.path"), Overlay { folder, what })
}
