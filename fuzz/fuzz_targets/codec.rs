//! Compressed data that nobody compressed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ocify_fuzz::codec(input));
