//! `docker-archive:FILE`: what `docker save` and `podman save` write.
//!
//! ```text
//!   manifest.json      [{ "Config": "<file>", "RepoTags": ["app:1"], "Layers": ["<file>", ..] }]
//!   <config>           an image's config, whose rootfs.diff_ids name the layers' archives
//!   <layer>            an archive; some writers compress it, and old ones link one to another
//! ```
//!
//! It has no manifest of a registry's kind, so one is made: an OCI manifest of the same config and layers.
//! A layer that is not compressed is called by its diff_id, which then is its digest, and is held against it
//! where it is kept. One that is compressed is read twice: once for its digest, and its archive's.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::Source;
use super::archive::Archive;
use crate::error::{Error, Result};
use crate::image::digest::{Algorithm, Digest, Sum};
use crate::image::document::{
    Config, Descriptor, LARGEST, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::image::names::Name;
use crate::sys::{Kernel, stop};

/// An entry of manifest.json.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Saved {
    fn tags(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        let full = |name: &str| Name::parse(name).map(|name| name.to_string()).ok();
        self.tags()
            .iter()
            .any(|tag| tag == name || full(tag).is_some_and(|tag| Some(tag) == full(name)))
    }
}

/// An archive, and the image in it that was asked for.
#[derive(Debug)]
pub struct Docker {
    archive: Archive,
    top: (Descriptor, Vec<u8>),
    /// Where the bytes of config and layers are in the archive.
    places: BTreeMap<Digest, (u64, u64)>,
    name: String,
    kept: String,
}

impl Docker {
    pub fn open(k: &Kernel, file: &Path, name: Option<&str>, ingest: &Path) -> Result<Docker> {
        let place = format!("docker-archive:{}", file.display());
        let archive = Archive::open(k, file, ingest)?;
        let opened = Docker::of(archive, file, name);
        opened.map_err(|e| e.at(&*place)).map(|docker| Docker { name: place, ..docker })
    }

    fn of(archive: Archive, file: &Path, name: Option<&str>) -> Result<Docker> {
        if !archive.has("manifest.json") && archive.has("oci-layout") {
            return Err(Error::yours("it has no manifest.json, but is an OCI image layout")
                .try_this(format!("oci-archive:{}", crate::args::shell(file))));
        }
        let list: Vec<Saved> = serde_json::from_slice(&archive.whole("manifest.json", LARGEST)?)
            .map_err(|e| Error::from(e).at("manifest.json"))?;
        let saved = chosen(list, name)?;
        let bytes = archive.whole(&saved.config, LARGEST)?;
        let config = Descriptor::new(OCI_CONFIG, &bytes);
        let mut places = BTreeMap::from([(config.digest.clone(), archive.find(&saved.config)?)]);
        let mut manifest = Manifest {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            config,
            layers: vec![],
            annotations: None,
        };
        let ids = diff_ids(&bytes)?;
        if ids.len() != saved.layers.len() {
            let text = format!("{} layers, and {} diff_ids", saved.layers.len(), ids.len());
            return Err(Error::yours(text).at(saved.config));
        }
        for (layer, id) in saved.layers.iter().zip(ids) {
            let what = descriptor(&archive, layer, &id).map_err(|e| e.at(&**layer))?;
            places.insert(what.digest.clone(), archive.find(layer)?);
            manifest.layers.push(what);
        }
        Config::parse(&bytes, &manifest)?;
        let bytes = serde_json::to_vec(&manifest)?;
        let top = (Descriptor::new(OCI_MANIFEST, &bytes), bytes);
        let kept = super::kept_name(file, name.or(saved.tags().first().map(String::as_str)));
        Ok(Docker { archive, top, places, name: String::new(), kept })
    }
}

fn chosen(list: Vec<Saved>, name: Option<&str>) -> Result<Saved> {
    let names: Vec<String> = list.iter().flat_map(|saved| saved.tags().to_vec()).collect();
    let there = || format!("there is {}", names.join(", "));
    let count = list.len();
    let mut meant = list.into_iter().filter(|saved| name.is_none_or(|name| saved.is(name)));
    match (meant.next(), meant.next(), name) {
        (Some(saved), None, _) => Ok(saved),
        (None, _, Some(name)) => Err(Error::yours(format!("no image has the name {name:?}"))
            .because(there())
            .try_this("docker-archive:FILE:NAME")),
        (None, _, None) => Err(Error::yours("no image is in it")),
        (Some(_), Some(_), Some(name)) => {
            Err(Error::yours(format!("several images have the name {name:?}")))
        }
        (Some(_), Some(_), None) => {
            Err(Error::yours(format!("{count} images are in it, and none is named"))
                .because(there())
                .try_this("docker-archive:FILE:NAME"))
        }
    }
}

fn diff_ids(config: &[u8]) -> Result<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Whole {
        rootfs: crate::image::document::RootFs,
    }
    let whole: Whole = serde_json::from_slice(config).map_err(|e| Error::from(e).at("config"))?;
    Ok(whole.rootfs.diff_ids)
}

/// A layer as a manifest points at it.
fn descriptor(archive: &Archive, layer: &str, id: &Digest) -> Result<Descriptor> {
    let (at, size) = archive.find(layer)?;
    let mut head = [0; 6];
    let count = archive.read(at, size.min(6)).read(&mut head)?;
    let said = |ending: &str, digest: Digest| {
        let mut what = Descriptor::new(&format!("{OCI_LAYER}{ending}"), b"");
        (what.digest, what.size) = (digest, size);
        what
    };
    let compressed_sum = || sum(&mut archive.read(at, size));
    match &head[..count] {
        [0x1f, 0x8b, ..] => {
            let found = sum(&mut flate2::read::MultiGzDecoder::new(archive.read(at, size)))?;
            if found != *id {
                let text = format!("its archive has {found}, and the config says {id}");
                return Err(Error::yours("this layer is not the config's").because(text));
            }
            Ok(said("+gzip", compressed_sum()?))
        }
        // What is in it is held against the diff_id when it is unpacked.
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(said("+zstd", compressed_sum()?)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] | [b'B', b'Z', b'h', ..] => {
            Err(Error::yours("a layer compressed with neither gzip nor zstd"))
        }
        _ => Ok(said("", id.clone())),
    }
}

fn sum(from: &mut dyn Read) -> Result<Digest> {
    let (mut sum, mut buffer) = (Sum::new(Algorithm::Sha256), vec![0; 256 * 1024]);
    loop {
        stop::go_on()?;
        match from.read(&mut buffer)? {
            0 => return Ok(sum.finish()),
            count => sum.update(&buffer[..count]),
        }
    }
}

impl Source for Docker {
    fn top(&self, _: &Kernel) -> Result<(Descriptor, Vec<u8>)> {
        Ok(self.top.clone())
    }

    fn document(&self, _: &Kernel, what: &Descriptor) -> Result<Vec<u8>> {
        Err(Error::yours(format!("{} has no document {}", self.name, what.digest)))
    }

    fn blob(&self, _: &Kernel, what: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        match self.places.get(&what.digest) {
            Some((at, size)) if *size == what.size && offset <= *size => {
                Ok(Box::new(self.archive.read(at + offset, size - offset)))
            }
            _ => Err(Error::yours(format!("{} has no blob {}", self.name, what.digest))),
        }
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn kept_name(&self) -> String {
        self.kept.clone()
    }
}
