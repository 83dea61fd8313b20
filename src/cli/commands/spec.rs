//! `learnc spec`: writes a config.json to start from.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::bundle::defaults;
use crate::cli::image::silent;
use crate::error::{Error, Named, Result};
use crate::sys::{At, Unlinkat, look};

#[derive(Debug, Args)]
pub struct Spec {
    /// The folder to write it to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For a user without root: with a user namespace
    #[arg(long)]
    pub rootless: bool,
}

impl Spec {
    pub fn perform(&self) -> Result<i32> {
        let (uid, gid) = look::ids();
        let config = if self.rootless { defaults::rootless(uid, gid) } else { defaults::config() };
        let path = self.bundle.join("config.json");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path).map_err(|e| {
            let remedy = match e.kind() {
                std::io::ErrorKind::AlreadyExists => "mv config.json config.json.old",
                _ => "--bundle DIR, a folder that is there and can be written to",
            };
            Error::from(e).at(path.display().to_string()).try_this(remedy)
        })?;
        write(file, &config).named(&path).inspect_err(|_| {
            // Half of one would be in the way of the next.
            let _ = silent().call(Unlinkat { dir: At::CWD, path: &path, directory: false });
        })?;
        Ok(0)
    }
}

/// With tabs, as runc does: what `diff` shows between the two is what is different.
fn write(mut file: std::fs::File, config: &Value) -> std::io::Result<()> {
    let mut text = Vec::new();
    let tabs = PrettyFormatter::with_indent(b"\t");
    config.serialize(&mut Serializer::with_formatter(&mut text, tabs))?;
    text.push(b'\n');
    file.write_all(&text)
}
