//! What a program needs to start: its loader and its libraries, read from the file itself.
//!
//! elf(5), ld.so(8). `ldd` would *run* the program; reading its headers does not.

use std::io::Read;
use std::path::Path;

/// The loader that an ELF file names (PT_INTERP), or the interpreter of a `#!` line.
pub fn interpreter(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(64 * 1024).read_to_end(&mut start).ok()?;
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next()?;
        return std::str::from_utf8(line).ok()?.split_whitespace().next().map(str::to_owned);
    }
    let file = elf::ElfBytes::<elf::endian::AnyEndian>::minimal_parse(&start).ok()?;
    let header = file.segments()?.iter().find(|s| s.p_type == elf::abi::PT_INTERP)?;
    let text = file.segment_data(&header).ok()?;
    let text = text.split(|b| *b == 0).next()?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}
