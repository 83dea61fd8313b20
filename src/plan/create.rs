//! **The order.** From a config to the list of steps that `create` and `start` perform.
//!
//! This function decides in which order a container is built; nothing else may. Read it top to
//! bottom: each group stands where it does for the reason beside it.

use super::config::{Config, process};
use super::step::{Act, Step, all};
use super::{Options, Plan};
use crate::bundle::Bundle;
use crate::error::Result;
use crate::facts::Facts;
use crate::parts::cgroups;
use crate::parts::process::Process;
use crate::parts::step::{config, default};
use crate::parts::terminal::Terminal;

/// Decides everything, performs nothing.
pub fn plan(bundle: &Bundle, options: &Options, facts: &Facts) -> Result<Plan> {
    crate::lifecycle::check_id(&options.id)?;
    let c = Config::read(bundle, options, facts)?;
    let groups = cgroups::plan(c.linux, facts, c.cgroup_wishes())?;
    let mut steps = Vec::new();

    // The state folder is the lock on the id, and holds the journal that the next steps write to.
    steps.push(c.open_state());
    // A root filesystem of the run's own, or the layers of one, where no bundle brings it.
    steps.extend(c.own_root());
    if options.recipe.is_some() && !c.has_program() {
        return Ok(Plan::without_a_process(options, steps, bundle.warnings.clone()));
    }
    // Limits before the process, so that there is no moment without them.
    steps.extend(all(groups.before, Act::Cgroup));
    // Pid and time namespaces that exist move only children: join before there is one.
    steps.extend(all(c.namespaces.joined_by_runtime(), Act::Namespace));
    // One clone for all new namespaces; a new user namespace then owns the others.
    steps.push(c.namespaces.clone_step(c.adds_user, groups.into).map(Act::Namespace));
    // The container waits: until its ids are mapped it is nobody, and until it is in its cgroup
    // (v1) a cgroup namespace would have the wrong root.
    steps.extend(all(groups.after, Act::Cgroup));
    steps.extend(all(c.id_maps(), Act::IdMap));
    steps.push(process("session", default("signals and terminal of its own"), Process::Session));
    steps.extend(all(c.namespaces.cgroup_step(), Act::Namespace));
    steps.extend(all(c.namespaces.joined_by_container(), Act::Namespace));

    // The UTS namespace is ours from here on; hooks and programs see the right name.
    steps.extend(all(c.names()?, Act::Identity));
    // Below: the new root, built while the host's paths still exist, then the swap.
    steps.extend(c.root_before()?);
    steps.extend(all(c.mounts(facts, &groups.trees)?, Act::Mount));
    steps.extend(all(c.devices(facts)?, Act::Device));
    // The terminal comes from the container's own devpts, so after it and before the swap.
    steps.extend(c.terminal_open()?);
    // Settings go through the container's /proc, which the masks below make read-only.
    steps.extend(all(c.sysctls()?, Act::Sysctl));
    steps.extend(all(c.masks()?, Act::Mask));
    steps.push(c.swap());
    // The root can be made read-only only after everything that had to be made in it.
    steps.extend(c.root_after()?);

    // Raising limits takes privileges that the next groups give up.
    steps.extend(all(c.limits()?, Act::Limit));
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
    Ok(Plan::new(options, steps, (start, silent), warnings))
}
