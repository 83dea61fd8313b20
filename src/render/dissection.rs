//! A dissected image as a tree: index, manifest, config, layers, and what each layer does.
//!
//! Facts only, in the order in which they point at each other. What there is much of is shown by its
//! largest; the whole is told by `--files`, and in `--json` and the page.

use super::terminal::look::{Look, Role};
use super::terminal::text::{padded, shorten, size};
use crate::image::dissect::{Dissection, Does, Entry, Kind, Layer, Part};
use crate::image::document::Platform;

/// How many entries of a kind are shown unless all are asked for.
const FEW: usize = 5;

/// Lines of the tree. `whole`: with every entry of every layer.
pub fn tree(image: &Dissection, whole: bool, look: &Look) -> Vec<String> {
    let mut page = Page { look, lines: vec![], stem: String::new() };
    let title = look.paint(Role::Title, &look.outside(&image.name));
    page.lines.push(format!("{title}   {}", look.paint(Role::Frame, &platform(&image.platform))));
    if let Some(index) = &image.index {
        page.part("index", index);
        let others: Vec<String> = image.also_for.iter().map(platform).collect();
        page.more("also for", &others.join(", "));
        page.deeper();
    }
    page.part("manifest", &image.manifest);
    page.deeper();
    page.part("config", &image.config);
    page.wishes(image);
    image.layers.iter().for_each(|layer| page.layer(layer, whole));
    let left = format!("{} in {}", size(image.bytes), count(image.files, "file"));
    page.lines.push(String::new());
    page.lines.push(look.paint(Role::Fact, &format!("seen from inside: {left}")));
    let wasted = match image.wasted {
        0 => "wasted: nothing, no layer hides what another one brings".to_owned(),
        bytes => {
            format!("wasted: {} that higher layers hide, and that are carried on", size(bytes))
        }
    };
    page.lines.push(look.paint(Role::Fact, &wasted));
    let checked = "checked: every digest above was computed again, and is that of the bytes";
    page.lines.push(look.paint(Role::Fact, checked));
    page.lines
}

struct Page<'a> {
    look: &'a Look,
    lines: Vec<String>,
    /// What stands before a line at this depth.
    stem: String,
}

impl Page<'_> {
    fn deeper(&mut self) {
        self.stem.push_str("  ");
    }

    /// `layer 1   sha256:…   12.3 MB   media type`
    fn part(&mut self, what: &str, part: &Part) {
        let (look, digest) = (self.look, &part.digest);
        let room = look.edge().saturating_sub(self.stem.len() + 11);
        let digest = if look.wraps && !look.whole { short(digest) } else { digest.clone() };
        let told = format!("{digest}  {:>9}  {}", size(part.size), look.outside(&part.media_type));
        let told = if look.wraps { shorten(&told, room, look.glyphs().dots) } else { told };
        let what = look.paint(Role::Title, &padded(what, 10));
        self.lines.push(format!("{}{what} {}", self.stem, look.paint(Role::Fact, &told)));
    }

    fn more(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let (look, indent) = (self.look, self.stem.len() + 11 + 10);
        let text = look.outside(text);
        let room = look.edge().saturating_sub(indent).max(20);
        let text = if look.wraps { shorten(&text, room, look.glyphs().dots) } else { text };
        let label = look.paint(Role::Frame, &padded(label, 10));
        let text = look.paint(Role::Fact, &text);
        self.lines.push(format!("{}{}{label}{text}", self.stem, " ".repeat(11)));
    }

    fn wishes(&mut self, image: &Dissection) {
        let wishes = &image.wishes;
        self.more("runs", &wishes.command().join(" "));
        self.more("as", &wishes.user);
        self.more("in", &wishes.working_dir);
        self.more("with", &wishes.env.clone().unwrap_or_default().join(" "));
        let ports = wishes.exposed_ports.iter().flatten().map(|(port, _)| port.as_str());
        self.more("ports", &ports.collect::<Vec<_>>().join(" "));
        let volumes = wishes.volumes.iter().flatten().map(|(place, _)| place.as_str());
        self.more("volumes", &volumes.collect::<Vec<_>>().join(" "));
        self.more("stops on", wishes.stop_signal.as_deref().unwrap_or_default());
    }

    fn layer(&mut self, layer: &Layer, whole: bool) {
        let part = Part {
            media_type: layer.media_type.clone(),
            digest: layer.digest.clone(),
            size: layer.size,
        };
        self.part(&format!("layer {}", layer.number), &part);
        let id = match layer.diff_id == layer.digest {
            true => "the same: it is not compressed".to_owned(),
            false if self.look.wraps && !self.look.whole => short(&layer.diff_id),
            false => layer.diff_id.clone(),
        };
        self.more("diff_id", &format!("{id}, {}", size(layer.archive_size)));
        self.more("by", layer.created_by.as_deref().unwrap_or_default());
        for (label, does, told) in [
            ("adds", Does::Adds, layer.adds),
            ("overrides", Does::Overrides, layer.overrides),
            ("deletes", Does::Deletes, layer.deletes),
        ] {
            let entries = layer.that(does);
            if entries.is_empty() {
                continue;
            }
            let below = if does == Does::Adds { "" } else { " of layers below" };
            let (files, bytes) = (count(told.files, "file"), size(told.bytes));
            self.more(label, &format!("{files}, {bytes}{below}"));
            self.entries(entries, whole);
        }
        let touched = layer.that(Does::Touches);
        if whole && !touched.is_empty() {
            self.more("touches", "directories of layers below");
            self.entries(touched, whole);
        }
    }

    /// The largest, or all of them in the archive's order.
    fn entries(&mut self, mut entries: Vec<&Entry>, whole: bool) {
        let hidden = if whole { 0 } else { entries.len().saturating_sub(FEW) };
        if !whole {
            entries.retain(|entry| entry.kind != Kind::Directory || entry.does != Does::Adds);
            entries.sort_by(|a, b| b.size.cmp(&a.size).then(a.path.cmp(&b.path)));
            entries.truncate(FEW);
        }
        entries.iter().for_each(|entry| self.more("", &row(entry)));
        if hidden > 0 && entries.len() == FEW {
            self.more("", self.look.glyphs().dots);
        }
    }
}

/// `-0755 0:0   4.1 MiB  bin/sh -> busybox`
fn row(entry: &Entry) -> String {
    let link = match (&entry.link, entry.kind) {
        (Some(link), Kind::HardLink) => format!(" is {link}"),
        (Some(link), _) => format!(" -> {link}"),
        _ => String::new(),
    };
    let of = entry.hides.map(|layer| format!("  (layer {layer})")).unwrap_or_default();
    let what = format!("{} {}", what(entry), owner(entry));
    let bytes = if entry.kind == Kind::File { size(entry.size) } else { String::new() };
    format!("{what:<12} {bytes:>9}  {}{link}{of}", path(entry))
}

/// `-0755`; or that it is a whiteout, whose mode and owner mean nothing.
pub fn what(entry: &Entry) -> String {
    match entry.kind {
        Kind::Whiteout => "whiteout".to_owned(),
        Kind::Opaque => "opaque".to_owned(),
        kind => format!("{}{}", letter(kind), entry.mode),
    }
}

/// `0:0`
pub fn owner(entry: &Entry) -> String {
    match entry.kind {
        Kind::Whiteout | Kind::Opaque => String::new(),
        _ => format!("{}:{}", entry.uid, entry.gid),
    }
}

/// From the root, which has no name of its own.
pub fn path(entry: &Entry) -> &str {
    if entry.path.is_empty() { "/" } else { &entry.path }
}

/// As ls(1) has it.
fn letter(kind: Kind) -> char {
    match kind {
        Kind::Directory => 'd',
        Kind::Link => 'l',
        Kind::HardLink => 'h',
        Kind::Special => 'c',
        Kind::Whiteout | Kind::Opaque => 'w',
        Kind::File => '-',
    }
}

/// `linux/arm64/v8`
pub fn platform(platform: &Platform) -> String {
    let variant = platform.variant.iter().map(|variant| format!("/{variant}"));
    format!("{}/{}{}", platform.os, platform.architecture, variant.collect::<String>())
}

fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
