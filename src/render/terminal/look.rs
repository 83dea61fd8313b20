//! How a place for text looks: how wide it is, whether it shows colours, which characters it has.
//!
//! Asked once when the telling begins, but for the width, which a resize may change at any time.
//! A pipe gets no colours, no folding and no wrapped calls, so that `2>&1 | grep mount` is of use;
//! anything without a UTF-8 locale gets ASCII.
//!
//! Colour says who speaks and nothing else: facts in one, our voice in another, trouble in a third.
//! The three are of middling brightness, so that they are readable on a light and on a dark ground.
//! What a colour says is said in another way too: facts stand behind a bar, trouble behind a cross.

use std::os::fd::RawFd;

use colored::{Color, Colorize};

use crate::sys::{look, plumbing};

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The kernel's: a call, its arguments, its answer.
    #[default]
    Fact,
    /// The name of a call.
    Name,
    /// Ours: why, by hand, often believed.
    Voice,
    /// The title of a step.
    Title,
    Trouble,
    /// What frames the rest: rules, times, ids.
    Frame,
}

/// Characters that draw, in two alphabets.
#[derive(Debug)]
pub struct Glyphs {
    pub rule: &'static str,
    pub bar: &'static str,
    pub dots: &'static str,
    pub into: &'static str,
    pub yes: &'static str,
    pub no: &'static str,
    pub micro: &'static str,
}

const UNICODE: Glyphs =
    Glyphs {
        rule: "─", bar: "│", dots: "…", into: "←", yes: "✓", no: "✗", micro: "µs"
    };
const ASCII: Glyphs =
    Glyphs { rule: "-", bar: "|", dots: "...", into: "<-", yes: "+", no: "x", micro: "us" };

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// How wide it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Fixed(usize),
    /// That of the terminal behind this descriptor, whenever it is asked.
    Of(RawFd),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub width: Width,
    /// False for a pipe: one call a line, however long.
    pub wraps: bool,
    pub colour: bool,
    pub unicode: bool,
    /// Nothing folded, nothing shortened.
    pub whole: bool,
}

impl Look {
    /// What is behind a descriptor, with the environment's wishes.
    pub fn of(fd: RawFd, colour: When, whole: bool) -> Look {
        let env = |name: &str| std::env::var(name).ok();
        Look { whole, ..Look::read(fd, look::is_terminal(fd), colour, &env) }
    }

    fn read(fd: RawFd, terminal: bool, colour: When, env: &dyn Fn(&str) -> Option<String>) -> Look {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let forced = env("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let able = terminal && env("TERM").is_none_or(|term| term != "dumb");
        let colour = match colour {
            When::Always => true,
            When::Never => false,
            When::Auto => forced || (able && env("NO_COLOR").is_none()),
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env(name));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        let columns = env("COLUMNS").and_then(|c| c.parse().ok()).filter(|c| *c > 0);
        let width = columns.map_or(Width::Of(fd), Width::Fixed);
        Look { width, wraps: terminal, colour, unicode, whole: false }
    }

    pub fn columns(&self) -> usize {
        match self.width {
            Width::Fixed(columns) => columns,
            Width::Of(fd) => plumbing::terminal_size(fd).map_or(80, |(columns, _)| columns.into()),
        }
    }

    /// Where lines end at the right. Beyond this the eye loses the line.
    pub fn edge(&self) -> usize {
        self.columns().min(132)
    }

    /// Too narrow for lanes beside the calls.
    pub fn is_narrow(&self) -> bool {
        self.columns() < 60
    }

    pub fn glyphs(&self) -> &'static Glyphs {
        if self.unicode { &UNICODE } else { &ASCII }
    }

    pub fn paint(&self, role: Role, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        // Decided above; `colored` would ask whether *stdout* is a terminal.
        colored::control::set_override(true);
        let painted = match role {
            Role::Fact => text.color(Color::AnsiColor(30)),
            Role::Name => text.color(Color::AnsiColor(30)).bold(),
            Role::Voice => text.color(Color::AnsiColor(97)),
            Role::Title => text.color(Color::AnsiColor(97)).bold(),
            Role::Trouble => text.color(Color::AnsiColor(160)).bold(),
            Role::Frame => text.color(Color::AnsiColor(244)),
        };
        painted.to_string()
    }

    /// Text that came from outside: nothing in it moves a cursor, and nothing is beyond ASCII where
    /// that would come out as something else.
    pub fn outside(&self, text: &str) -> String {
        let safe = crate::args::plain(text);
        if self.unicode { safe } else { ascii(&safe) }
    }

    /// `850 ns`, `61 µs`, `3.1 ms`.
    pub fn time(&self, nanos: u64) -> String {
        match nanos {
            0..1_000 => format!("{nanos} ns"),
            1_000..1_000_000 => format!("{} {}", nanos / 1_000, self.glyphs().micro),
            1_000_000..10_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
            _ => format!("{:.1} s", nanos as f64 / 1e9),
        }
    }
}

/// As strace writes what is not ASCII: byte by byte.
pub fn ascii(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => safe.push(c),
            // Of our own: how often a call was made.
            '×' => safe.push('x'),
            c => {
                let mut buffer = [0; 4];
                let bytes = c.encode_utf8(&mut buffer).bytes();
                bytes.for_each(|byte| safe.push_str(&format!("\\x{byte:02x}")));
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(terminal: bool, when: When, env: &[(&str, &str)]) -> Look {
        let find = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Look::read(-1, terminal, when, &find)
    }

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        let colour = |terminal, when, env: &[(&str, &str)]| read(terminal, when, env).colour;
        assert!(colour(true, When::Auto, &[]));
        assert!(!colour(false, When::Auto, &[]));
        assert!(!colour(true, When::Auto, &[("NO_COLOR", "1")]));
        assert!(colour(true, When::Auto, &[("NO_COLOR", "")]));
        assert!(colour(false, When::Auto, &[("CLICOLOR_FORCE", "1")]));
        assert!(!colour(false, When::Auto, &[("CLICOLOR_FORCE", "0")]));
        assert!(!colour(true, When::Auto, &[("TERM", "dumb")]));
        assert!(colour(false, When::Always, &[("NO_COLOR", "1")]));
        assert!(!colour(true, When::Never, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn the_locale_decides_on_the_alphabet_and_columns_on_the_width() {
        assert!(read(true, When::Auto, &[("LANG", "de_DE.UTF-8")]).unicode);
        assert!(!read(true, When::Auto, &[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).unicode);
        assert!(!read(true, When::Auto, &[]).unicode);
        assert_eq!(read(true, When::Auto, &[("COLUMNS", "72")]).columns(), 72);
        assert_eq!(read(true, When::Auto, &[("COLUMNS", "wide")]).columns(), 80);
    }

    #[test]
    fn times_are_short() {
        let look = read(true, When::Auto, &[("LANG", "C.UTF-8")]);
        let times = [850, 61_499, 3_149_000, 12_000_000_000].map(|nanos| look.time(nanos));
        assert_eq!(times, ["850 ns", "61 µs", "3.1 ms", "12.0 s"]);
    }
}
