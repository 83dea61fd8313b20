//! What strace writes is read as it means it: a witness that is misunderstood proves nothing.

#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use support::strace::Answer;
use support::value::Value;

#[test]
fn the_reader_of_strace_reads_what_it_writes() {
    let bits = |text: &str| support::value::bits(text);
    let read = support::strace::line(
        r#"mknodat(7</a/de>, "nu\"l\33l\n", S_IFCHR|0666, makedev(0x1, 0x3)) = -1 EEXIST (File exists)"#,
    )
    .unwrap();
    assert_eq!(read.answer, Answer::Refused("EEXIST".into()));
    assert_eq!(read.args[0], Value::Fd(7, Some("/a/de".into())));
    assert_eq!(read.args[1], Value::Text(b"nu\"l\x1bl\n".to_vec()));
    assert_eq!(read.args[2], bits("0666|S_IFCHR"));
    assert_eq!(read.args[3], bits("makedev(0x1, 0x3)"));
    let read = support::strace::line(
        "clone3({flags=CLONE_NEWNS|CLONE_INTO_CGROUP, exit_signal=SIGCHLD, stack=NULL, \
         stack_size=0, cgroup=4</sys/fs/cgroup/x>}, 88) = 3734",
    )
    .unwrap();
    let Value::Fields(fields) = &read.args[0] else { panic!("{read:?}") };
    assert_eq!(fields["stack"], Value::Null);
    assert_eq!(fields["cgroup"], Value::Fd(4, Some("/sys/fs/cgroup/x".into())));
    let read = support::strace::line(
        r#"recvmsg(5<UNIX:[12->34]>, {msg_name=NULL, msg_iov=[{iov_base="{\"Go\":1}", iov_len=8}]}, 0) = 8"#,
    )
    .unwrap();
    assert_eq!(read.texts[0], "5<UNIX:[12->34]>");
    assert_eq!(support::strace::line("--- SIGCHLD {si_signo=SIGCHLD} ---"), None);
}

#[test]
fn any_line_is_read_without_a_panic() {
    use proptest::prelude::*;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&".{0,80}", |line| {
            let _ = support::strace::line(&line);
            Ok(())
        })
        .unwrap();
    let lines = r#"[a-z]{1,5}\([\]\[{}()"<>|,=\\x0-9a-z ]{0,40}\) = [-0-9A-Z ]{0,9}"#;
    runner
        .run(&lines, |line| {
            let _ = support::strace::line(&line);
            Ok(())
        })
        .unwrap();
}

/// Whatever bytes a string has, strace's notation of it is read back to them.
#[test]
fn a_string_is_read_back() {
    use proptest::prelude::*;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let texts = (proptest::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0..1000i32);
    runner
        .run(&texts, |(bytes, hexadecimal, fd)| {
            let quoted = as_strace_writes(&bytes, hexadecimal);
            let line = format!("write({fd}</a b/>, {quoted}, {}) = {}", bytes.len(), bytes.len());
            let seen = support::strace::line(&line).expect("a call");
            prop_assert_eq!(&seen.args[0], &Value::Fd(fd.into(), Some("/a b/".into())));
            prop_assert_eq!(&seen.args[1], &Value::Text(bytes.clone()));
            prop_assert_eq!(&seen.texts[1], &quoted);
            prop_assert_eq!(seen.answer, Answer::Number(bytes.len() as i128));
            Ok(())
        })
        .unwrap();
}

/// strace(1): C escapes, octal as short as what follows allows, or hexadecimal.
fn as_strace_writes(bytes: &[u8], hexadecimal: bool) -> String {
    let one = |(i, byte): (usize, &u8)| match byte {
        byte if hexadecimal => format!("\\x{byte:02x}"),
        b'"' => "\\\"".into(),
        b'\\' => "\\\\".into(),
        b'\n' => "\\n".into(),
        b' '..=b'~' => char::from(*byte).to_string(),
        byte if bytes.get(i + 1).is_some_and(u8::is_ascii_digit) => format!("\\{byte:03o}"),
        byte => format!("\\{byte:o}"),
    };
    format!("\"{}\"", bytes.iter().enumerate().map(one).collect::<String>())
}

#[test]
fn a_pattern_fits_what_it_says() {
    use support::rules::fits;
    assert!(fits("2<*", "2</dev/pts/0>") && !fits("2<*", "12</dev/pts/0>"));
    assert!(fits("*/journal>", "4</run/x/journal>") && !fits("*/journal>", "4</journal>x"));
    assert!(fits("*a*b*", "xaxbx") && !fits("*a*b*", "xbxax"));
    assert!(fits("", "") && !fits("", "x") && fits("*", ""));
}
