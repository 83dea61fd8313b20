//! Headers of an archive: POSIX ustar, PAX records, GNU's long names. tar(5)

use crate::error::{Error, Result};

/// Headers and files begin at multiples of it.
pub(super) const BLOCK: u64 = 512;

/// What learnc reads in a header.
#[derive(Debug)]
pub(super) struct Header {
    pub name: String,
    pub link: String,
    pub kind: u8,
    pub size: u64,
}

impl Header {
    pub fn read(block: &[u8]) -> Result<Header> {
        if block.len() < BLOCK as usize {
            return Err(Error::yours("it ends in the middle of a header"));
        }
        // The sum of all bytes, with blanks where the sum itself is.
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
        if number(&block[148..156])? != sum - own + 8 * 32 {
            return Err(Error::yours("no header of an archive is there"));
        }
        let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
        // GNU's headers have other things in the place of the prefix.
        let is_posix = &block[257..263] == b"ustar\0";
        let name = if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name };
        let size = number(&block[124..136])?;
        Ok(Header { name, link: text(&block[157..257]), kind: block[156], size })
    }
}

/// Octal digits, or a number as GNU tar writes what does not fit into them.
fn number(field: &[u8]) -> Result<u64> {
    let wrong = || Error::yours("a header with something else where a number should be");
    if field[0] == 0x80 {
        let high = field[1..field.len() - 8].iter().all(|byte| *byte == 0);
        let low = field[field.len() - 8..].try_into().map(u64::from_be_bytes);
        return low.ok().filter(|n| high && *n < 1 << 62).ok_or_else(wrong);
    }
    let digits = text(field);
    let digits = digits.trim_matches(' ');
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| wrong())
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// What the entries before one say of it.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub path: Option<String>,
    pub link: Option<String>,
    pub size: Option<u64>,
}

impl Names {
    pub fn learn(&mut self, kind: u8, bytes: &[u8]) -> Result<()> {
        match kind {
            b'L' => self.path = Some(text(bytes)),
            b'K' => self.link = Some(text(bytes)),
            _ => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    rest =
                        self.record(rest).ok_or_else(|| Error::yours("a PAX header is broken"))?;
                }
            }
        }
        Ok(())
    }

    /// `LENGTH KEY=VALUE\n`: what is behind it.
    fn record<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let value = String::from_utf8_lossy(&record[equals + 1..]).into_owned();
        match &record[..equals] {
            b"path" => self.path = Some(value),
            b"linkpath" => self.link = Some(value),
            b"size" => self.size = Some(value.parse().ok().filter(|size| *size < 1 << 62)?),
            key if key.starts_with(b"GNU.sparse") => return None,
            _ => {}
        }
        Some(&bytes[length..])
    }
}
