//! Which part of an archive an error is about, for code that looks for what else depends on it.

use std::fmt;

use super::Error;

/// What an error is about. The message says it in its own words, which the words of an input may replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The document or blob with this digest.
    Blob(String),
    /// The item of `manifest.json` at this position.
    Item(usize),
}

impl Error {
    /// The same error, about the document or blob with this digest.
    #[must_use]
    pub(crate) fn about_blob(mut self, digest: impl fmt::Display) -> Self {
        self.0.about = Some(About::Blob(digest.to_string()));
        self
    }

    /// The same error, about the item of `manifest.json` at this position.
    #[must_use]
    pub(crate) fn about_item(mut self, position: usize) -> Self {
        self.0.about = Some(About::Item(position));
        self
    }

    /// The digest of the document or blob that it is about, if it was said.
    pub(crate) fn blob(&self) -> Option<&str> {
        match &self.0.about {
            Some(About::Blob(digest)) => Some(digest),
            _ => None,
        }
    }

    /// The position of the item of `manifest.json` that it is about, if it was said.
    pub(crate) fn item(&self) -> Option<usize> {
        match self.0.about {
            Some(About::Item(position)) => Some(position),
            _ => None,
        }
    }
}
