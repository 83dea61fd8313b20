//! A pull of something that is not what it should be is refused, and leaves no name and nothing wrong: at most what
//! came of a blob that broke off, from which the next pull goes on.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use learnc::image::digest::Digest;
use learnc::image::document::{Descriptor, Manifest};
use serde_json::json;
use support::asking::*;
use support::images::*;
use support::server::*;

fn small() -> Made {
    image().layer(layer([file("etc/motd", "hello")]).gzip()).made()
}

/// A registry whose blobs are answered by this.
fn lying_blobs(made: &Made, blob: impl Fn(&Hit, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let honest = registry(made, "app", "v1");
    serve(move |hit| match honest(hit) {
        answer if hit.path.contains("/blobs/") => blob(hit, answer),
        answer => answer,
    })
}

fn layers_of(made: &Made) -> Vec<Descriptor> {
    Manifest::parse(&made.blobs[made.digest()]).unwrap().layers
}

#[test]
fn a_layer_with_a_wrong_byte_leaves_nothing() {
    let (made, folder) = (small(), folder());
    let layer = layers_of(&made)[0].digest.to_string();
    let server = lying_blobs(&made, move |hit, mut answer| {
        if hit.path.ends_with(&layer) {
            *answer.body.last_mut().unwrap() ^= 1;
        }
        answer
    });
    let (answer, events) = told_pull(&at(&server, "app:v1", quick()), &folder);
    refused(answer, "was asked for");
    assert_eq!(left(&folder), (vec![], 0));
    let said = serde_json::to_value(events).unwrap();
    let wrong = |event: &&serde_json::Value| {
        event["type"] == "checked" && event["claimed"] != event["computed"]
    };
    assert_eq!(said.as_array().unwrap().iter().filter(wrong).count(), 1);
}

#[test]
fn a_config_with_a_wrong_byte_leaves_nothing() {
    let (made, folder) = (small(), folder());
    let server = lying_blobs(&made, |_, mut answer| {
        answer.body[0] ^= 1;
        answer
    });
    refused(pulled(&at(&server, "app:v1", quick()), &folder), "was asked for");
    assert_eq!(left(&folder), (vec![], 0));
}

#[test]
fn a_layer_of_another_length_leaves_what_came_and_no_name() {
    let (made, folder) = (small(), folder());
    let first = layers_of(&made)[0].digest.to_string();
    let server = lying_blobs(&made, move |hit, answer| match hit.path.ends_with(&first) {
        true if hit.before == 0 => answer.without_length().cut_after(10),
        true => answer.cut_after(0),
        false => answer,
    });
    refused(pulled(&at(&server, "app:v1", quick()), &folder), "tried");
    let (parts, names) = left(&folder);
    assert_eq!((parts.len(), names), (1, 0));
    // And an honest one goes on with it.
    let server = serve(registry(&made, "app", "v1"));
    pulled(&at(&server, "app:v1", quick()), &folder).unwrap();
    assert_eq!(left(&folder), (vec![], 1));
}

#[test]
fn what_cannot_be_unpacked_is_not_fetched() {
    let folder = folder();
    let mut strange = layer([file("x", "y")]);
    strange.media_type = "application/vnd.cncf.helm.chart.content.v1.tar+gzip".into();
    let server = serve(registry(&image().layer(strange).made(), "app", "v1"));
    refused(pulled(&at(&server, "app:v1", quick()), &folder), "unknown media type");
    assert_eq!(server.hits_of("/blobs/").len(), 0);
    assert_eq!(left(&folder), (vec![], 0));
}

#[test]
fn a_config_that_fits_no_image_is_refused_before_its_layers_come() {
    let two = json!({ "type": "layers", "diff_ids": [Digest::of(b"another layer")] });
    for (pointer, value) in
        [("/rootfs", two), ("/architecture", json!(7)), ("/config/Env", json!("A=b"))]
    {
        let folder = folder();
        let made = image().layer(layer([file("x", "y")])).set(pointer, value).made();
        let server = serve(registry(&made, "app", "v1"));
        refused(pulled(&at(&server, "app:v1", quick()), &folder), "config");
        assert_eq!(server.hits_of("/blobs/").len(), 1);
        assert_eq!(left(&folder), (vec![], 0));
    }
}

#[test]
fn an_index_that_leads_to_itself_comes_to_an_end() {
    // No index can hold its own digest; a chain of them can be long.
    let mut made = several([image().layer(layer([file("x", "y")]))]);
    for _ in 0..5 {
        let mut inner = made.top.clone();
        inner["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        inner["platform"]["architecture"] =
            json!(learnc::image::document::Platform::here().architecture);
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [inner] }).to_string();
        let digest = Digest::of(index.as_bytes()).to_string();
        made.top = json!({ "mediaType": INDEX, "digest": digest, "size": index.len() });
        made.blobs.insert(digest, index.into_bytes());
    }
    let (server, folder) = (serve(registry(&made, "app", "v1")), folder());
    refused(pulled(&at(&server, "app:v1", quick()), &folder), "too deep");
    assert_eq!(left(&folder), (vec![], 0));
}

#[test]
fn one_layer_that_is_refused_ends_the_pull_and_no_name_is_given() {
    let folder = folder();
    let mut image = image();
    for number in 0..6 {
        image = image.layer(layer([file(&format!("f{number}"), vec![number; 50_000])]));
    }
    let made = image.made();
    let bad = layers_of(&made)[2].digest.to_string();
    let server = lying_blobs(&made, move |hit, answer| match hit.path.ends_with(&bad) {
        true => reply(404, ""),
        false => answer,
    });
    let error = pulled(&at(&server, "app:v1", quick()), &folder).unwrap_err();
    assert!(error.to_string().contains(layers_of(&made)[2].digest.short()), "{error}");
    assert_eq!(left(&folder).1, 0);
}
