//! A function fits a screen, a file a sitting.

use std::collections::BTreeMap;

use super::{code, none, read, rust};

/// Aims of the style; what is longer stands in tests/ratchet.txt.
const LONGEST_FILE: usize = 300;
const LONGEST_FUNCTION: usize = 60;

/// Functions and their lengths, as rustfmt lays them out.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = vec![];
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(rest) = trimmed.split("fn ").nth(1) else { continue };
        let heads = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "unsafe fn "];
        if !heads.iter().any(|head| trimmed.starts_with(head)) || trimmed.ends_with(';') {
            continue;
        }
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let length = lines[start..].iter().position(|line| *line == end).map_or(1, |n| n + 1);
        found.push((name.to_owned(), length));
    }
    found
}

#[test]
fn files_and_functions_fit() {
    let mut now = BTreeMap::new();
    for path in [rust("src"), rust("tests"), rust("benches")].concat() {
        let code = code(&path);
        let name = path.display().to_string();
        now.insert(name.clone(), code.lines().count());
        for (function, length) in functions(&code) {
            let longest = now.entry(format!("{name} {function}")).or_insert(0);
            *longest = length.max(*longest);
        }
    }
    let limit = |what: &str| if what.contains(' ') { LONGEST_FUNCTION } else { LONGEST_FILE };
    let mut breaches = vec![];
    let mut excused = BTreeMap::new();
    for line in read("tests/ratchet.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (length, what) = line.split_once(' ').expect("LENGTH FILE [FUNCTION]");
        let length: usize = length.parse().expect("a number of lines");
        excused.insert(what.to_owned(), length);
        match now.get(what) {
            Some(lines) if *lines > limit(what) => {}
            _ => breaches.push(format!("{what} fits now: take it out of tests/ratchet.txt")),
        }
    }
    for (what, lines) in &now {
        let allowed = excused.get(what).copied().unwrap_or_else(|| limit(what));
        if *lines > allowed {
            breaches.push(format!("{what}: {lines} lines, {allowed} at most"));
        }
    }
    none(
        breaches,
        "a function fits a screen, a file a sitting; tests/ratchet.txt only ever shrinks",
    );
}

#[test]
fn a_long_function_would_be_seen() {
    let code =
        "impl A {\n    pub fn long(&self) {\n        one();\n        two();\n    }\n}\nfn f();\n";
    assert_eq!(functions(code), [("long".to_owned(), 4)]);
}
