//! Journals that nobody wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ocify_fuzz::journal(input));
