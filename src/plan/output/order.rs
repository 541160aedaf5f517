//! The entries of an output, and their order.

use crate::image::Digest;
use crate::inventory::{BlobEntry, DataLocation};
use crate::plan::{Body, OutputEntry};

/// All entries by name; kept blobs and other entries are in that order each. What is both is
/// taken from the others.
pub(super) fn merged(
    kept: Vec<(&Digest, &BlobEntry)>,
    others: Vec<OutputEntry>,
) -> Vec<OutputEntry> {
    let mut entries = Vec::with_capacity(kept.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (digest, found) in kept {
        let blob = blob(digest, found.len, &found.data);
        while let Some(other) = others.next_if(|other| other.name < blob.name) {
            entries.push(other);
        }
        if others.peek().is_none_or(|other| other.name != blob.name) {
            entries.push(blob);
        }
    }
    entries.extend(others);
    entries
}

pub(super) fn blob(digest: &Digest, len: u64, data: &DataLocation) -> OutputEntry {
    let body = Body::Blob {
        digest: digest.clone(),
        data: data.clone(),
    };
    entry(digest.blob_name(), len, body)
}

/// An entry that replaces nothing.
pub(super) fn entry(name: String, len: u64, body: Body) -> OutputEntry {
    OutputEntry {
        name,
        len,
        body,
        replaces: None,
    }
}

/// An entry whose bytes are known, and where those are that it replaces.
pub(super) fn file(name: String, bytes: Vec<u8>, replaced: Option<&DataLocation>) -> OutputEntry {
    OutputEntry {
        replaces: replaced.cloned(),
        ..entry(name, bytes.len() as u64, Body::Bytes(bytes))
    }
}
