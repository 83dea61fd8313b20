//! A config for an image's program: what the image wishes, and what the command line has otherwise.
//!
//! image-spec, conversion.md. Entrypoint and Cmd are the program's words, and of these Cmd is what is said
//! behind `--`; Env, WorkingDir and User are taken as they are; ports and the stop signal become annotations,
//! since the runtime's config has no field for them. The rights are those that engines give a container without
//! being asked: programs of images change their user, and their files' owners, on the way.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::accounts::Account;
use super::defaults;
use crate::error::{Error, Result};
use crate::image::document::{self, Wishes};

/// What is asked for beside the image.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// In the place of the image's Cmd.
    pub command: Vec<String>,
    pub entrypoint: Option<String>,
    /// `NAME=VALUE`, or `NAME` for this process's own.
    pub env: Vec<String>,
    pub workdir: Option<String>,
    /// `SOURCE:TARGET[:ro|rw]`
    pub volumes: Vec<String>,
    pub read_only: bool,
    pub terminal: bool,
    /// Whether the runtime has real privileges.
    pub root: bool,
}

/// What engines leave a container, podman's list.
const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The config.json.
pub fn config(image: &document::Config, account: &Account, asked: &Asked) -> Result<Value> {
    let none = Wishes::default();
    let wishes = image.config.as_ref().unwrap_or(&none);
    let words = words(wishes, asked)?;
    let mut config = defaults::own(&words, asked.terminal, asked.root);
    let process = &mut config["process"];
    process["env"] = json!(env(wishes, account, asked)?);
    process["cwd"] = json!(workdir(wishes, asked)?);
    process["user"] = json!({"uid": account.uid, "gid": account.gid});
    if !account.groups.is_empty() {
        process["user"]["additionalGids"] = json!(account.groups);
    }
    let sets = ["bounding", "effective", "permitted"];
    process["capabilities"] =
        sets.map(|set| (set.to_owned(), json!(CAPABILITIES))).into_iter().collect();
    if let Some(process) = process.as_object_mut() {
        // An image's program may count on programs with the set-user-id bit, and on more than 1024 files.
        process.shift_remove("noNewPrivileges");
        process.shift_remove("rlimits");
    }
    config["root"]["readonly"] = json!(asked.read_only);
    let mounts = asked.volumes.iter().map(|volume| mount(volume)).collect::<Result<Vec<_>>>()?;
    if let Some(list) = config["mounts"].as_array_mut() {
        list.extend(mounts);
    }
    let annotations = annotations(image, wishes);
    if !annotations.is_empty() {
        config["annotations"] = Value::Object(annotations);
    }
    Ok(config)
}

/// The program and its arguments. Another entrypoint is a program of its own, which the image's Cmd was not
/// meant for.
fn words(wishes: &Wishes, asked: &Asked) -> Result<Vec<String>> {
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (entrypoint, cmd) = match &asked.entrypoint {
        None => (list(&wishes.entrypoint), list(&wishes.cmd)),
        Some(program) if program.is_empty() => (vec![], vec![]),
        Some(program) => (vec![program.clone()], vec![]),
    };
    let cmd = if asked.command.is_empty() { cmd } else { asked.command.clone() };
    let words = [entrypoint, cmd].concat();
    match words.is_empty() {
        false => Ok(words),
        true => Err(Error::yours("the image names no program to run")
            .because("it has neither Entrypoint nor Cmd")
            .try_this("learnc run IMAGE -- PROGRAM")),
    }
}

/// The image's, then the command line's, in which a later one replaces an earlier one of the same name.
fn env(wishes: &Wishes, account: &Account, asked: &Asked) -> Result<Vec<String>> {
    let home = account.home.as_deref().unwrap_or("/");
    let mut env = vec![PATH.to_owned(), format!("HOME={home}")];
    if asked.terminal {
        env.push(format!("TERM={}", std::env::var("TERM").unwrap_or_else(|_| "xterm".into())));
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut set = |entry: String| match env.iter_mut().find(|old| name(old) == name(&entry)) {
        Some(old) => *old = entry,
        None => env.push(entry),
    };
    wishes.env.iter().flatten().cloned().for_each(&mut set);
    for asked in &asked.env {
        if name(asked).is_empty() {
            return Err(Error::yours(format!("{asked:?} has no name"))
                .at("--env")
                .try_this("NAME=VALUE, or NAME for the value that it has here"));
        }
        let here = || std::env::var(asked).ok().map(|value| format!("{asked}={value}"));
        let entry = if asked.contains('=') { Some(asked.clone()) } else { here() };
        entry.into_iter().for_each(&mut set);
    }
    Ok(env)
}

fn workdir(wishes: &Wishes, asked: &Asked) -> Result<String> {
    let wished = Some(wishes.working_dir.as_str()).filter(|dir| !dir.is_empty());
    match asked.workdir.as_deref().or(wished).unwrap_or("/") {
        dir if dir.starts_with('/') => Ok(dir.to_owned()),
        dir if asked.workdir.is_some() => {
            Err(Error::yours(format!("{dir:?} must be absolute")).at("--workdir").try_this("/srv"))
        }
        // As engines read it.
        dir => Ok(format!("/{dir}")),
    }
}

/// `SOURCE:TARGET[:OPTION,…]`
fn mount(volume: &str) -> Result<Value> {
    let wrong = |why: &str| {
        Error::yours(format!("{volume:?}: {why}"))
            .at("--volume")
            .try_this("SOURCE:TARGET or SOURCE:TARGET:ro, with a folder or file of this host")
    };
    let parts: Vec<&str> = volume.split(':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(wrong("two paths are needed, with a colon between them")),
    };
    if !source.starts_with(['/', '.']) {
        return Err(wrong("learnc keeps no volumes with names; a path begins with / or ."));
    }
    if !target.starts_with('/') || target == "/" {
        return Err(wrong("the place in the container is an absolute path, and not /"));
    }
    let mut list = vec!["rbind", "rprivate"];
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "rw" => list.push(option),
            // For SELinux and for engines' own volumes; here they mean nothing.
            "z" | "Z" | "rprivate" => {}
            _ => return Err(wrong("of options, ro and rw are known")),
        }
    }
    let source: PathBuf = std::path::absolute(Path::new(source))?;
    Ok(json!({"destination": target, "type": "bind", "source": source, "options": list}))
}

/// conversion.md, "Annotation Fields".
fn annotations(image: &document::Config, wishes: &Wishes) -> Map<String, Value> {
    let ports = ports(wishes).join(",");
    let platform = &image.platform;
    let fields = [
        ("os", Some(platform.os.clone())),
        ("architecture", Some(platform.architecture.clone())),
        ("variant", platform.variant.clone()),
        ("created", image.created.clone()),
        ("stopSignal", wishes.stop_signal.clone()),
        ("exposedPorts", Some(ports).filter(|ports| !ports.is_empty())),
    ];
    let key = |name: &str| format!("org.opencontainers.image.{name}");
    let own = fields.into_iter().filter_map(|(name, value)| Some((key(name), json!(value?))));
    let labels = wishes.labels.iter().flatten();
    let labels = labels.map(|(name, value)| (name.clone(), json!(value)));
    // What the image says outright wins over its labels.
    labels.chain(own).collect()
}

/// `80/tcp`: where the image's program listens, as its maker says.
pub fn ports(wishes: &Wishes) -> Vec<&str> {
    wishes.exposed_ports.iter().flatten().map(|(port, _)| port.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> document::Config {
        serde_json::from_value(json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "Entrypoint": ["/entry"], "Cmd": ["serve"], "Env": ["PATH=/x", "A=1"],
                "WorkingDir": "srv", "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT",
                "Labels": {"team": "red", "org.opencontainers.image.os": "other"}
            },
            "rootfs": {"type": "layers", "diff_ids": []}
        }))
        .unwrap()
    }

    fn made(asked: Asked) -> Value {
        config(&image(), &Account { uid: 7, gid: 8, groups: vec![9], home: None }, &asked).unwrap()
    }

    #[test]
    fn what_the_image_wishes_is_in_the_config() {
        let config = made(Asked::default());
        assert_eq!(config["process"]["args"], json!(["/entry", "serve"]));
        assert_eq!(config["process"]["env"], json!(["PATH=/x", "HOME=/", "A=1"]));
        assert_eq!(config["process"]["cwd"], "/srv");
        assert_eq!(config["process"]["user"], json!({"uid": 7, "gid": 8, "additionalGids": [9]}));
        let annotation =
            |name: &str| &config["annotations"][format!("org.opencontainers.image.{name}")];
        assert_eq!(annotation("exposedPorts"), "80/tcp");
        assert_eq!(annotation("stopSignal"), "SIGINT");
        assert_eq!(
            (annotation("os"), &config["annotations"]["team"]),
            (&json!("linux"), &json!("red"))
        );
        let bundle = crate::bundle::from_value(config, "/b".into()).unwrap();
        assert_eq!(bundle.warnings, [""; 0]);
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let config = made(Asked {
            command: words(&["other"]),
            env: words(&["A=2", "B=3", "LEARNC_SURELY_NOT_SET"]),
            workdir: Some("/w".into()),
            volumes: words(&["/tmp:/data:ro"]),
            read_only: true,
            ..Asked::default()
        });
        assert_eq!(config["process"]["args"], json!(["/entry", "other"]));
        assert_eq!(config["process"]["env"], json!(["PATH=/x", "HOME=/", "A=2", "B=3"]));
        assert_eq!(config["process"]["cwd"], "/w");
        assert_eq!(config["root"]["readonly"], true);
        let mount = config["mounts"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&mount["source"], &mount["destination"]), (&json!("/tmp"), &json!("/data")));
        assert_eq!(mount["options"], json!(["rbind", "rprivate", "ro"]));
        let config = made(Asked { entrypoint: Some("/bin/sh".into()), ..Asked::default() });
        assert_eq!(config["process"]["args"], json!(["/bin/sh"]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for volume in ["data:/x", "/a", "/a:b", "/a:/", "/a:/b:noexec", "/a:/b:ro:more", ""] {
            assert!(mount(volume).is_err(), "{volume}");
        }
        let asked = Asked { entrypoint: Some(String::new()), ..Asked::default() };
        assert!(config(&image(), &Account::default(), &asked).is_err());
        let asked = Asked { env: vec!["=x".into()], ..Asked::default() };
        assert!(config(&image(), &Account::default(), &asked).is_err());
    }
}
