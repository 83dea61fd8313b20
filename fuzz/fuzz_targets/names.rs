//! Names of images: any text is a name that means itself when it is written and read again, or an error.
#![no_main]

use learnc::image::names::{Name, Place};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Place::parse(text);
    if let Ok(name) = Name::parse(text) {
        assert_eq!(Name::parse(&name.to_string()).unwrap(), name);
        assert!(!name.repository.contains("..") && !name.reference().contains('/'));
    }
});
