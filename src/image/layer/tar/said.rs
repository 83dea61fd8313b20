//! What extensions and a header say of one entry, held against each other.

use super::header::Header;
use super::pax::Records;
use super::{Kind, ambiguous, broken};
use crate::error::Result;

/// What was said of the entry that comes next.
#[derive(Default)]
pub struct Said {
    pub records: Option<Records>,
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
}

impl Said {
    pub fn is_empty(&self) -> bool {
        self.records.is_none() && self.path.is_none() && self.link.is_none()
    }
}

pub fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ambiguous(format!("two {what} for one entry"))),
    }
}

/// What was said in one way, or in both ways alike.
pub fn one_of(what: &str, said: [Option<Vec<u8>>; 2]) -> Result<Option<Vec<u8>>> {
    match said {
        [Some(one), Some(other)] if one != other => {
            Err(ambiguous(format!("a {what} by GNU's extension, and another one by pax")))
        }
        [one, other] => Ok(one.or(other)),
    }
}

/// All ones are -1: in calls that set an owner that means to leave it.
pub fn id(name: &str, value: u64) -> Result<u32> {
    let id = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
    id.ok_or_else(|| broken(format!("{name}: {value} is none")))
}

pub fn kind(header: &Header, path: &[u8], link: Vec<u8>) -> Result<Kind> {
    let named_as_directory = path.ends_with(b"/");
    let kind = match header.flag() {
        // Before there was a flag for directories a slash made one.
        0 if named_as_directory => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' | b'2' if link.is_empty() => return Err(broken("a link without a target")),
        b'1' => Kind::HardLink(link),
        b'2' => Kind::SymLink(link),
        b'3' | b'4' => {
            let (major, minor) = header.device()?;
            match header.flag() {
                b'3' => Kind::Character { major, minor },
                _ => Kind::Block { major, minor },
            }
        }
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => {
            return Err(ambiguous(format!("an entry of kind {:?}", char::from(other))));
        }
    };
    match named_as_directory && kind != Kind::Directory {
        true => Err(ambiguous("named like a directory, and it is none")),
        false => Ok(kind),
    }
}
