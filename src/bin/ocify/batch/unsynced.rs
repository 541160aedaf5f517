//! Names that are perhaps not on disk, because this run did not sync the directories that they are in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ocify::Result;

use super::output::OutputDir;

/// Directories that are to be synced once, at the end of the run, by their paths below the output directory.
#[derive(Debug, Default)]
pub(super) struct UnsyncedNames(Mutex<BTreeSet<PathBuf>>);

impl UnsyncedNames {
    /// Adds the directories whose names lead to an output.
    pub(super) fn add(&self, relative: &Path) {
        let mut directories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in OutputDir::directories(relative) {
            if directories.contains(directory) {
                // So are those above it.
                return;
            }
            directories.insert(directory.to_owned());
        }
    }

    /// Makes the names survive a power failure.
    ///
    /// # Errors
    /// That of the first directory that is not there any more or cannot be synced; the others are synced too.
    pub(super) fn sync(&self, output_dir: &OutputDir) -> Result<()> {
        let directories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = directories
            .iter()
            .map(|directory| output_dir.sync_directory(directory));
        synced.fold(Ok(()), Result::and)
    }
}
