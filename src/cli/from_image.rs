//! What `learnc run IMAGE` takes, and what the word IMAGE means; [`super::bring`] brings it.
//!
//! The switches are docker's, by name and by letter. What they mean is decided in [`crate::bundle::wishes`]
//! and [`crate::bundle::accounts`]; here is only asked for it.

use std::io::Write;

use clap::Args;

use super::commands::pull::Access;
use super::image::{StoreArgs, silent};
use crate::error::{Error, Result, WayOut};
use crate::facts::Facts;
use crate::image::digest::Digest;
use crate::image::document::Descriptor;
use crate::image::names::Place;
use crate::image::store::Store;
use crate::sys::look;

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
    pub top: Descriptor,
    /// For the platform that is wished for, nothing is missing that a pull would bring.
    pub is_whole: bool,
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
        if word.parse::<Digest>().is_ok() {
            return Err(Error::yours(format!("no image of the digest {word} is in the store"))
                .because("a digest alone does not say who could be asked for it")
                .try_this("learnc images, or NAME@DIGEST"));
        }
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
}
