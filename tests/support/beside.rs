//! runc and learnc, side by side on one bundle; what each says, with what must differ made equal.
//!
//! On purpose learnc differs in this, and nowhere else:
//! * a list of nothing is `[]`, not `null`;
//! * a command line that makes no sense has exit status 2, as with most programs; runc has 1 or 3;
//! * `state` names the owner, as `list` does; runc leaves it empty there;
//! * both tell the version of the specification that they are written to.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::bundle::{Bundle, program, ran, read};
use super::wait_until;

/// One of the two, with a place for its states and one bundle for both.
pub struct Runtime<'a> {
    program: PathBuf,
    root: PathBuf,
    bundle: &'a Bundle,
}

/// A command's exit status and standard output, with what must differ made equal.
pub type Said = (i32, String);

impl Runtime<'_> {
    pub fn both(bundle: &Bundle) -> [Runtime<'_>; 2] {
        bundle.write();
        let runtime = |program: PathBuf, root: PathBuf| Runtime { program, root, bundle };
        [runtime("runc".into(), bundle.dir.join("runc")), runtime(program(), bundle.state_root())]
    }

    fn is_runc(&self) -> bool {
        self.program.as_os_str() == "runc"
    }

    /// `run` tells what it does, which is not compared: it goes to standard error.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        let words = line.split(' ').map(|word| if word == "ID" { &self.bundle.id } else { word });
        command.arg("--root").arg(&self.root).args(words).current_dir(&self.bundle.dir);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn say(&self, line: &str) -> Said {
        let ran = ran(&mut self.command(line));
        let out = if ran.status == 0 { plain(ran.stdout.trim_end()) } else { String::new() };
        match (ran.status, line) {
            (0, "list -f json") if out == "null\n" => (0, "[]".into()),
            (1 | 3, _) if self.is_runc() && NO_SENSE.contains(&line) => (2, String::new()),
            (status, _) => (status, out),
        }
    }

    /// `create` and `run --detach`, whose standard files the container keeps.
    pub fn silently(&self, line: &str) -> Said {
        let status = self.command(line).stdout(Stdio::null()).status().unwrap();
        (status.code().unwrap(), String::new())
    }

    pub fn attached(&self) -> Child {
        let child = self.command("run ID").stdout(Stdio::piped()).spawn().unwrap();
        wait_until("it runs", || self.status() == "running" && !self.output().is_empty());
        child
    }

    /// What the program has written into its root filesystem.
    pub fn output(&self) -> String {
        read(self.bundle.rootfs().join("heard"))
    }

    pub fn status(&self) -> String {
        let state = ran(&mut self.command("state ID")).stdout;
        let state: Value = serde_json::from_str(&state).unwrap_or_default();
        state["status"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Runtime<'_> {
    fn drop(&mut self) {
        if self.is_runc() {
            let _ = self.command("delete --force ID").status();
        }
    }
}

fn plain_json(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    let states = match &mut value {
        Value::Array(list) => list.iter_mut().collect(),
        one => vec![one],
    };
    for state in states {
        let alive = state["pid"].as_i64().unwrap() > 0;
        state["pid"] = json!(alive);
        for field in ["ociVersion", "created", "owner"] {
            assert!(state[field].is_string(), "{field} in {state}");
            state[field] = json!(field);
        }
    }
    // In the order of the fields too.
    format!("{value:#}")
}

/// Without pids and times.
fn plain(text: &str) -> String {
    let time = |word: &str| word.len() > 20 && word.contains('T') && word.ends_with('Z');
    let mut plain = String::new();
    for (n, line) in text.lines().enumerate() {
        if line.starts_with('{') || line.starts_with('[') || line.starts_with(' ') {
            plain += &plain_json(text);
            break;
        }
        let is_row = n > 0 && line.split_whitespace().count() == 6;
        let words = line.split_whitespace().enumerate().map(|(i, word)| match word {
            _ if is_row && i == 1 && word != "0" => "PID",
            _ if time(word) => "TIME",
            word => word,
        });
        // The head of a table as it is: its columns' places. A time has as many digits as it needs.
        plain += &match line.split_once("CREATED") {
            Some((places, rest)) => format!("{places}CREATED {}", rest.trim()),
            None => words.collect::<Vec<_>>().join(" "),
        };
        plain.push('\n');
    }
    plain
}
/// Command lines that make no sense.
pub const NO_SENSE: &[&str] = &[
    "state",
    "kill",
    "delete",
    "start",
    "create",
    "list x",
    "spec x",
    "wobble",
    "run --wobble x",
    "list -f yaml",
    "kill ID KILL x",
];
