//! The output: its entries in order, its images, and the digests that changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::compression::Compression;
use crate::digest::{Algorithm, Digest};
use crate::error::escape;
use crate::graph::Graph;
use crate::graph::document::Shape;
use crate::inventory::{ExtraKind, Inventory, Location, RootName};
use crate::json::{KeyCase, View, check};
use crate::media_type;
use crate::plan::decide::Decisions;
use crate::plan::names::Named;
use crate::plan::rewrite::Rewritten;
use crate::plan::rules::Rule;
use crate::plan::selection::Selection;
use crate::plan::{Body, Change, DigestChange, Image, OutputEntry, PlanOptions};
use crate::platform::Platform;
use crate::reference::Reference;

/// How many names are reported of one document; nobody reads more, and their number has no bound.
const MAX_NAMES: usize = 100;
const LAYOUT_VERSION: &str = "1.0.0";
const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Everything that the output follows from.
pub(crate) struct Context<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) inventory: &'a Inventory,
    pub(crate) rewritten: &'a Rewritten,
    pub(crate) entries: &'a [Named],
    pub(crate) chosen: &'a [Option<Digest>],
    pub(crate) platforms: &'a BTreeMap<Digest, Platform>,
    pub(crate) selection: &'a Selection,
    pub(crate) decisions: &'a Decisions,
    pub(crate) options: &'a PlanOptions,
}

impl Context<'_> {
    /// Manifests and indexes that get another digest, parents first.
    pub(crate) fn digests(&self) -> Vec<DigestChange> {
        let mut names: BTreeMap<&Digest, Vec<&Reference>> = BTreeMap::new();
        let mut leading: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for entry in self.entries {
            let is_first = !names.contains_key(&entry.digest);
            names.entry(&entry.digest).or_default().extend(&entry.names);
            for digest in entry.images.iter().filter(|_| is_first) {
                leading.entry(digest).or_default().push(&entry.digest);
            }
            if is_first && !entry.images.contains(&entry.digest) {
                let own = leading.entry(&entry.digest).or_default();
                own.push(&entry.digest);
            }
        }
        let names_of = |digest: &Digest| -> Vec<String> {
            let leading = leading.get(digest).into_iter().flatten();
            let all = leading.flat_map(|digest| names.get(digest).into_iter().flatten());
            let shown: BTreeSet<String> = all.take(MAX_NAMES).map(|name| name.full()).collect();
            shown.into_iter().collect()
        };
        let in_order = self.graph.children_first.iter().rev();
        let changed = in_order.filter_map(|before| {
            let new = self.rewritten.documents.get(before)?;
            if self.graph.made.contains_key(before) && self.graph.docker_archive.is_some() {
                return None;
            }
            Some(DigestChange {
                is_index: self.graph.document(before)?.shape == Shape::Index,
                before: before.clone(),
                after: new.digest.clone(),
                names: names_of(before),
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
                    media_type::index_type(self.options.family)
                } else {
                    media_type::manifest_type(self.options.family)
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
        if !self.options.keep_places {
            self.extra_entries(changes);
        }
        let oci_layout = self.oci_layout(changes);
        if let Some(form) = self
            .inventory
            .form
            .as_ref()
            .filter(|_| !self.options.keep_places)
        {
            changes.push(Rule::ArchiveForm.change(
                escape(&form.entry),
                Some(form.what.clone()),
                Some("canonical".to_owned()),
            ));
        }
        self.outer_compression(changes);
        let mut blobs = self.kept_blobs();
        for (old, new) in &self.rewritten.documents {
            let old = self.inventory.blobs.get(old).map(|blob| &blob.location);
            let bytes = new.text.clone().into_bytes();
            blobs.insert(new.digest.clone(), file(new.digest.blob_name(), bytes, old));
        }
        let algorithms: BTreeSet<Algorithm> = blobs.keys().map(Digest::algorithm).collect();
        let directory = |name: String| entry(name, 0, Body::Directory);
        let mut entries = vec![directory("blobs/".to_owned())];
        entries.extend(
            algorithms
                .into_iter()
                .map(|algorithm| directory(format!("blobs/{}/", algorithm.name()))),
        );
        entries.extend(blobs.into_values());
        let inventory = self.inventory;
        let roots = [
            (
                RootName::Index,
                Some(self.rewritten.root.clone().into_bytes()),
                &inventory.root_index,
            ),
            (
                RootName::DockerManifest,
                docker_manifest,
                &inventory.docker_manifest,
            ),
            (RootName::OciLayout, Some(oci_layout), &inventory.oci_layout),
        ];
        for (name, bytes, old) in roots {
            let replaced = old.as_ref().map(|old| &old.location);
            entries.extend(bytes.map(|bytes| file(name.name().to_owned(), bytes, replaced)));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// What goes because it belongs to neither form; a directory, only if nothing else in it tells.
    fn extra_entries(&self, changes: &mut Vec<Change>) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        let files = self.inventory.extra.iter();
        for (name, entry) in files.filter(|(_, entry)| entry.kind != ExtraKind::Directory) {
            let before = Some(format!("{} bytes", entry.len));
            changes.push(Rule::ExtraEntry.change(escape(name), before, None));
            told.extend(parents(name));
        }
        for adopted in &self.graph.adopted {
            told.extend(parents(&adopted.name));
        }
        for (name, entry) in &self.inventory.extra {
            if entry.kind == ExtraKind::Directory && !told.contains(name.as_str()) {
                let before = Some("an empty directory".to_owned());
                changes.push(Rule::ExtraEntry.change(escape(name), before, None));
            }
        }
    }

    /// An archive that is compressed as a whole comes out plain, or as its name says.
    fn outer_compression(&self, changes: &mut Vec<Change>) {
        let Some(before) = self.inventory.outer_compression else {
            return;
        };
        let wanted = self.options.outer_compression;
        if wanted.map(Compression::content) != Some(before) {
            let after = wanted.map_or("none", Compression::short_name).to_owned();
            changes.push(Rule::OuterCompression.change(
                "the whole archive".to_owned(),
                Some(before.name().to_owned()),
                Some(after),
            ));
        }
    }

    /// The input's file if it states the one version there is, else a new one.
    fn oci_layout(&self, changes: &mut Vec<Change>) -> Vec<u8> {
        let stated = self.inventory.oci_layout.as_ref();
        let version = stated.and_then(|file| layout_version(&file.bytes));
        if let (Some(file), Some(LAYOUT_VERSION)) = (stated, version.as_deref()) {
            return file.bytes.clone();
        }
        let before = stated.map(|_| escape(version.as_deref().unwrap_or("no version")));
        let after = Some(LAYOUT_VERSION.to_owned());
        changes.push(Rule::OciLayout.change("oci-layout", before, after));
        OCI_LAYOUT.to_vec()
    }

    /// All blobs of the input but for documents that were rewritten and what only dropped ones
    /// needed, and the documents that the input does not hold.
    fn kept_blobs(&self) -> BTreeMap<Digest, OutputEntry> {
        let is_kept = |digest: &Digest| {
            !self.rewritten.documents.contains_key(digest)
                && (self.selection.reachable.contains(digest)
                    || !self.graph.reachable.contains(digest))
                && (self.decisions.still_used.contains(digest)
                    || !self.decisions.replaced.contains_key(digest))
        };
        let blob = |digest: &Digest, len: u64, location: &Location| {
            let body = Body::Blob {
                digest: digest.clone(),
                location: location.clone(),
            };
            entry(digest.blob_name(), len, body)
        };
        let mut kept: BTreeMap<Digest, OutputEntry> = BTreeMap::new();
        for (digest, bytes) in &self.graph.made {
            if is_kept(digest) {
                kept.insert(
                    digest.clone(),
                    file(digest.blob_name(), bytes.clone(), None),
                );
            }
        }
        for (digest, found) in &self.inventory.blobs {
            if is_kept(digest) {
                let entry = || blob(digest, found.len, &found.location);
                kept.entry(digest.clone()).or_insert_with(entry);
            }
        }
        for new in self.decisions.replaced.values() {
            let entry = || blob(&new.digest, new.len, &new.location);
            kept.entry(new.digest.clone()).or_insert_with(entry);
        }
        kept
    }
}

/// An entry that takes the place of none.
fn entry(name: String, len: u64, body: Body) -> OutputEntry {
    OutputEntry {
        name,
        len,
        body,
        replaces: None,
    }
}

/// An entry whose bytes are known, and where those are that it replaces.
fn file(name: String, bytes: Vec<u8>, replaced: Option<&Location>) -> OutputEntry {
    OutputEntry {
        replaces: replaced.cloned(),
        ..entry(name, bytes.len() as u64, Body::Bytes(bytes))
    }
}

/// The directories that a name lies in.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(slash, _)| &name[..slash])
}

/// The version that an `oci-layout` file states, if the file can be read by every reader.
fn layout_version(bytes: &[u8]) -> Option<String> {
    let keys = KeyCase {
        known: &["imageLayoutVersion"],
        levels: 1,
    };
    let text = std::str::from_utf8(bytes).ok()?;
    check(text, keys).ok()?;
    View::parse(text)?.get("imageLayoutVersion")?.string()
}
