//! Diff IDs: what layers are without compression.

use std::fmt;

use crate::image::Digest;

/// The digest of a layer's tar without compression. It stays the same when the layer is recompressed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A diff ID as an image config states it, which may be text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StatedDiffId {
    /// A diff ID.
    Valid(DiffId),
    /// Any other text, as it is written.
    Invalid(String),
}

impl StatedDiffId {
    /// The diff ID, if the text is one.
    pub fn valid(&self) -> Option<&DiffId> {
        match self {
            StatedDiffId::Valid(diff_id) => Some(diff_id),
            StatedDiffId::Invalid(_) => None,
        }
    }

    /// Whether a layer with this digest is the tar that the diff ID is of, which only a layer without
    /// compression is.
    pub fn is_of(&self, layer: &Digest) -> bool {
        self.valid().is_some_and(|diff_id| diff_id.0 == *layer)
    }
}

impl From<&str> for StatedDiffId {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(digest) => StatedDiffId::Valid(DiffId(digest)),
            Err(_) => StatedDiffId::Invalid(text.to_owned()),
        }
    }
}

/// As the config has it.
impl fmt::Display for StatedDiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatedDiffId::Valid(diff_id) => diff_id.fmt(f),
            StatedDiffId::Invalid(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Algorithm;

    #[test]
    fn text_is_kept_as_it_is_written() {
        let digest = Digest::of(Algorithm::Sha256, b"tar");
        let text = digest.to_string();
        for (text, is_valid) in [
            (text.clone(), true),
            (Digest::of(Algorithm::Sha512, b"tar").to_string(), true),
            (text.to_uppercase(), false),
            (text.replace("sha256:", "sha1:"), false),
            (digest.hex(), false),
            (String::new(), false),
        ] {
            let stated = StatedDiffId::from(&*text);
            assert_eq!(stated.valid().is_some(), is_valid, "{text}");
            assert_eq!(stated.to_string(), text);
            assert_eq!(stated.is_of(&digest), text == digest.to_string(), "{text}");
        }
    }
}
