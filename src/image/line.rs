//! The line to a server: one that ends when this process is asked to end, or when nothing comes.
//!
//! connect(2), poll(2), recv(2). A server may take a connection and never say a word. The library that speaks http
//! reads from whatever it is given, so it is given this, and lays TLS over it where that is spoken.
//! What is looked up in the domain name system is looked up by the C library, which has limits of its
//! own, of some seconds.
//!
//! A name of a public host may be looked up as an address of this machine, or of its network: whoever owns
//! the name decides. So it is at the address, where the line begins, that [`Reach`] is held.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::PollFlags;
use ureq::Error;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, Transport,
};

use crate::error::Named;
use crate::sys::stop;

/// How long nothing may come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long an address may take to answer at all.
const KNOCKING: Duration = Duration::from_secs(20);

/// Where a line may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Anywhere,
    /// To addresses that the whole internet can reach. What a proxy looks up, the proxy decides.
    Public,
    /// Anywhere, and never through a proxy: this machine itself.
    Direct,
}

/// What makes requests over such lines, through the proxy of the environment if there is one.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().user_agent("learnc").build();
    lines(config, PATIENCE, Reach::Anywhere)
}

/// The same for one who follows redirects himself, and to whom any status is an answer. Servers prove who they
/// are by these roots, if any are given, and else by Mozilla's.
pub fn careful(patience: Duration, reach: Reach, roots: Option<&RootCerts>) -> ureq::Agent {
    let roots = roots.cloned().unwrap_or(RootCerts::WebPki);
    let config = ureq::Agent::config_builder()
        .user_agent("learnc")
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // A head may come a byte at a time, each within the line's patience.
        .timeout_recv_response(Some(patience));
    let config = if reach == Reach::Direct { config.proxy(None) } else { config };
    lines(config.build(), patience, reach)
}

/// The certificates in this file, as openssl has them: `$SSL_CERT_FILE`, for a registry whose own authority is none of
/// Mozilla's.
pub fn roots(file: &Path) -> Result<RootCerts, crate::error::Error> {
    let pem = std::fs::read(file).named(file)?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect();
    if certificates.is_empty() {
        let error = crate::error::Error::yours("no certificate in PEM form is in it");
        return Err(error.at(file.display().to_string()).at("SSL_CERT_FILE"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn lines(config: ureq::config::Config, patience: Duration, reach: Reach) -> ureq::Agent {
    let connector = ().chain(ConnectProxyConnector::default()).chain(Caller { patience });
    let connector = connector.chain(RustlsConnector::default());
    ureq::Agent::with_parts(config, connector, LookUp { reach, names: DefaultResolver::default() })
}

/// Finds the addresses of a host, and holds them against the reach.
#[derive(Debug)]
struct LookUp {
    reach: Reach,
    names: DefaultResolver,
}

impl Resolver for LookUp {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        // The C library's reasons are many, and none has an errno.
        let found = self.names.resolve(uri, config, timeout).map_err(|_| Error::HostNotFound)?;
        let is_proxy = config.proxy().is_some_and(|proxy| proxy.uri() == uri);
        let inward = found.iter().find(|address| !is_public(address.ip()));
        match inward {
            Some(address) if self.reach == Reach::Public && !is_proxy => {
                let host = uri.host().unwrap_or_default().to_owned();
                Err(Error::Other(Box::new(Inward { host, address: address.ip() })))
            }
            _ => Ok(found),
        }
    }
}

/// A line that would lead inside.
#[derive(Debug)]
pub struct Inward {
    pub host: String,
    pub address: IpAddr,
}

impl std::error::Error for Inward {}

impl std::fmt::Display for Inward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}, an address of no public host", self.host, self.address)
    }
}

/// Whether everybody on the internet means the same machine by it: RFC 6890, and the registries of special
/// addresses that go on from there.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let protocols = (a, b, c) == (192, 0, 0);
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || shared
        || benchmarks
        || protocols
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let words = address.segments();
    let v4 = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match words {
        // ::, ::1, and addresses of version 4 in several disguises.
        [0, 0, 0, 0, 0, 0, high, low] => high != 0 && v4(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, ..] => false,
        [0x2002, high, low, ..] => v4(high, low),
        // Unique local, link-local, the old site-local, multicast.
        [first, ..] => !(first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first >= 0xff00),
    }
}

/// Calls one address of the server after the other.
#[derive(Debug)]
struct Caller {
    patience: Duration,
}

impl<In: Transport> Connector<In> for Caller {
    type Out = Either<In, Line>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        proxied: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(proxied) = proxied {
            return Ok(Some(Either::A(proxied)));
        }
        let mut answer = Err(Error::HostNotFound);
        for address in &details.addrs {
            stop::go_on().map_err(std::io::Error::other)?;
            answer = stop::connected(address, KNOCKING).map_err(Error::Io);
            if answer.is_ok() {
                break;
            }
        }
        let (input, output) =
            (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(input, output);
        let patience = self.patience;
        answer.map(|stream| Some(Either::B(Line { stream, buffers, patience })))
    }
}

/// A connection.
struct Line {
    stream: TcpStream,
    buffers: LazyBuffers,
    patience: Duration,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        // A request is small: there is room for it, whoever listens.
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let patience = self.patience.min(*timeout.after);
        stop::wait(self.stream.as_fd(), PollFlags::POLLIN, Some(patience))?;
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Asked of a line that is kept for the next request. A quiet one is still open. Where something waits
    /// to be read the server has hung up, or speaks out of turn; under TLS also where it has sent a ticket
    /// for a later session, and then another line costs a handshake and no more.
    fn is_open(&mut self) -> bool {
        let quiet = stop::wait(self.stream.as_fd(), PollFlags::POLLIN, Some(Duration::ZERO));
        quiet.is_err_and(|e| e.kind() == std::io::ErrorKind::TimedOut)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_network_are_not_public_in_any_disguise() {
        let inward = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in inward {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_public_line_does_not_lead_to_this_machine() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let error = careful(PATIENCE, Reach::Public, None).get(&url).call().unwrap_err();
        let Error::Other(inward) = error else { panic!("{error}") };
        assert!(inward.is::<Inward>(), "{inward}");
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
