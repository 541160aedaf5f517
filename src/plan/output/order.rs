//! The entries of an output, and their order.

use std::collections::HashMap;

use crate::image::Digest;
use crate::inventory::{BlobEntry, DataLocation};
use crate::plan::{BlobKind, Body, OutputEntry};

/// All entries by name; kept blobs and other entries are in that order each. What is both is
/// taken from the others.
pub(super) fn merged(
    kept: Vec<(&Digest, &BlobEntry)>,
    others: Vec<OutputEntry>,
    kinds: &HashMap<&Digest, BlobKind>,
) -> Vec<OutputEntry> {
    let mut entries = Vec::with_capacity(kept.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (digest, found) in kept {
        let kind = kinds.get(digest).copied().unwrap_or_default();
        let blob = blob(digest, found.len, &found.data, kind);
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

pub(super) fn blob(digest: &Digest, len: u64, data: &DataLocation, kind: BlobKind) -> OutputEntry {
    let body = Body::Blob {
        digest: digest.clone(),
        data: data.clone(),
    };
    OutputEntry {
        kind,
        ..entry(digest.blob_name(), len, body)
    }
}

/// An entry that replaces nothing.
pub(super) fn entry(name: String, len: u64, body: Body) -> OutputEntry {
    OutputEntry {
        name,
        len,
        body,
        replaces: None,
        kind: BlobKind::Other,
    }
}

/// An entry whose bytes are known, and where those are that it replaces.
pub(super) fn file(name: String, bytes: Vec<u8>, replaced: Option<&DataLocation>) -> OutputEntry {
    OutputEntry {
        replaces: replaced.cloned(),
        kind: BlobKind::Document,
        ..entry(name, bytes.len() as u64, Body::Bytes(bytes))
    }
}
