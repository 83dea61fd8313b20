//! Whether all of the store is what it should be: `learnc image check`.
//!
//! Every blob is hashed again, and every name is followed to all that it needs. What was only begun, or
//! has no name, is told as well; it is no fault.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::Store;
use super::mend::sum_of;
use super::prune::digests_in;
use super::reach::Tree;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::document::Descriptor;
use crate::sys::{Kernel, stop};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The image's name, or the blob's digest.
    pub of: String,
    pub what: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    pub images: usize,
    pub blobs: usize,
    /// Of all blobs.
    pub bytes: u64,
    pub problems: Vec<Problem>,
    /// Blobs that no name leads to, as `learnc prune` would take them. None where names cannot be read.
    pub unnamed: Vec<Digest>,
    /// Chain ids of layers that are unpacked.
    pub unpacked: Vec<Digest>,
    /// What was begun and is not finished, as paths in the store.
    pub unfinished: Vec<PathBuf>,
}

impl Store {
    /// Looks at everything, while nobody takes anything away.
    pub fn check(&self, k: &Kernel) -> Result<Report> {
        let _hold = self.hold(k)?;
        let mut report = Report::default();
        self.check_blobs(&mut report)?;
        match self.images() {
            Err(e) => {
                report.problems.push(Problem { of: super::INDEX.into(), what: e.to_string() })
            }
            Ok(images) => self.check_images(&images, &mut report)?,
        }
        let unpacked = self.layer_sets().into_iter().flat_map(|set| digests_in(&set));
        report.unpacked =
            unpacked.map(|(chain, _)| chain).collect::<BTreeSet<_>>().into_iter().collect();
        let inside =
            |path: PathBuf| path.strip_prefix(self.dir()).map(PathBuf::from).unwrap_or(path);
        report.unfinished = self.unfinished().into_iter().map(inside).collect();
        Ok(report)
    }

    fn check_images(&self, images: &[Descriptor], report: &mut Report) -> Result<()> {
        let mut reached = BTreeSet::new();
        for image in images {
            report.images += 1;
            let tree = Tree::of(self, image)?;
            let of = image.ref_name().unwrap_or(image.digest.as_str()).to_owned();
            let lacks = tree.lacks.into_iter();
            let lacks = lacks.map(|lack| Problem { of: of.clone(), what: lack.what });
            report.problems.extend(lacks);
            reached.extend(tree.blobs.into_keys());
        }
        let blobs = digests_in(&self.dir().join("blobs")).into_iter().map(|(digest, _)| digest);
        report.unnamed = blobs.filter(|digest| !reached.contains(digest)).collect();
        Ok(())
    }

    fn check_blobs(&self, report: &mut Report) -> Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        for (digest, path) in digests_in(&self.dir().join("blobs")) {
            let mut problem =
                |what: String| report.problems.push(Problem { of: digest.to_string(), what });
            report.blobs += 1;
            match sum_of(&path, &digest, &mut buffer) {
                Err(e) if stop::go_on().is_err() => return Err(e),
                Err(e) => problem(format!("cannot be read: {e}")),
                Ok((computed, _)) if computed != digest => {
                    problem(format!("what is in it has {computed}"));
                }
                Ok((_, bytes)) => report.bytes += bytes,
            }
        }
        Ok(())
    }
}
