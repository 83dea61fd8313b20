//! The root filesystem's files: the directory tree that becomes `/`.
//!
//! mkdirat(2), openat(2), sendfile(2), symlinkat(2), unlinkat(2). For the kernel a root filesystem is
//! nothing special: a directory. What makes it usable is that whatever a program names is in it: its
//! loader, the loader's libraries, the files of the C library. No kernel is in it: the container's
//! programs call the host's.
//!
//! The tree is made anew for a run, in a folder of the run's own, and noted in the journal before it
//! is made. A bundle's root filesystem (`learnc run ID`) is the bundle's and never touched here.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::overlay;
use super::step::{Step, config, default, needed};
use crate::error::{Error, Result, ignore};
use crate::image::document::{Descriptor, Platform};
use crate::image::layer::{How, unpack_image};
use crate::image::store::Store;
use crate::lifecycle::journal::{Journal, Undo};
use crate::rootfs::recipe::CopyOf;
use crate::rootfs::{Recipe, archive, fetch};
use crate::sys::idmap::Maps;
use crate::sys::{
    self, At, Fd, Kernel, Mkdirat, Openat, Symlinkat, copy, look, mapped, write_new_file,
};

/// What one step does, below `root`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    pub root: PathBuf,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Makes the folder; the folder above it goes with the container. `shared`: root of the container's
    /// user namespace, somebody else out here, must get to it.
    Place {
        shared: bool,
    },
    Directories(Vec<PathBuf>),
    Copies(Vec<CopyOf>),
    Names(Vec<(PathBuf, PathBuf)>),
    Texts(Vec<(PathBuf, &'static str)>),
    CopyAll(PathBuf),
    Unpack(PathBuf),
    Download {
        url: String,
        sha256: Option<String>,
    },
    Debootstrap {
        program: PathBuf,
    },
    /// All layers of an image of the store.
    Image {
        store: PathBuf,
        manifest: Descriptor,
        owners: Option<Box<Maps>>,
    },
    /// Gives all of it to another user and group.
    Give {
        uid: u32,
        gid: u32,
    },
}

/// The steps that follow a recipe. `owner` is who root of the container's user namespace is outside, where
/// that is somebody else than who makes the tree.
pub fn steps(root: &Path, recipe: &Recipe, owner: Option<(u32, u32)>) -> Vec<Step<Tree>> {
    let asked = || config("root.path");
    let step = |key, asked, what| Step::runtime(key, asked, Tree { root: root.to_owned(), what });
    let mut steps = vec![place_step(root, owner)];
    match recipe {
        Recipe::Tree(tree) => {
            let programs = || needed("a container, which runs programs of its own root");
            steps.push(step(
                "root_directories",
                asked(),
                What::Directories(tree.directories.clone()),
            ));
            steps.push(step("root_programs", programs(), What::Copies(tree.programs.clone())));
            if !tree.libraries.is_empty() {
                let asked = needed("the programs, which name them");
                steps.push(step("root_libraries", asked, What::Copies(tree.libraries.clone())));
            }
            if !tree.names.is_empty() {
                steps.push(step("root_names", programs(), What::Names(tree.names.clone())));
            }
            let texts = What::Texts(tree.texts.clone());
            steps.push(step("root_texts", default("names for the ids"), texts));
        }
        Recipe::Copy(from) => {
            steps.push(step("root_copy", asked(), What::CopyAll(from.clone())).about(shown(from)));
        }
        Recipe::Unpack(file) => {
            steps.push(step("root_unpack", asked(), What::Unpack(file.clone())).about(shown(file)));
        }
        Recipe::Download { url, sha256 } => {
            let what = What::Download { url: url.clone(), sha256: sha256.clone() };
            steps.push(step("root_download", asked(), what).about(url.clone()));
            let file = fetch::file_beside(root);
            steps.push(step("root_unpack", asked(), What::Unpack(file)).about(url.clone()));
        }
        Recipe::Debootstrap { program } => {
            let what = What::Debootstrap { program: program.clone() };
            steps.push(step("root_debootstrap", asked(), what));
        }
        Recipe::Image { store, manifest, owners } => {
            let digest = manifest.digest.short();
            let (store, manifest, owners) =
                (store.clone(), manifest.clone(), owners.clone().map(Box::new));
            let what = What::Image { store, manifest, owners };
            steps.push(step("root_image", asked(), what).about(digest));
        }
    }
    if let Some((uid, gid)) = owner {
        let asked = config("linux.uidMappings");
        steps.push(step("root_owner", asked, What::Give { uid, gid }).about(uid.to_string()));
    }
    steps
}

/// The folder alone, for what is put there by others.
pub fn place_step(root: &Path, owner: Option<(u32, u32)>) -> Step<Tree> {
    let what = What::Place { shared: owner.is_some() };
    Step::runtime("root_place", config("root.path"), Tree { root: root.to_owned(), what })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Performs one step.
pub fn perform(k: &Kernel, tree: &Tree, journal: &mut Journal) -> Result<()> {
    let root = &tree.root;
    match &tree.what {
        What::Place { shared } => place(k, root, *shared, journal),
        What::Directories(list) => {
            let root = open(k, root)?;
            let make = |path: &PathBuf| k.call(Mkdirat { dir: root.at(), path, mode: 0o755 });
            list.iter().try_for_each(make)
        }
        What::Copies(list) => {
            let root = open(k, root)?;
            list.iter().try_for_each(|copied| copy_one(k, &root, copied))
        }
        What::Names(list) => {
            let root = open(k, root)?;
            let link = |(path, target): &(PathBuf, PathBuf)| {
                k.call(Symlinkat { target, dir: root.at(), path })
            };
            list.iter().try_for_each(link)
        }
        What::Texts(list) => {
            let root = open(k, root)?;
            list.iter().try_for_each(|(path, text)| {
                write_new_file(k, root.at(), path, text.as_bytes(), 0o644)
            })
        }
        What::CopyAll(from) => archive::copy(k, from, root),
        What::Unpack(file) => archive::unpack(k, file, root),
        What::Download { url, sha256 } => fetch::fetch(k, url, sha256.as_deref(), root),
        What::Debootstrap { program } => debootstrap(k, program, root),
        What::Image { store, manifest, owners } => match owners {
            Some(maps) => mapped::as_root(k, maps, |k| unpack(k, store, manifest, root)),
            None => unpack(k, store, manifest, root),
        },
        What::Give { uid, gid } => k.bulk(root, |k| copy::give_tree(k, root, *uid, *gid)),
    }
}

/// The folders down to the root. The run's own is its alone, and in the journal before it is made. Other
/// users have no business in it: what came out of an archive may have set-user-id bits.
fn place(k: &Kernel, root: &Path, shared: bool, journal: &mut Journal) -> Result<()> {
    let Some(own) = root.parent() else {
        return Err(Error::yours(format!("{}: no folder to put it in", root.display())));
    };
    for dir in own.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        if !dir.is_dir() {
            let call = Mkdirat { dir: At::CWD, path: dir, mode: 0o755 };
            k.ask(call, &[Errno::EEXIST]).or_else(ignore(Errno::EEXIST))?;
        }
    }
    if look::exists(own) && !k.pretends() {
        return Err(Error::yours(format!("{} is there already", own.display()))
            .because("a run of the same id uses it, or a killed one has left it")
            .try_this("another id; learnc clean, for what a killed run has left"));
    }
    journal.will(Undo::RemoveTree(own.to_owned()))?;
    let mode = if shared { 0o711 } else { 0o700 };
    k.call(Mkdirat { dir: At::CWD, path: own, mode })?;
    k.call(Mkdirat { dir: At::CWD, path: root, mode: 0o755 })
}

fn open(k: &Kernel, root: &Path) -> Result<Fd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    k.call(Openat { dir: At::CWD, path: root, flags, mode: 0 })
}

fn copy_one(k: &Kernel, root: &Fd, copied: &CopyOf) -> Result<()> {
    let from =
        k.call(Openat { dir: At::CWD, path: &copied.from, flags: OFlag::O_RDONLY, mode: 0 })?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let to = k.call(Openat { dir: root.at(), path: &copied.to, flags, mode: 0o755 })?;
    copy::copy(k, &from, &to, copied.size).map(drop)
}

fn unpack(k: &Kernel, store: &Path, manifest: &Descriptor, root: &Path) -> Result<()> {
    let Some(store) = Store::look(store)? else {
        return Err(Error::yours(format!("there is no store of images in {}", store.display())));
    };
    let image = store.image(k, manifest, &Platform::here())?;
    unpack_image(k, &store, &image, root, &How::applied())?.tell(k);
    Ok(())
}

/// The real tool does it; it needs root, the network, and minutes.
fn debootstrap(k: &Kernel, program: &Path, root: &Path) -> Result<()> {
    let args = ["--variant=minbase".to_owned(), "stable".to_owned(), shown(root)];
    let env = std::env::vars()
        .filter_map(|(name, value)| std::ffi::CString::new(format!("{name}={value}")).ok());
    let pid = sys::start(k, program, &args, &env.collect::<Vec<_>>())?;
    match if k.pretends() { 0 } else { sys::stop::reap(k, pid)? } {
        0 => Ok(()),
        status => sys::stop::go_on().and(Err(Error::yours(format!(
            "{} ended with status {status}",
            program.display()
        ))
        .because("it has said why above; it takes root, and a Debian mirror it can reach")
        .try_this("--from busybox or --from host, which take neither"))),
    }
}

/// The commands that do the same.
pub fn by_hand(tree: &Tree) -> Vec<String> {
    let root = &overlay::folder_by_hand(&tree.root);
    let download = format!("{root}.download");
    let inside = |path: &Path| format!("{root}/{}", crate::args::shell(path));
    let word = |path: &Path| crate::args::shell(path);
    match &tree.what {
        What::Place { .. } => vec![format!("mkdir -p {root}")],
        What::Directories(list) => {
            list.iter().map(|path| format!("mkdir {}", inside(path))).collect()
        }
        What::Copies(list) => list
            .iter()
            .map(|copied| format!("install -m 755 {} {}", word(&copied.from), inside(&copied.to)))
            .collect(),
        What::Names(list) => list
            .iter()
            .map(|(path, target)| format!("ln -s {} {}", word(target), inside(path)))
            .collect(),
        What::Texts(list) => list
            .iter()
            .map(|(path, text)| {
                let lines: Vec<_> = text.lines().map(|line| format!("'{line}'")).collect();
                format!("printf '%s\\n' {} > {}", lines.join(" "), inside(path))
            })
            .collect(),
        What::CopyAll(from) => vec![format!("cp -a {}/. {root}", word(from))],
        What::Unpack(file) if *file == fetch::file_beside(&tree.root) => {
            vec![format!("tar -xf {download} -C {root}")]
        }
        What::Unpack(file) => vec![format!("tar -xf {} -C {root}", word(file))],
        What::Download { url, sha256 } => {
            let sum = sha256.iter();
            let check = sum.map(|sum| format!("echo {sum} {download} | sha256sum --check"));
            let fetch = format!("curl -fL {} -o {download}", word(Path::new(url)));
            std::iter::once(fetch).chain(check).collect()
        }
        What::Give { uid, gid } => vec![format!("chown -hR {uid}:{gid} {root}")],
        // skopeo and umoci can read the store.
        What::Image { .. } => vec![],
        What::Debootstrap { program } => {
            vec![format!("{} --variant=minbase stable {root}", word(program))]
        }
    }
}
