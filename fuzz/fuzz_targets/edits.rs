//! The documents of real images after some edits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|edits: &[u8]| ocify_fuzz::hold(&ocify_fuzz::edited(edits)));
