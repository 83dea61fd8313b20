//! The root filesystem in the plan: taken hold of, swapped with the old one, and closed.
//!
//! OCI `root`, `linux.rootfsPropagation`. What the calls are for is told in [`crate::parts::rootfs`] and,
//! where it is made of layers, in [`crate::parts::overlay`].

use nix::mount::MsFlags;

use super::config::Config;
use super::step::{Act, Step};
use crate::error::{Error, Result};
use crate::parts::rootfs::{self, Rootfs};
use crate::parts::step::{config, default, needed};

impl Config<'_> {
    pub(super) fn root_before(&self) -> Result<Vec<Step>> {
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
        let propagation = Step::container("propagation", asked, propagation);
        // What joins the layers is a mount already, made behind the cut: the host hears nothing of it.
        let mount = self.join_step().unwrap_or_else(|| {
            let bind = Act::Rootfs(Rootfs::Bind { path });
            Step::container("bind_root", needed("pivot_root, which wants a mount point"), bind)
        });
        Ok(vec![propagation, mount])
    }

    fn propagation(&self) -> Result<Option<MsFlags>> {
        self.linux
            .and_then(|l| l.rootfs_propagation().as_deref())
            .filter(|name| !name.is_empty())
            .map(rootfs::propagation)
            .transpose()
    }

    pub(super) fn swap(&self) -> Step {
        let (key, act) = match (self.own_mounts(), self.options.no_pivot) {
            (true, false) => ("pivot_root", Rootfs::Pivot),
            (true, true) => ("move_root", Rootfs::Move),
            (false, _) => ("chroot", Rootfs::Chroot),
        };
        Step::container(key, config("root.path"), Act::Rootfs(act))
    }

    pub(super) fn root_after(&self) -> Result<Vec<Step>> {
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
}
