//! A server for tests that does as it is told: it cuts, stalls, lies, redirects, and remembers what it was asked.
//!
//! ```no_run
//! let made = image().layer(..).made();
//! let server = serve(registry(&made, "app", "v1"));               // an honest registry of one image
//! let server = serve(move |hit: &Hit| match hit.path.as_str() {     // one that is not
//!     "/v2/app/manifests/v1" => reply(200, b"x").cut_after(0),
//!     _ => honest(hit),
//! });
//! server.name("app:v1");          // 127.0.0.1:40123/app:v1
//! server.hits();                  // every request with its fields, in order
//! ```
//!
//! It listens on loopback, speaks http/1.1 with kept connections, and ends with the value. Whoever stalls waits for the
//! other side to hang up, and for nothing else: no clock decides.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::images::Made;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Hit {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub fields: BTreeMap<String, String>,
    /// How often this path was asked for before.
    pub before: usize,
    /// Which connection it came over, from 0.
    pub line: usize,
}

impl Hit {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// `bytes=N-`
    pub fn from(&self) -> Option<usize> {
        self.field("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What Content-Length says; `None`: there is none, and the connection ends with the body.
    pub length: Option<usize>,
    pub end: End,
}

#[derive(Debug, Clone)]
pub enum End {
    /// The next request is awaited.
    Well,
    /// Hangs up after so many bytes of the body.
    Cut(usize),
    /// Says nothing after them, until the other side hangs up.
    Stall(usize),
    /// The body over and over, until the other side hangs up.
    Never,
    /// Both sides are connected with this address.
    Tunnel(SocketAddr),
}

pub fn reply(status: u16, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref().to_vec();
    Reply { status, fields: vec![], length: Some(body.len()), body, end: End::Well }
}

pub fn redirect(location: impl Into<String>) -> Reply {
    reply(307, "").field("Location", location)
}

pub fn tunnel(to: SocketAddr) -> Reply {
    Reply { end: End::Tunnel(to), length: None, ..reply(200, "") }
}

impl Reply {
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.fields.push((name.to_owned(), value.into()));
        self
    }
    pub fn cut_after(self, bytes: usize) -> Reply {
        Reply { end: End::Cut(bytes), ..self }
    }
    pub fn stall_after(self, bytes: usize) -> Reply {
        Reply { end: End::Stall(bytes), ..self }
    }
    pub fn never_ends(self) -> Reply {
        Reply { end: End::Never, length: None, ..self }
    }
    pub fn says_length(self, length: usize) -> Reply {
        Reply { length: Some(length), ..self }
    }
    pub fn without_length(self) -> Reply {
        Reply { length: None, ..self }
    }
}

/// A server, as long as the value lives.
pub struct Server {
    pub address: SocketAddr,
    hits: Arc<Mutex<Vec<Hit>>>,
    ends: Arc<AtomicBool>,
}

pub fn serve(answer: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (hits, ends) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
    let (answer, heard, over) = (Arc::new(answer), hits.clone(), ends.clone());
    std::thread::spawn(move || {
        for (line, stream) in listener.incoming().enumerate() {
            if over.load(SeqCst) {
                break;
            }
            let (answer, heard) = (answer.clone(), heard.clone());
            let talk = move |stream| talk(stream, line, &heard, &*answer);
            stream.into_iter().for_each(|stream| {
                let talk = talk.clone();
                std::thread::spawn(move || talk(stream));
            });
        }
    });
    Server { address, hits, ends }
}

impl Server {
    /// The image `rest` of this registry.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }

    /// Those for paths with this in them.
    pub fn hits_of(&self, part: &str) -> Vec<Hit> {
        self.hits().into_iter().filter(|hit| hit.path.contains(part)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn talk(stream: TcpStream, line: usize, heard: &Mutex<Vec<Hit>>, answer: &dyn Fn(&Hit) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(mut hit) = request(&mut reader) {
        {
            let mut heard = heard.lock().unwrap();
            hit.before = heard.iter().filter(|other| other.path == hit.path).count();
            hit.line = line;
            heard.push(hit.clone());
        }
        if !send(&stream, &mut reader, &answer(&hit)) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn request(reader: &mut impl BufRead) -> Option<Hit> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut fields = BTreeMap::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Hit { method, path, fields, before: 0, line: 0 })
}

/// Whether the connection is kept.
fn send(mut stream: &TcpStream, reader: &mut impl Read, reply: &Reply) -> bool {
    let mut head = format!("HTTP/1.1 {} Told\r\n", reply.status);
    for (name, value) in &reply.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match reply.length {
        Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
        None => head.push_str("\r\n"),
    }
    let body = match reply.end {
        End::Cut(bytes) | End::Stall(bytes) => &reply.body[..bytes.min(reply.body.len())],
        _ => &reply.body,
    };
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    match reply.end {
        _ if sent.is_err() => false,
        End::Well => reply.length.is_some(),
        End::Cut(_) => false,
        End::Stall(_) => {
            // Ends when the other side hangs up.
            let _ = reader.read_to_end(&mut vec![]);
            false
        }
        End::Never => {
            while stream.write_all(&reply.body).is_ok() {}
            false
        }
        End::Tunnel(to) => {
            through(stream, reader, to);
            false
        }
    }
}

fn through(stream: &TcpStream, reader: &mut impl Read, to: SocketAddr) {
    let Ok(mut there) = TcpStream::connect(to) else { return };
    let (mut back, mut here) = (there.try_clone().unwrap(), stream.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut here);
        let _ = here.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(reader, &mut there);
    let _ = there.shutdown(Shutdown::Both);
}

/// An honest registry with one image.
pub fn registry(
    made: &Made,
    repository: &str,
    tag: &str,
) -> impl Fn(&Hit) -> Reply + Clone + use<> {
    let (made, repository, tag) = (made.clone(), repository.to_owned(), tag.to_owned());
    move |hit: &Hit| {
        let path = hit.path.strip_prefix(&format!("/v2/{repository}/")).unwrap_or_default();
        let (kind, reference) = path.split_once('/').unwrap_or_default();
        let digest = if reference == tag { made.digest() } else { reference };
        let Some(bytes) = made.blobs.get(digest) else {
            let complaint = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}"#;
            return reply(404, complaint);
        };
        match kind {
            "manifests" => {
                let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                let media_type = value["mediaType"].as_str().unwrap();
                reply(200, bytes)
                    .field("Content-Type", media_type)
                    .field("Docker-Content-Digest", digest)
            }
            _ => part(hit, bytes),
        }
    }
}

/// A blob, or the part of it that is asked for.
pub fn part(hit: &Hit, bytes: &[u8]) -> Reply {
    let octets = |reply: Reply| reply.field("Content-Type", "application/octet-stream");
    match hit.from() {
        Some(from) if from < bytes.len() => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            octets(reply(206, &bytes[from..])).field("Content-Range", range)
        }
        Some(_) => reply(416, ""),
        None => octets(reply(200, bytes)),
    }
}

/// A port on which nobody listens, and nobody can while this is there.
pub fn deaf_port() -> (std::os::fd::OwnedFd, String) {
    use nix::sys::socket::*;
    use std::os::fd::AsRawFd;
    let none = SockFlag::SOCK_CLOEXEC;
    let deaf = socket(AddressFamily::Inet, SockType::Stream, none, None).unwrap();
    bind(deaf.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let port = getsockname::<SockaddrIn>(deaf.as_raw_fd()).unwrap().port();
    (deaf, format!("127.0.0.1:{port}"))
}
