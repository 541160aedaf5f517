//! Diff IDs: the digests of uncompressed layers.

use std::fmt;

use crate::image::Digest;

/// The digest of a layer's uncompressed tar. Recompressing the layer does not change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry of `rootfs.diff_ids` in an image config, which may not be a valid digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StatedDiffId {
    /// A diff ID.
    Valid(DiffId),
    /// Any other text, verbatim.
    Invalid(String),
}

impl StatedDiffId {
    /// The diff ID, if it is valid.
    pub fn valid(&self) -> Option<&DiffId> {
        match self {
            StatedDiffId::Valid(diff_id) => Some(diff_id),
            StatedDiffId::Invalid(_) => None,
        }
    }

    /// Whether this is the diff ID of a layer blob with the digest `layer`. Only an uncompressed layer has
    /// the same digest as its diff ID.
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

/// The text as in the config.
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
    fn invalid_diff_ids_keep_their_text() {
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
