//! Index, manifest and config: any bytes are a document or an error.
#![no_main]

use learnc::image::document::{Config, Index, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let index = Index::parse(bytes);
    let manifest = Manifest::parse(bytes);
    assert!(index.is_err() || manifest.is_err(), "no document is both");
    if let Ok(manifest) = &manifest {
        manifest.layers.iter().for_each(|layer| drop(layer.compression()));
    }
    let none = br#"{"schemaVersion":2,"config":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;
    if let Ok(none) = Manifest::parse(none) {
        let _ = Config::parse(bytes, &none);
    }
});
