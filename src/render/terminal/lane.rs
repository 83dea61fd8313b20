//! The kernel's voice: calls in lanes, behind a bar.
//!
//! ```text
//!  ✓ container 4243 │ pivot_root(".", ".")                                      = 0     9 µs
//!  │ │         │    │ │                                                         │        │
//!  │ │         pid  │ the call, wrapped under its bracket                  answer       time
//!  │ who made it    facts begin here
//!  a witness's word
//! ```
//!
//! Who made a call is said when it changes; in a pipe, with every call. Below 60 columns the lane
//! stands above its calls.

use std::collections::HashSet;

use nix::errno::Errno;

use super::fold::Told;
use super::look::{Look, Role};
use super::say;
use super::text::{Piece, Pieces, Span, line_width, padded, painted, prose, width};
use crate::args::Arg;
use crate::event::{Call, Lane, Seen};

/// Columns before the bar, of which the first three are margin and the witness's mark.
pub const GUTTER: usize = 21;

/// Where text behind the bar begins.
pub fn indent(look: &Look) -> usize {
    if look.is_narrow() { 5 } else { GUTTER + 2 }
}

/// Whom the calls are of: said once, and again when it changes.
#[derive(Debug, Default)]
pub struct Lanes {
    last: Option<(Lane, i32)>,
    /// Structures that have been shown in full.
    known: HashSet<String>,
}

/// What stands at the right of a call.
struct Answer {
    text: String,
    time: String,
    role: Role,
}

impl Lanes {
    /// A new step: who acts is said again.
    pub fn rest(&mut self) {
        self.last = None;
    }

    /// The lines of one thing told.
    pub fn lines(&mut self, look: &Look, told: &Told) -> Vec<String> {
        match told {
            Told::Note(text) => note(look, text),
            Told::Call(call) => self.call(look, call),
            Told::Write { open, write, path } => {
                let nanos = open.map_or(0, |open| open.nanos) + write.nanos;
                let pieces = say::write_to(look, write, path);
                self.told(look, write, mark(&told.calls()), pieces, answer(look, write, nanos))
            }
            Told::Many { first, rest, differ } => {
                let mut lines = self.lines(look, first);
                let others = others(look, rest, differ, room(look));
                lines.extend(others.iter().map(|line| behind_bar(look, line)));
                lines
            }
        }
    }

    /// A call of a plan, which has no answer and no process yet, behind what stands before it.
    pub fn bare(&mut self, look: &Look, told: &Told, before: &str) -> Vec<String> {
        let used = width(before);
        let columns = look.edge().saturating_sub(used).max(20);
        let lines = match told {
            Told::Note(text) => vec![look.outside(text)],
            Told::Call(call) => {
                let args = say::abbreviated(look, &call.args, &mut self.known);
                lay_out(look, &say::call(look, &call.name, &args), None, columns)
            }
            Told::Write { write, path, .. } => {
                lay_out(look, &say::write_to(look, write, path), None, columns)
            }
            Told::Many { first, rest, differ } => {
                let mut lines = self.bare(look, first, before);
                let others = others(look, rest, differ, columns);
                lines.extend(others.iter().map(|line| " ".repeat(used) + line));
                return lines;
            }
        };
        let blank = " ".repeat(used);
        let before = look.paint(Role::Frame, before);
        let befores = std::iter::once(&before).chain(std::iter::repeat(&blank));
        lines.iter().zip(befores).map(|(line, before)| format!("{before}{line}")).collect()
    }

    fn call(&mut self, look: &Look, call: &Call) -> Vec<String> {
        let args = say::abbreviated(look, &call.args, &mut self.known);
        let pieces = say::call(look, &call.name, &args);
        let mut lines =
            self.told(look, call, mark(&[call]), pieces, answer(look, call, call.nanos));
        if let (Some(errno), false) = (&call.errno, call.expected) {
            let sentence = format!("{errno}: {}", errno_sentence(errno));
            lines.push(behind_bar(look, &look.paint(Role::Trouble, &sentence)));
        }
        lines.extend(inner_pid(look, call));
        lines
    }

    fn told(
        &mut self,
        look: &Look,
        call: &Call,
        mark: Option<Seen>,
        mut pieces: Pieces,
        answer: Option<Answer>,
    ) -> Vec<String> {
        if call.announced && call.pid != 0 {
            let spans = vec![Span(Role::Frame, "then ".into())];
            let then = Piece { spans, ..Piece::default() };
            pieces.list.insert(0, then);
        }
        let (mut lines, gutter) = self.gutter(look, call, mark);
        let laid = lay_out(look, &pieces, answer, room(look));
        let rest = behind_bar(look, "");
        for (i, line) in laid.into_iter().enumerate() {
            let before = if i == 0 { gutter.clone() } else { rest.trim_end().to_owned() + " " };
            lines.push((before + &line).trim_end().to_owned());
        }
        lines
    }

    /// What stands before a call: lines of its own where it is narrow, and the gutter.
    fn gutter(&mut self, look: &Look, call: &Call, mark: Option<Seen>) -> (Vec<String>, String) {
        let lane = match call.lane {
            Lane::Runtime => "runtime",
            Lane::Container => "container",
        };
        let who = match call.pid {
            0 => lane.to_owned(),
            pid => format!("{lane:<9} {pid:>7}"),
        };
        let again = self.last == Some((call.lane, call.pid)) && look.wraps;
        self.last = Some((call.lane, call.pid));
        let (sign, role) = sign(look, mark);
        let sign = look.paint(role, sign);
        let bar = look.paint(Role::Frame, look.glyphs().bar);
        if look.is_narrow() && look.wraps {
            let above = format!("   {}", look.paint(Role::Frame, &who));
            let above = if again { vec![] } else { vec![above] };
            return (above, format!(" {sign} {bar} "));
        }
        let shown = if again { "" } else { &who };
        let shown = look.paint(Role::Frame, &padded(shown, GUTTER - 4));
        (vec![], format!(" {sign} {shown} {bar} "))
    }
}

/// The first process of a new pid namespace has two numbers: pid_namespaces(7).
fn inner_pid(look: &Look, call: &Call) -> Option<String> {
    let Some(Arg::Struct(fields)) = call.args.get("cl_args") else { return None };
    let Some(Arg::Flags(flags)) = fields.get("flags") else { return None };
    let pid = call.result.filter(|_| flags.iter().any(|flag| flag == "CLONE_NEWPID"))?;
    let text = format!("{pid} out here, 1 in its own pid namespace");
    Some(behind_bar(look, &look.paint(Role::Frame, &text)))
}

/// A line behind the bar that is no call.
pub fn behind_bar(look: &Look, text: &str) -> String {
    let bar = look.paint(Role::Frame, look.glyphs().bar);
    format!("{}{bar} {text}", " ".repeat(indent(look) - 2))
}

fn note(look: &Look, text: &str) -> Vec<String> {
    let room = if look.wraps { room(look) } else { usize::MAX };
    let lines = prose(&look.outside(text), room);
    lines.iter().map(|line| behind_bar(look, &look.paint(Role::Fact, line))).collect()
}

/// Columns between the bar and the right edge.
fn room(look: &Look) -> usize {
    look.edge().saturating_sub(indent(look)).max(20)
}

/// The call on its lines, the answer at the right end of the last one.
fn lay_out(look: &Look, pieces: &Pieces, answer: Option<Answer>, room: usize) -> Vec<String> {
    if !look.wraps {
        let tail = answer.map_or(String::new(), |a| {
            let time = look.paint(Role::Frame, &format!("  {}", a.time));
            format!(" {}{time}", look.paint(a.role, &a.text))
        });
        return vec![painted(look, &pieces.flat()) + &tail];
    }
    let tail = answer.as_ref().map_or(0, |a| width(&a.text) + 1 + width(&a.time).max(7));
    let hang = hang(pieces).min(room / 2);
    let fits = line_width(&pieces.list) + 1 + tail <= room;
    let lines = if fits { vec![pieces.flat()] } else { pieces.wrap(room, hang, tail + 1) };
    let last = lines.last().map_or(0, |line| line_width(line));
    let mut texts: Vec<String> = lines.iter().map(|line| painted(look, line)).collect();
    let Some(answer) = answer else { return texts };
    let time = format!("{:>7}", answer.time);
    let tail_text = |before: usize| {
        let gap = " ".repeat(room.saturating_sub(before + width(&answer.text) + 1 + width(&time)));
        let (text, time) = (look.paint(answer.role, &answer.text), look.paint(Role::Frame, &time));
        format!("{gap}{text} {time}")
    };
    match texts.last_mut() {
        Some(line) if last + 1 + tail <= room => line.push_str(&tail_text(last)),
        _ => texts.push(tail_text(0)),
    }
    texts
}

/// Where the lines of a call go on: under its opening bracket. A list has none.
fn hang(pieces: &Pieces) -> usize {
    let spans = || pieces.list.iter().flat_map(|piece| &piece.spans);
    match spans().any(|span| span.0 == Role::Name) {
        true => spans().take_while(|s| s.0 != Role::Fact).map(|s| width(&s.1)).sum::<usize>() + 1,
        false => 2,
    }
}

/// `… 11 more: proc/asound = ENOENT, proc/interrupts, …`
fn others(look: &Look, rest: &[Told], differ: &[String], columns: usize) -> Vec<String> {
    let mut unique: Vec<&String> = differ.iter().collect();
    unique.dedup();
    let dots = look.glyphs().dots;
    let mut pieces = Pieces::default();
    pieces.push(Role::Frame, format!("{dots} {} more: ", rest.len())).may_break();
    let mut room = (2 * columns).saturating_sub(56);
    for (i, text) in unique.iter().enumerate() {
        let comma = if i + 1 < unique.len() { ", " } else { "" };
        if i >= 3 && width(text) + 2 > room {
            pieces.push(Role::Frame, format!("{dots} (-v shows all)"));
            break;
        }
        room = room.saturating_sub(width(text) + 2);
        pieces.push(Role::Fact, format!("{text}{comma}")).may_break();
    }
    let nanos: u64 = rest.iter().flat_map(Told::calls).map(|call| call.nanos).sum();
    let announced = rest.iter().flat_map(Told::calls).all(|call| call.announced);
    let answer = Answer { text: String::new(), time: look.time(nanos), role: Role::Fact };
    lay_out(look, &pieces, (!announced).then_some(answer), columns)
}

fn answer(look: &Look, call: &Call, nanos: u64) -> Option<Answer> {
    let (text, role) = match (&call.errno, call.result) {
        (Some(errno), _) if call.expected => (errno.clone(), Role::Fact),
        (Some(errno), _) => (errno.clone(), Role::Trouble),
        (None, Some(number)) => (number.to_string(), Role::Fact),
        (None, None) => return None,
    };
    Some(Answer { text: format!("= {text}"), time: look.time(nanos), role })
}

/// A witness's word on several calls is the worst of its words.
pub fn mark(calls: &[&Call]) -> Option<Seen> {
    let said = |seen| calls.iter().any(|call| call.seen == Some(seen));
    let worst = [Seen::NotSeen, Seen::Unnarrated].into_iter().find(|seen| said(*seen));
    let all = !calls.is_empty() && calls.iter().all(|call| call.seen == Some(Seen::Seen));
    worst.or(all.then_some(Seen::Seen))
}

pub fn sign(look: &Look, mark: Option<Seen>) -> (&'static str, Role) {
    match mark {
        None => (" ", Role::Frame),
        Some(Seen::Seen) => (look.glyphs().yes, Role::Fact),
        Some(Seen::NotSeen) => (look.glyphs().no, Role::Trouble),
        Some(Seen::Unnarrated) => ("!", Role::Trouble),
    }
}

/// What errno(3) says: "Operation not permitted".
pub fn errno_sentence(name: &str) -> &'static str {
    let known = (1..=133).map(Errno::from_raw);
    known.into_iter().find(|e| format!("{e:?}") == name).map_or("", |e| e.desc())
}
