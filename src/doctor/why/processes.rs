//! Why a process could not be made, or become who it was to be: namespaces, ids, limits.

use super::Case;
use crate::args::Arg;
use crate::doctor::{Finding, users};
use crate::facts::Machine;
use crate::facts::machine::{Attempt, Tried};

impl Case<'_> {
    /// newuidmap and newgidmap say no by their exit status.
    pub(super) fn helper(&self) -> Option<Finding> {
        if !matches!(self.step, "uid_map" | "gid_map") {
            return None;
        }
        let finding = users::id_ranges(self.facts, self.machine);
        Some(match finding.case {
            "good" => Finding { case: "other_ids", ..finding },
            _ => finding,
        })
    }

    pub(super) fn namespaces(&self, name: &str) -> Option<Finding> {
        let asked = |kind: &str| self.has_flag(flag_of(kind));
        let none_left = self.machine.most.iter().find(|(kind, most)| asked(kind) && **most == 0);
        let unknown = KINDS.iter().find(|(kind, flag)| {
            self.has_flag(flag) && !self.machine.namespaces.iter().any(|known| known == kind)
        });
        match (self.errno.as_str(), none_left, unknown) {
            ("ENOSPC", Some((kind, _)), _) if kind != "user" => {
                let file = format!("/proc/sys/user/max_{kind}_namespaces");
                return Some(Finding::missing("refused", "no_namespaces_left").seen(file, 0));
            }
            ("EINVAL", _, Some((kind, _))) => {
                let file = format!("/proc/self/ns/{kind}");
                return Some(
                    Finding::missing("refused", "no_such_namespace").seen(file, "not there"),
                );
            }
            ("EAGAIN", ..) => return Some(Finding::missing("refused", "too_many_processes")),
            ("EACCES" | "EBUSY", ..) if self.args.to_text().contains("cgroup=") => {
                return Some(Finding::missing("refused", "not_into_cgroup"));
            }
            _ => {}
        }
        if !asked("user") {
            return self.when("EPERM", || self.no_power());
        }
        let call = format!("{name}({})", self.args.to_text());
        let user_namespace = Attempt { call, errno: Some(self.errno.clone()) };
        let tried = Tried { user_namespace, ..Tried::default() };
        let machine = Machine { tried: Some(tried), ..self.machine.clone() };
        Some(users::namespaces(self.facts, &machine))
    }

    pub(super) fn limit(&self) -> Option<Finding> {
        let Some(Arg::Name(resource)) = self.args.get("resource") else { return None };
        let asked = self.args.get("new_limit").map(Arg::to_text).unwrap_or_default();
        self.when("EPERM", || {
            Finding::missing("refused", "hard_limit").seen(resource.to_string(), asked)
        })
    }

    pub(super) fn ids(&self, name: &str) -> Option<Finding> {
        match (name, self.errno.as_str()) {
            ("setgroups", "EPERM") => Some(Finding::missing("refused", "groups_given_up")),
            (_, "EINVAL") => {
                Some(Finding::missing("refused", "id_not_mapped").seen("ids", self.args.to_text()))
            }
            _ => None,
        }
    }
}

/// Names in /proc/self/ns and the flags that make a new one.
const KINDS: &[(&str, &str)] = &[
    ("cgroup", "CLONE_NEWCGROUP"),
    ("ipc", "CLONE_NEWIPC"),
    ("mnt", "CLONE_NEWNS"),
    ("net", "CLONE_NEWNET"),
    ("pid", "CLONE_NEWPID"),
    ("time", "CLONE_NEWTIME"),
    ("user", "CLONE_NEWUSER"),
    ("uts", "CLONE_NEWUTS"),
];

fn flag_of(kind: &str) -> &'static str {
    KINDS.iter().find(|(name, _)| *name == kind).map_or("", |(_, flag)| flag)
}
