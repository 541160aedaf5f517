//! Sorts the entries of a source into blobs, root files, structure and the rest.

use std::path::Path;

use super::DOCUMENT_CAP;
use super::archive::links::BrokenLink;
use crate::error::{Code, Error, Hint, Result, escape, show_path};
use crate::image::{Algorithm, Content, Digest};
use crate::inventory::{BlobEntry, BlobSource, ExtraEntry, ExtraKind, Inventory, RootFile};
use crate::location::RootName;

/// One entry under its cleaned name. A file has an [`ExtraKind::File`].
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Without a trailing `/`, also for directories.
    pub(super) name: String,
    /// The digest of a blob, which its name states.
    pub(super) digest: Option<Digest>,
    pub(super) kind: ExtraKind,
    pub(super) len: u64,
    /// What the first bytes of a blob say, if they were examined already.
    pub(super) content: Option<Content>,
}

/// Adds one entry to the inventory of what messages call `path`.
pub(super) fn add(
    inventory: &mut Inventory,
    blobs: &dyn BlobSource,
    path: &Path,
    item: Item,
) -> Result<()> {
    let root = match item.digest {
        Some(_) => None,
        None => RootName::of(&item.name),
    };
    if item.digest.is_none() && root.is_none() {
        if is_structure(&item.name) {
            return match item.kind {
                ExtraKind::Directory => Ok(()),
                _ => Err(link_entry(path, &item)),
            };
        }
        let entry = ExtraEntry {
            kind: item.kind,
            len: item.len,
        };
        inventory.extra.insert(item.name, entry);
        return Ok(());
    }
    let ExtraKind::File(data) = &item.kind else {
        return Err(link_entry(path, &item));
    };
    if let Some(digest) = item.digest {
        let blob = match item.content {
            Some(content) => BlobEntry {
                len: item.len,
                data: data.clone(),
                content,
            },
            None => blobs.identify(data, item.len)?,
        };
        inventory.blobs.insert(digest, blob);
        return Ok(());
    }
    refuse_large_root(path, &item.name, item.len)?;
    let blob = BlobEntry {
        len: item.len,
        data: data.clone(),
        content: Content::Other,
    };
    let file = Some(RootFile {
        bytes: blobs.read_blob(&blob, DOCUMENT_CAP)?,
        data: blob.data,
    });
    match root {
        Some(RootName::Index) => inventory.root_index = file,
        Some(RootName::DockerManifest) => inventory.docker_manifest = file,
        Some(RootName::OciLayout) | None => inventory.oci_layout = file,
    }
    Ok(())
}

/// Whether the name is that of a directory that every layout has.
pub(super) fn is_structure(name: &str) -> bool {
    match name.strip_prefix("blobs") {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('/')
            .is_some_and(|algorithm| Algorithm::from_name(algorithm).is_some()),
        None => name == ".",
    }
}

/// Refuses a root file that is larger than any document.
pub(super) fn refuse_large_root(path: &Path, name: &str, len: u64) -> Result<()> {
    if len <= DOCUMENT_CAP {
        return Ok(());
    }
    Err(Error::new(
        Code::DocumentTooLarge,
        format!(
            "{name} in {} has {len} bytes, expected at most {DOCUMENT_CAP}",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_entry(name)
    .with_expected(DOCUMENT_CAP)
    .with_found(len)
    .with_hint(Hint::ShrinkDocument))
}

fn link_entry(path: &Path, item: &Item) -> Error {
    let expected = match is_structure(&item.name) {
        true => "directory",
        false => "regular file",
    };
    let what = kind_of(item);
    let hint = match item.kind {
        ExtraKind::Symlink(_) | ExtraKind::Hardlink(_) => Hint::FollowLinks,
        ExtraKind::Directory | ExtraKind::File(_) | ExtraKind::Other => Hint::SaveWrongAgain,
    };
    wrong_kind(path, item, &what, &what, expected).with_hint(hint)
}

/// The error for a blob or root file that is a link which cannot be followed. It is in an archive or `in_directory`.
pub(super) fn broken_link(path: &Path, in_directory: bool, item: &Item, why: BrokenLink) -> Error {
    let found = kind_of(item);
    let what = format!("{found}, {}", why.words());
    let hint = match why {
        BrokenLink::Circular | BrokenLink::TooLong | BrokenLink::Nowhere => Hint::ReplaceLink,
        BrokenLink::Absolute | BrokenLink::Outside if in_directory => Hint::AllowLinks,
        _ if in_directory => Hint::ReplaceLink,
        _ => Hint::FollowLinks,
    };
    wrong_kind(path, item, &what, &found, "regular file").with_hint(hint)
}

fn wrong_kind(path: &Path, item: &Item, what: &str, found: &str, expected: &str) -> Error {
    Error::new(
        Code::LinkEntry,
        format!(
            "{} in {} is {what}; expected a {expected}",
            escape(&item.name),
            show_path(path)
        ),
    )
    .with_path(path)
    .with_entry(&item.name)
    .with_expected(expected)
    .with_found(found)
}

fn kind_of(item: &Item) -> String {
    match &item.kind {
        ExtraKind::Symlink(target) => format!("a symbolic link to \"{}\"", escape(target)),
        ExtraKind::Hardlink(target) => format!("a hard link to \"{}\"", escape(target)),
        ExtraKind::Directory => "a directory".to_owned(),
        ExtraKind::File(_) => "a file".to_owned(),
        ExtraKind::Other => "a special file".to_owned(),
    }
}
