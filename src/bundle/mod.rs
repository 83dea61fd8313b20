//! The bundle: a folder with a `config.json` in it, read and checked.
//!
//! OCI bundle.md, config.md. Complaints carry the path inside the JSON. Fields that nobody knows are
//! ignored, as the spec says, and named so that a typing error does not go unseen. Fields that this
//! version knows but cannot honour are refused here, in one table, since dropping one silently would
//! be a promise not kept.

pub mod accounts;
pub mod defaults;
pub mod wishes;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde_json::Value;

use crate::error::{Error, Named, Result};
use crate::sys::CapSet;

/// A config that can be planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    pub spec: Spec,
    /// What was ignored, as sentences.
    pub warnings: Vec<String>,
}

/// The largest config.json that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads `config.json` of a bundle.
pub fn load(dir: &Path) -> Result<Bundle> {
    let path = dir.canonicalize().map_err(|e| {
        Error::from(e)
            .at(format!("bundle {}", dir.display()))
            .try_this("--bundle DIR, the folder that holds config.json")
    })?;
    let file = path.join("config.json");
    let text = match std::fs::metadata(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::yours(format!("there is no config.json in {}", path.display()))
                .try_this("learnc spec  (writes one to start from), or --bundle DIR"));
        }
        Ok(meta) if meta.len() > LARGEST => {
            let text = format!("{} bytes; {LARGEST} are the most that is read", meta.len());
            return Err(Error::yours(text).at(file.display().to_string()));
        }
        _ => std::fs::read_to_string(&file).named(&file).map_err(|e| {
            e.try_this("config.json must be a file, and readable for whoever runs learnc")
        })?,
    };
    parse(&text, path).map_err(|e| e.at("config.json"))
}

/// Reads a config that is not in a file: a stage's, or the default.
pub fn parse(text: &str, path: PathBuf) -> Result<Bundle> {
    let json: Value = serde_json::from_str(text).map_err(|e| {
        Error::yours(format!("line {}, column {}: {}", e.line(), e.column(), brief(&e)))
            .try_this("what stands there or just before it is not JSON as RFC 8259 has it")
    })?;
    from_value(json, path)
}

/// serde_json repeats the place at the end of its message.
fn brief(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(head, _)| head.to_owned())
}

pub fn from_value(mut json: Value, path: PathBuf) -> Result<Bundle> {
    if !json.is_object() {
        return Err(Error::yours("must be an object: { … }").try_this("learnc spec writes one"));
    }
    let mut warnings = unknown_capabilities(&mut json);
    let spec: Spec = {
        let track = serde_path(&json);
        track.map_err(|(place, text)| misfit(&text).at(place))?
    };
    check_version(&json)?;
    refuse_unsupported(&json)?;
    let known = serde_json::to_value(&spec)?;
    let mut unknown = Vec::new();
    compare("", &json, &known, &mut unknown);
    warnings.extend(unknown.into_iter().map(|field| {
        format!("config.json: {field} is no field that learnc knows; it is ignored.")
    }));
    Ok(Bundle { path, spec, warnings })
}

/// Deserialises, and says at which path it failed.
fn serde_path(json: &Value) -> std::result::Result<Spec, (String, String)> {
    serde_path_to_error::deserialize(json).map_err(|e| {
        let place = e.path().to_string();
        (if place == "." { String::new() } else { place }, e.into_inner().to_string())
    })
}

/// A value that does not fit: with the word that was meant, where it was one of a few.
fn misfit(text: &str) -> Error {
    let error = Error::yours(text);
    let Some((given, known)) = text.split_once("`, expected one of ") else { return error };
    let given = given.rsplit('`').next().unwrap_or_default();
    let letters = |word: &str| {
        let mut letters: Vec<char> = word.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    let meant = known.split(['`', ',', ' ']).filter(|word| !word.is_empty());
    let mut meant = meant.filter(|word| letters(word) == letters(given));
    match meant.next() {
        Some(word) => error.try_this(format!("{word:?}")),
        None => error,
    }
}

fn check_version(json: &Value) -> Result<()> {
    let at = |e: Error| e.at("ociVersion");
    let Some(version) = json.get("ociVersion").and_then(Value::as_str) else {
        return Err(at(Error::yours("is missing").try_this("\"ociVersion\": \"1.2.0\"")));
    };
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(at(Error::yours(format!("{version:?} is not 1.x")).try_this("\"1.2.0\""))),
    }
}

/// Fields of the spec that this version refuses: path, and what to do.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("/hooks", "remove the hooks"),
    ("/linux/seccomp", "remove linux.seccomp"),
    ("/linux/intelRdt", "remove linux.intelRdt"),
    ("/linux/personality", "remove linux.personality"),
    ("/linux/netDevices", "remove linux.netDevices"),
    ("/linux/memoryPolicy", "remove linux.memoryPolicy"),
    ("/linux/timeOffsets", "remove linux.timeOffsets"),
    ("/linux/mountLabel", "remove linux.mountLabel"),
    ("/linux/resources/blockIO", "remove linux.resources.blockIO"),
    ("/linux/resources/hugepageLimits", "remove linux.resources.hugepageLimits"),
    ("/linux/resources/network", "remove linux.resources.network"),
    ("/linux/resources/rdma", "remove linux.resources.rdma"),
    ("/linux/resources/unified", "remove linux.resources.unified"),
    ("/process/apparmorProfile", "remove process.apparmorProfile"),
    ("/process/selinuxLabel", "remove process.selinuxLabel"),
    ("/process/scheduler", "remove process.scheduler"),
    ("/process/ioPriority", "remove process.ioPriority"),
    ("/process/execCPUAffinity", "remove process.execCPUAffinity"),
];

fn refuse_unsupported(json: &Value) -> Result<()> {
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(|v| v.as_array().is_some_and(Vec::is_empty)),
        _ => false,
    };
    for (pointer, remedy) in UNSUPPORTED {
        if json.pointer(pointer).is_some_and(|value| !empty(value)) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            return Err(Error::yours("this version of learnc cannot do that")
                .at(field)
                .because("ignoring it would give a container other than the one described")
                .try_this(*remedy));
        }
    }
    Ok(())
}

/// Takes capability names out that the kernel's headers do not have: "runtimes … MUST warn".
fn unknown_capabilities(json: &mut Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(sets) = json.pointer_mut("/process/capabilities").and_then(Value::as_object_mut)
    else {
        return warnings;
    };
    for (set, list) in sets {
        let Some(list) = list.as_array_mut() else { continue };
        list.retain(|name| {
            let name = name.as_str().unwrap_or_default();
            let known = CapSet::named(name).is_some();
            if !known {
                warnings.push(format!(
                    "process.capabilities.{set}: {name:?} is no capability that learnc knows; it \
                     is left out."
                ));
            }
            known
        });
    }
    warnings
}

/// Fields that are in the file and not in what was understood of it. Maps with free keys
/// (annotations, sysctl) come back whole, so they are never reported.
fn compare(place: &str, file: &Value, known: &Value, unknown: &mut Vec<String>) {
    match (file, known) {
        (Value::Object(file), Value::Object(known)) => {
            for (key, value) in file {
                let here = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                match known.get(key) {
                    Some(other) => compare(&here, value, other, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(here),
                }
            }
        }
        (Value::Array(file), Value::Array(known)) => {
            for (i, (value, other)) in file.iter().zip(known).enumerate() {
                compare(&format!("{place}[{i}]"), value, other, unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: Value) -> Result<Bundle> {
        from_value(json, "/bundle".into())
    }

    #[test]
    fn a_wrong_type_is_told_by_its_path() {
        let error = read(serde_json::json!({
            "ociVersion": "1.2.0", "linux": {"namespaces": [{"type": "pid"}, {"type": 7}]}
        }))
        .unwrap_err();
        assert!(error.to_string().starts_with("linux.namespaces[1].type: "), "{error}");
    }

    #[test]
    fn an_unknown_field_is_named_and_ignored() {
        let bundle = read(serde_json::json!({"ociVersion": "1.2.0", "hostnam": "x"})).unwrap();
        assert!(bundle.warnings[0].contains("hostnam is no field"), "{:?}", bundle.warnings);
    }

    #[test]
    fn an_unknown_capability_is_a_warning() {
        let bundle = read(serde_json::json!({
            "ociVersion": "1.2.0",
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0},
                        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_FLY"]}}
        }))
        .unwrap();
        assert!(bundle.warnings[0].contains("CAP_FLY"), "{:?}", bundle.warnings);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let json = serde_json::json!({
            "ociVersion": "1.2.0", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}
        });
        assert!(read(json).unwrap_err().to_string().starts_with("linux.seccomp: "));
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_and_no_panic(text in ".{0,200}") {
            let _ = parse(&text, "/bundle".into());
        }
    }
}
