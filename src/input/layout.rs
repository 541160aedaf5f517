//! Scans an image layout directory, or an archive that was unpacked into a directory.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use walkdir::{DirEntry, WalkDir};

use super::Source;
use super::archive::links::{self, BrokenLink};
use super::classify::{self, Item};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::image::Digest;
use crate::inventory::{DataLocation, ExtraKind, Inventory};

/// Levels below the root that are searched. A layout has three: `blobs`, the algorithm, the blob.
const DEPTH: usize = 8;
/// How many entries are listed; each costs memory.
const MAX_ENTRIES: usize = 1 << 20;

pub(super) fn scan(source: &Source) -> Result<Inventory> {
    list(source, MAX_ENTRIES)
}

fn list(source: &Source, max_entries: usize) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    // manifest.json may name files anywhere; an image layout has nothing useful besides its blobs.
    let is_docker_archive = source.path().join("manifest.json").exists();
    let mut walk = WalkDir::new(source.path())
        .follow_links(false)
        .min_depth(1)
        .max_depth(DEPTH)
        .sort_by_file_name()
        .into_iter();
    while let Some(found) = walk.next() {
        let entry = found.map_err(|error| walk_error(source, error))?;
        inventory.entry_count += 1;
        if inventory.entry_count > max_entries {
            return Err(too_many(source, max_entries));
        }
        let is_other = entry.depth() == 1 && entry.file_name() != "blobs";
        if is_other && entry.file_type().is_dir() && !is_docker_archive {
            walk.skip_current_dir();
        }
        let mut item = item(source, &entry)?;
        if let ExtraKind::Symlink(target) = &item.kind
            && links::is_needed_link(&item)
        {
            let (name, len) = linked_file(source, &item.name, target).map_err(|why| {
                let path = source.path();
                classify::broken_link(path, Some(path), &item, why)
            })?;
            inventory.links.insert(item.name.clone(), name.clone());
            item.kind = ExtraKind::File(DataLocation::File(name));
            item.len = len;
        }
        classify::add(&mut inventory, source, source.path(), item)?;
    }
    Ok(inventory)
}

fn item(source: &Source, entry: &DirEntry) -> Result<Item> {
    let relative = entry
        .path()
        .strip_prefix(source.path())
        .unwrap_or(entry.path());
    let name = relative.to_string_lossy().into_owned();
    let file_type = entry.file_type();
    let mut len = 0;
    let kind = if file_type.is_dir() {
        ExtraKind::Directory
    } else if file_type.is_symlink() {
        let target = std::fs::read_link(entry.path()).context("read", entry.path())?;
        ExtraKind::Symlink(target.to_string_lossy().into_owned())
    } else if file_type.is_file() {
        len = std::fs::symlink_metadata(entry.path())
            .context("read", entry.path())?
            .len();
        ExtraKind::File(DataLocation::File(name.clone()))
    } else {
        ExtraKind::Other
    };
    Ok(Item {
        digest: Digest::from_blob_name(&name),
        name,
        kind,
        len,
        content: None,
    })
}

/// The file in the directory that a symbolic link in place of a blob or root file leads to, and its length.
fn linked_file(source: &Source, link: &str, target: &str) -> Result<(String, u64), BrokenLink> {
    let mut name = links::beside(link, target)?;
    for _ in 0..links::MAX_LINKS {
        // A link on the way to the file is not followed.
        if let Ok(file) = open_beneath(&source.file, &name) {
            let metadata = file.metadata().map_err(|_| BrokenLink::Missing)?;
            return Ok((name, metadata.len()));
        }
        let path = source.path().join(&name);
        let Ok(target) = std::fs::read_link(&path) else {
            return Err(match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => BrokenLink::Directory,
                Ok(found) if !found.is_file() => BrokenLink::Special,
                _ => BrokenLink::Missing,
            });
        };
        let target = target.to_str().ok_or(BrokenLink::Missing)?;
        name = links::beside(&name, target)?;
        if name == link {
            return Err(BrokenLink::Circular);
        }
    }
    Err(BrokenLink::TooLong)
}

fn too_many(source: &Source, max_entries: usize) -> Error {
    Error::new(
        Code::TooManyEntries,
        format!(
            "{} contains more than {max_entries} files and directories",
            show_path(source.path())
        ),
    )
    .with_path(source.path())
    .with_expected(max_entries)
    .with_hint(Hint::GiveImageDirectory)
}

fn walk_error(source: &Source, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(source.path()).to_owned();
    let cause = error
        .into_io_error()
        .unwrap_or_else(|| std::io::Error::other("directory loop"));
    Error::io("list", &path, cause)
}

/// Opens a file below a directory without following any link, so that a layout that changes while
/// it is read cannot lead outside.
pub(super) fn open_beneath(directory: &File, name: &str) -> std::io::Result<File> {
    // Does not wait on a FIFO that replaced a blob.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let opened = match openat2(directory, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(directory, name, flags),
        other => other.map(File::from).map_err(std::io::Error::from),
    }?;
    if opened.metadata()?.is_file() {
        Ok(opened)
    } else {
        Err(std::io::Error::other("not a regular file"))
    }
}

/// For kernels and sandboxes without `openat2`: one component at a time.
fn open_stepwise(directory: &File, name: &str, flags: OFlags) -> std::io::Result<File> {
    let mut current = directory.try_clone()?;
    let mut parts = Path::new(name).components().peekable();
    while let Some(part) = parts.next() {
        let std::path::Component::Normal(part) = part else {
            return Err(Errno::XDEV.into());
        };
        let kind = if parts.peek().is_some() {
            OFlags::DIRECTORY
        } else {
            OFlags::empty()
        };
        current = openat(
            &current,
            part,
            flags | kind | OFlags::NOFOLLOW,
            Mode::empty(),
        )?
        .into();
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::image::{Algorithm, Digest};
    use crate::input::scan;
    use crate::inventory::BlobSource;
    use crate::inventory::Strictness;

    fn layout() -> (tempfile::TempDir, Digest) {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"{}");
        std::fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        std::fs::create_dir_all(dir.path().join("ingest/deep/deeper")).unwrap();
        std::fs::write(dir.path().join(digest.blob_name()), b"{}").unwrap();
        std::fs::write(dir.path().join("index.json"), b"{}").unwrap();
        (dir, digest)
    }

    #[test]
    fn a_layout_is_listed() {
        let (dir, digest) = layout();
        let source = Source::open(dir.path()).unwrap();
        let inventory = scan(&source, Strictness::Strict).unwrap();
        let blob = &inventory.blobs[&digest];
        assert_eq!(source.read_blob(blob, 10).unwrap(), b"{}");
        assert_eq!(
            inventory.extra.keys().collect::<Vec<_>>(),
            ["ingest"],
            "only the top level is listed"
        );
        assert_eq!(inventory.form, None);
    }

    #[test]
    fn directories_are_listed_where_manifest_json_may_name_files_in_them() {
        let (dir, _) = layout();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), b"x").unwrap();
        std::fs::write(dir.path().join("manifest.json"), b"[]").unwrap();
        std::fs::write(dir.path().join("ingest/deep/layer.tar"), b"x").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        let source = Source::open(dir.path()).unwrap();
        let inventory = scan(&source, Strictness::Strict).unwrap();
        assert_eq!(
            inventory.extra.keys().collect::<Vec<_>>(),
            [
                "ingest",
                "ingest/deep",
                "ingest/deep/deeper",
                "ingest/deep/layer.tar",
                "link"
            ]
        );
        let kind = &inventory.extra["link"].kind;
        assert!(matches!(kind, ExtraKind::Symlink(_)), "{kind:?}");
    }

    #[test]
    fn too_many_entries_are_refused() {
        let (dir, _) = layout();
        let source = Source::open(dir.path()).unwrap();
        // blobs/, blobs/sha256/, a blob, index.json and ingest/.
        assert_eq!(list(&source, 5).unwrap().entry_count, 5);
        let error = list(&source, 4).unwrap_err();
        assert_eq!(error.code(), Code::TooManyEntries);
    }

    #[test]
    fn links_within_the_directory_are_followed() {
        let (dir, digest) = layout();
        let blob = dir.path().join(digest.blob_name());
        std::fs::remove_file(&blob).unwrap();
        std::os::unix::fs::symlink("link", &blob).unwrap();
        let link = blob.with_file_name("link");
        std::os::unix::fs::symlink("../../index.json", &link).unwrap();
        let source = Source::open(dir.path()).unwrap();
        let inventory = scan(&source, Strictness::Strict).unwrap();
        let found = &inventory.blobs[&digest];
        assert_eq!(found.data, DataLocation::File("index.json".to_owned()));
        assert_eq!(inventory.links[&digest.blob_name()], "index.json");
        assert_eq!(source.read_blob(found, 10).unwrap(), b"{}");
        // A loop leads to no file.
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(digest.hex(), &link).unwrap();
        let error = scan(&source, Strictness::Strict).unwrap_err();
        assert_eq!(error.code(), Code::LinkEntry);
    }

    #[test]
    fn other_links_are_refused() {
        let (dir, digest) = layout();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), b"{}").unwrap();
        let blob = dir.path().join(digest.blob_name());
        std::fs::remove_file(&blob).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), &blob).unwrap();
        let source = Source::open(dir.path()).unwrap();
        let error = scan(&source, Strictness::Strict).unwrap_err();
        assert_eq!(error.code(), Code::LinkEntry);
        // Also when the link appears after the scan.
        assert!(open_beneath(&source.file, &digest.blob_name()).is_err());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(open_stepwise(&source.file, &digest.blob_name(), flags).is_err());
        assert!(open_stepwise(&source.file, "index.json", flags).is_ok());
        assert!(open_stepwise(&source.file, "../x", flags).is_err());
    }
}
