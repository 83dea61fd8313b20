//! Transcripts in the lessons and the book, which must be what a shell really says.
//!
//! ````text
//! ```console limits              what the machine must have, by the names in needs.rs
//! $ cd rootfs && ls              a command, for anybody; `#` in the place of `$`: for root alone
//! > bin                          … that goes on
//! bin  etc                       what it prints, on both its outputs together
//! pid …                          `…` in a line stands for anything
//! …                              and alone in a line for any lines, or none
//! (exit status 2)                how it ends, where that is not 0
//! ```
//! ````
//!
//! A block is one shell in a folder of its own, so that what one command makes the next one finds;
//! `learnc` in it is the program under test, with a state root of its own.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::bundle::{program, ran, take_away};
use super::needs::Need;

/// A fenced block that is to be tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// `lessons/02-chroot/lesson.md:41`
    pub place: String,
    pub needs: Vec<Need>,
    pub turns: Vec<Turn>,
}

/// A command and what it must say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    pub command: String,
    pub prints: Vec<String>,
    pub status: i32,
}

/// The blocks of a document.
pub fn blocks(path: &str, text: &str) -> Vec<Block> {
    let mut blocks = vec![];
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```console") else { continue };
        let place = format!("{path}:{number}");
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        blocks.push(block(place, info, body));
    }
    blocks
}

fn block<'a>(place: String, info: &str, body: impl Iterator<Item = &'a str>) -> Block {
    let mut needs: Vec<Need> = info.split_whitespace().map(need).collect();
    let mut turns: Vec<Turn> = vec![];
    for line in body {
        if let Some(command) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")) {
            if line.starts_with('#') {
                needs.push(Need::Root);
            }
            turns.push(Turn { command: command.to_owned(), ..Turn::default() });
            continue;
        }
        let turn = turns.last_mut().unwrap_or_else(|| panic!("{place}: begins without a command"));
        let status = line.strip_prefix("(exit status ").and_then(|rest| rest.strip_suffix(')'));
        if let Some(status) = status {
            turn.status = status.parse().expect("a number");
        } else if let Some(more) = line.strip_prefix("> ").filter(|_| turn.prints.is_empty()) {
            turn.command.push('\n');
            turn.command.push_str(more);
        } else {
            turn.prints.push(line.to_owned());
        }
    }
    assert!(!turns.is_empty(), "{place}: has no command");
    Block { place, needs, turns }
}

/// `limits`: the need of that name.
pub fn need(name: &str) -> Need {
    let known = [
        Need::Limits,
        Need::CgroupV2,
        Need::Root,
        Need::Runc,
        Need::Strace,
        Need::Unprivileged,
        Need::IdRanges,
    ];
    let named = known.into_iter().find(|need| format!("{need:?}").eq_ignore_ascii_case(name));
    named.unwrap_or_else(|| panic!("{name}: no need of that name"))
}

/// What every command of a block said, and how it ended.
pub fn play(block: &Block) -> Vec<(String, i32)> {
    let place = Place::new();
    let mut script = String::new();
    for turn in &block.turns {
        // A sign of its own, which no program prints, ends the output of each.
        script.push_str(&format!("{}\nprintf '\\036%d\\036' $?\n", turn.command));
    }
    let said = place.run(&script);
    let parts: Vec<&str> = said.split('\x1e').collect();
    parts.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].parse().unwrap())).collect()
}

/// Plays a block: everything in it is so, or what is not.
pub fn check(block: &Block) -> Result<(), String> {
    let said = play(block);
    for (i, turn) in block.turns.iter().enumerate() {
        let Some((output, status)) = said.get(i) else {
            return Err(format!("{}: the shell ended before: {}", block.place, turn.command));
        };
        let lines: Vec<&str> = output.lines().collect();
        let wanted: Vec<&str> = turn.prints.iter().map(String::as_str).collect();
        if *status != turn.status || !looks_like(&wanted, &lines) {
            return Err(format!(
                "{}\n$ {}\n--- is said to print (and end with {})\n{}\n--- prints (and ends with {})\n{}",
                block.place,
                turn.command,
                turn.status,
                wanted.join("\n"),
                status,
                output
            ));
        }
    }
    Ok(())
}

/// Whether lines are those of a transcript, in which `…` stands for anything.
pub fn looks_like(wanted: &[&str], lines: &[&str]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return lines.is_empty() };
    if *first == "…" {
        return (0..=lines.len()).any(|n| looks_like(rest, &lines[n..]));
    }
    let same = |line: &str| line_fits(first, line.trim_end());
    lines.split_first().is_some_and(|(line, others)| same(line) && looks_like(rest, others))
}

fn line_fits(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    let ends = line.char_indices().map(|(i, _)| i).chain([line.len()]);
    rest.is_empty() || ends.into_iter().any(|i| line_fits(rest, &line[i..]))
}

/// A folder to play in. What is left in it goes with it, containers first.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("learnc-console-{}-{count}", std::process::id());
        let place = Place(std::env::temp_dir().join(name));
        for dir in ["bin", "here"] {
            std::fs::create_dir_all(place.0.join(dir)).unwrap();
        }
        // Written by a process of its own: a descriptor that is open for writing in this one could be
        // inherited by what another test is just starting, and then nobody may execute the file.
        let write = "printf '#!/bin/sh\nexec %s --root %s \"$@\"\n' \"$1\" \"$2\" > \"$0\"; chmod 755 \"$0\"";
        let mut writer = Command::new("sh");
        writer.args(["-c", write]).arg(place.0.join("bin/learnc"));
        ran(writer.arg(program()).arg(place.0.join("state"))).ok();
        place
    }

    /// Both outputs of a script, in the order in which they were written.
    fn run(&self, script: &str) -> String {
        let output = self.0.join("output");
        let file = File::create(&output).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(self.0.join("here")).stdin(Stdio::null());
        shell.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        shell.env("PATH", format!("{}:{path}", self.0.join("bin").display()));
        shell.env("XDG_DATA_HOME", self.0.join("data")).env("LC_ALL", "C.UTF-8");
        shell.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        wait(shell.spawn().unwrap(), script);
        String::from_utf8_lossy(&std::fs::read(output).unwrap()).into_owned()
    }
}

/// Waits for a shell and ends what it has left running. One that hangs is no answer.
fn wait(mut shell: Child, script: &str) {
    let group = nix::unistd::Pid::from_raw(shell.id() as i32);
    let end = Instant::now() + Duration::from_secs(120);
    while shell.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = shell.try_wait().unwrap().is_some();
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    let _ = shell.wait();
    assert!(ended, "does not come to an end:\n{script}");
}

impl Drop for Place {
    fn drop(&mut self) {
        let learnc = self.0.join("bin/learnc");
        for id in std::fs::read_dir(self.0.join("state")).into_iter().flatten().flatten() {
            let mut delete = Command::new(&learnc);
            delete.args(["delete", "--force"]).arg(id.file_name());
            let _ = delete.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = Command::new(&learnc).arg("clean").stderr(Stdio::null()).output();
        take_away(&self.0);
    }
}
