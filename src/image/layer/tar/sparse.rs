//! Files with holes: GNU tar's manual, "Storing Sparse Files".
//!
//! The holes of a file take no room in the archive: a map says where its pieces belong. Over the years
//! GNU tar has written that map in four places: in the header (`S`), in records of two forms (0.0 and
//! 0.1), and before the contents themselves (1.0). All four say the same, and are held to the same: the
//! pieces come in order, do not overlap, end within the file, and are as long together as what is stored.

use super::{BLOCK, Piece, ambiguous, broken, header};
use crate::error::Result;

/// No file has more pieces; each takes some bytes of the archive, and of this process.
pub const MOST: usize = 1 << 16;

/// Holds a map against the file's size and the bytes that are stored.
pub fn check(pieces: &[Piece], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut sum) = (0u64, 0u64);
    for piece in pieces {
        if piece.offset < end {
            return Err(ambiguous("a file with holes whose pieces overlap"));
        }
        end = piece.offset.saturating_add(piece.length);
        sum = sum.saturating_add(piece.length);
        if end > size {
            return Err(broken("a file with holes that has a piece behind its end"));
        }
    }
    match sum == stored {
        true => Ok(()),
        false => Err(ambiguous(format!("a file with holes: {stored} bytes for {sum} in its map"))),
    }
}

/// The map in a GNU header: its pieces, the file's size, and whether more blocks of it follow.
pub fn in_header(block: &[u8; BLOCK]) -> Result<(Vec<Piece>, u64, bool)> {
    let mut pieces = Vec::new();
    let is_whole = entries(&block[386..482], &mut pieces)?;
    let more = flag(block[482], is_whole)?;
    Ok((pieces, header::number(&block[483..495], "realsize")?, more))
}

/// A further block of such a map: whether one more follows.
pub fn in_block(block: &[u8; BLOCK], pieces: &mut Vec<Piece>) -> Result<bool> {
    let is_whole = entries(&block[..504], pieces)?;
    if pieces.len() > MOST {
        return Err(too_many());
    }
    flag(block[504], is_whole)
}

fn flag(byte: u8, is_whole: bool) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 if is_whole => Ok(true),
        _ => Err(broken("a map of holes that ends twice")),
    }
}

/// Pairs of 12 bytes, up to the first empty one: whether there is none.
fn entries(fields: &[u8], pieces: &mut Vec<Piece>) -> Result<bool> {
    for pair in fields.chunks_exact(24) {
        if pair.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        pieces.push(Piece {
            offset: header::number(&pair[..12], "sparse offset")?,
            length: header::number(&pair[12..], "sparse length")?,
        });
    }
    Ok(true)
}

/// The map of version 1.0, which arrives in blocks before the contents: decimal numbers, a line each,
/// first how many pairs there are.
#[derive(Debug, Default)]
pub struct Lines {
    numbers: Vec<u64>,
    line: Vec<u8>,
}

impl Lines {
    /// Takes a block: the pieces, once they are complete.
    pub fn block(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Piece>>> {
        for byte in block {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 20 {
                    return Err(broken("a map of holes that is none"));
                }
                continue;
            }
            let number = super::pax::decimal(&self.line);
            self.numbers.push(number.ok_or_else(|| broken("a map of holes without a number"))?);
            self.line.clear();
            if self.numbers[0] > MOST as u64 {
                return Err(too_many());
            }
            if self.numbers.len() as u64 == 1 + 2 * self.numbers[0] {
                let pairs = self.numbers[1..].chunks_exact(2);
                let piece = |pair: &[u64]| Piece { offset: pair[0], length: pair[1] };
                return Ok(Some(pairs.map(piece).collect()));
            }
        }
        Ok(None)
    }
}

fn too_many() -> crate::error::Error {
    broken(format!("a file with more than {MOST} holes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(offset: u64, length: u64) -> Piece {
        Piece { offset, length }
    }

    #[test]
    fn a_map_fits_its_file() {
        check(&[piece(0, 1), piece(4, 2), piece(9, 0)], 9, 3).unwrap();
        for (pieces, size, stored) in [
            (vec![piece(4, 2), piece(0, 1)], 9, 3),
            (vec![piece(0, 5), piece(4, 2)], 9, 7),
            (vec![piece(8, 2)], 9, 2),
            (vec![piece(1, u64::MAX)], 9, u64::MAX),
            (vec![piece(0, 1)], 9, 2),
        ] {
            assert!(check(&pieces, size, stored).is_err(), "{pieces:?}");
        }
    }

    #[test]
    fn a_map_in_lines_may_take_several_blocks() {
        let text = format!("{}\n", 99) + &"5\n7\n".repeat(99);
        let bytes = text.into_bytes();
        let mut whole = [0; BLOCK];
        whole[..bytes.len()].copy_from_slice(&bytes);
        assert_eq!(Lines::default().block(&whole).unwrap(), Some(vec![piece(5, 7); 99]));
        let mut first = [b'0'; BLOCK];
        assert!(Lines::default().block(&first).is_err());
        first[..3].copy_from_slice(b"9\n1");
        first[3] = b'x';
        assert!(Lines::default().block(&first).is_err());
        assert!(Lines::default().block(&[b'\n'; BLOCK]).is_err());
    }

    proptest! {
        #[test]
        fn no_block_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), BLOCK)) {
            let block: &[u8; BLOCK] = bytes[..].try_into().unwrap();
            let _ = in_header(block);
            let _ = in_block(block, &mut vec![]);
            let _ = Lines::default().block(block);
        }
    }
}
