//! pax records: what is said of the next entry in `LENGTH KEY=VALUE` lines.
//!
//! POSIX.1-2024, pax, "pax Extended Header": the length is decimal, counts the whole record with its
//! newline, and so allows any byte in a value. A record that is there twice, a NUL in a name, a number
//! with a sign are read differently by different programs, and are refused.

use super::{Piece, Time, ambiguous, broken};
use crate::error::Result;

/// What records can say of an entry.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub modified: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Sparse,
}

/// GNU's three ways to say of holes by records; 1.0 says it in the contents.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    /// `GNU.sparse.size` of 0.0 and 0.1.
    pub size: Option<u64>,
    /// `GNU.sparse.realsize` of 1.0.
    pub real_size: Option<u64>,
    /// Offsets and lengths in turn, of 0.0 and 0.1.
    pub map: Option<Vec<u64>>,
    blocks: Option<u64>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Reads the records of an `x` header.
pub fn records(bytes: &[u8]) -> Result<Records> {
    let mut all = Records::default();
    let mut seen = std::collections::HashSet::new();
    each(bytes, |key, value| {
        // Version 0.0 has these two once for every piece.
        let repeats = matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
        if !repeats && !seen.insert(key.to_owned()) {
            return Err(ambiguous(format!("the record {:?} is there twice", shown(key))));
        }
        all.take(key, value).map_err(|e| e.at(shown(key)))
    })?;
    let pairs = all.sparse.map.as_ref().map(|map| map.len() as u64);
    match (pairs, all.sparse.blocks) {
        (Some(odd), _) if odd % 2 == 1 => Err(broken("GNU.sparse: an offset without a length")),
        (Some(pairs), Some(blocks)) if pairs / 2 != blocks => {
            Err(ambiguous(format!("GNU.sparse.numblocks: {blocks}, and {} are there", pairs / 2)))
        }
        _ => Ok(all),
    }
}

/// Of the records of a `g` header only those are taken that say nothing of a file: some programs hold
/// the others against all files that follow, some against none.
pub fn global(bytes: &[u8]) -> Result<()> {
    each(bytes, |key, value| {
        let mut all = Records::default();
        all.take(key, value).map_err(|e| e.at(shown(key)))?;
        match all == Records::default() && key != b"hdrcharset" {
            true => Ok(()),
            false => Err(ambiguous(format!("a global header with {:?}", shown(key)))),
        }
    })
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// Takes the records apart, one by one.
fn each(mut bytes: &[u8], mut take: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    while !bytes.is_empty() {
        let wrong = || broken("a pax record that is none");
        let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length = decimal(&bytes[..space]).filter(|_| bytes[0] != b'0').ok_or_else(wrong)?;
        let length = usize::try_from(length).map_err(|_| wrong())?;
        if length <= space + 1 || length > bytes.len() {
            return Err(broken("a pax record that is longer than its header"));
        }
        let (record, rest) = bytes.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if key.is_empty() || key.contains(&0) {
            return Err(wrong());
        }
        take(key, value)?;
        bytes = rest;
    }
    Ok(())
}

impl Records {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.path = Some(name(value)?),
            b"linkpath" => self.link = Some(name(value)?),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            b"hdrcharset" if value != b"BINARY" && value != b"ISO-IR 10646 2000 UTF-8" => {
                return Err(ambiguous("names in another character set"));
            }
            // star's way to say of holes, and multi-volume and incremental archives.
            b"SCHILY.realsize" | b"GNU.dumpdir" | b"GNU.volume.size" | b"GNU.volume.offset" => {
                return Err(ambiguous("nothing that belongs into a layer"));
            }
            _ => match (key.strip_prefix(XATTR), key.strip_prefix(b"GNU.sparse.".as_slice())) {
                (Some(b""), _) => return Err(broken("an extended attribute without a name")),
                (Some(name), _) => self.xattrs.push((name.to_vec(), value.to_vec())),
                (_, Some(key)) => self.sparse.take(key, value)?,
                // LIBARCHIVE.xattr says once more what SCHILY.xattr says; the rest does not shape files.
                _ => {}
            },
        }
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let map = |map: &mut Option<Vec<u64>>, is_length: bool| -> Result<()> {
            let map = map.get_or_insert_default();
            if map.len() % 2 != usize::from(is_length) || map.len() >= 2 * super::sparse::MOST {
                return Err(broken("offsets and lengths that do not take turns"));
            }
            map.push(number(value)?);
            Ok(())
        };
        match key {
            b"major" => self.major = Some(number(value)?),
            b"minor" => self.minor = Some(number(value)?),
            b"name" => self.name = Some(name(value)?),
            b"size" => self.size = Some(number(value)?),
            b"realsize" => self.real_size = Some(number(value)?),
            b"numblocks" => self.blocks = Some(number(value)?),
            b"offset" => map(&mut self.map, false)?,
            b"numbytes" => map(&mut self.map, true)?,
            b"map" if self.map.is_some() => return Err(ambiguous("two maps of one file")),
            b"map" if value.is_empty() => self.map = Some(vec![]),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(number);
                self.map = Some(numbers.collect::<Result<_>>()?);
            }
            _ => return Err(ambiguous("unknown")),
        }
        Ok(())
    }

    pub fn is_there(&self) -> bool {
        *self != Sparse::default()
    }

    /// The map of 0.0 and 0.1, in pairs.
    pub fn pieces(&self) -> Option<Vec<Piece>> {
        let pairs = self.map.as_ref()?.chunks_exact(2);
        Some(pairs.map(|pair| Piece { offset: pair[0], length: pair[1] }).collect())
    }
}

/// A path: not empty, and without the NUL at which some would end it.
fn name(value: &[u8]) -> Result<Vec<u8>> {
    match value {
        b"" => Err(ambiguous("an empty name")),
        value if value.contains(&0) => Err(ambiguous("a name with a NUL in it")),
        value => Ok(value.to_vec()),
    }
}

/// Decimal digits alone.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    });
    value.filter(|value| *value <= i64::MAX as u64)
}

fn number(value: &[u8]) -> Result<u64> {
    decimal(value).ok_or_else(|| broken(format!("{:?} is no number", shown(value))))
}

/// `1350244992.023960108`, `-1.5`: seconds and a fraction, of which nine digits count.
fn time(value: &[u8]) -> Result<Time> {
    let wrong = || broken(format!("{:?} is no time", shown(value)));
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let seconds = decimal(whole).ok_or_else(wrong)? as i64;
    let digit = |i: usize| fraction.get(i).map_or(0, |byte| u32::from(byte - b'0'));
    let nanos = (0..9).fold(0, |nanos, i| nanos * 10 + digit(i));
    Ok(match (negative, nanos) {
        (false, nanos) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, nanos) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_are_read() {
        let bytes = b"11 path=a\xff\n19 mtime=-1.500000\n27 SCHILY.xattr.user.a=b=c\n";
        let read = records(bytes).unwrap();
        assert_eq!(read.path.as_deref(), Some(&b"a\xff"[..]));
        assert_eq!(read.modified, Some(Time { seconds: -2, nanos: 500_000_000 }));
        assert_eq!(read.xattrs, [(b"user.a".to_vec(), b"b=c".to_vec())]);
    }

    #[test]
    fn what_two_programs_would_read_differently_is_refused() {
        for bad in [
            &b"9 path=a\n9 path=b\n"[..],
            b"9 path=a\n9 path=a\n",
            b"9 path=\0\n",
            b"8 path=\n",
            b"09 path=a\n",
            b" 9 path=a\n",
            b"9 path=ab",
            b"99 path=a\n",
            b"9 path=a",
            b"4 =\n\n",
            b"10 size=+1\n",
            b"10 size=-1\n",
            b"29 size=99999999999999999999\n",
            b"22 GNU.sparse.offset=1\n",
            b"19 GNU.sparse.new=1\n",
            b"17 hdrcharset=x1\n",
        ] {
            assert!(records(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        global(b"12 comment=x").unwrap_err();
        global(b"13 comment=ab\n").unwrap_err();
        global(b"14 comment=ab\n").unwrap();
        global(b"9 path=a\n").unwrap_err();
        global(b"10 size=1\n").unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&bytes);
            let _ = global(&bytes);
            let _ = time(&bytes);
        }

        #[test]
        fn nor_does_anything_like_a_record(text in "([0-9]{1,2} (path|size|mtime|GNU.sparse.map)=[-0-9.,a]{0,9}\n){0,3}") {
            let _ = records(text.as_bytes());
        }
    }
}
