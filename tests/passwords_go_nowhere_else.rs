//! Passwords and tokens are shown to whom they are for, when they are asked for, and to nobody else; `the_internet_stays_outside` has
//! registries that are not on this machine.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::path::PathBuf;

use learnc::image::registry::Options;
use learnc::image::registry::credentials::Credentials;
use serde_json::json;
use support::asking::*;
use support::images::*;
use support::server::*;

const SECRET: &str = "correct horse";

fn basic() -> String {
    let password = Credentials::Password { user: "me".into(), password: SECRET.into() };
    password.basic().unwrap()
}

/// A file with the password of this registry.
fn file_for(folder: &Folder, registry: &str) -> PathBuf {
    let path = folder.join("auth.json");
    let auth = basic().split_once(' ').unwrap().1.to_owned();
    std::fs::write(&path, json!({ "auths": { registry: { "auth": auth } } }).to_string()).unwrap();
    path
}

fn with_password(folder: &Folder, server: &Server) -> Options {
    Options { authfile: Some(file_for(folder, &server.address.to_string())), ..quick() }
}

fn small() -> Made {
    image().layer(layer([file("etc/motd", "hello")]).gzip()).made()
}

/// A registry that wants this in the Authorization field, and else says how one gets it.
fn closed(wants: &str, challenge: impl Fn(&Hit) -> String + Send + Sync + 'static) -> Server {
    let (wants, honest) = (wants.to_owned(), registry(&small(), "app", "v1"));
    serve(move |hit| match hit.path.split('?').next().unwrap() {
        "/token" => reply(200, json!({ "token": "the-token" }).to_string()),
        _ if hit.field("authorization") == Some(&wants) => honest(hit),
        _ => reply(401, "{}").field("WWW-Authenticate", challenge(hit)),
    })
}

/// One that gives tokens out itself.
fn token_registry() -> Server {
    closed("Bearer the-token", |hit| {
        let host = hit.field("host").unwrap();
        format!(
            r#"Bearer realm="http://{host}/token",service="s",scope="repository:app:pull,push,delete""#
        )
    })
}

fn shown(hits: &[Hit]) -> Vec<Option<&str>> {
    hits.iter().map(|hit| hit.field("authorization")).collect()
}

#[test]
fn a_password_is_shown_when_it_is_asked_for_and_not_before() {
    let folder = folder();
    let server = closed(&basic(), |_| "Basic realm=\"x\"".into());
    let registry = at(&server, "app:v1", with_password(&folder, &server));
    top(&registry).unwrap();
    top(&registry).unwrap();
    assert_eq!(shown(&server.hits()), [None, Some(&*basic()), Some(&*basic())]);
    let open = serve(support::server::registry(&small(), "app", "v1"));
    top(&at(&open, "app:v1", with_password(&folder, &open))).unwrap();
    assert_eq!(shown(&open.hits()), [None]);
}

#[test]
fn a_wrong_password_is_shown_once_and_told_without_it() {
    let folder = folder();
    let server = closed("Basic other", |_| "Basic realm=\"x\"".into());
    let error = top(&at(&server, "app:v1", with_password(&folder, &server))).unwrap_err();
    assert_eq!(server.hits().len(), 2);
    let text = whole(&error);
    assert!(text.contains("\"me\"") && text.contains("login"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains(&basic()[6..]), "{text}");
}

#[test]
fn another_registrys_password_is_not_shown() {
    let folder = folder();
    let server = closed(&basic(), |_| "Basic realm=\"x\"".into());
    let options = Options { authfile: Some(file_for(&folder, "127.0.0.1")), ..quick() };
    refused(top(&at(&server, "app:v1", options)), "no password for");
    assert_eq!(shown(&server.hits()), [None]);
}

#[test]
fn a_token_is_got_for_a_password_and_for_reading_this_repository_alone() {
    let folder = folder();
    let server = token_registry();
    let registry = at(&server, "app:v1", with_password(&folder, &server));
    let (answer, events) = told(|k| learnc::image::origin::Source::top(&registry, k));
    answer.unwrap();
    let hits = server.hits();
    let password = basic();
    assert_eq!(shown(&hits), [None, Some(&*password), Some("Bearer the-token")]);
    assert_eq!(hits[1].path, "/token?scope=repository:app:pull&service=s");
    let said = serde_json::to_string(&events).unwrap();
    for secret in [SECRET, &password[6..], "the-token"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_token_is_got_without_a_password_where_there_is_none() {
    let server = token_registry();
    let registry = at(&server, "app:v1", quick());
    top(&registry).unwrap();
    assert_eq!(shown(&server.hits()), [None, None, Some("Bearer the-token")]);
}

#[test]
fn a_token_that_is_over_is_got_anew() {
    let honest = registry(&small(), "app", "v1");
    let server =
        serve(move |hit| match (hit.path.starts_with("/token"), hit.field("authorization")) {
            (true, _) => {
                reply(200, json!({ "access_token": format!("t{}", hit.before) }).to_string())
            }
            (_, Some("Bearer t1")) => honest(hit),
            (_, Some("Bearer t0")) if hit.before < 2 => honest(hit),
            _ => {
                let realm = format!("Bearer realm=\"http://{}/token\"", hit.field("host").unwrap());
                reply(401, "").field("WWW-Authenticate", realm)
            }
        });
    let registry = at(&server, "app:v1", quick());
    for _ in 0..3 {
        top(&registry).unwrap();
    }
    let (first, second) = (Some("Bearer t0"), Some("Bearer t1"));
    let tokens = [None, None, first, first, None, second, second];
    assert_eq!(shown(&server.hits()), tokens);
}

#[test]
fn what_is_no_token_is_refused() {
    let large = json!({ "token": "x".repeat(70_000) }).to_string();
    for answer in [
        "{}",
        "",
        "[]",
        r#"{"token":""}"#,
        r#"{"token":"a\r\nX-Evil: 1"}"#,
        r#"{"token":7}"#,
        r#"{"token":"a b"}"#,
        &large,
    ] {
        let answer = answer.to_owned();
        let server = serve(move |hit| match hit.path.starts_with("/token") {
            true => reply(200, &answer),
            false => reply(401, "").field(
                "WWW-Authenticate",
                format!("Bearer realm=\"http://{}/token\"", hit.field("host").unwrap()),
            ),
        });
        top(&at(&server, "app:v1", quick())).unwrap_err();
        assert_eq!(server.hits_of("/v2/").len(), 1);
    }
}

#[test]
fn a_token_that_never_ends_is_given_up() {
    let server = serve(|hit| match hit.path.starts_with("/token") {
        true => reply(200, vec![b' '; 1 << 16]).never_ends(),
        false => reply(401, "").field(
            "WWW-Authenticate",
            format!("Bearer realm=\"http://{}/token\"", hit.field("host").unwrap()),
        ),
    });
    refused(top(&at(&server, "app:v1", quick())), "too large");
}

#[test]
fn a_redirect_takes_neither_password_nor_token_along() {
    let folder = folder();
    let made = small();
    let elsewhere = serve(registry(&made, "app", "v1"));
    for challenge in ["Basic realm=x", "Bearer realm=REALM"] {
        let there = elsewhere.url("");
        let server = serve(move |hit| match hit.field("authorization") {
            _ if hit.path.starts_with("/token") => reply(200, r#"{"token":"the-token"}"#),
            None => {
                let realm = format!("\"http://{}/token\"", hit.field("host").unwrap());
                reply(401, "").field("WWW-Authenticate", challenge.replace("REALM", &realm))
            }
            Some(_) => redirect(format!("{there}{}", hit.path)),
        });
        top(&at(&server, "app:v1", with_password(&folder, &server))).unwrap();
        assert!(server.hits().last().unwrap().field("authorization").is_some());
    }
    assert_eq!(shown(&elsewhere.hits()), [None, None]);
}

#[test]
fn a_realm_that_redirects_takes_no_password_along() {
    let folder = folder();
    let elsewhere = serve(|_| reply(200, r#"{"token":"t"}"#));
    let there = elsewhere.url("/token");
    let server = serve(move |hit| match hit.path.starts_with("/token") {
        true => redirect(there.clone()),
        false => reply(401, "").field(
            "WWW-Authenticate",
            format!("Bearer realm=\"http://{}/token\"", hit.field("host").unwrap()),
        ),
    });
    top(&at(&server, "app:v1", with_password(&folder, &server))).unwrap_err();
    assert_eq!(shown(&elsewhere.hits()), [None]);
}

#[test]
fn a_realm_elsewhere_over_http_gets_nothing() {
    let folder = folder();
    for realm in [
        "http://auth.example/token",
        "ftp://127.0.0.1/",
        "/token",
        "http://me@127.0.0.1/",
        "http://",
    ] {
        let server = closed("never", move |_| format!("Bearer realm=\"{realm}\""));
        let answer = top(&at(&server, "app:v1", with_password(&folder, &server)));
        refused(answer, "where none may go");
        assert_eq!(server.hits().len(), 1);
    }
}

#[test]
fn a_challenge_that_cannot_be_understood_gets_nothing() {
    let folder = folder();
    for challenge in
        ["", "Basic realm=\"x", "Bearer realm=a,realm=b", "Digest realm=\"x\"", "Basic realm=a b=c"]
    {
        let server = closed(&basic(), move |_| challenge.into());
        top(&at(&server, "app:v1", with_password(&folder, &server))).unwrap_err();
        assert_eq!(shown(&server.hits()), [None], "{challenge}");
    }
}

#[test]
fn a_helper_is_named_when_a_password_is_missing() {
    let folder = folder();
    let server = closed(&basic(), |_| "Basic realm=\"x\"".into());
    let path = folder.join("auth.json");
    std::fs::write(&path, json!({ "credsStore": "desktop" }).to_string()).unwrap();
    let options = Options { authfile: Some(path), ..quick() };
    refused(top(&at(&server, "app:v1", options)), "docker-credential-desktop");
}
