//! The arguments of a system call, as values that can be shown, compared and stored.
//!
//! An argument keeps what kind of thing it is (a descriptor, a set of flags, a string that the
//! kernel will read), because the terminal, the JSON and the witness each need it differently. The
//! JSON form explains itself: a string is a string, `{"flags":["MS_REC"]}` a set of flags,
//! `{"fd":5,"path":"/proc"}` a descriptor and what it was opened as, `null` a null pointer.
//! The text form is that of strace, so that a learner can put the two side by side.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    Int(i64),
    /// Permission bits, shown in octal: `0755`.
    Mode(u32),
    /// Names of the bits that are set; numbers for bits without a name. Empty means 0.
    Flags(Vec<Cow<'static, str>>),
    /// A constant with a name, where exactly one applies: `PR_SET_NO_NEW_PRIVS`.
    Name(Cow<'static, str>),
    Str(String),
    /// Bytes that are no UTF-8 text.
    Bytes(Vec<u8>),
    /// A descriptor, and what it was opened as where that is known.
    Fd(i32, Option<String>),
    /// `/proc/self/fd/N`: the file behind a descriptor, reached as a path.
    FdPath(i32, Option<String>),
    /// A process, as the host counts; 0 in a plan: the process is not there yet.
    Pid(i32),
    Null,
    List(Vec<Arg>),
    Struct(Args),
    /// Something that must not be shown. What it is stays inside.
    Secret,
}

/// Named arguments in the order in which the call takes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Args(pub Vec<(Cow<'static, str>, Arg)>);

impl Args {
    pub fn new() -> Args {
        Args::default()
    }

    /// Adds one argument: `Args::new().with("fd", Arg::Int(3))`.
    pub fn with(mut self, name: &'static str, arg: Arg) -> Args {
        self.0.push((Cow::Borrowed(name), arg));
        self
    }

    pub fn get(&self, name: &str) -> Option<&Arg> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, a)| a)
    }

    /// The list between a call's brackets: `NULL, "/", NULL, MS_REC|MS_SLAVE, NULL`.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(_, a)| a.to_text()).collect::<Vec<_>>().join(", ")
    }
}

/// The longest string that is shown whole, in bytes. Longer ones end in `...`, as strace does.
pub const LONGEST: usize = 4096;

impl Arg {
    /// A path or another string that may not be UTF-8.
    pub fn path(path: impl AsRef<std::path::Path>) -> Arg {
        use std::os::unix::ffi::OsStrExt;
        Arg::bytes(path.as_ref().as_os_str().as_bytes())
    }

    pub fn bytes(bytes: &[u8]) -> Arg {
        match std::str::from_utf8(bytes) {
            Ok(text) => Arg::Str(text.to_owned()),
            Err(_) => Arg::Bytes(bytes.to_vec()),
        }
    }

    pub fn optional(text: Option<&str>) -> Arg {
        text.map_or(Arg::Null, |t| Arg::Str(t.to_owned()))
    }

    pub fn name(name: impl Into<Cow<'static, str>>) -> Arg {
        Arg::Name(name.into())
    }

    /// The names of a `bitflags` value; bits without a name as one hexadecimal number.
    pub fn flags<F: bitflags::Flags<Bits = B>, B: bitflags::Bits + std::fmt::LowerHex>(
        flags: F,
    ) -> Arg {
        let mut names: Vec<Cow<'static, str>> =
            flags.iter_names().map(|(n, _)| Cow::Borrowed(n)).collect();
        let known = flags.iter_names().fold(F::empty(), |all, (_, f)| all.union(f));
        let rest = flags.bits() & !known.bits();
        if rest != B::EMPTY {
            names.push(Cow::Owned(format!("{rest:#x}")));
        }
        Arg::Flags(names)
    }

    /// As strace writes it.
    pub fn to_text(&self) -> String {
        match self {
            Arg::Int(n) => n.to_string(),
            Arg::Mode(m) => format!("{m:#05o}").replacen("0o", "0", 1),
            Arg::Flags(names) if names.is_empty() => "0".into(),
            Arg::Flags(names) => names.join("|"),
            Arg::Name(name) => name.to_string(),
            Arg::Str(text) => quote(text.as_bytes()),
            Arg::Bytes(bytes) => quote(bytes),
            Arg::Fd(n, Some(path)) if *n < -100 => format!("<{}>", plain(path)),
            Arg::Fd(-100, _) => "AT_FDCWD".into(),
            Arg::Fd(n, Some(path)) => format!("{n}<{}>", plain(path)),
            Arg::Fd(n, None) => n.to_string(),
            Arg::FdPath(n, Some(path)) if *n < -100 => quote(path.as_bytes()),
            Arg::FdPath(n, _) => format!("\"/proc/self/fd/{n}\""),
            Arg::Pid(0) => "<pid of the container>".into(),
            Arg::Pid(n) => n.to_string(),
            Arg::Null => "NULL".into(),
            Arg::List(items) => {
                let items: Vec<String> = items.iter().map(Arg::to_text).collect();
                format!("[{}]", items.join(", "))
            }
            Arg::Struct(fields) => {
                let fields: Vec<String> =
                    fields.0.iter().map(|(n, a)| format!("{n}={}", a.to_text())).collect();
                format!("{{{}}}", fields.join(", "))
            }
            Arg::Secret => "<secret>".into(),
        }
    }
}

/// A quoted string in which nothing can reach a terminal as a control character.
pub fn quote(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(LONGEST)];
    let mut text = String::with_capacity(cut.len() + 2);
    text.push('"');
    for chunk in cut.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                c if c.is_control() || is_directional(c) => write_escaped(&mut text, c),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    if bytes.len() > LONGEST {
        text.push_str("...");
    }
    text
}

/// The same without the quotes, for names and paths inside a sentence.
pub fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() || is_directional(c) => write_escaped(&mut safe, c),
            c => safe.push(c),
        }
    }
    safe
}

/// A path or word as a POSIX shell takes it: bare where it is harmless, else in single quotes.
pub fn shell(word: impl AsRef<std::path::Path>) -> String {
    let word = word.as_ref().display().to_string();
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    match !word.is_empty() && word.chars().all(harmless) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn write_escaped(text: &mut String, c: char) {
    let mut buffer = [0; 4];
    for byte in c.encode_utf8(&mut buffer).bytes() {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

/// Characters that reorder the text around them on a terminal.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, arg) in &self.0 {
            map.serialize_entry(name, arg)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Args, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Args;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("named arguments")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Args, A::Error> {
                let mut args = Args::default();
                while let Some((name, arg)) = map.next_entry::<String, Arg>()? {
                    args.0.push((Cow::Owned(name), arg));
                }
                Ok(args)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn one<S: Serializer, T: Serialize>(s: S, key: &str, value: T) -> Result<S::Ok, S::Error> {
            let mut map = s.serialize_map(Some(1))?;
            map.serialize_entry(key, &value)?;
            map.end()
        }
        match self {
            Arg::Int(n) => serializer.serialize_i64(*n),
            Arg::Mode(_) => one(serializer, "mode", self.to_text()),
            Arg::Flags(names) => one(serializer, "flags", names),
            Arg::Name(name) => one(serializer, "name", name),
            Arg::Str(text) => serializer.serialize_str(text),
            Arg::Bytes(bytes) => one(serializer, "bytes", bytes),
            Arg::Fd(n, None) => one(serializer, "fd", n),
            Arg::Fd(n, Some(path)) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("fd", n)?;
                map.serialize_entry("path", path)?;
                map.end()
            }
            Arg::FdPath(n, path) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("fd_path", n)?;
                map.serialize_entry("path", path)?;
                map.end()
            }
            Arg::Pid(n) => one(serializer, "pid", n),
            Arg::Null => serializer.serialize_unit(),
            Arg::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Arg::Struct(fields) => one(serializer, "struct", fields),
            Arg::Secret => one(serializer, "secret", true),
        }
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Arg, D::Error> {
        struct AnyArg;
        impl<'de> Visitor<'de> for AnyArg {
            type Value = Arg;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an argument of a system call")
            }
            fn visit_i64<E>(self, n: i64) -> Result<Arg, E> {
                Ok(Arg::Int(n))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Arg, E> {
                i64::try_from(n).map(Arg::Int).map_err(E::custom)
            }
            fn visit_str<E>(self, text: &str) -> Result<Arg, E> {
                Ok(Arg::Str(text.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Arg, E> {
                Ok(Arg::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arg, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Arg::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arg, A::Error> {
                let Some(kind) = map.next_key::<String>()? else {
                    return Err(de::Error::custom("an argument without a kind"));
                };
                let arg = match kind.as_str() {
                    "mode" => {
                        let text: String = map.next_value()?;
                        Arg::Mode(u32::from_str_radix(&text, 8).map_err(de::Error::custom)?)
                    }
                    "flags" => Arg::Flags(map.next_value()?),
                    "name" => Arg::Name(map.next_value()?),
                    "bytes" => Arg::Bytes(map.next_value()?),
                    "pid" => Arg::Pid(map.next_value()?),
                    "struct" => Arg::Struct(map.next_value()?),
                    "secret" => {
                        map.next_value::<bool>()?;
                        Arg::Secret
                    }
                    "fd_path" => {
                        let n = map.next_value()?;
                        let path = map.next_entry::<String, Option<String>>()?;
                        Arg::FdPath(n, path.and_then(|(_, path)| path))
                    }
                    "fd" => {
                        let n = map.next_value()?;
                        let path = map.next_entry::<String, String>()?.map(|(_, path)| path);
                        Arg::Fd(n, path)
                    }
                    other => {
                        return Err(de::Error::custom(format!("unknown argument kind {other}")));
                    }
                };
                Ok(arg)
            }
        }
        deserializer.deserialize_any(AnyArg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_arg() -> impl Strategy<Value = Arg> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Arg::Int),
            (0u32..0o7777).prop_map(Arg::Mode),
            prop::collection::vec("[A-Z_]{1,9}", 0..3)
                .prop_map(|v| Arg::Flags(v.into_iter().map(Cow::Owned).collect())),
            "[A-Z_]{1,9}".prop_map(|n| Arg::Name(n.into())),
            ".*".prop_map(Arg::Str),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(Arg::Bytes),
            (any::<i32>(), prop::option::of(".*")).prop_map(|(n, p)| Arg::Fd(n, p)),
            any::<i32>().prop_map(Arg::Pid),
            (any::<i32>(), prop::option::of(".*")).prop_map(|(n, p)| Arg::FdPath(n, p)),
            Just(Arg::Null),
            Just(Arg::Secret),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Arg::List),
                prop::collection::vec(("[a-z]{1,5}", inner), 0..3).prop_map(|v| Arg::Struct(Args(
                    v.into_iter().map(|(n, a)| (Cow::Owned(n), a)).collect()
                ))),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_argument_survives_json(arg in any_arg()) {
            let json = serde_json::to_string(&arg).unwrap();
            prop_assert_eq!(serde_json::from_str::<Arg>(&json).unwrap(), arg);
        }

        #[test]
        fn no_control_character_reaches_a_terminal(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!quote(&bytes).chars().any(|c| c.is_control() || is_directional(c)));
        }
    }

    #[test]
    fn the_text_form_is_that_of_strace() {
        let args = Args::new()
            .with("source", Arg::Null)
            .with("target", Arg::path("/a\n"))
            .with("flags", Arg::Flags(vec!["MS_REC".into(), "MS_SLAVE".into()]))
            .with("mode", Arg::Mode(0o755))
            .with("dirfd", Arg::Fd(5, Some("/proc".into())));
        assert_eq!(args.to_text(), r#"NULL, "/a\n", MS_REC|MS_SLAVE, 0755, 5</proc>"#);
    }
}
