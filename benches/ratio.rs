//! What a container costs with learnc, its peers, and the floor.
//!
//! ```text
//! cargo bench --bench ratio             as root; ROUNDS=50 by default
//! ```
//!
//! One container of the default bundle with `true` in it, from the start of the runtime's process to
//! its end: the time that somebody at a prompt, or an engine, waits. All take turns in every round,
//! so that whatever else the machine does falls on each of them alike; medians are compared, and
//! ratios are what to read: milliseconds are this machine's. Nothing is decided by it: no test
//! depends on time.
// A measure starts programs and makes folders; it is no part of learnc.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Somebody who can run the bundle.
struct Runner {
    name: &'static str,
    command: Box<dyn Fn(usize) -> Command>,
    times: Vec<Duration>,
}

fn main() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("ratio: the default bundle is one for root; nothing measured");
        return Ok(());
    }
    let rounds = std::env::var("ROUNDS").map_or(Ok(50), |n| n.parse())?;
    let dir = std::env::temp_dir().join(format!("learnc-ratio-{}", std::process::id()));
    let told = make_bundle(&dir).and_then(|()| {
        let mut runners = runners(&dir)?;
        measure(&mut runners, rounds)?;
        tell(&runners, rounds);
        Ok(())
    });
    fs::remove_dir_all(&dir)?;
    told
}

/// The bundle of `learnc spec`, with busybox in it, `true` for a program and no terminal.
fn make_bundle(dir: &Path) -> Result<()> {
    let bin = dir.join("rootfs/bin");
    fs::create_dir_all(&bin)?;
    for below in ["proc", "dev", "sys"] {
        fs::create_dir(dir.join("rootfs").join(below))?;
    }
    let busybox = which("busybox").ok_or("busybox-static is needed for the root filesystem")?;
    fs::copy(busybox, bin.join("busybox"))?;
    std::os::unix::fs::symlink("busybox", bin.join("true"))?;
    must(Command::new(learnc()).arg("spec").arg("-b").arg(dir))?;
    let path = dir.join("config.json");
    let mut config: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    // Older releases of crun refuse a newer version of the specification than theirs.
    config["ociVersion"] = "1.0.2".into();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(["true"]);
    Ok(fs::write(path, config.to_string())?)
}

/// The release build; or another build, with a `floor` beside it in `examples/`.
fn learnc() -> PathBuf {
    std::env::var_os("LEARNC_TESTED").map_or(env!("CARGO_BIN_EXE_learnc").into(), PathBuf::from)
}

fn runners(dir: &Path) -> Result<Vec<Runner>> {
    if std::env::var_os("LEARNC_TESTED").is_none() {
        let args = ["build", "--quiet", "--release", "--example", "floor"];
        must(Command::new(env!("CARGO")).args(args))?;
    }
    let floor = learnc().with_file_name("examples").join("floor");
    let cgroups = cgroups(dir)?;
    let (rootfs, states) = (dir.join("rootfs"), dir.to_owned());
    let mut runners = vec![
        runner("floor", move |i| {
            let mut command = Command::new(&floor);
            command.arg(&rootfs).arg(states.join(format!("floor-{i}"))).args(&cgroups);
            command
        }),
        oci("learnc", learnc(), dir, &["run", "--quiet"]),
        oci("learnc, telling", learnc(), dir, &["run", "--explain"]),
    ];
    for peer in ["crun", "runc"] {
        let Some(path) = which(peer) else {
            eprintln!("ratio: no {peer} here");
            continue;
        };
        let peer = oci(peer, path, dir, &["run"]);
        match must(&mut (peer.command)(usize::MAX)) {
            Ok(()) => runners.push(peer),
            Err(e) => eprintln!("ratio: left out, since it fails here: {e}"),
        }
    }
    Ok(runners)
}

fn runner(name: &'static str, command: impl Fn(usize) -> Command + 'static) -> Runner {
    Runner { name, command: Box::new(command), times: vec![] }
}

fn oci(name: &'static str, program: PathBuf, dir: &Path, verb: &'static [&str]) -> Runner {
    let (bundle, states) = (dir.to_owned(), dir.join("states"));
    runner(name, move |i| {
        let mut command = Command::new(&program);
        command.arg("--root").arg(&states).args(verb).arg("--bundle").arg(&bundle);
        command.arg(format!("ratio-{}-{}-{i}", std::process::id(), name.len()));
        command
    })
}

/// The cgroup directories that learnc makes here, as its events tell, under another name.
fn cgroups(dir: &Path) -> Result<Vec<String>> {
    let (events, id) = (dir.join("events"), format!("ratio-{}", std::process::id()));
    let mut command = Command::new(learnc());
    command.arg("--root").arg(dir.join("states")).args(["run", "--quiet", "--events"]);
    must(command.arg(&events).arg("--bundle").arg(dir).arg(&id))?;
    let mut dirs = vec![];
    for line in fs::read_to_string(events)?.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        let path = event["args"]["pathname"].as_str().unwrap_or_default();
        if event["name"] == "mkdirat" && path.starts_with("/sys/fs/cgroup/") && path.contains(&id) {
            dirs.push(path.replace(&id, &format!("{id}-floor")));
        }
    }
    Ok(dirs)
}

/// In another order each round: what one does shortly before costs or spares the next one something.
fn measure(runners: &mut [Runner], rounds: usize) -> Result<()> {
    let mut order: Vec<usize> = (0..runners.len()).collect();
    let mut chance: usize = 1;
    for round in 0..=rounds {
        for last in (1..order.len()).rev() {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(last, (chance >> 33) % (last + 1));
        }
        for runner in &order {
            let runner = &mut runners[*runner];
            let mut command = (runner.command)(round);
            let began = Instant::now();
            must(&mut command)?;
            // The first round fills the page cache.
            if round > 0 {
                runner.times.push(began.elapsed());
            }
        }
    }
    Ok(())
}

fn must(command: &mut Command) -> Result<()> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match quiet.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{command:?}: {status}").into()),
    }
}

fn tell(runners: &[Runner], rounds: usize) {
    let median = |times: &[Duration]| {
        let mut sorted = times.to_vec();
        sorted.sort();
        (sorted[0].as_secs_f64() * 1e3, sorted[sorted.len() / 2].as_secs_f64() * 1e3)
    };
    let (_, floor) = median(&runners[0].times);
    println!("{rounds} interleaved rounds of one container each, whole process, milliseconds");
    println!("{:<16} {:>8} {:>8} {:>10}", "", "fastest", "median", "to floor");
    for runner in runners {
        let (fastest, middle) = median(&runner.times);
        println!("{:<16} {fastest:>8.2} {middle:>8.2} {:>9.2}x", runner.name, middle / floor);
    }
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
