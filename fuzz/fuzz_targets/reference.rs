//! Any text as the name of an image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ocify::reference::Reference;

fuzz_target!(|text: &str| {
    let Some(reference) = Reference::parse(text) else {
        return;
    };
    for spelling in [reference.full(), reference.familiar()] {
        assert_eq!(
            Reference::parse(&spelling),
            Some(reference.clone()),
            "{spelling}"
        );
    }
    assert!(reference.is_digest() || reference.tag().is_some(), "{text}");
});
