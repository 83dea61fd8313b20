//! What `--events` writes is what book/src/events.schema.json says.
//!
//! Recorded streams, a stream made here, and one value of every kind are held against the schema, and
//! values with something missing or something more must not fit.

#[path = "support/schema.rs"]
mod validator;

use std::cell::RefCell;
use std::path::Path;

use learnc::bundle::{self, defaults};
use learnc::error::Error;
use learnc::event::{
    Arg, Args, Asked, Call, Difference, Event, FORMAT, Lane, Observer, Seen, StageInfo, StepInfo,
    Verdict,
};
use learnc::facts::Facts;
use nix::errno::Errno;
use serde_json::{Value, json};
use validator::{fits, list};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&read("book/src/events.schema.json")).unwrap()
}

/// One of each kind of argument. The match makes a new kind a compile error here.
fn every_argument() -> Args {
    let kinds = [
        Arg::Int(-1),
        Arg::Mode(0),
        Arg::Mode(0o755),
        Arg::Flags(vec![]),
        Arg::Flags(vec!["MS_REC".into()]),
        Arg::name("SIGCHLD"),
        Arg::Str("proc".into()),
        Arg::Bytes(vec![255, 0]),
        Arg::Fd(-100, None),
        Arg::Fd(5, Some("/proc".into())),
        Arg::FdPath(6, None),
        Arg::FdPath(6, Some("/proc".into())),
        Arg::Pid(0),
        Arg::Null,
        Arg::List(vec![Arg::Int(1), Arg::Null]),
        Arg::Struct(Args::new().with("fd", Arg::Secret)),
        Arg::Secret,
    ];
    for kind in &kinds {
        match kind {
            Arg::Int(_) | Arg::Mode(_) | Arg::Flags(_) | Arg::Name(_) | Arg::Str(_) => {}
            Arg::Bytes(_) | Arg::Fd(..) | Arg::FdPath(..) | Arg::Pid(_) | Arg::Null => {}
            Arg::List(_) | Arg::Struct(_) | Arg::Secret => {}
        }
    }
    Args(kinds.into_iter().enumerate().map(|(i, arg)| (format!("arg{i}").into(), arg)).collect())
}

fn a_call() -> Call {
    Call {
        pid: 1,
        lane: Lane::Container,
        step: "mount".into(),
        index: 0,
        name: "mount".into(),
        args: every_argument(),
        result: Some(0),
        errno: Some("EPERM".into()),
        announced: true,
        expected: true,
        nanos: 1,
        seen: Some(Seen::NotSeen),
    }
}

fn a_stage() -> StageInfo {
    StageInfo {
        number: 1,
        of: 6,
        name: text(),
        says: text(),
        on_top_of: Some(text()),
        adds: vec![text()],
        here: text(),
        try_this: vec![text()],
    }
}

/// A new kind of event is a compile error here.
fn is_listed(event: &Event) {
    match event {
        Event::Plan { .. }
        | Event::Stage(_)
        | Event::StageOver { .. }
        | Event::Step { .. }
        | Event::Call(_)
        | Event::Bulk { .. }
        | Event::Note { .. }
        | Event::Requested { .. }
        | Event::Checked { .. }
        | Event::Warning { .. }
        | Event::Failed { .. }
        | Event::Undone { .. }
        | Event::Started { .. }
        | Event::Form { .. }
        | Event::Ended { .. }
        | Event::Changed { .. }
        | Event::HostAsBefore { .. } => {}
    }
}

/// One of each kind of event.
fn every_event() -> Vec<Event> {
    let step = |asked| StepInfo {
        index: 0,
        key: text(),
        asked,
        lane: Lane::Runtime,
        subject: Some(text()),
        starts: true,
        known: true,
        by_hand: vec![text()],
    };
    let steps = [Asked::Config, Asked::Default, Asked::Needed].map(|asked| step(asked(text())));
    let refused = Error::refused("mount", every_argument(), Errno::EPERM);
    let row = |verdict| Difference { property: text(), host: text(), container: text(), verdict };
    let events = vec![
        Event::Form { version: FORMAT },
        Event::Plan { version: FORMAT, id: text(), steps: steps.to_vec(), first: 0 },
        Event::Stage(StageInfo { on_top_of: None, try_this: vec![], ..a_stage() }),
        Event::Stage(a_stage()),
        Event::StageOver { name: text(), next: None },
        Event::StageOver { name: text(), next: Some(text()) },
        Event::Step { index: 0, lane: Lane::Runtime, pid: 1 },
        Event::Call(a_call()),
        Event::Note { index: None, text: text() },
        Event::Note { index: Some(3), text: text() },
        asked(),
        checked(),
        Event::Bulk {
            index: 0,
            pid: 1,
            lane: Lane::Runtime,
            below: text(),
            calls: [("openat".to_owned(), 3)].into(),
            nanos: 4_000,
        },
        Event::Warning { text: text() },
        Event::Failed { index: 0, error: Error::yours("no").at("a").because("b").try_this("c") },
        Event::Failed { index: 0, error: refused },
        Event::Undone { text: text() },
        Event::Started { pid: 1 },
        Event::Ended { pid: 1, status: 137 },
        Event::Changed { rows: Verdict::ALL.map(row).to_vec() },
        Event::HostAsBefore { checks: vec![(text(), true)] },
    ];
    events.iter().for_each(is_listed);
    events
}

fn text() -> String {
    "text".to_owned()
}

fn asked() -> Event {
    let (method, url, media_type) = (text(), text(), text());
    Event::Requested { index: Some(3), method, url, status: 200, media_type, bytes: Some(7) }
}

fn checked() -> Event {
    Event::Checked { index: None, what: text(), bytes: 7, claimed: text(), computed: text() }
}

fn values() -> Vec<Value> {
    every_event().iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

#[test]
fn every_kind_of_event_fits() {
    let schema = schema();
    for value in values() {
        assert!(fits(&schema, &schema, &value), "{value:#}");
        for (name, arg) in value["args"].as_object().into_iter().flatten() {
            let rule = &schema["$defs"]["arg"];
            assert!(fits(&schema, rule, arg), "{name}: {arg}");
        }
    }
}

#[test]
fn every_kind_in_the_schema_is_made() {
    let (schema, values) = (schema(), values());
    for kind in list(&schema["oneOf"]) {
        assert!(values.iter().any(|value| fits(&schema, kind, value)), "nothing fits {kind}");
    }
}

#[test]
fn something_more_or_something_less_does_not_fit() {
    let schema = schema();
    for value in values() {
        let mut more = value.clone();
        more["invented"] = json!(1);
        assert!(!fits(&schema, &schema, &more), "{more:#}");
        let mut other = value.clone();
        other["type"] = json!("invented");
        assert!(!fits(&schema, &schema, &other), "{other:#}");
        let kind = value["type"].as_str().unwrap();
        let rule = if kind == "step" { "step_begins" } else { kind };
        for name in list(&schema["$defs"][rule]["required"]) {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(name.as_str().unwrap());
            assert!(!fits(&schema, &schema, &less), "without {name}: {less:#}");
        }
    }
}

#[test]
fn recorded_streams_fit() {
    let schema = schema();
    for stream in ["run", "failure", "verified"] {
        for line in read(&format!("fixtures/events/{stream}.jsonl")).lines() {
            let value = serde_json::from_str(line).unwrap();
            assert!(fits(&schema, &schema, &value), "{stream}: {line}");
        }
    }
}

#[test]
fn a_stream_made_now_fits() {
    struct Values(RefCell<Vec<Value>>);
    impl Observer for Values {
        fn see(&self, event: &Event) {
            self.0.borrow_mut().push(serde_json::to_value(event).unwrap());
        }
    }
    let facts: Facts = serde_json::from_str(&read("fixtures/facts/v2-root.json")).unwrap();
    let bundle = bundle::from_value(defaults::config(), "/bundle".into()).unwrap();
    let options = learnc::plan::Options {
        id: "box".into(),
        bundle: "/bundle".into(),
        state_root: "/run/learnc".into(),
        ..Default::default()
    };
    let plan = learnc::plan::plan(&bundle, &options, &facts).unwrap();
    let seen = Values(RefCell::new(vec![]));
    learnc::perform::pretend(&plan, &seen).unwrap();
    let (schema, seen) = (schema(), seen.0.into_inner());
    assert!(seen.iter().any(|value| value["type"] == "syscall"));
    for value in &seen {
        assert!(fits(&schema, &schema, value), "{value:#}");
    }
}

#[test]
fn the_schema_is_of_this_version() {
    assert_eq!(schema()["$defs"]["plan"]["properties"]["version"]["const"], FORMAT);
}
