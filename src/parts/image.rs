//! An image, in the small: a tree is packed as one, read back, doubted, and unpacked.
//!
//! image-spec. What a registry would send is made in the folder of the run: a layer, and documents that name each
//! other by digest. Then it is taken as if it came from a stranger, by the code that takes images from
//! strangers. The steps are the stage `image`'s; who runs an image has them behind `pull`.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::step::{Step, config, needed};
use crate::error::{Error, Result};
use crate::image::document::Platform;
use crate::image::layer::{self, How};
use crate::image::pack::pack;
use crate::image::store::{Image as Stored, Store};
use crate::sys::{At, Kernel, Mkdirat, Openat, copy};

/// What one step does, in the folder of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub folder: PathBuf,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Makes an image of the tree.
    Pack,
    /// Reads the documents from the name down, each against its digest.
    Check,
    /// Reads the layer with one byte changed, which must be refused.
    Doubt,
    /// Unpacks the layer into this folder.
    Unpack(PathBuf),
    Give {
        root: PathBuf,
        uid: u32,
        gid: u32,
    },
}

/// The tree that is packed, the image, and what a refused layer leaves.
pub const TREE: &str = "tree";
const IMAGE: &str = "image";
const DOUBTED: &str = "doubted";
const NAME: &str = "box:latest";

/// Which byte is changed: in the header of gzip, where the date stands. Programs that inflate do not care.
const BYTE: u64 = 4;

/// The steps between the tree and the root filesystem.
pub fn steps(root: &Path, owner: Option<(u32, u32)>) -> Vec<Step<Image>> {
    let folder = root.parent().unwrap_or(root).to_owned();
    let step = |key, asked, what| {
        let folder = folder.clone();
        Step::runtime(key, asked, Image { folder, what })
    };
    let asked = || config("root.path");
    let mut steps = vec![
        step("image_pack", asked(), What::Pack),
        step("image_check", needed("whoever takes files from a stranger"), What::Check),
        step("image_doubt", needed("a lesson, which believes nothing untried"), What::Doubt),
        step("image_unpack", asked(), What::Unpack(root.to_owned())),
    ];
    if let Some((uid, gid)) = owner {
        let what = What::Give { root: root.to_owned(), uid, gid };
        let step = step("root_owner", config("linux.uidMappings"), what);
        steps.push(step.about(uid.to_string()));
    }
    steps
}

/// Performs one step.
pub fn perform(k: &Kernel, image: &Image) -> Result<()> {
    let folder = &image.folder;
    match &image.what {
        What::Pack => {
            let packed = pack(k, &folder.join(TREE), &folder.join(IMAGE), NAME, &["sh"])?;
            let (size, layer, archive) = (packed.layer.size, &packed.layer.digest, &packed.diff_id);
            k.note(|| format!("layer: {size} bytes, {layer}"));
            k.note(|| format!("its archive before compression, the diff_id: {archive}"));
            Ok(())
        }
        What::Check if k.pretends() => Ok(()),
        What::Check => stored(k, folder).map(drop),
        What::Doubt => doubt(k, folder),
        What::Unpack(root) if k.pretends() => {
            k.call(Mkdirat { dir: At::CWD, path: root, mode: 0o755 })
        }
        What::Unpack(root) => {
            let silent = k.in_manner(crate::sys::Manner::Silent, crate::event::Lane::Runtime);
            let (store, image) = stored(&silent, folder)?;
            layer::unpack_image(k, &store, &image, root, &How::applied())?.tell(k);
            Ok(())
        }
        What::Give { root, uid, gid } => k.bulk(root, |k| copy::give_tree(k, root, *uid, *gid)),
    }
}

fn stored(k: &Kernel, folder: &Path) -> Result<(Store, Stored)> {
    let there = Store::look(&folder.join(IMAGE))?;
    let store = there.ok_or_else(|| Error::yours("the image is gone again"))?;
    let top = store.find(NAME)?.ok_or_else(|| Error::yours("the image has lost its name"))?;
    let image = store.image(k, &top, &Platform::here())?;
    Ok((store, image))
}

/// The layer as it would come over a bad line. That it is refused is what is expected; anything else is
/// the error.
fn doubt(k: &Kernel, folder: &Path) -> Result<()> {
    let place = folder.join(DOUBTED);
    k.call(Mkdirat { dir: At::CWD, path: &place, mode: 0o700 })?;
    if k.pretends() {
        return Ok(());
    }
    let silent = k.in_manner(crate::sys::Manner::Silent, crate::event::Lane::Runtime);
    let (store, image) = stored(&silent, folder)?;
    let layers = image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids);
    for (what, diff_id) in layers {
        let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_NOFOLLOW;
        let dir = k.call(Openat { dir: At::CWD, path: &place, flags, mode: 0 })?;
        let mut flipped = Flipped { from: store.blob(what)?, at: 0 };
        match layer::receive(k, &mut flipped, what, diff_id, &dir, &How::applied()) {
            Err(e) if e.errno().is_none() => {
                let why = e.diagnosis.clone().unwrap_or_default();
                k.note(|| format!("one bit of byte {BYTE} changed; refused: {e} ({why})"));
            }
            Err(e) => return Err(e),
            Ok(_) => return Err(Error::yours("a changed byte of a layer was not noticed")),
        }
    }
    k.bulk(&place, |k| copy::remove_tree(k, &place).map(drop))
}

/// A blob with one bit changed on its way.
struct Flipped {
    from: std::fs::File,
    at: u64,
}

impl Read for Flipped {
    fn read(&mut self, place: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(place)?;
        let byte = BYTE.checked_sub(self.at).and_then(|n| place[..count].get_mut(n as usize));
        byte.into_iter().for_each(|byte| *byte ^= 1);
        self.at += count as u64;
        Ok(count)
    }
}

/// The commands that do the same: an archive is a layer, and the rest says so.
pub fn by_hand(image: &Image) -> Vec<String> {
    let beside = |name: &str| format!("\"${{ROOT%/*}}\"/{name}");
    match &image.what {
        What::Pack => vec![
            format!(
                "tar --sort=name --numeric-owner -cf {} -C {} .",
                beside("layer.tar"),
                beside(TREE)
            ),
            format!("gzip -n -k {}", beside("layer.tar")),
        ],
        What::Check => {
            let files = [beside("layer.tar"), beside("layer.tar.gz")].join(" ");
            vec![format!("sha256sum {files} > {}", beside("digests"))]
        }
        What::Doubt => vec![
            format!("cp {} {}", beside("layer.tar.gz"), beside("doubted.tar.gz")),
            format!(
                "printf x | dd of={} bs=1 seek={BYTE} conv=notrunc 2>/dev/null",
                beside("doubted.tar.gz")
            ),
            format!("! cmp -s {} {}", beside("layer.tar.gz"), beside("doubted.tar.gz")),
        ],
        What::Unpack(_) => vec![
            format!("sha256sum --check --quiet {}", beside("digests")),
            "mkdir \"$ROOT\"".into(),
            format!("tar -xpzf {} -C \"$ROOT\"", beside("layer.tar.gz")),
        ],
        What::Give { uid, gid, .. } => vec![format!("chown -hR {uid}:{gid} \"$ROOT\"")],
    }
}
