//! A layer's archive, plain or compressed (the first byte says which): it is read to its end or refused.
#![no_main]

use learnc::image::digest::Digest;
use learnc::image::document::Descriptor;
use learnc::image::layer::Limits;
use learnc::image::layer::list::list;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let suffix = ["", "+gzip", "+zstd"][usize::from(*first) % 3];
    let kind = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
    let (layer, limits) = (Descriptor::new(&kind, bytes), small());
    let _ = list(&mut &*bytes, &layer, &Digest::of(bytes), &limits, &mut |entry| {
        // What is handed on stays below the root, whatever it is called.
        let inside = |part| matches!(part, std::path::Component::Normal(_));
        assert!(entry.path.components().all(inside), "{:?}", entry.path);
        Ok(())
    });
});

fn small() -> Limits {
    Limits { bytes: 1 << 24, entries: 10_000, ..Limits::default() }
}
