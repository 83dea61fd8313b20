//! Images made by code: what a test needs of a registry, a layout or an archive, byte for byte its own.
//!
//! ```no_run
//! use support::images::*;
//!
//! let place = folder();                    // a folder of one's own, which goes with the value
//! let image = image()
//!     .layer(layer([dir("bin"), file("bin/sh", busybox()).mode(0o755)]).gzip())
//!     .layer(layer([whiteout("etc/motd"), opaque("var"), hard("bin/ash", "bin/sh")]).zstd())
//!     .set("/config/Cmd", json!(["/bin/sh"]));                // any field of the config
//! let made = image.made();                 // or `several([image, other])`: an index of platforms
//! made.layout(&place.join("x"), "v1");    // an OCI image layout; a second call adds another name
//! made.oci_archive(&file, "v1");           // the same as a tar archive
//! made.docker_archive(&file, &["app:1"]);  // as docker save writes it
//! made.top;                                // the descriptor, as JSON: mediaType, digest, size
//! made.blobs;                              // digest ("sha256:..") to bytes: for a registry of one's own
//! ```
//!
//! Entries and layers are those of [`super::archives`]; nothing is checked. `layer_of(bytes)` takes an archive
//! that is none, `Layer::lie_about_diff_id` makes the config name another digest than the layer's, and
//! `Made::blobs` can be changed before it is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use learnc::image::digest::Digest;
use serde_json::{Value, json};

pub use super::archives::*;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A folder of a test's own, which goes with the value.
pub struct Folder(pub PathBuf);

pub fn folder() -> Folder {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("learnc-images-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    Folder(path)
}

impl Folder {
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image in the making: see the story above.
#[derive(Debug, Clone)]
pub struct Image {
    layers: Vec<Layer>,
    config: Value,
}

/// An image for this machine, without a layer.
pub fn image() -> Image {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "created": "2024-05-06T07:08:09Z", "architecture": architecture, "os": "linux",
        "config": {}, "rootfs": { "type": "layers", "diff_ids": [] }, "history": [],
    });
    Image { layers: vec![], config }
}

impl Image {
    /// On top of those that are there.
    pub fn layer(mut self, layer: Layer) -> Image {
        self.layers.push(layer);
        self
    }

    /// A field of the config, by its JSON pointer, whose parent is there.
    pub fn set(mut self, pointer: &str, value: Value) -> Image {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.config.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    pub fn made(&self) -> Made {
        let (mut blobs, mut config) = (BTreeMap::new(), self.config.clone());
        let mut layers = vec![];
        for layer in &self.layers {
            layers.push(add(&mut blobs, &layer.media_type, &layer.stored));
            config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(layer.diff_id));
        }
        let config = add(&mut blobs, CONFIG, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let top = add(&mut blobs, MANIFEST, manifest.to_string().as_bytes());
        Made { top, blobs }
    }
}

/// An index of images, each with its config's platform.
pub fn several(images: impl IntoIterator<Item = Image>) -> Made {
    let (mut blobs, mut manifests) = (BTreeMap::new(), vec![]);
    for image in images {
        let mut made = image.made();
        let mut platform = json!({
            "architecture": image.config["architecture"], "os": image.config["os"],
        });
        if let Some(variant) = image.config.get("variant") {
            platform["variant"] = variant.clone();
        }
        made.top["platform"] = platform;
        manifests.push(made.top);
        blobs.extend(made.blobs);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let top = add(&mut blobs, INDEX, index.to_string().as_bytes());
    Made { top, blobs }
}

fn add(blobs: &mut BTreeMap<String, Vec<u8>>, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes).to_string();
    blobs.insert(digest.clone(), bytes.to_vec());
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// An image, or an index of several, with all that it points at.
#[derive(Debug, Clone)]
pub struct Made {
    /// Descriptor of the manifest or the index.
    pub top: Value,
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl Made {
    pub fn digest(&self) -> &str {
        self.top["digest"].as_str().unwrap()
    }

    /// A document that a descriptor points at.
    pub fn document(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&self.blobs[descriptor["digest"].as_str().unwrap()]).unwrap()
    }

    /// Puts it into an OCI image layout, which is made if it is not there.
    pub fn layout(&self, dir: &Path, tag: &str) {
        for (name, bytes) in self.files(dir, tag) {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Writes a layout as an archive.
    pub fn oci_archive(&self, path: &Path, tag: &str) {
        let files = self.files(Path::new("/nothing"), tag);
        let entries: Vec<Entry> = files.iter().map(|(name, bytes)| file(name, bytes)).collect();
        std::fs::write(path, archive(&entries)).unwrap();
    }

    /// The files of a layout: with the names that `dir` has already.
    fn files(&self, dir: &Path, tag: &str) -> Vec<(String, Vec<u8>)> {
        let mut top = self.top.clone();
        top["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let mut manifests = match std::fs::read(dir.join("index.json")) {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).unwrap()["manifests"].take(),
            Err(_) => json!([]),
        };
        manifests.as_array_mut().unwrap().push(top);
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        let mut files = vec![("oci-layout".to_owned(), layout)];
        files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        for (digest, bytes) in &self.blobs {
            files.push((format!("blobs/{}", digest.replace(':', "/")), bytes.clone()));
        }
        files
    }

    /// Writes the one image as `docker save` does: layers not compressed, under names of their own.
    pub fn docker_archive(&self, path: &Path, names: &[&str]) {
        std::fs::write(path, archive(&self.docker_entries(names))).unwrap();
    }

    /// What `docker save` would put into its archive, to be changed by a test.
    pub fn docker_entries(&self, names: &[&str]) -> Vec<Entry> {
        let manifest = self.document(&self.top);
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config_name = format!("{}.json", &config[7..]);
        let mut entries = vec![file(&config_name, &self.blobs[config])];
        let mut layers = vec![];
        for (number, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
            let stored = &self.blobs[layer["digest"].as_str().unwrap()];
            let name = format!("{number:064x}/layer.tar");
            let media_type = layer["mediaType"].as_str().unwrap();
            entries.push(file(&name, inflated(media_type, stored)));
            layers.push(name);
        }
        let list = json!([{ "Config": config_name, "RepoTags": names, "Layers": layers }]);
        entries.push(file("manifest.json", list.to_string().as_bytes()));
        entries
    }
}

/// Where the layers of a store are that this user has unpacked: those with owners of their own, if there are any.
pub fn layer_set(store: &Path) -> PathBuf {
    let layers = store.join("layers");
    let entries = std::fs::read_dir(&layers).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    let is_of_ids =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("ids-");
    paths.find(is_of_ids).unwrap_or(layers)
}

/// The unpacked layers of a store.
pub fn unpacked_layers(store: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(layer_set(store).join("sha256")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}
