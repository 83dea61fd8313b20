//! One block of 512 bytes: a header, field by field.
//!
//! POSIX.1-2024, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format". A number is octal
//! digits, or, by GNU's way, has the topmost bit set and is base 256. Its text fields end with the first
//! NUL, or with the field.

use super::{BLOCK, Time, ambiguous, broken};
use crate::error::Result;

/// Whose header it is, which decides what stands behind the two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Before 1988: nothing.
    Old,
    /// A prefix of the name, in 155 bytes.
    Ustar,
    /// Times, and the map of a file with holes.
    Gnu,
}

/// A header whose checksum is right.
#[derive(Debug)]
pub struct Header<'a> {
    block: &'a [u8; BLOCK],
    pub dialect: Dialect,
}

impl<'a> Header<'a> {
    pub fn read(block: &'a [u8; BLOCK]) -> Result<Header<'a>> {
        let said = octal(&block[148..156]).ok_or_else(|| broken("a header without a checksum"))?;
        let blank = block.iter().enumerate().map(|(i, byte)| match i {
            148..156 => b' ',
            _ => *byte,
        });
        if blank.map(u64::from).sum::<u64>() != said {
            return Err(broken("a header with a wrong checksum"));
        }
        let dialect = match (&block[257..263], &block[263..265]) {
            (b"ustar\0", b"00") => Dialect::Ustar,
            (b"ustar ", b" \0") => Dialect::Gnu,
            (magic, version) if magic.iter().chain(version).all(|byte| *byte == 0) => Dialect::Old,
            (magic, _) => {
                let text = String::from_utf8_lossy(magic).into_owned();
                return Err(ambiguous(format!("a header of an unknown kind, {text:?}")));
            }
        };
        let header = Header { block, dialect };
        // Star's headers look like ustar's, and have a shorter prefix with times behind it.
        let is_star = dialect == Dialect::Ustar && &block[508..512] == b"tar\0";
        if is_star && !block[345..476].contains(&0) {
            return Err(ambiguous("a header of star's whose prefix could end in two places"));
        }
        Ok(header)
    }

    pub fn flag(&self) -> u8 {
        self.block[156]
    }

    /// Its name, with the prefix where there is one.
    pub fn path(&self) -> Vec<u8> {
        let (name, prefix) = (text(&self.block[..100]), text(&self.block[345..500]));
        match self.dialect {
            Dialect::Ustar if !prefix.is_empty() => [prefix, b"/", name].concat(),
            _ => name.to_vec(),
        }
    }

    pub fn link(&self) -> &'a [u8] {
        text(&self.block[157..257])
    }

    pub fn mode(&self) -> Result<u32> {
        Ok((number(&self.block[100..108], "mode")? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<u64> {
        number(&self.block[108..116], "uid")
    }

    pub fn gid(&self) -> Result<u64> {
        number(&self.block[116..124], "gid")
    }

    pub fn size(&self) -> Result<u64> {
        number(&self.block[124..136], "size")
    }

    pub fn modified(&self) -> Result<Time> {
        let field = &self.block[136..148];
        let seconds = match field[0] {
            0x80.. => base_256(field).and_then(|n| i64::try_from(n).ok()),
            _ => octal(field).and_then(|n| i64::try_from(n).ok()),
        };
        let seconds = seconds.ok_or_else(|| broken("mtime: no number"))?;
        Ok(Time { seconds, nanos: 0 })
    }

    /// Of a device node: an old header has none.
    pub fn device(&self) -> Result<(u32, u32)> {
        if self.dialect == Dialect::Old {
            return Err(broken("a device node without a number"));
        }
        let half = |field: &[u8], name: &str| {
            let value = number(field, name)?;
            u32::try_from(value).map_err(|_| broken(format!("{name}: {value} is too large")))
        };
        Ok((half(&self.block[329..337], "devmajor")?, half(&self.block[337..345], "devminor")?))
    }

    pub fn block(&self) -> &'a [u8; BLOCK] {
        self.block
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A field that holds a number of 0 or more.
pub fn number(field: &[u8], name: &str) -> Result<u64> {
    if field[0] < 0x80 {
        return octal(field).ok_or_else(|| broken(format!("{name}: no octal number")));
    }
    match base_256(field) {
        Some(value) if value < 0 => Err(ambiguous(format!("{name}: {value} is negative"))),
        Some(value) if value <= i128::from(i64::MAX) => Ok(value as u64),
        _ => Err(broken(format!("{name}: too large"))),
    }
}

/// Blanks, digits, and then only blanks and NULs. An empty field is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let from = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[from..];
    let end = digits.iter().position(|b| matches!(b, b' ' | 0)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let clean = rest.iter().all(|byte| matches!(byte, b' ' | 0));
    let value = digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    });
    value.filter(|_| clean)
}

/// Two's complement, big end first, of which the topmost bit marks it and the next one is the sign.
fn base_256(field: &[u8]) -> Option<i128> {
    let start = i128::from(field[0] & 0x3f) - if field[0] & 0x40 == 0 { 0 } else { 64 };
    field
        .iter()
        .skip(1)
        .try_fold(start, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"  17  \0\0", "mode").unwrap(), 0o17);
        assert_eq!(number(&[0; 8], "mode").unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2], "uid").unwrap(), 258);
        assert_eq!(base_256(&[0xff; 12]), Some(-1));
        assert_eq!(base_256(&[0xff, 0xff, 0xff, 0xfe]), Some(-2));
        for bad in [&b"0000648\0"[..], b"12\x0034\0\0\0", b"-1\0\0\0\0\0\0", b"0x12\0\0\0\0"] {
            assert!(number(bad, "mode").is_err(), "{bad:?}");
        }
        let error = number(&[0xff; 12], "size").unwrap_err().to_string();
        assert_eq!(error, "size: -1 is negative");
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(field in prop::collection::vec(any::<u8>(), 1..13)) {
            let _ = number(&field, "field");
        }
    }
}
