//! The parts of the book that are made from lessons/ are what lessons/ says.
//!
//! The glossary of calls, and a chapter for each stage, which includes the stage's lesson and config.
//! After a change there: `BLESS=1 cargo test --test book`, and read the diff.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_in_the_book(name: &str, expected: &str) {
    let path = root().join("book/src").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "book/src/{name} is old: BLESS=1 cargo test --test book");
}

#[test]
fn the_glossary_has_every_call() {
    let text = fs::read_to_string(root().join("lessons/words/calls.toml")).unwrap();
    let calls: BTreeMap<String, String> = toml::from_str(&text).unwrap();
    assert!(calls.len() > 20, "the words were not found");
    let mut page =
        "# Glossary of calls\n\nThe system calls that learnc makes to shape a container. \
                    Each has its page in section 2 of the manual: `man 2 mount`.\n"
            .to_owned();
    for (name, says) in calls {
        write!(page, "\n## {name}\n\n{says}\n").unwrap();
    }
    is_in_the_book("glossary.md", &page);
}

/// The folders of lessons/ that are stages: `02-chroot`.
fn stages() -> Vec<String> {
    let entries = fs::read_dir(root().join("lessons")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|n| n.starts_with(|c: char| c.is_ascii_digit())).collect();
    names.sort();
    names
}

#[test]
fn each_stage_has_its_chapter() {
    for (number, folder) in (1..).zip(stages()) {
        let lesson =
            fs::read_to_string(root().join("lessons").join(&folder).join("lesson.md")).unwrap();
        let (_, name) = folder.split_once('-').expect("NN-name");
        let head = lesson.split("+++\n").nth(1).expect("a head between +++ lines");
        let head: toml::Table = toml::from_str(head).unwrap();
        let says = head["says"].as_str().expect("says");
        let text = 1 + lesson.lines().enumerate().filter(|(_, l)| *l == "+++").nth(1).unwrap().0;
        let up = format!("../../../lessons/{folder}");
        let mut page = format!("# {number} · {name}\n\n*{says}*\n\n");
        write!(
            page,
            "```sh\nlearnc stage {name}\n```\n\n{{{{#include {up}/lesson.md:{}:}}}}\n",
            text + 1
        )
        .unwrap();
        if root().join("lessons").join(&folder).join("config.json").exists() {
            let block = "The whole of its `config.json`:";
            write!(
                page,
                "\n## The config\n\n{block}\n\n```json\n{{{{#include {up}/config.json}}}}\n```\n"
            )
            .unwrap();
        }
        is_in_the_book(&format!("stages/{folder}.md"), &page);
    }
}

#[test]
fn the_summary_has_every_stage() {
    let mut page = "# Summary\n\n[Introduction](introduction.md)\n\n\
                    - [Getting started](getting-started.md)\n"
        .to_owned();
    for (number, folder) in (1..).zip(stages()) {
        let (_, name) = folder.split_once('-').expect("NN-name");
        writeln!(page, "- [{number} · {name}](stages/{folder}.md)").unwrap();
    }
    page.push_str(
        "- [Commands](commands.md)\n- [Events](events.md)\n- [Glossary of calls](glossary.md)\n",
    );
    is_in_the_book("SUMMARY.md", &page);
}
