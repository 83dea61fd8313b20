//! `learnc unpack`: an image of the store, as files in a folder.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::shell;
use crate::cli::Context;
use crate::cli::image::with_room;
use crate::cli::narration::Observers;
use crate::cli::say;
use crate::error::{Error, Result};
use crate::event::Lane;
use crate::facts;
use crate::image::document::Platform;
use crate::image::layer::{How, unpack_image};
use crate::image::names::Place;
use crate::image::origin::Source;
use crate::image::origin::layout::Layout;
use crate::image::store::Store;
use crate::perform::attend::Signals;
use crate::render::json::Target;
use crate::render::terminal::look::When;
use crate::sys::idmap::Maps;
use crate::sys::{Kernel, Manner, look, mapped, stop};

#[derive(Debug, Args)]
pub struct Unpack {
    /// An image of the store: its name, or its digest
    pub image: String,
    /// Where its files go: a folder that is empty, or not there yet
    pub dir: PathBuf,
    /// Where images are kept [default: $XDG_DATA_HOME/learnc/images; /var/lib/learnc/images as root]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// The machine that the image is for: os/architecture[/variant] [default: this one]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Without root: keep the owners of files, as ids that /etc/subuid and /etc/subgid give to this user. Only in
    /// a user namespace can they be removed again: unshare --map-auto --map-root-user rm -r DIR
    #[arg(long)]
    pub map_owners: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Write events as JSON lines to a file, or to a descriptor: fd:N
    #[arg(long, value_name = "FILE|fd:N")]
    pub events: Option<Target>,
    /// When to use colours (NO_COLOR and CLICOLOR_FORCE are heeded)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    pub color: When,
}

impl Unpack {
    fn missing(&self, store: &Path) -> Error {
        let (image, dir) = (shell(&self.image), shell(&self.dir));
        let stored = match &self.store {
            Some(store) => format!(" --store {}", shell(store)),
            None => String::new(),
        };
        let pull = format!("learnc pull {image}{stored}");
        // What comes from a file or folder is kept under a name of its own.
        let remedy = match Place::parse(&self.image) {
            Ok(Place::Layout { dir: from, tag }) => match Layout::folder(&from, tag.as_deref()) {
                Err(e) => return e,
                Ok(layout) => {
                    let name = shell(layout.kept_name());
                    format!("{pull}, then learnc unpack {name} {dir}{stored}")
                }
            },
            Ok(Place::OciArchive { .. } | Place::DockerArchive { .. }) => {
                format!("{pull}, then learnc unpack with the name that it says")
            }
            _ => pull,
        };
        Error::yours(format!("{} is not in the store", self.image))
            .because(format!("the store is {}", store.display()))
            .try_this(remedy)
    }

    pub fn perform(&self, _context: &Context) -> Result<i32> {
        let observers = Observers::of_lines(self.events.as_ref(), self.quiet, self.color)?;
        let manner = observers.any().map_or(Manner::Silent, Manner::Told);
        let k = Kernel::new(manner, Lane::Runtime, look::pid());
        // Whoever asks for the end while this goes on gets it when what was made is gone again.
        let signals = Signals::block()?;
        let done = self.unpack(&k);
        done.map(|()| 0).or_else(|error| {
            let status = stop::status(&error).ok_or(error)?;
            signals.clear();
            Ok(status)
        })
    }

    /// Which ids the files may belong to, beside this user's.
    fn maps(&self) -> Result<Option<Maps>> {
        let facts = self.map_owners.then(facts::read).filter(|facts| !facts.is_root());
        let lack = || {
            Error::yours("there is one id only that files of this user can belong to")
                .at("--map-owners")
                .because(
                    "newuidmap and newgidmap, and lines in /etc/subuid and /etc/subgid, give more",
                )
                .try_this("learnc doctor, or leave it out: all files are this user's then")
        };
        facts.map(|facts| facts.own_maps().ok_or_else(lack)).transpose()
    }

    fn unpack(&self, k: &Kernel) -> Result<()> {
        let wish =
            self.platform.as_deref().map_or_else(|| Ok(Platform::here()), Platform::parse)?;
        let place = self.store.clone().unwrap_or_else(Store::place);
        let store = Store::look(&place)?.ok_or_else(|| self.missing(&place))?;
        let top = store.find(&self.image)?.ok_or_else(|| self.missing(&place))?;
        let maps = self.maps()?;
        let _hold = store.hold(k)?;
        let image = store.image(k, &top, &wish)?;
        if self.platform.is_some() {
            image.is_for(&wish)?;
        }
        let unpack = |k: &Kernel| unpack_image(k, &store, &image, &self.dir, &How::applied());
        let unpacked = match &maps {
            Some(maps) => mapped::as_root(k, maps, unpack),
            None => unpack(k),
        };
        let tally = unpacked
            .map_err(|e| with_room(e, &self.dir, "a folder on a disk with more room"))
            .map_err(|e| store.or_mended(&image.manifest.layers, e))?;
        tally.tell(k);
        if !self.quiet {
            let lines = std::iter::once(tally.sentence()).chain(tally.lacks());
            // An attribute's name is a stranger's word.
            let text: String = lines.map(|line| crate::args::plain(&line) + "\n").collect();
            say::all(&text)?;
        }
        Ok(())
    }
}
