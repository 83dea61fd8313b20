//! A line that is cut, stalls or begins again: the blob comes whole, or an error says why not.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use learnc::event::Event;
use learnc::image::origin::Source;
use support::asking::*;
use support::images::*;
use support::server::*;
use support::{learnc, wait_until};

/// Bytes of which no two parts are the same.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn a_blob_that_is_cut_is_taken_up_where_it_broke() {
    let bytes = noise(100_000);
    let whole = bytes.clone();
    let server = serve(move |hit| match hit.before {
        0 | 1 => part(hit, &whole).cut_after(30_000),
        _ => part(hit, &whole),
    });
    let registry = at(&server, "app:v1", quick());
    assert_eq!(read(&registry, &blob_of(&bytes), 0).unwrap(), bytes);
    let from: Vec<_> = server.hits().iter().map(Hit::from).collect();
    assert_eq!(from, [None, Some(30_000), Some(60_000)]);
}

#[test]
fn what_was_asked_again_is_told_in_the_end() {
    let bytes = noise(1000);
    let whole = bytes.clone();
    let server = serve(move |hit| match hit.before {
        0 => part(hit, &whole).cut_after(400),
        _ => part(hit, &whole),
    });
    let registry = at(&server, "app:v1", quick());
    let what = blob_of(&bytes);
    let ((), events) = told(|k| {
        let mut reader = registry.blob(k, &what, 0).unwrap();
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        registry.retell(k, &what);
        registry.retell(k, &what);
    });
    let statuses: Vec<u16> = events
        .iter()
        .filter_map(|event| match event {
            Event::Requested { status, .. } => Some(*status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [200, 206]);
}

#[test]
fn a_pull_goes_on_from_what_is_there() {
    let bytes = noise(5000);
    let whole = bytes.clone();
    let server = serve(move |hit| part(hit, &whole));
    let registry = at(&server, "app:v1", quick());
    assert_eq!(read(&registry, &blob_of(&bytes), 4000).unwrap(), bytes[4000..]);
    assert_eq!(server.hits()[0].from(), Some(4000));
    assert_eq!(read(&registry, &blob_of(&bytes), 5000).unwrap(), b"");
    assert_eq!(server.hits().len(), 1);
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_of_it_again() {
    let bytes = noise(5000);
    let whole = bytes.clone();
    let server = serve(move |_| reply(200, &whole));
    let registry = at(&server, "app:v1", quick());
    assert_eq!(read(&registry, &blob_of(&bytes), 4321).unwrap(), bytes[4321..]);
}

#[test]
fn an_answer_with_another_range_is_not_taken_for_the_asked_one() {
    let bytes = noise(5000);
    for range in [
        "bytes 0-4999/5000",
        "bytes 4000-4999/9000",
        "bytes 4000-4998/5000",
        "",
        "lines 4000-4999/5000",
    ] {
        let whole = bytes.clone();
        let server = serve(move |hit| match hit.from() {
            Some(from) => reply(206, &whole[from..]).field("Content-Range", range),
            None => reply(200, &whole),
        });
        let registry = at(&server, "app:v1", quick());
        assert_eq!(read(&registry, &blob_of(&bytes), 4000).unwrap(), bytes[4000..], "{range}");
        assert_eq!(server.hits().len(), 2, "{range}");
    }
    let whole = bytes.clone();
    let server =
        serve(move |hit| if hit.from().is_some() { reply(416, "") } else { reply(200, &whole) });
    let registry = at(&server, "app:v1", quick());
    assert_eq!(read(&registry, &blob_of(&bytes), 4000).unwrap(), bytes[4000..]);
}

#[test]
fn a_line_that_always_breaks_is_given_up() {
    let bytes = noise(5000);
    let whole = bytes.clone();
    let server = serve(move |hit| part(hit, &whole).cut_after(10));
    refused(read(&at(&server, "app:v1", quick()), &blob_of(&bytes), 0), "tried 6 times");
    assert_eq!(server.hits().len(), 6);
}

#[test]
fn breaks_far_apart_are_not_added_up() {
    let bytes = noise(12 << 20);
    let whole = bytes.clone();
    let server = serve(move |hit| part(hit, &whole).cut_after((1 << 20) + 5));
    let registry = at(&server, "app:v1", quick());
    assert_eq!(read(&registry, &blob_of(&bytes), 0).unwrap(), bytes);
    assert_eq!(server.hits().len(), 12);
}

#[test]
fn a_server_that_falls_silent_is_hung_up_on_and_asked_again() {
    let bytes = noise(5000);
    let whole = bytes.clone();
    let server = serve(move |hit| match hit.before {
        0 => part(hit, &whole).stall_after(2000),
        _ => part(hit, &whole),
    });
    let registry = at(&server, "app:v1", hasty());
    assert_eq!(read(&registry, &blob_of(&bytes), 0).unwrap(), bytes);
    assert_eq!(server.hits()[1].from(), Some(2000));
}

#[test]
fn a_server_that_stays_silent_is_given_up() {
    let server = serve(|_| reply(200, "12345").stall_after(0));
    refused(top(&at(&server, "app:v1", hasty())), "broke");
    wait_until("all three tries are read", || server.hits().len() == 3);
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    for (status, times) in [(429, 6), (503, 6), (500, 6), (400, 1), (404, 1), (403, 1), (451, 1)] {
        let server = serve(move |_| reply(status, "").field("Retry-After", "0"));
        top(&at(&server, "app:v1", quick())).unwrap_err();
        assert_eq!(server.hits().len(), times, "{status}");
    }
    let busy = AtomicUsize::new(2);
    let bytes = noise(100);
    let whole = bytes.clone();
    let server = serve(move |hit| match busy.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)) {
        Ok(_) => reply(503, ""),
        Err(_) => part(hit, &whole),
    });
    assert_eq!(read(&at(&server, "app:v1", quick()), &blob_of(&bytes), 0).unwrap(), bytes);
}

#[test]
fn a_blob_may_lie_on_another_server_and_be_taken_up_there() {
    let bytes = noise(9000);
    let whole = bytes.clone();
    let store = serve(move |hit| match hit.before {
        0 => part(hit, &whole).cut_after(3000),
        _ => part(hit, &whole),
    });
    let there = store.url("/file?signature=secret");
    let server = serve(move |_| redirect(there.clone()));
    let registry = at(&server, "app:v1", quick());
    let what = blob_of(&bytes);
    let (reader, events) = told(|k| registry.blob(k, &what, 0));
    let mut got = vec![];
    std::io::Read::read_to_end(&mut reader.unwrap(), &mut got).unwrap();
    assert_eq!(got, bytes);
    // The registry is asked again, since its signature may be over.
    assert_eq!((server.hits().len(), store.hits().len()), (2, 2));
    assert_eq!(store.hits()[1].from(), Some(3000));
    let said = serde_json::to_string(&events).unwrap();
    assert!(said.contains("/file?…") && !said.contains("secret"), "{said}");
}

#[test]
fn one_line_carries_several_questions() {
    let bytes = noise(100);
    let whole = bytes.clone();
    let server = serve(move |hit| part(hit, &whole));
    let registry = at(&server, "app:v1", quick());
    for _ in 0..3 {
        assert_eq!(read(&registry, &blob_of(&bytes), 0).unwrap(), bytes);
    }
    let lines: Vec<usize> = server.hits().iter().map(|hit| hit.line).collect();
    assert_eq!(lines, [0, 0, 0]);
}

#[test]
fn a_kept_line_that_the_server_has_closed_costs_no_error() {
    let bytes = noise(100);
    let whole = bytes.clone();
    // Content-Length is right, and then it hangs up.
    let server = serve(move |hit| part(hit, &whole).cut_after(100));
    let registry = at(&server, "app:v1", quick());
    for _ in 0..3 {
        assert_eq!(read(&registry, &blob_of(&bytes), 0).unwrap(), bytes);
    }
}

/// An image of one layer that is as large as this, and does not compress.
fn large(length: usize) -> Made {
    image().layer(layer([file("noise", noise(length))])).made()
}

fn the_layer(made: &Made) -> String {
    let manifest = made.document(&made.top);
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_an_earlier_pull_left_may_be_wrong_and_is_then_fetched_anew() {
    let (made, folder) = (large(50_000), folder());
    let (server, layer) = (serve(registry(&made, "app", "v1")), the_layer(&made));
    let part = folder.join(&format!("store/ingest/{}.part", layer.replace(':', "-")));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, [1; 20_000]).unwrap();
    pulled(&at(&server, "app:v1", quick()), &folder).unwrap();
    let from: Vec<_> = server.hits_of(&layer).iter().map(Hit::from).collect();
    assert_eq!(from, [Some(20_000), None]);
    assert_eq!(left(&folder), (vec![], 1));
}

#[test]
fn a_whole_image_comes_over_lines_that_all_break() {
    let folder = folder();
    let mut image = image();
    for number in 0..5 {
        image = image.layer(layer([file(&format!("f{number}"), noise(90_000 + number))]));
    }
    let honest = registry(&image.made(), "app", "v1");
    let server = serve(move |hit| match (hit.before, honest(hit)) {
        (0, answer) => answer.cut_after(100),
        (1, answer) => answer.cut_after(30_000),
        (_, answer) => answer,
    });
    let (answer, events) = told_pull(&at(&server, "app:v1", quick()), &folder);
    answer.unwrap();
    assert_eq!(left(&folder), (vec![], 1));
    let requested = events.iter().filter(|event| matches!(event, Event::Requested { .. })).count();
    assert_eq!(requested, server.hits().len(), "every request is told");
}

#[test]
fn a_ctrl_c_ends_a_pull_that_waits() {
    let folder = folder();
    let server = serve(|_| reply(503, "").field("Retry-After", "30"));
    let mut pull = learnc(["pull", "--quiet", &server.name("app:v1"), "--store"]);
    let mut pull = pull.arg(folder.join("store")).stdout(Stdio::null()).spawn().unwrap();
    wait_until("it was asked", || !server.hits().is_empty());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pull.id() as i32), nix::sys::signal::SIGINT)
        .unwrap();
    assert!(!pull.wait().unwrap().success());
    assert_eq!(server.hits().len(), 1);
}

#[test]
fn a_proxy_that_is_not_there_or_connects_to_nobody_is_named() {
    let (_deaf, free) = deaf_port();
    let refuses = serve(|_| reply(403, "no"));
    let cases = [
        (format!("http://{free}"), "is not there", free.to_string()),
        (refuses.url("/"), "connects to nobody", "403".to_owned()),
    ];
    for (proxy, what, why) in cases {
        let folder = folder();
        let mut pull = learnc(["pull", "--quiet", "registry.example/app:v1", "--store"]);
        pull.arg(folder.join("store")).env("ALL_PROXY", proxy);
        pull.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("HTTPS_PROXY");
        let said = support::bundle::ran(&mut pull);
        let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(said.status, 1);
        for part in ["the proxy of this environment", what, &why, "NO_PROXY"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
