//! `oci:DIR` and `oci-archive:FILE`: an OCI image layout, as a folder or as an archive of one.
//!
//! image-spec, image-layout.md. `index.json` lists what is in it, each perhaps with a name; blobs lie where
//! their digest says. skopeo, umoci, buildah and `docker save` since version 25 write it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::{Source, checked, spool};
use crate::error::{Error, Named, Result};
use crate::image::document::{Descriptor, Index, LARGEST};
use crate::image::store::{self, check_layout};
use crate::sys::Kernel;

/// A layout, and what was asked for in it.
#[derive(Debug)]
pub struct Layout {
    files: Files,
    top: Descriptor,
    /// As it was written: `oci:/x:v1`.
    name: String,
    kept: String,
}

/// Where its files are.
#[derive(Debug)]
enum Files {
    Folder(PathBuf),
    Archive(Archive),
}

impl Files {
    fn whole(&self, name: &str) -> Result<Vec<u8>> {
        match self {
            Files::Archive(archive) => archive.whole(name, LARGEST),
            Files::Folder(dir) => {
                let path = dir.join(name);
                let mut bytes = vec![];
                spool::open(&path)?.take(LARGEST + 1).read_to_end(&mut bytes).named(&path)?;
                match bytes.len() as u64 > LARGEST {
                    true => Err(Error::yours(format!("{name}: more than {LARGEST} bytes"))),
                    false => Ok(bytes),
                }
            }
        }
    }
}

impl Layout {
    pub fn folder(dir: &Path, tag: Option<&str>) -> Result<Layout> {
        Layout::of(Files::Folder(dir.to_owned()), "oci", dir, tag)
    }

    pub fn archive(k: &Kernel, file: &Path, tag: Option<&str>, ingest: &Path) -> Result<Layout> {
        let archive = Archive::open(k, file, ingest)?;
        Layout::of(Files::Archive(archive), "oci-archive", file, tag)
    }

    fn of(files: Files, word: &str, path: &Path, tag: Option<&str>) -> Result<Layout> {
        let place = format!("{word}:{}", path.display());
        let at = |e: Error| e.at(&*place);
        let layout = files.whole("oci-layout").map_err(|e| {
            at(e).because("an OCI image layout has a file of that name").try_this(match word {
                "oci" => "oci:DIR, with the folder that skopeo or umoci has written",
                _ => "docker-archive:FILE, if `docker save` or `podman save` has written it",
            })
        })?;
        check_layout(&String::from_utf8_lossy(&layout)).map_err(|e| at(e.at("oci-layout")))?;
        let index = Index::parse(&files.whole("index.json").map_err(at)?).map_err(at)?;
        let mut top = chosen(index, tag).map_err(|e| {
            let example = format!("learnc pull {}:NAME", crate::args::plain(&place));
            at(e).try_this(example)
        })?;
        let tag = tag.map(str::to_owned).or(top.ref_name().map(str::to_owned));
        let kept = super::kept_name(path, tag.as_deref());
        let name = tag.map_or(place.clone(), |tag| format!("{place}:{tag}"));
        // Names are given by whoever keeps it.
        top.annotations = None;
        Ok(Layout { files, top, name, kept })
    }
}

/// Of what is in an index, that which was asked for: by name or digest, or the only one.
fn chosen(index: Index, tag: Option<&str>) -> Result<Descriptor> {
    let names: Vec<String> = index
        .manifests
        .iter()
        .map(|entry| entry.ref_name().unwrap_or(entry.digest.as_str()).to_owned())
        .collect();
    let list = || match names.is_empty() {
        true => "there is nothing in it".to_owned(),
        false => format!("there is {}", names.join(", ")),
    };
    let is_meant = |entry: &Descriptor| {
        tag.is_none_or(|tag| entry.ref_name() == Some(tag) || entry.digest.as_str() == tag)
    };
    let mut meant: Vec<Descriptor> = index.manifests.into_iter().filter(is_meant).collect();
    meant.dedup_by(|a, b| a.digest == b.digest);
    match (meant.len(), tag) {
        (1, _) => Ok(meant.remove(0)),
        (0, Some(tag)) => {
            Err(Error::yours(format!("no image has the name {tag:?}")).because(list()))
        }
        (0, None) => Err(Error::yours("no image is in it")),
        (several, None) => {
            Err(Error::yours(format!("{several} images are in it, and none is named"))
                .because(list()))
        }
        (several, Some(tag)) => {
            Err(Error::yours(format!("{several} images have the name {tag:?}")))
        }
    }
}

impl Source for Layout {
    fn top(&self, k: &Kernel) -> Result<(Descriptor, Vec<u8>)> {
        Ok((self.top.clone(), self.document(k, &self.top)?))
    }

    fn document(&self, k: &Kernel, what: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.files.whole(&path_of(what)).map_err(|e| e.at(&*self.name))?;
        checked(k, what, bytes).map_err(|e| e.at(&*self.name))
    }

    fn blob(&self, _: &Kernel, what: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let at = |e: Error| e.at(&*self.name);
        let wrong = |size: u64| {
            let text = format!("{} {}: {size} bytes", store::word(what), what.digest);
            at(Error::yours(text).because(format!("{} are said of it", what.size)))
        };
        match &self.files {
            Files::Archive(archive) => {
                let (start, size) = archive.find(&path_of(what)).map_err(at)?;
                if size != what.size || offset > size {
                    return Err(wrong(size));
                }
                Ok(Box::new(archive.read(start + offset, size - offset)))
            }
            Files::Folder(dir) => {
                let path = dir.join(path_of(what));
                let mut file = spool::open(&path).map_err(at)?;
                let size = file.metadata().named(&path)?.len();
                if size != what.size || offset > size {
                    return Err(wrong(size));
                }
                file.seek(SeekFrom::Start(offset)).named(&path)?;
                Ok(Box::new(file))
            }
        }
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn kept_name(&self) -> String {
        self.kept.clone()
    }
}

fn path_of(what: &Descriptor) -> String {
    format!("blobs/{}/{}", what.digest.algorithm().name(), what.digest.hex())
}
