//! Whether an archive already has the form that ocify writes, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::{Algorithm, Digest};
use crate::inventory::{BlobEntry, FormDifference};
use crate::tar::{self, END_LEN};

/// The order that an archive's entries are to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By name.
    Sorted,
    /// Blobs in any order, then the files at the root by name: what a stream can keep.
    BlobsFirst,
}

/// Follows a scan and keeps the first difference.
pub(super) struct FormCheck {
    order: Order,
    /// Where the next header has to be.
    position: u64,
    last: String,
    directories: BTreeSet<String>,
    difference: Option<FormDifference>,
    hides_entries: bool,
    /// The first entry that engines refuse or take for something else.
    misread: Option<FormDifference>,
}

/// An entry as it is in the archive.
pub(super) struct Raw<'a> {
    /// The name as written.
    pub(super) name: &'a [u8],
    /// The name cleaned, with a trailing `/` for directories.
    pub(super) clean: String,
    pub(super) len: u64,
    pub(super) data_position: u64,
    /// The bytes of all its headers, or the first ones.
    pub(super) headers: &'a [u8],
}

impl FormCheck {
    pub(super) fn new(order: Order) -> Self {
        FormCheck {
            order,
            position: 0,
            last: String::new(),
            directories: BTreeSet::new(),
            difference: None,
            hides_entries: false,
            misread: None,
        }
    }

    /// Records that some readers do not find an entry of the image, or use another one.
    pub(super) fn hides_entry(&mut self) {
        self.hides_entries = true;
    }

    /// Records an entry that engines refuse or take for something else.
    pub(super) fn misread(&mut self, entry: &str, what: &str) {
        self.differs(entry, what);
        self.misread.get_or_insert_with(|| FormDifference {
            entry: entry.to_owned(),
            what: what.to_owned(),
            hides_entries: true,
            is_misread: true,
        });
    }

    /// Records a difference that was found elsewhere.
    pub(super) fn differs(&mut self, entry: &str, what: &str) {
        self.difference.get_or_insert_with(|| FormDifference {
            entry: entry.to_owned(),
            what: what.to_owned(),
            hides_entries: false,
            is_misread: false,
        });
    }

    /// Whether no difference was seen yet. The first is enough, and saves the rest of the work.
    pub(super) fn is_same(&self) -> bool {
        self.difference.is_none()
    }

    /// Compares the next entry with what ocify would write there.
    pub(super) fn entry(&mut self, raw: &Raw<'_>) {
        if !self.is_same() {
            return;
        }
        if let Some(what) = self.compare(raw) {
            self.differs(&raw.clean, what);
        }
        self.position = raw.data_position + raw.len + tar::padding(raw.len);
        self.last.clone_from(&raw.clean);
        if raw.clean.ends_with('/') {
            self.directories.insert(raw.clean.clone());
        }
    }

    /// Looks at the bytes between the last entry's data and the next header.
    pub(super) fn padding(&mut self, padding: &[u8], expected: usize) {
        if self.is_same() && (padding.len() != expected || padding.iter().any(|&byte| byte != 0)) {
            let last = self.last.clone();
            self.differs(&last, "is not padded with zeros");
        }
    }

    fn compare(&self, raw: &Raw<'_>) -> Option<&'static str> {
        if raw.name != raw.clean.as_bytes() {
            return Some("has a name in another form");
        }
        if raw.clean == "./" {
            return Some("is an entry for the root directory");
        }
        if raw.clean == self.last {
            return Some("is duplicated");
        }
        let is_blob = |name: &str| name.starts_with("blobs/");
        let is_free = self.order == Order::BlobsFirst && is_blob(&raw.clean) && is_blob(&self.last);
        if raw.clean < self.last && !is_free {
            return Some("is out of order");
        }
        let mut parents = raw.clean.trim_end_matches('/').match_indices('/');
        if parents.any(|(at, _)| !self.directories.contains(&raw.clean[..=at])) {
            return Some("lacks an entry for its directory");
        }
        let is_dir = raw.clean.ends_with('/');
        let expected = tar::canonical(&raw.clean, is_dir, raw.len);
        if self.position + expected.len() as u64 != raw.data_position {
            return Some("has another type of header");
        }
        if raw.headers != expected {
            return Some("has another mode, owner or time");
        }
        None
    }

    /// The first difference, once every entry was seen.
    pub(super) fn finish(
        mut self,
        file_len: u64,
        blobs: &BTreeMap<Digest, BlobEntry>,
    ) -> Option<FormDifference> {
        let is_empty = |algorithm: Algorithm| {
            let mut algorithms = blobs.keys().map(Digest::algorithm);
            algorithms.all(|found| found != Some(algorithm))
        };
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = format!("blobs/{}/", algorithm.name());
            if self.directories.contains(&directory) && is_empty(algorithm) {
                self.differs(&directory, "is a directory without blobs");
            }
        }
        if self.position + END_LEN != file_len {
            let what = format!(
                "is the last entry and is followed by {} zero bytes, not {END_LEN}",
                file_len.saturating_sub(self.position)
            );
            let last = self.last.clone();
            self.differs(&last, &what);
        }
        // What matters most is what the report says.
        self.misread.or_else(|| {
            self.difference.map(|difference| FormDifference {
                hides_entries: self.hides_entries,
                ..difference
            })
        })
    }
}
