//! A registry of the internet leads nobody to this machine or its network, and no password to another host.
//!
//! It is played by a proxy: to learnc `registry.example` is a public host, and the proxy leads its line to a server of
//! the test.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::PathBuf;

use learnc::image::registry::credentials::Credentials;
use serde_json::json;
use support::bundle::ran;
use support::images::*;
use support::server::*;
use support::{Ran, learnc};

fn basic() -> String {
    let password = Credentials::Password { user: "me".into(), password: "correct horse".into() };
    password.basic().unwrap()
}

/// A file with the password of this registry.
fn file_for(folder: &Folder, registry: &str) -> PathBuf {
    let path = folder.join("auth.json");
    let auth = basic().split_once(' ').unwrap().1.to_owned();
    std::fs::write(&path, json!({ "auths": { registry: { "auth": auth } } }).to_string()).unwrap();
    path
}

fn small() -> Made {
    image().layer(layer([file("etc/motd", "hello")]).gzip()).made()
}

/// Pulls `registry.example/app:v1`, which the proxy leads to this server. Every other host it leads there, too.
fn pull_from_the_internet(server: &Server, folder: &Folder) -> (Ran, Vec<Hit>) {
    let to = server.address;
    let proxy = serve(move |hit| match hit.method.as_str() {
        "CONNECT" => tunnel(to),
        _ => reply(400, ""),
    });
    let authfile = file_for(folder, "registry.example");
    let mut pull = learnc(["pull", "--plain-http", "registry.example/app:v1", "--store"]);
    pull.arg(folder.join("store")).arg("--authfile").arg(authfile);
    pull.env("ALL_PROXY", proxy.url("/")).env_remove("NO_PROXY").env_remove("no_proxy");
    (ran(&mut pull), proxy.hits())
}

#[test]
fn a_registry_of_the_internet_is_asked_through_the_proxy() {
    let folder = folder();
    let server = serve(registry(&small(), "app", "v1"));
    let (pulled, hits) = pull_from_the_internet(&server, &folder);
    assert_eq!(pulled.status, 0, "{}", pulled.stderr);
    assert_eq!(hits[0].path, "registry.example:80");
}

#[test]
fn a_registry_of_the_internet_leads_nobody_into_the_house() {
    let folder = folder();
    let house = serve(|_| reply(200, "secret"));
    let port = house.address.port();
    for to in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ] {
        let there = to.clone();
        let leads = serve(move |_| redirect(there.clone()));
        let (pulled, hits) = pull_from_the_internet(&leads, &folder);
        assert_eq!(pulled.status, 1, "{to}: {}", pulled.stderr);
        assert!(pulled.stderr.contains("no public host"), "{to}: {}", pulled.stderr);
        assert_eq!(hits.len(), 1, "{to}");
        let there = to.clone();
        let wants = serve(move |_| {
            reply(401, "{}").field("WWW-Authenticate", format!("Bearer realm=\"{there}\""))
        });
        let (pulled, hits) = pull_from_the_internet(&wants, &folder);
        assert!(pulled.stderr.contains("no public host"), "{to}: {}", pulled.stderr);
        assert_eq!(hits.len(), 1, "{to}");
    }
    assert_eq!(house.hits().len(), 0);
}

#[test]
fn a_registry_of_the_internet_may_lead_elsewhere_in_it_without_the_password() {
    let folder = folder();
    let honest = registry(&small(), "app", "v1");
    let server = serve(move |hit| match (hit.field("host"), hit.field("authorization")) {
        (Some("files.example"), _) => honest(hit),
        (_, None) => reply(401, "").field("WWW-Authenticate", "Basic realm=x"),
        (_, Some(_)) => redirect(format!("http://files.example{}", hit.path)),
    });
    let (pulled, _) = pull_from_the_internet(&server, &folder);
    assert_eq!(pulled.status, 0, "{}", pulled.stderr);
    let hits = server.hits();
    let (files, home): (Vec<&Hit>, Vec<&Hit>) =
        hits.iter().partition(|hit| hit.field("host") == Some("files.example"));
    assert!(home.iter().any(|hit| hit.field("authorization").is_some()));
    assert!(files.len() > 1 && files.iter().all(|hit| hit.field("authorization").is_none()));
}
