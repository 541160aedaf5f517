//! Any text as what a registry states in a header or in the body of a reply.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| ocify_fuzz::replies(text));
