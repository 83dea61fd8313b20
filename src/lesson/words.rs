//! Our voice: what is said about a step or a call, beside the facts.
//!
//! The words are data, in `lessons/words/`: `steps.toml` for each step key of the plan, `calls.toml`
//! for each call of the vocabulary. They are embedded in the binary and read when something is
//! explained for the first time; a run that explains nothing never parses them. The renderer, the
//! book and the glossary all ask here, so that a thing is said in one way.
//!
//! The tests below keep both sides from rotting: a step without words, and words without a step.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// What is said about one kind of step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepWords {
    /// What happens, in a few words; `{subject}` stands for what this one is about.
    title: String,
    /// What it does, and what breaks without it.
    why: String,
    /// The same for one subject of several: `/proc`.
    #[serde(default)]
    about: BTreeMap<String, String>,
    /// A thing that people say about it, and what is so `instead`.
    pub often_believed: Option<String>,
    pub instead: Option<String>,
    /// Where the manual has the whole truth: `mount(2)`.
    pub man: Option<String>,
    /// A remark where no shell command does the same.
    pub by_hand: Option<String>,
}

impl StepWords {
    /// The title of one step: "Mount /proc".
    pub fn title(&self, subject: Option<&str>) -> String {
        self.title.replace("{subject}", subject.unwrap_or_default()).trim_end().to_owned()
    }

    /// Why there is such a step, for this subject in particular where there is more to say.
    pub fn why(&self, subject: Option<&str>) -> &str {
        subject.and_then(|s| self.about.get(s)).unwrap_or(&self.why)
    }
}

/// The words of a step's key: `pivot_root`.
pub fn step(key: &str) -> Option<&'static StepWords> {
    STEPS.get(key)
}

/// A step's title: "Mount /proc". The key, where it has no words.
pub fn title(key: &str, subject: Option<&str>) -> String {
    match step(key) {
        Some(words) => words.title(subject),
        None => [key, subject.unwrap_or_default()].join(" ").trim_end().to_owned(),
    }
}

/// What a system call does, in one sentence.
pub fn call(name: &str) -> Option<&'static str> {
    CALLS.get(name).map(String::as_str)
}

/// What is said about a run as a whole, filled in.
pub fn remark(key: &str, values: &[(&str, &str)]) -> String {
    let text = REMARKS.get(key).map_or(key, String::as_str);
    values
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Every call that has words, with them: the glossary.
pub fn calls() -> impl Iterator<Item = (&'static str, &'static str)> {
    CALLS.iter().map(|(name, words)| (name.as_str(), words.as_str()))
}

static STEPS: LazyLock<BTreeMap<String, StepWords>> =
    LazyLock::new(|| read(include_str!("../../lessons/words/steps.toml")));

static CALLS: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| read(include_str!("../../lessons/words/calls.toml")));

static REMARKS: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| read(include_str!("../../lessons/words/remarks.toml")));

/// The files are part of the program, and the tests read them: they parse.
fn read<T: for<'de> Deserialize<'de>>(text: &str) -> BTreeMap<String, T> {
    toml::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sources of a room, as text.
    fn sources(room: &str) -> String {
        let dir = format!("{}/src/{room}", env!("CARGO_MANIFEST_DIR"));
        below(dir.as_ref())
    }

    fn below(dir: &std::path::Path) -> String {
        let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: std::path::PathBuf| match path.is_dir() {
            true => below(&path),
            false => std::fs::read_to_string(path).unwrap(),
        };
        paths.map(text).collect()
    }

    /// The string literals that follow `before` in a text, with only white space between.
    fn literals_after(text: &str, before: &str) -> Vec<String> {
        let places = text.split(before).skip(1);
        let rest = places.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'));
        rest.map(|(literal, _)| literal.to_owned()).collect()
    }

    #[test]
    fn the_files_parse() {
        toml::from_str::<BTreeMap<String, StepWords>>(include_str!(
            "../../lessons/words/steps.toml"
        ))
        .unwrap();
        toml::from_str::<BTreeMap<String, String>>(include_str!("../../lessons/words/calls.toml"))
            .unwrap();
    }

    #[test]
    fn every_step_has_words() {
        let text = sources("parts") + &sources("plan");
        for maker in ["Step::runtime(", "Step::container(", " process(", "(process(", "capability("]
        {
            for key in literals_after(&text, maker) {
                assert!(step(&key).is_some(), "lessons/words/steps.toml has nothing for [{key}]");
            }
        }
        assert!(literals_after(&text, "Step::container(").len() > 10, "the steps were not found");
    }

    #[test]
    fn every_word_on_steps_is_about_a_step() {
        let text = ["parts", "plan", "perform", "cli", "render/terminal"].map(sources).concat();
        for key in STEPS.keys() {
            let named = text.contains(&format!("\"{key}\""));
            assert!(named, "lessons/words/steps.toml has [{key}], which is no step any more");
        }
    }

    #[test]
    fn the_calls_with_words_are_the_calls_there_are() {
        let mut names = literals_after(&sources("sys"), "NAME: &'static str =");
        names.sort();
        names.dedup();
        let with_words: Vec<String> = CALLS.keys().cloned().collect();
        assert_eq!(with_words, names, "left: lessons/words/calls.toml, right: src/sys");
    }

    #[test]
    fn a_why_is_short_and_a_belief_has_its_correction() {
        for (key, words) in STEPS.iter() {
            for why in words.about.values().chain([&words.why]) {
                assert!(why.ends_with('.') && why.len() > 80, "[{key}] {why}");
                assert!(why.len() < 400, "[{key}] is an essay");
                assert!(why.is_ascii(), "[{key}] is not plain ASCII, so a pipe would change it");
            }
            assert_eq!(words.often_believed.is_some(), words.instead.is_some(), "[{key}]");
        }
    }

    #[test]
    fn a_remark_is_filled_in_and_each_is_made() {
        let text = remark("own_root", &[("source", "busybox"), ("place", "/x")]);
        assert!(text.contains("busybox") && text.contains("/x") && !text.contains('{'), "{text}");
        let said = sources("cli") + &sources("render");
        for key in REMARKS.keys() {
            assert!(said.contains(&format!("remark(\"{key}\"")), "nobody says {key}");
        }
    }

    #[test]
    fn a_title_names_its_subject() {
        let mount = step("mount").unwrap();
        assert_eq!(mount.title(Some("/proc")), "Mount /proc");
        assert!(mount.why(Some("/proc")).contains("pid namespace"));
        assert_eq!(mount.why(Some("/data")), mount.why(None));
    }
}
