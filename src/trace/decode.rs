//! From six numbers to arguments with names: how each kind of argument is read.
//!
//! A call arrives as registers. Strings, structures and lists lie in the memory of the process that
//! makes it, and are read from there while it is stopped at the entry: after an execve they would be
//! gone. Which call takes what is in [the table](super::table); here is how one argument is read.
//! What cannot be read becomes [`unreadable`], which equals nothing that anybody narrates.

use crate::args::{Arg, Args};
use crate::trace::names::{self, Names};

/// The process that makes a call, as far as its arguments need it.
pub trait Source {
    /// As many of `length` bytes at this address as are there.
    fn memory(&self, address: u64, length: usize) -> Vec<u8>;
    /// Where a descriptor leads.
    fn descriptor(&self, fd: i32) -> Option<String>;
}

/// A kind of argument: how its number is understood.
#[derive(Clone, Copy)]
pub enum Kind {
    Int,
    /// 64 bits: places in files, and their lengths.
    Long,
    /// 32 bits without a sign: ids, ranges.
    Unsigned,
    Pid,
    Fd,
    Mode,
    /// Permission bits that count only if the flags in argument N create a file.
    ModeIfCreated(usize),
    /// The kind of file and its permission bits in one number: mknodat.
    FileMode,
    /// A device number, for the two kinds of device: mknodat, whose mode is argument N.
    Device(usize),
    /// The address of a string that ends in NUL.
    Text,
    /// The address of as many bytes as argument N says.
    Bytes(usize),
    /// The address of a list of addresses of strings, which ends in NULL.
    Texts,
    Flags(Names),
    OpenFlags,
    /// One of these constants.
    Name(Names),
    Signal,
    /// A structure, or what else one line cannot say.
    Read(fn(&dyn Source, &[u64; 6], usize) -> Option<Arg>),
}

/// The longest string or buffer that is read.
const LONGEST: usize = 1 << 20;
const PAGE: u64 = 4096;

/// Stands where memory could not be read.
pub fn unreadable(address: u64) -> Arg {
    Arg::name(format!("<unreadable {address:#x}>"))
}

/// What could not be read, since its process is closed to the witness, may be anything.
pub fn hidden(args: Args) -> Args {
    let hide = |arg| match arg {
        Arg::Name(name) if name.starts_with("<unreadable ") => Arg::Secret,
        other => other,
    };
    Args(args.0.into_iter().map(|(name, arg)| (name, hide(arg))).collect())
}

/// Reads the arguments of a call, by what the table says it takes.
pub fn decode(source: &dyn Source, args: &[u64; 6], takes: &[(&'static str, Kind)]) -> Args {
    let mut decoded = Args::new();
    for (i, (name, kind)) in takes.iter().enumerate().take(6) {
        if let Some(arg) = one(source, args, i, *kind) {
            decoded = decoded.with(name, arg);
        }
    }
    decoded
}

/// One argument; None where the call does not take it this time.
pub fn one(source: &dyn Source, args: &[u64; 6], i: usize, kind: Kind) -> Option<Arg> {
    let value = args[i];
    Some(match kind {
        Kind::Int => Arg::Int(value as i32 as i64),
        Kind::Long => Arg::Int(value as i64),
        Kind::Unsigned => Arg::Int(value as u32 as i64),
        Kind::Pid => Arg::Pid(value as i32),
        Kind::Fd => descriptor(source, value as i32),
        Kind::Mode => Arg::Mode(value as u32),
        Kind::ModeIfCreated(n) => return creates(args[n]).then_some(Arg::Mode(value as u32)),
        Kind::FileMode => file_mode(value),
        Kind::Device(n) => return device(args[n], value),
        Kind::Text => text(source, value),
        Kind::Bytes(n) => bytes(source, value, args[n] as usize),
        Kind::Texts => texts(source, value),
        Kind::Flags(table) => flags(table, value),
        Kind::OpenFlags => open_flags(value as u32 as u64),
        Kind::Name(table) => constant(table, value as u32 as u64),
        Kind::Signal => Arg::name(crate::sys::process::signal_name(value as i32)),
        Kind::Read(read) => return read(source, args, i),
    })
}

pub fn descriptor(source: &dyn Source, fd: i32) -> Arg {
    Arg::Fd(fd, if fd >= 0 { source.descriptor(fd) } else { None })
}

/// The names of the bits that are set; what has no name, as one number.
pub fn flags(table: Names, value: u64) -> Arg {
    let named = table.iter().filter(|(bits, _)| value & bits == *bits);
    let mut list: Vec<_> = named.clone().map(|(_, name)| (*name).into()).collect();
    let rest = value & !named.fold(0, |all, (bits, _)| all | bits);
    if rest != 0 {
        list.push(format!("{rest:#x}").into());
    }
    Arg::Flags(list)
}

/// The lowest two bits are a number, not flags; O_SYNC and O_TMPFILE contain other flags' bits.
pub fn open_flags(value: u64) -> Arg {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(value & 3) as usize];
    let Arg::Flags(rest) = flags(names::OPEN, value & !3 & !LARGE) else { unreachable!() };
    Arg::Flags(std::iter::once(access.into()).chain(rest).collect())
}

/// O_LARGEFILE says something on processors of 32 bits only.
#[cfg(not(target_arch = "aarch64"))]
const LARGE: u64 = 0x8000;
#[cfg(target_arch = "aarch64")]
const LARGE: u64 = 0x20000;

pub fn constant(table: Names, value: u64) -> Arg {
    names::name(table, value).map_or(Arg::Int(value as i64), Arg::name)
}

fn creates(flags: u64) -> bool {
    flags & 0x40 != 0
}

fn file_mode(value: u64) -> Arg {
    let kind = names::name(names::FILE_KIND, value & 0o170000);
    let mode = Arg::Mode((value & 0o7777) as u32).to_text();
    Arg::Flags(kind.into_iter().map(Into::into).chain([mode.into()]).collect())
}

/// The kernel's packing of a device number: linux/kdev_t.h, new_decode_dev.
fn device(mode: u64, value: u64) -> Option<Arg> {
    let is_device = [0o20000, 0o60000].contains(&(mode & 0o170000));
    let (major, minor) = ((value & 0xfff00) >> 8, (value & 0xff) | ((value >> 12) & 0xfff00));
    is_device.then(|| Arg::name(format!("makedev({major:#x}, {minor:#x})")))
}

/// A string, page by page: the next one may not be mapped.
pub fn text(source: &dyn Source, address: u64) -> Arg {
    if address == 0 {
        return Arg::Null;
    }
    let mut text = Vec::new();
    while text.len() < LONGEST {
        let at = address.wrapping_add(text.len() as u64);
        let piece = source.memory(at, (PAGE - at % PAGE) as usize);
        if piece.is_empty() {
            break;
        }
        match piece.iter().position(|byte| *byte == 0) {
            Some(end) => {
                text.extend(&piece[..end]);
                return by_descriptor(&text).unwrap_or_else(|| Arg::bytes(&text));
            }
            None => text.extend(piece),
        }
    }
    unreadable(address)
}

/// `/proc/self/fd/7` names an open file by its descriptor.
fn by_descriptor(text: &[u8]) -> Option<Arg> {
    let number = std::str::from_utf8(text).ok()?.strip_prefix("/proc/self/fd/")?;
    Some(Arg::FdPath(number.parse().ok()?, None))
}

pub fn bytes(source: &dyn Source, address: u64, length: usize) -> Arg {
    let read = source.memory(address, length.min(LONGEST));
    if read.len() == length { Arg::bytes(&read) } else { unreadable(address) }
}

fn texts(source: &dyn Source, address: u64) -> Arg {
    let mut list = Vec::new();
    for i in 0..4096 {
        match number(source, address.wrapping_add(i * 8), 8) {
            Some(0) => return Arg::List(list),
            Some(item) => list.push(text(source, item)),
            None => break,
        }
    }
    unreadable(address)
}

/// A number of 4 or 8 bytes in the process's memory.
pub fn number(source: &dyn Source, address: u64, size: usize) -> Option<u64> {
    let read = source.memory(address, size);
    let mut whole = [0; 8];
    whole[..size].copy_from_slice(read.get(..size)?);
    Some(u64::from_le_bytes(whole))
}
