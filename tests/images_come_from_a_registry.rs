//! Images come from a real registry, pushed there by other tools: by tag and by digest, for this platform, past a
//! password; and what is in the store then is what the registry has.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use learnc::image::document::{Index, Manifest, Platform};
use learnc::image::store::Store;
use serde_json::{Value, json};
use support::asking::left;
use support::bundle::ran;
use support::distribution::{Distribution, PASSWORD, skopeo};
use support::images::*;
use support::needs::Need;
use support::server::{reply, serve, tunnel};
use support::*;

const REGISTRY: &[Need] = &[Need::Registry];

fn pull(folder: &Folder, name: &str, more: &[&str]) -> Ran {
    let mut pull = learnc(["pull", name, "--store"]);
    pull.arg(folder.join("store")).arg("--events").arg(folder.join("events")).args(more);
    ran(pull.env("HOME", folder.join("home")).env_remove("XDG_RUNTIME_DIR"))
}

fn store(folder: &Folder) -> Store {
    Store::look(&folder.join("store")).unwrap().unwrap()
}

/// What was asked for, by the last word of each address.
fn requests(folder: &Folder) -> Vec<String> {
    let events = std::fs::read_to_string(folder.join("events")).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let requested = events.filter(|event| event["type"] == "requested");
    requested
        .map(|event| event["url"].as_str().unwrap().rsplit('/').next().unwrap().into())
        .collect()
}

fn three_ways() -> Image {
    image()
        .layer(layer([dir("bin"), file("bin/sh", vec![7; 100_000]).mode(0o755)]).gzip())
        .layer(layer([file("etc/motd", "hello")]).zstd())
        .layer(layer([whiteout("etc/motd")]))
}

fn by_tag_and_by_digest() {
    let (registry, folder) = (Distribution::open(), folder());
    let made = three_ways().made();
    registry.push_made(&made, "team/app:v1", &["--preserve-digests"]);
    let name = registry.name("team/app:v1");
    let ran = pull(&folder, &name, &[]).ok();
    assert_eq!(ran.stdout, format!("{name} {}\n", made.digest()));
    assert_eq!(made.digest(), registry.digest("team/app:v1"));
    let here = store(&folder);
    for (digest, bytes) in &made.blobs {
        let file = here.blob_file(&digest.parse().unwrap());
        assert_eq!(&std::fs::read(file).unwrap(), bytes, "{digest}");
    }
    assert_eq!(requests(&folder).len(), made.blobs.len());
    let by_digest = registry.name(&format!("team/app@{}", made.digest()));
    pull(&folder, &by_digest, &[]).ok();
    assert_eq!(requests(&folder).len(), 1, "the layers are there");
    assert_eq!(left(&folder), (vec![], 2));
}

fn both_tools_see_the_same() {
    let (registry, folder) = (Distribution::open(), folder());
    let name = registry.name("app:v1");
    registry.push_made(&three_ways().made(), "app:v1", &[]);
    pull(&folder, &name, &[]).ok();
    let inspect = |what: String| {
        let mut skopeo = skopeo();
        ran(skopeo.args(["inspect", "--config", "--tls-verify=false"]).arg(what)).ok().stdout
    };
    let ours = inspect(format!("oci:{}:{name}", folder.join("store").display()));
    assert_eq!(ours, inspect(format!("docker://{name}")));
}

fn for_this_platform() {
    let (registry, folder) = (Distribution::open(), folder());
    let other = if Platform::here().architecture == "s390x" { "amd64" } else { "s390x" };
    let foreign = image().layer(layer([file("foreign", other)])).set("/architecture", json!(other));
    let made = several([foreign, three_ways()]);
    registry.push_made(&made, "app:v1", &["--all", "--preserve-digests"]);
    let name = registry.name("app:v1");
    let ran = pull(&folder, &name, &[]).ok();
    assert_eq!(ran.stdout, format!("{name} {}\n", made.digest()), "the index's digest stays");
    let index = Index::parse(&made.blobs[made.digest()]).unwrap();
    let has = |n: usize| store(&folder).has(&index.manifests[n]);
    assert!(!has(0) && has(1));
    assert_eq!(left(&folder), (vec![], 1));
    let wanted = format!("linux/{other}");
    pull(&folder, &name, &["--platform", &wanted]).ok();
    assert!(has(0) && has(1));
    let manifest = Manifest::parse(&made.blobs[index.manifests[0].digest.as_str()]).unwrap();
    assert!(store(&folder).has(&manifest.layers[0]));
    let ran = pull(&folder, &name, &["--platform", "windows/arm"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains(&wanted), "{}", ran.stderr);
}

fn past_a_password() {
    let (registry, folder) = (Distribution::closed(), folder());
    registry.push_made(
        &three_ways().made(),
        "app:v1",
        &["--dest-creds", &format!("me:{PASSWORD}")],
    );
    let name = registry.name("app:v1");
    let ran = pull(&folder, &name, &[]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("podman login"), "{}", ran.stderr);
    let file = |password: &str| {
        let auth = BASE64_STANDARD.encode(format!("me:{password}"));
        let file = folder.join("home/.docker/config.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let auths = json!({ "auths": { registry.address.as_str(): { "auth": auth } } });
        std::fs::write(&file, auths.to_string()).unwrap();
        file
    };
    file("wrong");
    let ran = pull(&folder, &name, &[]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("asked as \"me\""), "{}", ran.stderr);
    let good = file(PASSWORD);
    pull(&folder, &name, &[]).ok();
    pull(&folder, &name, &["--authfile", good.to_str().unwrap()]).ok();
    assert_eq!(left(&folder), (vec![], 1));
}

fn in_dockers_form() {
    let (registry, folder) = (Distribution::open(), folder());
    let made = image().layer(layer([file("etc/motd", "hello")]).gzip()).made();
    registry.push_made(&made, "app:v1", &["--format", "v2s2"]);
    pull(&folder, &registry.name("app:v1"), &[]).ok();
    let image = &store(&folder).images().unwrap()[0];
    assert_eq!(image.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(image.digest.as_str(), registry.digest("app:v1"));
    assert_eq!(left(&folder), (vec![], 1));
}

fn made_by_umoci() {
    let (registry, folder) = (Distribution::open(), folder());
    let (layout, file) = (folder.join("layout"), folder.join("file"));
    std::fs::write(&file, "hello").unwrap();
    let umoci = |args: &[&str]| ran(Command::new("umoci").args(args)).ok();
    let at = format!("{}:v1", layout.display());
    umoci(&["init", "--layout", layout.to_str().unwrap()]);
    umoci(&["new", "--image", &at]);
    umoci(&["insert", "--rootless", "--image", &at, file.to_str().unwrap(), "/etc/motd"]);
    umoci(&["insert", "--rootless", "--image", &at, file.to_str().unwrap(), "/etc/issue"]);
    registry.push(&format!("oci:{at}"), "app:v1", &[]);
    pull(&folder, &registry.name("app:v1"), &[]).ok();
    assert_eq!(left(&folder), (vec![], 1));
    let ran = pull(&folder, &format!("oci:{at}"), &[]).ok();
    assert!(ran.stdout.contains(&registry.digest("app:v1")), "{}", ran.stdout);
}

fn two_at_once() {
    let (registry, folder) = (Distribution::open(), folder());
    registry.push_made(&three_ways().made(), "app:v1", &[]);
    let name = registry.name("app:v1");
    let pull = || {
        let mut pull = learnc(["pull", "--quiet", &name, "--store"]);
        pull.arg(folder.join("store")).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut all: Vec<_> = (0..4).map(|_| pull()).collect();
    assert!(all.iter_mut().all(|pull| pull.wait().unwrap().success()));
    assert_eq!(left(&folder), (vec![], 1));
}

/// To learnc it is in the internet: a proxy leads there.
fn over_tls() {
    let (registry, folder) = (Distribution::secure(), folder());
    let at: std::net::SocketAddr = registry.address.parse().unwrap();
    let proxy = serve(move |hit| if hit.method == "CONNECT" { tunnel(at) } else { reply(400, "") });
    let made = three_ways().made();
    registry.push_made(&made, "app:v1", &["--preserve-digests"]);
    let pull = |roots: Option<&str>| {
        let mut pull = learnc(["pull", "registry.example/app:v1", "--store"]);
        pull.arg(folder.join("store")).env("ALL_PROXY", proxy.url("/")).env_remove("SSL_CERT_FILE");
        pull.env_remove("NO_PROXY").env_remove("no_proxy");
        roots.map(|name| pull.env("SSL_CERT_FILE", registry.folder.join(name)));
        ran(&mut pull)
    };
    let stranger = pull(None);
    assert_eq!(stranger.status, 1);
    for part in ["cannot prove who it is", "SSL_CERT_FILE"] {
        assert!(stranger.stderr.contains(part), "{}", stranger.stderr);
    }
    let empty = pull(Some("config.yml"));
    assert!(empty.stderr.contains("no certificate"), "{}", empty.stderr);
    let known = pull(Some("certificate.pem")).ok();
    assert_eq!(known.stdout, format!("registry.example/app:v1 {}\n", made.digest()));
    assert!(known.stderr.contains("https://registry.example/v2/app/manifests/v1"));
    assert!(proxy.hits().iter().all(|hit| hit.path == "registry.example:443"));
    assert_eq!(left(&folder), (vec![], 1));
}

fn what_is_not_there() {
    let (registry, folder) = (Distribution::open(), folder());
    let ran = pull(&folder, &registry.name("nothing:v1"), &[]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("no such image"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

fn main() {
    let tls = [REGISTRY, &[Need::Openssl]].concat();
    let umoci = [REGISTRY, &[Need::Umoci]].concat();
    suite(vec![
        test(
            "an image is pulled by tag and by digest, byte for byte",
            REGISTRY,
            by_tag_and_by_digest,
        ),
        test(
            "skopeo sees in the store what it sees in the registry",
            REGISTRY,
            both_tools_see_the_same,
        ),
        test(
            "of an index this platform's image comes, or the wished one",
            REGISTRY,
            for_this_platform,
        ),
        test(
            "a registry that wants a password gets it from docker's file",
            REGISTRY,
            past_a_password,
        ),
        test("an image in docker's own form is pulled as it is", REGISTRY, in_dockers_form),
        test(
            "an image that umoci made is pulled, and is the same from its layout",
            &umoci,
            made_by_umoci,
        ),
        test("several pulls of the same image at once get it", REGISTRY, two_at_once),
        test("a registry of the internet proves who it is", &tls, over_tls),
        test("what a registry has not is told", REGISTRY, what_is_not_there),
    ]);
}
