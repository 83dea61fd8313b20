//! The config with what follows from it: what [the order](super::create) asks for.
//!
//! Each method answers for one field or group of fields; none decides when it is done. What a field
//! cannot mean without another (mounts without a mount namespace) is refused here, with the remedy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxNamespaceType as Ns, Spec};

use super::layers::{self, Join};
use super::step::{Act, Step};
use super::{Options, Terminals, ids};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::event::Asked;
use crate::facts::Facts;
use crate::lifecycle::Record;
use crate::parts::idmap::{self, Maps};
use crate::parts::namespaces::Namespaces;
use crate::parts::process::{Process, Program};
use crate::parts::state::State;
use crate::parts::step::{config, default};
use crate::parts::terminal::Terminal;
use crate::parts::{self, cgroups, devices, identity, limits, masks, mounts, sysctl};
use crate::sys::below;

/// Steps of one part.
pub(super) type Steps<A> = Vec<parts::step::Step<A>>;

/// The config with what follows from it.
pub(super) struct Config<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) spec: &'a Spec,
    pub(super) linux: Option<&'a Linux>,
    pub(super) options: &'a Options,
    pub(super) namespaces: Namespaces,
    /// A user namespace that the config did not ask for, since without root nothing else works.
    pub(super) adds_user: bool,
    pub(super) maps: Option<Maps>,
    /// User and group of whoever runs this.
    pub(super) runner: (u32, u32),
    pub(super) rootfs: PathBuf,
    /// How the layers of its root filesystem are joined; None where there are none, or they are copied.
    pub(super) join: Option<Join>,
    pub(super) terminal: bool,
    pub(super) warnings: Vec<String>,
}

pub(super) fn process(key: &'static str, asked: Asked, act: Process) -> Step {
    Step::container(key, asked, Act::Process(act))
}

fn list(list: Option<&Vec<String>>) -> &[String] {
    list.map_or(&[], Vec::as_slice)
}

impl<'a> Config<'a> {
    pub(super) fn read(
        bundle: &'a Bundle,
        options: &'a Options,
        facts: &Facts,
    ) -> Result<Config<'a>> {
        let spec = &bundle.spec;
        let linux = spec.linux().as_ref();
        let listed = linux.and_then(|l| l.namespaces().clone()).unwrap_or_default();
        let namespaces = Namespaces::read(&listed)?;
        let adds_user = !namespaces.has(Ns::User) && !facts.is_root();
        let mut warnings = Vec::new();
        let maps = ids::maps(linux, &namespaces, adds_user, facts, &mut warnings)?;
        let root = spec.root().as_ref();
        let Some(path) = root.map(|r| r.path()).filter(|p| !p.as_os_str().is_empty()) else {
            return Err(Error::yours("is missing")
                .at("root.path")
                .try_this("the folder that becomes `/`, relative to the bundle: \"rootfs\""));
        };
        let rootfs = bundle.path.join(path);
        let join = layers::join(options, &namespaces, maps.is_some(), facts, &mut warnings);
        let terminal = spec.process().as_ref().and_then(|p| p.terminal()).unwrap_or(false);
        Ok(Config {
            bundle,
            spec,
            linux,
            options,
            namespaces,
            adds_user,
            maps,
            runner: (facts.uid, facts.gid),
            rootfs,
            join,
            terminal,
            warnings,
        })
    }

    pub(super) fn process(&self) -> Option<&'a oci_spec::runtime::Process> {
        self.spec.process().as_ref()
    }

    fn linux_list(&self, field: fn(&Linux) -> &Option<Vec<String>>) -> Option<&'a Vec<String>> {
        self.linux.and_then(|linux| field(linux).as_ref())
    }

    pub(super) fn cgroup_wishes(&self) -> cgroups::Wishes<'a> {
        cgroups::Wishes {
            id: &self.options.id,
            only_if_asked: self.options.no_cgroup_unasked,
            lenient: self.options.limits_may_be_missing,
        }
    }

    pub(super) fn has_program(&self) -> bool {
        self.process().is_some()
    }

    pub(super) fn masks(&self) -> Result<Steps<masks::Mask>> {
        let paths = |field| list(self.linux_list(field));
        masks::steps(paths(Linux::masked_paths), paths(Linux::readonly_paths))
    }

    pub(super) fn own_mounts(&self) -> bool {
        self.namespaces.has(Ns::Mount)
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.options.state_root.join(&self.options.id)
    }

    pub(super) fn open_state(&self) -> Step {
        let act = State::Open { root: self.options.state_root.clone(), dir: self.state_dir() };
        Step::runtime("state", default("the id is taken, and a journal kept"), Act::State(act))
    }

    pub(super) fn names(&self) -> Result<Steps<identity::Identity>> {
        let (host, domain) = (self.spec.hostname().as_deref(), self.spec.domainname().as_deref());
        identity::steps(host, domain, self.namespaces.has(Ns::Uts))
    }

    pub(super) fn mounts(
        &self,
        facts: &Facts,
        trees: &[(String, String)],
    ) -> Result<Steps<mounts::Mount>> {
        let asked = self.spec.mounts().as_deref().unwrap_or_default();
        if !self.own_mounts() && !asked.is_empty() {
            return Err(Error::yours("without a mount namespace these would be the host's mounts")
                .at("mounts")
                .try_this("add {\"type\":\"mount\"} to linux.namespaces"));
        }
        let maps = self.maps.as_ref();
        let gid_is_mapped = |gid| match maps {
            Some(maps) => idmap::outside(&maps.gids, gid).is_some(),
            None => facts.has_gid(gid),
        };
        let world = mounts::World {
            cgroup_is_v2: facts.cgroups.is_v2(),
            cgroup_trees: trees,
            gid_is_mapped: &gid_is_mapped,
            own_cgroup_namespace: self.namespaces.has(Ns::Cgroup),
        };
        mounts::steps(asked, &self.bundle.path, &world)
    }

    pub(super) fn devices(&self, facts: &Facts) -> Result<Steps<devices::Device>> {
        let asked = self.linux.and_then(|l| l.devices().as_deref()).unwrap_or_default();
        match (self.own_mounts(), asked.is_empty()) {
            (true, _) => devices::steps(asked, self.in_user_namespace() || facts.nested),
            // Nodes would stay in the root filesystem after the container is gone.
            (false, true) => Ok(vec![]),
            (false, false) => Err(Error::yours("devices are made on the container's own /dev")
                .at("linux.devices")
                .try_this("add {\"type\":\"mount\"} to linux.namespaces, and a tmpfs on /dev")),
        }
    }

    pub(super) fn terminal_open(&self) -> Result<Vec<Step>> {
        match &self.options.terminal {
            Terminals::Socket(_) if !self.terminal => {
                return Err(Error::yours(
                    "there is no terminal to send, for the config asks for none",
                )
                .at("--console-socket")
                .try_this("\"terminal\": true in process, or no --console-socket"));
            }
            _ if !self.terminal => return Ok(vec![]),
            _ => {}
        }
        let socket = match &self.options.terminal {
            Terminals::Socket(path) => Some(path.clone()),
            Terminals::Relay => None,
            Terminals::None => {
                return Err(Error::yours("a terminal needs somebody at its other end")
                    .at("process.terminal")
                    .try_this("--console-socket PATH, or \"terminal\": false"));
            }
        };
        let pts = Path::new("/dev/pts");
        let inside = self.spec.mounts().iter().flatten().any(|m| m.destination() == pts);
        let size = self.process().and_then(|p| p.console_size());
        let size = size.map(|s| (s.width() as u16, s.height() as u16));
        let act = Act::Terminal(Terminal::Open { inside, size, socket });
        Ok(vec![Step::container("terminal_open", config("process.terminal"), act)])
    }

    pub(super) fn sysctls(&self) -> Result<Steps<sysctl::Sysctl>> {
        let asked = self.linux.and_then(|l| l.sysctl().clone()).unwrap_or_default();
        let sorted: BTreeMap<String, String> = asked.into_iter().collect();
        sysctl::steps(&sorted, &self.namespaces)
    }

    pub(super) fn limits(&self) -> Result<Steps<limits::Limit>> {
        let rlimits = self.process().and_then(|p| p.rlimits().as_deref()).unwrap_or_default();
        limits::steps(rlimits, self.process().and_then(|p| p.oom_score_adj()))
    }

    pub(super) fn cwd(&self) -> Result<Step> {
        let cwd = self.process().map_or(Path::new("/"), |p| p.cwd());
        if !cwd.is_absolute() {
            let text = format!("{:?} must be absolute", cwd.display().to_string());
            return Err(Error::yours(text).at("process.cwd").try_this("\"/\""));
        }
        let cwd = below::normal(cwd).map_err(|e| e.at("process.cwd"))?;
        let subject = cwd.display().to_string();
        Ok(process("cwd", config("process.cwd"), Process::Cwd(cwd)).about(subject))
    }

    pub(super) fn created(&self, cgroups: &[PathBuf]) -> Step {
        let annotations = self.spec.annotations().clone().unwrap_or_default();
        let record = Record {
            oci_version: crate::bundle::defaults::OCI_VERSION.into(),
            id: self.options.id.clone(),
            bundle: self.bundle.path.clone(),
            rootfs: self.rootfs.clone(),
            owner: self.options.owner.clone(),
            annotations: annotations.into_iter().collect(),
            cgroups: cgroups.to_vec(),
            ..Record::default()
        };
        let pid_file = self.options.pid_file.clone();
        let act = State::Created { dir: self.state_dir(), record: Box::new(record), pid_file };
        Step::runtime("created", default("the container can be found"), Act::State(act))
    }

    pub(super) fn exec(&self) -> Result<Step> {
        let Some(process_config) = self.process() else {
            return Err(Error::yours("is missing").at("process").try_this("learnc spec shows one"));
        };
        let args = process_config.args().clone().unwrap_or_default();
        if args.is_empty() {
            let text = "names no program to run";
            return Err(Error::yours(text).at("process.args").try_this("\"args\": [\"sh\"]"));
        }
        let subject = args.join(" ");
        let program = Program {
            args,
            env: process_config.env().clone().unwrap_or_default(),
            cwd: process_config.cwd().clone(),
            root: self.rootfs.clone(),
        };
        let act = Process::Exec(program);
        Ok(process("exec", config("process.args"), act).about(subject))
    }
}
