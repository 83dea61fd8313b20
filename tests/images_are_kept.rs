//! Images are kept: the store is an OCI image layout that other tools read, and nothing breaks it.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::Command;

use support::bundle::ran;
use support::images::*;
use support::*;

fn archives_made_by_code_are_archives() {
    let place = folder();
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let made = layer([
        dir("bin"),
        file("bin/sh", b"#!").mode(0o755).owner(7, 8),
        symlink("bin/ash", "sh"),
        hard("bin/bash", "bin/sh"),
        file(&long, b"deep"),
        device("null", 1, 3),
        fifo("pipe"),
        whiteout("etc/motd"),
        whiteout("tmp"),
        opaque("var"),
    ]);
    for (name, bytes) in [("x.tar", &made.archive), ("x.tar.gz", &made.clone().gzip().stored)] {
        let path = place.join(name);
        std::fs::write(&path, bytes).unwrap();
        let listed = ran(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&path)).ok();
        let wanted = [
            "-rwxr-xr-x 7/8",
            "bin/ash -> sh",
            "bin/bash link to bin/sh",
            &long,
            "1,3",
            "prw-r--r--",
            " etc/.wh.motd\n",
            " .wh.tmp\n",
            " var/.wh..wh..opq\n",
        ];
        for part in wanted {
            assert!(listed.stdout.contains(part), "{part}: {}", listed.stdout);
        }
        assert_eq!(listed.stderr, "");
    }
    assert_eq!(inflated("+zstd", &made.clone().zstd().stored), made.archive);
}

fn main() {
    suite(vec![test(
        "archives that tests make by code are archives to tar",
        &[],
        archives_made_by_code_are_archives,
    )]);
}
