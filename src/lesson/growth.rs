//! How a config grows from one stage to the next: which fields are new, and its text with what is new
//! marked.
//!
//! Fields are compared by their place in the JSON, entries of a list by their value: a list that has got
//! longer has grown, in whatever place.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Fields of `config` that are not in `base`, or have more or other in them there: `mounts`,
/// `linux.namespaces`. Two levels deep, which is where people look for them.
pub fn added(base: &Value, config: &Value) -> Vec<String> {
    let mut added = Vec::new();
    for (name, value) in fields(config) {
        let old = base.get(name).unwrap_or(&Value::Null);
        // What is new as a whole is named as a whole, but for `linux`, which says nothing.
        if value.is_object() && (old.is_object() || name == "linux") {
            let inside = |key: &String| old.get(key).unwrap_or(&Value::Null);
            let new = fields(value).filter(|(key, value)| !holds(inside(key), value));
            added.extend(new.map(|(key, _)| format!("{name}.{key}")));
        } else if !holds(old, value) {
            added.push(name.clone());
        }
    }
    added
}

/// Fields of `base` that `config` leaves out, or in which something of it is missing.
pub fn lost(base: &Value, config: &Value) -> Vec<String> {
    added(config, base)
}

/// Whether all of `part` is in `whole`; entries of a list in whatever order.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|old| holds(old, value)))
        }
        (Value::Array(whole), Value::Array(part)) => part.iter().all(|entry| whole.contains(entry)),
        _ => whole == part,
    }
}

/// What becomes of a line from one config to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Kept,
    Added,
    Removed,
}

/// The config's lines, and those of its base that are gone.
pub fn lines(base: Option<&Value>, config: &Value) -> Vec<(Change, String)> {
    let Some(base) = base else {
        return text(config).lines().map(|line| (Change::Kept, line.to_owned())).collect();
    };
    // A comma is no difference: the last entry of a list gets one when another follows.
    let bare = |config: &Value| -> Vec<String> {
        text(config).lines().map(|line| line.trim_end_matches(',').to_owned()).collect()
    };
    let (old, new) = (bare(base), bare(config));
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let (before, after) = (text(base), text(config));
    let (mut before, mut after) = (before.lines(), after.lines());
    let diff = TextDiff::from_slices(&old, &new);
    let change = |change: similar::Change<&str>| {
        let (kind, line) = match change.tag() {
            ChangeTag::Delete => (Change::Removed, before.next()),
            ChangeTag::Insert => (Change::Added, after.next()),
            ChangeTag::Equal => (Change::Kept, before.next().and(after.next())),
        };
        (kind, line.unwrap_or_default().to_owned())
    };
    diff.iter_all_changes().map(change).collect()
}

/// JSON as a person writes it: what is short on one line.
pub fn text(config: &Value) -> String {
    let mut text = String::new();
    write(config, 0, 0, &mut text);
    text.push('\n');
    text
}

const WIDTH: usize = 80;

fn write(value: &Value, indent: usize, used: usize, text: &mut String) {
    let short = brief(value);
    let nests = |v: &Value| v.is_array() || v.is_object();
    let flat = match value {
        Value::Array(list) => !list.iter().any(nests),
        Value::Object(map) => !map.values().any(nests),
        _ => true,
    };
    let fits = indent + used + short.len() < WIDTH && (flat || short.len() < 60);
    if !nests(value) || (indent > 0 && fits) {
        return text.push_str(&short);
    }
    let (open, close, entries) = match value {
        Value::Array(list) => ('[', ']', list.iter().map(|v| (String::new(), v)).collect()),
        _ => ('{', '}', fields(value).map(|(k, v)| (format!("{k:?}: "), v)).collect::<Vec<_>>()),
    };
    text.push(open);
    for (i, (key, entry)) in entries.iter().enumerate() {
        text.push_str(if i > 0 { ",\n" } else { "\n" });
        text.push_str(&" ".repeat(indent + 2));
        text.push_str(key);
        write(entry, indent + 2, key.len(), text);
    }
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

fn brief(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(brief).collect::<Vec<_>>().join(", "))
        }
        Value::Object(_) => {
            let entries = fields(value).map(|(key, v)| format!("{key:?}: {}", brief(v)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_new_is_named_by_its_place() {
        let base = json!({"ociVersion": "1", "process": {"args": ["sh"], "cwd": "/"}});
        let config = json!({
            "ociVersion": "1", "hostname": "box",
            "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0}},
            "linux": {"namespaces": [{"type": "pid"}], "resources": {"pids": {"limit": 1}}},
        });
        let new = ["hostname", "process.user", "linux.namespaces", "linux.resources"];
        assert_eq!(added(&base, &config), new);
        assert_eq!(lost(&base, &config), [""; 0]);
    }

    #[test]
    fn a_list_grows_in_any_place_and_an_entry_can_be_lost() {
        let base = json!({"mounts": [{"destination": "/a"}, {"destination": "/b"}]});
        let more = json!({"mounts": [{"destination": "/a"}, {"destination": "/x"}, {"destination": "/b"}]});
        let other = json!({"mounts": [{"destination": "/a"}]});
        assert_eq!((added(&base, &more), lost(&base, &more)), (vec!["mounts".into()], vec![]));
        assert_eq!((added(&base, &other), lost(&base, &other)), (vec![], vec!["mounts".into()]));
    }

    #[test]
    fn a_change_deep_inside_is_told_two_levels_deep() {
        let base = json!({"process": {"capabilities": {"bounding": ["A"], "permitted": ["A"]}}});
        let more =
            json!({"process": {"capabilities": {"bounding": ["A", "B"], "permitted": ["A"]}}});
        assert_eq!(added(&base, &more), ["process.capabilities"]);
        assert_eq!(lost(&base, &more), [""; 0]);
    }

    #[test]
    fn a_comma_is_no_change() {
        let (base, config) = (json!({"a": [1, {"b": 2}]}), json!({"a": [1, {"b": 2}], "c": 3}));
        let marked = lines(Some(&base), &config);
        let of = |change| -> Vec<&str> {
            marked.iter().filter(|(c, _)| *c == change).map(|(_, line)| &**line).collect()
        };
        assert_eq!((of(Change::Added), of(Change::Removed)), (vec!["  \"c\": 3"], vec![]));
        assert_eq!(of(Change::Kept).join("\n"), "{\n  \"a\": [1, {\"b\": 2}],\n}");
    }

    #[test]
    fn the_text_is_json_for_the_same_value() {
        let config = crate::bundle::defaults::config();
        assert_eq!(serde_json::from_str::<Value>(&text(&config)).unwrap(), config);
        assert!(text(&config).lines().all(|line| line.len() <= 80 || line.contains("PATH=")));
    }
}
