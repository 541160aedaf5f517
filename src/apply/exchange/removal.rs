//! What nothing refers to any more is removed, once the new layout is on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Exchange;
use super::record::Record;
use super::refused::is_link;
use super::roots::bytes_of;
use super::steps::{RootStep, Steps};
use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Error, IoContext, Result};
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

/// Removes what the output does not have, and then the record. Nothing is removed while a build may be writing, or if
/// another program has changed `index.json` since: the next run finds the record.
///
/// # Errors
/// Something cannot be removed.
pub(super) fn run(exchange: &Exchange<'_>, steps: &Steps<'_>, record: &Record) -> Result<()> {
    let root = exchange.root;
    let known = exchange.inventory.root_index.as_ref();
    let expected = match steps.index {
        RootStep::Write(bytes) => Some(bytes),
        _ => known.map(|file| file.bytes.as_slice()),
    };
    let is_ours = bytes_of(root, RootName::Index)?.as_deref() == expected;
    if !steps.removed.is_empty() && (!is_ours || is_building(root)?) {
        return Ok(());
    }
    let mut directories: BTreeMap<String, Directory> = BTreeMap::new();
    for digest in &steps.removed {
        let parent = format!("blobs/{}", digest.algorithm_name());
        let directory = match directories.get(&parent) {
            Some(directory) => directory.clone(),
            None => {
                let opened = root.below(&parent);
                let opened = opened.context("open", root.join(Path::new(&parent)))?;
                directories.entry(parent).or_insert(opened).clone()
            }
        };
        let name = digest.hex();
        let place = HeldPath::new(&directory, name.as_ref());
        let place = place.context("remove", directory.join(Path::new(&name)))?;
        let found = match place.look_up() {
            Ok(found) if found.kind.is_file() => found,
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("remove", &place.path(), error)),
        };
        // It may have been written again since it was looked at.
        if exchange.orphans.contains(digest) && !is_older(&found, exchange.older_than) {
            continue;
        }
        place.remove().context("remove", place.path())?;
    }
    for directory in directories.values() {
        sync_held(directory)?;
    }
    record.remove(root);
    Ok(())
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
