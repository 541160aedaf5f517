//! Detects whether a file or a layout changed, without reading it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ocify::command::show_path;
use walkdir::WalkDir;

/// Levels of a layout below its root that belong to it: `blobs`, the algorithm, the blob.
const LAYOUT_DEPTH: usize = 3;

/// What distinguishes one version of a file or a layout from another without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The length in bytes; of a layout, that of all its files.
    pub(crate) len: u64,
    /// The time of the last change in nanoseconds since 1970; of a layout, the latest in it.
    pub(crate) modified: i64,
}

impl Fingerprint {
    /// The fingerprint of the file or layout directory at a path; links are followed.
    ///
    /// # Errors
    /// It cannot be looked up, or a directory in it cannot be listed.
    pub(crate) fn of(path: &Path) -> io::Result<Fingerprint> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            of_layout(path)
        } else {
            Ok(Self::of_metadata(&metadata))
        }
    }

    /// The fingerprint of what the system says about a file.
    pub(crate) fn of_metadata(metadata: &Metadata) -> Fingerprint {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Fingerprint {
            len: metadata.len(),
            modified: seconds.saturating_add(metadata.mtime_nsec()),
        }
    }
}

/// All bytes of a layout, and the time of the latest change in it.
fn of_layout(directory: &Path) -> io::Result<Fingerprint> {
    let mut total = Fingerprint {
        len: 0,
        modified: i64::MIN,
    };
    let walk = WalkDir::new(directory)
        .follow_links(false)
        .max_depth(LAYOUT_DEPTH);
    for entry in walk {
        let entry = entry.map_err(|error| {
            let what = format!("{}: directory loop", show_path(directory));
            error
                .into_io_error()
                .unwrap_or_else(|| io::Error::other(what))
        })?;
        // The directory may be a link, which is followed.
        let metadata = match entry.depth() {
            0 => fs::metadata(entry.path())?,
            _ => fs::symlink_metadata(entry.path())?,
        };
        let found = Fingerprint::of_metadata(&metadata);
        total.modified = total.modified.max(found.modified);
        if metadata.is_file() {
            total.len = total.len.saturating_add(found.len);
        }
    }
    Ok(total)
}
