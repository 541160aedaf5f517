//! Images that `manifest.json` lists and `index.json` does not.
//!
//! `docker save` of several images by their IDs, with a graph driver, writes the manifests of all images, lists all
//! images in `manifest.json`, and lists only the first one in `index.json`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::graph::budget::MAX_READ;
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::{Document, DocumentReader, MAX_DOCUMENT_LEN, Shape};
use crate::graph::synthesize;
use crate::graph::walk::{Found, Start};
use crate::image::{Content, Digest, media_type};
use crate::inventory::{BlobSource, Strictness};
use crate::json::{Formatting, View, append_items, apply_edits};
use crate::location::{Role, Step};

/// An index that lists more images than before.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The text of the index.
    pub(crate) root: Vec<u8>,
    /// The manifests that the source lacks, by digest.
    pub(crate) documents: BTreeMap<Digest, Vec<u8>>,
    /// The manifests that entries were added for.
    pub(crate) added: Vec<Digest>,
}

/// A manifest that an entry is added for.
struct Manifest {
    media_type: String,
    digest: Digest,
    len: u64,
}

/// The index with an entry for each image that `manifest.json` lists and that no entry leads to. `None` if there is
/// no such image, and if the two files have no image in common: then they describe different archives.
///
/// # Errors
/// A layer that is not in the source.
pub(crate) fn listed(
    root: &Document,
    found: &Found,
    start: Start<'_>,
    blobs: &dyn BlobSource,
) -> Result<Option<Listed>> {
    let listed: BTreeSet<&Digest> = found
        .manifests
        .values()
        .map(|facts| &facts.config)
        .collect();
    let is_listed = |item: &DockerArchiveItem| {
        let config = item.config_digest.as_ref();
        config.is_some_and(|config| listed.contains(config))
    };
    let mut unlisted = BTreeMap::new();
    for (position, item) in start.items.iter().enumerate() {
        let config = item.config_digest.as_ref().filter(|_| !is_listed(item));
        if let Some(config) = config.filter(|config| start.inventory.blobs.contains_key(config)) {
            let of_config: &mut Vec<usize> = unlisted.entry(config).or_default();
            of_config.push(position);
        }
    }
    if unlisted.is_empty() || !start.items.iter().any(is_listed) {
        return Ok(None);
    }
    let Some(list) = View::of_checked(&root.text).get(Role::Manifests.property()) else {
        return Ok(None);
    };
    let mut present = present(root, found, start, &unlisted, blobs);
    let mut positions: Vec<usize> = unlisted.into_values().flatten().collect();
    positions.sort_unstable();
    let mut documents = BTreeMap::new();
    let mut added = Vec::new();
    let mut is_added = BTreeSet::new();
    let mut entries = Vec::new();
    for position in positions {
        let manifest = match present.remove(&position) {
            Some(manifest) => manifest,
            None => {
                let (digest, text) =
                    synthesize::manifest(&start.items[position], position, start.inventory)?;
                let len = text.len() as u64;
                documents.insert(digest.clone(), text);
                Manifest {
                    media_type: media_type::OCI_MANIFEST.to_owned(),
                    digest,
                    len,
                }
            }
        };
        // Items that differ only in their names are one image.
        if is_added.insert(manifest.digest.clone()) {
            added.push(manifest.digest.clone());
            let Manifest {
                media_type,
                digest,
                len,
            } = &manifest;
            entries.push(synthesize::entry(media_type, digest, *len)?);
        }
    }
    let edit = append_items(&Formatting::of(&root.text), list, &entries);
    Ok(Some(Listed {
        root: apply_edits(&root.text, vec![edit]).into_bytes(),
        documents,
        added,
    }))
}

/// The manifests of unlisted images that the source has as blobs which nothing refers to, by the position of the
/// item. `unlisted` has the positions by config.
fn present(
    root: &Document,
    found: &Found,
    start: Start<'_>,
    unlisted: &BTreeMap<&Digest, Vec<usize>>,
    blobs: &dyn BlobSource,
) -> BTreeMap<usize, Manifest> {
    let mut present = BTreeMap::new();
    let mut read_len = 0;
    for (digest, blob) in &start.inventory.blobs {
        let is_document = blob.content == Content::Other && blob.len <= MAX_DOCUMENT_LEN;
        if !is_document || found.documents.contains_key(digest) || unlisted.contains_key(digest) {
            continue;
        }
        read_len += blob.len;
        if read_len > MAX_READ {
            break;
        }
        let Ok(bytes) = blobs.read_blob(blob, MAX_DOCUMENT_LEN) else {
            continue;
        };
        let Some(document) = parsed(root, digest, bytes) else {
            continue;
        };
        let config = document.config().map(|config| &config.digest);
        for position in config
            .and_then(|config| unlisted.get(config))
            .into_iter()
            .flatten()
        {
            if is_described(&document, &start.items[*position]) {
                let media_type = document.media_type.clone();
                present.entry(*position).or_insert_with(|| Manifest {
                    media_type: media_type.unwrap_or_else(|| media_type::OCI_MANIFEST.to_owned()),
                    digest: digest.clone(),
                    len: blob.len,
                });
            }
        }
    }
    present
}

/// The manifest that a blob is; `None` if it is something else or damaged.
fn parsed(root: &Document, digest: &Digest, bytes: Vec<u8>) -> Option<Document> {
    let root_view = View::parse(std::str::from_utf8(&bytes).ok()?)?;
    root_view.get(Role::Config.property())?.get("digest")?;
    root_view.get(Role::Layers.property())?;
    if digest.recompute(&bytes).as_ref() != Some(digest) {
        return None;
    }
    let path = root.path.child(Step {
        role: Role::Manifests,
        position: root.pointers.len(),
    });
    let mut reader = DocumentReader::new(Strictness::Strict);
    Document::parse(bytes, digest.clone(), Shape::Manifest, path, &mut reader).ok()
}

/// Whether an item describes the image of a manifest: it names the same layers, except those that are fetched elsewhere.
fn is_described(document: &Document, item: &DockerArchiveItem) -> bool {
    let layers: Vec<_> = document.pointers_in(Role::Layers).collect();
    let mut both = layers.iter().zip(&item.layer_digests);
    layers.len() == item.layer_digests.len()
        && both.all(|(layer, digest)| layer.is_foreign() || digest.as_ref() == Some(&layer.digest))
}
