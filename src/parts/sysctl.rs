//! Kernel settings that a namespace has for itself.
//!
//! sysctl(8), proc_sys(5), namespaces(7); OCI `linux.sysctl`. Most of /proc/sys is the machine's.
//! What belongs to a namespace may be set for the container if it has that namespace; anything else
//! would change the host, and is refused. The file is opened on the container's own /proc, and
//! checked to be procfs before a byte is written (CVE-2025-52881).

use std::collections::BTreeMap;
use std::path::Path;

use nix::fcntl::OFlag;
use oci_spec::runtime::LinuxNamespaceType;

use super::namespaces::Namespaces;
use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::sys::{Fd, Kernel, Openat2, Write, look};

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Sysctl {
    /// Below /proc/sys: `net/ipv4/ip_forward`.
    pub path: String,
    pub value: String,
}

const PROC_SUPER_MAGIC: i64 = 0x9fa0;

pub fn steps(
    asked: &BTreeMap<String, String>,
    namespaces: &Namespaces,
) -> Result<Vec<Step<Sysctl>>> {
    asked
        .iter()
        .map(|(name, value)| {
            let field = format!("linux.sysctl[{name:?}]");
            // sysctl(8): dots separate, unless the first separator is a slash.
            let slashes = name.find('/').is_some_and(|s| name.find('.').is_none_or(|d| s < d));
            let path = if slashes { name.clone() } else { name.replace('.', "/") };
            check(&path, namespaces).map_err(|e| e.at(&field))?;
            let act = Sysctl { path, value: value.clone() };
            Ok(Step::container("sysctl", config(field), act).about(name))
        })
        .collect()
}

fn check(path: &str, namespaces: &Namespaces) -> Result<()> {
    use LinuxNamespaceType::{Ipc, Network, Uts};
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::yours("not the name of a kernel setting"));
    }
    let ipc = ["kernel/msg", "kernel/sem", "kernel/shm", "fs/mqueue/"];
    let owner = match path {
        p if ipc.iter().any(|prefix| p.starts_with(prefix)) => Ipc,
        p if p.starts_with("net/") => Network,
        "kernel/domainname" | "kernel/hostname" => Uts,
        _ => {
            return Err(Error::yours("this setting belongs to no namespace")
                .because("setting it would change the host")
                .try_this(format!(
                    "sysctl {} shows it; sysctl -w sets it, on the host",
                    path.replace('/', ".")
                )));
        }
    };
    match namespaces.has(owner) {
        true => Ok(()),
        false => Err(Error::yours(format!("this setting belongs to the {owner} namespace"))
            .because("the container shares that namespace with the host")
            .try_this(format!("add {{\"type\":\"{owner}\"}} to linux.namespaces"))),
    }
}

pub fn perform(k: &Kernel, what: &Sysctl, root: &Fd) -> Result<()> {
    let path = format!("proc/sys/{}", what.path);
    let resolve = nix::fcntl::ResolveFlag::RESOLVE_IN_ROOT;
    let call = Openat2 {
        dir: root.at(),
        path: Path::new(&path),
        flags: OFlag::O_WRONLY,
        mode: 0,
        resolve,
    };
    let file = k.call(call)?;
    if !k.pretends() && look::filesystem_type(&file)? != PROC_SUPER_MAGIC {
        return Err(Error::yours(format!("/{path} in the container is not the kernel's file")));
    }
    k.call(Write { fd: &file, data: what.value.as_bytes() }).map(drop)
}

pub fn by_hand(what: &Sysctl) -> Vec<String> {
    let value = crate::args::shell(&what.value);
    let file = crate::args::shell(format!("/proc/sys/{}", what.path));
    vec![format!("echo {value} > \"$ROOT\"{file}")]
}
