//! What the documents name is there, and what is there they name.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{files, has_word, none, read, root, rust};

/// README.md, ARCHITECTURE.md, CONTRIBUTING.md and the book.
fn documents() -> Vec<PathBuf> {
    let mut paths = files("book/src", &["md"]);
    paths.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(PathBuf::from),
    );
    paths
}

#[test]
fn every_verb_and_switch_is_documented() {
    let page = read("book/src/commands.md");
    let mut breaches = vec![];
    let cli = learnc::cli::Cli::command();
    for verb in cli.get_subcommands() {
        let name = verb.get_name();
        if !page.contains(&format!("learnc {name}")) {
            breaches.push(format!("learnc {name}"));
        }
        for switch in verb.get_arguments().filter(|a| !a.is_hide_set()).filter_map(|a| a.get_long())
        {
            if !has_word(&page, &format!("--{switch}")) {
                breaches.push(format!("learnc {name} --{switch}"));
            }
        }
    }
    none(breaches, "what the program takes, book/src/commands.md explains");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut breaches = vec![];
    for path in documents() {
        let text = read(&path);
        let targets = text.match_indices("](").map(|(at, _)| &text[at + 2..]);
        let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|t| !t.is_empty() && !t.contains("://")) {
            if !root().join(path.parent().unwrap()).join(target).exists() {
                breaches.push(format!("{} links to {target}", path.display()));
            }
        }
        for line in text.lines().filter_map(|line| line.split_once("{{#include ")) {
            let file = line.1.split(['}', ':']).next().unwrap();
            if !root().join(path.parent().unwrap()).join(file).exists() {
                breaches.push(format!("{} includes {file}", path.display()));
            }
        }
    }
    none(breaches, "a newcomer follows links");
}

#[test]
fn the_summary_lists_every_chapter() {
    let summary = read("book/src/SUMMARY.md");
    let chapters = files("book/src", &["md"]).into_iter().filter(|p| !p.ends_with("SUMMARY.md"));
    let lost = chapters.map(|p| p.strip_prefix("book/src").unwrap().display().to_string());
    let lost = lost.filter(|name| !summary.contains(&format!("({name})")));
    none(lost.collect(), "mdBook builds only what SUMMARY.md names");
}

/// A test may choose a stage or two by name; whoever means all of them asks for them.
#[test]
fn the_stages_are_listed_by_their_folders_alone() {
    let names: Vec<&str> = learnc::lesson::stage::all().iter().map(|stage| &*stage.name).collect();
    // Some have the name of a call, of which there are other lists.
    let is_call = |name: &&str| learnc::lesson::words::call(name).is_some();
    let mut breaches = vec![];
    for path in [rust("src"), rust("tests"), rust("benches")].concat() {
        for (i, line) in read(&path).lines().enumerate() {
            let named = names.iter().filter(|name| line.contains(&format!("{name:?}")));
            let named: Vec<&str> = named.copied().collect();
            if named.len() > 2 && !named.iter().all(is_call) {
                breaches.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
        }
    }
    none(breaches, "a stage is a folder in lessons/, and nothing in Rust");
}

#[test]
fn the_readme_names_what_the_tests_install() {
    let (script, readme) = (read("tests/all"), read("README.md"));
    // `peers='NAME why'`, a line each; or `peers=(NAME NAME)`.
    let list = script.split("peers=").nth(1).expect("peers= in tests/all");
    let packages: Vec<&str> = match list.strip_prefix('(') {
        Some(list) => list.split(')').next().unwrap().split_whitespace().collect(),
        None => {
            list.split('\'').nth(1).unwrap().lines().filter_map(|l| l.split(' ').next()).collect()
        }
    };
    assert!(packages.len() > 2, "{packages:?}");
    let missing = packages.into_iter().filter(|package| !readme.contains(&format!("`{package}`")));
    none(missing.map(str::to_owned).collect(), "nobody likes a surprise from apt-get");
}
