//! **The order.** From a config to the list of steps that `create` and `start` perform.
//!
//! This function decides in which order a container is built; nothing else may. Read it top to
//! bottom: each group stands where it does for the reason beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxNamespaceType as Ns, Spec};

use super::step::{Act, Step, config, default, needed};
use super::{Options, Plan, Terminals};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::event::Asked;
use crate::facts::Facts;
use crate::lifecycle::Record;
use crate::parts::capabilities::{self, CapSet, Capability};
use crate::parts::idmap::{self, Maps, Range};
use crate::parts::namespaces::Namespaces;
use crate::parts::process::{Process, Program};
use crate::parts::rootfs::Rootfs;
use crate::parts::state::State;
use crate::parts::terminal::Terminal;
use crate::parts::{
    below, cgroups, devices, identity, limits, masks, mounts, rootfs, sysctl, user,
};
use nix::mount::MsFlags;

/// Decides everything, performs nothing.
pub fn plan(bundle: &Bundle, options: &Options, facts: &Facts) -> Result<Plan> {
    crate::lifecycle::check_id(&options.id)?;
    let c = Config::read(bundle, options, facts)?;
    let groups = cgroups::plan(c.linux, facts, &options.id)?;
    let mut steps = Vec::new();

    // The state folder is the lock on the id, and holds the journal that the next steps write to.
    steps.push(c.open_state());
    // Limits before the process, so that there is no moment without them.
    steps.extend(groups.before.clone());
    // Pid and time namespaces that exist move only children: join before there is one.
    steps.extend(c.namespaces.joined_by_runtime());
    // One clone for all new namespaces; a new user namespace then owns the others.
    steps.push(c.namespaces.clone_step(c.adds_user, groups.into));
    // The container waits: until its ids are mapped it is nobody, and until it is in its cgroup
    // (v1) a cgroup namespace would have the wrong root.
    steps.extend(groups.after.clone());
    steps.extend(c.maps.iter().flat_map(|maps| maps.steps(&c.user_asked)));
    steps.push(process("session", default("signals and terminal of its own"), Process::Session));
    steps.extend(c.namespaces.cgroup_step());
    steps.extend(c.namespaces.joined_by_container());

    // The UTS namespace is ours from here on; hooks and programs see the right name.
    steps.extend(c.names()?);
    // Below: the new root, built while the host's paths still exist, then the swap.
    steps.extend(c.root_before()?);
    steps.extend(c.mounts(facts, &groups.trees)?);
    steps.extend(c.devices()?);
    // The terminal comes from the container's own devpts, so after it and before the swap.
    steps.extend(c.terminal_open()?);
    // Settings go through the container's /proc, which the masks below make read-only.
    steps.extend(c.sysctls()?);
    steps.extend(masks::steps(list(c.linux_list(Linux::masked_paths)), list(c.readonly_paths()))?);
    steps.push(c.swap());
    // The root can be made read-only only after everything that had to be made in it.
    steps.extend(c.root_after()?);

    // Raising limits takes privileges that the next groups give up.
    steps.extend(limits::steps(&c.rlimits(), c.process().and_then(|p| p.oom_score_adj()))?);
    if c.terminal {
        let act = Act::Terminal(Terminal::Take);
        steps.push(Step::container("terminal", config("process.terminal"), act));
    }
    steps.extend(c.privileges(facts)?);
    // After the change of user: the directory must be one that *this* user may enter.
    steps.push(c.cwd()?);
    // Now it is complete but for the program. What follows is `start`.
    steps.push(c.created(&groups.dirs));
    let start = steps.len();

    let close = Process::CloseFrom(3 + options.preserve_fds);
    steps.push(process("close_fds", default("no descriptor of the runtime leaks in"), close));
    let silent = steps.len();
    steps.push(c.exec()?);

    let warnings = [&bundle.warnings[..], &groups.warnings, &c.warnings].concat();
    Ok(Plan { id: options.id.clone(), steps, start, silent, warnings })
}

/// The config with what follows from it: what the order above asks for.
struct Config<'a> {
    bundle: &'a Bundle,
    spec: &'a Spec,
    linux: Option<&'a Linux>,
    options: &'a Options,
    namespaces: Namespaces,
    /// A user namespace that the config did not ask for, since without root nothing else works.
    adds_user: bool,
    user_asked: Asked,
    maps: Option<Maps>,
    rootfs: PathBuf,
    terminal: bool,
    warnings: Vec<String>,
}

fn process(key: &'static str, asked: Asked, act: Process) -> Step {
    Step::container(key, asked, Act::Process(act))
}

fn list(list: Option<&Vec<String>>) -> &[String] {
    list.map_or(&[], Vec::as_slice)
}

impl<'a> Config<'a> {
    fn read(bundle: &'a Bundle, options: &'a Options, facts: &Facts) -> Result<Config<'a>> {
        let spec = &bundle.spec;
        let linux = spec.linux().as_ref();
        let listed = linux.and_then(|l| l.namespaces().clone()).unwrap_or_default();
        let namespaces = Namespaces::read(&listed)?;
        let adds_user = !namespaces.has(Ns::User) && !facts.is_root();
        let mut warnings = Vec::new();
        let maps = maps(linux, &namespaces, adds_user, facts, &mut warnings)?;
        let root = spec.root().as_ref();
        let Some(path) = root.map(|r| r.path()).filter(|p| !p.as_os_str().is_empty()) else {
            return Err(Error::yours("is missing")
                .at("root.path")
                .try_this("the folder that becomes `/`, relative to the bundle: \"rootfs\""));
        };
        let rootfs = bundle.path.join(path);
        let terminal = spec.process().as_ref().and_then(|p| p.terminal()).unwrap_or(false);
        let user_asked = match adds_user {
            true => needed("a runtime without root"),
            false => config("linux.uidMappings"),
        };
        Ok(Config {
            bundle,
            spec,
            linux,
            options,
            namespaces,
            adds_user,
            user_asked,
            maps,
            rootfs,
            terminal,
            warnings,
        })
    }

    fn process(&self) -> Option<&'a oci_spec::runtime::Process> {
        self.spec.process().as_ref()
    }

    fn linux_list(&self, field: fn(&Linux) -> &Option<Vec<String>>) -> Option<&'a Vec<String>> {
        self.linux.and_then(|linux| field(linux).as_ref())
    }

    fn readonly_paths(&self) -> Option<&'a Vec<String>> {
        self.linux_list(Linux::readonly_paths)
    }

    fn own_mounts(&self) -> bool {
        self.namespaces.has(Ns::Mount)
    }

    fn in_user_namespace(&self) -> bool {
        self.maps.is_some()
    }

    fn state_dir(&self) -> PathBuf {
        self.options.state_root.join(&self.options.id)
    }

    fn open_state(&self) -> Step {
        let act = State::Open { root: self.options.state_root.clone(), dir: self.state_dir() };
        Step::runtime("state", default("the id is taken, and a journal kept"), Act::State(act))
    }

    fn names(&self) -> Result<Vec<Step>> {
        let (host, domain) = (self.spec.hostname().as_deref(), self.spec.domainname().as_deref());
        identity::steps(host, domain, self.namespaces.has(Ns::Uts))
    }

    fn root_before(&self) -> Result<Vec<Step>> {
        let path = self.rootfs.clone();
        if !self.own_mounts() {
            let act = Act::Rootfs(Rootfs::Hold { path });
            return Ok(vec![Step::container("hold_root", config("root.path"), act)]);
        }
        // A shared mount cannot be pivoted below, so the build is done as slave or private, and
        // `shared` is set at the end.
        let (asked, flags) = match self.propagation()? {
            Some(flags) if !flags.contains(MsFlags::MS_SHARED) => {
                (config("linux.rootfsPropagation"), flags | MsFlags::MS_REC)
            }
            _ => {
                (default("nothing mounted inside reaches the host"), rootfs::propagation("rslave")?)
            }
        };
        let flags = flags - MsFlags::MS_UNBINDABLE;
        let flags = match flags.intersects(MsFlags::MS_SLAVE | MsFlags::MS_PRIVATE) {
            true => flags,
            false => flags | MsFlags::MS_PRIVATE,
        };
        let propagation = Act::Rootfs(Rootfs::Propagation { flags });
        let bind = Act::Rootfs(Rootfs::Bind { path });
        Ok(vec![
            Step::container("propagation", asked, propagation),
            Step::container("bind_root", needed("pivot_root, which wants a mount point"), bind),
        ])
    }

    fn propagation(&self) -> Result<Option<MsFlags>> {
        self.linux
            .and_then(|l| l.rootfs_propagation().as_deref())
            .filter(|name| !name.is_empty())
            .map(rootfs::propagation)
            .transpose()
    }

    fn mounts(&self, facts: &Facts, trees: &[(String, String)]) -> Result<Vec<Step>> {
        let asked = self.spec.mounts().as_deref().unwrap_or_default();
        if !self.own_mounts() && !asked.is_empty() {
            return Err(Error::yours("without a mount namespace these would be the host's mounts")
                .at("mounts")
                .try_this("add {\"type\":\"mount\"} to linux.namespaces"));
        }
        let maps = self.maps.as_ref();
        let gid_is_mapped = |gid| maps.is_none_or(|m| idmap::outside(&m.gids, gid).is_some());
        let world = mounts::World {
            cgroup_is_v2: facts.cgroups.is_v2(),
            cgroup_trees: trees,
            gid_is_mapped: &gid_is_mapped,
            own_cgroup_namespace: self.namespaces.has(Ns::Cgroup),
        };
        mounts::steps(asked, &self.bundle.path, &world)
    }

    fn devices(&self) -> Result<Vec<Step>> {
        let asked = self.linux.and_then(|l| l.devices().as_deref()).unwrap_or_default();
        match (self.own_mounts(), asked.is_empty()) {
            (true, _) => devices::steps(asked, self.in_user_namespace()),
            // Nodes would stay in the root filesystem after the container is gone.
            (false, true) => Ok(vec![]),
            (false, false) => Err(Error::yours("devices are made on the container's own /dev")
                .at("linux.devices")
                .try_this("add {\"type\":\"mount\"} to linux.namespaces, and a tmpfs on /dev")),
        }
    }

    fn terminal_open(&self) -> Result<Vec<Step>> {
        if !self.terminal {
            return Ok(vec![]);
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

    fn sysctls(&self) -> Result<Vec<Step>> {
        let asked = self.linux.and_then(|l| l.sysctl().clone()).unwrap_or_default();
        let sorted: BTreeMap<String, String> = asked.into_iter().collect();
        sysctl::steps(&sorted, &self.namespaces)
    }

    fn swap(&self) -> Step {
        let (key, act) = match (self.own_mounts(), self.options.no_pivot) {
            (true, false) => ("pivot_root", Rootfs::Pivot),
            (true, true) => ("move_root", Rootfs::Move),
            (false, _) => ("chroot", Rootfs::Chroot),
        };
        Step::container(key, config("root.path"), Act::Rootfs(act))
    }

    fn root_after(&self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        if self.spec.root().as_ref().and_then(|r| r.readonly()).unwrap_or(false) {
            if !self.own_mounts() {
                return Err(Error::yours(
                    "without a mount namespace this would be the host's mount",
                )
                .at("root.readonly")
                .try_this("add {\"type\":\"mount\"} to linux.namespaces"));
            }
            let act = Act::Rootfs(Rootfs::ReadOnly);
            steps.push(Step::container("readonly_root", config("root.readonly"), act));
        }
        if let Some(flags) = self.propagation()?.filter(|_| self.own_mounts())
            && flags.intersects(MsFlags::MS_SHARED | MsFlags::MS_UNBINDABLE)
        {
            let act = Act::Rootfs(Rootfs::Final { flags });
            let asked = config("linux.rootfsPropagation");
            steps.push(Step::container("root_propagation", asked, act));
        }
        Ok(steps)
    }

    fn rlimits(&self) -> Vec<oci_spec::runtime::PosixRlimit> {
        self.process().and_then(|p| p.rlimits().clone()).unwrap_or_default()
    }

    /// Bounding set, user, the other sets, no_new_privs: see `parts/capabilities.rs` for why.
    fn privileges(&self, facts: &Facts) -> Result<Vec<Step>> {
        let Some(process_config) = self.process() else { return Ok(vec![]) };
        let mut steps = Vec::new();
        let field = "process.capabilities";
        let capability = |key, act| Step::container(key, config(field), Act::Capability(act));
        let (available, had) = match self.in_user_namespace() {
            true => (facts.every_capability(), facts.every_capability()),
            false => (facts.effective_set(), facts.bounding_set()),
        };
        let sets = process_config.capabilities().as_ref();
        let sets = sets.map(|asked| capabilities::sets(asked, available).0);
        if let Some(sets) = sets {
            let drop = had - sets.bounding;
            if drop != CapSet::empty() {
                steps.push(capability("bounding_set", Capability::Bound(drop)));
            }
            if process_config.user().uid() != 0 {
                steps.push(capability("keep_capabilities", Capability::Keep));
            }
        }
        let maps = self.maps.as_ref();
        let ranges = maps.map(|m| (m.uids.as_slice(), m.gids.as_slice()));
        let deny = maps.is_some_and(|m| m.deny);
        steps.push(user::step(process_config.user(), ranges, deny)?);
        steps.extend(sets.map(|sets| capability("capabilities", Capability::Set(sets))));
        if process_config.no_new_privileges().unwrap_or(false) {
            let asked = config("process.noNewPrivileges");
            steps.push(process("no_new_privileges", asked, Process::NoNewPrivileges));
        }
        Ok(steps)
    }

    fn cwd(&self) -> Result<Step> {
        let cwd = self.process().map_or(Path::new("/"), |p| p.cwd());
        if !cwd.is_absolute() {
            let text = format!("{:?} must be absolute", cwd.display().to_string());
            return Err(Error::yours(text).at("process.cwd").try_this("\"/\""));
        }
        let cwd = below::normal(cwd).map_err(|e| e.at("process.cwd"))?;
        let subject = cwd.display().to_string();
        Ok(process("cwd", config("process.cwd"), Process::Cwd(cwd)).about(subject))
    }

    fn created(&self, cgroups: &[PathBuf]) -> Step {
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

    fn exec(&self) -> Result<Step> {
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

/// The id maps of a new user namespace: the config's, or those that this user can have.
fn maps(
    linux: Option<&Linux>,
    namespaces: &Namespaces,
    adds_user: bool,
    facts: &Facts,
    warnings: &mut Vec<String>,
) -> Result<Option<Maps>> {
    if !adds_user && !namespaces.makes(Ns::User) {
        return Ok(None);
    }
    let uids = linux.and_then(|l| l.uid_mappings().as_deref()).map(idmap::ranges);
    let gids = linux.and_then(|l| l.gid_mappings().as_deref()).map(idmap::ranges);
    let (uids, gids) = match (uids, gids) {
        (Some(uids), Some(gids)) if !uids.is_empty() && !gids.is_empty() => (uids, gids),
        _ if adds_user => own_ranges(facts, warnings),
        _ => {
            return Err(Error::yours("a new user namespace needs uidMappings and gidMappings")
                .at("linux.uidMappings")
                .try_this("learnc spec --rootless shows them"));
        }
    };
    if facts.is_root() {
        return Ok(Some(Maps { uids, gids, helpers: None, deny: false }));
    }
    let alone = |map: &[Range], own| matches!(map, [one] if one.outside == own && one.size == 1);
    if alone(&uids, facts.uid) && alone(&gids, facts.gid) {
        return Ok(Some(Maps { uids, gids, helpers: None, deny: true }));
    }
    match &facts.idmap_helpers {
        Some(helpers) => Ok(Some(Maps { uids, gids, helpers: Some(helpers.clone()), deny: false })),
        None => {
            Err(Error::yours("these ranges take newuidmap and newgidmap, which are not in PATH")
                .at("linux.uidMappings")
                .because("the kernel lets an unprivileged process map one id, its own")
                .try_this("apt-get install uidmap"))
        }
    }
}

/// Id 0 is this user; 1 and up are the user's subordinate ranges, where there are any.
fn own_ranges(facts: &Facts, warnings: &mut Vec<String>) -> (Vec<Range>, Vec<Range>) {
    let with = |own: u32, sub: &[(u32, u32)]| {
        let mut map = vec![Range { inside: 0, outside: own, size: 1 }];
        let mut next = 1;
        for (start, count) in sub {
            map.push(Range { inside: next, outside: *start, size: *count });
            next += count;
        }
        map
    };
    let complete = !facts.subuids.is_empty() && !facts.subgids.is_empty();
    if complete && facts.idmap_helpers.is_some() {
        return (with(facts.uid, &facts.subuids), with(facts.gid, &facts.subgids));
    }
    let lacking = match complete {
        true => "newuidmap and newgidmap are not in PATH (Debian's package uidmap has them)",
        false => "/etc/subuid and /etc/subgid give this user no ranges",
    };
    warnings.push(format!("Only one id is mapped, this user's as root: {lacking}."));
    (with(facts.uid, &[]), with(facts.gid, &[]))
}
