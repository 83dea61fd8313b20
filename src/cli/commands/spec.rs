//! `learnc spec`: writes a config.json to start from.

use std::path::PathBuf;

use clap::Args;

use crate::bundle::defaults;
use crate::error::{Error, Result};
use crate::sys::look;

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
        serde_json::to_writer_pretty(file, &config)?;
        Ok(0)
    }
}
