//! The line to a server: one that ends when this process is asked to end, or when nothing comes.
//!
//! connect(2), poll(2), recv(2). A server may take a connection and never say a word. The library that speaks http
//! reads from whatever it is given, so it is given this, and lays TLS over it where that is spoken.
//! What is looked up in the domain name system is looked up by the C library, which has limits of its
//! own, of some seconds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::PollFlags;
use ureq::Error;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, Transport,
};

use crate::sys::stop;

/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an address may take to answer at all.
const KNOCKING: Duration = Duration::from_secs(20);

/// What makes requests over such lines, through the proxy of the environment if there is one.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().user_agent("learnc").build();
    let connector = ().chain(ConnectProxyConnector::default()).chain(Caller);
    ureq::Agent::with_parts(
        config,
        connector.chain(RustlsConnector::default()),
        DefaultResolver::default(),
    )
}

/// Calls one address of the server after the other.
#[derive(Debug)]
struct Caller;

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
        answer.map(|stream| Some(Either::B(Line { stream, buffers })))
    }
}

/// A connection.
struct Line {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        // A request is small: there is room for it, whoever listens.
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        stop::wait(self.stream.as_fd(), PollFlags::POLLIN, Some(PATIENCE))?;
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Each is used for one request.
    fn is_open(&mut self) -> bool {
        false
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("stream", &self.stream).finish_non_exhaustive()
    }
}
