//! A store of images of a test's own, and what `learnc` says of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::bundle::{Ran, learnc, ran};
use super::images::{Folder, Image, dir, file, folder, image, layer};

/// A store in a folder of its own, which goes with the value.
pub struct Kept(pub Folder);

pub fn kept() -> Kept {
    Kept(folder())
}

impl Kept {
    pub fn dir(&self) -> PathBuf {
        self.0.join("store")
    }

    /// A path beside the store, for what is pulled from.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// `learnc ARGS --store DIR`
    pub fn learnc(&self, args: &[&str]) -> Command {
        let mut command = learnc(args);
        command.arg("--store").arg(self.dir());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.learnc(args))
    }

    pub fn pull(&self, place: &str) -> Ran {
        self.run(&["pull", "--quiet", place])
    }

    /// The same with this file as standard input.
    pub fn pull_from(&self, input: &Path, place: &str) -> Ran {
        let mut command = self.learnc(&["pull", "--quiet", place]);
        ran(command.stdin(Stdio::from(std::fs::File::open(input).unwrap())))
    }

    /// What `learnc images --json` says.
    pub fn images(&self) -> Vec<Value> {
        serde_json::from_str(&self.run(&["images", "--json"]).ok().stdout).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        self.run(&["images", "--quiet"]).ok().stdout.lines().map(str::to_owned).collect()
    }

    /// What `learnc image check --json` says, and whether its exit status agrees.
    pub fn check(&self) -> Value {
        let checked = self.run(&["image", "check", "--json"]);
        let report: Value = serde_json::from_str(&checked.stdout).unwrap_or_else(|e| {
            panic!("{e}: {}{}", checked.stdout, checked.stderr);
        });
        let problems = report["problems"].as_array().unwrap().len();
        assert_eq!(checked.status, i32::from(problems > 0), "{report}");
        report
    }

    /// Insists that nothing in the store is wrong: what the check says.
    pub fn intact(&self) -> Value {
        let report = self.check();
        assert_eq!(report["problems"], serde_json::json!([]));
        report
    }

    /// Insists that a place is refused with these words, that nothing has a name, and that the rest goes.
    pub fn refuses(&self, place: &str, wanted: &str, number: usize) {
        let answer = self.pull(place);
        assert_eq!(answer.status, 1, "{number}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.stderr.contains(wanted), "{number}: {wanted}: {}", answer.stderr);
        assert!(!answer.stderr.contains("panicked"), "{number}: {}", answer.stderr);
        assert_eq!(answer.stdout, "");
        assert_eq!(self.intact()["images"], 0, "{number}");
        // What else had come, or begun to, would be of use to the next pull.
        self.run(&["prune"]).ok();
        assert_eq!(self.intact()["unfinished"], json!([]), "{number}");
        assert!(self.blobs().is_empty(), "{number}");
    }

    /// All files of the store with a digest for their name, by that digest.
    pub fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir().join("blobs/sha256")).into_iter().flatten();
        let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut blobs: Vec<String> = entries.flatten().map(name).collect();
        blobs.sort();
        blobs
    }

    pub fn blob(&self, digest: &str) -> PathBuf {
        self.dir().join("blobs").join(digest.replace(':', "/"))
    }

    /// How many bytes the store has so far, finished or not.
    pub fn bytes(&self) -> u64 {
        let folders = [self.dir().join("ingest"), self.dir().join("blobs/sha256")];
        let entries = folders.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
    }
}

/// Two layers, one in each compression.
pub fn sample(text: &str) -> Image {
    image()
        .layer(layer([dir("etc"), file("etc/motd", text)]).gzip())
        .layer(layer([file("etc/more", b"more of it")]).zstd())
        .layer(layer([file("etc/plain", b"as it is")]))
        .set("/config/Cmd", json!(["/bin/sh"]))
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
