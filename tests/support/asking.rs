//! A registry asked by a test through the library, with every event kept.

use std::cell::RefCell;
use std::io::Read;
use std::time::Duration;

use learnc::error::{Error, Result};
use learnc::event::{Event, Lane, Observer};
use learnc::image::document::{Descriptor, Platform};
use learnc::image::names::Name;
use learnc::image::origin::Source;
use learnc::image::registry::{Options, Registry};
use learnc::image::store::Store;
use learnc::sys::{Kernel, Manner};

use super::images::Folder;
use super::server::Server;

/// As the product has it, but that nobody waits between two tries, and that no file of this user's is read.
pub fn quick() -> Options {
    Options { pause: Duration::ZERO, authfile: Some("/dev/null".into()), ..Options::default() }
}

/// The same with so little patience that a server's silence is soon over.
pub fn hasty() -> Options {
    Options { patience: Duration::from_secs(3), tries: 2, ..quick() }
}

pub fn at(server: &Server, rest: &str, options: Options) -> Registry {
    Registry::new(Name::parse(&server.name(rest)).unwrap(), options).unwrap()
}

/// Whoever remembers everything.
#[derive(Default)]
pub struct Heard(pub RefCell<Vec<Event>>);

impl Observer for Heard {
    fn see(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

/// Does something with a kernel that tells, and returns what it told.
pub fn told<T>(work: impl FnOnce(&Kernel) -> T) -> (T, Vec<Event>) {
    let heard = Heard::default();
    let done = work(&Kernel::new(Manner::Told(&heard), Lane::Runtime, 1));
    (done, heard.0.into_inner())
}

pub fn top(registry: &Registry) -> Result<(Descriptor, Vec<u8>)> {
    told(|k| registry.top(k)).0
}

/// A whole blob from `offset` on, or why it broke.
pub fn read(registry: &Registry, what: &Descriptor, offset: u64) -> Result<Vec<u8>> {
    let mut reader = told(|k| registry.blob(k, what, offset)).0?;
    let mut bytes = vec![];
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A pull into the store of this folder, as `learnc pull` does it.
pub fn pulled(registry: &Registry, folder: &Folder) -> Result<Descriptor> {
    told_pull(registry, folder).0
}

pub fn told_pull(registry: &Registry, folder: &Folder) -> (Result<Descriptor>, Vec<Event>) {
    told(|k| {
        let store = Store::open(k, &folder.join("store"))?;
        let options = learnc::image::pull::Options::default();
        learnc::image::pull::pull(k, &store, registry, "name", &Platform::here(), &options)
    })
}

/// What is left of a pull: files below `ingest/`, names, and what the store itself says of its state.
pub fn left(folder: &Folder) -> (Vec<String>, usize) {
    let store = Store::look(&folder.join("store")).unwrap().unwrap();
    let report = told(|k| store.check(k)).0.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let parts = std::fs::read_dir(store.ingest_dir()).unwrap().flatten();
    let parts = parts.map(|part| part.file_name().to_string_lossy().into_owned()).collect();
    (parts, store.images().unwrap().len())
}

/// The descriptor of one of an image's blobs.
pub fn blob_of(bytes: &[u8]) -> Descriptor {
    Descriptor::new("application/vnd.oci.image.layer.v1.tar", bytes)
}

/// The error with what it says of the cause and the remedy.
pub fn whole(error: &Error) -> String {
    let more = [&error.diagnosis, &error.remedy].map(|text| text.clone().unwrap_or_default());
    format!("{error} | {} | {}", more[0], more[1])
}

/// Fails unless this is an error that says this.
#[track_caller]
pub fn refused<T>(answer: Result<T>, says: &str) {
    match answer {
        Ok(_) => panic!("it was not refused: {says}"),
        Err(e) => assert!(whole(&e).contains(says), "{} does not say {says:?}", whole(&e)),
    }
}
