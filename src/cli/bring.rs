//! An image for `learnc run IMAGE`: pulled and unpacked where it is not, and its wishes as a bundle.
//!
//! Without root its files keep their owners where this user has ids for them: then they are unpacked, and if need be
//! looked at, by a child that is root of a user namespace ([`mapped`]).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::from_image::{Found, ImageArgs};
use super::image::{silent, with_room};
use crate::bundle::accounts::{Account, account};
use crate::bundle::{self, Bundle, wishes};
use crate::error::{Error, Result, WayOut};
use crate::event::{Call, Event, Observer};
use crate::facts::Facts;
use crate::image::document::Descriptor;
use crate::image::joined;
use crate::image::layer::{How, as_one_tree, layer_dirs};
use crate::image::names::Place;
use crate::image::pull::{self, pull};
use crate::image::store::{Image, Store};
use crate::plan::Layers;
use crate::rootfs::Recipe;
use crate::sys::idmap::Maps;
use crate::sys::{Kernel, look, mapped};

/// How much of an image's /etc/passwd is read.
const LARGEST: u64 = 4 << 20;

/// An image that is ready to be run.
pub struct Brought {
    pub bundle: Bundle,
    /// None where no directory each can do, and they are copied into one tree.
    pub layers: Option<Layers>,
    pub recipe: Recipe,
    /// Where its program listens, as its maker says.
    pub ports: String,
}

/// What is known of an image once its files are there.
#[derive(Serialize, Deserialize)]
struct Unpacked {
    /// None where no directory each can do.
    dirs: Option<Vec<PathBuf>>,
    account: Account,
    warnings: Vec<String>,
}

impl ImageArgs {
    /// Pulls it if it is not there, unpacks what is missing, and makes its config.
    pub fn bring(
        &self,
        k: &Kernel,
        word: &str,
        found: Option<Found>,
        asked: wishes::Asked,
        (folder, facts): (&Path, &Facts),
    ) -> Result<Brought> {
        let store = self.owners(Store::open(&silent(), &self.store.dir())?, facts);
        let top = match found {
            Some(Found { top, is_whole: true }) => top,
            _ => self.pull(k, word, &store)?,
        };
        let wish = self.access.platform()?;
        let image = store.image(k, &top, &wish)?;
        let other = match (image.is_for(&wish), &self.access.platform) {
            (Err(e), Some(_)) => return Err(e.at(word)),
            (Err(e), None) => Some(format!("{e}.")),
            (Ok(()), _) => None,
        };
        let owners = facts.own_maps();
        let Unpacked { dirs, account, warnings } = match &owners {
            Some(maps) => self.unpacked_with(maps, k, &store, &image, facts),
            None => self.unpacked(k, &store, &image, facts),
        }
        .map_err(|e| store.or_mended(&image.manifest.layers, self.with_room(e, &store)))?;
        let config = wishes::config(&image.config, &account, &asked)?;
        let mut bundle = bundle::from_value(config, folder.to_owned())?;
        bundle.warnings.extend(warnings.into_iter().chain(other));
        let place = store.dir().to_owned();
        let ports = image.config.config.as_ref().map(|w| wishes::ports(w).join(", "));
        Ok(Brought {
            bundle,
            ports: ports.unwrap_or_default(),
            recipe: Recipe::Image {
                store: place.clone(),
                manifest: image.descriptor.clone(),
                owners,
            },
            layers: dirs.map(|dirs| Layers::Image { store: place, chain: image.chain_ids(), dirs }),
        })
    }

    fn with_room(&self, e: Error, store: &Store) -> Error {
        with_room(e, store.dir(), "learnc prune, or --store DIR on a disk with more room")
    }

    /// The store with layers whose files keep their owners, where this user has ids for them.
    pub(super) fn owners(&self, store: Store, facts: &Facts) -> Store {
        facts.own_maps().iter().fold(store, Store::mapped)
    }

    /// The same for whoever has more ids. Where nothing is to be made, it mostly takes no root of them.
    fn unpacked_with(
        &self,
        maps: &Maps,
        k: &Kernel,
        store: &Store,
        image: &Image,
        facts: &Facts,
    ) -> Result<Unpacked> {
        // Nobody takes one away between the two looks.
        let _hold = store.hold(k)?;
        if image.chain_ids().iter().all(|id| look::is_dir(store.layer_dir(id))) {
            match self.unpacked(k, store, image, facts) {
                Err(e) if e.way_out == Some(WayOut::AsOwner) => {}
                answer => return answer,
            }
        }
        mapped::as_root(k, maps, |k| self.unpacked(k, store, image, facts))
    }

    /// Its layers, each in a directory, or what they are as one tree; and whom its files mean.
    fn unpacked(
        &self,
        k: &Kernel,
        store: &Store,
        image: &Image,
        facts: &Facts,
    ) -> Result<Unpacked> {
        let overlay = How::overlay(!facts.is_root() || facts.nested);
        let (dirs, why) = match layer_dirs(k, store, image, &overlay) {
            Err(e) if e.way_out == Some(WayOut::OneTree) => (None, Some(copied(&e))),
            made => {
                let (dirs, tally) = made.map_err(|e| store.or_another(e))?;
                if tally.layers > 0 {
                    tally.tell(k);
                }
                (Some(dirs), None)
            }
        };
        let (account, warning) = match &dirs {
            Some(dirs) => self.account(image, dirs, facts)?,
            None => {
                as_one_tree(k, store, image, |tree| self.account(image, &[tree.to_owned()], facts))?
            }
        };
        Ok(Unpacked { dirs, account, warnings: why.into_iter().chain(warning).collect() })
    }

    fn pull(&self, k: &Kernel, word: &str, store: &Store) -> Result<Descriptor> {
        let source = self.access.source(k, Place::parse(word)?, store)?;
        let (name, wish) = (source.kept_name(), self.access.platform()?);
        let insists = self.access.platform.is_some();
        let options = pull::Options { insists, ..pull::Options::default() };
        pull(k, store, &*source, &name, &wish, &options).map_err(|e| self.with_room(e, store))
    }

    /// Whom the image's files mean. Groups that do not exist in a namespace of one id are left out.
    fn account(
        &self,
        image: &Image,
        dirs: &[PathBuf],
        facts: &Facts,
    ) -> Result<(Account, Option<String>)> {
        let highest: Vec<PathBuf> = dirs.iter().rev().cloned().collect();
        let text = |path: &str| {
            joined::read(&highest, Path::new(path), LARGEST).map(Option::unwrap_or_default)
        };
        let wished = image.config.config.as_ref().map_or("", |wishes| &*wishes.user);
        // An empty one is none, as to docker: a script's variable that is not set makes nobody root.
        let wanted = self.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(wished);
        let mut account = account(wanted, &text("/etc/passwd")?, &text("/etc/group")?)?;
        if facts.is_root() || facts.own_maps().is_some() || account.groups.is_empty() {
            return Ok((account, None));
        }
        account.groups.clear();
        let text = "The user's further groups are left out: only one id is mapped.";
        Ok((account, Some(text.to_owned())))
    }
}

/// Why layers are not joined, said as where the machine is why.
fn copied(e: &Error) -> String {
    let why = e.diagnosis.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("The layers are copied into one tree, not joined: {e}{why}.")
}

/// Hears what is done before there is a plan: its calls belong to no step, and take nothing back.
pub struct Before<'a>(pub &'a dyn Observer);

impl Observer for Before<'_> {
    fn see(&self, event: &Event) {
        match event {
            Event::Call(call) => {
                let call = Call { step: "image_ready".to_owned(), ..call.clone() };
                self.0.see(&Event::Call(call));
            }
            other => self.0.see(other),
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}
