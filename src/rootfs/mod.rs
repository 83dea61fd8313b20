//! Where a root filesystem comes from.
//!
//! A container needs a directory that becomes its `/`: programs, the loader and the libraries that
//! they name, a few files; no kernel. [`Source`] says where they are taken from. A source is read
//! beforehand into a [`Recipe`], which is data: what will be copied, linked and written. The steps
//! that follow it are in [`crate::parts::tree`], narrated like everything else.
//!
//! ```text
//!   --from busybox        ─ one static program under many names ───────┐
//!   --from host           ─ this host's programs, with their libraries ┤
//!   --from DIR            ─ a copy                                     ├─► Recipe ─► steps
//!   --from FILE.tar[.gz]  ─ an archive, whose names are hostile        │
//!   --from http(s)://…    ─ the same, fetched and checked first        │
//!   --from debootstrap    ─ a whole Debian, by the real tool ──────────┘
//! ```
//!
//! Every run gets a tree of its own, which goes with it: nothing that a learner does inside can hurt
//! the next run, or the host.

pub mod archive;
pub mod fetch;
pub mod libraries;
pub mod program;
pub mod recipe;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::look;
pub use recipe::{Recipe, Tree};

/// Where the files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A static busybox of this host.
    Busybox(PathBuf),
    /// This host's own programs.
    Host,
    Directory(PathBuf),
    /// tar, also compressed with gzip.
    Archive(PathBuf),
    Url {
        url: String,
        /// What the archive must hash to, in hexadecimal.
        sha256: Option<String>,
    },
    Debootstrap {
        program: PathBuf,
    },
}

impl Source {
    /// Reads `--from` and `--sha256`. Without them: busybox where the host has one, else the host's
    /// own programs.
    pub fn read(from: Option<&str>, sha256: Option<&str>) -> Result<Source> {
        let url = from.is_some_and(|from| from.contains("://"));
        if sha256.is_some() && !url {
            return Err(Error::yours("--sha256 checks what is downloaded")
                .try_this("--from https://... --sha256 SUM"));
        }
        match from {
            None => Ok(busybox().map_or(Source::Host, Source::Busybox)),
            Some("busybox") => busybox().map(Source::Busybox).ok_or_else(no_busybox),
            Some("host") => Ok(Source::Host),
            Some("debootstrap") => debootstrap(),
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                let sha256 = sha256.map(check_sum).transpose()?;
                Ok(Source::Url { url: url.to_owned(), sha256 })
            }
            Some(url) if url.contains("://") => {
                Err(Error::yours(format!("--from {url}: only http and https are spoken")))
            }
            Some(path) => on_disk(Path::new(path)),
        }
    }

    /// One word for it.
    pub fn name(&self) -> String {
        match self {
            Source::Busybox(_) => "busybox from this host".into(),
            Source::Host => "this host's own programs".into(),
            Source::Directory(path) | Source::Archive(path) => path.display().to_string(),
            Source::Url { url, .. } => url.clone(),
            Source::Debootstrap { .. } => "debootstrap".into(),
        }
    }
}

fn check_sum(sum: &str) -> Result<String> {
    let sum = sum.strip_prefix("sha256:").unwrap_or(sum).to_ascii_lowercase();
    match sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()) {
        true => Ok(sum),
        false => Err(Error::yours(format!("--sha256 {sum}: not 64 hexadecimal digits"))),
    }
}

/// A busybox that needs no libraries.
fn busybox() -> Option<PathBuf> {
    let static_ =
        |path: &PathBuf| matches!(program::start(path), program::Start::Elf { loader: None, .. });
    look::in_path("busybox").filter(static_)
}

fn no_busybox() -> Error {
    Error::yours("--from busybox: no static busybox is in PATH")
        .try_this("apt-get install busybox-static, or --from host")
}

fn debootstrap() -> Result<Source> {
    match look::in_path("debootstrap") {
        Some(program) => Ok(Source::Debootstrap { program }),
        None => Err(Error::yours("--from debootstrap: the program is not in PATH")
            .try_this("apt-get install debootstrap")),
    }
}

fn on_disk(path: &Path) -> Result<Source> {
    let absolute = std::path::absolute(path).map_err(|e| Error::from(e).at("--from"))?;
    match std::fs::metadata(&absolute) {
        Ok(meta) if meta.is_dir() => Ok(Source::Directory(absolute)),
        Ok(meta) if meta.is_file() => Ok(Source::Archive(absolute)),
        Ok(_) => Err(Error::yours(format!("--from {}: neither file nor folder", path.display()))),
        Err(e) => Err(Error::from(e)
            .at(format!("--from {}", path.display()))
            .try_this("busybox, host, debootstrap, a folder, a tar archive or a URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_source_is_named_with_what_can() {
        let error = Source::read(Some("/no/such/place"), None).unwrap_err();
        assert!(error.to_string().contains("/no/such/place"));
        assert!(error.remedy.as_ref().unwrap().contains("busybox"));
        assert!(Source::read(Some("ftp://x/y.tar"), None).is_err());
        assert!(Source::read(Some("http://x/y.tar"), Some("abc")).is_err());
        assert!(Source::read(None, Some("abc")).is_err());
    }

    #[test]
    fn a_sum_is_read_with_or_without_its_prefix() {
        let sum = "A".repeat(64);
        let source = Source::read(Some("http://x/y.tar"), Some(&format!("sha256:{sum}")));
        let Ok(Source::Url { sha256: Some(read), .. }) = source else { panic!("{source:?}") };
        assert_eq!(read, "a".repeat(64));
    }
}
