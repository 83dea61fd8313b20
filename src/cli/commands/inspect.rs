//! `learnc image inspect`: an image of the store, taken apart.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::shell;
use crate::cli::image::{StoreArgs, silent};
use crate::cli::say;
use crate::error::{Result, WayOut};
use crate::image::dissect::{Dissection, read};
use crate::image::document::Platform;
use crate::image::names::Name;
use crate::image::store::Store;
use crate::render::terminal::look::{Look, When};
use crate::render::{dissection, dissection_page};
use crate::sys::{At, Kernel, Openat, Write as WriteCall};

#[derive(Debug, Args)]
pub struct Inspect {
    /// Its name in the store, its digest, or the beginning of that
    #[arg(value_name = "IMAGE")]
    pub name: String,
    #[command(flatten)]
    pub store: StoreArgs,
    /// The machine that the image is for: os/architecture[/variant] [default: this one]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Every entry of every layer, and not the largest alone
    #[arg(long)]
    pub files: bool,
    /// As JSON: everything
    #[arg(long, conflicts_with_all = ["page", "files"])]
    pub json: bool,
    /// Write a page for a browser to this file, or to stdout: -
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub page: Option<PathBuf>,
    /// When to use colours (NO_COLOR and CLICOLOR_FORCE are heeded)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    pub color: When,
}

impl Inspect {
    pub fn perform(&self) -> Result<i32> {
        let store = self.store.find()?;
        let wish = match &self.platform {
            Some(text) => Platform::parse(text)?,
            None => Platform::here(),
        };
        let name = full(&store, &self.name)?;
        let image = read::read(&silent(), &store, &name, &wish).map_err(|mut e| {
            if let (Some(WayOut::Pull), Some(platform)) = (e.way_out, &self.platform) {
                e.remedy =
                    Some(format!("learnc pull --platform {} {}", shell(platform), shell(&name)));
            }
            e
        })?;
        match (&self.page, self.json) {
            (Some(path), _) if path != Path::new("-") => {
                write(&silent(), path, &dissection_page::page(&image))?;
            }
            (Some(_), _) => say::all(&dissection_page::page(&image))?,
            (None, true) => say::line(&serde_json::to_string_pretty(&image)?)?,
            (None, false) => say::all(&self.tree(&image))?,
        }
        Ok(0)
    }

    fn tree(&self, image: &Dissection) -> String {
        let look = Look::of(1, self.color, self.files);
        dissection::tree(image, self.files, &look).join("\n") + "\n"
    }
}

/// The name as the store has it: what was written, or what docker's habit makes of it.
fn full(store: &Store, text: &str) -> Result<String> {
    if store.find(text)?.is_some() {
        return Ok(text.to_owned());
    }
    Ok(Name::parse(text).map_or_else(|_| text.to_owned(), |name| name.to_string()))
}

fn write(k: &Kernel, path: &Path, text: &str) -> Result<()> {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let file = k.call(Openat { dir: At::CWD, path, flags, mode: 0o644 });
    let file = file.map_err(|e| {
        e.at("--page").try_this("a file to which you may write, in a folder that is there, or -")
    })?;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        rest = &rest[k.call(WriteCall { fd: &file, data: rest })?..];
    }
    Ok(())
}
