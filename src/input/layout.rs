//! Scans an image layout directory, or an archive that was unpacked into a directory.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Source;
use super::archive::links::{self, BrokenLink};
use super::classify::{self, Item, is_structure};
use crate::beneath::{Directory, HeldPath, Links};
use crate::error::{Code, Error, Hint, IoContext, Result, distinguish, entry_text, show_path};
use crate::image::Digest;
use crate::inventory::{DataLocation, ExtraKind, Inventory};

/// Levels below the root that are searched. A layout has three: `blobs`, the algorithm, the blob.
const DEPTH: usize = 8;
/// How many entries are listed; each costs memory.
const MAX_ENTRIES: usize = 1 << 20;

pub(super) fn scan(source: &Source, directory: &Directory) -> Result<Inventory> {
    list(source, directory, MAX_ENTRIES)
}

fn list(source: &Source, directory: &Directory, max_entries: usize) -> Result<Inventory> {
    let mut listing = Listing {
        source,
        root: directory,
        inventory: Inventory::default(),
        max_entries,
        // manifest.json may name files anywhere; an image layout has nothing useful besides its blobs.
        is_docker_archive: directory.look_up(Path::new("manifest.json")).is_ok(),
    };
    listing.directory(directory, "", 1)?;
    Ok(listing.inventory)
}

struct Listing<'a> {
    source: &'a Source,
    root: &'a Directory,
    inventory: Inventory,
    max_entries: usize,
    is_docker_archive: bool,
}

impl Listing<'_> {
    /// Lists a directory that has this path below the root, with everything in it.
    fn directory(&mut self, directory: &Directory, path: &str, depth: usize) -> Result<()> {
        let entries = directory.entries().context("list", directory.path())?;
        let mut taken = None;
        for (name, kind) in &entries {
            self.inventory.entry_count += 1;
            if self.inventory.entry_count > self.max_entries {
                return Err(too_many(self.source, self.max_entries));
            }
            let place = HeldPath::new(directory, name).context("list", directory.path())?;
            let mut text = entry_text(name.as_bytes());
            if name.to_str().is_none() {
                let texts = || {
                    let names = entries.iter().filter_map(|(name, _)| name.to_str());
                    names.map(str::to_owned).collect()
                };
                distinguish(text.to_mut(), taken.get_or_insert_with(texts));
            }
            let name = match path {
                "" => text.into_owned(),
                path => format!("{path}/{text}"),
            };
            let subdirectory = self.entry(&place, *kind, &name)?;
            let is_skipped = depth == 1 && name != "blobs" && !self.is_docker_archive;
            if let Some(subdirectory) = subdirectory.filter(|_| depth < DEPTH && !is_skipped) {
                self.directory(&subdirectory, &name, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Adds an entry; returns a directory.
    fn entry(&mut self, place: &HeldPath, kind: FileType, name: &str) -> Result<Option<Directory>> {
        let mut item = Item {
            digest: Digest::from_blob_name(name),
            name: name.to_owned(),
            kind: ExtraKind::Other,
            len: 0,
            content: None,
        };
        let mut subdirectory = None;
        if kind.is_dir() {
            item.kind = ExtraKind::Directory;
            let opened = place.directory().below(place.name());
            subdirectory = Some(opened.context("list", place.path())?);
        } else if kind.is_file() {
            item.len = place.look_up().context("read", place.path())?.len;
            item.kind = ExtraKind::File(DataLocation::File(name.to_owned()));
        } else if kind.is_symlink() {
            let target = place.link_target().context("read", place.path())?;
            item.kind = ExtraKind::Symlink(entry_text(target.as_os_str().as_bytes()).into_owned());
            subdirectory = self.follow(place, &mut item)?;
        }
        let added = classify::add(&mut self.inventory, self.source, self.source.path(), item);
        added.map_err(
            |error| match kind.is_symlink() && error.code() == Code::LinkEntry {
                true => error.with_hint(match self.source.links {
                    Links::Refuse => Hint::AllowLinks,
                    Links::Follow => Hint::ReplaceLink,
                }),
                false => error,
            },
        )?;
        Ok(subdirectory)
    }

    /// Gives a link the content that it leads to, if it is followed; returns a directory that it leads to.
    fn follow(&mut self, place: &HeldPath, item: &mut Item) -> Result<Option<Directory>> {
        let ExtraKind::Symlink(target) = &item.kind else {
            return Ok(None);
        };
        let target = target.clone();
        let broken = |item: &Item, why| classify::broken_link(self.source.path(), true, item, why);
        let follows = self.source.links == Links::Follow;
        let is_needed = links::is_needed_link(item);
        if is_needed {
            match self.linked_file(&item.name, &target) {
                Ok((name, len)) => {
                    self.inventory.links.insert(item.name.clone(), name.clone());
                    item.kind = ExtraKind::File(DataLocation::File(name));
                    item.len = len;
                    return Ok(None);
                }
                Err(why) if !follows => return Err(broken(item, why)),
                Err(_) => {}
            }
        }
        // Docker archives have links from one layer to another.
        let is_kept = links::beside(&item.name, &target).is_ok() && !is_structure(&item.name);
        if !is_needed && (!follows || is_kept) {
            return Ok(None);
        }
        let name = Path::new(place.name());
        match place.directory().look_up_followed(name) {
            Ok(found) if found.kind.is_file() => {
                self.inventory.links.insert(item.name.clone(), target);
                item.kind = ExtraKind::File(DataLocation::File(item.name.clone()));
                item.len = found.len;
                Ok(None)
            }
            Ok(found) if found.kind.is_dir() && !is_needed => {
                item.kind = ExtraKind::Directory;
                let opened = place.directory().below_with(name, Links::Follow);
                opened.context("list", place.path()).map(Some)
            }
            _ if is_needed => Err(broken(item, BrokenLink::Nowhere)),
            _ => Ok(None),
        }
    }

    /// The file in the directory that a symbolic link in place of a blob or root file leads to, and its length.
    fn linked_file(&self, link: &str, target: &str) -> Result<(String, u64), BrokenLink> {
        let mut name = links::beside(link, target)?;
        for _ in 0..links::MAX_LINKS {
            // A link on the way to the file is not followed.
            let place = HeldPath::below(self.root, Path::new(&name));
            let place = place.map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::LOOP | Errno::NOTDIR) => BrokenLink::Outside,
                _ => BrokenLink::Missing,
            })?;
            let found = place.look_up().map_err(|_| BrokenLink::Missing)?;
            if found.kind.is_file() {
                return Ok((name, found.len));
            }
            if !found.kind.is_symlink() {
                return Err(match found.kind.is_dir() {
                    true => BrokenLink::Directory,
                    false => BrokenLink::Special,
                });
            }
            let target = place.link_target().map_err(|_| BrokenLink::Missing)?;
            name = links::beside(&name, target.to_str().ok_or(BrokenLink::Missing)?)?;
            if name == link {
                return Err(BrokenLink::Circular);
            }
        }
        Err(BrokenLink::TooLong)
    }
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
        let list = |max| list(&source, source.directory.as_ref().unwrap(), max);
        // blobs/, blobs/sha256/, a blob, index.json and ingest/.
        assert_eq!(list(5).unwrap().entry_count, 5);
        let error = list(4).unwrap_err();
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
        assert_eq!(error.hint(), Some(&Hint::AllowLinks));
        // Also when the link appears after the scan.
        assert!(source.open_file(&digest.blob_name()).is_err());
        assert!(source.open_file("index.json").is_ok());
        // Unless the caller allows it.
        let source = source.follow_links(true);
        let inventory = scan(&source, Strictness::Strict).unwrap();
        assert_eq!(
            source.read_blob(&inventory.blobs[&digest], 10).unwrap(),
            b"{}"
        );
        let target = outside.path().join("secret");
        assert_eq!(
            inventory.links[&digest.blob_name()],
            target.to_str().unwrap()
        );
    }
}
