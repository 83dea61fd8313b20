//! What tests share: bundles, a runner, a witness, and a harness that skips by name.
//!
//! ```no_run
//! mod support;
//! use support::*;
//!
//! fn the_exit_status_is_the_programs() {
//!     let run = bundle().args(["sh", "-c", "exit 42"]).run();
//!     assert_eq!(run.status, 42);
//! }
//!
//! fn main() {
//!     suite(vec![test("the exit status is the program's", RUNS, the_exit_status_is_the_programs)]);
//! }
//! ```
//!
//! A test says what it needs. What this machine cannot give makes it `ignored`, with the reason
//! beside its name; nothing is passed silently. `LEARNC_TESTS_MUST=strace,busybox` turns a skip for
//! these reasons into a failure: that is how continuous integration makes sure that they ran.
//! Bundles, their containers and their folders go when the value is dropped, after a panic too.
// A test file uses some of it; and tests may do what the product does only through src/sys.
#![allow(dead_code, unused_imports, clippy::disallowed_methods)]

pub mod archives;
pub mod asking;
pub mod beside;
pub mod bundle;
pub mod compared;
pub mod console;
pub mod derived;
pub mod distribution;
pub mod faults;
pub mod host;
pub mod imaged;
pub mod images;
pub mod kept;
pub mod life;
pub mod needs;
pub mod portrait;
pub mod ranged;
pub mod rules;
pub mod said;
pub mod script;
pub mod server;
pub mod shape;
pub mod strace;
pub mod stranger;
pub mod trees;
pub mod unpacked;
pub mod value;
pub mod witness;

use std::time::{Duration, Instant};

pub use bundle::{Bundle, Ran, bundle, learnc};
pub use needs::{LIMITED, Need, RUNS, WITNESSED, stages};

/// One sentence, what it needs, and the check.
pub fn test(
    sentence: impl Into<String>,
    needs: &[Need],
    check: impl FnOnce() + Send + 'static,
) -> libtest_mimic::Trial {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    let trial = libtest_mimic::Trial::test(sentence, move || {
        check();
        Ok(())
    });
    match missing.first() {
        None => trial,
        Some(need) if need.must_be_met() => {
            let text = format!("{need:?} is required here (LEARNC_TESTS_MUST) and missing");
            libtest_mimic::Trial::test(trial.name().to_owned(), move || Err(text.into()))
        }
        Some(need) => trial.with_kind(format!("skipped: {}", need.lack())).with_ignored_flag(true),
    }
}

/// Runs the tests as cargo expects it, in parallel.
pub fn suite(tests: Vec<libtest_mimic::Trial>) -> ! {
    let args = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&args, tests).exit()
}

/// Waits for a condition, and fails with its name if it does not come.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(2));
    }
}
