//! The words for findings: `lessons/words/doctor.toml`.
//!
//! A subject is a table with a title; each of its cases is a table below it, with what it means,
//! what it costs and the smallest remedy, as a command where one does it. `{0}`, `{1}` … stand for
//! what the finding's pieces of evidence say, `{where 0}` … for what was looked at.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{Evidence, Finding};

const TEXT: &str = include_str!("../../lessons/words/doctor.toml");

/// What is said of one case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// In one short line.
    pub says: String,
    /// What a learner goes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<String>,
    /// The smallest thing to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    #[serde(default)]
    title: String,
    #[serde(flatten)]
    cases: BTreeMap<String, Words>,
}

/// A finding with its words, as `learnc doctor --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub finding: Finding,
    pub title: String,
    #[serde(flatten)]
    pub words: Words,
}

static SUBJECTS: LazyLock<BTreeMap<String, Subject>> =
    LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

/// Puts a finding into words.
pub fn tell(finding: Finding) -> Told {
    let subject = SUBJECTS.get(finding.subject);
    let title = subject.map(|subject| subject.title.clone()).unwrap_or_default();
    let words = subject.and_then(|subject| subject.cases.get(finding.case)).cloned();
    let mut words = words.unwrap_or_default();
    let fill = |text: &mut String| *text = filled(text, &finding.evidence);
    fill(&mut words.says);
    words.costs.iter_mut().for_each(fill);
    words.remedy.iter_mut().for_each(fill);
    Told { finding, title, words }
}

/// The question whether to start again in a cgroup of one's own, or the remark that one could.
pub fn delegation(case: &'static str, command: &str) -> String {
    tell(Finding::good("delegation", case).seen("command", command)).words.says
}

/// The last line: whether anything can run here.
pub fn summary(works: bool) -> String {
    let case = if works { "works" } else { "does_not_work" };
    tell(Finding::good("summary", case)).words.says
}

fn filled(text: &str, evidence: &[Evidence]) -> String {
    evidence.iter().enumerate().fold(text.to_owned(), |text, (i, seen)| {
        text.replace(&format!("{{{i}}}"), &seen.value)
            .replace(&format!("{{where {i}}}"), &seen.looked_at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code that names cases, as text.
    fn code() -> String {
        let room = concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctor");
        let dirs =
            [room.to_owned(), format!("{room}/why")].map(|dir| std::fs::read_dir(dir).unwrap());
        let files = dirs.into_iter().flatten().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.is_file());
        let files = files.map(|path| std::fs::read_to_string(path).unwrap());
        files.chain([include_str!("../cli/delegate.rs").to_owned()]).collect()
    }

    /// The cases that the code names: the last string in a call of good, limited or missing.
    fn cases_in(code: &str) -> Vec<String> {
        let calls =
            ["good(", "limited(", "missing("].into_iter().flat_map(|f| code.split(f).skip(1));
        let strings = calls.filter_map(|rest| {
            let inside = rest.trim_start().split_once(')')?.0;
            inside.strip_prefix('"')?;
            Some(inside.strip_suffix('"')?.rsplit_once('"')?.1.to_owned())
        });
        strings.collect()
    }

    #[test]
    fn every_case_of_the_code_has_words() {
        let cases = cases_in(&code());
        assert!(cases.len() > 25, "the cases were not found: {cases:?}");
        let known: Vec<&String> = SUBJECTS.values().flat_map(|s| s.cases.keys()).collect();
        for case in cases {
            assert!(known.contains(&&case), "lessons/words/doctor.toml has nothing for {case}");
        }
    }

    #[test]
    fn every_word_is_about_a_case_of_the_code_and_short() {
        let code = code();
        for (name, subject) in SUBJECTS.iter() {
            assert!(!subject.title.is_empty() && subject.title.len() < 20, "{name}: its title");
            for (case, words) in &subject.cases {
                assert!(code.contains(&format!("\"{case}\"")), "{name}.{case} is no case any more");
                assert!(
                    words.says.trim_end().ends_with(['.', '?', 'n', '}', ']']),
                    "{name}.{case}: {}",
                    words.says
                );
                assert!(words.says.len() < 240, "{name}.{case} is an essay");
            }
        }
    }

    #[test]
    fn evidence_is_put_in_by_its_number() {
        let finding = Finding::good("cgroups", "v2").seen("/proc/a", "7").seen("/proc/b", "8");
        assert_eq!(filled("{1} in {where 0}", &finding.evidence), "8 in /proc/a");
    }
}
