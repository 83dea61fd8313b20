//! Where this user's files belong: the XDG base directory specification, by the environment.

use std::path::{Path, PathBuf};

use super::look::{ids, read_if_there};

/// Where this user's programs keep their data; root's have /var/lib.
pub fn data_folder() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match (set("XDG_DATA_HOME"), ids().0, set("HOME").or_else(of_passwd)) {
        (Some(data), ..) => data,
        (None, 0, _) => PathBuf::from("/var/lib"),
        (None, _, Some(home)) => home.join(".local/share"),
        (None, uid, None) => std::env::temp_dir().join(format!("learnc-data-{uid}")),
    }
}

/// Where passwd(5) says that this user is at home.
fn of_passwd() -> Option<PathBuf> {
    let (passwd, uid) = (read_if_there("/etc/passwd")?, ids().0.to_string());
    let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let home = lines
        .filter(|fields| fields.get(2) == Some(&&*uid))
        .find_map(|fields| fields.get(5).copied())?;
    Some(PathBuf::from(home))
        .filter(|home| home.is_absolute() && home.is_dir() && home != Path::new("/"))
}
