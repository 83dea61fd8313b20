//! A real registry for a test of its own: Debian's docker-registry, on loopback, with a folder that goes with it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::bundle::ran;
use super::images::{Folder, Made, folder};

/// The password that [`Distribution::closed`] wants, of the user `me`.
pub const PASSWORD: &str = "correct horse";

/// The same as htpasswd(1) writes it.
const HTPASSWD: &str = "me:$2y$05$S.huDPCm4.hNspiM0S0dXOq/2dj4BpHTNLyVfe8dU6L5M020BtxOC\n";

/// A docker-registry, as long as the value lives.
pub struct Distribution {
    process: Child,
    /// `127.0.0.1:40123`
    pub address: String,
    pub folder: Folder,
}

impl Distribution {
    pub fn open() -> Distribution {
        Distribution::start("")
    }

    /// One that wants a password.
    pub fn closed() -> Distribution {
        Distribution::start("auth: {htpasswd: {realm: tests, path: HERE/htpasswd}}\n")
    }

    /// One that speaks TLS, with a certificate for `registry.example`, which is in `certificate.pem` of its folder.
    pub fn secure() -> Distribution {
        let folder = folder();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=registry.example", "-addext", "basicConstraints=CA:FALSE"]);
        openssl.args(["-addext", "subjectAltName=DNS:registry.example", "-out"]);
        openssl.arg(folder.join("certificate.pem")).arg("-keyout").arg(folder.join("key.pem"));
        ran(&mut openssl).ok();
        let tls = "tls: {certificate: HERE/certificate.pem, key: HERE/key.pem}";
        Distribution::begin(folder, &format!(", {tls}"), "")
    }

    fn start(more: &str) -> Distribution {
        Distribution::begin(folder(), "", more)
    }

    fn begin(folder: Folder, http: &str, more: &str) -> Distribution {
        let here = folder.0.display().to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: \"127.0.0.1:0\"{http}}}\n\
             storage: {{filesystem: {{rootdirectory: HERE/data}}}}\n{more}"
        );
        std::fs::write(folder.join("config.yml"), config.replace("HERE", &here)).unwrap();
        std::fs::write(folder.join("htpasswd"), HTPASSWD).unwrap();
        let mut registry = Command::new("docker-registry");
        registry.arg("serve").arg(folder.join("config.yml"));
        registry.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = registry.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "docker-registry did not start");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',']).next().unwrap().to_owned();
            }
        };
        // Nobody may be kept from writing what nobody reads.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Distribution { process, address, folder }
    }

    /// `127.0.0.1:40123/app:v1`
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Pushes what skopeo can read (`oci:DIR:TAG`), with more of its options.
    pub fn push(&self, from: &str, rest: &str, more: &[&str]) {
        let mut skopeo = skopeo();
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]).args(more);
        ran(skopeo.arg(from).arg(format!("docker://{}", self.name(rest)))).ok();
    }

    /// Pushes images that were made by code.
    pub fn push_made(&self, made: &Made, rest: &str, more: &[&str]) {
        let layout = folder();
        made.layout(&layout.join("layout"), "x");
        self.push(&format!("oci:{}:x", layout.join("layout").display()), rest, more);
    }

    /// The digest that the registry has for a tag.
    pub fn digest(&self, rest: &str) -> String {
        let mut skopeo = skopeo();
        skopeo.args(["inspect", "--raw", "--tls-verify=false"]);
        let raw = ran(skopeo.arg(format!("docker://{}", self.name(rest)))).ok().stdout;
        learnc::image::digest::Digest::of(raw.as_bytes()).to_string()
    }
}

/// Without anybody's passwords: a folder of another user's may be where it would look for them.
pub fn skopeo() -> Command {
    let mut skopeo = Command::new("skopeo");
    skopeo.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    skopeo
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
