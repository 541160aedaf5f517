//! Merges, and archives of which some platforms are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ocify_fuzz::merged(input));
