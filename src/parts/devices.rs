//! Devices: the few files without which no program feels at home.
//!
//! mknod(2), pts(4); OCI `linux.devices` and "Default Devices", "Dev symbolic links". A device node
//! is a number on a file: 1:3 is null wherever it lies. Making one takes CAP_MKNOD in the *first*
//! user namespace, so inside a new one the host's nodes are bound instead. Whether the container
//! may open what it has is another question: the device rules of its cgroup.

use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use nix::sys::stat::SFlag;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::step::{Step, config, default};
use crate::error::{Error, Result};
use crate::sys::below;
use crate::sys::{
    At, Fchmodat, Fchownat, Fd, Kernel, Mknodat, Mount, Openat, Place, Symlinkat, Umask, Unlinkat,
};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Device {
    /// Makes device nodes, or binds the host's.
    Nodes { nodes: Vec<Node>, bind: bool },
    /// The links that programs expect: path below `/dev` and where it leads.
    Links(Vec<(String, String)>),
}

/// One device file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub path: PathBuf,
    pub kind: SFlag,
    pub mode: u32,
    pub major: u32,
    pub minor: u32,
    pub uid: u32,
    pub gid: u32,
}

/// The nodes every container has: config-linux.md, "Default Devices".
const DEFAULT: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// runtime-linux.md, "Dev symbolic links"; and ptmx, which belongs to the container's own devpts.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Default devices, those of the config, links.
pub fn steps(asked: &[LinuxDevice], bind: bool) -> Result<Vec<Step<Device>>> {
    let nodes: Vec<Node> = DEFAULT
        .iter()
        .filter(|(path, ..)| !asked.iter().any(|d| d.path() == Path::new(path)))
        .map(|(path, major, minor)| Node {
            path: path.into(),
            kind: SFlag::S_IFCHR,
            mode: 0o666,
            major: *major,
            minor: *minor,
            uid: 0,
            gid: 0,
        })
        .collect();
    let act = Device::Nodes { nodes, bind };
    let mut steps = vec![Step::container("default_devices", default("every container"), act)];
    for (i, device) in asked.iter().enumerate() {
        let field = format!("linux.devices[{i}]");
        let node = read(device).map_err(|e| e.at(&field))?;
        let subject = node.path.display().to_string();
        let act = Device::Nodes { nodes: vec![node], bind };
        steps.push(Step::container("device", config(field), act).about(subject));
    }
    let links = LINKS.iter().map(|(path, to)| ((*path).into(), (*to).into())).collect();
    let act = Device::Links(links);
    steps.push(Step::container("device_links", default("every container"), act));
    Ok(steps)
}

fn read(device: &LinuxDevice) -> Result<Node> {
    let kind = match device.typ() {
        LinuxDeviceType::B => SFlag::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        LinuxDeviceType::P => SFlag::S_IFIFO,
        LinuxDeviceType::A => {
            return Err(Error::yours("type `a` is for rules, not for a file").at("type"));
        }
    };
    let number = |n: i64, field: &str| {
        u32::try_from(n).map_err(|_| Error::yours(format!("{n} is no device number")).at(field))
    };
    Ok(Node {
        path: below::normal(device.path()).map_err(|e| e.at("path"))?,
        kind,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        major: number(device.major(), "major")?,
        minor: number(device.minor(), "minor")?,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// Performs one step.
pub fn perform(k: &Kernel, what: &Device, root: &Fd) -> Result<()> {
    match what {
        Device::Nodes { nodes, bind: true } => nodes.iter().try_for_each(|n| bind(k, n, root)),
        Device::Nodes { nodes, bind: false } => {
            // The mask would take bits from the modes that the spec gives.
            k.call(Umask(0))?;
            let made = nodes
                .chunk_by(|a, b| a.path.parent() == b.path.parent())
                .try_for_each(|group| make_all(k, group, root));
            k.call(Umask(0o022))?;
            made
        }
        Device::Links(links) => {
            let dev = below::directory(k, root, Path::new("/dev"))?;
            links.iter().try_for_each(|(name, to)| link(k, name, to, &dev))
        }
    }
}

/// Nodes of one directory, which is opened once.
fn make_all(k: &Kernel, nodes: &[Node], root: &Fd) -> Result<()> {
    let parent = below::directory(k, root, below::split(&nodes[0].path)?.0)?;
    nodes.iter().try_for_each(|node| make(k, node, &parent))
}

/// What the root filesystem has at the place is replaced: its `/dev/null` may be anything.
fn make(k: &Kernel, node: &Node, parent: &Fd) -> Result<()> {
    let (dir, path) = (parent.at(), Path::new(below::split(&node.path)?.1));
    let Node { kind, mode, major, minor, .. } = *node;
    let call = || Mknodat { dir, path, kind, mode, major, minor };
    let made = k.ask(call(), &[nix::errno::Errno::EEXIST]);
    if made.as_ref().is_err_and(|e| e.errno() == Some(nix::errno::Errno::EEXIST)) {
        k.call(Unlinkat { dir, path, directory: false })?;
        k.call(call())?;
    } else {
        made?;
    }
    if (node.uid, node.gid) != (0, 0) {
        k.call(Fchownat { dir, path, uid: node.uid, gid: node.gid })?;
        k.call(Fchmodat { dir, path, mode })?;
    }
    Ok(())
}

fn bind(k: &Kernel, node: &Node, root: &Fd) -> Result<()> {
    let path = &node.path;
    let flags = nix::fcntl::OFlag::O_PATH;
    let from = k.call(Openat { dir: At::CWD, path, flags, mode: 0 })?;
    let target = below::file(k, root, path)?;
    let (source, target) = (Some(Place::Fd(&from)), Place::Fd(&target));
    k.call(Mount { source, target, fstype: None, flags: MsFlags::MS_BIND, data: None })
}

fn link(k: &Kernel, name: &str, to: &str, dev: &Fd) -> Result<()> {
    let call = Symlinkat { target: Path::new(to), dir: dev.at(), path: Path::new(name) };
    let there = nix::errno::Errno::EEXIST;
    k.ask(call, &[there]).or_else(crate::error::ignore(there))
}

pub fn by_hand(what: &Device) -> Vec<String> {
    let place = |path: &Path| format!("\"$ROOT\"{}", crate::args::shell(path));
    match what {
        Device::Nodes { nodes, bind: true } => nodes
            .iter()
            .flat_map(|n| {
                let target = place(&n.path);
                let source = crate::args::shell(&n.path);
                [format!("touch {target}"), format!("mount --bind {source} {target}")]
            })
            .collect(),
        Device::Nodes { nodes, bind: false } => nodes.iter().flat_map(made_by_hand).collect(),
        Device::Links(links) => {
            links.iter().map(|(name, to)| format!("ln -s {to} \"$ROOT\"/dev/{name}")).collect()
        }
    }
}

fn made_by_hand(node: &Node) -> Vec<String> {
    let place = format!("\"$ROOT\"{}", crate::args::shell(&node.path));
    let kind = match node.kind {
        SFlag::S_IFBLK => format!("b {} {}", node.major, node.minor),
        SFlag::S_IFIFO => "p".into(),
        _ => format!("c {} {}", node.major, node.minor),
    };
    let mut lines = vec![format!("mknod -m {:o} {place} {kind}", node.mode)];
    if (node.uid, node.gid) != (0, 0) {
        lines.push(format!("chown {}:{} {place}", node.uid, node.gid));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_the_config_takes_the_place_of_a_default_one() {
        let asked: Vec<LinuxDevice> = serde_json::from_value(serde_json::json!([
            {"type": "c", "path": "/dev/null", "major": 1, "minor": 3, "fileMode": 438}
        ]))
        .unwrap();
        let steps = steps(&asked, false).unwrap();
        let Device::Nodes { nodes, .. } = &steps[0].act else { panic!() };
        assert!(nodes.iter().all(|n| n.path != Path::new("/dev/null")));
        assert_eq!(steps[1].subject.as_deref(), Some("/dev/null"));
    }
}
