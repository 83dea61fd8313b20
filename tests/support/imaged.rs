//! An image of busybox in two layers, and a place from which it is run.

use std::process::Command;

use serde_json::json;

use super::bundle::{Bundle, Ran, bundle, ran};
use super::images::*;
use super::needs::busybox;

/// A place without a config.json, and an image of busybox in two layers in a layout in it.
pub struct Place {
    pub bundle: Bundle,
}

pub fn base() -> Image {
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
    let group = "root:x:0:\nweb:x:34:\nlogs:x:4:web\n";
    let applets =
        "sh cat ls id env pwd echo grep touch rm true sleep mkdir wc hostname stat chown chmod";
    let links = applets.split(' ').map(|name| symlink(&format!("bin/{name}"), "busybox"));
    let binary = std::fs::read(busybox().unwrap()).unwrap();
    let first = [dir("bin"), dir("etc"), dir("srv"), file("bin/busybox", binary).mode(0o755)];
    let files = [file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"), file("etc/group", group)];
    let more = [file("etc/motd", "old\n"), file("srv/a", "a"), file("data", "not to be run")];
    image()
        .layer(layer(first.into_iter().chain(files).chain(more).chain(links)).gzip())
        .layer(layer([
            file("etc/passwd", passwd),
            whiteout("etc/motd"),
            opaque("srv"),
            file("srv/b", "b"),
        ]))
        .set("/config/Cmd", json!(["sh", "-c", "echo from Cmd"]))
        .set("/config/Env", json!(["PATH=/bin", "COLOUR=red"]))
}

pub fn place(image: Image) -> Place {
    let bundle = bundle();
    image.made().layout(&bundle.dir.join("layout"), "v1");
    Place { bundle }
}

impl Place {
    pub fn learnc(&self, args: &[&str]) -> Command {
        let here = self.bundle.dir.join("here");
        std::fs::create_dir_all(&here).unwrap();
        let mut command = self.bundle.learnc(args.iter().copied());
        command.current_dir(here);
        command
    }

    pub fn image(&self) -> String {
        format!("oci:{}:v1", self.bundle.dir.join("layout").display())
    }

    /// `learnc run --quiet SWITCHES IMAGE -- COMMAND`
    pub fn run(&self, switches: &[&str], command: &[&str]) -> Ran {
        let image = self.image();
        let dashes: &[&str] = if command.is_empty() { &[] } else { &["--"] };
        ran(&mut self.learnc(&[&["run", "--quiet"], switches, &[&image], dashes, command].concat()))
    }

    pub fn says(&self, switches: &[&str], command: &[&str]) -> String {
        self.run(switches, command).ok().stdout
    }
}

impl Place {
    /// Brings the image into the store: its name there.
    pub fn pulled(&self) -> String {
        let said = ran(&mut self.learnc(&["pull", "--quiet", &self.image()])).ok().stdout;
        said.split(' ').next().unwrap().to_owned()
    }
}
