//! Archives that other programs wrote are read as they read them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{Kind, Time};
use super::tests::read;

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("learnc-tar-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What GNU tar makes of a folder with names, links and holes.
fn by_gnu_tar(format: &[&str]) -> Vec<u8> {
    let folder = Folder::new();
    let script = "mkdir -p d/e && printf hello >d/f && ln d/f d/second && ln -s ../f d/e/link \
        && mkfifo d/fifo && printf x | dd of=d/holes bs=1 seek=3000000 status=none \
        && printf y | dd of=d/holes bs=1 seek=65536 conv=notrunc status=none \
        && printf n >d/$(printf %0150d 7) && touch -d @1234567890.5 d/f && chmod 4751 d/f";
    let made = Command::new("sh").args(["-c", script]).current_dir(&folder.0).status().unwrap();
    assert!(made.success());
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--sparse", "-cf", "-"]).args(format).arg("d");
    let made = tar.current_dir(&folder.0).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

#[test]
fn what_gnu_tar_writes_is_read_in_each_of_its_formats() {
    for (format, fraction) in [
        (&["--format=gnu"][..], 0),
        (&["--format=posix", "--sparse-version=1.0"], 500_000_000),
        (&["--format=posix", "--sparse-version=0.1"], 500_000_000),
        (&["--format=posix", "--sparse-version=0.0"], 500_000_000),
    ] {
        let all = read(&by_gnu_tar(format)).unwrap_or_else(|e| panic!("{format:?}: {e}"));
        let find = |name: &str| {
            let found = all.iter().find(|(entry, _)| entry.path == name.as_bytes());
            found.unwrap_or_else(|| panic!("{format:?}: no {name}"))
        };
        let (f, contents) = find("d/f");
        assert_eq!((f.mode, f.kind.clone(), &contents[..]), (0o4751, Kind::File, &b"hello"[..]));
        assert_eq!(f.modified, Time { seconds: 1_234_567_890, nanos: fraction });
        assert_eq!(find("d/e/link").0.kind, Kind::SymLink(b"../f".to_vec()));
        assert_eq!(find("d/second").0.kind, Kind::HardLink(b"d/f".to_vec()));
        assert_eq!(find("d/e/").0.kind, Kind::Directory);
        assert_eq!(find("d/fifo").0.kind, Kind::Fifo);
        assert_eq!(find(&format!("d/{:0150}", 7)).1, b"n");
        let (holes, stored) = find("d/holes");
        assert_eq!(holes.size, 3_000_001, "{format:?}");
        let pieces = holes.pieces.as_ref().unwrap_or_else(|| panic!("{format:?}: no holes"));
        let mut whole = vec![0; holes.size as usize];
        let mut at = 0;
        for piece in pieces {
            let (from, length) = (piece.offset as usize, piece.length as usize);
            whole[from..from + length].copy_from_slice(&stored[at..at + length]);
            at += length;
        }
        let there: Vec<(usize, u8)> =
            whole.into_iter().enumerate().filter(|(_, byte)| *byte != 0).collect();
        assert_eq!(there, [(65_536, b'y'), (3_000_000, b'x')], "{format:?}");
    }
}

#[test]
fn what_the_tar_crate_reads_is_read_the_same() {
    for format in ["--format=gnu", "--format=ustar", "--format=posix", "--format=v7"] {
        let folder = Folder::new();
        let script = "mkdir -p d/e && printf hello >d/f && ln d/f d/second && ln -s ../f d/e/link \
            && head -c 5000 /dev/zero >d/zeros";
        Command::new("sh").args(["-c", script]).current_dir(&folder.0).status().unwrap();
        let mut tar = Command::new("tar");
        let made = tar.args(["-cf", "-", format, "d"]).current_dir(&folder.0).output().unwrap();
        let ours = read(&made.stdout).unwrap_or_else(|e| panic!("{format}: {e}"));
        let mut archive = tar::Archive::new(&made.stdout[..]);
        let theirs: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
        assert_eq!(ours.len(), theirs.len());
        for ((entry, contents), other) in ours.iter().zip(&theirs) {
            assert_eq!(entry.path, &*other.path_bytes());
            assert_eq!(entry.mode, other.header().mode().unwrap() & 0o7777);
            assert_eq!(u64::from(entry.uid), other.header().uid().unwrap());
            assert_eq!(contents.len() as u64, other.size());
            let link = other.link_name_bytes().map(|link| link.into_owned());
            match &entry.kind {
                Kind::SymLink(target) | Kind::HardLink(target) => {
                    assert_eq!(Some(target), link.as_ref());
                }
                _ => assert_eq!(link, None),
            }
        }
    }
}
