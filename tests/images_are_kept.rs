//! Images are kept: the store is an OCI image layout that other tools read, and what is put into it is found
//! again, wherever it came from.
#![allow(clippy::disallowed_methods, reason = "a test makes its files and processes itself")]

mod support;

use std::process::{Command, Stdio};

use serde_json::json;
use support::bundle::{learnc, ran};
use support::images::*;
use support::kept::*;
use support::*;

fn what_a_layout_has_is_kept_by_its_digest() {
    let (kept, made) = (kept(), sample("hello").made());
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}:v1", text(&kept.beside("app")));
    let pulled = kept.pull(&place).ok();
    assert_eq!(pulled.stdout, format!("localhost/app:v1 {}\n", made.digest()));
    assert_eq!(kept.names(), ["localhost/app:v1"]);
    let image = &kept.images()[0];
    assert_eq!(image["digest"], made.digest());
    assert_eq!(image["created"], "2024-05-06T07:08:09Z");
    let sizes = made.blobs.values().map(Vec::len).sum::<usize>();
    assert_eq!(image["size"], sizes);
    for (digest, bytes) in &made.blobs {
        assert_eq!(std::fs::read(kept.blob(digest)).unwrap(), *bytes);
    }
    assert_eq!(kept.intact()["blobs"], made.blobs.len());
    // Nothing is fetched again, and nothing is said to be new.
    assert_eq!(kept.pull(&place).ok().stdout, pulled.stdout);
    assert_eq!(kept.blobs().len(), made.blobs.len());
}

fn a_removed_image_takes_with_it_what_no_other_needs() {
    let kept = kept();
    let common = layer([file("common", b"to both")]).gzip();
    let app = |name: &str| image().layer(common.clone()).layer(layer([file(name, name)])).made();
    let (one, two) = (app("one"), app("two"));
    one.layout(&kept.beside("one"), "v1");
    two.layout(&kept.beside("two"), "v1");
    for name in ["one", "two"] {
        kept.pull(&format!("oci:{}", text(&kept.beside(name)))).ok();
    }
    assert_eq!(kept.blobs().len(), 7);
    let refused = kept.run(&["rmi", "localhost/one:v1", "localhost/three:v1"]);
    assert_eq!((refused.status, kept.names().len()), (1, 2));
    let removed = kept.run(&["rmi", "localhost/one:v1"]).ok();
    assert!(removed.stdout.starts_with("localhost/one:v1\ntaken away: 3 blobs, "));
    assert_eq!(kept.blobs().len(), 4);
    kept.intact();
    // One of two names of the same image, whatever its digest begins with.
    two.layout(&kept.beside("same"), &two.digest()[7..8]);
    kept.pull(&format!("oci:{}", text(&kept.beside("same")))).ok();
    let name = format!("localhost/same:{}", &two.digest()[7..8]);
    let removed = kept.run(&["rmi", &name]).ok();
    assert_eq!(removed.stdout, format!("{name}\nnothing to take away\n"));
    // By the first digits of the digest, and without taking anything away at once.
    let digits = &two.digest()[7..19];
    assert_eq!(kept.run(&["rmi", "--no-prune", digits]).ok().stdout, "localhost/two:v1\n");
    assert_eq!(kept.check()["unnamed"].as_array().unwrap().len(), 4);
    assert!(kept.run(&["prune"]).ok().stdout.starts_with("taken away: 4 blobs, "));
    assert_eq!(kept.run(&["prune"]).ok().stdout, "nothing to take away\n");
    assert!(kept.blobs().is_empty() && kept.names().is_empty());
}

fn a_damaged_blob_is_named_by_the_check_and_by_who_reads_it() {
    let (kept, made) = (kept(), sample("hello").made());
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    kept.pull(&place).ok();
    for digest in made.blobs.keys() {
        let path = kept.blob(digest);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let found = kept.check();
        let problems = found["problems"].as_array().unwrap();
        assert!(problems.iter().any(|problem| problem["of"] == **digest), "{found}");
        std::fs::write(&path, &whole[1..]).unwrap();
        let found = kept.check()["problems"].to_string();
        assert!(found.contains(digest) && found.contains("localhost/app:v1"), "{found}");
        std::fs::remove_file(&path).unwrap();
        let found = kept.check()["problems"].to_string();
        assert!(found.contains(digest), "{found}");
        // What is not there, or has another size, is fetched again.
        kept.pull(&place).ok();
        kept.intact();
    }
    let top = kept.blob(made.digest());
    let bytes = std::fs::read(&top).unwrap();
    std::fs::write(&top, String::from_utf8(bytes).unwrap().replace("layers", "Layers")).unwrap();
    assert!(kept.run(&["images"]).ok().stdout.contains("damaged"));
    let lacks = kept.images()[0]["lacks"].to_string();
    assert!(lacks.contains(made.digest()), "{lacks}");
    // It is not known what belongs to it, so nothing is taken away.
    let pruned = kept.run(&["prune"]);
    assert!(pruned.status == 1 && pruned.stderr.contains(made.digest()), "{}", pruned.stderr);
    assert_eq!(kept.blobs().len(), made.blobs.len());
}

fn four_who_pull_the_same_at_once_do_not_meet() {
    let kept = kept();
    let big = |n: u8| file(&format!("f{n}"), noise(n.into(), 1 << 20));
    let made = image().layer(layer([big(1)])).layer(layer([big(2)])).layer(layer([big(3)])).made();
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    let pull = || {
        let mut command = kept.learnc(&["pull", "--quiet", &place]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let pulls: Vec<_> = (0..4).map(|_| pull()).collect();
    for pulled in pulls {
        let output = pulled.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(answer, format!("localhost/app:v1 {}\n", made.digest()));
    }
    let report = kept.intact();
    assert_eq!((&report["images"], &report["blobs"]), (&json!(1), &json!(5)));
    assert_eq!(report["unfinished"], json!([]));
}

fn a_folder_of_something_else_does_not_become_a_store() {
    let kept = kept();
    std::fs::create_dir(kept.dir()).unwrap();
    std::fs::write(kept.dir().join("thesis.tex"), "").unwrap();
    sample("x").made().layout(&kept.beside("app"), "v1");
    let refused = kept.pull(&format!("oci:{}", text(&kept.beside("app"))));
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("thesis.tex"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(kept.dir()).unwrap().count(), 1);
}

fn where_there_is_no_store_none_is_made_by_looking() {
    let kept = kept();
    assert!(kept.images().is_empty());
    assert_eq!(kept.run(&["prune"]).ok().stdout, "nothing to take away\n");
    assert_eq!(kept.run(&["rmi", "x"]).status, 1);
    assert!(!kept.dir().exists());
    // Without --store it is where this user's data are.
    let at_home = |args: &[&str]| ran(learnc(args).env("XDG_DATA_HOME", kept.beside("data"))).ok();
    assert_eq!(at_home(&["images", "--quiet"]).stdout, "");
    assert!(at_home(&["image", "check"]).stdout.starts_with("0 images, 0 blobs"));
    assert!(!kept.beside("data").exists());
}

fn skopeo_and_umoci_read_the_store() {
    let kept = kept();
    let (one, many) = (sample("one").made(), several([sample("two"), other_machine()]));
    one.layout(&kept.beside("one"), "v1");
    many.layout(&kept.beside("many"), "v1");
    for name in ["one", "many"] {
        kept.pull(&format!("oci:{}", text(&kept.beside(name)))).ok();
    }
    // Of the index the image for this machine alone is here.
    assert_eq!(kept.blobs().len(), 5 + 4);
    for (name, made) in [("localhost/one:v1", &one), ("localhost/many:v1", &many)] {
        let place = format!("oci:{}:{name}", text(&kept.dir()));
        let seen = ran(Command::new("skopeo").args(["inspect", "--raw", &place])).ok();
        assert_eq!(seen.stdout.as_bytes(), made.blobs[made.digest()]);
        ran(Command::new("skopeo").args(["inspect", &place])).ok();
        let copy = format!("dir:{}", text(&kept.beside("copy")));
        ran(Command::new("skopeo").args(["copy", "--quiet", &place, &copy])).ok();
    }
    let listed = ran(Command::new("umoci").args(["ls", "--layout", text(&kept.dir())])).ok();
    let mut names: Vec<&str> = listed.stdout.lines().collect();
    names.sort();
    assert_eq!(names, ["localhost/many:v1", "localhost/one:v1"]);
    kept.intact();
    // And the other way about: a layout of theirs is a store to learnc.
    let theirs = kept.beside("theirs");
    let place = format!("oci:{}:localhost/one:v1", text(&kept.dir()));
    let copy = format!("oci:{}:copy", text(&theirs));
    ran(Command::new("skopeo").args(["copy", "--quiet", &place, &copy])).ok();
    let on_theirs = |args: &[&str]| ran(learnc(args).arg("--store").arg(&theirs));
    assert_eq!(on_theirs(&["images", "--quiet"]).ok().stdout, "copy\n");
    let many = format!("oci:{}", text(&kept.beside("many")));
    on_theirs(&["pull", "--quiet", &many]).ok();
    on_theirs(&["rmi", "copy"]).ok();
    assert_eq!(on_theirs(&["images", "--quiet"]).ok().stdout, "localhost/many:v1\n");
    on_theirs(&["image", "check"]).ok();
}

fn other_machine() -> Image {
    image().layer(layer([file("other", b"machine")])).set("/architecture", json!("s390x"))
}

fn a_prune_beside_pulls_takes_nothing_of_them() {
    let kept = kept();
    let made =
        image().layer(layer([file("big", noise(1, 1 << 20))])).layer(layer([dir("x")])).made();
    made.layout(&kept.beside("app"), "v1");
    let place = format!("oci:{}", text(&kept.beside("app")));
    kept.pull(&place).ok();
    for round in 0..10 {
        kept.run(&["rmi", "--no-prune", "localhost/app:v1"]).ok();
        let mut pull = kept.learnc(&["pull", "--quiet", &place]);
        let mut pull = pull.stdout(Stdio::null()).spawn().unwrap();
        // As often as there is time for it, beside the pull and a last time behind it.
        let over = loop {
            let over = pull.try_wait().unwrap();
            kept.run(&["prune"]).ok();
            if let Some(status) = over {
                break status;
            }
        };
        assert!(over.success(), "round {round}");
        assert_eq!(kept.intact()["blobs"], made.blobs.len(), "round {round}");
        assert_eq!(kept.images()[0]["lacks"], json!([]), "round {round}");
    }
}

fn layers_that_a_container_uses_stay_and_others_go() {
    use learnc::image::digest::Digest;
    use std::os::unix::fs::PermissionsExt;
    let kept = kept();
    let made = image().layer(layer([file("a", "a")])).made();
    made.layout(&kept.beside("app"), "v1");
    kept.pull(&format!("oci:{}", text(&kept.beside("app")))).ok();
    let k = learnc::sys::Kernel::new(learnc::sys::Manner::Silent, learnc::event::Lane::Runtime, 0);
    let store = learnc::image::store::Store::look(&kept.dir()).unwrap().unwrap();
    let named: Digest =
        made.document(&made.top)["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let (used, unused) = (Digest::of(b"used"), Digest::of(b"unused"));
    for chain in [&named, &used, &unused] {
        let deep = store.layer_dir(chain).join("closed/deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("file"), "text").unwrap();
        std::os::unix::fs::symlink("/", deep.join("link")).unwrap();
        for closed in [&deep, deep.parent().unwrap()] {
            std::fs::set_permissions(closed, PermissionsExt::from_mode(0o500)).unwrap();
        }
    }
    let state = kept.beside("state");
    std::fs::create_dir(&state).unwrap();
    store.use_layers(&k, &state, std::slice::from_ref(&used)).unwrap();
    kept.run(&["prune"]).ok();
    let there = || [&named, &used, &unused].map(|chain| store.layer_dir(chain).is_dir());
    assert_eq!(there(), [true, true, false]);
    std::fs::remove_dir(&state).unwrap();
    assert_eq!(kept.run(&["prune"]).ok().stdout, "taken away: 1 unpacked layer, 5 B\n");
    assert_eq!(there(), [true, false, false]);
    kept.run(&["rmi", "localhost/app:v1"]).ok();
    assert_eq!(there(), [false; 3]);
    assert!(store.user_file(&state).symlink_metadata().is_err());
}

fn main() {
    suite(vec![
        test(
            "what a layout has is kept by its digest",
            &[],
            what_a_layout_has_is_kept_by_its_digest,
        ),
        test(
            "a removed image takes with it what no other needs",
            &[],
            a_removed_image_takes_with_it_what_no_other_needs,
        ),
        test(
            "a damaged blob is named by the check, and by who reads it",
            &[],
            a_damaged_blob_is_named_by_the_check_and_by_who_reads_it,
        ),
        test(
            "four who pull the same at once do not meet",
            &[],
            four_who_pull_the_same_at_once_do_not_meet,
        ),
        test(
            "a prune beside pulls takes nothing of them",
            &[],
            a_prune_beside_pulls_takes_nothing_of_them,
        ),
        test(
            "layers that a container uses stay, and others go, whatever their modes",
            &[],
            layers_that_a_container_uses_stay_and_others_go,
        ),
        test(
            "a folder of something else does not become a store",
            &[],
            a_folder_of_something_else_does_not_become_a_store,
        ),
        test(
            "where there is no store, none is made by looking",
            &[],
            where_there_is_no_store_none_is_made_by_looking,
        ),
        test(
            "skopeo and umoci read the store",
            &[Need::Skopeo, Need::Umoci],
            skopeo_and_umoci_read_the_store,
        ),
    ]);
}
