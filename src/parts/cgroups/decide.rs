//! Which steps a container's cgroup takes: the config's resources, at the place that the machine has for them.
//! Pure.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxDeviceCgroup, LinuxNamespaceType};

use super::super::step::{Step, config, default, needed};
use super::Cgroup;
use crate::cgroup::place::{Branch, Place, Tree, place};
use crate::cgroup::{Setting, devices, v1, v2};
use crate::error::{Error, Result};
use crate::event::Asked;
use crate::facts::Facts;

/// The steps and what they leave behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cgroups {
    /// Before the clone.
    pub before: Vec<Step<Cgroup>>,
    /// After it: v1's joining.
    pub after: Vec<Step<Cgroup>>,
    /// The container is born in its cgroup.
    pub into: bool,
    pub warnings: Vec<String>,
    /// Directories of the container's cgroup; of each tree on v1.
    pub dirs: Vec<PathBuf>,
    /// v1: the trees in which it has one, as a name and what mount(2) calls it.
    pub trees: Vec<(String, String)>,
}

/// What decides on a cgroup beside the config.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    pub id: &'a str,
    /// None unless the config asks for one.
    pub only_if_asked: bool,
    /// A limit that cannot be had here is left out.
    pub lenient: bool,
}

/// Whether the config wants one: by its path, by limits, or by a cgroup namespace.
fn is_asked(linux: Option<&Linux>) -> bool {
    let Some(linux) = linux else { return false };
    let namespaces = linux.namespaces().iter().flatten();
    let own = namespaces.map(|ns| ns.typ()).any(|kind| kind == LinuxNamespaceType::Cgroup);
    own || linux.cgroups_path().is_some() || linux.resources().is_some()
}

/// Plans the cgroup of a container.
pub fn plan(linux: Option<&Linux>, facts: &Facts, wishes: Wishes) -> Result<Cgroups> {
    if wishes.only_if_asked && !is_asked(linux) {
        return Ok(Cgroups::default());
    }
    let resources = linux.and_then(|l| l.resources().clone()).unwrap_or_default();
    let mut resources = resources;
    let asked_rules = resources.devices().clone().filter(|rules| !rules.is_empty());
    let may_rule = facts.is_root() && !facts.nested;
    let ruleless = asked_rules.is_some() && !may_rule;
    let rules = asked_rules.filter(|_| may_rule);
    let rules = rules.map(|rules| [rules, devices::default_rules()].concat());
    resources.set_devices(rules.clone());
    let is_v2 = facts.cgroups.is_v2();
    let settings = if is_v2 { v2::settings(&resources)? } else { v1::settings(&resources)? };
    let mut needed: Vec<&str> = settings.iter().map(|s| s.controller).collect();
    needed.dedup();
    let path = linux.and_then(|l| l.cgroups_path().clone());
    let asked = match &path {
        Some(_) => config("linux.cgroupsPath"),
        None => default("a cgroup of its own, to count, limit and end it by"),
    };
    let mut plan = match place(&facts.cgroups, path.as_deref(), wishes.id, &needed)? {
        Place::None(why) => without(&settings, why)?,
        Place::V1(trees) => plan_v1(trees, settings, asked),
        Place::V2(branch) => {
            let (settings, warnings) = to_be_had(settings, &branch, wishes.lenient)?;
            let plan = plan_v2(branch, settings, rules, asked)?;
            Cgroups { warnings, ..plan }
        }
    };
    if ruleless {
        plan.warnings.push(RULELESS.into());
    }
    Ok(plan)
}

const RULELESS: &str = "linux.resources.devices is left out: only root of the machine itself may \
                        rule over devices. The container has those that are bound into it.";

/// No cgroup: fatal only for limits that somebody asked for. Device rules alone do not count:
/// without root the kernel's own permissions on the nodes are what there is.
fn without(settings: &[Setting], why: String) -> Result<Cgroups> {
    let limit = settings.iter().find(|s| s.controller != "devices");
    if let Some(setting) = limit {
        return Err(Error::yours("this limit needs a cgroup that learnc may write to")
            .at(setting.field)
            .because(why)
            .try_this("--delegate, with learnc run or stage, where systemd can give you one; or run it as root"));
    }
    let text = format!("No cgroup of its own: {why}.");
    Ok(Cgroups { warnings: vec![text], ..Cgroups::default() })
}

fn plan_v1(trees: Vec<Tree>, settings: Vec<Setting>, asked: Asked) -> Cgroups {
    let mut plan = Cgroups::default();
    let make = trees.iter().flat_map(|t| t.make.clone()).collect();
    let act = Cgroup::Make { make, enable: vec![], hold: None };
    plan.before.push(Step::runtime("cgroup", asked.clone(), act));
    let dir_of = |controller: &str| {
        let tree = trees.iter().find(|t| t.controllers.iter().any(|c| c == controller));
        tree.map(|t| t.dir.clone())
    };
    plan.before.extend(limit_steps(&settings, &dir_of));
    let homeless = settings.iter().filter(|s| dir_of(s.controller).is_none());
    plan.warnings = homeless.map(|s| missing(s.controller)).collect();
    plan.warnings.dedup();
    let tasks = trees.iter().map(|t| t.dir.join("tasks")).collect();
    let join = Cgroup::Join { tasks };
    plan.after.push(Step::container("cgroup_join", asked, join));
    plan.trees = trees.iter().map(|t| (t.name.clone(), t.controllers.join(","))).collect();
    plan.dirs = trees.into_iter().map(|t| t.dir).collect();
    plan
}

/// The settings whose controllers reach here. What is missing is an error, or with `lenient` said.
fn to_be_had(
    settings: Vec<Setting>,
    branch: &Branch,
    lenient: bool,
) -> Result<(Vec<Setting>, Vec<String>)> {
    let is_missing = |setting: &Setting| branch.missing.iter().any(|m| m == setting.controller);
    let (missing, had): (Vec<_>, Vec<_>) = settings.into_iter().partition(is_missing);
    match missing.first() {
        Some(setting) if !lenient => {
            let text = format!("the controller {} is not to be had", setting.controller);
            Err(Error::yours(text)
                .at(setting.field)
                .because("cgroup.controllers of the cgroups above does not list it")
                .try_this("remove the limit, or have the controller delegated"))
        }
        _ => {
            let why = "the cgroups above do not hand its controller down";
            let left_out = missing.iter().map(|s| format!("{} is left out: {why}.", s.field));
            Ok((had, left_out.collect()))
        }
    }
}

fn plan_v2(
    branch: Branch,
    settings: Vec<Setting>,
    rules: Option<Vec<LinuxDeviceCgroup>>,
    asked: Asked,
) -> Result<Cgroups> {
    let mut plan = Cgroups { into: true, dirs: vec![branch.dir.clone()], ..Cgroups::default() };
    if let Some((from, to)) = branch.move_out {
        let handed = branch.enable.first().map_or("", |(_, words)| words).replace('+', "-");
        let act = Cgroup::MoveOut { from, to, handed };
        let why = needed("controllers, which pass no cgroup with processes");
        plan.before.push(Step::runtime("cgroup_leaf", why, act));
    }
    let hold = Some(branch.dir.clone());
    let act = Cgroup::Make { make: branch.make, enable: branch.enable, hold };
    plan.before.push(Step::runtime("cgroup", asked, act));
    plan.before.extend(limit_steps(&settings, &|_| Some(branch.dir.clone())));
    if let Some(rules) = rules {
        let (dir, rules) = (branch.dir, devices::read(&rules)?);
        let act = Cgroup::DeviceRules { dir, rules };
        let asked = config("linux.resources.devices");
        plan.before.push(Step::runtime("device_rules", asked, act));
    }
    Ok(plan)
}

/// One step for each field of the config, with all the files that it takes.
fn limit_steps(settings: &[Setting], dir: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<Step<Cgroup>> {
    settings
        .chunk_by(|a, b| a.field == b.field)
        .filter_map(|group| {
            let dir = dir(group[0].controller)?;
            let writes = group.iter().map(|s| (dir.join(&s.file), s.value.clone())).collect();
            let act = Cgroup::Limit { writes };
            let about = match group {
                [one] => format!("{} {}", one.file, one.value),
                many => format!("{} rules", many.len()),
            };
            let key = match group[0].controller {
                "devices" => "device_list",
                _ => "cgroup_limit",
            };
            Some(Step::runtime(key, config(group[0].field), act).about(about))
        })
        .collect()
}

fn missing(controller: &str) -> String {
    format!("The cgroup controller {controller} is not mounted here; its limits are left out.")
}
