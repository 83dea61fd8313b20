//! Reading strace's word: the independent witness.
//!
//! `strace -ff` writes a file per process, so that calls stand in the order in which the process made
//! them. A line is `name(arguments) = answer`; the grammar below is strace's, see strace(1).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::value::{Value, bits, number};

/// A call that the kernel got.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub name: String,
    pub args: Vec<Value>,
    /// The same as strace wrote them, for rules that look at it.
    pub texts: Vec<String>,
    pub answer: Answer,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}) = {:?}", self.name, self.texts.join(", "), self.answer)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Number(i128),
    Refused(String),
    /// The process did not live to get one.
    None,
}

/// `strace` before a command, writing to files that begin with `prefix`.
pub fn under_strace(command: &Command, prefix: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-ff", "--decode-fds=path,socket", "-v", "-s", "1000000", "-o"]);
    strace.arg(prefix).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        strace.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace.stdin(std::process::Stdio::null());
    strace
}

/// All processes by pid: what each was seen to do.
pub fn read_all(prefix: &Path) -> BTreeMap<i32, Vec<Seen>> {
    let name = prefix.file_name().unwrap().to_string_lossy().into_owned() + ".";
    let files = std::fs::read_dir(prefix.parent().unwrap()).unwrap().filter_map(Result::ok);
    let of_process = |path: PathBuf| -> Option<(i32, Vec<Seen>)> {
        let pid = path.file_name()?.to_str()?.strip_prefix(&name)?.parse().ok()?;
        let text = String::from_utf8_lossy(&std::fs::read(&path).ok()?).into_owned();
        // A call that has not returned yet has no end of line.
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        Some((pid, whole.lines().filter_map(call).collect()))
    };
    files.filter_map(|file| of_process(file.path())).collect()
}

/// A line, which must be readable if it is a call: what is not read is not witnessed.
fn call(text: &str) -> Option<Seen> {
    // A signal, an end, and a call in which the process died.
    let none = ["--- ", "+++ ", "???("].iter().any(|start| text.starts_with(start))
        || ["<unfinished ...>", "<unfinished ...>) = ?"].iter().any(|end| text.ends_with(end));
    if none || text.contains("(<... resuming") {
        return None;
    }
    Some(line(text).unwrap_or_else(|| panic!("strace said, and this test cannot read: {text}")))
}

/// `</a/path>`, or `<UNIX:[12->34]>` for a socket.
fn end_of_name(text: &str) -> Option<usize> {
    let kind = text[1..].find(|c: char| !c.is_ascii_uppercase() && c != '-').unwrap_or(0);
    match kind > 0 && text[1 + kind..].starts_with(":[") {
        true => text.find("]>").map(|i| i + 1),
        false => text.find('>'),
    }
}

/// The process that strace started: the one that no other process made.
pub fn first(seen: &BTreeMap<i32, Vec<Seen>>) -> i32 {
    let made = |seen: &Seen| match (&*seen.name, &seen.answer) {
        ("clone" | "clone3" | "fork" | "vfork", Answer::Number(pid)) => Some(*pid as i32),
        _ => None,
    };
    let made: BTreeSet<i32> = seen.values().flatten().filter_map(made).collect();
    let mut others = seen.keys().filter(|pid| !made.contains(pid));
    // A process that a container's program made has another number inside: never the oldest.
    let begins = |pid: &&i32| seen[*pid].first().is_some_and(|call| call.name == "execve");
    *others.find(begins).expect("strace saw the start of the program")
}

/// One line; None for signals, exits and what else is no call.
pub fn line(text: &str) -> Option<Seen> {
    let open = text.find('(')?;
    let name = &text[..open];
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let mut reader = Reader { text: &text[open + 1..], at: 0 };
    let (args, texts) = reader.arguments(')')?.into_iter().unzip();
    let rest = text[open + 1 + reader.at..].trim_start();
    let answer = answer(rest.strip_prefix('=')?.trim());
    Some(Seen { name: name.to_owned(), args, texts, answer })
}

fn answer(text: &str) -> Answer {
    if let Some(refused) = text.strip_prefix("-1 ") {
        return Answer::Refused(refused.split(' ').next().unwrap_or_default().to_owned());
    }
    let end = text.find([' ', '<']).unwrap_or(text.len());
    number(&text[..end]).map_or(Answer::None, Answer::Number)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn spaces(&mut self) {
        while self.take(' ') {}
    }

    /// Values, each with its text, up to the closing bracket, which is taken too.
    fn arguments(&mut self, close: char) -> Option<Vec<(Value, String)>> {
        let mut list = Vec::new();
        loop {
            self.spaces();
            if self.take(close) {
                return Some(list);
            }
            let from = self.at;
            let value = self.value()?;
            list.push((value, self.text[from..self.at].trim().to_owned()));
            self.spaces();
            self.comment();
            if !self.take(',') && self.peek() != Some(close) {
                return None;
            }
        }
    }

    /// `/* 35 vars */` and `...` say that something is left out.
    fn comment(&mut self) {
        if self.text[self.at..].starts_with("/*") {
            let end = self.text[self.at..].find("*/").map_or(self.text.len(), |i| self.at + i + 2);
            self.at = end;
            self.spaces();
        }
        while self.take('.') {}
        self.spaces();
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            '"' => self.string(),
            '[' => {
                self.at += 1;
                let items = self.arguments(']')?;
                Some(Value::List(items.into_iter().map(|(value, _)| value).collect()))
            }
            '{' => {
                self.at += 1;
                self.fields()
            }
            _ => self.word(),
        }
    }

    fn fields(&mut self) -> Option<Value> {
        let mut fields = BTreeMap::new();
        loop {
            self.spaces();
            self.comment();
            if self.take('}') {
                return Some(Value::Fields(fields));
            }
            let rest = &self.text[self.at..];
            let equals = rest.find(['=', ',', '}'])?;
            let name = rest[..equals].trim().to_owned();
            self.at += equals;
            let value = if self.take('=') { self.value()? } else { Value::Null };
            fields.insert(name, value);
            self.spaces();
            self.comment();
            if !self.take(',') && self.peek() != Some('}') {
                return None;
            }
        }
    }

    /// A C string: `"a\n\33\x7f"`.
    fn string(&mut self) -> Option<Value> {
        let bytes = self.text.as_bytes();
        let mut text = Vec::new();
        self.at += 1;
        loop {
            let byte = *bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return Some(Value::Text(text)),
                b'\\' => text.push(self.escaped()?),
                byte => text.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        let byte = *bytes.get(self.at)?;
        self.at += 1;
        let digits = |from: usize, most: usize, radix: u32| {
            let digit = |b: &&u8| char::from(**b).is_digit(radix);
            bytes[from..].iter().take(most).take_while(digit).count()
        };
        Some(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => {
                let count = digits(self.at, 2, 16);
                let value = u8::from_str_radix(&self.text[self.at..self.at + count], 16).ok()?;
                self.at += count;
                value
            }
            b'0'..=b'7' => {
                let count = 1 + digits(self.at, 2, 8);
                let from = self.at - 1;
                self.at = from + count;
                u8::from_str_radix(&self.text[from..from + count], 8).ok()?
            }
            other => other,
        })
    }

    /// `NULL`, `5</path>`, `AT_FDCWD</cwd>`, `A|B`, `makedev(0x1, 0x3)`, `8192*1024`.
    fn word(&mut self) -> Option<Value> {
        let from = self.at;
        let (mut depth, mut path) = (0, None);
        while let Some(c) = self.peek() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' | '}' | ',' if depth == 0 => break,
                ')' | ']' => depth -= 1,
                ' ' if depth == 0 && self.text[self.at..].starts_with(" /*") => break,
                '<' if depth == 0 && !self.text[self.at..].starts_with("<<") && path.is_none() => {
                    path = Some(self.at);
                    self.at += end_of_name(&self.text[self.at..])?;
                }
                '<' if self.text[self.at..].starts_with("<<") => self.at += 1,
                _ => {}
            }
            self.at += self.peek()?.len_utf8();
        }
        let text = self.text[from..self.at].trim();
        Some(match path {
            _ if text == "NULL" => Value::Null,
            Some(at) => {
                let number = match &self.text[from..at] {
                    "AT_FDCWD" => -100,
                    number => number.parse().ok()?,
                };
                let inside = self.text[at + 1..self.at].trim().trim_end_matches('>');
                Value::Fd(number, (number != -100).then(|| inside.to_owned()))
            }
            None if text == "AT_FDCWD" => Value::Fd(-100, None),
            None => bits(text),
        })
    }
}
