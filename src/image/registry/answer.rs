//! What an answer means, or that there was none: errors that pass, errors that last, and small documents.
//!
//! An error says what the registry says, as `plain` text, beside what is known here.

use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ureq::http::Uri;

use super::Inside;
use super::ask::{Asked, Tell, Trouble};
use crate::args;
use crate::error::{Error, Result};
use crate::image::line::Inward;

/// Of a refusal's body, in bytes, is read no more.
const COMPLAINT: u64 = 8 << 10;

fn of_proxy(what: &str, why: &str) -> Error {
    Error::yours(format!("the proxy of this environment {what}"))
        .because(args::plain(why).to_string())
        .try_this(
            "HTTPS_PROXY, ALL_PROXY or HTTP_PROXY put right, or NO_PROXY with this registry's name",
        )
}

/// TLS came to nothing.
fn unproven(why: &str) -> Error {
    // rustls has kinds for these; through the client they come in words.
    match () {
        () if why.contains("invalid peer certificate") => Error::yours(
            "the server cannot prove who it is",
        )
        .try_this("SSL_CERT_FILE=FILE, with the certificate of the authority that vouches for it"),
        () if why.contains("corrupt message") => Error::yours("the server speaks no TLS")
            .try_this("--plain-http, only if the registry is yours and speaks http"),
        () => Error::yours("the server and learnc come to no agreement about TLS"),
    }
    .because(why)
}

impl Inside {
    /// What a line that broke, or never was, means.
    pub fn trouble(&self, uri: &Uri, e: &ureq::Error) -> Trouble {
        let host = uri.authority().map(|host| host.to_string()).unwrap_or_default();
        let at = |error: Error| error.at(args::plain(&host).to_string());
        let met = self.met.load(Ordering::Relaxed);
        match e {
            ureq::Error::HostNotFound if met => {
                Trouble::Passing(at(Error::yours("its name was not found any more")), None)
            }
            ureq::Error::HostNotFound => at(Error::yours("no host of that name was found")
                .try_this("is there a network, and is the registry's name spelt so?"))
            .into(),
            ureq::Error::Other(other) if other.is::<Inward>() => {
                at(Error::yours("the registry leads where no registry may")
                    .because(other.to_string()))
                .into()
            }
            ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused && !met => {
                at(self.nobody(uri)).into()
            }
            ureq::Error::ConnectProxyFailed(why) => at(of_proxy("connects to nobody", why)).into(),
            ureq::Error::Io(io) if io.kind() == ErrorKind::InvalidData => {
                at(unproven(&io.to_string())).into()
            }
            ureq::Error::Io(io) => {
                Trouble::Passing(at(Error::yours(format!("the connection broke: {io}"))), None)
            }
            ureq::Error::Timeout(_) => {
                Trouble::Passing(at(Error::yours("the server is silent")), None)
            }
            e => {
                at(Error::yours("the server's answer cannot be understood").because(e.to_string()))
                    .into()
            }
        }
    }

    /// Nobody takes the call: the registry, or who stands before it.
    fn nobody(&self, uri: &Uri) -> Error {
        match self.proxy(uri) {
            Some(proxy) => {
                let text = format!("nobody listens at {}:{}", proxy.host(), proxy.port());
                of_proxy("is not there", &text)
            }
            // Under this name images are kept that came from a folder or a file.
            None if uri.authority().is_some_and(|host| host.as_str() == "localhost") => {
                Error::yours("nobody listens there").try_this(
                    "is the registry running? What came from a folder or file comes from there again: learnc pull oci:DIR",
                )
            }
            None => Error::yours("nobody listens there").try_this("is the registry running?"),
        }
    }

    /// What a status that is no success means.
    pub fn refusal(&self, mut asked: Asked) -> Trouble {
        let status = asked.status();
        let complaint = complaint(&mut asked);
        let error = match status {
            401 | 403 => self.denied(status, &complaint),
            404 => Error::yours("the registry has no such image")
                .try_this("is the name right, and the tag?"),
            _ => Error::yours(format!("the registry answered {status}")),
        };
        let error = if complaint.is_empty() { error } else { error.because(complaint) };
        match status {
            408 | 429 | 500 | 502 | 503 | 504 => {
                let wish =
                    asked.field("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                Trouble::Passing(error, wish.map(Duration::from_secs))
            }
            _ => error.into(),
        }
    }

    /// A small document: all of it, or an error.
    pub fn document(
        &self,
        path: &str,
        accept: &str,
        limit: u64,
        tell: Tell,
    ) -> Result<(Asked, Vec<u8>)> {
        self.patiently(|| {
            let mut asked = self.ask(path, accept, 0, tell)?;
            let bytes = self.all(&mut asked, limit)?;
            Ok((asked, bytes))
        })
    }

    /// The body, which must not be larger than this, nor take forever.
    pub fn all(&self, asked: &mut Asked, limit: u64) -> Result<Vec<u8>, Trouble> {
        let large = |bytes: u64| {
            Error::yours("the server's answer is too large")
                .because(format!("{bytes} bytes or more; {limit} at most are read"))
        };
        let length = asked.length();
        if let Some(length) = length.filter(|length| *length > limit) {
            return Err(large(length).into());
        }
        let (mut bytes, mut piece) = (vec![], vec![0; 64 << 10]);
        let end = Instant::now() + self.options.patience;
        let mut body = asked.0.body_mut().with_config().limit(u64::MAX).reader();
        loop {
            let count = body.read(&mut piece).map_err(|e| {
                Trouble::Passing(Error::yours(format!("the connection broke: {e}")), None)
            })?;
            bytes.extend_from_slice(&piece[..count]);
            if bytes.len() as u64 > limit {
                return Err(large(bytes.len() as u64).into());
            }
            if count == 0 {
                return Ok(bytes);
            }
            if Instant::now() > end {
                return Err(Trouble::Passing(
                    Error::yours("the server's answer does not end"),
                    None,
                ));
            }
        }
    }
}

/// `{"errors": [{"code": "DENIED", "message": "…"}]}`: distribution-spec, "Error Codes".
fn complaint(asked: &mut Asked) -> String {
    let mut bytes = vec![];
    let reader = asked.0.body_mut().with_config().limit(u64::MAX).reader();
    let _ = reader.take(COMPLAINT).read_to_end(&mut bytes);
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let first = &value["errors"][0];
    let words = [&first["code"], &first["message"]].map(|word| word.as_str().unwrap_or_default());
    let text = words.join(": ");
    match text.as_str() {
        ": " => String::new(),
        text => format!("it says {}", args::plain(&text.chars().take(200).collect::<String>())),
    }
}
