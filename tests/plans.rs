//! What is planned, and what doctor says, for machines that this test does not run on.
//!
//! `fixtures/facts/*.json` are such machines. For each, the plan of the default config is a snapshot
//! (who does which step, for which field), and so is doctor's page. A change of either is seen, and
//! accepted with `INSTA_UPDATE=always cargo test --test plans` after reading it.

use std::path::{Path, PathBuf};

use learnc::bundle::{self, defaults};
use learnc::doctor::{self, words};
use learnc::facts::Facts;
use learnc::plan::{Options, plan};
use learnc::render::doctor::page;
use learnc::render::terminal::look::{Look, Width};

fn machines() -> Vec<(String, Facts)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/facts");
    let mut machines: Vec<(String, Facts)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (name, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}")))
        })
        .collect();
    assert!(machines.len() > 9, "the machines were not found");
    machines.sort_by(|a, b| a.0.cmp(&b.0));
    machines
}

/// One line a step: who, what, about what, for which field.
fn shown(facts: &Facts) -> String {
    let config = serde_json::to_value(defaults::config()).unwrap();
    let bundle = bundle::from_value(config, PathBuf::from("/bundle")).unwrap();
    let options = Options {
        id: "box".into(),
        bundle: "/bundle".into(),
        state_root: "/run/learnc".into(),
        ..Options::default()
    };
    let plan = match plan(&bundle, &options, facts) {
        Ok(plan) => plan,
        Err(e) => {
            return format!("refused: {e}\n  because {:?}\n  try {:?}", e.diagnosis, e.remedy);
        }
    };
    let mut lines = Vec::new();
    for info in plan.infos() {
        let lane = format!("{:?}", info.lane).to_lowercase();
        let subject = info.subject.unwrap_or_default();
        lines.push(format!("{lane:9} {:18} {subject:28} {}", info.key, info.asked));
    }
    lines.extend(plan.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

#[test]
fn the_default_container_is_planned_for_each_machine() {
    for (name, facts) in machines() {
        insta::assert_snapshot!(format!("plan-{name}"), shown(&facts));
    }
}

#[test]
fn doctor_says_what_each_machine_can_do() {
    let look =
        Look { width: Width::Fixed(80), wraps: true, colour: false, unicode: true, whole: false };
    for (name, facts) in machines() {
        let findings = doctor::findings(&facts);
        let works = doctor::works(&findings);
        let told: Vec<_> = findings.into_iter().map(words::tell).collect();
        for one in &told {
            assert!(!one.words.says.is_empty(), "{name}: {:?} has no words", one.finding);
        }
        let text = page(&told, &words::summary(works), &look);
        for line in text.lines() {
            let width = unicode_width::UnicodeWidthStr::width(line);
            assert!(width <= 80 || line.trim().split(' ').count() == 1, "{name}: {line}");
        }
        insta::assert_snapshot!(format!("doctor-{name}"), text);
    }
}
