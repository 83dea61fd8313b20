//! What is planned, and what doctor says, for machines that this test does not run on.
//!
//! `fixtures/facts/*.json` are such machines. For each, the plan of the default config is a snapshot
//! (who does which step, for which field), and so is doctor's page. A change of either is seen, and
//! accepted with `INSTA_UPDATE=always cargo test --test plans` after reading it. Each plan is a script, too.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use learnc::bundle::{self, defaults};
use learnc::doctor::{self, words};
use learnc::emit;
use learnc::facts::Facts;
use learnc::plan::{Options, Plan, plan};
use learnc::render::doctor::page;
use learnc::render::terminal::look::{Look, Width};
use learnc::rootfs::Recipe;

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

/// The default config's plan, with a root filesystem as it may be made.
fn planned(facts: &Facts, recipe: Option<Recipe>) -> learnc::error::Result<Plan> {
    let config = serde_json::to_value(defaults::config()).unwrap();
    let bundle = bundle::from_value(config, PathBuf::from("/bundle")).unwrap();
    let options = Options {
        id: "box".into(),
        bundle: "/bundle".into(),
        state_root: "/run/learnc".into(),
        recipe,
        ..Options::default()
    };
    plan(&bundle, &options, facts)
}

/// One line a step: who, what, about what, for which field.
fn shown(facts: &Facts) -> String {
    let plan = match planned(facts, None) {
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

/// A shell reads it to its end, without doing anything.
fn assert_parses(script: &str) {
    let mut sh = Command::new("sh");
    let mut sh = sh.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sh.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = sh.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_plan_is_a_script_with_each_step_once() {
    let sum = Some("5".repeat(64));
    let url = "https://example.org/a b.tar".to_owned();
    let recipes = [
        None,
        Some(Recipe::Copy("/it's here".into())),
        Some(Recipe::Unpack("/root.tar".into())),
        Some(Recipe::Download { url, sha256: sum }),
        Some(Recipe::Debootstrap { program: "/usr/sbin/debootstrap".into() }),
    ];
    for (name, facts) in machines() {
        for recipe in &recipes {
            let Ok(plan) = planned(&facts, recipe.clone()) else { continue };
            let script = emit::sh(&plan, None);
            let count = plan.steps.len();
            for number in 1..=count {
                let heading = format!("\n# {number}/{count} ");
                assert_eq!(script.matches(&heading).count(), 1, "{name}: {heading}");
            }
            let commands = script.lines().filter(|line| !line.starts_with('#'));
            let learncs = commands.filter(|line| line.starts_with("learnc"));
            assert_eq!(learncs.count(), 0, "{name}");
            assert_parses(&script);
        }
    }
}
