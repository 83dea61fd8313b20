//! What a person sees of a run, at several widths, in a pipe, without colours, and when it fails.
//!
//! `fixtures/events/*.jsonl` are event streams recorded with `--events`, with ids, paths and times
//! made equal. What the renderer makes of them are snapshots. A change of looks is seen in the diff,
//! and accepted with `INSTA_UPDATE=always cargo test --test narration_looks` after reading it.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use learnc::bundle::{self, defaults};
use learnc::event::{Event, Lane, Observer};
use learnc::facts::Facts;
use learnc::perform::pretend;
use learnc::plan::{Options, plan};
use learnc::render::terminal::look::{Look, Width};
use learnc::render::terminal::{Manner, Terminal, text};

/// A page that can be read after the terminal is gone.
#[derive(Default, Clone)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn fixture(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path))
        .unwrap()
}

fn events(name: &str) -> Vec<Event> {
    let text = fixture(&format!("events/{name}.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(events: &[Event], manner: Manner, look: Look) -> String {
    let page = Page::default();
    let terminal = Terminal::new(manner, look, Box::new(page.clone()));
    events.iter().for_each(|event| terminal.see(event));
    drop(terminal);
    let text = String::from_utf8(page.0.take()).unwrap();
    // The spaces that end the program's last line are of the terminal, not of the text.
    text.lines()
        .map(|line| line.rsplit('\r').next().unwrap_or(line).trim_end())
        .collect::<Vec<_>>()
        .join("\n")
}

fn terminal(columns: usize) -> Look {
    let width = Width::Fixed(columns);
    Look { width, wraps: true, colour: false, unicode: true, whole: false }
}

fn pipe() -> Look {
    Look { wraps: false, unicode: false, ..terminal(80) }
}

#[test]
fn an_explained_run_at_80_columns() {
    insta::assert_snapshot!(told(&events("run"), Manner::Explained, terminal(80)));
}

#[test]
fn an_explained_run_at_200_columns() {
    insta::assert_snapshot!(told(&events("run"), Manner::Explained, terminal(200)));
}

#[test]
fn an_explained_run_at_50_columns() {
    insta::assert_snapshot!(told(&events("run"), Manner::Explained, terminal(50)));
}

#[test]
fn an_explained_run_in_a_pipe() {
    insta::assert_snapshot!(told(&events("run"), Manner::Explained, pipe()));
}

#[test]
fn a_folded_run_at_80_columns() {
    insta::assert_snapshot!(told(&events("run"), Manner::Folded, terminal(80)));
}

#[test]
fn a_failed_run_explained() {
    insta::assert_snapshot!(told(&events("failure"), Manner::Explained, terminal(80)));
}

#[test]
fn a_failed_run_folded() {
    insta::assert_snapshot!(told(&events("failure"), Manner::Folded, terminal(80)));
}

#[test]
fn what_a_witness_says_and_what_changed() {
    for columns in [80, 44] {
        let text = told(&events("verified"), Manner::Explained, terminal(columns));
        insta::assert_snapshot!(format!("verified_at_{columns}"), text);
    }
}

#[test]
fn a_plan_for_a_machine_that_is_not_this_one() {
    let facts: Facts = serde_json::from_str(&fixture("facts/v2-root.json")).unwrap();
    let mut config = serde_json::to_value(defaults::config()).unwrap();
    config["process"]["args"] = serde_json::json!(["/bin/sh"]);
    let bundle = bundle::from_value(config, PathBuf::from("/bundle")).unwrap();
    let options = Options {
        id: "box".into(),
        bundle: "/bundle".into(),
        state_root: "/nowhere/learnc".into(),
        ..Options::default()
    };
    let plan = plan(&bundle, &options, &facts).unwrap();
    for columns in [80, 200] {
        let page = Page::default();
        let terminal = Terminal::new(Manner::Planned, terminal(columns), Box::new(page.clone()));
        pretend(&plan, &terminal).unwrap();
        drop(terminal);
        let text = String::from_utf8(page.0.take()).unwrap();
        insta::assert_snapshot!(format!("plan_at_{columns}"), text);
    }
}

#[test]
fn a_pipe_gets_every_call_in_one_line_of_ascii() {
    let events = events("run");
    let calls = events.iter().filter_map(|event| match event {
        Event::Call(call) if !matches!(call.name.as_str(), "openat" | "write") => Some(call),
        _ => None,
    });
    let text = told(&events, Manner::Explained, pipe());
    assert!(text.is_ascii());
    for call in calls {
        let lines = text.lines().filter(|line| line.contains(&format!(" | {}(", call.name)));
        let answered = |line: &&str| line.contains(" = ");
        assert!(lines.filter(answered).count() > 0 || call.announced, "{}", call.name);
    }
    let said = text.lines().filter(|line| line.contains(" | mount(")).count();
    let made = events.iter().filter(|e| matches!(e, Event::Call(c) if c.name == "mount")).count();
    assert_eq!(said, made, "`grep mount` must find every mount");
}

#[test]
fn no_line_is_wider_than_the_terminal_unless_a_name_in_it_is() {
    for columns in [80, 100, 140, 200] {
        let text = told(&events("run"), Manner::Explained, terminal(columns));
        for line in text.lines() {
            let longest = line.split(' ').map(text::width).max().unwrap_or(0);
            assert!(text::width(line) <= columns || longest > columns / 2, "{columns}: {line}");
        }
    }
}

#[test]
fn every_width_is_a_width() {
    for stream in ["run", "failure", "verified"] {
        let events = events(stream);
        for columns in (1..=60).chain([79, 132, 1000]) {
            for manner in [Manner::Folded, Manner::Explained, Manner::Planned] {
                assert!(!told(&events, manner, terminal(columns)).is_empty());
            }
        }
    }
}

#[test]
fn nothing_from_outside_reaches_the_terminal_raw() {
    let text = told(&events("verified"), Manner::Explained, terminal(80));
    assert!(!text.contains('\u{1b}'), "an escape sequence in a hostname got through");
    assert!(text.contains("\\x1b[31m"));
}

#[test]
fn an_error_is_never_folded_away() {
    for (manner, look) in [
        (Manner::Folded, terminal(80)),
        (Manner::Explained, terminal(80)),
        (Manner::Explained, pipe()),
        (Manner::Folded, pipe()),
    ] {
        let text = told(&events("failure"), manner, look);
        assert!(text.contains("= ENODEV"), "{manner:?}\n{text}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let terminal = Terminal::new(Manner::Explained, terminal(80), Box::new(Gone));
    events("run").iter().for_each(|event| terminal.see(event));
}

#[test]
fn a_folded_run_takes_back_what_it_made_without_a_word() {
    let removed = Event::Bulk {
        index: 0,
        pid: 1,
        lane: Lane::Runtime,
        below: "/somewhere/learnc/run-1".into(),
        calls: [("unlinkat".to_owned(), 81)].into(),
        nanos: 4_000,
    };
    let whole = events("run");
    let program_ended = whole.iter().position(|event| matches!(event, Event::Ended { .. }));
    let mut events = whole[..=program_ended.unwrap()].to_vec();
    let before = told(&events, Manner::Folded, terminal(80));
    events.push(removed);
    events.push(Event::Undone { text: "rm -r /somewhere/learnc/run-1".into() });
    assert_eq!(told(&events, Manner::Folded, terminal(80)), before);
    assert!(told(&events, Manner::Explained, terminal(80)).contains("unlinkat ×81"));
}

#[test]
fn what_comes_after_the_start_waits_for_the_end_of_the_program() {
    let page = Page::default();
    let terminal = Terminal::new(Manner::Explained, terminal(80), Box::new(page.clone()));
    let mut running = None;
    for event in events("run") {
        terminal.see(&event);
        match event {
            Event::Started { .. } => running = Some(page.0.borrow().len()),
            Event::Ended { .. } => running = None,
            _ => {}
        }
        terminal.see(&Event::Warning { text: "meanwhile".into() });
        if let Some(length) = running {
            assert_eq!(page.0.borrow().len(), length, "the program's terminal was written to");
        }
    }
}
