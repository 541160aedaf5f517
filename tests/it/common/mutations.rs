//! Random changes of archives, and the archive of what they changed.

use super::archive::{Entry, tar};

pub(crate) use super::shared::mutations::Mutant;

impl Mutant {
    /// The archive, with its blobs first or its root files first.
    pub(crate) fn tar(&self, has_roots_first: bool) -> Vec<u8> {
        let (blobs, roots): (Vec<_>, Vec<_>) = self
            .files
            .iter()
            .map(|(name, bytes)| Entry::file(name, bytes))
            .partition(|entry| entry.name.starts_with(b"blobs/"));
        let entries = match has_roots_first {
            true => [roots, blobs].concat(),
            false => [blobs, roots].concat(),
        };
        tar(&entries)
    }
}
