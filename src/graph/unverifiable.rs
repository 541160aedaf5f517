//! Blobs whose digests use algorithms that ocify cannot verify: kept if something refers to them, and never read.

use std::collections::BTreeSet;

use crate::error::{Error, Hint, Result};
use crate::graph::Graph;
use crate::image::Digest;
use crate::inventory::{BlobSource, ExtraEntry, ExtraKind, Inventory};
use crate::location::Role;

/// The blobs that moved from the inventory's extra entries to its blobs.
#[derive(Debug, Default)]
pub(crate) struct Moved(Vec<(Digest, ExtraEntry)>);

/// Moves files with the names of such blobs to the blobs of the inventory.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn move_to_blobs(inventory: &mut Inventory, blobs: &dyn BlobSource) -> Result<Moved> {
    let mut moved = Vec::new();
    for (name, entry) in &inventory.extra {
        if let (Some(digest), ExtraKind::File(data)) =
            (Digest::from_any_blob_name(name), &entry.kind)
        {
            let blob = blobs.identify(data, entry.len)?;
            inventory.blobs.insert(digest.clone(), blob);
            moved.push((digest, entry.clone()));
        }
    }
    for (digest, _) in &moved {
        inventory.extra.remove(&digest.blob_name());
    }
    Ok(Moved(moved))
}

/// Moves the blobs back that nothing refers to.
pub(crate) fn move_back(moved: Moved, graph: &mut Graph) {
    let reachable: BTreeSet<Digest> = match moved.0.is_empty() {
        true => return,
        false => graph.reachable().into_iter().cloned().collect(),
    };
    let inventory = &mut graph.inventory;
    for (digest, entry) in moved.0 {
        if reachable.contains(&digest) {
            // The directory is part of the layout.
            let directory = format!("blobs/{}", digest.algorithm_name());
            inventory.extra.remove(&directory);
        } else {
            inventory.blobs.remove(&digest);
            inventory.extra.insert(digest.blob_name(), entry);
        }
    }
}

/// Refuses a source in which no manifest can be verified, though it lists some.
///
/// # Errors
/// No manifest has a digest, and a config with a digest, that can be verified.
pub(crate) fn require_verifiable(graph: &Graph) -> Result<()> {
    let mut manifests = graph.manifests.values();
    if manifests.any(|facts| facts.config.is_verifiable()) {
        return Ok(());
    }
    let documents = std::iter::once(&graph.root).chain(graph.documents.values());
    for document in documents {
        for pointer in &document.pointers {
            let is_needed = matches!(pointer.role, Role::Manifests | Role::Config);
            if is_needed && !pointer.digest.is_verifiable() {
                let location = document.location_of(pointer);
                let error = pointer.digest.unsupported();
                return Err(Error::new(error.code(), format!("{location}: {error}"))
                    .with_location(location)
                    .with_found(pointer.digest.algorithm_name())
                    .with_hint(Hint::UseSupportedDigest));
            }
        }
    }
    Ok(())
}
