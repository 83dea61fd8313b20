//! Text in columns: measuring, wrapping, cutting.
//!
//! A column is not a byte and not a character: 漢 takes two, a combining accent none (unicode-width).
//! Text is laid out first and coloured afterwards, since colours take no room.

use unicode_width::UnicodeWidthStr;

use super::look::{Look, Role};

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A stretch of text in one role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Span(pub Role, pub String);

/// Text that is not broken inside, unless it is a path too long for any line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Piece {
    pub spans: Vec<Span>,
    /// How deep in brackets it stands.
    pub depth: usize,
    /// An argument begins here: a better place to end a line than between two flags of one.
    pub argument: bool,
}

impl Piece {
    pub fn width(&self) -> usize {
        self.spans.iter().map(|Span(_, text)| width(text)).sum()
    }

    /// Without the space at its end, which counts for nothing at the end of a line.
    fn bare_width(&self) -> usize {
        let last = self.spans.last().map_or("", |Span(_, text)| text);
        self.width() - (width(last) - width(last.trim_end()))
    }

    /// Itself, or in parts if it has a `/` to end them with: one of at most `first` columns, and
    /// others of `room`.
    fn parts(&self, first: usize, room: usize) -> Vec<Piece> {
        if self.bare_width() <= first {
            return vec![self.clone()];
        }
        let names = |span: &Span| {
            let names = span.1.split_inclusive('/').map(|name| Span(span.0, name.to_owned()));
            names.collect::<Vec<_>>()
        };
        let mut parts = vec![Piece { spans: vec![], ..*self }];
        for Span(role, text) in self.spans.iter().flat_map(names) {
            let room = if parts.len() == 1 { first } else { room };
            let Some(part) = parts.last_mut() else { continue };
            let is_name_whole = part.spans.last().is_some_and(|Span(_, text)| text.ends_with('/'));
            let piece = match is_name_whole && part.width() + width(text.trim_end()) > room {
                true => Piece { spans: vec![], depth: self.depth, argument: false },
                false => parts.pop().unwrap_or_default(),
            };
            parts.push(Piece { spans: [piece.spans, vec![Span(role, text)]].concat(), ..piece });
        }
        parts
    }
}

/// Pieces put together: text goes on the last piece until a break is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pieces {
    pub list: Vec<Piece>,
    depth: usize,
    open: bool,
    argument: bool,
}

impl Pieces {
    pub fn push(&mut self, role: Role, text: impl Into<String>) -> &mut Pieces {
        if !self.open {
            let (depth, argument) = (self.depth, self.argument);
            self.list.push(Piece { spans: vec![], depth, argument });
            (self.open, self.argument) = (true, false);
        }
        if let Some(piece) = self.list.last_mut() {
            piece.spans.push(Span(role, text.into()));
        }
        self
    }

    /// A line may end here.
    pub fn may_break(&mut self) -> &mut Pieces {
        self.open = false;
        self
    }

    /// A line may end here, and had better end here than inside what follows.
    pub fn next_argument(&mut self) -> &mut Pieces {
        (self.open, self.argument) = (false, true);
        self
    }

    pub fn deeper(&mut self) {
        self.depth += 1;
    }

    pub fn shallower(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// On one line.
    pub fn flat(&self) -> Vec<Piece> {
        self.list.clone()
    }

    /// Greedily on lines of `room` columns; all but the first begin at `hang`, and deeper where
    /// they begin inside a bracket. A piece wider than the room stands on lines of its own. The
    /// last line leaves `tail` columns free, if it can.
    pub fn wrap(&self, room: usize, hang: usize, tail: usize) -> Vec<Vec<Piece>> {
        let mut lines: Vec<Vec<Piece>> = vec![vec![]];
        let (mut used, mut start) = (0, 0);
        for (i, piece) in self.list.iter().enumerate() {
            let indent = hang + piece.depth;
            let whole = self.argument_width(i);
            let fits = used + piece.bare_width() <= room;
            let better_below = piece.argument && used + whole > room && indent + whole <= room;
            if used > start && (!fits || better_below) {
                lines.push(vec![margin(indent)]);
                (used, start) = (indent, indent);
            }
            let parts = piece.parts(room.saturating_sub(used), room.saturating_sub(indent));
            for (n, part) in parts.into_iter().enumerate() {
                if n > 0 {
                    lines.push(vec![margin(indent)]);
                    used = indent;
                }
                used += part.width();
                if let Some(line) = lines.last_mut() {
                    line.push(part);
                }
            }
        }
        leave_free(&mut lines, room.saturating_sub(tail), hang);
        lines
    }

    /// The columns from a piece to the end of its argument.
    fn argument_width(&self, from: usize) -> usize {
        let rest = &self.list[from + 1..];
        let inside = rest.iter().take_while(|piece| !piece.argument).count();
        line_width(&self.list[from..=from + inside])
    }
}

fn margin(columns: usize) -> Piece {
    Piece { spans: vec![Span(Role::Fact, " ".repeat(columns))], ..Piece::default() }
}

/// If the last line is longer than `room`, its last argument goes down to a line of its own.
fn leave_free(lines: &mut Vec<Vec<Piece>>, room: usize, hang: usize) {
    let Some(last) = lines.last_mut().filter(|line| line_width(line) > room) else { return };
    let argument = last.iter().rposition(|piece| piece.argument);
    let from = argument.unwrap_or(last.len() - 1);
    let indent = hang + last[from].depth;
    // Before it there must be more than the margin, and behind it there must be room.
    if from > 1 && indent + line_width(&last[from..]) <= room {
        let moved = last.split_off(from);
        lines.push([vec![margin(indent)], moved].concat());
    }
}

/// The columns of a laid out line, without the space at its end.
pub fn line_width(line: &[Piece]) -> usize {
    match line.split_last() {
        None => 0,
        Some((last, rest)) => rest.iter().map(Piece::width).sum::<usize>() + last.bare_width(),
    }
}

/// A laid out line in colours, without the space at its end.
pub fn painted(look: &Look, line: &[Piece]) -> String {
    let spans: Vec<&Span> = line.iter().flat_map(|piece| &piece.spans).collect();
    let last = spans.len().saturating_sub(1);
    let paint = |(i, Span(role, text)): (usize, &&Span)| match i == last {
        true => look.paint(*role, text.trim_end()),
        false => look.paint(*role, text),
    };
    spans.iter().enumerate().map(paint).collect()
}

/// Prose in lines of `room` columns, broken at spaces.
pub fn prose(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { continue };
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The text, or as much of its beginning as fits with `dots` behind it.
pub fn shorten(text: &str, room: usize, dots: &str) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if width(&short) + width(c.encode_utf8(&mut [0; 4])) + width(dots) > room {
            break;
        }
        short.push(c);
    }
    short + dots
}

/// Filled up with spaces to `room` columns.
pub fn padded(text: &str, room: usize) -> String {
    let missing = room.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// Bytes in the unit that fits: `12 B`, `5.3 MiB`.
pub fn size(bytes: u64) -> String {
    let (mut value, mut said) = (bytes as f64, format!("{bytes} B"));
    for unit in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        said = format!("{value:.1} {unit}");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_and_combining_characters_are_counted_as_a_terminal_does() {
        assert_eq!(width("漢字"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(padded("漢", 4), "漢  ");
        assert_eq!(shorten("漢字漢字", 5, "…"), "漢字…");
    }

    #[test]
    fn a_path_too_long_for_any_line_goes_on_below_behind_a_slash() {
        let lines = |path: &str| {
            let mut pieces = Pieces::default();
            pieces.push(Role::Fact, "write ").push(Role::Fact, path).push(Role::Fact, " ");
            pieces.may_break().push(Role::Fact, "← 0");
            let text = |line: &Vec<Piece>| -> String {
                line.iter()
                    .flat_map(|piece| &piece.spans)
                    .map(|Span(_, text)| text.as_str())
                    .collect()
            };
            pieces.wrap(20, 2, 0).iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(lines("/sys/fs"), ["write /sys/fs ← 0"]);
        assert_eq!(
            lines("/sys/fs/cgroup/memory/x"),
            ["write /sys/fs/", "  cgroup/memory/x ", "  ← 0"]
        );
        assert_eq!(lines("longer-than-a-whole-line")[0], "write longer-than-a-whole-line ");
    }

    proptest! {
        #[test]
        fn no_wrapped_line_is_too_long_unless_one_piece_is(
            widths in prop::collection::vec(1usize..30, 1..20), room in 12usize..60
        ) {
            let mut pieces = Pieces::default();
            for n in &widths {
                pieces.push(Role::Fact, "x".repeat(*n)).may_break();
            }
            for line in pieces.wrap(room, 4, 0) {
                let alone = line.iter().filter(|p| p.width() > 0 && p.spans[0].1 != "    ").count() == 1;
                prop_assert!(line_width(&line) <= room || alone);
            }
        }

        #[test]
        fn wrapping_prose_loses_no_word(text in "[a-z 漢]{0,80}", room in 1usize..40) {
            let joined = prose(&text, room).join(" ");
            prop_assert_eq!(
                joined.split_whitespace().collect::<Vec<_>>(),
                text.split_whitespace().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn sizes_are_said_in_the_unit_that_fits() {
        let said = [0, 1023, 1024, 5_570_560, 3 << 30].map(size);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "5.3 MiB", "3.0 GiB"]);
    }
}
