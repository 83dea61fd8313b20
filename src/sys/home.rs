//! Where this user's files belong: the XDG base directory specification, by the environment.

use std::path::PathBuf;

use super::look::ids;

/// Where this user's programs keep their data; root's have /var/lib.
pub fn data_folder() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match (set("XDG_DATA_HOME"), ids().0, set("HOME")) {
        (Some(data), ..) => data,
        (None, 0, _) => PathBuf::from("/var/lib"),
        (None, _, Some(home)) => home.join(".local/share"),
        (None, uid, None) => std::env::temp_dir().join(format!("learnc-data-{uid}")),
    }
}
