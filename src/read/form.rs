//! Whether an archive already has the form that ocify writes, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::digest::{Algorithm, Digest};
use crate::header::{self, BLOCK, END_LEN};
use crate::inventory::{BlobEntry, FormDifference};

/// Follows a scan and keeps the first difference.
pub(super) struct FormCheck {
    /// Where the next header has to stand.
    position: u64,
    last: String,
    directories: BTreeSet<String>,
    difference: Option<FormDifference>,
}

/// An entry as it stands in the archive.
pub(super) struct Raw<'a> {
    /// The name as written.
    pub(super) name: &'a [u8],
    /// The name cleaned, with a trailing `/` for directories.
    pub(super) clean: String,
    pub(super) len: u64,
    pub(super) header_position: u64,
    pub(super) data_position: u64,
    pub(super) header: &'a [u8; BLOCK],
}

impl FormCheck {
    pub(super) fn new() -> Self {
        FormCheck {
            position: 0,
            last: String::new(),
            directories: BTreeSet::new(),
            difference: None,
        }
    }

    /// Notes a difference that was seen elsewhere.
    pub(super) fn differs(&mut self, entry: &str, what: &str) {
        self.difference.get_or_insert_with(|| FormDifference {
            entry: entry.to_owned(),
            what: what.to_owned(),
        });
    }

    /// Compares the next entry with what ocify would write there.
    pub(super) fn entry(&mut self, file: &File, raw: &Raw<'_>) {
        // The first difference is enough, and saves the reads.
        if self.difference.is_some() {
            return;
        }
        if let Some(what) = self.compare(file, raw) {
            self.differs(&raw.clean, what);
        }
        self.position = raw.data_position + raw.len + header::padding(raw.len);
        self.last.clone_from(&raw.clean);
        if raw.clean.ends_with('/') {
            self.directories.insert(raw.clean.clone());
        }
    }

    fn compare(&self, file: &File, raw: &Raw<'_>) -> Option<&'static str> {
        if raw.name != raw.clean.as_bytes() {
            return Some("has its name written in another way");
        }
        if raw.clean == "./" {
            return Some("is an entry for the root itself");
        }
        if raw.clean == self.last {
            return Some("stands twice");
        }
        if raw.clean < self.last {
            return Some("stands out of order");
        }
        let mut parents = raw.clean.trim_end_matches('/').match_indices('/');
        if parents.any(|(at, _)| !self.directories.contains(&raw.clean[..=at])) {
            return Some("has no entry for its directory");
        }
        let is_dir = raw.clean.ends_with('/');
        let expected = header::canonical(&raw.clean, is_dir, raw.len);
        if self.position + expected.len() as u64 != raw.data_position {
            return Some("has another kind of header");
        }
        let is_equal = if expected.len() == BLOCK {
            raw.header_position == self.position && expected == raw.header
        } else {
            let mut found = vec![0; expected.len()];
            file.read_exact_at(&mut found, self.position).is_ok() && found == expected
        };
        if !is_equal {
            return Some("has another mode, owner or time");
        }
        let mut padding = vec![0; header::padding(raw.len) as usize];
        let is_read = file.read_exact_at(&mut padding, raw.data_position + raw.len);
        if is_read.is_err() || padding.iter().any(|&byte| byte != 0) {
            return Some("is not padded with zeros");
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
            algorithms.all(|found| found != algorithm)
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
        self.difference
    }
}
