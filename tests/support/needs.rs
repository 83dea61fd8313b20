//! What a test can need of the machine.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use learnc::cgroup::place::{Place, place};
use learnc::lesson::stage::{self, Stage};

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// A container can be made at all: root, or user namespaces.
    Containers,
    Root,
    /// Not root: what is promised to unprivileged users.
    Unprivileged,
    /// Root, who can try what other users can; and these can make containers.
    Strangers,
    /// A static busybox, for root filesystems.
    Busybox,
    Strace,
    /// The right to trace one's own children.
    Ptrace,
    /// The right to trace other processes of this user.
    Attach,
    /// Time for hundreds of lives: LEARNC_TESTS_EVERY does not ask for a sample only.
    Patience,
    Runc,
    Podman,
    /// Copies images, and looks into them.
    Skopeo,
    /// A temporary folder on a filesystem that keeps attributes of users: tmpfs does since Linux 6.6.
    Attributes,
    /// The same where overlay notes in them what a layer hides; for root it has others.
    Joins,
    /// Reads and unpacks OCI image layouts.
    Umoci,
    /// A pure cgroup v2 tree in which this user may make cgroups.
    CgroupV2,
    /// Any cgroup tree in which this user may make cgroups and limit pids and memory.
    Limits,
    /// Neither root nor a cgroup tree in which this user may make any: nothing ends what is left behind.
    NoCgroup,
    /// What `--verify` reads: PTRACE_GET_SYSCALL_INFO, which user-mode-linux has not.
    SyscallInfo,
    /// A user namespace that does not need newuidmap, which has no privilege under a tracer.
    OwnIdMap,
    /// newuidmap, newgidmap and ranges for this user.
    IdRanges,
    /// newuidmap and newgidmap, for whomever.
    IdMaps,
    /// The example `floor`, which `cargo test` builds beside the tests.
    Floor,
    /// What a script of `--by-hand` is made of: util-linux, and an env(1) that restores signals.
    HandTools,
    /// script(1), which gives a program a terminal.
    Terminals,
    /// A shell that opens descriptors above 9.
    Bash,
    /// docker-registry, a registry of images, and skopeo, which pushes to it.
    Registry,
    /// openssl(1), which makes certificates.
    Openssl,
    /// cargo and the sources, to build a variant of learnc.
    Cargo,
}

/// What most tests need.
pub const RUNS: &[Need] = &[Need::Containers, Need::Busybox];

/// What a test of a script of `--by-hand` needs.
pub const BY_HAND: &[Need] = &[Need::Containers, Need::Busybox, Need::HandTools];

/// What a test with strace beside it needs.
pub const WITNESSED: &[Need] = &[Need::Containers, Need::Busybox, Need::Strace, Need::Ptrace];

/// The same, with limits on pids, memory and cpu.
pub const LIMITED: &[Need] =
    &[Need::Containers, Need::Busybox, Need::Strace, Need::Ptrace, Need::Limits];

/// The stages that can be run here, in order: one that limits something takes a cgroup of one's own.
pub fn stages() -> impl Iterator<Item = &'static Stage> {
    stage::all().iter().filter(|stage| !stage.limits() || Need::Limits.is_met())
}

impl Need {
    pub fn is_met(self) -> bool {
        match self {
            Need::Containers => containers(),
            Need::Root => is_root(),
            Need::Unprivileged => !is_root(),
            Need::Strangers => {
                let wanted = !std::env::var("LEARNC_TESTS_STRANGERS").is_ok_and(|n| n == "0");
                wanted && is_root() && super::stranger::can_contain()
            }
            Need::Busybox => busybox().is_some(),
            Need::Strace => in_path("strace"),
            Need::Ptrace => ptrace(),
            Need::Patience => std::env::var_os("LEARNC_TESTS_EVERY").is_none(),
            Need::Attach => {
                let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
                is_root() || scope.map_or(true, |scope| scope.trim() == "0")
            }
            Need::Runc => in_path("runc"),
            Need::Podman => in_path("podman"),
            Need::Skopeo => in_path("skopeo"),
            Need::Umoci => in_path("umoci"),
            Need::Attributes => keeps_attributes(),
            Need::Joins => is_root() || keeps_attributes(),
            Need::CgroupV2 => cgroups().1 && !cgroups().0.is_empty(),
            Need::Limits => ["pids", "memory", "cpu"].iter().all(|c| cgroups().0.contains(c)),
            Need::NoCgroup => !is_root() && cgroups().0.is_empty(),
            Need::SyscallInfo => syscall_info(),
            Need::OwnIdMap => !id_ranges(),
            Need::IdRanges => id_ranges(),
            Need::IdMaps => in_path("newuidmap") && in_path("newgidmap"),
            Need::HandTools => hand_tools(),
            Need::Terminals => in_path("script"),
            Need::Bash => in_path("bash"),
            Need::Registry => in_path("docker-registry") && in_path("skopeo"),
            Need::Openssl => in_path("openssl"),
            Need::Floor => floor().is_some(),
            Need::Cargo => {
                let can_build = || Path::new(env!("CARGO")).exists();
                let brought = std::env::var_os("LEARNC_LIAR").is_some();
                brought || can_build() && Path::new("Cargo.toml").exists()
            }
        }
    }

    /// Why a test is skipped, as it is shown.
    pub fn lack(self) -> &'static str {
        match self {
            Need::Containers => "user namespaces are blocked, see `learnc doctor`",
            Need::Root => "needs root",
            Need::Unprivileged => "for users other than root",
            Need::Strangers => {
                "needs root, setpriv, user namespaces for everybody (and not LEARNC_TESTS_STRANGERS=0)"
            }
            Need::Busybox => "no static busybox (busybox-static)",
            Need::Strace => "no strace",
            Need::Patience => "too slow here (LEARNC_TESTS_EVERY)",
            Need::Attach => "ptrace is allowed to parents only (kernel.yama.ptrace_scope)",
            Need::Ptrace => "ptrace is not allowed",
            Need::Runc => "no runc",
            Need::Podman => "no podman",
            Need::Skopeo => "no skopeo",
            Need::Umoci => "no umoci",
            Need::Attributes | Need::Joins => "the temporary folder keeps no user.* attributes",
            Need::CgroupV2 => "no writable pure cgroup v2",
            Need::Limits => "no cgroup of one's own with pids, memory and cpu",
            Need::NoCgroup => "for users who can make no cgroup",
            Need::SyscallInfo => "this kernel has no PTRACE_GET_SYSCALL_INFO",
            Need::OwnIdMap => "a tracer takes newuidmap's privilege away",
            Need::IdRanges => "no newuidmap, or no ranges in /etc/subuid",
            Need::IdMaps => "no newuidmap (uidmap)",
            Need::HandTools => "not all of util-linux, or no env --default-signal",
            Need::Terminals => "no script (util-linux)",
            Need::Bash => "no bash",
            Need::Registry => "no docker-registry, or no skopeo",
            Need::Openssl => "no openssl",
            Need::Floor => "no floor program (cargo build --example floor)",
            Need::Cargo => "no cargo or no sources here",
        }
    }

    /// Whether the caller of the suite insists on it.
    pub fn must_be_met(self) -> bool {
        let insisted = std::env::var("LEARNC_TESTS_MUST").unwrap_or_default();
        insisted.split(',').any(|name| name.eq_ignore_ascii_case(&format!("{self:?}")))
    }
}

fn keeps_attributes() -> bool {
    use learnc::event::Lane;
    use learnc::sys::attributes::Lsetxattr;
    use learnc::sys::{Kernel, Manner};
    let path = std::env::temp_dir().join(format!("learnc-attributes-{}", std::process::id()));
    let _ = std::fs::write(&path, "");
    let name = std::ffi::OsStr::new("user.learnc");
    let k = Kernel::new(Manner::Silent, Lane::Runtime, 0);
    let kept = k.call(Lsetxattr { path: &path, name, value: b"y" }).is_ok();
    let _ = std::fs::remove_file(&path);
    kept
}

fn hand_tools() -> bool {
    let tools = ["unshare", "nsenter", "setpriv", "setsid", "pivot_root", "prlimit", "script"];
    let has = |tool: &&str| in_path(tool) || Path::new("/usr/sbin").join(tool).is_file();
    let mut env = Command::new("env");
    env.args(["--default-signal", "true"]).stderr(Stdio::null());
    tools.iter().all(has) && env.status().is_ok_and(|status| status.success())
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub fn in_path(name: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').any(|dir| Path::new(dir).join(name).is_file())
}

/// A busybox that runs in an empty directory.
pub fn busybox() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<&'static Path>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"]
            .into_iter()
            .map(Path::new)
            .find(|path| {
                // A static program names no loader.
                std::fs::read(path).is_ok_and(|bytes| !contains(&bytes, b"/ld-linux"))
            })
    })
}

/// The program that makes the calls of the default container and nothing else.
pub fn floor() -> Option<std::path::PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_learnc")).with_file_name("examples");
    Some(built.join("floor")).filter(|path| path.is_file())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn containers() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let flags: &[&str] = if is_root() { &["-mp", "-f"] } else { &["-Urmp", "-f"] };
        let mut unshare = Command::new("unshare");
        unshare.args(flags).arg("true").stderr(Stdio::null());
        unshare.status().is_ok_and(|status| status.success())
    })
}

fn ptrace() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let mut strace = Command::new("strace");
        strace.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
        strace.status().is_ok_and(|status| status.success())
    })
}

/// Tried on a process of one's own that waits.
fn syscall_info() -> bool {
    use nix::sys::{ptrace, wait};
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let Ok(mut cat) = Command::new("cat").stdin(Stdio::piped()).spawn() else { return false };
        let pid = nix::unistd::Pid::from_raw(cat.id() as i32);
        let stopped = ptrace::seize(pid, ptrace::Options::empty())
            .and_then(|()| ptrace::interrupt(pid))
            .and_then(|()| wait::waitpid(pid, None));
        let works = stopped.and_then(|_| ptrace::syscall_info(pid)).is_ok();
        let _ = cat.kill();
        let _ = cat.wait();
        works
    })
}

fn id_ranges() -> bool {
    // Read as learnc reads it: the C library's way would load modules, which a static program cannot.
    let Some(name) = learnc::facts::login_name() else { return false };
    let has = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.split(':').next() == Some(&name))
    };
    !is_root() && in_path("newuidmap") && has("/etc/subuid") && has("/etc/subgid")
}

/// The controllers that this user can limit in a new cgroup, and whether that is on pure v2.
pub fn cgroups() -> &'static (Vec<&'static str>, bool) {
    static FOUND: OnceLock<(Vec<&'static str>, bool)> = OnceLock::new();
    FOUND.get_or_init(|| {
        let cgroups = learnc::facts::read().cgroups;
        let able = |name: &&str| match place(&cgroups, None, "probe", &[name]) {
            Ok(Place::V1(trees)) => trees.iter().any(|t| t.controllers.iter().any(|c| c == name)),
            Ok(Place::V2(branch)) => branch.missing.is_empty(),
            _ => false,
        };
        (["pids", "memory", "cpu"].into_iter().filter(able).collect(), cgroups.is_v2())
    })
}
