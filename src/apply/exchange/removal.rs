//! What nothing refers to any more is removed, once the new layout is on disk.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags};

use super::Exchange;
use super::lock::IndexLock;
use super::refused::is_link;
use super::roots::{bytes_of, changed};
use super::steps::{RootStep, Steps};
use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Error, Hint, IoContext, Result};
use crate::image::Digest;
use crate::location::RootName;
use crate::publish::sync_held;

/// Where BuildKit writes blobs that are not complete yet.
const INGEST: &str = "ingest";

/// Whether a build may be writing to a layout: BuildKit has begun blobs that are not complete.
///
/// # Errors
/// The directory is a link, or cannot be listed.
pub(crate) fn is_building(root: &Directory) -> Result<bool> {
    let path = root.join(Path::new(INGEST));
    let found = root.look_up(Path::new(INGEST));
    if found.is_ok_and(|found| found.kind.is_symlink()) {
        return Err(is_link(root, INGEST));
    }
    match root.below(INGEST).and_then(|ingest| ingest.is_empty()) {
        Ok(is_empty) => Ok(!is_empty),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(Error::io("list", &path, error)),
    }
}

/// Whether a file has not changed for this long. BuildKit sets the time of a blob when it is complete.
pub(crate) fn is_older(found: &FileStat, than: Duration) -> bool {
    if than.is_zero() {
        return true;
    }
    let modified = u64::try_from(found.modified).unwrap_or(0);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(modified);
    // What was changed in the future is not old.
    let age = SystemTime::now().duration_since(modified);
    age.is_ok_and(|age| age >= than)
}

/// How many of the largest files are held open until the lock is given up: removing a name takes microseconds, and giving back
/// the space of a layer, which happens when the last program closes it, up to seconds.
const MAX_HELD: usize = 256;

/// What is to be removed, as it was found under the lock.
#[derive(Debug)]
pub(super) struct Removal {
    files: Vec<(HeldPath, FileStat)>,
    directories: BTreeMap<String, Directory>,
    /// Whether that is everything that the output does not have.
    pub(super) is_all: bool,
}

impl Removal {
    /// Looks up what the output does not have. Nothing is removed while a build may be running. `None` if a build has begun
    /// since the plan was made, or what nothing refers to is not old enough any more.
    ///
    /// # Errors
    /// Something cannot be looked up.
    pub(super) fn of(exchange: &Exchange<'_>, steps: &Steps<'_>) -> Result<Option<Self>> {
        let mut removal = Removal {
            files: Vec::new(),
            directories: BTreeMap::new(),
            is_all: steps.removed.is_empty() || !exchange.is_building,
        };
        if steps.removed.is_empty() || exchange.is_building {
            return Ok(Some(removal));
        }
        if is_building(exchange.root)? {
            return Ok(None);
        }
        for digest in &steps.removed {
            let directory = removal.directory(exchange.root, digest)?;
            let name = digest.hex();
            let place = HeldPath::new(&directory, name.as_ref());
            let place = place.context("remove", directory.join(Path::new(&name)))?;
            let found = match place.look_up() {
                Ok(found) if found.kind.is_file() => found,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("remove", &place.path(), error)),
            };
            if exchange.orphans.contains(digest) && !is_older(&found, exchange.older_than) {
                return Ok(None);
            }
            removal.files.push((place, found));
        }
        let files = &mut removal.files;
        files.sort_by_key(|(_, found)| Reverse(found.len));
        Ok(Some(removal))
    }

    fn directory(&mut self, root: &Directory, digest: &Digest) -> Result<Directory> {
        let parent = format!("blobs/{}", digest.algorithm_name());
        if let Some(directory) = self.directories.get(&parent) {
            return Ok(directory.clone());
        }
        let opened = root.below(&parent);
        let opened = opened.context("open", root.join(Path::new(&parent)))?;
        Ok(self.directories.entry(parent).or_insert(opened).clone())
    }
}

impl Exchange<'_> {
    /// Removes what the output does not have. Nobody else may write to `index.json` meanwhile, so the lock is held until
    /// then and no longer: a build that needs it would fail.
    ///
    /// # Errors
    /// Something cannot be removed; another program, which ignores the lock, has changed the layout.
    pub(super) fn remove(
        &self,
        removal: &Removal,
        steps: &Steps<'_>,
        lock: Option<IndexLock>,
    ) -> Result<()> {
        if removal.files.is_empty() {
            return Ok(());
        }
        let expected = match steps.index {
            RootStep::Write(bytes) => Some(bytes),
            _ => self.inventory.root_index.as_ref().map(|file| &*file.bytes),
        };
        let complete = |error: Error| error.with_hint(Hint::OutputComplete);
        let found = bytes_of(self.root, RootName::Index).map_err(complete)?;
        if found.as_deref() != expected {
            return Err(changed());
        }
        let mut held: Vec<File> = Vec::new();
        for (place, known) in &removal.files {
            match place.look_up() {
                Ok(found) if found.modified != known.modified => return Err(changed()),
                _ => {
                    if held.len() < MAX_HELD {
                        held.extend(place.open(OFlags::PATH, Mode::empty()));
                    }
                    let removed = place.remove().context("remove", place.path());
                    removed.map_err(complete)?;
                }
            }
        }
        drop(lock);
        drop(held);
        let mut directories = removal.directories.values();
        directories.try_for_each(|directory| sync_held(directory).map_err(complete))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::Code;

    #[test]
    fn age_is_the_time_since_the_last_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        let file = File::create(&path).unwrap();
        let hour = Duration::from_secs(3600);
        let now = SystemTime::now();
        for (modified, than, expected) in [
            (now, Duration::ZERO, true),
            (now + hour, Duration::ZERO, true),
            (now, hour, false),
            (now + hour, Duration::from_secs(1), false),
            (now - hour * 2, hour, true),
            (now - hour / 2, hour, false),
            (SystemTime::UNIX_EPOCH - hour, hour, true),
        ] {
            file.set_modified(modified).unwrap();
            let found = FileStat::from(&fs::metadata(&path).unwrap());
            assert_eq!(is_older(&found, than), expected, "{modified:?} {than:?}");
        }
    }

    #[test]
    fn a_build_shows_by_what_it_has_begun() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        assert!(!is_building(&root).unwrap());
        fs::create_dir(dir.path().join(INGEST)).unwrap();
        assert!(!is_building(&root).unwrap());
        fs::create_dir(dir.path().join("ingest/abc")).unwrap();
        assert!(is_building(&root).unwrap());
        // Whatever it leads to, it is not followed.
        fs::rename(dir.path().join(INGEST), dir.path().join("other")).unwrap();
        symlink("other", dir.path().join(INGEST)).unwrap();
        let error = is_building(&root).unwrap_err();
        assert_eq!(error.code(), Code::InPlaceRefused);
    }
}
