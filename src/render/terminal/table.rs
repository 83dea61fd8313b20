//! "What changed": the host next to the container, as the kernel shows them.

use super::look::{Look, Role};
use super::text::{padded, prose, width};
use crate::event::{Difference, Verdict};

/// A longer name of a property takes two lines.
const WIDEST_NAME: usize = 22;

/// What is another thing in there, as a table; what is not, in a line of names. In a pipe, and with -v, all
/// of it is a table.
pub fn changed(look: &Look, rows: &[Difference]) -> Vec<String> {
    let brief = look.wraps && !look.whole;
    let is_no_news =
        |row: &Difference| brief && matches!(row.verdict, Verdict::Same | Verdict::Shared);
    let (no_news, news): (Vec<Difference>, Vec<Difference>) =
        rows.iter().cloned().partition(is_no_news);
    let mut lines = table(look, &news);
    for verdict in [Verdict::Shared, Verdict::Same] {
        let names = no_news.iter().filter(|row| row.verdict == verdict);
        let names: Vec<String> = names.map(|row| look.outside(&row.property)).collect();
        let room = look.edge().saturating_sub(12).max(16);
        let labels = std::iter::once(verdict.text()).chain(std::iter::repeat(""));
        for (line, label) in prose(&names.join(", "), room).iter().zip(labels) {
            if !line.is_empty() {
                let label = look.paint(Role::Frame, &padded(label, 8));
                lines.push(format!("  {label} {}", look.paint(Role::Voice, line)));
            }
        }
    }
    lines
}

/// The table, or a stack of rows where there is no room for one.
fn table(look: &Look, rows: &[Difference]) -> Vec<String> {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|r| {
            [&*r.property, &*r.host, &*r.container, r.verdict.text()].map(|text| look.outside(text))
        })
        .collect();
    let heads = ["What changed", "this host", "the container", ""];
    let widest = |i: usize| {
        let cells = cells.iter().map(|row| width(&row[i]));
        cells.chain([width(heads[i])]).max().unwrap_or(0)
    };
    let verdicts = widest(3);
    let properties = if look.wraps { widest(0).min(WIDEST_NAME) } else { widest(0) };
    // Margin, indent below the head, gaps of three columns.
    let room = look.edge().saturating_sub(properties + verdicts + 2 + 3 * 3);
    if look.wraps && room < 36 {
        return stacked(look, &cells, heads[0]);
    }
    let (host, container) =
        if look.wraps { share(room, widest(1), widest(2)) } else { (widest(1), widest(2)) };
    let widths = [properties + 2, host, container, verdicts];
    let mut lines = vec![row(look, &heads.map(String::from), widths, [Role::Title; 4])];
    for [property, host, container, verdict] in cells {
        let role = role_of(&verdict);
        let cells = [format!("  {property}"), host, container, verdict];
        lines.extend(tall_row(look, &cells, widths, [Role::Voice, Role::Fact, Role::Fact, role]));
    }
    lines
}

/// What both columns of facts get of the room: what they need, or half each.
fn share(room: usize, host: usize, container: usize) -> (usize, usize) {
    let half = room / 2;
    match (host <= half, container <= half) {
        (true, _) => (host, container.min(room - host)),
        (_, true) => (room - container, container),
        _ => (half, room - half),
    }
}

/// What stands out: not what is the same or shared.
fn role_of(verdict: &str) -> Role {
    if matches!(verdict, "same" | "shared") { Role::Frame } else { Role::Title }
}

/// A row whose cells may need several lines.
fn tall_row(look: &Look, cells: &[String; 4], widths: [usize; 4], roles: [Role; 4]) -> Vec<String> {
    let columns: Vec<Vec<String>> = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(i, (cell, width))| match i {
            _ if !look.wraps => vec![cell.clone()],
            0 => in_column(cell.trim(), width - 2).iter().map(|line| format!("  {line}")).collect(),
            _ => prose(&ends(cell, width, look.glyphs().dots), width.max(1)),
        })
        .collect();
    let height = columns.iter().map(Vec::len).max().unwrap_or(1);
    let line = |n: usize| {
        let cell = |i: usize| columns[i].get(n).cloned().unwrap_or_default();
        row(look, &[cell(0), cell(1), cell(2), cell(3)], widths, roles)
    };
    (0..height).map(line).collect()
}

/// A name in a column that nothing may stick out of: one that is too long ends a line between its parts,
/// or where it must.
fn in_column(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in prose(text, room) {
        let mut rest = line.as_str();
        while width(rest) > room {
            let fits = |at: &usize| width(&rest[..*at]) <= room;
            let behind = |ends: &[char]| {
                let ends = rest.match_indices(ends).map(|(at, _)| at + 1).filter(|at| *at > 1);
                ends.take_while(fits).last()
            };
            let any = rest.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
            let at = behind(&['/']).or_else(|| behind(&['.', '_', '-']));
            let at = at.or_else(|| any.take_while(fits).last());
            let Some(at) = at else { break };
            lines.push(rest[..at].to_owned());
            rest = &rest[at..];
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// The same with each word that is longer than the column shortened to its end: of a path the last
/// names say most. The whole of it is in `--events`.
fn ends(cell: &str, room: usize, dots: &str) -> String {
    let end = |word: &str| {
        let mut rest = word;
        while width(rest) + width(dots) > room && !rest.is_empty() {
            let mut shorter = rest.chars();
            shorter.next();
            rest = shorter.as_str();
        }
        // Better a whole name than a part of one.
        let name = rest.find('/').filter(|at| *at + 1 < rest.len());
        format!("{dots}{}", &rest[name.unwrap_or(0)..])
    };
    let word = |word: &str| if width(word) > room { end(word) } else { word.to_owned() };
    cell.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn row(look: &Look, cells: &[String; 4], widths: [usize; 4], roles: [Role; 4]) -> String {
    let cells = cells.iter().zip(widths).zip(roles);
    let cells = cells.map(|((cell, width), role)| look.paint(role, &padded(cell, width)));
    let line = cells.collect::<Vec<_>>().join("   ");
    line.trim_end().to_owned()
}

fn stacked(look: &Look, cells: &[[String; 4]], head: &str) -> Vec<String> {
    let mut lines = vec![look.paint(Role::Title, head)];
    let room = look.edge().saturating_sub(16).max(16);
    for [property, host, container, verdict] in cells {
        let verdict_ = look.paint(role_of(verdict), verdict);
        lines.push(format!("  {}  {verdict_}", look.paint(Role::Voice, property)));
        for (label, fact) in [("host", host), ("container", container)] {
            let labels = std::iter::once(label).chain(std::iter::repeat(""));
            for (line, label) in prose(fact, room).iter().zip(labels) {
                let label = look.paint(Role::Frame, &padded(label, 10));
                lines.push(format!("    {label} {}", look.paint(Role::Fact, line)));
            }
        }
    }
    lines
}

/// `Host as before: mounts ✓ cgroups ✓ processes ✗`
pub fn host_as_before(look: &Look, checks: &[(String, bool)]) -> String {
    let mut line = look.paint(Role::Voice, "Host as before:");
    for (what, same) in checks {
        let (glyph, role) = match same {
            true => (look.glyphs().yes, Role::Fact),
            false => (look.glyphs().no, Role::Trouble),
        };
        line += &format!(
            " {} {}",
            look.paint(Role::Fact, &look.outside(what)),
            look.paint(role, glyph)
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_broken_behind_a_slash() {
        assert_eq!(
            in_column("folder /var/lib/learnc/x/rootfs", 16),
            ["folder", "/var/lib/learnc/", "x/rootfs"]
        );
    }

    proptest! {
        #[test]
        fn nothing_sticks_out_of_a_column_and_nothing_is_lost(
            text in "[a-z/ 漢]{0,60}", room in 2usize..30
        ) {
            let lines = in_column(&text, room);
            prop_assert!(lines.iter().all(|line| width(line) <= room), "{lines:?}");
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
        }
    }

    #[test]
    fn of_a_path_that_is_too_long_the_last_names_stay() {
        assert_eq!(
            ends("bind of /a/long/path/rootfs, 6 mounts", 14, "..."),
            "bind of .../rootfs, 6 mounts"
        );
        assert_eq!(ends("short", 14, "..."), "short");
        assert_eq!(ends("/averylongname", 8, "..."), "...gname");
        assert_eq!(ends("漢字漢字漢字", 7, "..."), "...漢字");
        assert_eq!(ends("abc", 1, "..."), "...");
    }
}
