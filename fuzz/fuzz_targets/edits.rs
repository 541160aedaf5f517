//! The documents of real images after some edits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|edits: &[u8]| {
    let archive = ocify_fuzz::edited(edits);
    ocify_fuzz::fix(&archive);
    ocify_fuzz::ways(&archive);
});
