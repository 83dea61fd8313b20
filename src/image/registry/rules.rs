//! Where a request may go, and with what: pure.
//!
//! A registry says where a blob is (`Location`) and where a password is to be shown (`realm`). It may be
//! wrong, or wicked. So:
//!
//! * http is spoken with this machine, or where the user says so; never after https;
//! * a registry of the internet sends nobody to this machine or into its network. One that is itself there may;
//! * a password goes to the registry's own host. Another host gets it only over https, in the internet (docker.io
//!   has auth.docker.io), unless the registry is in this network too.
//!
//! What a name stands for is known when it is looked up: [`Reach::Public`] goes on where this ends.
//!
//! [`Reach::Public`]: crate::image::line::Reach

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};

use crate::error::{Error, Result};
use crate::image::line::is_public;
use crate::image::names::DOCKER_HUB;

/// Where docker.io's images are.
const HUB: &str = "registry-1.docker.io";

/// Scheme and host of a registry, as it is written in an image's name.
pub fn home(registry: &str, plain_http: bool) -> Result<Uri> {
    let authority = if registry == DOCKER_HUB { HUB } else { registry };
    let authority: Authority = authority.parse().map_err(|_| {
        Error::yours(format!("registry {registry:?} is no host with or without a port"))
    })?;
    let plain = plain_http || is_loopback(authority.host());
    let scheme = if plain { Scheme::HTTP } else { Scheme::HTTPS };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
    uri.map_err(|e| Error::yours(e.to_string()).at(registry.to_owned()))
}

/// The same server, reached in the same way: scheme, host and port.
pub fn same_origin(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && same_host(a, b) && port(a) == port(b)
}

fn same_host(a: &Uri, b: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    host(a) == host(b)
}

fn port(uri: &Uri) -> Option<u16> {
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    uri.port_u16().or(Some(usual))
}

/// This machine, by what is written.
pub fn is_loopback(host: &str) -> bool {
    let host = bare(host);
    let named = host == "localhost" || host.ends_with(".localhost");
    named || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// This machine or its network, by what is written. `2130706433` and `0x7f.1` are addresses to the C library, and
/// to some proxies.
pub fn is_inward(host: &str) -> bool {
    let host = bare(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return !is_public(address);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    number || is_loopback(&host)
}

fn bare(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Where a redirect leads from `from`, if one may follow it.
pub fn next(from: &Uri, location: &str, registry_is_local: bool) -> Result<Uri> {
    let refused = |why: String| {
        Error::yours("the registry leads where no registry may").because(why).try_this(
            "do not trust it; if it is yours, let it serve the blobs itself (no redirect)",
        )
    };
    let Some(to) = resolve(from, location) else {
        return Err(refused(format!("{location:?} is no http or https address")));
    };
    let host = to.host().unwrap_or_default();
    if from.scheme() == Some(&Scheme::HTTPS) && to.scheme() == Some(&Scheme::HTTP) {
        return Err(refused(format!("it leads from https to http: {}", shown(&to))));
    }
    if is_inward(host) && !registry_is_local {
        return Err(refused(format!("{host} is no public host, and the registry is one")));
    }
    Ok(to)
}

/// `Location`, absolute: RFC 3986, 5.2, but for `..`, which servers answer as they like.
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?.as_str());
    let location = location.split('#').next().unwrap_or_default();
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    address(&absolute)
}

/// An address of http or https, with a host and without a user in it.
pub fn address(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let spoken = [Some("http"), Some("https")].contains(&uri.scheme_str());
    let plain = spoken && !authority.host().is_empty() && !authority.as_str().contains('@');
    plain.then_some(uri)
}

/// The address at which a registry wants a password, or nothing, exchanged for a token, if it may be asked.
pub fn realm(home: &Uri, realm: &str, registry_is_local: bool) -> Result<Uri> {
    let refused = |why: String| {
        Error::yours("the registry wants passwords shown where none may go").because(format!(
            "its realm is {:?}: {why}",
            realm.split('?').next().unwrap_or_default()
        ))
    };
    let uri = address(realm).ok_or_else(|| refused("no http or https address".into()))?;
    let host = uri.host().unwrap_or_default();
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let home_is_secure = home.scheme() == Some(&Scheme::HTTPS);
    if !secure && home_is_secure {
        return Err(refused("http, and the registry itself speaks https".into()));
    }
    if same_host(&uri, home) {
        return Ok(uri);
    }
    if is_inward(host) && !registry_is_local {
        return Err(refused(format!("{host} is no public host, and the registry is one")));
    }
    let both_inward = registry_is_local && is_inward(host);
    if !secure && !both_inward {
        return Err(refused("http, to another host than the registry".into()));
    }
    Ok(uri)
}

/// An address without what may be secret in it.
pub fn shown(uri: &Uri) -> String {
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.authority());
    let query = if uri.query().is_some() { "?…" } else { "" };
    let host = host.map(|host| host.as_str()).unwrap_or_default();
    format!("{scheme}://{host}{}{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Uri {
        address(text).unwrap()
    }

    #[test]
    fn http_is_for_this_machine_or_by_wish() {
        let scheme = |registry, plain| home(registry, plain).unwrap().to_string();
        assert_eq!(scheme("docker.io", false), "https://registry-1.docker.io/");
        assert_eq!(scheme("localhost:5000", false), "http://localhost:5000/");
        assert_eq!(scheme("127.0.0.1:5000", false), "http://127.0.0.1:5000/");
        assert_eq!(scheme("[::1]:5000", false), "http://[::1]:5000/");
        assert_eq!(scheme("10.0.0.1:5000", false), "https://10.0.0.1:5000/");
        assert_eq!(scheme("10.0.0.1:5000", true), "http://10.0.0.1:5000/");
        assert_eq!(scheme("localhost.example", false), "https://localhost.example/");
    }

    #[test]
    fn a_redirect_is_followed_where_it_may_lead() {
        let from = at("https://r.example/v2/a/blobs/x");
        let to = |location: &str| next(&from, location, false).map(|uri| uri.to_string());
        assert_eq!(to("https://cdn.example/y?sig=1").unwrap(), "https://cdn.example/y?sig=1");
        assert_eq!(to("//cdn.example/y#z").unwrap(), "https://cdn.example/y");
        assert_eq!(to("/y").unwrap(), "https://r.example/y");
        assert_eq!(to("y").unwrap(), "https://r.example/v2/a/blobs/y");
        for bad in [
            "http://cdn.example/y",
            "http://r.example/y",
            "ftp://x/y",
            "file:///etc/passwd",
            "https://u:p@x.example/",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://10.1.2.3/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://",
            "https:///x",
            "\u{0}",
        ] {
            assert!(to(bad).is_err(), "{bad}: {:?}", to(bad));
        }
        let local = at("http://localhost:5000/v2/");
        assert!(next(&local, "http://127.0.0.1:9000/y", true).is_ok());
        assert!(next(&local, "https://cdn.example/y", true).is_ok());
    }

    #[test]
    fn a_realm_gets_a_password_where_it_may() {
        let hub = home("docker.io", false).unwrap();
        assert!(realm(&hub, "https://auth.docker.io/token", false).is_ok());
        assert!(realm(&hub, "https://registry-1.docker.io:444/token", false).is_ok());
        for bad in [
            "http://auth.docker.io/token",
            "http://registry-1.docker.io/token",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "https://localhost/",
            "/token",
            "",
            "https://a@auth.docker.io/",
            "ldap://x/",
        ] {
            assert!(realm(&hub, bad, false).is_err(), "{bad}");
        }
        let here = home("localhost:5000", false).unwrap();
        assert!(realm(&here, "http://localhost:5001/token", true).is_ok());
        assert!(realm(&here, "http://127.0.0.1:5001/token", true).is_ok());
        assert!(realm(&here, "https://auth.example/token", true).is_ok());
        assert!(realm(&here, "http://auth.example/token", true).is_err());
        let plain = home("r.example", true).unwrap();
        assert!(realm(&plain, "http://r.example/token", false).is_ok());
        assert!(realm(&plain, "http://other.example/token", false).is_err());
    }

    #[test]
    fn the_same_server_is_the_same_port_too() {
        assert!(same_origin(&at("https://A.example/x"), &at("https://a.example:443/y")));
        assert!(!same_origin(&at("https://a.example/x"), &at("https://a.example:444/x")));
        assert!(!same_origin(&at("https://a.example/x"), &at("http://a.example/x")));
    }

    #[test]
    fn what_is_shown_has_no_query() {
        assert_eq!(shown(&at("https://cdn.example/y?X-Sig=secret")), "https://cdn.example/y?…");
    }

    proptest! {
        #[test]
        fn no_location_leads_from_the_internet_inside_or_to_http(location in "(https?:)?/{0,3}[a-z0-9.:@\\[\\]/]{0,30}") {
            if let Ok(uri) = next(&at("https://r.example/v2/"), &location, false) {
                prop_assert_eq!(uri.scheme_str(), Some("https"));
                prop_assert!(!is_inward(uri.host().unwrap()));
            }
        }
    }
}
