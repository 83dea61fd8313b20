//! The commands that make layers and join them: mknod(1), ln(1), mount(8).
//!
//! A script has its root filesystem at `$ROOT`; the layers lie beside it.

use std::path::{Path, PathBuf};

use super::super::image::TREE;
use super::{BASE, LINKS, Overlay, What, options, parents};
use crate::args::shell;

/// A folder of the run, as a script calls it.
pub fn folder_by_hand(path: &Path) -> String {
    match path.file_name() {
        Some(name) if name == BASE || name == TREE => {
            format!("\"${{ROOT%/*}}\"/{}", name.to_string_lossy())
        }
        _ => "\"$ROOT\"".to_owned(),
    }
}

/// The commands that do the same.
pub fn by_hand(overlay: &Overlay) -> Vec<String> {
    let beside = |name: &str| format!("\"${{ROOT%/*}}\"/{name}");
    match &overlay.what {
        What::Change { dir, texts, gone, copy } => {
            let dir = if *copy { "\"$ROOT\"".to_owned() } else { beside(dir) };
            let place = |path: &Path| format!("{dir}/{}", shell(path));
            let made =
                parents(texts, gone).into_iter().map(|path| format!("mkdir -p {}", place(path)));
            let removed = texts.iter().map(|(path, _)| path).chain(gone);
            let removed = removed.filter(|_| *copy).map(|path| format!("rm -f {}", place(path)));
            let written = texts.iter().map(|(path, text)| {
                let lines: Vec<_> = text.lines().map(|line| format!("'{line}'")).collect();
                format!("printf '%s\\n' {} > {}", lines.join(" "), place(path))
            });
            let hidden = gone.iter().filter(|_| !*copy);
            let hidden = hidden.map(|path| format!("mknod -m 0 {} c 0 0", place(path)));
            made.chain(removed).chain(written).chain(hidden).collect()
        }
        // A script has no part in learnc's store; whoever removes images there would not know of it.
        What::Use { .. } => vec![],
        What::Links(dirs) => {
            let link = |(n, dir): (usize, &PathBuf)| {
                format!("ln -s {} {}", shell(dir), beside(&format!("{LINKS}/{n}")))
            };
            let links = dirs.iter().enumerate().map(link);
            std::iter::once(format!("mkdir {}", beside(LINKS))).chain(links).collect()
        }
        What::Writable(names) => {
            names.iter().map(|name| format!("mkdir {}", beside(name))).collect()
        }
        What::Give { names, uid, gid } => {
            let names: Vec<String> = names.iter().map(|name| beside(name)).collect();
            vec![format!("chown -hR {uid}:{gid} {}", names.join(" "))]
        }
        What::Join { root, lower, user_xattrs } => vec![
            "cd \"${ROOT%/*}\"".into(),
            format!("mount -t overlay overlay -o {} {root}", options(lower, *user_xattrs)),
        ],
    }
}
