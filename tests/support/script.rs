//! `learnc run --by-hand`, and the script that it prints.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::bundle::{Bundle, bundle, ran};
use super::needs::is_root;

/// What the program does while it is looked at: it says what cannot be seen from outside, and waits.
pub const WAITS: &str = "hostname; cat /proc/sys/kernel/domainname; echo up; read end; exit 42";

/// Scripts are run by the shell that is there, with a temporary folder in the bundle.
pub struct ByHand {
    pub bundle: Bundle,
    pub script: PathBuf,
    pub text: String,
}

impl ByHand {
    /// What `learnc run --by-hand` prints, with these arguments.
    pub fn printed(bundle: Bundle, args: &[&str]) -> ByHand {
        ByHand::printed_by(bundle, "run", args)
    }

    /// The same of another verb.
    pub fn printed_by(bundle: Bundle, verb: &str, args: &[&str]) -> ByHand {
        let mut command = bundle.learnc([verb, "--by-hand"]);
        let text = ran(own_data(&mut command, &bundle).args(args)).ok().stdout;
        let script = bundle.dir.join("box.sh");
        std::fs::write(&script, &text).unwrap();
        std::fs::create_dir_all(bundle.dir.join("tmp")).unwrap();
        ran(Command::new("sh").arg("-n").arg(&script)).ok();
        ByHand { bundle, script, text }
    }

    /// Of the bundle.
    pub fn of(bundle: Bundle) -> ByHand {
        let id = bundle.id.clone();
        ByHand::printed(bundle, &[&id])
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new("sh");
        command.arg(&self.script).current_dir("/").env("TMPDIR", self.bundle.dir.join("tmp"));
        command.stdin(Stdio::null());
        command
    }

    /// Cgroups that the script makes are not there.
    pub fn assert_nothing_is_left(&self) {
        let tmp = std::fs::read_dir(self.bundle.dir.join("tmp")).unwrap();
        assert_eq!(tmp.map(|e| e.unwrap().path()).collect::<Vec<_>>(), Vec::<PathBuf>::new());
        let cgroups = self.text.lines().filter_map(|line| line.strip_prefix("make_cgroup /"));
        for dir in cgroups.map(|dir| Path::new("/").join(dir)) {
            assert!(!dir.exists(), "{} is left", dir.display());
        }
    }
}

/// Roots of learnc's own making on the file system on which the script makes its own.
pub fn own_data<'a>(command: &'a mut Command, bundle: &Bundle) -> &'a mut Command {
    command.env("XDG_DATA_HOME", bundle.dir.join("data"))
}

/// The bundle's program, told apart from all others.
pub fn waiting(bundle: Bundle) -> Bundle {
    let id = bundle.id.clone();
    bundle.args(["sh", "-c", WAITS, &id])
}

/// A config without a namespace, and with the one capability that chroot takes.
pub fn chroot_only() -> Bundle {
    let kept = json!(["CAP_SYS_CHROOT"]);
    let bundle = ["bounding", "effective", "permitted"].iter().fold(bundle(), |bundle, set| {
        bundle.set(&format!("/process/capabilities/{set}"), kept.clone())
    });
    let namespaces = if is_root() { json!([]) } else { json!([{"type": "user"}]) };
    let bundle = bundle.set("/linux/namespaces", namespaces);
    let bundle = bundle.without("/mounts").without("/hostname").without("/root/readonly");
    bundle.without("/linux/maskedPaths").without("/linux/readonlyPaths")
}
