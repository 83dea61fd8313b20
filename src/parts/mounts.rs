//! Mounts: what is found below the new root besides its own files.
//!
//! mount(2), mount(8) for the options' names; OCI `mounts`. They are made in the order in which the
//! config lists them, before the roots are swapped, so that sources are still the host's paths.
//! Each target is reached below the root by descriptor (see [`super::below`]) and mounted on through
//! `/proc/self/fd/N`, so a link that an image planted cannot lead a mount out of the root.
//!
//! A bind mount takes no other flags in its first call: the kernel ignores them. They come with a
//! second one, MS_REMOUNT|MS_BIND, which must repeat what the source's mount has already.
//!
//! The type `cgroup` means "the container's view of its cgroups" and is spelled differently on v1
//! (a tmpfs with one mount per hierarchy) and v2 (one cgroup2 mount).

use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use oci_spec::runtime as oci;

use super::rootfs;
use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::sys::below;
use crate::sys::{At, Fd, Kernel, Mkdirat, Mount as MountCall, Openat, Place, Symlinkat, look};

/// One entry of `mounts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount {
    /// Where, inside the container; absolute and without `..`.
    pub destination: PathBuf,
    pub what: What,
    /// The options that mount(2) takes as bits.
    pub flags: MsFlags,
    /// Propagation, which is a call of its own.
    pub propagation: Vec<MsFlags>,
    /// The options that are the filesystem's own: `size=64k,mode=755`.
    pub data: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A filesystem of this type.
    Filesystem { fstype: String, source: String },
    /// A tree, or a file, of the host; absolute.
    Bind { source: PathBuf },
    /// cgroup v1: each hierarchy as a name and what mount(2) calls it.
    CgroupV1 { hierarchies: Vec<(String, String)> },
}

/// Reads `mounts`, checked.
pub fn steps(list: &[oci::Mount], bundle: &Path, world: &World) -> Result<Vec<Step<Mount>>> {
    list.iter()
        .enumerate()
        .map(|(i, mount)| {
            let field = format!("mounts[{i}]");
            let read = read(mount, bundle, world).map_err(|e| e.at(&field))?;
            let subject = read.destination.display().to_string();
            Ok(Step::container("mount", config(field), read).about(subject))
        })
        .collect()
}

/// What else decides how a mount is made.
pub struct World<'a> {
    pub cgroup_is_v2: bool,
    /// v1: the trees in which the container has a cgroup, as a name and what mount(2) calls it.
    pub cgroup_trees: &'a [(String, String)],
    /// Group ids that exist inside; None where all do.
    pub gid_is_mapped: &'a dyn Fn(u32) -> bool,
    pub own_cgroup_namespace: bool,
}

fn read(mount: &oci::Mount, bundle: &Path, world: &World) -> Result<Mount> {
    let destination = below::normal(mount.destination()).map_err(|e| e.at("destination"))?;
    let options = options(mount.options().as_deref().unwrap_or_default())?;
    let fstype = mount.typ().clone().unwrap_or_default();
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(unsupported("uidMappings: idmapped mounts are"));
    }
    let is_bind = fstype == "bind" || options.flags.contains(MsFlags::MS_BIND);
    let source = mount.source().clone();
    let what = if is_bind {
        let source =
            source.ok_or_else(|| Error::yours("a bind mount needs a source").at("source"))?;
        What::Bind { source: bundle.join(source) }
    } else if fstype == "cgroup" && !world.own_cgroup_namespace {
        return Err(Error::yours("a mount of type cgroup needs a cgroup namespace of its own")
            .try_this("add {\"type\":\"cgroup\"} to linux.namespaces"));
    } else if fstype == "cgroup" {
        cgroup(world)?
    } else if fstype.is_empty() {
        return Err(Error::yours("neither a type nor the option bind").at("type"));
    } else {
        let source = source.map_or_else(|| fstype.clone(), |s| s.display().to_string());
        What::Filesystem { fstype, source }
    };
    let data = options.data(|gid| (world.gid_is_mapped)(gid));
    let Options { flags, propagation, .. } = options;
    Ok(Mount { destination, what, flags, propagation, data })
}

/// Only the trees in which the container has a cgroup of its own: of the others it would see the
/// host's.
fn cgroup(world: &World) -> Result<What> {
    if world.cgroup_is_v2 {
        return Ok(What::Filesystem { fstype: "cgroup2".into(), source: "cgroup".into() });
    }
    Ok(What::CgroupV1 { hierarchies: world.cgroup_trees.to_vec() })
}

fn unsupported(what: &str) -> Error {
    Error::yours(format!("{what} not supported by this version"))
        .try_this("learnc features lists what is")
}

/// Options, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub flags: MsFlags,
    pub propagation: Vec<MsFlags>,
    data: Vec<String>,
}

impl Options {
    /// The filesystem's own options. devpts' `gid=5` (tty) is left out where group 5 does not
    /// exist inside, since the kernel would refuse it.
    fn data(&self, gid_is_mapped: impl Fn(u32) -> bool) -> String {
        let keep = |option: &&String| match option.strip_prefix("gid=").map(str::parse) {
            Some(Ok(gid)) => gid_is_mapped(gid),
            _ => true,
        };
        self.data.iter().filter(keep).cloned().collect::<Vec<_>>().join(",")
    }
}

/// Sorts mount(8)'s words into bits, propagation and the filesystem's own.
pub fn options(words: &[String]) -> Result<Options> {
    let mut options =
        Options { flags: MsFlags::empty(), propagation: Vec::new(), data: Vec::new() };
    for word in words {
        if let Some((_, set, clear)) = WORDS.iter().find(|(name, ..)| name == word) {
            options.flags.remove(*clear);
            options.flags.insert(*set);
        } else if let Some(flags) =
            word.strip_prefix("r").and(rootfs::propagation(word).ok()).or(plain_propagation(word))
        {
            options.propagation.push(flags);
        } else if UNSUPPORTED.contains(&word.as_str()) {
            return Err(unsupported(&format!("options: {word:?} is")));
        } else {
            options.data.push(word.clone());
        }
    }
    Ok(options)
}

fn plain_propagation(word: &str) -> Option<MsFlags> {
    rootfs::propagation(word).ok()
}

/// Words that mean something this version cannot do: an error rather than silence.
const UNSUPPORTED: &[&str] = &[
    "idmap",
    "ridmap",
    "tmpcopyup",
    "rro",
    "rrw",
    "rnosuid",
    "rsuid",
    "rnodev",
    "rdev",
    "rnoexec",
    "rexec",
    "rnoatime",
    "ratime",
    "rnodiratime",
    "rdiratime",
    "rrelatime",
    "rnorelatime",
    "rstrictatime",
    "rnostrictatime",
    "rnosymfollow",
    "rsymfollow",
];

const NONE: MsFlags = MsFlags::empty();
const ATIME: MsFlags = MsFlags::MS_NOATIME.union(MsFlags::MS_STRICTATIME);

/// Word, bits it sets, bits it clears. mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
const WORDS: &[(&str, MsFlags, MsFlags)] = &[
    ("defaults", NONE, NONE),
    ("bind", MsFlags::MS_BIND, NONE),
    ("rbind", MsFlags::MS_BIND.union(MsFlags::MS_REC), NONE),
    ("ro", MsFlags::MS_RDONLY, NONE),
    ("rw", NONE, MsFlags::MS_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID, NONE),
    ("suid", NONE, MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV, NONE),
    ("dev", NONE, MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC, NONE),
    ("exec", NONE, MsFlags::MS_NOEXEC),
    ("sync", MsFlags::MS_SYNCHRONOUS, NONE),
    ("async", NONE, MsFlags::MS_SYNCHRONOUS),
    ("dirsync", MsFlags::MS_DIRSYNC, NONE),
    ("mand", MsFlags::MS_MANDLOCK, NONE),
    ("nomand", NONE, MsFlags::MS_MANDLOCK),
    ("silent", MsFlags::MS_SILENT, NONE),
    ("loud", NONE, MsFlags::MS_SILENT),
    ("noatime", MsFlags::MS_NOATIME, MsFlags::MS_RELATIME),
    ("atime", NONE, MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME, NONE),
    ("diratime", NONE, MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME, ATIME),
    ("norelatime", NONE, MsFlags::MS_RELATIME),
    ("strictatime", MsFlags::MS_STRICTATIME, MsFlags::MS_RELATIME),
    ("nostrictatime", NONE, MsFlags::MS_STRICTATIME),
    ("iversion", MsFlags::MS_I_VERSION, NONE),
    ("noiversion", NONE, MsFlags::MS_I_VERSION),
    ("lazytime", MsFlags::MS_LAZYTIME, NONE),
    ("nolazytime", NONE, MsFlags::MS_LAZYTIME),
    ("nosymfollow", NOSYMFOLLOW, NONE),
    ("symfollow", NONE, NOSYMFOLLOW),
    ("remount", MsFlags::MS_REMOUNT, NONE),
];

/// MS_NOSYMFOLLOW, linux/mount.h; since Linux 5.10, and not in nix.
const NOSYMFOLLOW: MsFlags = MsFlags::from_bits_retain(256);

/// Performs one step.
pub fn perform(k: &Kernel, mount: &Mount, root: &Fd) -> Result<()> {
    match &mount.what {
        What::Filesystem { fstype, source } => {
            let target = below::directory(k, root, &mount.destination)?;
            filesystem(k, mount, &target, fstype, source)?;
        }
        What::Bind { source } => bind(k, mount, source, root)?,
        What::CgroupV1 { hierarchies } => cgroup_v1(k, mount, hierarchies, root)?,
    }
    for flags in &mount.propagation {
        let target = below::open(k, root, &mount.destination, &[])?;
        change(k, &target, *flags)?;
    }
    Ok(())
}

fn filesystem(k: &Kernel, mount: &Mount, target: &Fd, fstype: &str, source: &str) -> Result<()> {
    k.call(MountCall {
        source: Some(source.into()),
        target: Place::Fd(target),
        fstype: Some(fstype),
        flags: mount.flags,
        data: Some(mount.data.as_str()).filter(|d| !d.is_empty()),
    })
}

fn bind(k: &Kernel, mount: &Mount, source: &Path, root: &Fd) -> Result<()> {
    let from = k
        .call(Openat { dir: At::CWD, path: source, flags: nix::fcntl::OFlag::O_PATH, mode: 0 })
        .map_err(|e| {
            e.at(format!("source {}", source.display()))
                .try_this("a path of the host that is there; a relative one starts at the bundle")
        })?;
    let target = match k.pretends() || look::is_open_dir(&from)? {
        true => below::directory(k, root, &mount.destination)?,
        false => below::file(k, root, &mount.destination)?,
    };
    let first = MsFlags::MS_BIND | (mount.flags & MsFlags::MS_REC);
    let (fstype, data) = (None, None);
    let place = Place::Fd(&target);
    k.call(MountCall {
        source: Some(Place::Fd(&from)),
        target: place,
        fstype,
        flags: first,
        data,
    })?;
    let rest = mount.flags - MsFlags::MS_BIND - MsFlags::MS_REC;
    if rest.is_empty() {
        return Ok(());
    }
    // The target's descriptor is of what was there before: reach the new mount.
    let bound = below::open(k, root, &mount.destination, &[])?;
    let kept = if k.pretends() { MsFlags::empty() } else { rootfs::kept_flags(&bound)? };
    change(k, &bound, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | kept | rest)
}

/// A tmpfs with a directory and a mount for each hierarchy, and links for names with a comma, as
/// systemd lays them out on the host.
fn cgroup_v1(k: &Kernel, mount: &Mount, hierarchies: &[(String, String)], root: &Fd) -> Result<()> {
    let target = below::directory(k, root, &mount.destination)?;
    let tmpfs = Mount { data: "mode=755".into(), ..mount.clone() };
    let writable = Mount { flags: tmpfs.flags - MsFlags::MS_RDONLY, ..tmpfs };
    filesystem(k, &writable, &target, "tmpfs", "tmpfs")?;
    let tree = below::open(k, root, &mount.destination, &[])?;
    for (name, data) in hierarchies {
        let (dir, path) = (tree.at(), Path::new(name));
        k.call(Mkdirat { dir, path, mode: 0o755 })?;
        let target = below::open(k, root, &mount.destination.join(name), &[])?;
        let one = Mount { data: data.clone(), ..mount.clone() };
        filesystem(k, &one, &target, "cgroup", "cgroup")?;
        for alias in name.split(',').filter(|_| name.contains(',')) {
            k.call(Symlinkat { target: path, dir, path: Path::new(alias) })?;
        }
    }
    if mount.flags.contains(MsFlags::MS_RDONLY) {
        return change(k, &tree, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | mount.flags);
    }
    Ok(())
}

/// Changes the flags of what is mounted at an open place.
pub fn change(k: &Kernel, target: &Fd, flags: MsFlags) -> Result<()> {
    let target = Place::Fd(target);
    k.call(MountCall { source: None, target, fstype: None, flags, data: None })
}

/// Flags and the filesystem's own options as mount(8)'s words.
fn words(flags: MsFlags, data: &str) -> String {
    let skip = MsFlags::MS_BIND | MsFlags::MS_REC;
    let words = WORDS.iter().filter(|(_, set, _)| !set.is_empty() && !skip.intersects(*set));
    let mut words: Vec<&str> =
        words.filter(|(_, set, _)| flags.contains(*set)).map(|(word, ..)| *word).collect();
    words.extend(Some(data).filter(|d| !d.is_empty()));
    words.join(",")
}

pub fn by_hand(mount: &Mount) -> Vec<String> {
    use crate::args::shell;
    let target = format!("\"$ROOT\"{}", shell(&mount.destination));
    let with = |words: String| match words.is_empty() {
        true => String::new(),
        false => format!("-o {} ", shell(&words)),
    };
    let mut lines = match &mount.what {
        What::Filesystem { fstype, source } => vec![
            format!("mkdir -p {target}"),
            format!(
                "mount -t {} {}{} {target}",
                shell(fstype),
                with(words(mount.flags, &mount.data)),
                shell(source)
            ),
        ],
        What::Bind { source } => {
            let r = if mount.flags.contains(MsFlags::MS_REC) { "r" } else { "" };
            let make = if source.is_dir() { "mkdir -p" } else { "touch" };
            let mut lines = vec![
                format!("{make} {target}"),
                format!("mount --{r}bind {} {target}", shell(source)),
            ];
            let words = words(mount.flags, "");
            if !words.is_empty() {
                lines.push(format!("mount -o remount,bind,{words} {target}"));
            }
            lines
        }
        What::CgroupV1 { hierarchies } => cgroup_v1_by_hand(mount, hierarchies, &target),
    };
    lines.extend(mount.propagation.iter().map(|flags| rootfs::spread_by_hand(*flags, &target)));
    lines
}

fn cgroup_v1_by_hand(mount: &Mount, hierarchies: &[(String, String)], target: &str) -> Vec<String> {
    let tmpfs = words(mount.flags - MsFlags::MS_RDONLY, "mode=755");
    let mut lines =
        vec![format!("mkdir -p {target}"), format!("mount -t tmpfs -o {tmpfs} tmpfs {target}")];
    for (name, data) in hierarchies {
        lines.push(format!("mkdir {target}/{name}"));
        let options = words(mount.flags, data);
        lines.push(format!("mount -t cgroup -o {options} cgroup {target}/{name}"));
        let aliases = name.split(',').filter(|_| name.contains(','));
        lines.extend(aliases.map(|alias| format!("ln -s {name} {target}/{alias}")));
    }
    if mount.flags.contains(MsFlags::MS_RDONLY) {
        lines.push(format!("mount -o remount,bind,{} {target}", words(mount.flags, "")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|w| w.to_string()).collect()
    }

    #[test]
    fn options_are_sorted_into_bits_propagation_and_the_filesystems_own() {
        let options = options(&words(&["nosuid", "rslave", "size=64k", "ro", "rw"])).unwrap();
        assert_eq!(options.flags, MsFlags::MS_NOSUID);
        assert_eq!(options.propagation, [MsFlags::MS_SLAVE | MsFlags::MS_REC]);
        assert_eq!(options.data(|_| true), "size=64k");
    }

    #[test]
    fn a_group_that_is_not_there_is_left_out() {
        let options = options(&words(&["gid=5", "mode=0620"])).unwrap();
        assert_eq!(options.data(|gid| gid == 0), "mode=0620");
        assert_eq!(options.data(|_| true), "gid=5,mode=0620");
    }

    #[test]
    fn what_this_version_cannot_do_is_refused() {
        assert!(options(&words(&["idmap"])).is_err());
    }

    proptest! {
        #[test]
        fn any_words_are_sorted_without_a_panic(list in prop::collection::vec(".{0,12}", 0..6)) {
            let _ = options(&list);
        }
    }
}
