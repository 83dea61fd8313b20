//! The stages: a folder each below `lessons/`, in the order of their names.
//!
//! ```text
//!   lessons/02-chroot/config.json   the container, as a config.json with most of it missing
//!   lessons/02-chroot/lesson.md     between +++ lines what is said of it; then its chapter
//! ```
//!
//! A stage adds a few fields to the config of the one before, until the last *is* what `learnc spec`
//! writes. That is all there is to it: it is loaded, planned, performed and told by the code that runs
//! any bundle. To add a stage, add a folder.

use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use serde::Deserialize;
use serde_json::Value;

use super::growth;
use crate::bundle::defaults;
use crate::error::{Error, Result};
use crate::event::StageInfo;

/// One stage of the course.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// From 1, in the order of the folders.
    pub number: usize,
    /// What follows the number in the folder's name: `pivot_root`.
    pub name: String,
    pub head: Head,
    /// The chapter, in Markdown.
    pub text: String,
    /// Its config.json, as root runs it.
    config: Value,
}

/// What stands between the `+++` lines of a lesson.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The stage in one sentence.
    pub says: String,
    /// The stage whose config it grows from; none for the first.
    #[serde(default)]
    pub on_top_of: Option<String>,
    /// Fields of that config which this one leaves out or has otherwise, as paths.
    #[serde(default)]
    pub without: Vec<String>,
    /// How its root filesystem is made.
    #[serde(default)]
    pub root: Root,
    /// Other names by which people look for it.
    #[serde(default)]
    pub also: Vec<String>,
    /// What to try in its shell.
    #[serde(default, rename = "try")]
    pub try_this: Vec<Try>,
    /// Calls that the text speaks of, which a run of the stage must make, in this order:
    ///
    /// ```text
    ///   container pivot_root(".", ".")               who makes it, and the call as the narration writes it
    ///   runtime clone3({flags=*CLONE_NEWPID*, *)     `*` stands for anything
    ///   container mknodat(*, "null", *) = EPERM      refused so; without an answer it must succeed
    /// ```
    #[serde(default)]
    pub expect: Vec<String>,
}

/// How a stage's root filesystem is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// A tree of its own.
    #[default]
    Tree,
    /// That tree packed as an image, and unpacked from it.
    Image,
    /// That tree as a layer, another above it that changes it, and one to write to.
    Layers,
}

/// A command for a stage's shell. The tests run it there and hold its output against `prints`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Try {
    pub run: String,
    /// The remark beside it, for the learner.
    pub shows: String,
    /// What it prints on both its outputs, as in a `console` block: `…` stands for anything in a
    /// line, and alone in a line for any lines.
    pub prints: String,
    /// How it ends.
    #[serde(default)]
    pub status: i32,
    /// What a machine must have for it, by the names of `tests/support/needs.rs`: `limits`.
    #[serde(default)]
    pub needs: Vec<String>,
}

impl Try {
    /// As it is shown: `hostname   # the host's own`.
    pub fn to_text(&self) -> String {
        format!("{}   # {}", self.run, self.shows)
    }
}

static LESSONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/lessons");

static STAGES: LazyLock<Vec<Stage>> = LazyLock::new(|| {
    let is_stage = |dir: &&Dir| name_of(dir).starts_with(|c: char| c.is_ascii_digit());
    let mut folders: Vec<&Dir> = LESSONS.dirs().filter(is_stage).collect();
    folders.sort_by_key(|dir| dir.path());
    // The files are part of the program, and the tests read them: they parse.
    let stages = folders.iter().enumerate().filter_map(|(i, dir)| read(i + 1, dir).ok());
    stages.collect()
});

fn name_of<'a>(dir: &'a Dir) -> &'a str {
    dir.path().file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn read(number: usize, dir: &Dir) -> Result<Stage> {
    let file = |name: &str| {
        let file = dir.get_file(dir.path().join(name)).and_then(|file| file.contents_utf8());
        file.ok_or_else(|| {
            Error::yours("is missing").at(format!("lessons/{}/{name}", name_of(dir)))
        })
    };
    let lesson = file("lesson.md")?;
    let parts: Vec<&str> = lesson.splitn(3, "+++\n").collect();
    let [_, head, text] = parts[..] else {
        return Err(Error::yours("has no head between +++ lines").at(name_of(dir)));
    };
    let head = toml::from_str(head).map_err(|e| Error::yours(e.to_string()).at(name_of(dir)))?;
    let (_, name) = name_of(dir).split_once('-').unwrap_or_default();
    let config = serde_json::from_str(file("config.json")?)?;
    Ok(Stage { number, name: name.to_owned(), head, text: text.to_owned(), config })
}

/// All of them, in order.
pub fn all() -> &'static [Stage] {
    &STAGES
}

/// The stage of this name, or of another by which it is known.
pub fn find(name: &str) -> Result<&'static Stage> {
    let wanted = name.to_lowercase().replace('-', "_");
    let is = |stage: &&Stage| stage.name == wanted || stage.head.also.contains(&wanted);
    all().iter().find(is).ok_or_else(|| {
        let names: Vec<&str> = all().iter().map(|stage| &*stage.name).collect();
        Error::yours(format!("there is no stage {name:?}"))
            .try_this(format!("one of {}, or all", names.join(", ")))
    })
}

/// Who runs a stage: what depends on it in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runner {
    /// Root of the machine itself, to whom every id belongs.
    pub root: bool,
    pub uid: u32,
    pub gid: u32,
}

impl Stage {
    /// The stage that this one grows from.
    pub fn base(&self) -> Option<&'static Stage> {
        let name = self.head.on_top_of.as_ref()?;
        all().iter().find(|stage| stage.name == *name)
    }

    /// The stage that comes after it.
    pub fn next(&self) -> Option<&'static Stage> {
        all().get(self.number)
    }

    /// Its config for this user. What has namespaces gets the user's own ids; for the others the plan
    /// finds what a user without root needs.
    pub fn config(&self, by: Runner) -> Value {
        let config = self.config.clone();
        match by.root || config.pointer("/linux/namespaces").is_none() {
            true => config,
            false => defaults::for_user(config, by.uid, by.gid),
        }
    }

    /// The fields that it adds to its base, as paths.
    pub fn adds(&self) -> Vec<String> {
        let base = self.base().map_or(Value::Null, |base| base.config.clone());
        growth::added(&base, &self.config)
    }

    /// Whether its config limits anything, so that it takes a cgroup.
    pub fn limits(&self) -> bool {
        let resources = self.config.pointer("/linux/resources").and_then(Value::as_object);
        resources.is_some_and(|resources| resources.keys().any(|key| key != "devices"))
    }

    /// Whether it runs a program in there; the first only makes the place.
    pub fn has_program(&self) -> bool {
        self.config.get("process").is_some()
    }

    /// What stands above its narration. `here` says where it is run.
    pub fn info(&self, here: String) -> StageInfo {
        StageInfo {
            number: self.number,
            of: all().len(),
            name: self.name.clone(),
            says: self.head.says.clone(),
            on_top_of: self.head.on_top_of.clone(),
            adds: self.adds(),
            here,
            try_this: self.head.try_this.iter().map(Try::to_text).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Runner = Runner { root: true, uid: 0, gid: 0 };

    #[test]
    fn every_folder_of_a_stage_is_read() {
        let folders = LESSONS.dirs().filter(|dir| name_of(dir).starts_with(char::is_numeric));
        let mut names = Vec::new();
        for (i, dir) in folders.enumerate() {
            read(i + 1, dir).unwrap_or_else(|e| panic!("{}: {e}", name_of(dir)));
            names.push(name_of(dir).split_once('-').unwrap().1);
        }
        names.sort_by_key(|name| all().iter().position(|stage| stage.name == *name));
        assert_eq!(names, all().iter().map(|stage| &*stage.name).collect::<Vec<_>>());
        assert!(names.len() >= 6, "{names:?}");
    }

    #[test]
    fn a_stage_is_found_by_any_of_its_names() {
        for name in ["pivot_root", "pivot-root", "PIVOT_ROOT"] {
            assert_eq!(find(name).unwrap().name, "pivot_root");
        }
        assert_eq!(find("fetch").unwrap().name, "rootfs");
        let error = find("pivot").unwrap_err();
        assert!(error.remedy.as_ref().unwrap().contains("rootfs, chroot"), "the names are listed");
    }

    #[test]
    fn each_config_is_one_that_can_be_loaded_without_a_warning() {
        for stage in all() {
            for by in [ROOT, Runner { root: false, uid: 1000, gid: 1000 }] {
                let bundle = crate::bundle::from_value(stage.config(by), "/bundle".into()).unwrap();
                assert_eq!(bundle.warnings, [""; 0], "{}", stage.name);
                let text = growth::text(&stage.config(by));
                assert!(!text.contains("null"), "{} for a learner's eyes:\n{text}", stage.name);
            }
        }
    }

    #[test]
    fn each_stage_grows_from_the_one_before() {
        for stages in all().windows(2) {
            assert_eq!(stages[1].head.on_top_of.as_ref(), Some(&stages[0].name));
            let lost = growth::lost(&stages[0].config, &stages[1].config);
            assert_eq!(lost, stages[1].head.without, "{}: `without` in its head", stages[1].name);
            assert!(!stages[1].adds().is_empty(), "{} adds nothing", stages[1].name);
        }
    }

    #[test]
    fn the_last_is_what_spec_writes() {
        let last = all().last().unwrap();
        assert_eq!(last.config(ROOT), defaults::config());
        let user = Runner { root: false, uid: 1000, gid: 100 };
        assert_eq!(last.config(user), defaults::rootless(1000, 100));
    }
}
