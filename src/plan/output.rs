//! The output: its entries in order, its images, and the digests that changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{Algorithm, Digest};
use crate::error::escape;
use crate::graph::Graph;
use crate::graph::document::{Document, Shape};
use crate::inventory::Inventory;
use crate::media_type;
use crate::plan::decide::DocumentDecision;
use crate::plan::names::Named;
use crate::plan::rewrite::Rewritten;
use crate::plan::rules::Rule;
use crate::plan::{Body, Change, DigestChange, Image, OutputEntry};
use crate::platform::Platform;
use crate::reference::Reference;

const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Everything that the output follows from.
pub(crate) struct Context<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) inventory: &'a Inventory,
    pub(crate) rewritten: &'a Rewritten,
    pub(crate) entries: &'a [Named],
    pub(crate) chosen: &'a [Option<Digest>],
    pub(crate) platforms: &'a BTreeMap<Digest, Platform>,
    pub(crate) root_decision: &'a DocumentDecision,
    pub(crate) decisions: &'a BTreeMap<Digest, DocumentDecision>,
}

impl Context<'_> {
    /// Manifests and indexes that get another digest, parents first.
    pub(crate) fn digests(&self) -> Vec<DigestChange> {
        let mut names: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for entry in self.entries {
            let below = entry.images.iter().chain([&entry.digest]);
            for digest in below {
                let full = entry.names.iter().map(Reference::full);
                names.entry(digest.clone()).or_default().extend(full);
            }
        }
        let in_order = self.graph.children_first.iter().rev();
        let changed = in_order.filter_map(|before| {
            let new = self.rewritten.documents.get(before)?;
            Some(DigestChange {
                is_index: self.graph.document(before)?.shape == Shape::Index,
                before: before.clone(),
                after: new.digest.clone(),
                names: names.get(before).into_iter().flatten().cloned().collect(),
                platform: self.platforms.get(before).map(Platform::to_string),
            })
        });
        changed.collect()
    }

    /// What each entry of the index stands for; entries of one digest are one image.
    pub(crate) fn images(&self) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        for (entry, chosen) in self.entries.iter().zip(self.chosen) {
            let names = entry.names.iter().map(Reference::full);
            let (digest, len) = self.after(&entry.digest);
            if let Some(image) = images.iter_mut().find(|image| image.digest == digest) {
                image.names.extend(names);
                continue;
            }
            let is_index = self
                .graph
                .document(&entry.digest)
                .is_some_and(|document| document.shape == Shape::Index);
            let config = chosen
                .as_ref()
                .and_then(|image| self.graph.manifests.get(image))
                .map(|facts| facts.config.clone());
            images.push(Image {
                names: names.collect(),
                digest,
                len,
                media_type: if is_index {
                    media_type::OCI_INDEX
                } else {
                    media_type::OCI_MANIFEST
                },
                config_digest: config,
                platform: chosen
                    .as_ref()
                    .and_then(|image| self.platforms.get(image))
                    .map(Platform::to_string),
            });
        }
        images
    }

    /// The digest and length that a document has in the output.
    fn after(&self, before: &Digest) -> (Digest, u64) {
        match self.rewritten.documents.get(before) {
            Some(new) => (new.digest.clone(), new.text.len() as u64),
            None => {
                let len = self
                    .graph
                    .document(before)
                    .map_or(0, |document| document.text.len() as u64);
                (before.clone(), len)
            }
        }
    }

    /// The entries of the output, sorted by name, and the changes that concern whole entries.
    pub(crate) fn output_entries(
        &self,
        docker_manifest: Option<Vec<u8>>,
        changes: &mut Vec<Change>,
    ) -> Vec<OutputEntry> {
        for (name, entry) in &self.inventory.extra {
            let before = Some(format!("{} bytes", entry.len));
            changes.push(Rule::ExtraEntry.change(escape(name), before, None));
        }
        let oci_layout = self
            .inventory
            .oci_layout
            .as_ref()
            .map(|file| file.bytes.clone())
            .unwrap_or_else(|| {
                changes.push(Rule::OciLayout.change("oci-layout", None, Some("1.0.0".to_owned())));
                OCI_LAYOUT.to_vec()
            });
        if let Some(form) = &self.inventory.form {
            changes.push(Rule::ArchiveForm.change(
                escape(&form.entry),
                Some(form.what.clone()),
                None,
            ));
        }
        let mut blobs = self.kept_blobs();
        for new in self.rewritten.documents.values() {
            blobs.insert(
                new.digest.clone(),
                (
                    new.text.len() as u64,
                    Body::Bytes(new.text.clone().into_bytes()),
                ),
            );
        }
        let directory = |name: String| OutputEntry {
            name,
            len: 0,
            body: Body::Directory,
        };
        let file = |name: &str, bytes: Vec<u8>| OutputEntry {
            name: name.to_owned(),
            len: bytes.len() as u64,
            body: Body::Bytes(bytes),
        };
        let algorithms: BTreeSet<Algorithm> = blobs.keys().map(Digest::algorithm).collect();
        let mut entries = vec![directory("blobs/".to_owned())];
        entries.extend(
            algorithms
                .into_iter()
                .map(|algorithm| directory(format!("blobs/{}/", algorithm.name()))),
        );
        entries.extend(blobs.into_iter().map(|(digest, (len, body))| OutputEntry {
            name: digest.blob_name(),
            len,
            body,
        }));
        entries.push(file("index.json", self.rewritten.root.clone().into_bytes()));
        entries.extend(docker_manifest.map(|bytes| file("manifest.json", bytes)));
        entries.push(file("oci-layout", oci_layout));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// All blobs of the input but for documents that were rewritten and what only dropped ones needed.
    fn kept_blobs(&self) -> BTreeMap<Digest, (u64, Body)> {
        let reachable = self.reachable_after();
        let is_kept = |digest: &Digest| {
            !self.rewritten.documents.contains_key(digest)
                && (reachable.contains(digest) || !self.graph.reachable.contains(digest))
        };
        let blobs = self
            .inventory
            .blobs
            .iter()
            .filter(|(digest, _)| is_kept(digest));
        blobs
            .map(|(digest, blob)| {
                let body = Body::Blob {
                    digest: digest.clone(),
                    location: blob.location.clone(),
                };
                (digest.clone(), (blob.len, body))
            })
            .collect()
    }

    /// The digests of the input that the output's documents still need.
    fn reachable_after(&self) -> BTreeSet<Digest> {
        let mut reachable = BTreeSet::new();
        let mut open: Vec<&Digest> = Vec::new();
        open.extend(kept_pointers(&self.graph.root, self.root_decision));
        while let Some(digest) = open.pop() {
            if reachable.insert(digest.clone()) {
                let decision = self.decisions.get(digest);
                if let Some((document, decision)) = self.graph.document(digest).zip(decision) {
                    open.extend(kept_pointers(document, decision));
                }
            }
        }
        reachable
    }
}

fn kept_pointers<'a>(
    document: &'a Document,
    decision: &'a DocumentDecision,
) -> impl Iterator<Item = &'a Digest> {
    let pointers = document.pointers.iter().enumerate();
    pointers
        .filter(|(position, _)| !decision.dropped.contains(position))
        .map(|(_, pointer)| &pointer.digest)
}
