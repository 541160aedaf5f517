//! Any text as the name of an image.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| ocify_fuzz::reference(text));
