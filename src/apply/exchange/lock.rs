//! BuildKit's lock of `index.json`.
//!
//! BuildKit locks the file `index.json.lock` to read and to write `index.json`, and removes it afterwards
//! (`client/ociindex`). It never waits: a build fails if somebody has the lock. So it is held for as short as possible.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::refused::unwritable;
use crate::beneath::{Directory, HeldPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};

pub(super) const NAME: &str = "index.json.lock";
/// How often the lock is tried, and how long to wait in between.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct IndexLock {
    place: HeldPath,
    file: File,
}

impl IndexLock {
    /// Takes the lock. On a filesystem without locks, nothing keeps others away.
    ///
    /// # Errors
    /// Another program holds it for a second, or it cannot be created.
    pub(super) fn acquire(root: &Directory) -> Result<Self> {
        let path = root.join(Path::new(NAME));
        let place = HeldPath::new(root, NAME.as_ref()).context("create", &path)?;
        // It is opened as BuildKit does it, so that a file of another user can be locked too.
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        for _ in 0..ATTEMPTS {
            let file = place.open(flags, Mode::from_raw_mode(0o644));
            let file = file.map_err(|error| unwritable(&path, error))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                // The holder may have removed the file before it was locked here: then this is another one.
                Ok(()) | Err(TryLockError::Error(_)) if place.is(&file) => {
                    return Ok(IndexLock { place, file });
                }
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
        }
        Err(Error::new(
            Code::FileBusy,
            format!("another program holds the lock {}", show_path(&path)),
        )
        .with_path(&path)
        .with_hint(Hint::RetryWhenFree))
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        // While it is locked, nobody else can have it.
        if self.place.is(&self.file) {
            let _ = self.place.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lock_is_removed_and_excludes_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        let lock = IndexLock::acquire(&root).unwrap();
        let other = File::open(&path).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        assert!(!path.exists());
        // One that a killed build left is taken over.
        fs::write(&path, "").unwrap();
        drop(IndexLock::acquire(&root).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for_and_then_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        let error = IndexLock::acquire(&root).unwrap_err();
        assert_eq!(error.code(), Code::FileBusy);
        assert!(path.exists(), "it belongs to the other program");
        // BuildKit unlocks it before it removes it.
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                held.unlock().unwrap();
                fs::remove_file(&path).unwrap();
            });
            drop(IndexLock::acquire(&root).unwrap());
        });
        assert!(!path.exists());
    }
}
