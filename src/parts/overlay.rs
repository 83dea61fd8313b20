//! Layers: a root filesystem joined from directories that stay as they are, and one that is written to.
//!
//! The kernel's `filesystems/overlayfs`, mount(2), mknod(2). A mount of type `overlay` shows directories on
//! top of each other as one tree. Whatever a program changes lands in the uppermost, `upper`: a file
//! that is written to is copied there first (*copy-up*), and one that is deleted leaves a *whiteout* there,
//! a character device with the numbers 0, 0, which hides what lies below. The lower layers are only
//! read, so a hundred containers can share them.
//!
//! ```text
//!   root     what the container sees
//!    │
//!   upper    what it has written; `work` beside it is the kernel's own, for moving files in at once
//!   change   a layer
//!   base     a layer
//! ```
//!
//! All of it lies in the folder of the run. The mount is made by the container's side, in its own mount
//! namespace, so the host never has it; it goes with the last process in there.
//!
//! mount(2) takes one page of options. So the process goes into the run's folder first, and names the layers
//! as they are called from there; those that lie elsewhere get a link, `l/3`. That also keeps commas and colons
//! of other people's paths, which would part options and layers, out of them.

mod by_hand;
mod steps;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sys::stat::SFlag;

use super::rootfs;
use crate::error::{Error, Result, ignore};
use crate::image::digest::Digest;
use crate::image::store::Store;
use crate::lifecycle::journal::{Journal, Undo};
use crate::sys::{
    At, Chdir, Fd, Kernel, Mkdirat, Mknodat, Mount, Openat, Symlinkat, Unlinkat, copy, look,
    write_new_file,
};

pub use by_hand::by_hand;
pub(super) use by_hand::folder_by_hand;
pub use steps::*;

/// What one step does, in the folder of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay {
    pub folder: PathBuf,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A layer with these files, whole, and whiteouts of those that are gone; or, where nothing is joined,
    /// the same changes made to a copy.
    Change { dir: String, texts: Vec<(PathBuf, &'static str)>, gone: Vec<PathBuf>, copy: bool },
    /// Notes in the store that its layers are in use, so that nobody takes them away.
    Use { store: PathBuf, state: PathBuf, layers: Vec<(Digest, PathBuf)> },
    /// Short names for layers that lie elsewhere, the lowest first.
    Links(Vec<PathBuf>),
    /// The directories that overlay writes to, and the one that it is mounted on if that is not there.
    Writable(Vec<&'static str>),
    /// Gives them to another user and group.
    Give { names: Vec<&'static str>, uid: u32, gid: u32 },
    /// Joins the layers, the highest first.
    Join { root: String, lower: Vec<String>, user_xattrs: bool },
}

/// The layer that is made of the recipe, and the one above it.
pub const BASE: &str = "base";
const CHANGE: &str = "change";
const UPPER: &str = "upper";
const WORK: &str = "work";
const LINKS: &str = "l";

/// Where the joined tree is, or a copy in its place.
const ROOT: &str = "rootfs";

/// The directory with what was written, in the folder of a run.
pub fn upper_of(folder: &Path) -> PathBuf {
    folder.join(UPPER)
}

/// Performs one step. `root` is the descriptor of the joined tree, for the steps that follow.
pub fn perform(
    k: &Kernel,
    overlay: &Overlay,
    journal: &mut Journal,
    root: &mut Option<Fd>,
) -> Result<()> {
    let folder = &overlay.folder;
    match &overlay.what {
        What::Use { store, state, layers } => note_use(k, store, state, layers, journal),
        What::Change { dir, texts, gone, copy: false } => layer(k, &folder.join(dir), texts, gone),
        What::Change { dir, texts, gone, copy: true } => edit(k, &folder.join(dir), texts, gone),
        What::Links(dirs) => {
            let at = folder.join(LINKS);
            k.call(Mkdirat { dir: At::CWD, path: &at, mode: 0o755 })?;
            let link = |(n, target): (usize, &PathBuf)| {
                k.call(Symlinkat { target, dir: At::CWD, path: &at.join(n.to_string()) })
            };
            dirs.iter().enumerate().try_for_each(link)
        }
        What::Writable(names) => names.iter().try_for_each(|name| {
            k.call(Mkdirat { dir: At::CWD, path: &folder.join(name), mode: 0o755 })
        }),
        What::Give { names, uid, gid } => k.bulk(folder, |k| {
            names.iter().try_for_each(|name| copy::give_tree(k, &folder.join(name), *uid, *gid))
        }),
        What::Join { root: name, lower, user_xattrs } => {
            join(k, overlay, name, &options(lower, *user_xattrs))?;
            *root = Some(rootfs::hold(k, &folder.join(name))?);
            Ok(())
        }
    }
}

/// Under the store's lock, which whoever takes layers away holds alone: they are there still, and stay.
fn note_use(
    k: &Kernel,
    store: &Path,
    state: &Path,
    layers: &[(Digest, PathBuf)],
    journal: &mut Journal,
) -> Result<()> {
    let Some(store) = Store::look(store)? else {
        return Err(Error::yours(format!("there is no store of images in {}", store.display())));
    };
    journal.will(Undo::RemoveFile(store.user_file(state)))?;
    let _hold = store.hold(k).map_err(|e| store.or_another(e))?;
    if let Some((gone, dir)) = layers.iter().find(|(_, dir)| !look::is_dir(dir)) {
        if let Err(e) = dir.metadata()
            && e.kind() != ErrorKind::NotFound
        {
            return Err(store.or_another(e.into()).at(dir.display().to_string()));
        }
        return Err(Error::yours(format!("layer {} of the image is gone", gone.short()))
            .because("somebody has taken it away from the store meanwhile")
            .try_this("the same again, which unpacks it anew"));
    }
    let chain: Vec<Digest> = layers.iter().map(|(id, _)| id.clone()).collect();
    store.use_layers(k, state, &chain).map_err(|e| store.or_another(e))
}

/// A directory with what it has of its own. To others it must look like the files that it hides: a
/// directory that is in several layers has the mode of the highest.
fn layer(k: &Kernel, dir: &Path, texts: &[(PathBuf, &str)], gone: &[PathBuf]) -> Result<()> {
    k.call(Mkdirat { dir: At::CWD, path: dir, mode: 0o755 })?;
    let at = open(k, dir)?;
    for parent in parents(texts, gone) {
        k.call(Mkdirat { dir: at.at(), path: parent, mode: 0o755 })?;
    }
    for (path, text) in texts {
        write_new_file(k, at.at(), path, text.as_bytes(), 0o644)?;
    }
    // Of device nodes this one alone takes no privilege: since Linux 5.8 everybody may make it.
    gone.iter().try_for_each(|path| {
        let kind = SFlag::S_IFCHR;
        k.call(Mknodat { dir: at.at(), path, kind, mode: 0, major: 0, minor: 0 })
    })
}

/// The directories that are needed, each once. All of them lie directly in the root.
fn parents<'a>(texts: &'a [(PathBuf, &str)], gone: &'a [PathBuf]) -> Vec<&'a Path> {
    let paths = texts.iter().map(|(path, _)| path.as_path()).chain(gone.iter().map(|p| &**p));
    let mut parents: Vec<&Path> = paths.filter_map(Path::parent).collect();
    parents.sort();
    parents.dedup();
    parents
}

/// The same changes in a tree that is there. What a tree from elsewhere lacks need not be taken away, and the
/// changes stay in it: its `etc` may be a link.
fn edit(k: &Kernel, dir: &Path, texts: &[(PathBuf, &str)], gone: &[PathBuf]) -> Result<()> {
    let root = open(k, dir)?;
    for path in texts.iter().map(|(path, _)| path).chain(gone) {
        let (parent, name) = crate::sys::below::split(path)?;
        let parent = crate::sys::below::directory(k, &root, parent)?;
        let path = Path::new(name);
        let call = Unlinkat { dir: parent.at(), path, directory: false };
        k.ask(call, &[Errno::ENOENT]).or_else(ignore(Errno::ENOENT))?;
    }
    texts.iter().try_for_each(|(path, text)| {
        let (parent, name) = crate::sys::below::split(path)?;
        let parent = crate::sys::below::directory(k, &root, parent)?;
        write_new_file(k, parent.at(), Path::new(name), text.as_bytes(), 0o644)
    })
}

fn open(k: &Kernel, path: &Path) -> Result<Fd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    k.call(Openat { dir: At::CWD, path, flags, mode: 0 })
}

fn options(lower: &[String], user_xattrs: bool) -> String {
    let own = if user_xattrs { ",userxattr" } else { "" };
    format!("lowerdir={},upperdir={UPPER},workdir={WORK}{own}", lower.join(":"))
}

// ANCHOR: join
fn join(k: &Kernel, overlay: &Overlay, root: &str, options: &str) -> Result<()> {
    k.call(Chdir { path: &overlay.folder })?;
    let (source, fstype) = (Some("overlay".into()), Some("overlay"));
    let (target, flags, data) = (root.into(), MsFlags::empty(), Some(options));
    k.call(Mount { source, target, fstype, flags, data }).map_err(why)
}
// ANCHOR_END: join

/// EINVAL stands for a dozen reasons, and the kernel tells only its log which.
fn why(error: Error) -> Error {
    match error.errno() {
        Some(Errno::EINVAL) => error
            .because(
                "the kernel has written into its log what it does not like of these directories",
            )
            .try_this("dmesg | grep overlayfs"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_the_options_of_as_many_layers_as_the_kernel_joins() {
        assert!(options(&names_of(500), true).len() < 4096);
        assert_eq!(names_of(3), ["l/2", "l/1", "l/0"]);
    }

    #[test]
    fn what_is_higher_stands_first() {
        let options = options(&names_of_two(), false);
        assert_eq!(options, "lowerdir=change:base,upperdir=upper,workdir=work");
    }
}
