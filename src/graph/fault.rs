//! What is wrong with single documents. It matters only if they go out, and does not concern the others.

use std::collections::BTreeMap;

use crate::error::{Class, Code, Error};
use crate::image::Digest;

/// What is wrong with single manifests and indexes, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    in_order: Vec<(Digest, Error)>,
    by_digest: BTreeMap<Digest, usize>,
}

impl Faults {
    /// What is wrong with the document of that digest.
    pub fn of(&self, digest: &Digest) -> Option<&Error> {
        let position = *self.by_digest.get(digest)?;
        Some(&self.in_order[position].1)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// The documents and what is wrong with each.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &Error)> {
        self.in_order.iter().map(|(digest, error)| (digest, error))
    }

    /// Adds the first error about a document; further ones are ignored.
    pub(super) fn add(&mut self, digest: &Digest, error: Error) {
        if !self.by_digest.contains_key(digest) {
            self.by_digest.insert(digest.clone(), self.in_order.len());
            self.in_order
                .push((digest.clone(), error.about_blob(digest)));
        }
    }
}

/// Whether an error is about the content of one document, and not about the archive or the reading of it.
pub(super) fn is_of_one_document(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::DigestMismatch
            | Code::SizeMismatch
            | Code::DiffIdMismatch
            | Code::InvalidDocument
            | Code::InvalidDigest
            | Code::UnsupportedDigest
            | Code::LayerCountMismatch
            | Code::AmbiguousDocument
            | Code::DuplicateKey
            | Code::DocumentTooLarge
            | Code::DocumentTooDeep
            | Code::Schema1
            | Code::Plugin
    )
}

/// Whether a document with this error must not go out, even beside others: it is damaged, or readers
/// understand it differently. All other documents are intact, and no engine loads them.
pub(crate) fn is_refused(error: &Error) -> bool {
    let is_damage = matches!(
        error.code(),
        Code::DigestMismatch | Code::SizeMismatch | Code::DiffIdMismatch
    );
    is_damage || error.class() == Class::Ambiguous
}
