//! Any documents in a sound archive; `archive_of` tells how they are written down.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let archive = ocify_fuzz::archive_of(input);
    ocify_fuzz::fix(&archive);
    ocify_fuzz::ways(&archive);
});
