//! A root filesystem of layers: joined by overlay where that can be, else copied into one tree.
//!
//! Joined is better: nothing is copied, and what the container writes is by itself. But the mount needs a
//! mount namespace to be made in, a kernel that has overlay, and a filesystem that can hold what is
//! written. Where one of these lacks, the plan says so in a warning, and goes on with a copy.

use std::path::PathBuf;

use oci_spec::runtime::LinuxNamespaceType as Ns;

use super::Options;
use super::config::Config;
use super::step::{Act, Step, all};
use crate::facts::Facts;
use crate::image::digest::Digest;
use crate::parts::namespaces::Namespaces;
use crate::parts::overlay::{self, BASE};
use crate::parts::tree::What;
use crate::parts::{image, tree};

/// What a root filesystem is put together from.
#[derive(Debug, Clone, PartialEq)]
pub enum Layers {
    /// The recipe's tree, and a small layer above it, in which a file is another and one is gone.
    Two,
    /// An image's, unpacked in the store. The recipe is how they would be copied.
    Image {
        store: PathBuf,
        /// By which they are known in the store, the lowest first.
        chain: Vec<Digest>,
        /// Where they are, in the same order.
        dirs: Vec<PathBuf>,
    },
    /// The recipe's tree by way of an image of one layer: packed, checked, unpacked. Nothing is joined.
    Packed,
}

/// How they are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    /// Overlay keeps its notes in attributes whose names begin with `trusted.`, which takes root of the
    /// machine; root of a user namespace has it use `user.`.
    user_xattrs: bool,
}

/// The kernel joins no more than this.
const MOST: usize = 500;

/// How the layers are joined; None where there are none or it cannot be, which is warned of.
pub(super) fn join(
    options: &Options,
    namespaces: &Namespaces,
    new_user: bool,
    facts: &Facts,
    warnings: &mut Vec<String>,
) -> Option<Join> {
    let layers = options.layers.as_ref().filter(|layers| **layers != Layers::Packed)?;
    let user_xattrs = new_user || facts.nested;
    let able = facts.overlay.clone().unwrap_or_default();
    let lack = if !namespaces.has(Ns::Mount) {
        "the config asks for no mount namespace, and the mount would be the host's".to_owned()
    } else if !able.known {
        "this kernel has no overlay filesystem".to_owned()
    } else if user_xattrs && !able.in_user_namespaces {
        "before Linux 5.11 a user namespace mounts no overlay".to_owned()
    } else if let Some(fstype) = able.folder_on {
        format!("the folder for it is on {fstype}, which holds no upper directory")
    } else if matches!(layers, Layers::Image { dirs, .. } if dirs.len() > MOST) {
        format!("there are more than {MOST} layers")
    } else {
        return Some(Join { user_xattrs });
    };
    warnings.push(format!("The layers are copied into one tree, not joined: {lack}."));
    None
}

impl Config<'_> {
    /// What makes the root filesystem outside the container: a tree, or layers and the place for what
    /// will be written.
    pub(super) fn own_root(&self) -> Vec<Step> {
        let (root, owner) = (&self.rootfs, self.owner_outside());
        let recipe = self.options.recipe.as_ref();
        let tree = |at| recipe.map(|recipe| tree::steps(at, recipe, owner)).unwrap_or_default();
        if self.options.layers == Some(Layers::Packed) {
            // The tree itself needs no other owner: what is unpacked gets one.
            let tree = tree(&root.with_file_name(image::TREE)).into_iter();
            let tree = tree.filter(|step| !matches!(step.act.what, What::Give { .. }));
            let packed = all(image::steps(root, owner), Act::Image);
            return all(tree, Act::Tree).chain(packed).collect();
        }
        let (files, layers) = match (&self.options.layers, self.join) {
            (None | Some(Layers::Packed), _) | (Some(Layers::Image { .. }), None) => {
                (tree(root), vec![])
            }
            (Some(Layers::Two), None) => (tree(root), overlay::changed_copy(root, owner)),
            (Some(Layers::Two), Some(_)) => {
                (tree(&root.with_file_name(BASE)), overlay::layers_of_two(root, owner))
            }
            (Some(Layers::Image { store, chain, dirs }), Some(_)) => {
                let state = self.state_dir();
                let known = chain.iter().cloned().zip(dirs.iter().cloned());
                let used = overlay::used_step(root, store, &state, known);
                let layers = overlay::layers_of(root, dirs, owner);
                let layers = std::iter::once(used).chain(layers).collect();
                (vec![tree::place_step(root, owner)], layers)
            }
        };
        all(files, Act::Tree).chain(all(layers, Act::Overlay)).collect()
    }

    /// What joins them, in the container's own mount namespace.
    pub(super) fn join_step(&self) -> Option<Step> {
        let join = self.join?;
        let lower = match self.options.layers.as_ref()? {
            Layers::Packed => return None,
            Layers::Two => overlay::names_of_two(),
            Layers::Image { dirs, .. } => overlay::names_of(dirs.len()),
        };
        Some(overlay::join_step(&self.rootfs, lower, join.user_xattrs).map(Act::Overlay))
    }
}
