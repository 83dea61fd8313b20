//! The tree is tidy: what ARCHITECTURE.md promises of the source, checked on the source.
//!
//! Few rules, each with its reason in its message. Lint-like rules that clippy or rustc can hold
//! (`unsafe_code`, `disallowed-methods` in clippy.toml) are held there; here is what they cannot see.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

use std::fs;
use std::path::{Path, PathBuf};

mod documents;
mod lengths;
mod rooms;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Files below `dir` with one of these endings, as paths from the root of the repository.
pub fn files(dir: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![];
    let Ok(entries) = fs::read_dir(root().join(dir)) else { return found };
    for entry in entries.flatten() {
        let path = Path::new(dir).join(entry.file_name());
        if entry.path().is_dir() {
            found.extend(files(path.to_str().unwrap(), endings));
        } else if path.extension().is_some_and(|e| endings.contains(&e.to_str().unwrap())) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub fn rust(dir: &str) -> Vec<PathBuf> {
    files(dir, &["rs"])
}

/// A source without its comments and without its unit tests.
pub fn code(path: &Path) -> String {
    let text = read(path);
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    )
}

pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// Fails with the reason and every place.
pub fn none(breaches: Vec<String>, reason: &str) {
    assert!(breaches.is_empty(), "\n  {}\nWhy this is a rule: {reason}\n", breaches.join("\n  "));
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let (mut inside, mut before, mut breaches, mut count) = (false, "", vec![], 0);
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.contains('=') && !line.starts_with('#') {
            let name = line.split('=').next().unwrap().trim();
            count += 1;
            if !before.starts_with(&format!("# {name}: ")) {
                breaches.push(format!("{name}: no line `# {name}: reason` above it"));
            }
        }
        before = line;
    }
    assert!(count > 10, "Cargo.toml was not understood");
    none(breaches, "each dependency is code that a reader must trust; one sentence says why");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself.
    let words = [["to", "do!("], ["unimpl", "emented!("], ["#[ign", "ore"], ["db", "g!("]]
        .map(|w| w.concat());
    let mut breaches = vec![];
    for path in [rust("src"), rust("tests"), rust("benches")].concat() {
        let text = read(&path);
        for word in words.iter().filter(|word| text.contains(*word)) {
            breaches.push(format!("{}: {word}", path.display()));
        }
    }
    none(
        breaches,
        "what is here works; a test that cannot run is skipped by name, with the reason",
    );
}

#[test]
fn every_file_opens_with_its_story() {
    let told = |path: &PathBuf| !read(path).starts_with("//!");
    let breaches = [rust("src"), rust("tests"), rust("benches")].concat();
    let breaches = breaches.iter().filter(|path| told(path)).map(|p| p.display().to_string());
    none(breaches.collect(), "the reader knows what a file promises before the code");
}

#[test]
fn no_path_of_somebodys_machine() {
    let endings = ["rs", "md", "toml", "txt", "json", "jsonl", "snap", "sh"];
    let dirs = ["src", "tests", "benches", "lessons", "fixtures", "book/src", ".ci"];
    let mut paths: Vec<PathBuf> = dirs.iter().flat_map(|dir| files(dir, &endings)).collect();
    paths.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Cargo.toml"].map(PathBuf::from),
    );
    let here = root().display().to_string();
    let mut breaches = vec![];
    for path in paths.into_iter().filter(|path| read(path).contains(&here)) {
        breaches.push(format!("{} names {here}", path.display()));
    }
    none(breaches, "the repository works wherever it is cloned");
}

#[test]
fn tests_with_their_own_main_are_declared() {
    let manifest = read("Cargo.toml");
    let declared: Vec<String> = manifest
        .split("[[test]]")
        .skip(1)
        .filter(|table| table.split("\n[").next().unwrap().contains("harness = false"))
        .map(|table| table.split('"').nth(1).unwrap().to_owned())
        .collect();
    let own_main: Vec<String> = files("tests", &["rs"])
        .into_iter()
        .filter(|path| path.components().count() == 2 && read(path).contains("\nfn main()"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut sorted = declared.clone();
    sorted.sort();
    assert_eq!(sorted, own_main, "without `harness = false` such a file passes with no test run");
}
