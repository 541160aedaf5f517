//! Where the entries of a new archive go.

use std::ops::Range;

use crate::apply::body_len;
use crate::apply::copy::{MAX_BLOB, MAX_REGION};
use crate::error::{Code, Error, IoContext, Result};
use crate::input::{self, Source};
use crate::plan::{Body, OutputEntry};
use crate::tar::{END_LEN, canonical_len, padding};

/// Where every entry goes.
pub(super) struct Places {
    /// Where the headers of each entry begin, and where the last entry ends.
    pub(super) bounds: Vec<u64>,
    /// The length of the archive.
    pub(super) len: u64,
}

impl Places {
    pub(super) fn of(entries: &[OutputEntry]) -> Result<Places> {
        let mut bounds = Vec::with_capacity(entries.len() + 1);
        let mut end = 0_u64;
        let mut advance = |len: u64| {
            end = end.checked_add(len).ok_or_else(|| {
                Error::new(
                    Code::NoSpace,
                    "the output would exceed the maximum file size",
                )
            })?;
            Ok(end)
        };
        bounds.push(0);
        for entry in entries {
            let len = body_len(entry);
            let is_dir = entry.body == Body::Directory;
            advance(canonical_len(&entry.name, is_dir, len))?;
            advance(len)?;
            bounds.push(advance(padding(len))?);
        }
        let len = advance(END_LEN)?;
        Ok(Places { bounds, len })
    }

    /// Entries to write at once: adjacent small ones, or a single one.
    pub(super) fn groups(&self, entries: &[OutputEntry]) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let end = self.bounds[number + 1];
            match groups.last_mut() {
                Some(group)
                    if is_small(entry)
                        && is_small(&entries[group.start])
                        && end - self.bounds[group.start] <= MAX_REGION as u64 =>
                {
                    group.end = number + 1;
                }
                _ => groups.push(number..number + 1),
            }
        }
        groups
    }

    /// The holes of large blobs, where they will be in the output, in complete pages.
    pub(super) fn holes(
        &self,
        entries: &[OutputEntry],
        source: &Source,
    ) -> Result<Vec<Range<u64>>> {
        const PAGE: u64 = 4096;
        let mut found = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let Body::Blob { data, .. } = &entry.body else {
                continue;
            };
            if is_small(entry) {
                continue;
            }
            let (file, at) = source.open_blob(data)?;
            let body_at = self.bounds[number + 1] - padding(entry.len) - entry.len;
            let holes = input::holes(&file, at..at.saturating_add(entry.len));
            for hole in holes.context("read", source.path())? {
                let start = (body_at + (hole.start - at)).next_multiple_of(PAGE);
                let end = (body_at + (hole.end - at)) / PAGE * PAGE;
                if start < end {
                    found.push(start..end);
                }
            }
        }
        Ok(found)
    }
}

/// Whether the entry is written together with its neighbors.
pub(super) fn is_small(entry: &OutputEntry) -> bool {
    match entry.body {
        Body::Directory => true,
        Body::Bytes(_) | Body::Blob { .. } => body_len(entry) <= MAX_BLOB,
    }
}
