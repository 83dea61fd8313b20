//! How far each layer is: on a terminal, on standard error, and nowhere else.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::image::document::Descriptor;
use crate::sys::look;

/// One line a layer.
pub(super) struct Bars(MultiProgress);

impl Bars {
    pub fn new(wanted: bool) -> Bars {
        let target = match wanted && look::is_terminal(2) {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Bars(MultiProgress::with_draw_target(target))
    }

    /// A layer that begins.
    pub fn add(&self, what: &Descriptor) -> ProgressBar {
        let bar =
            self.0.add(ProgressBar::new(what.size).with_prefix(what.digest.short().to_owned()));
        let form = "   {prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}";
        match ProgressStyle::with_template(form) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    /// Says something beside them.
    pub fn aside(&self, say: impl FnOnce()) {
        self.0.suspend(say);
    }

    /// They have been looked at.
    pub fn clear(&self) {
        let _ = self.0.clear();
    }
}
