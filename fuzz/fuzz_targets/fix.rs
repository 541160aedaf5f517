//! Any bytes as an archive.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|archive: &[u8]| ocify_fuzz::fix(archive));
