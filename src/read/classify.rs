//! Sorts the entries of a source into blobs, root files, structure and the rest.

use super::{DOCUMENT_CAP, Source, content};
use crate::digest::{Algorithm, Digest};
use crate::error::{Code, Error, Result, escape, show_path};
use crate::inventory::{BlobEntry, ExtraEntry, ExtraKind, Inventory, Location, RootFile, RootName};

/// One entry under its cleaned name. A file has an [`ExtraKind::File`].
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Without a trailing `/`, also for directories.
    pub(super) name: String,
    pub(super) kind: ExtraKind,
    pub(super) len: u64,
}

/// Puts one entry into its place in the inventory.
pub(super) fn add(inventory: &mut Inventory, source: &Source, item: Item) -> Result<()> {
    let digest = Digest::from_blob_name(&item.name);
    let root = RootName::of(&item.name);
    if digest.is_none() && root.is_none() {
        if is_structure(&item.name) {
            return match item.kind {
                ExtraKind::Directory => Ok(()),
                _ => Err(link_entry(source, &item)),
            };
        }
        let entry = ExtraEntry {
            kind: item.kind,
            len: item.len,
        };
        inventory.extra.insert(item.name, entry);
        return Ok(());
    }
    let ExtraKind::File(location) = &item.kind else {
        return Err(link_entry(source, &item));
    };
    if let Some(digest) = digest {
        let head = source.head(location, item.len)?;
        let blob = BlobEntry {
            len: item.len,
            location: location.clone(),
            content: content::sniff(&head),
        };
        inventory.blobs.insert(digest, blob);
        return Ok(());
    }
    let file = Some(read_root(source, &item.name, location, item.len)?);
    match root {
        Some(RootName::Index) => inventory.root_index = file,
        Some(RootName::DockerManifest) => inventory.docker_manifest = file,
        Some(RootName::OciLayout) | None => inventory.oci_layout = file,
    }
    Ok(())
}

/// Whether the name is that of a directory that every layout has.
fn is_structure(name: &str) -> bool {
    match name.strip_prefix("blobs") {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('/')
            .is_some_and(|algorithm| Algorithm::from_name(algorithm).is_some()),
        None => name == ".",
    }
}

fn read_root(source: &Source, name: &str, location: &Location, len: u64) -> Result<RootFile> {
    if len > DOCUMENT_CAP {
        return Err(Error::new(
            Code::DocumentTooLarge,
            format!(
                "{name} in {} has {len} bytes, at most {DOCUMENT_CAP} are supported",
                show_path(source.path())
            ),
        ));
    }
    let bytes = source.read_range(location, len)?;
    Ok(RootFile {
        bytes,
        location: location.clone(),
    })
}

fn link_entry(source: &Source, item: &Item) -> Error {
    let what = match &item.kind {
        ExtraKind::Symlink(target) => format!("a symbolic link to \"{}\"", escape(target)),
        ExtraKind::Hardlink(target) => format!("a hard link to \"{}\"", escape(target)),
        ExtraKind::Directory => "a directory".to_owned(),
        ExtraKind::File(_) => "a file".to_owned(),
        ExtraKind::Other => "a special file".to_owned(),
    };
    let expected = if is_structure(&item.name) {
        "directory"
    } else {
        "regular file"
    };
    Error::new(
        Code::LinkEntry,
        format!(
            "{} in {} is {what}, expected a {expected}",
            escape(&item.name),
            show_path(source.path())
        ),
    )
    .with_hint(
        "write the archive again with links followed, as tar --dereference --hard-dereference does",
    )
}
