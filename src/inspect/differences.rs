//! Two portraits side by side: what is the container's own, and what it shares with the host.
//!
//! Pure. The rows stand in the order in which they tell most: what is seen (mounts, processes, names,
//! network), who one is, how much one may use, what one may do. A namespace is `shared` or not, for
//! its number says so; everything else is `same` or `changed`. Rows of which neither side has anything
//! to say are left out.

use super::portrait::Portrait;
use super::status::{Seccomp, Sets, Status, in_words};
use super::{compared, judged, row};
use crate::event::{Difference, Verdict};
use crate::sys::namespace::KINDS;

/// The rows. `joined` are the kinds of namespaces, by their links, that others made: not new, though not
/// the host's. The kernel keeps no record of who made one.
pub fn differences(host: &Portrait, container: &Portrait, joined: &[&str]) -> Vec<Difference> {
    let both = Both { host, container, joined };
    let mut rows = vec![
        both.namespace("mnt"),
        both.root(),
        both.namespace("pid"),
        both.pid(),
        both.namespace("uts"),
    ];
    rows.extend(both.names());
    rows.extend([both.namespace("net"), both.namespace("ipc"), both.namespace("user"), both.ids()]);
    rows.extend(both.id_maps());
    rows.extend([both.namespace("cgroup"), both.cgroup()]);
    rows.extend(both.limits());
    rows.push(both.namespace("time"));
    rows.extend(both.privileges());
    rows.retain(|row| !(row.host.is_empty() && row.container.is_empty()));
    rows
}

struct Both<'a> {
    host: &'a Portrait,
    container: &'a Portrait,
    joined: &'a [&'a str],
}

impl Both<'_> {
    /// One property of both sides, as text; empty where it is absent.
    fn cells(&self, cell: impl Fn(&Portrait) -> Option<String>) -> [String; 2] {
        [self.host, self.container].map(|portrait| cell(portrait).unwrap_or_default())
    }

    fn namespace(&self, kind: &str) -> Difference {
        let name = KINDS.iter().find(|known| known.link == kind).map_or(kind, |kind| kind.name);
        let [host, container] = self.cells(|portrait| portrait.namespaces.get(kind).cloned());
        let verdict = match (host.is_empty() || container.is_empty(), host == container) {
            (true, _) => Verdict::Unknown,
            (_, true) => Verdict::Shared,
            (_, false) if self.joined.contains(&kind) => Verdict::Joined,
            (_, false) => Verdict::New,
        };
        row(&format!("{name} namespace"), host, container, verdict)
    }

    fn root(&self) -> Difference {
        let [host, container] = self.cells(|portrait| Some(portrait.root.as_ref()?.to_string()));
        let identity = |portrait: &Portrait| portrait.root.as_ref().and_then(|root| root.identity);
        let same = host == container && identity(self.host) == identity(self.container);
        judged("/", host, container, same)
    }

    /// The container's first process, as the host counts and as it does itself.
    fn pid(&self) -> Difference {
        let outside = self.container.pid.to_string();
        let inside = self.container.pid_inside().map(|pid| pid.to_string());
        compared("pid", outside, inside.unwrap_or_default())
    }

    fn names(&self) -> Vec<Difference> {
        let [host, container] = self.cells(|portrait| Some(portrait.names.as_ref()?.host.clone()));
        let mut rows = vec![compared("hostname", host, container)];
        let [host, container] = self.cells(|p| Some(p.names.as_ref()?.domain.clone()));
        if [&host, &container].iter().any(|name| !matches!(name.as_str(), "" | "(none)")) {
            rows.push(compared("domainname", host, container));
        }
        rows
    }

    /// `0:0 (1000:1000 here)`: what it is to itself, and what the host takes it for.
    fn ids(&self) -> Difference {
        let ids = |portrait: &Portrait| {
            let Status { uid, gid, .. } = portrait.status.as_ref()?;
            portrait.uid_map.as_ref().and(portrait.gid_map.as_ref())?;
            Some(match portrait.ids_inside() {
                Some((u, g)) if (u, g) == (*uid, *gid) => format!("{uid}:{gid}"),
                Some((u, g)) => format!("{u}:{g} ({uid}:{gid} here)"),
                None => format!("unmapped ({uid}:{gid} here)"),
            })
        };
        let host = self.host.status.as_ref().map(|status| format!("{}:{}", status.uid, status.gid));
        let container = ids(self.container);
        compared("uid:gid", host.unwrap_or_default(), container.unwrap_or_default())
    }

    /// Of interest only where there is a user namespace.
    fn id_maps(&self) -> Vec<Difference> {
        let user = |portrait: &Portrait| portrait.namespaces.get("user").cloned();
        if user(self.host) == user(self.container) {
            return vec![];
        }
        let text = |map: &Option<Vec<[u32; 3]>>| {
            let line = |line: &[u32; 3]| line.map(|n| n.to_string()).join(" ");
            Some(map.as_ref()?.iter().map(line).collect::<Vec<_>>().join(", "))
        };
        let [host, container] = self.cells(|portrait| text(&portrait.uid_map));
        let uids = compared("uid_map", host, container);
        let [host, container] = self.cells(|portrait| text(&portrait.gid_map));
        vec![uids, compared("gid_map", host, container)]
    }

    /// The trees in which the container has a place of its own; where there is none, just the places.
    fn cgroup(&self) -> Difference {
        let own = |tree: &&(String, String)| !self.host.cgroups.contains(tree);
        let trees: Vec<&str> =
            self.container.cgroups.iter().filter(own).map(|(tree, _)| tree.as_str()).collect();
        let [host, container] = self.cells(|portrait| Some(places(&portrait.cgroups, &trees)));
        compared("cgroup", host, container)
    }

    fn limits(&self) -> Vec<Difference> {
        let limit = |(file, value): (&String, &String)| {
            let host = self.host.limits.get(file).cloned().unwrap_or_default();
            row(file, host, value.clone(), Verdict::Limit)
        };
        self.container.limits.iter().map(limit).collect()
    }

    /// What it may do. The sets beside the two that say most, and the switches, only where they differ.
    fn privileges(&self) -> Vec<Difference> {
        let always = ["effective capabilities", "bounding capabilities"];
        let sets = [
            self.set(always[0], |sets| sets.effective),
            self.set("permitted capabilities", |sets| sets.permitted),
            self.set("inheritable capabilities", |sets| sets.inheritable),
            self.set("ambient capabilities", |sets| sets.ambient),
            self.set(always[1], |sets| sets.bounding),
        ];
        let effective = sets[0].clone();
        let says_more = |row: &Difference| {
            let like_effective =
                (&row.host, &row.container) == (&effective.host, &effective.container);
            always.contains(&row.property.as_str())
                || row.verdict == Verdict::Changed && !like_effective
        };
        let mut rows: Vec<Difference> = sets.into_iter().filter(says_more).collect();
        let [host, container] = self.cells(|portrait| {
            let set = portrait.status.as_ref()?.no_new_privs?;
            Some(if set { "1" } else { "0" }.to_owned())
        });
        rows.push(compared("no_new_privs", host, container));
        let [host, container] = self.cells(|portrait| {
            let mode = match portrait.status.as_ref()?.seccomp? {
                Seccomp::Disabled => "disabled",
                Seccomp::Strict => "strict",
                Seccomp::Filter => "filter",
            };
            Some(mode.to_owned())
        });
        rows.push(compared("seccomp", host, container));
        rows
    }

    fn set(&self, property: &str, mask: impl Fn(&Sets) -> u64) -> Difference {
        let of = |portrait: &Portrait| portrait.status.as_ref().map(|status| mask(&status.sets));
        let [host, container] =
            self.cells(|portrait| Some(in_words(of(portrait)?, portrait.last_capability)));
        judged(property, host, container, of(self.host) == of(self.container))
    }
}

/// `/learnc-x` on v2; `pids, freezer: /learnc-x` on v1. Without trees to be named, all places.
fn places(cgroups: &[(String, String)], trees: &[&str]) -> String {
    let mut places: Vec<(&str, Vec<&str>)> = Vec::new();
    let named = |tree: &str| trees.is_empty() || trees.contains(&tree);
    for (tree, path) in cgroups.iter().filter(|(tree, _)| named(tree)) {
        let tree = if tree.is_empty() { "v2" } else { tree };
        match places.iter_mut().find(|(other, _)| other == path) {
            Some((_, trees)) => trees.push(tree),
            None => places.push((path, vec![tree])),
        }
    }
    let place = |(path, of): &(&str, Vec<&str>)| match of[..] {
        _ if trees.is_empty() => (*path).to_owned(),
        ["v2"] => (*path).to_owned(),
        _ => format!("{}: {path}", of.join(", ")),
    };
    places.iter().map(place).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::root::Root;

    fn portrait(own: bool) -> Portrait {
        let number = if own { 2 } else { 1 };
        let namespaces = [("mnt", format!("mnt:[{number}]")), ("net", "net:[7]".to_owned())];
        let sets = Sets { effective: 1 << 5, ..Sets::default() };
        let sets = if own { sets } else { Sets { effective: 1, ..sets } };
        let status =
            Status { pids: if own { vec![42, 1] } else { vec![7] }, sets, ..Status::default() };
        Portrait {
            pid: if own { 42 } else { 7 },
            namespaces: namespaces.into(),
            root: Some(Root {
                mount: None,
                folder: Some("/b".into()),
                mounts: 0,
                identity: Some((1, number)),
            }),
            status: Some(status),
            cgroups: vec![
                ("pids".into(), if own { "/c" } else { "/" }.into()),
                ("freezer".into(), if own { "/c" } else { "/" }.into()),
                ("cpu".into(), "/".into()),
            ],
            uid_map: Some(vec![[0, 0, u32::MAX]]),
            gid_map: Some(vec![[0, 0, u32::MAX]]),
            last_capability: Some(40),
            ..Portrait::default()
        }
    }

    fn verdict(rows: &[Difference], property: &str) -> Option<Verdict> {
        rows.iter().find(|row| row.property == property).map(|row| row.verdict)
    }

    fn rows() -> Vec<Difference> {
        differences(&portrait(false), &portrait(true), &[])
    }

    #[test]
    fn a_namespace_is_new_or_shared() {
        assert_eq!(verdict(&rows(), "mount namespace"), Some(Verdict::New));
        assert_eq!(verdict(&rows(), "network namespace"), Some(Verdict::Shared));
        assert_eq!(verdict(&rows(), "time namespace"), None);
    }

    #[test]
    fn one_that_others_made_is_joined_if_it_is_not_the_hosts() {
        let rows = differences(&portrait(false), &portrait(true), &["mnt", "net"]);
        assert_eq!(verdict(&rows, "mount namespace"), Some(Verdict::Joined));
        assert_eq!(verdict(&rows, "network namespace"), Some(Verdict::Shared));
    }

    #[test]
    fn what_reads_alike_and_is_another_is_changed() {
        let root = rows().into_iter().find(|row| row.property == "/").unwrap();
        assert_eq!((root.host, root.verdict), (root.container, Verdict::Changed));
        assert_eq!(verdict(&rows(), "pid"), Some(Verdict::Changed));
    }

    #[test]
    fn only_trees_with_a_place_of_its_own_are_named() {
        let cgroup = rows().into_iter().find(|row| row.property == "cgroup").unwrap();
        assert_eq!((&*cgroup.host, &*cgroup.container), ("pids, freezer: /", "pids, freezer: /c"));
    }

    #[test]
    fn against_itself_nothing_is_changed_and_nothing_new() {
        let own = portrait(true);
        let same = |row: &Difference| {
            matches!(row.verdict, Verdict::Same | Verdict::Shared) || row.property == "pid"
        };
        let rows = differences(&own, &own, &[]);
        assert!(rows.iter().all(same), "{rows:#?}");
    }

    #[test]
    fn what_was_not_read_is_empty_and_has_no_verdict() {
        let rows = differences(&portrait(false), &Portrait { pid: 42, ..Portrait::default() }, &[]);
        for row in rows {
            assert_eq!((&*row.container, row.verdict), ("", Verdict::Unknown), "{}", row.property);
        }
    }
}
