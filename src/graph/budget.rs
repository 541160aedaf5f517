//! Limits on what documents take together: memory, and the time to read them.
//!
//! Each document is small, but their number is not limited, and a few bytes of an archive that is compressed as a whole
//! can become thousands of documents.

use crate::error::{Code, Error, Hint, Result};
use crate::location::Location;

/// How much memory documents may take, in bytes, as [`Budget::keep`] estimates it.
const MAX_MEMORY: u64 = 512 << 20;
/// How many bytes of documents may be read. A config that several manifests share is read for each.
pub(super) const MAX_READ: u64 = 1 << 30;
/// The most that one descriptor takes besides its text, in bytes: what it says, what is decided about it, and what is reported.
const DESCRIPTOR: u64 = 1 << 10;

/// What documents took so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    memory: u64,
    read: u64,
}

impl Budget {
    /// Counts a document of `len` bytes that is about to be read.
    ///
    /// # Errors
    /// Too much was read.
    pub(super) fn read(&mut self, len: u64, location: impl Fn() -> Location) -> Result<()> {
        self.read = self.read.saturating_add(len);
        match self.read > MAX_READ {
            true => Err(too_large(
                location(),
                "total length of all documents that are read",
                self.read,
                MAX_READ,
            )),
            false => Ok(()),
        }
    }

    /// Counts a document that is kept, with its text of `len` bytes, which may be written again, and its descriptors.
    ///
    /// # Errors
    /// The documents take too much memory.
    pub(super) fn keep(
        &mut self,
        len: usize,
        descriptors: usize,
        location: impl Fn() -> Location,
    ) -> Result<()> {
        let of_descriptors = (descriptors as u64).saturating_mul(DESCRIPTOR);
        let taken = (len as u64)
            .saturating_mul(2)
            .saturating_add(of_descriptors);
        self.memory = self.memory.saturating_add(taken);
        match self.memory > MAX_MEMORY {
            true => Err(too_large(
                location(),
                "memory for all documents",
                self.memory,
                MAX_MEMORY,
            )),
            false => Ok(()),
        }
    }

    /// Whether no more documents fit. That is about all of them, not about the last one.
    pub(super) fn is_spent(&self) -> bool {
        self.memory > MAX_MEMORY || self.read > MAX_READ
    }
}

fn too_large(location: Location, what: &str, len: u64, cap: u64) -> Error {
    Error::new(
        Code::DocumentTooLarge,
        format!("{location} brings the {what} to {len} bytes, expected at most {cap}"),
    )
    .with_location(location)
    .with_expected(cap)
    .with_found(len)
    .with_hint(Hint::SaveFewer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::RootName;

    #[test]
    fn legitimate_archives_fit() {
        let location = || Location::from(RootName::Index);
        // Of each image: an index of two, a manifest of 20 layers with an annotation each, and an attestation.
        let mut budget = Budget::default();
        for _ in 0..12_000 {
            budget.keep(900, 2, location).unwrap();
            budget.keep(5_000, 21, location).unwrap();
            budget.keep(900, 2, location).unwrap();
            budget.read(30_000, location).unwrap();
        }
        assert!(!budget.is_spent());
    }

    #[test]
    fn many_small_documents_and_many_descriptors_do_not() {
        let location = || Location::from(RootName::Index);
        for (len, descriptors) in [(4 << 20, 1), (1, 36_000), (100, 1)] {
            let mut budget = Budget::default();
            let count = (0..1_000_000)
                .take_while(|_| budget.keep(len, descriptors, location).is_ok())
                .count();
            assert!(budget.is_spent(), "{len}");
            assert!(count < 500_000, "{len}: {count}");
        }
        let mut budget = Budget::default();
        budget.read(MAX_READ, location).unwrap();
        let error = budget.read(1, location).unwrap_err();
        assert_eq!(error.code(), Code::DocumentTooLarge);
        assert_eq!(error.found(), Some("1073741825"));
    }
}
