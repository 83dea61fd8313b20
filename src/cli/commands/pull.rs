//! `learnc pull`: brings images into the store, and tells what was asked, answered and checked.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Context;
use crate::cli::image::{StoreArgs, as_owner, silent, with_room};
use crate::cli::narration::Observers;
use crate::cli::say;
use crate::error::Result;
use crate::event::Lane;
use crate::facts;
use crate::image::document::Platform;
use crate::image::layer::How;
use crate::image::names::Place;
use crate::image::origin::{self, Source};
use crate::image::pull::{self, pull};
use crate::image::registry::{self, Registry};
use crate::image::store::Store;
use crate::render::json::Target;
use crate::render::terminal::look::When;
use crate::sys::{Kernel, Manner, look, stop};

#[derive(Debug, Args)]
pub struct Pull {
    /// What to pull: NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker-archive:-
    #[arg(required = true, value_name = "IMAGE")]
    pub places: Vec<String>,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub access: Access,
    /// Unpack the layers while they come, each into a directory of the store, as overlayfs takes them
    #[arg(long)]
    pub unpack: bool,
    /// Say nothing but errors, and what the names mean in the end
    #[arg(short, long)]
    pub quiet: bool,
    /// Write events as JSON lines to a file, or to a descriptor: fd:N
    #[arg(long, value_name = "FILE|fd:N")]
    pub events: Option<Target>,
    /// When to use colours (NO_COLOR and CLICOLOR_FORCE are heeded)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    pub color: When,
}

/// How registries are asked, and for what.
#[derive(Debug, Args, Clone)]
pub struct Access {
    /// The machine that the image is for: os/architecture[/variant] [default: this one]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Speak http with the registry, which anybody on the way can read and change, passwords too
    #[arg(long)]
    pub plain_http: bool,
    /// The file with passwords for registries, as podman login and docker login write it
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
}

impl Access {
    pub fn platform(&self) -> Result<Platform> {
        self.platform.as_deref().map_or_else(|| Ok(Platform::here()), Platform::parse)
    }

    /// Whoever has the images of this place.
    pub fn source(&self, k: &Kernel, place: Place, store: &Store) -> Result<Box<dyn Source>> {
        let options = registry::Options {
            plain_http: self.plain_http,
            authfile: self.authfile.clone(),
            ..registry::Options::default()
        };
        match place {
            Place::Registry(name) => Ok(Box::new(Registry::new(name, options)?)),
            place => origin::local(k, &place, &store.ingest_dir()),
        }
    }
}

impl Pull {
    pub fn perform(&self, _context: &Context) -> Result<i32> {
        let places = self.places.iter().map(|text| Place::parse(text));
        let places = places.collect::<Result<Vec<Place>>>()?;
        // Files that are unpacked keep their owners where this user has ids for them.
        let maps = self.unpack.then(|| facts::read().own_maps()).flatten();
        let (store, marks) = (Store::open(&silent(), &self.store.dir())?, look::ids().0 != 0);
        let store = maps.iter().fold(store, Store::mapped);
        as_owner(maps.as_ref(), || {
            self.pull(places, &store, self.unpack.then(|| How::overlay(marks)))
        })
    }

    fn pull(&self, places: Vec<Place>, store: &Store, unpack: Option<How>) -> Result<i32> {
        let wish = self.access.platform()?;
        let observers = Observers::of_lines(self.events.as_ref(), self.quiet, self.color)?;
        let manner = observers.any().map_or(Manner::Silent, Manner::Told);
        let k = Kernel::new(manner, Lane::Runtime, look::pid());
        let insists = self.access.platform.is_some();
        let (bars, usual) = (!self.quiet, pull::Options::default());
        let options = pull::Options { bars, unpack, insists, ..usual };
        for place in places {
            let source = self.access.source(&k, place, store)?;
            let name = source.kept_name();
            match pull(&k, store, &*source, &name, &wish, &options) {
                Ok(top) => say::line(&format!("{name} {}", top.digest))?,
                Err(e) => {
                    let remedy = "learnc prune, or --store DIR on a disk with more room";
                    return stop::status(&e).ok_or_else(|| with_room(e, store.dir(), remedy));
                }
            }
        }
        Ok(0)
    }
}
