//! What a registry says is held against what it is: digests, sizes, kinds, and where it leads.
//!
//! Each test has a server of its own that lies in one way. It is asked through the library, as `learnc pull`
//! does it; `pulls_come_over_the_line`
//! has lines that break, `a_wrong_pull_leaves_nothing` what becomes of the store.

mod support;

use learnc::image::digest::Digest;
use learnc::image::document::{Descriptor, LARGEST, Manifest};
use learnc::image::names::Name;
use learnc::image::origin::Source;
use learnc::image::registry::Registry;
use serde_json::json;
use support::asking::*;
use support::images::*;
use support::server::*;

fn small() -> Made {
    image().layer(layer([file("etc/motd", "hello")]).gzip()).made()
}

/// A registry whose manifest is answered by this.
fn lying(manifest: impl Fn(&Hit, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let honest = registry(&small(), "app", "v1");
    serve(move |hit| match honest(hit) {
        answer if hit.path.contains("/manifests/") => manifest(hit, answer),
        answer => answer,
    })
}

#[test]
fn an_honest_one_is_read() {
    let made = small();
    let server = serve(registry(&made, "app", "v1"));
    let registry = at(&server, "app:v1", quick());
    let (top, bytes) = top(&registry).unwrap();
    assert_eq!(top.digest.as_str(), made.digest());
    let manifest = Manifest::parse(&bytes).unwrap();
    let config = read(&registry, &manifest.config, 0).unwrap();
    assert_eq!(Digest::of(&config), manifest.config.digest);
    let again = told(|k| registry.document(k, &top)).0.unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn a_manifest_that_is_too_large_is_refused_before_it_is_read() {
    let server = lying(|_, answer| answer.says_length(LARGEST as usize + 1).cut_after(0));
    refused(top(&at(&server, "app:v1", quick())), "too large");
    assert_eq!(server.hits().len(), 1);
}

#[test]
fn a_manifest_that_never_ends_is_given_up() {
    let server = lying(|_, answer| Reply { body: vec![b' '; 1 << 16], ..answer }.never_ends());
    refused(top(&at(&server, "app:v1", quick())), "too large");
}

#[test]
fn a_manifest_with_another_digest_than_the_asked_one_is_refused() {
    let other = Digest::of(b"another image");
    let server = lying(|_, answer| answer);
    let name = format!("app@{other}");
    refused(top(&at(&server, &name, quick())), "no such image");
    let made = small();
    let bytes = made.blobs[made.digest()].clone();
    let server = serve(move |_| reply(200, &bytes).field("Content-Type", MANIFEST));
    refused(top(&at(&server, &name, quick())), "not the one that was asked for");
}

#[test]
fn a_digest_in_the_answers_head_must_be_that_of_the_answer() {
    let server = lying(|_, mut answer| {
        answer.fields.retain(|(name, _)| name != "Docker-Content-Digest");
        answer.field("Docker-Content-Digest", Digest::of(b"x").to_string())
    });
    refused(top(&at(&server, "app:v1", quick())), "not the one that was asked for");
    let server = lying(|_, mut answer| {
        answer.fields.retain(|(name, _)| name != "Docker-Content-Digest");
        answer.field("Docker-Content-Digest", "sha256:../../etc")
    });
    refused(top(&at(&server, "app:v1", quick())), "no digest");
}

#[test]
fn a_wrong_digest_is_told_as_it_was_claimed_and_computed() {
    let server = lying(|_, mut answer| {
        answer.body.push(b' ');
        answer.length = Some(answer.body.len());
        answer
    });
    let registry = at(&server, "app:v1", quick());
    let (answer, events) = told(|k| registry.top(k));
    answer.unwrap_err();
    let said = serde_json::to_value(&events).unwrap();
    assert_eq!(said[0]["type"], "requested");
    assert_eq!(said[1]["type"], "checked");
    assert_ne!(said[1]["claimed"], said[1]["computed"]);
}

#[test]
fn what_is_an_index_outside_and_a_manifest_inside_is_refused() {
    let server = lying(|_, mut answer| {
        answer.fields.retain(|(name, _)| name != "Content-Type");
        answer.field("Content-Type", INDEX)
    });
    refused(top(&at(&server, "app:v1", quick())), "two things at once");
    let server = lying(|_, _| reply(200, "{}").field("Content-Type", "text/html"));
    refused(top(&at(&server, "app:v1", quick())), "neither a manifest nor an index");
}

#[test]
fn what_is_no_document_is_refused() {
    for body in ["", "<html>", "\u{0}", "{\"mediaType\":7}", "[]", "{"] {
        let server = lying(move |_, _| reply(200, body).field("Content-Type", MANIFEST));
        refused(top(&at(&server, "app:v1", quick())), "no manifest");
    }
}

#[test]
fn a_document_of_a_hundred_thousand_brackets_is_harmless() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for field in ["x", "config", "layers", "mediaType"] {
        let bomb = format!("{{\"schemaVersion\":2,\"{field}\":{deep}}}");
        let server = lying(move |_, _| reply(200, &bomb).field("Content-Type", MANIFEST));
        if let Ok((_, bytes)) = top(&at(&server, "app:v1", quick())) {
            Manifest::parse(&bytes).unwrap_err();
        }
    }
}

#[test]
fn a_manifest_below_an_index_has_the_size_and_the_kind_that_the_index_says() {
    let made = small();
    let server = serve(registry(&made, "app", "v1"));
    let registry = at(&server, "app:v1", quick());
    let honest: Descriptor = serde_json::from_value(made.top.clone()).unwrap();
    let ask = |what: &Descriptor| told(|k| registry.document(k, what)).0;
    ask(&honest).unwrap();
    refused(ask(&Descriptor { size: honest.size + 1, ..honest.clone() }), "bytes");
    refused(ask(&Descriptor { size: honest.size - 1, ..honest.clone() }), "too large");
    refused(ask(&Descriptor { media_type: INDEX.into(), ..honest.clone() }), "should be");
}

#[test]
fn a_blob_of_another_size_is_refused() {
    let bytes = vec![7; 10_000];
    for length in [9_999, 10_001, usize::MAX / 2] {
        let server =
            serve(move |_| reply(200, vec![7; 10_001]).says_length(length).cut_after(10_001));
        let registry = at(&server, "app:v1", quick());
        refused(read(&registry, &blob_of(&bytes), 0), "size that its image says");
    }
    let server = serve(|_| reply(200, vec![7; 10_001]).without_length());
    refused(
        read(&at(&server, "app:v1", quick()), &blob_of(&bytes), 0),
        "more than the 10000 bytes",
    );
}

#[test]
fn redirects_come_to_an_end() {
    let server = serve(|hit| redirect(format!("{}x", hit.path)));
    refused(top(&at(&server, "app:v1", quick())), "on and on");
    assert_eq!(server.hits().len(), 6);
}

#[test]
fn a_redirect_to_what_is_no_http_is_refused() {
    for to in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://x",
        "http://a:b@127.0.0.1/",
        "http://",
        "",
    ] {
        let server = serve(move |_| redirect(to));
        let answer = top(&at(&server, "app:v1", quick()));
        match to {
            // An empty one is the same address again.
            "" => refused(answer, "registry"),
            _ => refused(answer, "no http or https address"),
        }
    }
}

#[test]
fn a_refusal_says_what_the_registry_says() {
    let text = r#"{"errors":[{"code":"DENIED","message":"pay \u001b[31mfirst"}]}"#;
    let server = serve(move |_| reply(403, text));
    let error = top(&at(&server, "app:v1", quick())).unwrap_err();
    assert!(whole(&error).contains("DENIED: pay"), "{}", whole(&error));
    assert!(!whole(&error).contains('\u{1b}'));
}

#[test]
fn a_registry_that_is_not_there_is_not_waited_for() {
    let (_deaf, gone) = deaf_port();
    let name = Name::parse(&format!("{gone}/app")).unwrap();
    let answer = top(&Registry::new(name, quick()).unwrap());
    let error = answer.unwrap_err();
    assert!(error.to_string().contains(&gone), "{error}");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = lying(|_, answer| answer.field("X-Filler", "x".repeat(200_000)));
    refused(top(&at(&server, "app:v1", quick())), "cannot be understood");
}

#[test]
fn an_old_manifest_is_refused_by_its_version() {
    let old = json!({ "schemaVersion": 1, "name": "app", "fsLayers": [] }).to_string();
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let server = serve(move |_| reply(200, &old).field("Content-Type", kind));
    refused(top(&at(&server, "app:v1", quick())), "manifest.v1");
}
