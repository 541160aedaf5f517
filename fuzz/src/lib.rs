//! What the fuzz targets do with their inputs, so that tests can do it too.

mod documents;
mod edits;
mod reference;
mod ways;
mod whole;

use std::path::{Path, PathBuf};

pub use documents::archive_of;
pub use edits::edited;
pub use reference::reference;
use tempfile::TempDir;
pub use ways::ways;
pub use whole::fix;

/// A folder of this thread, in memory where the system has such a folder.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: TempDir = {
            let memory = Path::new("/dev/shm");
            let made = match memory.is_dir() {
                true => tempfile::tempdir_in(memory),
                false => tempfile::tempdir(),
            };
            made.expect("a temporary folder")
        };
    }
    FOLDER.with(|folder| folder.path().to_owned())
}
