//! Fetching an archive over http(s), checked before it is used.
//!
//! The bytes go into a file in the run's own folder and through SHA-256 on the way. Only when all
//! have come, and the sum is the one that was asked for, does the next step unpack them. A server that
//! falls silent is given up, and so is any when this process is asked to end.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::error::{Error, Named, Result};
use crate::image::line;
use crate::sys::{Kernel, look, stop};

/// No root filesystem for learning is larger, in bytes; a server that never stops is.
const LARGEST: u64 = 16 << 30;

/// Where the archive is kept until it is unpacked.
pub fn file_beside(root: &Path) -> PathBuf {
    root.with_file_name("download")
}

/// Downloads `url` to the file beside `root`.
pub fn fetch(k: &Kernel, url: &str, sha256: Option<&str>, root: &Path) -> Result<()> {
    if k.pretends() {
        return Ok(());
    }
    let file = file_beside(root);
    let downloaded = download(url, &file);
    // Whoever gave up since it was asked to says that, and not how.
    let downloaded = downloaded.or_else(|broken| stop::go_on().and(Err(broken)));
    let (bytes, sum) = downloaded.map_err(|e| e.at(crate::args::plain(url)))?;
    match sha256 {
        Some(asked) if asked != sum => {
            return Err(Error::yours("the archive is not the one that was asked for")
                .because(format!("its sha256 is {sum}, and --sha256 says {asked}"))
                .try_this("the sum that its publisher tells; do not run what does not match"));
        }
        _ => {}
    }
    let checked = if sha256.is_some() { "as asked for" } else { "not compared with anything" };
    let mib = bytes as f64 / (1024.0 * 1024.0);
    k.note(|| format!("{mib:.1} MiB fetched, sha256 {sum}, {checked}"));
    Ok(())
}

fn download(url: &str, file: &Path) -> Result<(u64, String)> {
    let mut response = line::agent().get(url).call().map_err(|e| refused(&e))?;
    let length = response.body().content_length();
    let mut body = response.body_mut().with_config().limit(LARGEST).reader();
    let bar = progress(length);
    let mut out = create(file)?;
    let (mut sum, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 128 * 1024]);
    loop {
        let count = body.read(&mut buffer).map_err(|e| broken(&e, bytes))?;
        if count == 0 {
            break;
        }
        out.write_all(&buffer[..count]).named(file)?;
        sum.update(&buffer[..count]);
        bytes += count as u64;
        stop::go_on()?;
        bar.set_position(bytes);
    }
    bar.finish_and_clear();
    match length {
        Some(length) if length != bytes => {
            Err(Error::yours(format!("the server sent {bytes} of {length} bytes")))
        }
        _ => Ok((bytes, hexadecimal(&sum.finalize()))),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::disallowed_methods, reason = "bulk bytes of a download, in the run's own folder")]
fn create(file: &Path) -> Result<std::fs::File> {
    std::fs::File::create(file).named(file)
}

fn refused(e: &ureq::Error) -> Error {
    match e {
        ureq::Error::StatusCode(code) => Error::yours(format!("the server answered {code}"))
            .try_this("open the address in a browser: does it lead to a tar archive?"),
        ureq::Error::HostNotFound => Error::yours("no host of that name was found")
            .try_this("is there a network? --from busybox and --from host need none"),
        ureq::Error::Io(e) => Error::yours(e.kind().to_string())
            .try_this("is a server listening there? curl -I with that address tells"),
        e => Error::yours(e.to_string()),
    }
}

fn broken(e: &std::io::Error, bytes: u64) -> Error {
    Error::yours(format!("the connection broke after {bytes} bytes: {e}"))
}

/// A bar on the terminal, nothing elsewhere.
fn progress(length: Option<u64>) -> ProgressBar {
    if !look::is_terminal(2) {
        return ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    }
    let bar = match length {
        Some(length) => ProgressBar::new(length),
        None => ProgressBar::new_spinner(),
    };
    let form = "   {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}";
    match ProgressStyle::with_template(form) {
        Ok(style) if length.is_some() => bar.with_style(style),
        _ => bar,
    }
}
