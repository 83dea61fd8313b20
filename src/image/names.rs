//! Names of images: what people write, as one of the places that have images.
//!
//! distribution-spec, "Pulling manifests"; docker's reference grammar. `alpine` is a habit of docker:
//! the registry docker.io, the folder `library/` of it, and the tag `latest`. No other registry and no
//! other folder is guessed, because whoever may register a name there would be run.
//!
//! ```text
//!   registry.example:5000/team/app:1.2@sha256:…       [registry/]repository[:tag][@digest]
//!   oci:DIR[:TAG]  oci-archive:FILE[:TAG]  docker-archive:FILE|-[:NAME]     as skopeo writes them
//! ```

use std::path::PathBuf;

use super::digest::Digest;
use crate::error::{Error, Result};

/// Who is asked when a name has no registry.
pub const DOCKER_HUB: &str = "docker.io";

/// The longest name of a repository, with its registry: as docker has it.
const LONGEST: usize = 255;

/// A complete name: registry, repository, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// `docker.io`, `localhost:5000`
    pub registry: String,
    /// `library/alpine`
    pub repository: String,
    /// `latest`, where neither tag nor digest was written.
    pub tag: Option<String>,
    /// Where there is one it decides, whatever the tag says.
    pub digest: Option<Digest>,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Registry(Name),
    /// An OCI image layout, and the name in its index if there are several.
    Layout {
        dir: PathBuf,
        tag: Option<String>,
    },
    /// The same in a tar archive.
    OciArchive {
        file: PathBuf,
        tag: Option<String>,
    },
    /// What `docker save` writes; `-` is standard input.
    DockerArchive {
        file: PathBuf,
        name: Option<String>,
    },
}

impl Name {
    /// Reads a name, and fills in what docker's habit leaves out.
    pub fn parse(text: &str) -> Result<Name> {
        let wrong = |why: &str| {
            Error::yours(format!("{text:?} is no image's name")).because(why).try_this(
                "[registry/]repository[:tag][@sha256:...]: alpine, localhost:5000/app:1.2",
            )
        };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (path, tag) = match named.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (named, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag is up to 128 of A-Z a-z 0-9 _ . - and begins with no . or -"));
        }
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
            Some(_) => (DOCKER_HUB, path.to_owned()),
            None => (DOCKER_HUB, format!("library/{path}")),
        };
        let (registry, repository) = match (registry, repository.contains('/')) {
            ("index.docker.io" | DOCKER_HUB, false) => {
                (DOCKER_HUB, format!("library/{repository}"))
            }
            ("index.docker.io", true) => (DOCKER_HUB, repository),
            _ => (registry, repository),
        };
        if !is_host(registry) {
            return Err(wrong("its registry is no host, with or without a port"));
        }
        if registry.len() + 1 + repository.len() > LONGEST {
            return Err(wrong("it has more than 255 characters"));
        }
        if !repository.split('/').all(is_component) {
            return Err(wrong("a repository is lower-case words with . _ - between them, and /"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Name { registry: registry.to_owned(), repository, tag, digest })
    }

    /// What stands behind `/v2/<repository>/manifests/`.
    pub fn reference(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, tag) => tag.as_deref().unwrap_or("latest"),
        }
    }
}

/// In full, as it is kept: `docker.io/library/alpine:latest`.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl Place {
    pub fn parse(text: &str) -> Result<Place> {
        let file = |rest: &str| -> Result<(PathBuf, Option<String>)> {
            let (path, tag) = match rest.split_once(':') {
                Some((path, tag)) => (path, Some(tag.to_owned())),
                None => (rest, None),
            };
            if path.is_empty() {
                return Err(Error::yours(format!("{text}: no path behind the colon")));
            }
            if path == "-" {
                return Ok((path.into(), tag));
            }
            Ok((std::path::absolute(path).map_err(|e| Error::from(e).at(text))?, tag))
        };
        match text.split_once(':') {
            Some(("oci", rest)) => file(rest).map(|(dir, tag)| Place::Layout { dir, tag }),
            Some(("oci-archive", rest)) => {
                file(rest).map(|(file, tag)| Place::OciArchive { file, tag })
            }
            Some(("docker-archive", rest)) => {
                file(rest).map(|(file, name)| Place::DockerArchive { file, name })
            }
            Some(("docker", rest)) if rest.starts_with("//") => {
                Name::parse(&rest[2..]).map(Place::Registry)
            }
            _ => Name::parse(text).map(Place::Registry),
        }
    }
}

/// docker's rule: a first word with a dot, a colon or a capital letter is a host; and `localhost`.
fn is_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(|c| c.is_ascii_uppercase())
}

/// `name`, `name:port`, `[::1]:port`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inside, port)) if inside.parse::<std::net::Ipv6Addr>().is_ok() => (
                "v6",
                if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("")) },
            ),
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label)
        && port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
        })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`: distribution-spec, "Pulling manifests".
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators: Vec<&str> = text.split(word).filter(|between| !between.is_empty()).collect();
    text.starts_with(word)
        && text.ends_with(word)
        && separators.iter().all(|s| matches!(*s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub fn is_tag(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(first)
        && text.len() <= 128
        && text.chars().all(|c| first(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(text: &str) -> String {
        Name::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn a_short_name_is_dockers_and_no_wider() {
        assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("alpine:3"), "docker.io/library/alpine:3");
        assert_eq!(full("team/app"), "docker.io/team/app:latest");
        assert_eq!(full("index.docker.io/alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("localhost/app"), "localhost/app:latest");
        assert_eq!(full("localhost:5000/app"), "localhost:5000/app:latest");
        assert_eq!(full("quay.io/a/b__c-d.e:v1.0_x"), "quay.io/a/b__c-d.e:v1.0_x");
        assert_eq!(full("[::1]:5000/app"), "[::1]:5000/app:latest");
        let digest = Digest::of(b"x");
        assert_eq!(full(&format!("alpine@{digest}")), format!("docker.io/library/alpine@{digest}"));
        let name = Name::parse(&format!("alpine:3@{digest}")).unwrap();
        assert_eq!(name.reference(), digest.as_str());
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let long = "a/".repeat(130) + "a";
        for bad in [
            "",
            ":",
            "@",
            "Alpine",
            "a b",
            "a:",
            "a:-x",
            "a//b",
            "/a",
            "a/",
            "../x",
            "a/../b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "host:0/a",
            "host:x/a",
            "host:99999/a",
            "[::1/a",
            "ex-.com/a",
            "a@sha256:12",
            "a\u{0}b",
            "http://x/y",
            &long,
        ] {
            let answer = Name::parse(bad);
            assert!(answer.is_err(), "{bad:?}: {answer:?}");
        }
    }

    #[test]
    fn places_are_told_by_their_prefix() {
        let place = Place::parse("oci:/x/y:v1").unwrap();
        assert_eq!(place, Place::Layout { dir: "/x/y".into(), tag: Some("v1".into()) });
        let place = Place::parse("docker-archive:-").unwrap();
        assert_eq!(place, Place::DockerArchive { file: "-".into(), name: None });
        let Place::Registry(name) = Place::parse("docker://alpine").unwrap() else { panic!() };
        assert_eq!(name.repository, "library/alpine");
        assert!(Place::parse("oci:").is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(text in "[a-z.:/@_A-Z0-9-]{0,40}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(&name.to_string()).unwrap(), name);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = Place::parse(&text);
        }
    }
}
