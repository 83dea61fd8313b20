//! The same tests once more, as a user without rights.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::bundle::{program, ran};

/// Nobody that a machine knows: no name, no home, no ranges of ids.
const UID: &str = "54321";

/// A program started by nobody in particular.
fn as_stranger(program: PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={UID}")).arg(format!("--regid={UID}")).arg("--clear-groups");
    command.arg(program).stdin(Stdio::null());
    command
}

/// Whether such a user can make containers here.
pub fn can_contain() -> bool {
    let mut unshare = as_stranger("unshare".into());
    unshare.args(["-Urmp", "-f", "true"]).stderr(Stdio::null());
    unshare.status().is_ok_and(|status| status.success())
}

/// A folder that such a user can read and write, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let dir = std::env::temp_dir().join(format!("learnc-stranger-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("tmp")).unwrap();
        let everybodys = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(dir.join("tmp"), everybodys).unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs this very test program as such a user, and insists that at least so many tests were run.
/// The programs are copied: the user may not be able to read where they are built.
pub fn pass(at_least: usize) {
    let folder = Folder::new();
    let copy = |from: PathBuf, name: &str| {
        let to = folder.0.join(name);
        // By another process: see `copy_program`.
        assert!(Command::new("cp").arg(from).arg(&to).status().unwrap().success());
        to
    };
    let tests = copy(std::env::current_exe().unwrap(), "tests");
    let learnc = copy(program(), "learnc");
    let mut command = as_stranger(tests);
    let own = folder.0.join("tmp");
    command.env("LEARNC_TESTED", learnc).env("TMPDIR", &own).env("HOME", &own);
    // Without a name there is no home to build in.
    command.args(["--skip", "lying build"]).current_dir("/").env_remove("LEARNC_TESTS_MUST");
    let ran = ran(&mut command);
    assert_eq!(ran.status, 0, "{}\n{}", ran.stdout, ran.stderr);
    let passed = ran.stdout.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed >= at_least, "only {passed} were run:\n{}", ran.stdout);
}
