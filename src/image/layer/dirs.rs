//! A directory for each layer of an image, to be joined by overlayfs.
//!
//! They are kept, under the digest of the layer with all that is below it, and shared by all images that
//! have these layers in common. One that is there is complete: it is made beside the others under another
//! name, `tmp-…`, is on the disk, and gets its name in one moment. What a killed learnc has left of one is
//! taken away by [`Store::prune`], which waits for those that are alive. One that is asked to end takes its own away
//! first.
//!
//! Layers do not need each other to be unpacked, so several are at the same time. Only what a layer
//! implies about directories below it is seen to afterwards, in order.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use super::inherit::inherit;
use super::unpack::{layers, open_directory, unpack_image};
use super::{How, Tally, Tree};
use crate::error::{Error, Result, WayOut, ignore};
use crate::event::{Event, Lane, Observer};
use crate::image::digest::Digest;
use crate::image::document::Descriptor;
use crate::image::store::{Image, Store};
use crate::sys::{
    At, Fchmod, Fchmodat, Kernel, Manner, Mkdirat, Renameat, Syncfs, copy, look, stop,
};

/// A layer that is not there yet.
struct Wanted<'a> {
    layer: &'a Descriptor,
    diff_id: &'a Digest,
    /// Its place among the layers.
    number: usize,
    /// Where it is made.
    making: PathBuf,
}

/// What became of one.
struct Made {
    tally: Tally,
    implied: Vec<PathBuf>,
    events: Vec<Event>,
}

/// Opens a layer, as it is stored. The kernel value is that of the thread that asks.
pub type Open<'a> = &'a (dyn Fn(&Kernel, &Descriptor) -> Result<Box<dyn Read + Send>> + Sync);

/// Unpacks what is missing of an image's layers into the store: their directories, the lowest first, and
/// what was made. Whoever is going to use them holds the store until that is noted.
pub fn layer_dirs(
    k: &Kernel,
    store: &Store,
    image: &Image,
    how: &How,
) -> Result<(Vec<PathBuf>, Tally)> {
    layer_dirs_from(k, store, image, how, &|_, layer| Ok(Box::new(store.blob(layer)?)))
}

/// The same of layers that may still be on their way: `open` gives them, and keeps them on the way.
pub fn layer_dirs_from(
    k: &Kernel,
    store: &Store,
    image: &Image,
    how: &How,
    open: Open,
) -> Result<(Vec<PathBuf>, Tally)> {
    let dirs: Vec<PathBuf> = image.chain_ids().iter().map(|id| store.layer_dir(id)).collect();
    if dirs.is_empty() {
        return Err(Error::yours("the image has no layers")
            .because("overlay joins one at least")
            .or_else_by(WayOut::OneTree));
    }
    if k.pretends() {
        return Ok((dirs, Tally::default()));
    }
    let _later = stop::later()?;
    let _hold = store.hold(k)?;
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut all = layers(image).enumerate().filter(|(number, _)| !look::is_dir(&dirs[*number]));
    let begun = all.try_for_each(|(number, (layer, diff_id))| {
        let making = begin(k, &dirs[number])?;
        wanted.push(Wanted { layer, diff_id, number, making });
        Ok(())
    });
    let made = begun.and_then(|()| make(k, open, &wanted, &dirs, how));
    let answer = made.and_then(|tally| {
        wanted.iter().try_for_each(|one| name(k, &one.making, &dirs[one.number]))?;
        Ok(tally)
    });
    let mut left = Ok(());
    for one in &wanted {
        left = left.and(remove(k, &one.making));
    }
    let tally = answer?;
    left?;
    Ok((dirs, tally))
}

/// Looks at all layers as one tree, which is gone again in the end: where a directory each cannot do.
pub fn as_one_tree<T>(
    k: &Kernel,
    store: &Store,
    image: &Image,
    look: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let _later = stop::later()?;
    let _hold = store.hold(k)?;
    let making = begin(k, &store.layer_dir(&image.descriptor.digest))?;
    let unpacked = unpack_image(k, store, image, &making, &How::applied());
    let answer = unpacked.and_then(|_| look(&making));
    let left = remove(k, &making);
    answer.and_then(|answer| left.map(|()| answer))
}

fn remove(k: &Kernel, making: &Path) -> Result<()> {
    k.bulk(making, |k| {
        if look::is_dir(making) {
            // The layer may have closed it.
            k.call(Fchmodat { dir: At::CWD, path: making, mode: 0o700 })?;
        }
        copy::remove_tree(k, making).map(drop)
    })
}

/// Makes an empty directory, `layers/tmp-…`, for what will be `layers/<algorithm>/<hex>`.
fn begin(k: &Kernel, dir: &Path) -> Result<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let algorithm = dir.parent().unwrap_or(dir);
    let make = |path: &Path| k.ask(Mkdirat { dir: At::CWD, path, mode: 0o700 }, &[Errno::EEXIST]);
    // A set of layers, and in it a folder for each algorithm.
    for place in [algorithm.parent().unwrap_or(algorithm), algorithm] {
        if !look::is_dir(place) {
            make(place).or_else(ignore(Errno::EEXIST))?;
        }
    }
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let making = algorithm.with_file_name(format!("tmp-{}-{number}", look::pid()));
        match make(&making) {
            // Left by another process, which had the same number.
            Err(e) if e.errno() == Some(Errno::EEXIST) => {}
            made => return made.map(|()| making),
        }
    }
}

/// Unpacks all of them, sees to what they imply, and waits until they are on the disk.
fn make(k: &Kernel, open: Open, wanted: &[Wanted], dirs: &[PathBuf], how: &How) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut now: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    let all = all(k, open, wanted, how).into_iter().flatten().collect::<Result<Vec<Made>>>()?;
    for (one, made) in wanted.iter().zip(all) {
        made.events.into_iter().for_each(|event| k.tell(|index| of_step(event, index)));
        tally += &made.tally;
        let own = &*one.making;
        now[one.number] = own;
        k.bulk(own, |k| {
            let implied = made.implied.iter().rev();
            let lower = &now[..one.number];
            implied.into_iter().try_for_each(|path| inherit(k, own, path, lower, how))
        })
        .map_err(|e| e.at(format!("layer {}", one.layer.digest.short())))?;
    }
    if let Some(one) = wanted.first() {
        k.call(Syncfs { fd: &open_directory(k, &one.making)? })?;
    }
    Ok(tally)
}

/// Unpacks them in as many threads as there are processors: what became of each, in order. After one that
/// cannot be unpacked no further one is begun, and has no answer.
fn all(k: &Kernel, open: Open, wanted: &[Wanted], how: &How) -> Vec<Option<Result<Made>>> {
    let (next, pid) = (AtomicUsize::new(0), k.pid.get());
    let answers: Mutex<Vec<Option<Result<Made>>>> =
        Mutex::new(wanted.iter().map(|_| None).collect());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = wanted.get(number) else { break };
            let made = one_layer(pid, open, one, how);
            if made.is_err() {
                next.store(wanted.len(), Ordering::Relaxed);
            }
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers[number] = Some(made);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // Each to its very end: leaving the scope alone only means that its work is done.
        all.into_iter().for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// In a thread, with a kernel value of its own: what it would tell is kept.
fn one_layer(pid: i32, open: Open, one: &Wanted, how: &How) -> Result<Made> {
    let kept = Kept::default();
    let k = Kernel::new(Manner::Told(&kept), Lane::Runtime, pid);
    let quiet = Kernel::new(Manner::Silent, Lane::Runtime, pid);
    let root = open_directory(&quiet, &one.making)?;
    let mut tree = Tree::new(&root, how)?;
    let implied = tree.layer(&k, &mut *open(&k, one.layer)?, one.layer, one.diff_id)?;
    let tally = tree.finish(&k)?;
    Ok(Made { tally, implied, events: kept.0.take() })
}

/// Listens, for whoever tells later.
#[derive(Default)]
struct Kept(RefCell<Vec<Event>>);

impl Observer for Kept {
    fn see(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

/// An event of a thread, as one of the step that is being performed.
fn of_step(event: Event, step: Option<usize>) -> Event {
    match event {
        Event::Bulk { pid, lane, below, calls, nanos, .. } => {
            Event::Bulk { index: step.unwrap_or(0), pid, lane, below, calls, nanos }
        }
        Event::Checked { what, bytes, claimed, computed, .. } => {
            Event::Checked { index: step, what, bytes, claimed, computed }
        }
        Event::Requested { method, url, status, media_type, bytes, .. } => {
            Event::Requested { index: step, method, url, status, media_type, bytes }
        }
        other => other,
    }
}

/// Gives a complete directory its name. Another learnc may have been first: theirs is as good.
fn name(k: &Kernel, from: &Path, to: &Path) -> Result<()> {
    // A directory in which this user may not write cannot be moved to another: rename(2). So one that the
    // layer says is closed is closed again in the next moment.
    let fd = open_directory(k, from)?;
    let mode = look::stat(&fd)?.st_mode & 0o7777;
    let closed = look::ids().0 != 0 && mode & 0o200 == 0;
    if closed {
        k.call(Fchmod { fd: &fd, mode: mode | 0o700 })?;
    }
    let named = move_to(k, from, to);
    if closed {
        k.call(Fchmod { fd: &fd, mode })?;
    }
    named
}

fn move_to(k: &Kernel, from: &Path, to: &Path) -> Result<()> {
    match k.ask(Renameat { from, to }, &[Errno::EEXIST, Errno::ENOTEMPTY]) {
        Err(e) if matches!(e.errno(), Some(Errno::EEXIST | Errno::ENOTEMPTY)) => Ok(()),
        other => other,
    }
}
