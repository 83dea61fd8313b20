//! A dissected image as a page: one file, which needs no other and no network.
//!
//! HTML by hand: nothing in it is a script, and everything that an image says of itself is escaped, since
//! a stranger wrote it. Layers fold and unfold by `<details>`. Colours follow the reader's light or dark.

use std::fmt::Write;

use super::dissection::{count, owner, path, platform, what};
use super::terminal::text::size;
use crate::args::plain;
use crate::image::dissect::{Dissection, Does, Entry, Kind, Layer, Part};

const STYLE: &str = include_str!("dissection.css");

/// The whole page.
pub fn page(image: &Dissection) -> String {
    let mut html = String::new();
    let name = text(&image.name);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{name}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <h1>{name}</h1>\n<p class=\"quiet\">{}</p>\n",
        text(&platform(&image.platform)),
    );
    sums(&mut html, image);
    html.push_str("<h2>What points at what</h2>\n<ul class=\"chain\">\n");
    if let Some(index) = &image.index {
        let others: Vec<String> = image.also_for.iter().map(platform).collect();
        let also = row("also for", &others.join(", "));
        let _ = write!(html, "<li>{}<ul class=\"chain\">", card("index", index, &also));
    }
    let _ = write!(html, "<li>{}<ul class=\"chain\">", card("manifest", &image.manifest, ""));
    let _ = writeln!(html, "<li>{}</li>", card("config", &image.config, &wishes(image)));
    image.layers.iter().for_each(|layer| {
        let _ = writeln!(html, "<li>{}</li>", of_layer(layer, image));
    });
    html.push_str("</ul></li>\n");
    html.push_str(if image.index.is_some() { "</ul></li></ul>\n" } else { "</ul>\n" });
    html.push_str("</body></html>\n");
    html
}

fn sums(html: &mut String, image: &Dissection) {
    let stored: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let cells = [
        ("layers", image.layers.len().to_string()),
        ("stored", size(stored)),
        ("seen from inside", format!("{}, {} files", size(image.bytes), image.files)),
        ("hidden by higher layers", size(image.wasted)),
    ];
    html.push_str("<div class=\"sums\">");
    for (label, value) in cells {
        let _ =
            write!(html, "<div><b>{}</b><span class=\"quiet\">{label}</span></div>", text(&value));
    }
    html.push_str("</div>\n");
}

fn card(what: &str, part: &Part, more: &str) -> String {
    format!(
        "<div class=\"card\"><b>{what}</b><span class=\"quiet\">{}</span><dl>{}{}{more}</dl></div>",
        text(&size(part.size)),
        row("digest", &part.digest),
        row("media type", &part.media_type),
    )
}

/// A term and what is said of it; nothing where nothing is.
fn row(term: &str, said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!("<dt>{term}</dt><dd><code>{}</code></dd>", text(said)),
    }
}

/// The same for several things, a line each.
fn rows(term: &str, said: &[String]) -> String {
    let lines: Vec<String> = said.iter().map(|one| format!("<code>{}</code>", text(one))).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("<dt>{term}</dt><dd>{}</dd>", lines.join("<br>")),
    }
}

fn wishes(image: &Dissection) -> String {
    let wishes = &image.wishes;
    let ports: Vec<&str> =
        wishes.exposed_ports.iter().flatten().map(|(port, _)| port.as_str()).collect();
    [
        row("runs", &wishes.command().join(" ")),
        row("as", &wishes.user),
        row("in", &wishes.working_dir),
        rows("with", wishes.env.as_deref().unwrap_or_default()),
        row("ports", &ports.join(" ")),
        row("stops on", wishes.stop_signal.as_deref().unwrap_or_default()),
    ]
    .concat()
}

fn of_layer(layer: &Layer, image: &Dissection) -> String {
    let most = image.layers.iter().map(|layer| layer.archive_size).max().unwrap_or(0).max(1);
    let share = layer.archive_size * 100 / most;
    let mut html = format!(
        "<div class=\"card\"><b>layer {}</b><span class=\"quiet\">{}, inflated {}</span>\
         <div class=\"share\"><span style=\"width:{share}%\"></span></div><dl>{}{}{}{}</dl>",
        layer.number,
        text(&size(layer.size)),
        text(&size(layer.archive_size)),
        row("digest", &layer.digest),
        row("diff_id", &layer.diff_id),
        row("media type", &layer.media_type),
        row("by", layer.created_by.as_deref().unwrap_or_default()),
    );
    for (class, does, told) in [
        ("adds", Does::Adds, layer.adds),
        ("overrides", Does::Overrides, layer.overrides),
        ("deletes", Does::Deletes, layer.deletes),
    ] {
        let entries: Vec<&Entry> = layer.entries.iter().filter(|e| e.does == does).collect();
        if !entries.is_empty() {
            let told = format!("{}, {}", count(told.files, "file"), size(told.bytes));
            html.push_str(&table(class, &told, &entries));
        }
    }
    html.push_str("</div>");
    html
}

fn table(class: &str, told: &str, entries: &[&Entry]) -> String {
    let open = if class == "adds" { "" } else { " open" };
    let mut html = format!(
        "<details{open}><summary><span class=\"{class}\">{class}</span> {}</summary><div class=\"scroll\">\
         <table><tr><th>mode<th>owner<th>size<th>path</tr>\n",
        text(told)
    );
    for entry in entries {
        let of = entry.hides.map(|layer| format!(" <span class=\"quiet\">of layer {layer}</span>"));
        let link = entry.link.as_ref().map(|link| format!(" → {}", text(link)));
        let _ = writeln!(
            html,
            "<tr class=\"mono\"><td class=\"whole\">{}<td class=\"whole\">{}<td class=\"number\">{}<td>{}{}{}</tr>",
            text(&what(entry)),
            text(&owner(entry)),
            if entry.kind == Kind::File { text(&size(entry.size)) } else { String::new() },
            text(path(entry)),
            link.unwrap_or_default(),
            of.unwrap_or_default(),
        );
    }
    html.push_str("</table></div></details>");
    html
}

/// Text of a stranger: no control character, and nothing that HTML would read as its own.
fn text(outside: &str) -> String {
    let mut safe = String::with_capacity(outside.len());
    for c in plain(outside).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_becomes_html(outside in ".*") {
            let safe = text(&outside);
            prop_assert!(!safe.contains(['<', '>', '"', '\'']));
            prop_assert!(safe.chars().all(|c| !c.is_control()));
        }
    }
}
