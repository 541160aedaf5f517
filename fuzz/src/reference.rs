//! Names of images.

use ocify::Reference;

/// Reads a text as the name of an image.
///
/// # Panics
/// What was read is not read again from one of its spellings.
pub fn reference(text: &str) {
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    for spelling in [reference.full(), reference.familiar()] {
        assert_eq!(spelling.parse().ok(), Some(reference.clone()), "{spelling}");
    }
    assert!(reference.is_digest() || reference.tag().is_some(), "{text}");
}
