//! The config that `learnc spec` writes and `learnc run` starts from.
//!
//! The same container that `runc spec` describes, so that a tutorial's steps work with either: six
//! namespaces, seven mounts, three capabilities, a read-only root, `sh` on a terminal.

use serde_json::{Value, json};

/// The version of the runtime spec that learnc is written to.
pub const OCI_VERSION: &str = "1.2.1";

/// For a runtime that is started as root.
pub fn config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "learnc",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"}
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi"
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"
            ]
        }
    })
}

/// For `learnc run` without a bundle: the same container, with a root of its own to write to. `root`
/// tells whether a runtime with real privileges starts it; if not, the plan adds what it takes.
pub fn own(args: &[String], terminal: bool, root: bool) -> Value {
    let mut config = config();
    config["hostname"] = json!("box");
    config["root"]["readonly"] = json!(false);
    set_program(&mut config, args, terminal);
    if let Some(env) = config["process"]["env"].as_array_mut() {
        env.extend([json!("HOME=/root"), json!("PS1=box:$PWD # ")]);
    }
    if !root {
        without_device_rules(&mut config["linux"]);
    }
    config
}

/// For a runtime that is started by an unprivileged user: a user namespace, and nothing that
/// would take real root. `uid` and `gid` are the user's own.
pub fn rootless(uid: u32, gid: u32) -> Value {
    for_user(config(), uid, gid)
}

/// The same container for a user without root: id 0 in it is this user, and what only real root can
/// give is left out.
pub fn for_user(mut config: Value, uid: u32, gid: u32) -> Value {
    let linux = &mut config["linux"];
    linux["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    linux["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
    let user = json!({"type": "user"});
    if let Some(list) = linux["namespaces"].as_array_mut().filter(|list| !list.contains(&user)) {
        list.push(user);
    }
    without_device_rules(linux);
    // By get_mut: an index would write a null where there is nothing.
    for mount in config.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|o| o != "gid=5");
        }
    }
    config
}

fn without_device_rules(linux: &mut Value) {
    let Some(linux) = linux.as_object_mut() else { return };
    if let Some(resources) = linux.get_mut("resources").and_then(Value::as_object_mut) {
        resources.shift_remove("devices");
        if resources.is_empty() {
            linux.shift_remove("resources");
        }
    }
}

/// The program of a config that is not in a file: what it runs, on a terminal or not, in the terminal's
/// own kind.
pub fn set_program(config: &mut Value, args: &[String], terminal: bool) {
    let Some(process) = config.get_mut("process") else { return };
    if !args.is_empty() {
        process["args"] = json!(args);
    }
    process["terminal"] = json!(terminal);
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".into());
    if let Some(env) = process["env"].as_array_mut() {
        env.retain(|line| !line.as_str().is_some_and(|line| line.starts_with("TERM=")));
        env.push(json!(format!("TERM={term}")));
    }
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]
        },
        {
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        },
        {
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]
        },
        {
            "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"]
        },
        {
            "destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"]
        },
        {
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]
        }
    ])
}
