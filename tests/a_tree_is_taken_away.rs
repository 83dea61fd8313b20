//! Taking a root filesystem away takes nothing else away, and can be asked for before it is complete.

#![allow(
    clippy::disallowed_methods,
    unsafe_code,
    reason = "a test makes its files and processes itself"
)]

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use learnc::event::Lane;
use learnc::sys::copy::{give_tree, remove_tree};
use learnc::sys::{Kernel, Manner};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use support::bundle::{copy_program, ran, read};
use support::host::in_a_mount_table_of_its_own;
use support::*;

/// Something bound on a place, no longer so when dropped.
struct Bound(PathBuf);

impl Bound {
    fn on(source: &Path, place: PathBuf) -> Bound {
        let none: Option<&str> = None;
        mount(Some(source), &place, none, MsFlags::MS_BIND, none).unwrap();
        Bound(place)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn visit(bundle: &Bundle, script: &str) -> Command {
    let mut command = bundle.learnc(["stage", "rootfs", "--quiet", "--id", &bundle.id, "--"]);
    command.args(["sh", "-c", script]);
    command
}

fn folder_with(bundle: &Bundle, name: &str, file: &str) -> PathBuf {
    let folder = bundle.dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(file), "dear").unwrap();
    folder
}

/// Whether the folder of the stage's tree is there.
fn is_left(bundle: &Bundle) -> bool {
    bundle.data().join("learnc").join(&bundle.id).exists()
}

fn what_a_visitor_mounted_is_left_alone() {
    let bundle = bundle();
    let precious = folder_with(&bundle, "precious", "letter");
    let script = format!("pwd >{0}/where; mount --bind {0} proc", precious.display());
    let stage = ran(&mut visit(&bundle, &script));
    let place = PathBuf::from(read(precious.join("where")).trim()).join("proc");
    let bound = Bound(place.clone());
    assert!(is_left(&bundle));
    assert_eq!(stage.status, 1, "{}", stage.stderr);
    assert_eq!(read(precious.join("letter")), "dear");
    let clean = ran(bundle.learnc(["clean"]).arg("--quiet"));
    for ran in [stage, clean] {
        assert_eq!(ran.status, 1, "{ran:?}");
        let umount = format!("umount {}", place.display());
        assert!(ran.stderr.contains(&format!("mounted on {}", place.display())), "{ran:?}");
        assert!(ran.stderr.contains(&umount), "{ran:?}");
    }
    assert_eq!(read(precious.join("letter")), "dear");
    drop(bound);
    ran(&mut bundle.learnc(["clean"])).ok();
    assert!(!is_left(&bundle));
    assert_eq!(read(precious.join("letter")), "dear");
}

fn nor_does_a_script_empty_it() {
    let bundle = bundle();
    let precious = folder_with(&bundle, "precious", "letter");
    let temporary = bundle.dir.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let script = format!("pwd >{0}/where; mount --bind {0} proc", precious.display());
    let mut print = bundle.learnc(["stage", "rootfs", "--by-hand", "--", "sh", "-c", &script]);
    let text = ran(&mut print).ok().stdout;
    let by_hand = ran(Command::new("sh").args(["-c", &text]).env("TMPDIR", &temporary));
    let place = PathBuf::from(read(precious.join("where")).trim()).join("proc");
    let bound = Bound(place.clone());
    assert_eq!(read(precious.join("letter")), "dear");
    assert_ne!(by_hand.status, 0, "{by_hand:?}");
    assert!(by_hand.stderr.contains(&format!("mounted on {}", place.display())), "{by_hand:?}");
    drop(bound);
}

/// A file that is bound on a file, a folder on a folder, and the tree's own folder.
fn no_mount_is_entered() {
    let bundle = bundle();
    let precious = folder_with(&bundle, "precious", "letter");
    let letter = precious.join("letter");
    let k = Kernel::new(Manner::Silent, Lane::Runtime, 0);
    for (source, at) in [(&letter, "tree/letter"), (&precious, "tree/inner"), (&precious, "tree")] {
        let tree = folder_with(&bundle, "tree", "letter");
        std::fs::create_dir(tree.join("inner")).unwrap();
        let place = bundle.dir.join(at);
        let bound = Bound::on(source, place.clone());
        for refused in [give_tree(&k, &tree, 7, 7), remove_tree(&k, &tree).map(drop)] {
            let text = refused.unwrap_err().to_string();
            assert!(text.ends_with(&format!("mounted on {}", place.display())), "{text}");
        }
        let owner = letter.metadata().unwrap();
        assert_eq!((owner.uid(), &*read(&letter)), (nix::unistd::geteuid().as_raw(), "dear"));
        drop(bound);
        give_tree(&k, &tree, 7, 7).unwrap();
        let mut all = std::fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path());
        assert!(all.all(|path| path.metadata().unwrap().uid() == 7));
        assert_eq!(tree.metadata().unwrap().uid(), 7);
        assert_eq!(remove_tree(&k, &tree), Ok(true));
        assert_eq!(remove_tree(&k, &tree), Ok(false));
    }
}

/// A stage whose tree is made of this, and which takes the signals that it is sent, however this test
/// was started.
fn making(bundle: &Bundle, from: &str) -> Command {
    let mut command = bundle.learnc(["stage", "rootfs", "--quiet", "--from", from]);
    command.args(["--id", &bundle.id, "--", "true"]).stderr(Stdio::null());
    // SAFETY: the default disposition runs no code of ours.
    unsafe { command.pre_exec(|| Ok(signal(Signal::SIGINT, SigHandler::SigDfl).map(drop)?)) };
    command
}

fn ends_and_leaves_nothing(bundle: &Bundle, mut runtime: Child, signal: Signal) {
    kill(Pid::from_raw(runtime.id() as i32), signal).unwrap();
    wait_until("it has ended", || runtime.try_wait().unwrap().is_some());
    assert_eq!(runtime.wait().unwrap().code(), Some(128 + signal as i32));
    assert!(!is_left(bundle) && bundle.state().is_none());
}

/// It takes a connection, and says no more than this, whatever it is asked.
fn a_server_that_says(word: Vec<u8>) -> (String, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/root.tar", listener.local_addr().unwrap());
    let (taken, takes) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&word).unwrap();
        taken.send(stream).unwrap();
    });
    (url, takes)
}

fn a_silent_server_is_left() {
    let words: [&[u8]; 2] = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nsome"];
    for (word, signal) in words.into_iter().zip([Signal::SIGINT, Signal::SIGTERM]) {
        let bundle = bundle();
        let (url, takes) = a_server_that_says(word.into());
        let runtime = making(&bundle, &url).spawn().unwrap();
        let stream = takes.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(is_left(&bundle), "the folder comes before the download");
        ends_and_leaves_nothing(&bundle, runtime, signal);
        drop(stream);
    }
}

fn a_server_that_says_all_is_heard() {
    let bundle = bundle();
    let [_, archive] = large(&bundle);
    let bytes = std::fs::read(archive).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
    let (url, takes) = a_server_that_says([head.into_bytes(), bytes].concat());
    let mut visit = bundle.learnc(["stage", "rootfs", "--quiet", "--from", &url]);
    visit.args(["--id", &bundle.id, "--", "sh", "-c", "ls | wc -l"]);
    assert_eq!(ran(&mut visit).ok().stdout.trim(), FILES.to_string());
    drop(takes);
}

/// In the place of the real one, which takes minutes.
fn a_tool_is_asked_to_end_too() {
    let bundle = bundle();
    let tools = bundle.dir.join("tools");
    let up = bundle.dir.join("up");
    std::fs::create_dir(&tools).unwrap();
    let ended = "trap 'echo ended >\"$UP\"; exit 9' TERM; echo up >\"$UP\"";
    let script = format!("#!/bin/sh\n{ended}; while :; do sleep 0.01; done\n");
    std::fs::write(bundle.dir.join("script"), script).unwrap();
    copy_program(bundle.dir.join("script"), tools.join("debootstrap"));
    std::fs::set_permissions(tools.join("debootstrap"), PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut command = making(&bundle, "debootstrap");
    let runtime = command.env("PATH", path).env("UP", &up).spawn().unwrap();
    wait_until("the tool is up", || read(&up) == "up\n");
    assert!(is_left(&bundle));
    ends_and_leaves_nothing(&bundle, runtime, Signal::SIGTERM);
    assert_eq!(read(&up), "ended\n");
}

const FILES: usize = 200;

/// A folder with many files, and an archive of it.
fn large(bundle: &Bundle) -> [PathBuf; 2] {
    let folder = folder_with(bundle, "large", "first");
    (1..FILES).for_each(|n| std::fs::write(folder.join(n.to_string()), "more").unwrap());
    let archive = bundle.dir.join("large.tar");
    let file = std::fs::File::create(&archive).unwrap();
    tar::Builder::new(file).append_dir_all(".", &folder).unwrap();
    [folder, archive]
}

/// The signal comes with the third file, by strace's injection.
fn a_copy_need_not_be_complete() {
    let bundle = bundle();
    for from in large(&bundle) {
        let trace = bundle.dir.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o"]).arg(&trace).args(["-e", "trace=fchmodat"]);
        strace.args(["-e", "inject=fchmodat:signal=SIGTERM:when=3", "--"]);
        let making = making(&bundle, from.to_str().unwrap());
        strace.arg(making.get_program()).args(making.get_args()).current_dir(&bundle.dir);
        strace.envs(making.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = ran(strace.stdin(Stdio::null()));
        assert_eq!(ran.status, 128 + 15, "{}", ran.stderr);
        let made = read(&trace).matches("fchmodat(").count();
        assert_eq!(made, 3, "{} files of {FILES}", made);
        assert!(!is_left(&bundle) && bundle.state().is_none());
    }
}

fn main() {
    in_a_mount_table_of_its_own();
    const TREES: &[Need] = &[Need::Busybox];
    let injected = &[Need::Busybox, Need::Strace, Need::Ptrace];
    let mounts = &[Need::Root, Need::Busybox];
    let scripts = &[Need::Root, Need::Busybox, Need::HandTools];
    suite(vec![
        test("what a visitor mounted is left alone", mounts, what_a_visitor_mounted_is_left_alone),
        test("nor does a script empty it", scripts, nor_does_a_script_empty_it),
        test("a silent server is left at a signal", TREES, a_silent_server_is_left),
        test("a server that says all is heard", TREES, a_server_that_says_all_is_heard),
        test("a tool is asked to end too", TREES, a_tool_is_asked_to_end_too),
        test("a copy need not be complete", injected, a_copy_need_not_be_complete),
        test("no mount is entered", mounts, no_mount_is_entered),
    ])
}
