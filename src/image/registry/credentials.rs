//! Who one is to a registry: docker's and podman's files of passwords.
//!
//! containers-auth.json(5); docker's config.json. Both have
//! `{"auths": {"registry.example/team": {"auth": base64("user:password")}}}`, docker with the registry alone, or with an
//! address around it. The first file that knows the registry counts, and in it the longest name. They may also
//! name a helper, a program that keeps the passwords: learnc runs none, and says so when a password is
//! missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::names::{DOCKER_HUB, Name};

/// docker's name for docker.io in its file.
const HUB_KEY: &str = "index.docker.io";

/// What a file says for a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// There is something, but not for learnc: why.
    Elsewhere(String),
}

/// A password is never shown.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Password { user, .. } => write!(f, "Password of {user:?}"),
            Credentials::Elsewhere(why) => write!(f, "Elsewhere: {why}"),
        }
    }
}

impl Credentials {
    /// `Basic …`, for the Authorization field: RFC 7617.
    pub fn basic(&self) -> Option<String> {
        match self {
            Credentials::Password { user, password } => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Credentials::Elsewhere(_) => None,
        }
    }
}

/// The files that may exist, the first to be asked first. One that is named by the user must be there.
pub fn files(named: Option<&Path>, var: impl Fn(&str) -> Option<String>) -> Vec<(PathBuf, bool)> {
    let var = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = named.map(Path::to_owned).or_else(|| var("REGISTRY_AUTH_FILE")) {
        return vec![(named, true)];
    }
    let home = var("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let config = var("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
    let docker = var("DOCKER_CONFIG").or_else(|| below_home(".docker"));
    let found = [
        var("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        config.map(|dir| dir.join("containers/auth.json")),
        docker.map(|dir| dir.join("config.json")),
    ];
    found.into_iter().flatten().map(|path| (path, false)).collect()
}

/// What these files say of an image's registry.
pub fn find(files: &[(PathBuf, bool)], name: &Name) -> Result<Option<Credentials>> {
    for (path, must_be) in files {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_be => continue,
            Err(e) => {
                return Err(Error::from(e).at(path.display().to_string()).try_this(
                    "--authfile or REGISTRY_AUTH_FILE with what podman login --authfile has written",
                ));
            }
        };
        if let Some(found) = look(&bytes, name).named_in(path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

trait NamedIn<T> {
    fn named_in(self, path: &Path) -> Result<T>;
}

impl NamedIn<Option<Credentials>> for Result<Option<Credentials>> {
    fn named_in(self, path: &Path) -> Result<Option<Credentials>> {
        let found = self.map_err(|e| e.at(path.display().to_string()))?;
        Ok(found.map(|found| match found {
            Credentials::Elsewhere(why) => {
                Credentials::Elsewhere(format!("{}: {why}", path.display()))
            }
            password => password,
        }))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

fn look(bytes: &[u8], name: &Name) -> Result<Option<Credentials>> {
    // `--authfile /dev/null`: no passwords.
    if bytes.is_empty() {
        return Ok(None);
    }
    // The text of such an error may quote a part of a password: the place is enough.
    let file: File = serde_json::from_slice(bytes).map_err(|e| {
        Error::yours(format!("no auth file: line {}, column {}", e.line(), e.column()))
            .try_this("docker login or podman login writes one")
    })?;
    for wanted in keys(name) {
        if let Some(helper) = file.cred_helpers.get(&wanted) {
            return Ok(Some(helped(helper)));
        }
        let entry = file.auths.iter().find(|(key, _)| normal(key) == wanted);
        if let Some(found) = entry.map(|(key, entry)| entry.read(key)).transpose()?.flatten() {
            return Ok(Some(found));
        }
    }
    Ok(file.creds_store.as_deref().filter(|store| !store.is_empty()).map(helped))
}

fn helped(helper: &str) -> Credentials {
    Credentials::Elsewhere(format!(
        "docker-credential-{helper} keeps the passwords, and learnc runs no helpers"
    ))
}

/// `registry/team/app`, `registry/team`, `registry`.
fn keys(name: &Name) -> Vec<String> {
    let mut found = vec![];
    let registries: &[&str] =
        if name.registry == DOCKER_HUB { &[DOCKER_HUB, HUB_KEY] } else { &[&name.registry] };
    for registry in registries {
        let mut key = format!("{registry}/{}", name.repository);
        found.push(key.clone());
        while let Some((shorter, _)) = key.rsplit_once('/') {
            key = shorter.to_owned();
            found.push(key.clone());
        }
    }
    found
}

/// docker's keys may be addresses: `https://index.docker.io/v1/`.
fn normal(key: &str) -> &str {
    let Some((_, rest)) = key.split_once("://") else { return key.trim_end_matches('/') };
    rest.split('/').next().unwrap_or_default()
}

impl Entry {
    fn read(&self, key: &str) -> Result<Option<Credentials>> {
        let filled = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if filled(&self.identitytoken).or_else(|| filled(&self.registrytoken)).is_some() {
            let why =
                format!("{key} has a token of an identity, and learnc can show passwords only");
            return Ok(Some(Credentials::Elsewhere(why)));
        }
        if let Some(user) = filled(&self.username) {
            let password = self.password.clone().unwrap_or_default();
            return Ok(Some(Credentials::Password { user, password }));
        }
        let Some(auth) = filled(&self.auth) else { return Ok(None) };
        let text = BASE64_STANDARD.decode(auth.trim()).ok().and_then(|b| String::from_utf8(b).ok());
        let pair = text.as_deref().and_then(|text| text.split_once(':'));
        match pair {
            Some((user, password)) => Ok(Some(Credentials::Password {
                user: user.to_owned(),
                // docker pads with zero bytes in some versions.
                password: password.trim_end_matches('\0').to_owned(),
            })),
            None => Err(Error::yours("auth is no base64 of `user:password`").at(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn says(file: &serde_json::Value, name: &str) -> Option<Credentials> {
        look(file.to_string().as_bytes(), &Name::parse(name).unwrap()).unwrap()
    }

    fn user(found: Option<Credentials>) -> String {
        match found {
            Some(Credentials::Password { user, password }) => format!("{user}/{password}"),
            other => format!("{other:?}"),
        }
    }

    fn entry(pair: &str) -> serde_json::Value {
        serde_json::json!({ "auth": BASE64_STANDARD.encode(pair) })
    }

    #[test]
    fn the_longest_name_counts_and_no_other_registry() {
        let file = serde_json::json!({ "auths": {
            "r.example": entry("all:1"), "r.example/team": entry("team:2"), "r.example/team/app": entry("app:x:y"),
            "https://index.docker.io/v1/": entry("hub:3"), "https://old.example/v1/": entry("old:4"), "empty.example": {},
        }});
        assert_eq!(user(says(&file, "r.example/other")), "all/1");
        assert_eq!(user(says(&file, "r.example/team/b")), "team/2");
        assert_eq!(user(says(&file, "r.example/team/app:1")), "app/x:y");
        assert_eq!(user(says(&file, "r.example/teams")), "all/1");
        assert_eq!(user(says(&file, "alpine")), "hub/3");
        assert_eq!(user(says(&file, "old.example/x")), "old/4");
        for other in
            ["r.example:5000/x", "x.r.example/x", "example.net/x", "empty.example/x", "quay.io/x"]
        {
            assert_eq!(says(&file, other), None, "{other}");
        }
    }

    #[test]
    fn a_helper_is_named_and_not_run() {
        let file = serde_json::json!({ "credsStore": "desktop", "credHelpers": { "r.example": "ecr" },
            "auths": { "t.example": { "identitytoken": "x" }, "p.example": entry("a:b") } });
        let why = |name| format!("{:?}", says(&file, name).unwrap());
        assert!(why("r.example/x").contains("docker-credential-ecr"));
        assert!(why("q.example/x").contains("docker-credential-desktop"));
        assert!(why("t.example/x").contains("token"));
        assert_eq!(user(says(&file, "p.example/x")), "a/b");
    }

    #[test]
    fn files_are_asked_in_podmans_order_and_dockers_last() {
        let environment = |name: &str| match name {
            "HOME" => Some("/h".to_owned()),
            "XDG_RUNTIME_DIR" => Some("/r".to_owned()),
            _ => None,
        };
        let found: Vec<PathBuf> =
            files(None, environment).into_iter().map(|(path, _)| path).collect();
        let expected = [
            "/r/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/h/.docker/config.json",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(files(Some(Path::new("/x")), environment), [(PathBuf::from("/x"), true)]);
        let missing = [(PathBuf::from("/no/such/file"), true)];
        assert!(find(&missing, &Name::parse("a").unwrap()).is_err());
    }

    #[test]
    fn a_broken_file_is_named_without_what_is_in_it() {
        let error =
            look(b"{\"auths\": {\"x\": {\"auth\": \"c2VjcmV0\"", &Name::parse("a").unwrap());
        assert!(!error.unwrap_err().to_string().contains("c2V"));
        let odd = serde_json::json!({ "auths": { "r.example": { "auth": "c2VjcmV0" } } });
        let error =
            look(odd.to_string().as_bytes(), &Name::parse("r.example/x").unwrap()).unwrap_err();
        assert!(error.to_string().contains("r.example") && !error.to_string().contains("c2V"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = look(&bytes, &Name::parse("alpine").unwrap());
        }
    }
}
