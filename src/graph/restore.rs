//! Manifests whose layers were lost, misordered or mismeasured, restored from `manifest.json`.
//!
//! Docker 25.0.0 saved such manifests beside a correct `manifest.json` (moby#47065, #47072, #47150).

use serde_json::{Value, json};

use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Kind};
use crate::image::{Algorithm, Compression, Content, Digest, StatedDiffId};
use crate::inventory::Inventory;
use crate::json::{Formatting, View, apply_edits, set_member};
use crate::location::Role;

/// The manifest's text with the layers that an item of `manifest.json` lists for the same config;
/// `None` if the manifest's own layers can be right, or if those of `manifest.json` are not proven.
///
/// They are proven if each is a plain tar whose digest is the config's diff ID: copying verifies it.
pub(crate) fn restored(
    document: &Document,
    item: &DockerArchiveItem,
    inventory: &Inventory,
) -> Option<String> {
    let config = document.config()?;
    if config.kind != Kind::Config {
        return None;
    }
    let proven = proven_layers(item, inventory)?;
    if !is_faulty(document, &item.diff_ids, inventory) {
        return None;
    }
    let plain = media_type::oci_layer(Compression::Uncompressed, true);
    let layers: Vec<Value> = proven
        .iter()
        .map(|(digest, len)| json!({"mediaType": plain, "digest": digest.to_string(), "size": len}))
        .collect();
    let root = View::parse(&document.text)?;
    let edit = set_member(
        &Formatting::of(&document.text),
        root,
        Some(Role::Config.property()),
        Role::Layers.property(),
        Value::Array(layers),
    );
    Some(apply_edits(&document.text, vec![edit]))
}

fn proven_layers<'a>(
    item: &'a DockerArchiveItem,
    inventory: &Inventory,
) -> Option<Vec<(&'a Digest, u64)>> {
    if item.layer_digests.len() != item.diff_ids.len() {
        return None;
    }
    let layers = item.layer_digests.iter().zip(&item.diff_ids);
    layers
        .map(|(digest, diff_id)| {
            let digest = digest.as_ref()?;
            let blob = inventory.blobs.get(digest)?;
            let is_proven = blob.content == Content::Tar && diff_id.is_of(digest);
            is_proven.then_some((digest, blob.len))
        })
        .collect()
}

/// Whether the manifest's layers contradict the diff IDs or the blobs that are there.
fn is_faulty(document: &Document, diff_ids: &[StatedDiffId], inventory: &Inventory) -> bool {
    let layers: Vec<_> = document.pointers_in(Role::Layers).collect();
    let contradicts = |(layer, diff_id): (&&Pointer, &StatedDiffId)| {
        inventory.blobs.get(&layer.digest).is_some_and(|blob| {
            let is_other = blob.content == Content::Tar
                && layer.digest.algorithm() == Some(Algorithm::Sha256)
                && !diff_id.is_of(&layer.digest);
            is_other || blob.len != layer.size
        })
    };
    layers.len() != diff_ids.len() || layers.iter().zip(diff_ids).any(contradicts)
}
