//! The documents of an image: index, manifest, config.
//!
//! OCI image-spec; docker's image manifest version 2, schema 2, which says the same under other media
//! types. The bytes are what counts, since their digest is their name: they are kept as they came, and
//! these values are only what learnc reads in them. Unknown fields are ignored, as the specification asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::digest::Digest;
use crate::error::{Error, Result};

/// No honest document is larger, in bytes: distribution-spec lets registries refuse manifests above 4 MiB.
pub const LARGEST: u64 = 4 << 20;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What `org.opencontainers.image.ref.name` in an index says: the name by which a manifest is found.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A pointer to something else: image-spec, descriptor.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The machine that an image is made for, in Go's words: `amd64`, `linux`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// How a layer's archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Descriptor {
    pub fn new(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
        }
    }

    pub fn is_index(&self) -> bool {
        [OCI_INDEX, DOCKER_LIST].contains(&&*self.media_type)
    }

    pub fn is_manifest(&self) -> bool {
        [OCI_MANIFEST, DOCKER_MANIFEST].contains(&&*self.media_type)
    }

    /// The name that an index gives it.
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REF_NAME).map(String::as_str)
    }

    /// What the media type of a layer says of its compression. What is no layer is an error: a manifest
    /// may point at anything (a signature, a chart), and only archives are unpacked.
    pub fn compression(&self) -> Result<Compression> {
        let types = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        let rest = types.iter().find_map(|known| self.media_type.strip_prefix(known));
        match rest {
            Some("") => Ok(Compression::None),
            Some("+gzip" | ".gzip") => Ok(Compression::Gzip),
            Some("+zstd" | ".zstd") => Ok(Compression::Zstd),
            _ => Err(Error::yours(format!("layer {}: unknown media type", self.digest.short()))
                .because(format!("{:?} is no tar archive of a layer", self.media_type))),
        }
    }
}

/// One name, several platforms: image-spec, image-index.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// One platform's image: image-spec, manifest.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub config: Descriptor,
    /// The lowest first.
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What is said of an image, and how its program is meant to run: image-spec, config.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub platform: Platform,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default)]
    pub config: Option<Wishes>,
    pub rootfs: RootFs,
    #[serde(default)]
    pub history: Vec<History>,
}

/// The part of a config that a run heeds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Wishes {
    pub user: String,
    pub exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    pub env: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
    pub working_dir: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub stop_signal: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the layers' archives before compression, the lowest first.
    pub diff_ids: Vec<Digest>,
}

/// How a layer came about, as its maker tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    pub created: Option<String>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
    /// It made no layer.
    pub empty_layer: bool,
}

impl Index {
    pub fn parse(bytes: &[u8]) -> Result<Index> {
        let index: Index = parse(bytes, "index")?;
        let said = index.media_type.as_deref().unwrap_or(OCI_INDEX);
        // A document with both `layers` and `manifests` can be read as either by who trusts its looks:
        // CVE-2021-41190. So what it says it is must be what it is asked to be.
        agrees(said, &[OCI_INDEX, DOCKER_LIST], "index", index.schema_version)?;
        without(bytes, &["layers", "config"], "index")?;
        Ok(index)
    }
}

impl Manifest {
    pub fn parse(bytes: &[u8]) -> Result<Manifest> {
        let manifest: Manifest = parse(bytes, "manifest")?;
        let said = manifest.media_type.as_deref().unwrap_or(OCI_MANIFEST);
        agrees(said, &[OCI_MANIFEST, DOCKER_MANIFEST], "manifest", manifest.schema_version)?;
        without(bytes, &["manifests"], "manifest")?;
        Ok(manifest)
    }
}

impl Config {
    /// Parses a config, and holds its diff_ids against the manifest's layers, one for one.
    pub fn parse(bytes: &[u8], manifest: &Manifest) -> Result<Config> {
        let config: Config = parse(bytes, "config")?;
        let (ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if ids != layers {
            let text = format!("config: {ids} diff_ids for a manifest with {layers} layers");
            return Err(Error::yours(text));
        }
        Ok(config)
    }
}

impl Wishes {
    /// The image's own command line, as docker puts it together.
    pub fn command(&self) -> Vec<String> {
        let parts = [&self.entrypoint, &self.cmd];
        parts.into_iter().flatten().flatten().cloned().collect()
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    if bytes.len() as u64 > LARGEST {
        let text = format!("{what}: {} bytes, more than {LARGEST}", bytes.len());
        return Err(Error::yours(text));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let path = e.path().to_string();
        let error = Error::yours(e.into_inner().to_string());
        if path == "." { error.at(what) } else { error.at(path).at(what) }
    })?;
    reader.end().map_err(|e| Error::from(e).at(what))?;
    Ok(value)
}

fn agrees(said: &str, asked: &[&str], what: &str, version: u32) -> Result<()> {
    if !asked.contains(&said) {
        return Err(Error::yours(format!("{what}: says that it is {said:?}")));
    }
    match version {
        2 => Ok(()),
        1 => Err(Error::yours(format!("{what}: schemaVersion 1"))
            .because("docker gave that form up; it cannot be checked by digest")
            .try_this("docker pull and docker push with a current docker write version 2")),
        other => Err(Error::yours(format!("{what}: schemaVersion {other}, and 2 is known"))),
    }
}

fn without(bytes: &[u8], fields: &[&str], what: &str) -> Result<()> {
    let value: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(bytes)?;
    match fields.iter().find(|field| value.contains_key(**field)) {
        Some(field) => Err(Error::yours(format!("{what}: has {field:?} too"))
            .because("it could be read as something else than it is")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pointer(media_type: &str) -> serde_json::Value {
        serde_json::to_value(Descriptor::new(media_type, b"x")).unwrap()
    }

    #[test]
    fn a_manifest_is_read_and_an_error_says_where() {
        let mut value = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": pointer(OCI_CONFIG),
            "layers": [pointer(OCI_LAYER)], "artifactType": "ignored",
        });
        let manifest = Manifest::parse(value.to_string().as_bytes()).unwrap();
        assert_eq!(manifest.layers[0].compression().unwrap(), Compression::None);
        value["layers"][0]["size"] = (-1).into();
        let error = Manifest::parse(value.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("manifest: layers[0].size"), "{error}");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let both = serde_json::json!({
            "schemaVersion": 2, "config": pointer(OCI_CONFIG), "layers": [], "manifests": [],
        });
        assert!(Manifest::parse(both.to_string().as_bytes()).is_err());
        assert!(Index::parse(both.to_string().as_bytes()).is_err());
        let lies = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "config": pointer(OCI_CONFIG), "layers": [],
        });
        assert!(Manifest::parse(lies.to_string().as_bytes()).is_err());
    }

    #[test]
    fn compression_is_what_the_media_type_says() {
        let layer = |media_type: &str| Descriptor::new(media_type, b"").compression();
        assert_eq!(
            layer("application/vnd.oci.image.layer.v1.tar+zstd").unwrap(),
            Compression::Zstd
        );
        let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(layer(docker).unwrap(), Compression::Gzip);
        assert!(layer("application/vnd.oci.image.layer.v1.tar+xz").is_err());
        assert!(layer("text/plain").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Index::parse(&bytes);
            let _ = Manifest::parse(&bytes);
        }
    }
}
