//! What a program needs to start: its loader and its libraries, read from the file itself.
//!
//! elf(5), ld.so(8), execve(2). `ldd` would *run* the program; reading its headers does not.

use std::io::Read;
use std::path::Path;

use elf::abi::EI_NIDENT;
use elf::endian::AnyEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::SegmentTable;

/// What a file is to execve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// What follows `#!` in its first line, as it stands there.
    Script(String),
    Elf {
        /// The processor it is built for, by Rust's names: `x86_64`, `aarch64`.
        machine: &'static str,
        /// PT_INTERP; None if it is linked statically.
        loader: Option<String>,
    },
    Empty,
    /// Neither, or not to be read.
    Other,
}

/// The most that is read of a file, in bytes: its headers stand at its beginning.
const MOST: u64 = 1024 * 1024;

/// Looks at a file as execve does.
pub fn start(path: &Path) -> Start {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    match file.and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(0) => Start::Empty,
        Ok(_) => read(&bytes),
        Err(_) => Start::Other,
    }
}

fn read(bytes: &[u8]) -> Start {
    if let Some(line) = bytes.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
        return Start::Script(String::from_utf8_lossy(line).into_owned());
    }
    match header(bytes) {
        Some(header) => {
            Start::Elf { machine: machine(header.e_machine), loader: loader(bytes, &header) }
        }
        None => Start::Other,
    }
}

/// The beginning alone: sections, which stand at the end of a file of any size, are nothing to execve.
fn header(bytes: &[u8]) -> Option<FileHeader<AnyEndian>> {
    let ident = parse_ident::<AnyEndian>(bytes.get(..EI_NIDENT)?).ok()?;
    let tail = bytes.get(EI_NIDENT..)?;
    let size = match ident.1 {
        Class::ELF32 => elf::file::ELF32_EHDR_TAILSIZE,
        Class::ELF64 => elf::file::ELF64_EHDR_TAILSIZE,
    };
    FileHeader::parse_tail(ident, tail.get(..size)?).ok()
}

/// What PT_INTERP names.
fn loader(bytes: &[u8], header: &FileHeader<AnyEndian>) -> Option<String> {
    let part = |start: u64, size: u64| {
        let start = usize::try_from(start).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
    };
    let size = u64::from(header.e_phnum) * u64::from(header.e_phentsize);
    let table = SegmentTable::new(header.endianness, header.class, part(header.e_phoff, size)?);
    let named = table.iter().find(|segment| segment.p_type == elf::abi::PT_INTERP)?;
    let text = part(named.p_offset, named.p_filesz)?.split(|b| *b == 0).next()?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

fn machine(number: u16) -> &'static str {
    match number {
        elf::abi::EM_X86_64 => "x86_64",
        elf::abi::EM_AARCH64 => "aarch64",
        elf::abi::EM_386 => "x86",
        elf::abi::EM_ARM => "arm",
        elf::abi::EM_RISCV => "riscv64",
        elf::abi::EM_PPC64 => "powerpc64",
        elf::abi::EM_S390 => "s390x",
        _ => "another processor",
    }
}

/// The loader that an ELF file names, or the interpreter of a `#!` line.
pub fn interpreter(path: &Path) -> Option<String> {
    match start(path) {
        Start::Script(line) => line.split_whitespace().next().map(str::to_owned),
        Start::Elf { loader, .. } => loader,
        Start::Empty | Start::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_script_names_its_interpreter_to_the_last_character() {
        assert_eq!(read(b"#!/bin/sh -e\r\necho"), Start::Script("/bin/sh -e\r".into()));
    }

    #[test]
    fn this_very_program_is_an_elf_file_for_this_machine() {
        let start = start(&std::env::current_exe().unwrap());
        assert!(matches!(start, Start::Elf { machine: std::env::consts::ARCH, .. }), "{start:?}");
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_a_panic(head in prop::sample::select(vec![
            &b"\x7fELF\x02\x01\x01"[..], b"#!", b""
        ]), rest in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&[head, &rest].concat());
        }
    }
}
