//! The store's promises that take no second process: what is put in is found, and what is wrong refused.

use std::io::Write;

use serde_json::json;

use super::*;
use crate::event::Lane;
use crate::image::document::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform};
use crate::sys::Manner;

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn place(name: &str) -> Place {
    Place(std::env::temp_dir().join(format!("learnc-store-{name}-{}", std::process::id())))
}

fn kernel() -> Kernel<'static> {
    Kernel::new(Manner::Silent, Lane::Runtime, look::pid())
}

fn platform(architecture: &str) -> Platform {
    Platform { architecture: architecture.into(), os: "linux".into(), variant: None }
}

/// An image with this text for its only layer.
fn put_image(k: &Kernel, store: &Store, architecture: &str, text: &str) -> Descriptor {
    let layer = store.put(k, OCI_LAYER, text.as_bytes()).unwrap();
    let config = json!({
        "architecture": architecture, "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    });
    let config = store.put(k, OCI_CONFIG, config.to_string().as_bytes()).unwrap();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    store.put(k, OCI_MANIFEST, manifest.to_string().as_bytes()).unwrap()
}

#[test]
fn what_was_put_in_is_found_by_name_digest_and_digits() {
    let (place, k) = (place("found"), kernel());
    assert!(Store::look(&place.0).unwrap().is_none());
    let store = Store::open(&k, &place.0).unwrap();
    let one = put_image(&k, &store, "amd64", "one");
    store.name(&k, "docker.io/library/one:latest", &one).unwrap();
    let other = Store::look(&place.0).unwrap().unwrap();
    for text in [
        "one",
        "docker.io/library/one:latest",
        one.digest.as_str(),
        one.digest.short(),
        &one.digest.hex()[..5],
    ] {
        assert_eq!(other.find(text).unwrap().unwrap().digest, one.digest, "{text}");
    }
    assert!(other.find("two").unwrap().is_none());
    assert!(other.find(&one.digest.hex()[..4]).unwrap().is_none());
    let image = other.image(&k, &one, &platform("amd64")).unwrap();
    assert_eq!(image.config.rootfs.diff_ids, [Digest::of(b"one")]);
    assert_eq!(other.read(&k, &image.manifest.layers[0]).unwrap(), b"one");
}

#[test]
fn a_name_means_one_thing_and_what_is_nameless_goes() {
    let (place, k) = (place("names"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let (one, two) = (put_image(&k, &store, "amd64", "1"), put_image(&k, &store, "amd64", "2"));
    store.name(&k, "a.io/x:1", &one).unwrap();
    store.name(&k, "a.io/x:1", &two).unwrap();
    assert_eq!(store.images().unwrap().len(), 1);
    let pruned = store.prune(&k).unwrap();
    assert_eq!((pruned.blobs, pruned.layers), (3, 0));
    assert!(!store.has(&one) && store.has(&two));
    assert_eq!(store.remove(&k, "a.io/x:1").unwrap().unwrap().digest, two.digest);
    assert_eq!(store.prune(&k).unwrap().blobs, 3);
    assert_eq!(store.check(&k).unwrap(), Report::default());
}

#[test]
fn of_an_index_one_image_is_enough() {
    let (place, k) = (place("index"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let mut here = put_image(&k, &store, "amd64", "1");
    here.platform = Some(platform("amd64"));
    let mut absent = Descriptor::new(OCI_MANIFEST, b"not here");
    absent.platform = Some(platform("arm64"));
    let index = json!({ "schemaVersion": 2, "manifests": [absent, here] });
    let index = store.put(&k, OCI_INDEX, index.to_string().as_bytes()).unwrap();
    store.name(&k, "a.io/x:1", &index).unwrap();
    assert_eq!(store.image(&k, &index, &platform("amd64")).unwrap().descriptor, here);
    let error = store.image(&k, &index, &platform("s390x")).unwrap_err();
    assert!(error.diagnosis.as_ref().unwrap().contains("linux/arm64, linux/amd64"), "{error}");
    assert!(store.check(&k).unwrap().problems.is_empty());
    assert_eq!(store.prune(&k).unwrap(), Pruned::default());
    // A variant that the index alone says is told with the rest.
    here.platform.as_mut().unwrap().variant = Some("v3".to_owned());
    let index = json!({ "schemaVersion": 2, "manifests": [here] });
    let index = store.put(&k, OCI_INDEX, index.to_string().as_bytes()).unwrap();
    assert_eq!(store.listed(&index).unwrap().platforms, ["linux/amd64/v3"]);
}

#[test]
fn what_is_not_whole_gets_no_name() {
    let (place, k) = (place("whole"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let image = put_image(&k, &store, "amd64", "1");
    let layer = Descriptor::new(OCI_LAYER, b"1");
    std::fs::remove_file(store.blob_file(&layer.digest)).unwrap();
    let error = store.name(&k, "a.io/x:1", &image).unwrap_err();
    assert!(error.to_string().contains(layer.digest.as_str()), "{error}");
}

#[test]
fn what_is_not_what_its_digest_says_is_found_when_it_is_read_and_when_it_is_checked() {
    let (place, k) = (place("damaged"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let image = put_image(&k, &store, "amd64", "text");
    store.name(&k, "a.io/x:1", &image).unwrap();
    let layer = Descriptor::new(OCI_LAYER, b"text");
    std::fs::write(store.blob_file(&layer.digest), b"tExt").unwrap();
    let error = store.read(&k, &layer).unwrap_err();
    assert!(error.to_string().contains(layer.digest.as_str()), "{error}");
    let problems = store.check(&k).unwrap().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].of, layer.digest.to_string());
    std::fs::write(store.blob_file(&layer.digest), b"longer").unwrap();
    assert!(!store.has(&layer));
    assert!(store.blob(&layer).unwrap_err().diagnosis.as_ref().unwrap().contains("6 bytes"));
}

#[test]
fn what_comes_in_is_taken_up_where_it_was_left_and_refused_when_it_is_another() {
    let (place, k) = (place("ingest"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let what = Descriptor::new(OCI_LAYER, b"hello, world");
    let mut first = store.begin(&k, &what).unwrap();
    first.write_all(b"hello").unwrap();
    assert!(first.finish(&k).is_err());
    let mut second = store.begin(&k, &what).unwrap();
    assert_eq!((second.have(), second.is_there(), second.was_resumed()), (5, false, true));
    second.write_all(b", world").unwrap();
    assert!(second.write_all(b"!").is_err());
    second.finish(&k).unwrap();
    assert!(store.begin(&k, &what).unwrap().is_there());

    let other = Descriptor::new(OCI_LAYER, b"wanted");
    let mut bad = store.begin(&k, &other).unwrap();
    bad.write_all(b"WANTED").unwrap();
    let error = bad.finish(&k).unwrap_err();
    assert!(error.diagnosis.as_ref().unwrap().contains(Digest::of(b"WANTED").as_str()));
    assert!(!store.has(&other));
    assert!(store.unfinished().is_empty());
}

#[test]
fn layers_stay_while_a_container_uses_them() {
    let (place, k) = (place("users"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let (used, unused, state) = (Digest::of(b"a"), Digest::of(b"b"), place.0.join("state"));
    for chain in [&used, &unused] {
        std::fs::create_dir_all(store.layer_dir(chain).join("etc")).unwrap();
    }
    std::fs::create_dir(store.layers().join("tmp-dead")).unwrap();
    std::fs::create_dir(&state).unwrap();
    store.use_layers(&k, &state, std::slice::from_ref(&used)).unwrap();
    let pruned = store.prune(&k).unwrap();
    assert_eq!((pruned.layers, pruned.unfinished), (1, 1));
    assert!(store.layer_dir(&used).is_dir() && !store.layer_dir(&unused).exists());
    std::fs::remove_dir(&state).unwrap();
    assert_eq!(store.prune(&k).unwrap().layers, 1);
    assert!(!store.user_file(&state).exists());
}

#[test]
fn what_is_named_and_is_no_image_hides_what_belongs_to_it() {
    let (place, k) = (place("odd"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let odd = Descriptor::new("application/vnd.oci.imaje.index.v1+json", b"{}");
    for (what, bytes) in [(&odd, &b"{}"[..]), (&Descriptor::new(OCI_LAYER, b"layer"), b"layer")] {
        let mut incoming = store.begin(&k, what).unwrap();
        incoming.write_all(bytes).unwrap();
        incoming.finish(&k).unwrap();
    }
    let named = serde_json::json!({ "schemaVersion": 2, "manifests": [odd] });
    std::fs::write(place.0.join("index.json"), named.to_string()).unwrap();
    assert!(store.listed(&odd).unwrap().lacks[0].contains("which is no image"));
    assert_eq!(store.check(&k).unwrap().problems.len(), 1);
    assert!(store.prune(&k).is_err());
    assert!(store.has(&odd));
}

/// Blobs whose names cannot be read are not said to have none: what is said of those is to take them away.
#[test]
fn names_that_cannot_be_read_make_no_blob_nameless() {
    let (place, k) = (place("unreadable"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    let layer = Descriptor::new(OCI_LAYER, b"layer");
    let mut incoming = store.begin(&k, &layer).unwrap();
    incoming.write_all(b"layer").unwrap();
    incoming.finish(&k).unwrap();
    assert_eq!(store.check(&k).unwrap().unnamed, std::slice::from_ref(&layer.digest));
    std::fs::write(place.0.join("index.json"), "[").unwrap();
    let report = store.check(&k).unwrap();
    assert_eq!((report.blobs, report.problems.len(), report.unnamed.len()), (1, 1, 0));
    for refused in [store.remove(&k, "app:1").unwrap_err(), store.images().unwrap_err()] {
        assert!(refused.remedy.as_ref().unwrap().contains("do not prune"), "{refused}");
    }
    assert!(store.prune(&k).is_err() && store.has(&layer));
}

#[test]
fn whoever_takes_something_away_learns_that_it_will_wait() {
    let (place, k) = (place("busy"), kernel());
    let store = Store::open(&k, &place.0).unwrap();
    assert!(!store.is_added_to(&k).unwrap());
    let hold = store.hold(&k).unwrap();
    assert!(store.is_added_to(&k).unwrap());
    drop(hold);
    assert!(!store.is_added_to(&k).unwrap());
}

#[test]
fn a_folder_with_something_else_in_it_is_no_store() {
    let (place, k) = (place("foreign"), kernel());
    std::fs::create_dir(&place.0).unwrap();
    std::fs::write(place.0.join("thesis.tex"), "").unwrap();
    assert!(Store::open(&k, &place.0).is_err());
    assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), 1);
}

#[test]
fn a_chain_id_is_made_of_what_is_below() {
    let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
    let chain = chain_ids(&[a.clone(), b.clone()]);
    assert_eq!(chain, [a.clone(), Digest::of(format!("{a} {b}").as_bytes())]);
}
