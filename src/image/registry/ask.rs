//! One question to a registry: with what must be shown, through redirects, again where the line breaks.
//!
//! RFC 9110. What goes wrong is of two kinds. Some of it passes: a line that breaks, 429, 503. It is tried again. The
//! rest is an answer: 404 will be 404 the next time.

use std::net::ToSocketAddrs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, Uri, header};

use super::{Inside, rules};
use crate::args;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::line::is_public;
use crate::sys::stop;

/// How often one answer may lead elsewhere.
const REDIRECTS: usize = 5;

/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What was asked, and answered.
#[derive(Debug, Clone)]
pub(super) struct Said {
    url: String,
    status: u16,
    media_type: String,
    bytes: Option<u64>,
}

impl Said {
    pub fn event(self, index: Option<usize>) -> Event {
        let Said { url, status, media_type, bytes } = self;
        Event::Requested { index, method: "GET".into(), url, status, media_type, bytes }
    }
}

/// Somebody who hears what is asked.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Said);

/// An answer's head, with the body to be read.
pub(super) struct Asked(pub Response<Body>);

impl Asked {
    pub fn field(&self, name: &str) -> Option<String> {
        self.0.headers().get(name)?.to_str().ok().map(str::to_owned)
    }

    pub fn length(&self) -> Option<u64> {
        self.field("content-length")?.trim().parse().ok()
    }

    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }
}

/// Why there is no answer, or none that one can go by.
pub(super) enum Trouble {
    /// It may be better later; the server may have said when.
    Passing(Error, Option<Duration>),
    Lasting(Error),
}

impl From<Error> for Trouble {
    fn from(e: Error) -> Trouble {
        Trouble::Lasting(e)
    }
}

/// What is asked.
pub(super) struct Question<'a> {
    pub uri: &'a Uri,
    /// What is shown of how: the registry's own addresses whole, others without their query.
    pub shown: String,
    pub accept: &'a str,
    /// From which byte on.
    pub from: u64,
    pub pass: Option<&'a str>,
}

impl Inside {
    /// Tries until it works, or the patience is over.
    pub fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T> {
        let mut tries = 0;
        loop {
            stop::go_on()?;
            let (error, wish) = match attempt() {
                Ok(done) => return Ok(done),
                Err(Trouble::Lasting(e)) => return stop::go_on().and(Err(e)),
                Err(Trouble::Passing(e, wish)) => (e, wish),
            };
            self.pause(&mut tries, error, wish)?;
        }
    }

    /// Waits before the next try, if there shall be one.
    pub fn pause(&self, tries: &mut u32, error: Error, wish: Option<Duration>) -> Result<()> {
        stop::go_on()?;
        if *tries >= self.options.tries {
            let times = *tries + 1;
            return Err(if times > 1 {
                error.because(format!("tried {times} times"))
            } else {
                error
            });
        }
        let pause = self.options.pause * 2u32.pow((*tries).min(10));
        *tries += 1;
        stop::pause(pause.max(wish.unwrap_or_default()).min(LONGEST_PAUSE))
    }

    /// Whatever is below the registry's own address.
    pub fn at_home(&self, path: &str) -> Result<Uri> {
        let home = self.home.to_string();
        format!("{}{path}", home.trim_end_matches('/'))
            .parse()
            .map_err(|_| Error::yours(format!("{path} is no path of an address")))
    }

    /// Asks the registry, and shows what it wants to be shown.
    pub fn ask(&self, path: &str, accept: &str, from: u64, tell: Tell) -> Result<Asked, Trouble> {
        let uri = self.at_home(path)?;
        let (mut pass, mut is_new) = (self.pass(), false);
        loop {
            let question = Question {
                uri: &uri,
                shown: rules::shown(&uri),
                accept,
                from,
                pass: pass.as_deref(),
            };
            let asked = self.follow(question, tell)?;
            match asked.status() {
                200 | 206 => return Ok(asked),
                401 if !is_new => {
                    pass = Some(self.new_pass(&asked, pass.as_deref(), tell)?);
                    is_new = true;
                }
                _ => return Err(self.refusal(asked)),
            }
        }
    }

    /// Asks, and goes where the answers lead.
    pub fn follow(&self, question: Question, tell: Tell) -> Result<Asked, Trouble> {
        let Question { uri, mut shown, accept, from, pass } = question;
        let mut at = uri.clone();
        for _ in 0..=REDIRECTS {
            // To the very server that it is for, and to no other.
            let pass = pass.filter(|_| rules::same_origin(&at, uri));
            let asked = Asked(self.send(&at, accept, from, pass)?);
            tell(Said {
                url: args::plain(&shown).to_string(),
                status: asked.status(),
                media_type: said_type(&asked),
                bytes: asked.length(),
            });
            if ![301, 302, 303, 307, 308].contains(&asked.status()) {
                return Ok(asked);
            }
            let location = asked.field("location").unwrap_or_default();
            at = rules::next(&at, &location, self.is_local())?;
            shown = rules::shown(&at);
        }
        Err(Error::yours(format!("the registry leads on and on: {REDIRECTS} redirects")).into())
    }

    fn send(
        &self,
        uri: &Uri,
        accept: &str,
        from: u64,
        pass: Option<&str>,
    ) -> Result<Response<Body>, Trouble> {
        let agent = match () {
            () if is_this_machine(uri) => &self.direct,
            () if self.is_local() => &self.anywhere,
            () => &self.public,
        };
        let mut request = agent.get(uri).header(header::ACCEPT, accept);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(pass) = pass {
            request = request.header(header::AUTHORIZATION, pass);
        }
        let answer = request.call().map_err(|e| self.trouble(uri, &e));
        self.met.fetch_or(answer.is_ok(), Ordering::Relaxed);
        answer
    }

    /// Whom the environment puts between this machine and that host.
    pub fn proxy(&self, uri: &Uri) -> Option<ureq::Proxy> {
        let proxy = ureq::Proxy::try_from_env()?;
        (!is_this_machine(uri) && !proxy.is_no_proxy(uri)).then_some(proxy)
    }

    /// Whether the registry is on this machine or in its network, and so may lead there.
    pub fn is_local(&self) -> bool {
        *self.is_local.get_or_init(|| {
            let host = self.home.host().unwrap_or_default();
            if rules::is_inward(host) {
                return true;
            }
            // Behind a proxy it is the proxy who looks names up.
            if self.proxy(&self.home).is_some() {
                return false;
            }
            let port = self.home.port_u16().unwrap_or(443);
            let found = (host, port).to_socket_addrs();
            found.is_ok_and(|mut found| found.any(|address| !is_public(address.ip())))
        })
    }
}

fn is_this_machine(uri: &Uri) -> bool {
    rules::is_loopback(uri.host().unwrap_or_default())
}

fn said_type(asked: &Asked) -> String {
    let said = asked.field("content-type").unwrap_or_default();
    said.chars().filter(|c| matches!(c, ' '..='~')).take(127).collect()
}
