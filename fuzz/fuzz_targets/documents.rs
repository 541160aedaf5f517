//! Any documents in a sound archive; `archive_of` tells how they are written down.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ocify_fuzz::hold(&ocify_fuzz::archive_of(input)));
