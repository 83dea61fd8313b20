//! Names: what the machine is called in here.
//!
//! uts_namespaces(7), sethostname(2), setdomainname(2); OCI `hostname`, `domainname`. The names
//! belong to the UTS namespace. Without one of its own the container would rename the host, so a
//! config that asks for that is refused.

use super::step::{Step, config};
use crate::error::{Error, Result};
use crate::sys::{Kernel, Setdomainname, Sethostname};

/// What one step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Identity {
    Hostname(String),
    Domainname(String),
}

/// The kernel's limit, __NEW_UTS_LEN.
const LONGEST: usize = 64;

pub fn steps(
    host: Option<&str>,
    domain: Option<&str>,
    own_uts: bool,
) -> Result<Vec<Step<Identity>>> {
    let mut steps = Vec::new();
    let names = [("hostname", host), ("domainname", domain)];
    for (field, name) in names {
        let Some(name) = name.filter(|n| !n.is_empty()) else { continue };
        if !own_uts {
            return Err(Error::yours("without a UTS namespace this would rename the host")
                .at(field)
                .try_this("add {\"type\":\"uts\"} to linux.namespaces"));
        }
        if name.len() > LONGEST {
            let text = format!("{} bytes; the kernel takes {LONGEST} at the most", name.len());
            return Err(Error::yours(text).at(field).try_this("a shorter name"));
        }
        let act = match field {
            "hostname" => Identity::Hostname(name.into()),
            _ => Identity::Domainname(name.into()),
        };
        steps.push(Step::container(field, config(field), act).about(name));
    }
    Ok(steps)
}

pub fn perform(k: &Kernel, what: &Identity) -> Result<()> {
    match what {
        Identity::Hostname(name) => k.call(Sethostname { name }),
        Identity::Domainname(name) => k.call(Setdomainname { name }),
    }
}

/// hostname(1) takes names as DNS has them; the kernel takes any.
pub fn by_hand(what: &Identity) -> Vec<String> {
    let (word, name) = match what {
        Identity::Hostname(name) => ("hostname", name),
        Identity::Domainname(name) => ("domainname", name),
    };
    let quoted = crate::args::shell(name);
    let is_label = |part: &str| {
        let hyphens = part.starts_with('-') || part.ends_with('-');
        !part.is_empty() && !hyphens && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    match name.split('.').all(is_label) {
        true => vec![format!("{word} {quoted}")],
        false => vec![format!("printf %s {quoted} > /proc/sys/kernel/{word}")],
    }
}
