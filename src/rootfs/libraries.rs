//! Which libraries a program needs, read from its file and theirs.
//!
//! elf(5), ld.so(8). A dynamic program names its loader (PT_INTERP) and its libraries (DT_NEEDED);
//! each library names more. The loader looks for a name in the file's own DT_RUNPATH or DT_RPATH
//! (with `$ORIGIN` for the file's directory), then where ld.so.conf(5) says, then in its built-in
//! directories. `ldd` finds the same by *running* the program, which one should not do with a
//! program one does not trust.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRTAB};
use elf::endian::AnyEndian;

/// What one file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Needs {
    loader: Option<PathBuf>,
    libraries: Vec<String>,
    /// Directories, with `$ORIGIN` replaced.
    search: Vec<PathBuf>,
    /// Class and processor: a library for another one does not count.
    kind: (u8, u16),
}

/// Adds all that `program` needs to `found`: the path by which the loader will look, and the file
/// that is there on this host.
pub fn needed(program: &Path, found: &mut BTreeMap<PathBuf, PathBuf>) {
    let Some(needs) = read(program) else { return };
    let mut left = vec![(program.to_owned(), needs)];
    while let Some((_, needs)) = left.pop() {
        let loader = needs.loader.iter().cloned();
        let libraries = needs.libraries.iter().filter_map(|name| find(name, &needs));
        for path in loader.chain(libraries) {
            let Ok(real) = path.canonicalize() else { continue };
            if found.insert(path.clone(), real.clone()).is_none() {
                left.extend(read(&real).map(|needs| (path, needs)));
            }
        }
    }
}

fn find(name: &str, needs: &Needs) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let fits = |path: &PathBuf| read(path).is_some_and(|file| file.kind == needs.kind);
    needs.search.iter().chain(directories()).map(|dir| dir.join(name)).find(fits)
}

fn read(path: &Path) -> Option<Needs> {
    let bytes = std::fs::read(path).ok()?;
    let mut needs = parse(&bytes)?;
    let origin = path.canonicalize().ok()?.parent()?.display().to_string();
    for dir in &mut needs.search {
        let text = dir.display().to_string();
        *dir = text.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin).into();
    }
    Some(needs)
}

fn parse(bytes: &[u8]) -> Option<Needs> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).ok()?;
    let kind = (file.ehdr.class as u8, file.ehdr.e_machine);
    let mut needs = Needs { kind, ..Needs::default() };
    let segments = file.segments()?;
    needs.loader = segments.iter().find(|s| s.p_type == elf::abi::PT_INTERP).and_then(|header| {
        let text = file.segment_data(&header).ok()?.split(|b| *b == 0).next()?;
        Some(PathBuf::from(std::str::from_utf8(text).ok()?))
    });
    let Ok(Some(table)) = file.dynamic() else { return Some(needs) };
    // The string table's address, as a place in the file: by the segment that holds it.
    let address = table.iter().find(|entry| entry.d_tag == DT_STRTAB)?.d_ptr();
    let holder = segments.iter().find(|s| {
        s.p_type == elf::abi::PT_LOAD
            && address.checked_sub(s.p_vaddr).is_some_and(|o| o < s.p_filesz)
    })?;
    let start = (address - holder.p_vaddr).checked_add(holder.p_offset)?;
    let strings = bytes.get(usize::try_from(start).ok()?..)?;
    let text = |at: u64| {
        let text = strings.get(usize::try_from(at).ok()?..)?.split(|b| *b == 0).next()?;
        std::str::from_utf8(text).ok()
    };
    for entry in table.iter() {
        match (entry.d_tag, text(entry.d_val())) {
            (DT_NEEDED, Some(name)) => needs.libraries.push(name.to_owned()),
            (DT_RUNPATH | DT_RPATH, Some(list)) => {
                needs.search.extend(list.split(':').filter(|d| !d.is_empty()).map(PathBuf::from));
            }
            _ => {}
        }
    }
    Some(needs)
}

/// ld.so.conf's directories and the usual ones, as far as they are there.
fn directories() -> &'static [PathBuf] {
    static FOUND: std::sync::OnceLock<Vec<PathBuf>> = std::sync::OnceLock::new();
    FOUND.get_or_init(|| {
        let arch = std::env::consts::ARCH;
        let usual = ["/lib", "/usr/lib"].into_iter().flat_map(|dir| {
            [format!("{dir}/{arch}-linux-gnu"), format!("{dir}64"), dir.to_owned()]
        });
        let mut all: Vec<PathBuf> = usual.map(PathBuf::from).collect();
        read_conf(Path::new("/etc/ld.so.conf"), &mut all, 0);
        all.retain(|dir| dir.is_dir());
        all
    })
}

fn read_conf(file: &Path, into: &mut Vec<PathBuf>, depth: usize) {
    let Ok(text) = std::fs::read_to_string(file) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include ") {
            Some(pattern) if depth < 4 => {
                for file in included(pattern.trim()) {
                    read_conf(&file, into, depth + 1);
                }
            }
            Some(_) => {}
            None if line.starts_with('/') => into.push(line.into()),
            None => {}
        }
    }
}

/// `/etc/ld.so.conf.d/*.conf`, the only kind of pattern that is in use.
fn included(pattern: &str) -> Vec<PathBuf> {
    let Some((dir, suffix)) = pattern.split_once("/*") else { return vec![pattern.into()] };
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_dynamic_program_needs_its_c_library() {
        let Ok(ls) = Path::new("/bin/ls").canonicalize() else { return };
        let mut found = BTreeMap::new();
        needed(&ls, &mut found);
        if super::super::program::interpreter(&ls).is_some() {
            assert!(found.keys().any(|path| path.to_string_lossy().contains("libc.")), "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_parsed_without_a_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 64..400)
        ) {
            bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
            parse(&bytes);
        }
    }
}
