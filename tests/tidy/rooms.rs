//! Who may do what, and who may know whom.

use std::path::Path;

use super::{code, has_word, none, read, rust};

/// The rooms of src/, foundations first: a room may use those named before it, never those after.
/// That is the flow of ARCHITECTURE.md read backwards.
const ROOMS: [&str; 20] = [
    "args",
    "error",
    "event",
    "sys",
    "facts",
    "cgroup",
    "image",
    "rootfs",
    "bundle",
    "lesson",
    "lifecycle",
    "inspect",
    "doctor",
    "parts",
    "plan",
    "emit",
    "perform",
    "trace",
    "render",
    "cli",
];

/// What may be called of nix outside src/sys: it looks, counts, or changes nothing but this
/// process's own terminal, its signals and its waiting.
const HARMLESS: [&str; 10] = [
    "poll",
    "read",
    "write",
    "cfmakeraw",
    "tcgetattr",
    "tcsetattr",
    "sigprocmask",
    "raise",
    "lock",
    "makedev",
];

fn room(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn only_sys_names_libc_and_is_unsafe() {
    let mut breaches = vec![];
    for path in rust("src").into_iter().filter(|path| room(path) != "sys") {
        let code = code(&path);
        for word in ["libc", "unsafe", "transmute"].iter().filter(|word| has_word(&code, word)) {
            breaches.push(format!("{} says `{word}`", path.display()));
        }
    }
    none(breaches, "src/sys is the one door to the kernel, where each call is told as it is made");
}

/// What is named of nix: the last words of `nix::a::b` and of `nix::a::{b, c}`.
fn nix_names(code: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut names = vec![];
    for (at, _) in code.match_indices("nix::") {
        let path: String = code[at..].chars().take_while(|c| is_path(*c)).collect();
        let list = code[at + path.len()..].strip_prefix('{').filter(|_| path.ends_with("::"));
        match list.and_then(|list| list.split('}').next()) {
            Some(list) => names.extend(list.split(',').map(|name| name.trim().to_owned())),
            None => names.extend(path.rsplit("::").next().map(str::to_owned)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn outside_sys_nix_is_types_not_acts() {
    let mut breaches = vec![];
    for path in rust("src").into_iter().filter(|path| room(path) != "sys") {
        for name in nix_names(&code(&path)) {
            let acts = name.starts_with(|c: char| c.is_ascii_lowercase());
            if acts && !HARMLESS.contains(&name.as_str()) {
                breaches.push(format!("{}: {name}", path.display()));
            }
        }
    }
    none(breaches, "nix's functions would act without a word; the same call is a value in src/sys");
}

#[test]
fn an_act_would_be_seen() {
    let code = "use nix::sched::{CloneFlags, unshare};\nnix::unistd::chroot(\"/\")?;";
    assert_eq!(nix_names(code), ["CloneFlags", "unshare", "chroot"]);
}

#[test]
fn fences_are_opened_one_place_at_a_time() {
    let mut breaches = vec![];
    for path in rust("src").into_iter().filter(|path| room(path) != "sys") {
        let text = code(&path);
        for (at, _) in text.match_indices("clippy::disallowed_methods") {
            let line_start = text[..at].rfind("#").unwrap_or(0);
            let attribute = text[line_start..].split(']').next().unwrap_or_default();
            if !attribute.starts_with("#[expect(") || !attribute.contains("reason =") {
                breaches.push(format!("{}: {attribute}]", path.display()));
            }
        }
    }
    none(breaches, "an #[expect(.., reason = ..)] says why, and complains when it is not needed");
    let clippy = read("clippy.toml");
    for line in clippy.lines().filter(|line| line.contains("path =")) {
        assert!(line.contains("reason = \""), "clippy.toml has a rule without its reason: {line}");
    }
}

/// Rooms that this file names: `crate::room` and `crate::{room::x, ..}`.
fn used_rooms(code: &str) -> Vec<String> {
    let mut used = vec![];
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let word = |text: &str| {
            text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()
        };
        match rest.strip_prefix('{') {
            Some(list) => {
                let (mut depth, mut item) = (0, String::new());
                for c in list.chars() {
                    match c {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => used.push(word(&std::mem::take(&mut item))),
                        _ => {}
                    }
                    item.push(if c == ',' { ' ' } else { c });
                }
                used.push(word(&item));
            }
            None => used.push(word(rest)),
        }
    }
    used
}

#[test]
fn rooms_depend_on_rooms_below_them() {
    let rank = |name: &str| ROOMS.iter().position(|room| *room == name);
    let mut breaches = vec![];
    for path in rust("src") {
        let own = room(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        let Some(mine) = rank(&own) else {
            breaches.push(format!("{own} has no place in ROOMS of tests/tidy/rooms.rs"));
            continue;
        };
        for used in used_rooms(&code(&path)) {
            if rank(&used).is_some_and(|theirs| theirs > mine) {
                breaches.push(format!("{} uses {used}, which stands above {own}", path.display()));
            }
        }
    }
    none(breaches, "data flows one way; with a circle no room can be read, or tested, on its own");
}

#[test]
fn a_circle_would_be_seen() {
    let code = "use crate::{args::Arg, plan::{Plan, Step}, cli};\nlet x = crate::perform::run();";
    assert_eq!(used_rooms(code), ["args", "plan", "cli", "perform"]);
}
