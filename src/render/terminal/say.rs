//! A call in pieces: what strace would write, and where a line may end in it.
//!
//! Lines end after an argument's comma or between two flags, never inside a flag, a path or a name.
//! What a descriptor was opened as stands behind its number: it is no part of the call, so it is in
//! another colour and may be shortened. An argument that is no path is cut as strace cuts it, with
//! `...` behind the quote; `-v` shows it whole.

use std::collections::HashSet;

use super::look::{Look, Role, ascii};
use super::text::{Pieces, width};
use crate::args::{Arg, Args, quote};
use crate::event::{Call, Event};

/// The longest string that is shown without `-v`, in characters, unless it is a path.
const LONG: usize = 36;

/// `mount(NULL, "/", NULL, MS_REC|MS_SLAVE, NULL)`
pub fn call(look: &Look, name: &str, args: &Args) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.push(Role::Name, name).push(Role::Fact, "(");
    list(look, args.0.iter().map(|(_, arg)| (None, arg)), &mut pieces);
    pieces.push(Role::Fact, ")");
    pieces
}

/// The arguments, with a long structure that has been shown before as `{…}`.
pub fn abbreviated(look: &Look, args: &Args, known: &mut HashSet<String>) -> Args {
    let mut args = args.clone();
    for (_, arg) in args.0.iter_mut().filter(|_| look.wraps && !look.whole) {
        let text = arg.to_text();
        if matches!(arg, Arg::Struct(_)) && width(&text) > 20 && !known.insert(text) {
            *arg = Arg::name(format!("{{{}}}", look.glyphs().dots));
        }
    }
    args
}

/// `write /proc/4243/uid_map ← "0 1000 1"`
pub fn write_to(look: &Look, write: &Call, path: &str) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.push(Role::Name, "write").push(Role::Fact, " ");
    pieces.push(Role::Fact, look.outside(path) + " ").may_break();
    pieces.push(Role::Frame, format!("{} ", look.glyphs().into));
    one(look, write.args.get("buf").unwrap_or(&Arg::Null), &mut pieces);
    pieces
}

fn list<'a>(
    look: &Look,
    items: impl Iterator<Item = (Option<&'a str>, &'a Arg)>,
    pieces: &mut Pieces,
) {
    let mut items = items.peekable();
    while let Some((name, arg)) = items.next() {
        if let Some(name) = name {
            pieces.push(Role::Fact, format!("{name}="));
        }
        one(look, arg, pieces);
        if items.peek().is_some() {
            pieces.push(Role::Fact, ", ").next_argument();
        }
    }
}

fn one(look: &Look, arg: &Arg, pieces: &mut Pieces) {
    match arg {
        Arg::Flags(names) if !names.is_empty() => {
            let last = names.len() - 1;
            for (i, name) in names.iter().enumerate() {
                let bar = if i < last { "|" } else { "" };
                pieces.push(Role::Fact, format!("{name}{bar}"));
                if i < last {
                    pieces.may_break();
                }
            }
        }
        Arg::Struct(fields) => {
            pieces.push(Role::Fact, "{");
            pieces.deeper();
            list(look, fields.0.iter().map(|(n, a)| (Some(n.as_ref()), a)), pieces);
            pieces.push(Role::Fact, "}");
            pieces.shallower();
        }
        Arg::List(items) => {
            pieces.push(Role::Fact, "[");
            pieces.deeper();
            list(look, items.iter().map(|a| (None, a)), pieces);
            pieces.push(Role::Fact, "]");
            pieces.shallower();
        }
        Arg::Fd(n, Some(path)) if *n != -100 => {
            // In a plan there is no number yet.
            pieces.push(Role::Fact, if *n < 0 { String::new() } else { n.to_string() });
            pieces.push(Role::Frame, format!("<{}>", place(look, path)));
        }
        Arg::FdPath(n, Some(path)) if *n >= 0 => {
            pieces.push(Role::Fact, format!("\"/proc/self/fd/{n}\""));
            pieces.push(Role::Frame, format!("<{}>", place(look, path)));
        }
        Arg::Str(_) | Arg::Bytes(_) => {
            pieces.push(Role::Fact, string(look, arg));
        }
        Arg::Name(name) => {
            pieces.push(Role::Fact, name.as_ref());
        }
        other => {
            let text = other.to_text();
            pieces.push(Role::Fact, if look.unicode { text } else { ascii(&text) });
        }
    }
}

/// A string in quotes; cut where it is long and no path.
fn string(look: &Look, arg: &Arg) -> String {
    let text = match arg {
        Arg::Str(text) if !look.whole && look.wraps && !text.starts_with('/') => {
            match text.char_indices().nth(LONG) {
                Some((end, _)) => format!("{}...", quote(&text.as_bytes()[..end])),
                None => arg.to_text(),
            }
        }
        _ => arg.to_text(),
    };
    if look.unicode { text } else { ascii(&text) }
}

/// What a descriptor was opened as: the last two names of a long path are enough to know it by.
pub fn place(look: &Look, path: &str) -> String {
    let path = look.outside(path);
    if look.whole || !look.wraps || width(&path) <= 20 {
        return path;
    }
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    match names.as_slice() {
        [.., above, name] => format!("{}/{above}/{name}", look.glyphs().dots),
        _ => path,
    }
}

/// What one argument says in a list of several calls: without quotes, a descriptor by its place.
pub fn briefly(look: &Look, arg: &Arg) -> String {
    match arg {
        Arg::Fd(_, Some(path)) | Arg::FdPath(_, Some(path)) => place(look, path),
        Arg::Str(text) => look.outside(text),
        other => other.to_text(),
    }
}

/// A registry's answer, or a digest that was checked, in a line. Digests are shortened for eyes, unless they
/// differ.
pub fn of_an_image(look: &Look, event: &Event) -> String {
    let glyphs = look.glyphs();
    let digest = |digest: &str| match look.wraps && !look.whole {
        true => digest.chars().take("sha256:".len() + 12).collect(),
        false => digest.to_owned(),
    };
    match event {
        Event::Requested { method, url, status, media_type, bytes, .. } => {
            let bytes = bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
            let kind = if media_type.is_empty() { "" } else { " " };
            let url = match url.rsplit_once("sha256:") {
                Some((before, hex))
                    if look.wraps && !look.whole && hex.len() == 64 && hex.is_ascii() =>
                {
                    format!("{before}sha256:{}{}", &hex[..12], glyphs.dots)
                }
                _ => url.clone(),
            };
            format!("{method} {url} = {status}{kind}{media_type}{bytes}")
        }
        Event::Checked { what, bytes, claimed, computed, .. } if claimed == computed => {
            format!(
                "{} {what}, {bytes} bytes: {}, claimed and computed",
                glyphs.yes,
                digest(claimed)
            )
        }
        Event::Checked { what, bytes, claimed, computed, .. } => {
            format!("{} {what}, {bytes} bytes: claimed {claimed}, computed {computed}", glyphs.no)
        }
        _ => String::new(),
    }
}
