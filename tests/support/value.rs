//! An argument of a call, in the one form in which strace's word and learnc's can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

/// What both notations mean.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    /// A string that the kernel read.
    Text(Vec<u8>),
    /// Names and numbers or'ed together; a single one is a set of one, 0 is the empty set.
    Bits(BTreeSet<String>),
    /// A descriptor, with its path where it is known.
    Fd(i64, Option<String>),
    List(Vec<Value>),
    Fields(BTreeMap<String, Value>),
    /// What learnc does not show on purpose.
    Secret,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Value::Bits(words) if words.is_empty() => f.write_str("0"),
            Value::Bits(words) => {
                f.write_str(&words.iter().map(String::as_str).collect::<Vec<_>>().join("|"))
            }
            Value::Fd(n, path) => write!(f, "{n}<{}>", path.as_deref().unwrap_or("?")),
            Value::List(items) => f.debug_list().entries(items).finish(),
            Value::Fields(fields) => f.debug_map().entries(fields).finish(),
            Value::Secret => f.write_str("<secret>"),
        }
    }
}

/// One word of a set: numbers in decimal, whatever their notation.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("1<<").unwrap_or(text);
    if let Some(device) = text.strip_prefix("makedev(").and_then(|t| t.strip_suffix(')')) {
        let (major, minor) = device.split_once(',')?;
        return Some(format!("device {}:{}", number(major.trim())?, number(minor.trim())?));
    }
    if let Some((a, b)) = text.split_once('*') {
        let product = number(a)?.checked_mul(number(b)?)?;
        return Some(product.to_string());
    }
    match number(text) {
        Some(0) => None,
        Some(n) => Some(n.to_string()),
        None => Some(text.to_owned()),
    }
}

/// Decimal, `0x` hexadecimal, or octal with a leading zero, as in C.
pub fn number(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).ok();
    }
    if text.len() > 1 && text.starts_with('0') {
        return i128::from_str_radix(&text[1..], 8).ok();
    }
    text.parse().ok()
}

/// `A|B|0644`, but not inside brackets.
pub fn bits(text: &str) -> Value {
    let mut words = BTreeSet::new();
    let (mut depth, mut start) = (0, 0);
    for (i, c) in text.char_indices().chain([(text.len(), '|')]) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => {
                words.extend(word(&text[start..i]));
                start = i + 1;
            }
            _ => {}
        }
    }
    Value::Bits(words)
}

impl Value {
    /// From the public JSON form of an argument: see the documentation of the events.
    pub fn of_event(json: &Json) -> Value {
        let words = |list: &Json| -> BTreeSet<String> {
            list.as_array().into_iter().flatten().filter_map(|w| word(w.as_str()?)).collect()
        };
        match json {
            Json::Null => Value::Null,
            Json::String(text) => Value::Text(text.clone().into_bytes()),
            Json::Number(n) => bits(&n.to_string()),
            Json::Array(items) => Value::List(items.iter().map(Value::of_event).collect()),
            Json::Object(map) => {
                let (kind, inner) = map.iter().next().expect("an argument says its kind");
                let field = |name: &str| map.get(name).cloned().unwrap_or_default();
                match kind.as_str() {
                    _ if map.contains_key("fd") => Value::Fd(
                        field("fd").as_i64().unwrap(),
                        field("path").as_str().map(str::to_owned),
                    ),
                    _ if map.contains_key("fd_path") => {
                        let text = format!("/proc/self/fd/{}", field("fd_path").as_i64().unwrap());
                        Value::Text(text.into_bytes())
                    }
                    "flags" => Value::Bits(words(inner)),
                    "mode" | "name" => bits(inner.as_str().unwrap()),
                    "pid" => bits(&inner.as_i64().unwrap().to_string()),
                    "bytes" => Value::Text(
                        inner
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|b| b.as_u64().unwrap() as u8)
                            .collect(),
                    ),
                    "struct" => Value::Fields(
                        inner
                            .as_object()
                            .unwrap()
                            .iter()
                            .map(|(name, value)| (name.clone(), Value::of_event(value)))
                            .collect(),
                    ),
                    "secret" => Value::Secret,
                    other => panic!("the events' documentation has no kind {other:?}"),
                }
            }
            Json::Bool(_) => panic!("no argument is a boolean"),
        }
    }

    /// Whether what learnc said (`self`) is what the witness saw.
    pub fn is(&self, seen: &Value) -> bool {
        match (self, seen) {
            (Value::Secret, _) => true,
            (Value::Fd(said, name), Value::Fd(seen, path)) => {
                said == seen && same_file(name.as_deref(), path.as_deref())
            }
            (Value::Fd(said, _), Value::Bits(_)) => bits(&said.to_string()) == *seen,
            (Value::List(said), Value::List(seen)) => {
                said.len() == seen.len() && said.iter().zip(seen).all(|(a, b)| a.is(b))
            }
            // The witness shows fields that learnc leaves at nothing; they must be nothing.
            (Value::Fields(said), Value::Fields(seen)) => {
                said.iter().all(|(name, a)| seen.get(name).is_some_and(|b| a.is(b)))
                    && seen.iter().all(|(name, b)| said.contains_key(name) || b.is_nothing(name))
            }
            _ => self == seen,
        }
    }

    fn is_nothing(&self, name: &str) -> bool {
        match self {
            Value::Null => true,
            Value::Bits(words) => words.is_empty(),
            Value::Text(text) => text.is_empty(),
            // Where the kernel finds the instructions, and what name a program has for tools.
            _ => ["insns", "prog_name"].contains(&name),
        }
    }
}

/// The name that learnc keeps for a descriptor is what it was opened as; the witness reads where it
/// leads now. After the roots are swapped the beginnings differ, the last names do not.
fn same_file(said: Option<&str>, seen: Option<&str>) -> bool {
    let (Some(said), Some(seen)) = (said, seen) else { return true };
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    let linked =
        seen.contains(':') || seen == "/" || said.ends_with("/.") || said.contains("/proc/self");
    linked || last(said) == last(seen)
}
