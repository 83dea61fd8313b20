//! Compared runs: what they tell of host and container, and containers that live until they are let go.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::bundle::{Bundle, ran, read};
use super::derived::{Sides, Table, wrong};
use super::{needs, wait_until};

/// The events of one kind in a bundle's file.
pub fn events(bundle: &Bundle, kind: &str) -> Vec<Value> {
    let text = read(bundle.dir.join("events.jsonl"));
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["type"] == kind).collect()
}

pub fn rows(bundle: &Bundle) -> Vec<Value> {
    let changed = events(bundle, "changed");
    assert_eq!(changed.len(), 1, "told once");
    changed[0]["rows"].as_array().unwrap().clone()
}

/// What is as before, by name.
pub fn as_before(bundle: &Bundle, what: &str) -> bool {
    let told = events(bundle, "host_as_before");
    let checks = told.last().expect("told in the end")["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check[0] == what);
    check.unwrap_or_else(|| panic!("{what} was not compared"))[1].as_bool().unwrap()
}

pub fn compared(bundle: &Bundle, more: &[&str]) -> Command {
    let mut command = bundle.learnc(["run", "--changes", "--quiet", "--events"]);
    command.arg(bundle.dir.join("events.jsonl")).args(more).arg(&bundle.id);
    command
}

/// A container that lives until it is let go. It has said its pid, its user and its group.
pub struct Living {
    pub bundle: Bundle,
    learnc: Child,
    pub pid: i32,
    said: String,
}

const SAYS_WHO_IT_IS: &str = "echo $$ $(id -u) $(id -g); read x; true";

/// Starts it; `before` are words before learnc's own.
pub fn living(bundle: Bundle, before: &[&str], more: &[&str]) -> Living {
    let bundle = bundle.sh(SAYS_WHO_IT_IS);
    let plain = compared(&bundle, more);
    let words = before.iter().map(|word| word.into()).chain([plain.get_program().to_owned()]);
    let words: Vec<_> = words.chain(plain.get_args().map(ToOwned::to_owned)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(&bundle.dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut learnc = command.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(learnc.stdout.take().unwrap()).read_line(&mut said).unwrap();
    if said.is_empty() {
        panic!("{:?}", learnc.wait_with_output());
    }
    wait_until("its start has been told", || !events(&bundle, "started").is_empty());
    let pid = events(&bundle, "started")[0]["pid"].as_i64().unwrap() as i32;
    Living { bundle, learnc, pid, said }
}

impl Living {
    pub fn learnc(&self) -> i32 {
        self.learnc.id() as i32
    }

    /// The table, as it must be.
    pub fn derived(&self, limits: &[&str]) -> Table {
        let sides = Sides { host: self.learnc(), container: self.pid };
        let mut table = Table::new();
        sides.namespaces(&mut table);
        sides.root(&mut table, &self.bundle.rootfs());
        sides.names(&mut table);
        sides.ids(&mut table, &self.said.split_whitespace().collect::<Vec<_>>());
        sides.cgroup(&mut table);
        sides.limits(&mut table, limits);
        sides.privileges(&mut table);
        table
    }

    /// Lets it end: the bundle, and learnc's status.
    pub fn let_go(mut self) -> (Bundle, i32) {
        drop(self.learnc.stdin.take());
        let output = self.learnc.wait_with_output().unwrap();
        (self.bundle, output.status.code().unwrap_or(-1))
    }

    /// Lets it end, and holds what learnc tells against what was derived.
    pub fn told_truly(self, limits: &[&str]) -> (Vec<Value>, Table) {
        let derived = self.derived(limits);
        let (bundle, status) = self.let_go();
        assert_eq!(status, 0);
        let rows: Vec<Value> =
            rows(&bundle).into_iter().filter(|row| row["verdict"] != "counted").collect();
        let wrong = wrong(&rows, &derived);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for what in ["mounts", "cgroups", "processes", "files"] {
            assert!(as_before(&bundle, what), "{what}");
        }
        (rows, derived)
    }
}

/// The directories of a container that was kept, wherever they are.
fn kept_cgroups(bundle: &Bundle) -> Vec<PathBuf> {
    let name = format!("learnc-{}", bundle.id);
    // It ends with 1 where a neighbour's cgroup goes while it looks.
    let found = ran(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &name]));
    found.stdout.lines().map(PathBuf::from).collect()
}

/// What a run's cgroup counted.
pub struct Counted {
    /// How the run ended.
    pub status: i32,
    pub rows: Vec<(String, u64)>,
    /// The files that the cgroup had.
    files: Vec<String>,
}

impl Counted {
    /// What was told of the first of these counters, `FILE` or `FILE WORD`, whose file this kernel has.
    pub fn of(&self, names: &[&str]) -> Option<u64> {
        let is_there =
            |name: &&&str| self.files.iter().any(|f| Some(&**f) == name.split(' ').next());
        let name = names.iter().find(is_there)?;
        let row = self.rows.iter().find(|(property, _)| property == name);
        Some(row.unwrap_or_else(|| panic!("{name} was not told: {:?}", self.rows)).1)
    }
}

/// Runs it, keeps its cgroup, and holds what was counted against the files.
pub fn counted(bundle: &Bundle) -> Counted {
    let ran = ran(&mut compared(bundle, &["--keep"]));
    let dirs = kept_cgroups(bundle);
    assert!(!dirs.is_empty(), "{}", ran.stderr);
    let is = |row: &Value| {
        let property = row["property"].as_str().unwrap();
        let (file, word) = property.split_once(' ').unwrap_or((property, ""));
        let texts = dirs.iter().map(|dir| read(dir.join(file)));
        let text = texts.into_iter().find(|text| !text.is_empty()).expect("a file of its cgroup");
        let line = text.lines().find(|line| line.split(' ').next() == Some(word));
        let value = line.map_or(&*text, |line| line.split(' ').nth(1).unwrap()).trim();
        assert_eq!(row["container"], value, "{property}");
        (property.to_owned(), value.parse().unwrap())
    };
    let rows = rows(bundle);
    let counted: Vec<_> = rows.iter().filter(|row| row["verdict"] == "counted").map(is).collect();
    assert!(events(bundle, "host_as_before").is_empty(), "what is kept is not as before");
    let files = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    bundle.verb("delete", &["--force"]);
    Counted { status: ran.status, rows: counted, files }
}

/// No mount namespace, and without root only the user namespace that this takes.
pub fn chroot_only(bundle: Bundle) -> Bundle {
    let own = if needs::is_root() { json!([]) } else { json!([{"type": "user"}]) };
    bundle
        .without("/mounts")
        .without("/linux/maskedPaths")
        .without("/linux/readonlyPaths")
        .without("/hostname")
        .set("/root/readonly", json!(false))
        .set("/linux/namespaces", own)
}
