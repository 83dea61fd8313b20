//! A user with ranges of ids, whom this machine need not have: root lends the name.
//!
//! In a mount namespace of the command's own, files with the user's lines lie over /etc/passwd, subuid(5) and
//! subgid(5). newuidmap is setuid, and a tracer without rights takes that from it: here strace(1) is root's, and
//! starts the user's program.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bundle::program;

const NAME: &str = "ranged";
const UID: u32 = 54322;
/// The first of the user's further ids, and how many they are.
const RANGE: (u32, u32) = (1_000_000, 65_536);

/// A folder of the user's, with learnc in it; gone when dropped.
pub struct Ranged {
    pub dir: PathBuf,
}

impl Ranged {
    pub fn new(tag: &str) -> Ranged {
        let dir = std::env::temp_dir().join(format!("learnc-ranged-{}-{tag}", std::process::id()));
        std::fs::create_dir_all(dir.join("home")).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        chown(dir.join("home"), Some(UID), Some(UID)).unwrap();
        assert!(
            Command::new("cp").arg(program()).arg(dir.join("learnc")).status().unwrap().success()
        );
        let passwd = format!("root:x:0:0::/root:/bin/sh\n{NAME}:x:{UID}:{UID}::/:/bin/sh\n");
        std::fs::write(dir.join("passwd"), passwd).unwrap();
        let range = format!("{NAME}:{}:{}\n", RANGE.0, RANGE.1);
        std::fs::write(dir.join("range"), range).unwrap();
        Ranged { dir }
    }

    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// `learnc ARGS` as the user; under strace, writing to files that begin with this, if that is given.
    pub fn learnc(&self, args: &[&str], traces: Option<&Path>) -> Command {
        let mut command = Command::new("unshare");
        let lent = "mount --bind $1/passwd /etc/passwd && mount --bind $1/range /etc/subuid && \
                    mount --bind $1/range /etc/subgid && shift && exec \"$@\"";
        command.args(["-m", "sh", "-c", lent, "-"]).arg(&self.dir);
        match traces {
            Some(prefix) => command
                .args([
                    "strace",
                    "-u",
                    NAME,
                    "-ff",
                    "--decode-fds=path,socket",
                    "-v",
                    "-s",
                    "1000000",
                ])
                .arg("-o")
                .arg(prefix)
                .arg("--"),
            None => {
                let ids = [format!("--reuid={UID}"), format!("--regid={UID}")];
                command.arg("setpriv").args(ids).arg("--clear-groups")
            }
        };
        command.arg(self.dir.join("learnc")).arg("--root").arg(self.home().join("states"));
        command.args(args).current_dir(self.home()).env("HOME", self.home());
        command
            .env("TMPDIR", self.home())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_RUNTIME_DIR");
        command.stdin(std::process::Stdio::null());
        command
    }

    /// What an id of a namespace with all of the user's is outside.
    pub fn outside(id: u32) -> u32 {
        if id == 0 { UID } else { RANGE.0 + id - 1 }
    }
}

impl Drop for Ranged {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
