//! What is no honest archive is refused; what extensions say is heeded.

use proptest::prelude::*;

use super::super::{BLOCK, Entry, Kind, Piece, Time};
use super::Reader;
use crate::error::Result;

/// All entries, each with its contents.
pub fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut stream = bytes;
    let mut reader = Reader::new(&mut stream);
    let mut all = vec![];
    while let Some(entry) = reader.entry()? {
        let mut contents = vec![];
        while reader.contents(&mut |data| {
            contents.extend_from_slice(data);
            Ok(())
        })? {}
        all.push((entry, contents));
    }
    Ok(all)
}

fn refused(bytes: &[u8]) -> String {
    read(bytes).expect_err("refused").to_string()
}

/// A header of the given kind and size, ready to be changed.
fn header(name: &str, flag: u8, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000007\0");
    put(257, "ustar\x0000");
    block[156] = flag;
    sum(block)
}

fn sum(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn with(block: [u8; BLOCK], at: usize, bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = block;
    block[at..at + bytes.len()].copy_from_slice(bytes);
    sum(block)
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let digits = (1..9).find(|d| (rest + d).to_string().len() == *d).unwrap();
    format!("{} {key}={value}\n", rest + digits)
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
    [&header("x", b'x', text.len())[..], &padded(text.as_bytes())].concat()
}

fn long(flag: u8, name: &str) -> Vec<u8> {
    let text = format!("{name}\0");
    [&header("././@LongLink", flag, text.len())[..], &padded(text.as_bytes())].concat()
}

/// A file `name` with these contents.
fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    [&header(name, b'0', contents.len())[..], &padded(contents)].concat()
}

const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

fn ended(parts: &[&[u8]]) -> Vec<u8> {
    [parts.concat(), END.to_vec()].concat()
}

#[test]
fn extensions_say_what_headers_have_no_room_for() {
    let name = "a/".repeat(80) + "b";
    let bytes = ended(&[
        &pax(&[
            ("path", &name),
            ("mtime", "3.25"),
            ("uid", "3000000"),
            ("SCHILY.xattr.user.a", "1"),
        ]),
        &file("short", b"pax"),
        &long(b'L', &name),
        &file("short", b"gnu"),
        &long(b'K', &name),
        &with(header("link", b'2', 0), 157, b"short"),
        &pax(&[("comment", "nothing")]),
        &header("dir/", 0, 0),
    ]);
    let all = read(&bytes).unwrap();
    assert_eq!(all[0].0.path, name.as_bytes());
    assert_eq!(all[0].0.modified, Time { seconds: 3, nanos: 250_000_000 });
    assert_eq!((all[0].0.uid, &all[0].1[..]), (3_000_000, &b"pax"[..]));
    assert_eq!(all[0].0.xattrs, [(b"user.a".to_vec(), b"1".to_vec())]);
    assert_eq!((&all[1].0.path[..], &all[1].1[..]), (name.as_bytes(), &b"gnu"[..]));
    assert_eq!(all[2].0.kind, Kind::SymLink(name.into_bytes()));
    assert_eq!(all[3].0.kind, Kind::Directory);
}

/// umoci's `insert` leaves out the end, and what fills up the last block.
#[test]
fn an_end_that_is_left_out_is_not_missed() {
    let (bare, full) = ([&header("a", b'0', 5)[..], b"hello"].concat(), file("a", b"hello"));
    for bytes in [bare, full.clone(), [&full[..], &[0; BLOCK]].concat(), ended(&[&full])] {
        assert_eq!(read(&bytes).unwrap()[0].1, b"hello");
    }
    assert!(read(&[]).unwrap().is_empty());
}

#[test]
fn what_two_programs_would_read_differently_is_refused() {
    let hello = file("a", b"hello");
    let link = |flag| with(header("l", flag, 0), 157, b"a");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("by a record", ended(&[&pax(&[("size", "5")]), &file("a", b"")])),
        ("by a record", ended(&[&pax(&[("size", "0")]), &hello])),
        ("is there twice", ended(&[&pax(&[("path", "a"), ("path", "b")]), &hello])),
        ("a NUL", ended(&[&pax(&[("path", "a\0b")]), &hello])),
        ("by GNU's extension", ended(&[&long(b'L', "x"), &pax(&[("path", "y")]), &hello])),
        ("two long names", ended(&[&long(b'L', "x"), &long(b'L', "y"), &hello])),
        ("two pax headers", ended(&[&pax(&[("uid", "1")]), &pax(&[("uid", "1")]), &hello])),
        ("a long name that is empty", ended(&[&long(b'L', "a\0b"), &hello])),
        ("a long name that is empty", ended(&[&long(b'L', ""), &hello])),
        (
            "a wrong checksum",
            ended(&[&{
                let mut block = header("a", b'0', 0);
                block[0] = b'b';
                block
            }]),
        ),
        ("is negative", ended(&[&with(header("a", b'0', 0), 124, &[0xff; 12])])),
        ("too large", ended(&[&with(header("a", b'0', 0), 124, &[0x80 | 0x3f; 12])])),
        ("no regular file", ended(&[&with(header("l", b'1', 5), 157, b"a"), &padded(b"hello")])),
        ("no regular file", ended(&[&header("d/", b'5', 5), &padded(b"hello")])),
        ("by a record", ended(&[&pax(&[("size", "5")]), &link(b'2'), &padded(b"hello")])),
        ("named like a directory", ended(&[&header("d/", b'0', 0)])),
        ("of kind 'D'", ended(&[&header("d", b'D', 0)])),
        ("of kind 'X'", ended(&[&header("d", b'X', 0)])),
        ("without a target", ended(&[&header("l", b'2', 0)])),
        ("without a name", ended(&[&header("", b'0', 0)])),
        ("of an unknown kind", ended(&[&with(header("a", b'0', 0), 257, b"ustar\x0017")])),
        (
            "ends in two places",
            ended(&[&with(with(header("a", b'0', 0), 345, &[b'x'; 155]), 508, b"tar\0")]),
        ),
        ("an empty block", ended(&[&hello, &[0; BLOCK], &hello])),
        ("follows the end", [ended(&[&hello]), hello.clone()].concat()),
        ("follows the end", [ended(&[&hello]), b"x".to_vec()].concat()),
        ("in the middle", hello[..BLOCK + 3].to_vec()),
        ("in the middle", hello[..BLOCK + 100].to_vec()),
        ("in the middle", hello[..BLOCK - 1].to_vec()),
        ("was announced", ended(&[&pax(&[("path", "a")])])),
        ("an extended header of", ended(&[&header("x", b'x', 2 << 20)])),
        ("uid: 4294967295", ended(&[&pax(&[("uid", "4294967295")]), &hello])),
    ];
    for (words, bytes) in cases {
        let text = refused(&bytes);
        let words = words.replace("ends in two places", "could end in two places");
        assert!(text.contains(&words), "{words:?}: {text}");
    }
}

#[test]
fn a_global_header_says_nothing_of_files() {
    let global = |key, value| {
        let mut bytes = pax(&[(key, value)]);
        let block: [u8; BLOCK] = bytes[..BLOCK].try_into().unwrap();
        bytes[..BLOCK].copy_from_slice(&with(block, 156, b"g"));
        bytes
    };
    let hello = file("a", b"hello");
    assert_eq!(read(&ended(&[&global("comment", "f00"), &hello])).unwrap().len(), 1);
    for (key, value) in [
        ("path", "b"),
        ("size", "3"),
        ("uid", "0"),
        ("mtime", "1"),
        ("SCHILY.xattr.user.a", "b"),
        ("linkpath", "c"),
        ("GNU.sparse.major", "1"),
    ] {
        let text = refused(&ended(&[&global(key, value), &hello]));
        assert!(text.contains("a global header with"), "{key}: {text}");
    }
    let between = ended(&[&pax(&[("uid", "1")]), &global("comment", "f00"), &hello]);
    assert!(refused(&between).contains("between an entry and its extension"));
}

#[test]
fn all_four_forms_of_holes_are_read_and_held_to_their_map() {
    let piece = |offset, length| Piece { offset, length };
    let v00 = [
        ("GNU.sparse.size", "9"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.offset", "1"),
        ("GNU.sparse.numbytes", "2"),
        ("GNU.sparse.offset", "6"),
        ("GNU.sparse.numbytes", "3"),
    ];
    let v01 = [
        ("GNU.sparse.size", "9"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.name", "real"),
        ("GNU.sparse.map", "1,2,6,3"),
    ];
    let v10 = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "real"),
        ("GNU.sparse.realsize", "9"),
    ];
    let map = [&padded(b"2\n1\n2\n6\n3\n")[..], b"hello"].concat();
    let mut old = header("real", b'S', 5);
    old = with(old, 257, b"ustar  \0");
    for (at, text) in [(386, "1"), (398, "2"), (410, "6"), (422, "3"), (483, "9")] {
        old = with(old, at, format!("{:0>11}\0", text.replace('9', "11")).as_bytes());
    }
    for (bytes, name) in [
        (ended(&[&pax(&v00), &file("real", b"hello")]), "real"),
        (ended(&[&pax(&v01), &file("GNUSparseFile.7/real", b"hello")]), "real"),
        (ended(&[&pax(&v10), &file("GNUSparseFile.7/real", &map)]), "real"),
        (ended(&[&old, &padded(b"hello")]), "real"),
    ] {
        let all = read(&bytes).unwrap();
        assert_eq!(all[0].0.path, name.as_bytes());
        assert_eq!(all[0].0.size, 9);
        assert_eq!(all[0].0.pieces, Some(vec![piece(1, 2), piece(6, 3)]));
        assert_eq!(all[0].1, b"hello");
    }
    for bytes in [
        ended(&[&pax(&v00), &file("real", b"hell")]),
        ended(&[&pax(&v01[..3]), &file("real", b"hello")]),
        ended(&[&pax(&v10), &file("real", b"hello")]),
        ended(&[&pax(&v10), &old, &padded(b"hello")]),
        ended(&[&pax(&v01), &header("real", b'5', 0)]),
        ended(&[&with(old, 483, b"00000000004\0"), &padded(b"hello")]),
        ended(&[&with(old, 257, b"ustar\x0000"), &padded(b"hello")]),
    ] {
        refused(&bytes);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_byte_that_is_changed_changes_no_more_than_what_it_says(
        at in 0usize..4608, byte in any::<u8>(), fix in any::<bool>(),
    ) {
        let mut bytes = ended(&[
            &pax(&[("path", "long"), ("mtime", "1.5")]), &file("a", b"hello"),
            &with(header("l", b'2', 0), 157, b"a"), &header("d/", b'5', 0),
        ]);
        let at = at % bytes.len();
        bytes[at] = byte;
        if fix && !at.is_multiple_of(BLOCK) {
            let from = at / BLOCK * BLOCK;
            let block: [u8; BLOCK] = bytes[from..from + BLOCK].try_into().unwrap();
            bytes[from..from + BLOCK].copy_from_slice(&sum(block));
        }
        if let Ok(all) = read(&bytes) {
            prop_assert!(all.len() <= 4);
            prop_assert!(all.iter().all(|(entry, contents)| entry.stored() == contents.len() as u64));
        }
    }
}
