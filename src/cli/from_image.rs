//! What `learnc run IMAGE` brings together: the image, pulled and unpacked where it is not, and its config.
//!
//! The switches are docker's, by name and by letter. What they mean is decided in [`crate::bundle::wishes`]
//! and [`crate::bundle::accounts`]; here is only asked for it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::commands::pull::Access;
use super::image::{StoreArgs, silent};
use crate::bundle::accounts::{Account, account};
use crate::bundle::{self, Bundle, wishes};
use crate::error::{Error, Result, WayOut};
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

#[derive(Debug, Args)]
pub struct ImageArgs {
    /// The image to run, where the word alone could mean a container
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["word", "bundle", "id"])]
    pub image: Option<String>,
    /// The container's id, where the word alone could mean an image
    #[arg(long, value_name = "ID", conflicts_with = "word")]
    pub id: Option<String>,
    /// What the container of an image is called [default: run- and a number]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Set a variable for an image's program: NAME=VALUE, or NAME for the value that it has here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Mount a folder or file of this host in an image's container: SOURCE:TARGET[:ro]
    #[arg(short = 'v', long = "volume", value_name = "SOURCE:TARGET[:ro]")]
    pub volumes: Vec<String>,
    /// The directory in which an image's program starts
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who an image's program is: USER[:GROUP], names of the image or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The program in the place of an image's Entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Let nobody write to an image's root filesystem
    #[arg(long)]
    pub read_only: bool,
    /// Accepted as docker has it; a container goes when its program ends, unless --keep is given
    #[arg(long, hide = true, conflicts_with = "keep")]
    pub rm: bool,
    /// Accepted as docker has it; learnc passes its own input on
    #[arg(short, long, hide = true)]
    pub interactive: bool,
    /// Accepted as docker has it; there is a terminal where learnc has one
    #[arg(short, long, hide = true)]
    pub tty: bool,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub access: Access,
}

/// What is in the store under a name.
#[derive(Debug, Clone)]
pub struct Found {
    top: Descriptor,
    /// For the platform that is wished for, nothing is missing that a pull would bring.
    pub is_whole: bool,
}

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
    /// What is only for an image, and was given without one.
    pub fn refuse_without_an_image(&self) -> Result<()> {
        let given = [
            ("--env", !self.env.is_empty()),
            ("--volume", !self.volumes.is_empty()),
            ("--workdir", self.workdir.is_some()),
            ("--user", self.user.is_some()),
            ("--entrypoint", self.entrypoint.is_some()),
            ("--read-only", self.read_only),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => Err(Error::yours("is for the container of an image")
                .at(name)
                .try_this("learnc run IMAGE, or the field of config.json")),
        }
    }

    /// The image of this name, if it is in the store.
    pub fn find(&self, word: &str, facts: &Facts) -> Result<Option<Found>> {
        let Some(store) = self.store.look()? else { return Ok(None) };
        let kept = match Place::parse(word) {
            // What is in a file is looked at again each time.
            Ok(Place::Registry(_)) | Err(_) => store.find(word)?,
            Ok(_) => None,
        };
        let store = self.owners(store, facts);
        let found = |top| Ok(Found { is_whole: self.is_whole(word, &store, &top)?, top });
        kept.map(found).transpose()
    }

    /// A digest is nobody's name: there is nobody who could be asked for the rest.
    fn is_whole(&self, word: &str, store: &Store, top: &Descriptor) -> Result<bool> {
        let is_name = match Place::parse(word) {
            Ok(Place::Registry(name)) => top.ref_name() == Some(&*name.to_string()),
            _ => false,
        };
        let image = match store.image(&silent(), top, &self.access.platform()?) {
            Err(e) if e.way_out == Some(WayOut::Pull) && is_name => return Ok(false),
            // Whatever else is wrong is said when it is brought.
            Err(_) => return Ok(true),
            Ok(image) => image,
        };
        let mut layers = image.manifest.layers.iter().zip(image.chain_ids());
        let there =
            layers.all(|(layer, id)| store.has(layer) || look::is_dir(store.layer_dir(&id)));
        Ok(there || !is_name)
    }

    /// A word without a tag, a digest, a folder or a registry might be anything: nobody's registry hears of it
    /// unasked.
    pub fn agree(&self, word: &str) -> Result<()> {
        if self.image.is_some() || word.contains(['/', ':', '@']) {
            return Ok(());
        }
        let full = Place::parse(word).map(|place| match place {
            Place::Registry(name) => name.to_string(),
            _ => word.to_owned(),
        });
        if let (Ok(full), true) = (&full, look::is_terminal(0) && look::is_terminal(2)) {
            let mut answer = String::new();
            let _ = write!(std::io::stderr(), "{word} is not in the store. Pull {full}? [y/N] ");
            std::io::stdin().read_line(&mut answer)?;
            if matches!(answer.trim(), "y" | "Y" | "yes") {
                return Ok(());
            }
        }
        let pull =
            full.map_or_else(|_| String::new(), |full| format!("learnc run {full} (an image), "));
        Err(Error::yours(format!("{word}: is that a container or an image?"))
            .because(format!(
                "as a container's id it needs a config.json in this folder, or --bundle; no image of that \
                 name is in {}",
                self.store.dir().display()
            ))
            .try_this(format!("{pull}learnc run -- {word} (a program), --bundle DIR, or learnc spec")))
    }

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
        let image = store.image(k, &top, &self.access.platform()?)?;
        let Unpacked { dirs, account, warnings } = match facts.own_maps() {
            Some(maps) => self.unpacked_with(&maps, k, &store, &image, facts),
            None => self.unpacked(k, &store, &image, facts),
        }?;
        let config = wishes::config(&image.config, &account, &asked)?;
        let mut bundle = bundle::from_value(config, folder.to_owned())?;
        bundle.warnings.extend(warnings);
        let place = store.dir().to_owned();
        let ports = image.config.config.as_ref().map(|w| wishes::ports(w).join(", "));
        Ok(Brought {
            bundle,
            ports: ports.unwrap_or_default(),
            recipe: Recipe::Image { store: place.clone(), manifest: image.descriptor.clone() },
            layers: dirs.map(|dirs| Layers::Image { store: place, chain: image.chain_ids(), dirs }),
        })
    }

    /// The store with layers whose files keep their owners, where this user has ids for them.
    fn owners(&self, store: Store, facts: &Facts) -> Store {
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
        pull(k, store, &*source, &name, &wish, &pull::Options::default())
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
        let wanted = self.user.as_deref().unwrap_or(wished);
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
