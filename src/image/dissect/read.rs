//! Reading an image of the store for [`dissect`](super::dissect): every document and every layer is held
//! against its digest on the way, and nothing is unpacked.

use super::{Dissection, Kind, Read, ReadLayer, dissect};
use crate::error::{Error, Result};
use crate::image::document::{Index, Platform};
use crate::image::layer::list::{Listed, What, list};
use crate::image::layer::{Limits, tar, tell_checked};
use crate::image::store::{Image, Store};
use crate::sys::{Kernel, stop};

/// Takes the image of this name apart, for one platform.
pub fn read(k: &Kernel, store: &Store, name: &str, wish: &Platform) -> Result<Dissection> {
    let Some(top) = store.find(name)? else {
        return Err(Error::yours(format!("there is no image {name}"))
            .because(format!("{} has none of that name", store.dir().display()))
            .try_this("learnc images lists what there is, learnc pull brings more"));
    };
    let image = store.image(k, &top, wish)?;
    let index = match top.is_index() {
        true => Some((&top, Index::parse(&store.read(k, &top)?)?)),
        false => None,
    };
    let diff_ids = &image.config.rootfs.diff_ids;
    let layers =
        (0..diff_ids.len()).map(|i| layer(k, store, &image, i)).collect::<Result<Vec<_>>>();
    let index = index.as_ref().map(|(top, index)| (*top, index));
    let manifest = (&image.descriptor, &image.manifest);
    Ok(dissect(name, index, manifest, &image.config, &layers?))
}

fn layer(k: &Kernel, store: &Store, image: &Image, i: usize) -> Result<ReadLayer> {
    let (descriptor, diff_id) = (&image.manifest.layers[i], &image.config.rootfs.diff_ids[i]);
    let mut entries = Vec::new();
    let mut file = store.blob(descriptor)?;
    let sums = list(&mut file, descriptor, diff_id, &Limits::default(), &mut |entry| {
        stop::go_on()?;
        entries.push(simply(entry));
        Ok(())
    })
    .map_err(|e| store.or_mended(std::slice::from_ref(descriptor), e))?;
    tell_checked(k, descriptor, diff_id, &sums);
    Ok(ReadLayer { archive_size: sums.archive.1, entries })
}

fn simply(entry: Listed) -> Read {
    let path = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned().into());
    let (kind, link) = match &entry.what {
        What::Gone => (Kind::Whiteout, None),
        What::Emptied => (Kind::Opaque, None),
        What::Made(tar::Kind::File) => (Kind::File, None),
        What::Made(tar::Kind::Directory) => (Kind::Directory, None),
        What::Made(tar::Kind::SymLink(target)) => (Kind::Link, path(target)),
        What::Made(tar::Kind::HardLink(target)) => (Kind::HardLink, path(target)),
        What::Made(_) => (Kind::Special, None),
    };
    Read {
        path: entry.path,
        kind,
        mode: entry.mode,
        uid: entry.uid.into(),
        gid: entry.gid.into(),
        size: entry.size,
        link,
    }
}
