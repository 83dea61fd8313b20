//! A registry: images over http(s).
//!
//! distribution-spec, "Pull". Three kinds of question, and one of another server, where the registry wants a
//! token:
//!
//! ```text
//!   GET /v2/<repository>/manifests/<tag or digest>   an index or a manifest
//!   GET /v2/<repository>/blobs/<digest>              a config or a layer; often redirected to a store of files
//!   401 + WWW-Authenticate: Bearer realm="https://auth…"
//!   GET <realm>?service=…&scope=repository:…:pull    {"token": "…"}, shown to the registry from then on
//! ```
//!
//! A registry is believed nothing. [`rules`] says where it may lead, with what; documents are small and are held
//! against their digest here; what a blob is, who takes it sees. A line that breaks is taken up again, some
//! times, with longer and longer pauses between.

mod answer;
mod ask;
mod blob;
pub mod challenge;
pub mod credentials;
pub mod rules;
mod token;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::http::Uri;

use super::digest::{Digest, Sum};
use super::document::{DOCKER_LIST, DOCKER_MANIFEST, Descriptor, LARGEST, OCI_INDEX, OCI_MANIFEST};
use super::line::{self, Reach};
use super::names::Name;
use super::origin::Source;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::sys::Kernel;
use ask::{Asked, Said};
use credentials::Credentials;

/// How a registry is spoken with.
#[derive(Debug, Clone)]
pub struct Options {
    /// http, where https would be spoken.
    pub plain_http: bool,
    /// The only file of passwords to look into.
    pub authfile: Option<PathBuf>,
    /// How long nothing may come.
    pub patience: Duration,
    /// How often a question is asked again whose answer broke off.
    pub tries: u32,
    /// Before the first time it is; twice as long before the next.
    pub pause: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            plain_http: false,
            authfile: None,
            patience: line::PATIENCE,
            tries: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// An image at its registry.
#[derive(Debug)]
pub struct Registry(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    name: Name,
    home: Uri,
    options: Options,
    credentials: Option<Credentials>,
    direct: ureq::Agent,
    anywhere: ureq::Agent,
    public: ureq::Agent,
    /// Whether the registry is on this machine or in its network.
    is_local: OnceLock<bool>,
    /// What is shown to the registry: the value of the Authorization field.
    pass: Mutex<Option<String>>,
    /// It has answered once.
    met: AtomicBool,
    /// What was asked while blobs were read, until it is told.
    later: Mutex<HashMap<Digest, Vec<Said>>>,
}

impl Registry {
    /// Reads the passwords; asks nothing yet.
    pub fn new(name: Name, options: Options) -> Result<Registry> {
        let home = rules::home(&name.registry, options.plain_http)?;
        let var = |name: &str| std::env::var(name).ok();
        let files = credentials::files(options.authfile.as_deref(), var);
        let roots = var("SSL_CERT_FILE").filter(|path| !path.is_empty());
        let roots = roots.map(|path| line::roots(Path::new(&path))).transpose()?;
        let agent = |reach| line::careful(options.patience, reach, roots.as_ref());
        Ok(Registry(Arc::new(Inside {
            credentials: credentials::find(&files, &name)?,
            direct: agent(Reach::Direct),
            anywhere: agent(Reach::Anywhere),
            public: agent(Reach::Public),
            is_local: OnceLock::new(),
            pass: Mutex::new(None),
            met: AtomicBool::new(false),
            later: Mutex::new(HashMap::new()),
            name,
            home,
            options,
        })))
    }

    /// A document by tag or digest: its media type as the registry says it, and its bytes.
    fn get(&self, k: &Kernel, reference: &str, limit: u64) -> Result<(Asked, Vec<u8>)> {
        let tell = &mut |said: Said| k.tell(|index| said.event(index));
        let path = format!("/v2/{}/manifests/{reference}", self.0.name.repository);
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
        self.0.document(&path, &accept, limit, tell)
    }
}

impl Source for Registry {
    fn top(&self, k: &Kernel) -> Result<(Descriptor, Vec<u8>)> {
        let name = &self.0.name;
        let (asked, bytes) =
            self.get(k, name.reference(), LARGEST).map_err(|e| e.at(self.name()))?;
        let said = asked.field("docker-content-digest");
        let said = said.map(|digest| digest.parse::<Digest>()).transpose();
        let said = said.map_err(|e| e.at("Docker-Content-Digest").at(self.name()))?;
        let media_type = kind(&asked, &bytes).map_err(|e| e.at(self.name()))?;
        let claimed = name.digest.clone().or_else(|| said.clone());
        let digest = claimed.clone().unwrap_or_else(|| Digest::of(&bytes));
        // What was asked for decides; and a registry that contradicts itself is not gone by.
        let what = if is_index(&media_type) { "index" } else { "manifest" };
        let also = said.filter(|said| Some(said) != claimed.as_ref());
        for claimed in claimed.into_iter().chain(also) {
            check(k, what, &claimed, &bytes).map_err(|e| e.at(self.name()))?;
        }
        let top = Descriptor { digest, ..Descriptor::new(&media_type, &bytes) };
        Ok((top, bytes))
    }

    fn document(&self, k: &Kernel, what: &Descriptor) -> Result<Vec<u8>> {
        let at = |e: Error| e.at(what.digest.to_string()).at(self.name());
        let (asked, bytes) =
            self.get(k, what.digest.as_str(), what.size.min(LARGEST)).map_err(at)?;
        if bytes.len() as u64 != what.size {
            let text = format!("it has {} bytes, and should have {}", bytes.len(), what.size);
            return Err(at(Error::yours(text)));
        }
        let media_type = kind(&asked, &bytes).map_err(at)?;
        if !what.media_type.is_empty() && media_type != what.media_type {
            let text = format!("it is {media_type:?}, and should be {:?}", what.media_type);
            return Err(at(Error::yours(text)));
        }
        let name = if what.is_index() { "index" } else { "manifest" };
        check(k, name, &what.digest, &bytes).map_err(at)?;
        Ok(bytes)
    }

    fn blob(&self, k: &Kernel, what: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let tell = &mut |said: Said| k.tell(|index| said.event(index));
        let blob = blob::Blob::open(self.0.clone(), what.clone(), offset, tell);
        let blob = blob.map_err(|e| e.at(what.digest.to_string()).at(self.name()))?;
        Ok(Box::new(blob))
    }

    fn retell(&self, k: &Kernel, what: &Descriptor) {
        let mut later = self.0.later.lock().unwrap_or_else(PoisonError::into_inner);
        for said in later.remove(&what.digest).unwrap_or_default() {
            k.tell(|index| said.event(index));
        }
    }

    fn name(&self) -> String {
        self.0.name.to_string()
    }
}

fn is_index(media_type: &str) -> bool {
    [OCI_INDEX, DOCKER_LIST].contains(&media_type)
}

/// Which kind of document it is. Where the registry and the document both say it, they must agree: what is read as
/// an index by one and as a manifest by another is two images under one digest, CVE-2021-41190.
fn kind(asked: &Asked, bytes: &[u8]) -> Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Says {
        media_type: Option<String>,
    }
    let inside = serde_json::from_slice::<Says>(bytes)
        .map_err(|e| Error::yours("the registry's answer is no manifest").because(e.to_string()))?;
    let outside = asked
        .field("content-type")
        .map(|field| field.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let known = |kind: &String| {
        [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(&kind.as_str())
    };
    match (outside.filter(known), inside.media_type) {
        (Some(outside), Some(inside)) if outside != inside => {
            Err(Error::yours("the registry's answer is two things at once")
                .because(format!("its Content-Type is {outside:?}, its mediaType {inside:?}")))
        }
        (Some(kind), _) => Ok(kind),
        (None, Some(kind)) if known(&kind) => Ok(kind),
        (None, said) => {
            let said = said.or_else(|| asked.field("content-type")).unwrap_or_default();
            Err(Error::yours("the registry's answer is neither a manifest nor an index")
                .because(format!("it says that it is {said:?}")))
        }
    }
}

/// Tells what was claimed and what was computed, and goes on only if they are the same.
fn check(k: &Kernel, what: &str, claimed: &Digest, bytes: &[u8]) -> Result<()> {
    let mut sum = Sum::new(claimed.algorithm());
    sum.update(bytes);
    let computed = sum.finish();
    k.tell(|index| Event::Checked {
        index,
        what: what.to_owned(),
        bytes: bytes.len() as u64,
        claimed: claimed.to_string(),
        computed: computed.to_string(),
    });
    if computed == *claimed {
        return Ok(());
    }
    Err(Error::yours(format!("the {what} is not the one that was asked for"))
        .because(format!("its digest is {computed}, and should be {claimed}"))
        .try_this(
            "another registry that has it, or a tag instead of a digest if the tag has moved",
        ))
}
