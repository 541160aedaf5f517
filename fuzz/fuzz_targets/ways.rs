//! Any bytes as an archive, by every way out.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|archive: &[u8]| ocify_fuzz::ways(archive));
