//! What a registry's WWW-Authenticate says: any text is a list of challenges or an error.
#![no_main]

use learnc::image::registry::challenge::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(challenges) = parse(text) {
        for challenge in challenges {
            let _ = challenge.param("realm");
        }
    }
});
