//! The output: its entries in order, its images, and the digests that changed.

mod entries;

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image::OciLayoutBuilder;

use crate::error::{Result, escape};
use crate::graph::Graph;
use crate::graph::document::Shape;
use crate::graph::location::Location;
use crate::image::media_type::{self, Family};
use crate::image::{Algorithm, Compression, Digest, Platform, Reference, oci};
use crate::inventory::{BlobEntry, ExtraKind, Inventory, RootName};
use crate::json::{KeyCase, View, check};
use crate::plan::decide::Decisions;
use crate::plan::names::Named;
use crate::plan::rewrite::Rewritten;
use crate::plan::rules::Rule;
use crate::plan::selection::Selection;
use crate::plan::{Body, Change, DigestChange, Form, Image, OutputEntry};
use entries::{blob, entry, file, merged};

/// How many names are reported of one document; nobody reads more, and their number has no bound.
const MAX_NAMES: usize = 100;
const LAYOUT_VERSION: &str = "1.0.0";

/// Everything that the output follows from.
pub(crate) struct Context<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) inventory: &'a Inventory,
    pub(crate) rewritten: Rewritten,
    pub(crate) entries: &'a [Named],
    pub(crate) chosen: &'a [Option<Digest>],
    pub(crate) platforms: &'a BTreeMap<Digest, Platform>,
    pub(crate) selection: &'a Selection,
    pub(crate) decisions: &'a Decisions,
    pub(crate) family: Family,
    pub(crate) form: Form,
}

impl<'a> Context<'a> {
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
                    media_type::index_type(self.family)
                } else {
                    media_type::manifest_type(self.family)
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
    ///
    /// # Errors
    /// `oci-layout` cannot be built.
    pub(crate) fn output_entries(
        mut self,
        docker_manifest: Option<Vec<u8>>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<OutputEntry>> {
        if self.form != Form::Patch {
            self.extra_entries(changes);
        }
        let oci_layout = self.oci_layout(changes)?;
        if let Some(form) = self
            .inventory
            .form
            .as_ref()
            .filter(|_| self.form != Form::Patch)
        {
            changes.push(Rule::ArchiveForm.change(
                Location::entry(&form.entry),
                Some(form.what.clone()),
                Some("canonical".to_owned()),
            ));
        }
        self.outer_compression(changes);
        let mut others = self.other_entries(docker_manifest, oci_layout);
        let kept = self.kept_blobs();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let name = format!("blobs/{}/", algorithm.name());
            let is_used = kept
                .iter()
                .any(|(digest, _)| digest.algorithm() == algorithm)
                || others.iter().any(|other| other.name.starts_with(&name));
            if is_used {
                others.push(entry(name, 0, Body::Directory));
            }
        }
        others.push(entry("blobs/".to_owned(), 0, Body::Directory));
        others.sort_by(|a, b| a.name.cmp(&b.name));
        // Of the same blob from several places the first is as good as any.
        others.dedup_by(|next, first| next.name == first.name);
        Ok(merged(kept, others))
    }

    /// All but the blobs that are kept: documents, the files at the root, and new layers.
    fn other_entries(
        &mut self,
        docker_manifest: Option<Vec<u8>>,
        oci_layout: Vec<u8>,
    ) -> Vec<OutputEntry> {
        let inventory = self.inventory;
        let mut others = Vec::new();
        for (old, new) in &mut self.rewritten.documents {
            let old = inventory.blobs.get(old).map(|blob| &blob.data);
            let bytes = std::mem::take(&mut new.text).into_bytes();
            others.push(file(new.digest.blob_name(), bytes, old));
        }
        for (digest, bytes) in &self.graph.made {
            if self.is_kept(digest) {
                others.push(file(digest.blob_name(), bytes.clone(), None));
            }
        }
        for new in self.decisions.replaced.values() {
            others.push(blob(&new.digest, new.len, &new.data));
        }
        let root_index = std::mem::take(&mut self.rewritten.root).into_bytes();
        let roots = [
            (RootName::Index, Some(root_index), &inventory.root_index),
            (
                RootName::DockerManifest,
                docker_manifest,
                &inventory.docker_manifest,
            ),
            (RootName::OciLayout, Some(oci_layout), &inventory.oci_layout),
        ];
        for (name, bytes, old) in roots {
            let replaced = old.as_ref().map(|old| &old.data);
            others.extend(bytes.map(|bytes| file(name.name().to_owned(), bytes, replaced)));
        }
        others
    }

    /// What goes because it belongs to neither form; a directory, only if nothing else in it tells.
    fn extra_entries(&self, changes: &mut Vec<Change>) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        let files = self.inventory.extra.iter();
        for (name, entry) in files.filter(|(_, entry)| entry.kind != ExtraKind::Directory) {
            let before = Some(format!("{} bytes", entry.len));
            changes.push(Rule::ExtraEntry.change(Location::entry(name), before, None));
            told.extend(parents(name));
        }
        for adopted in &self.graph.adopted {
            told.extend(parents(&adopted.name));
        }
        for (name, entry) in &self.inventory.extra {
            if entry.kind == ExtraKind::Directory && !told.contains(name.as_str()) {
                let before = Some("an empty directory".to_owned());
                changes.push(Rule::ExtraEntry.change(Location::entry(name), before, None));
            }
        }
    }

    /// An archive that is compressed as a whole comes out plain, or as its name says.
    fn outer_compression(&self, changes: &mut Vec<Change>) {
        let Some(before) = self.inventory.outer_compression else {
            return;
        };
        let wanted = self.form.compression();
        if wanted.map(Compression::content) != Some(before) {
            let after = wanted.map_or("none", Compression::short_name).to_owned();
            changes.push(Rule::OuterCompression.change(
                Location::Archive,
                Some(before.name().to_owned()),
                Some(after),
            ));
        }
    }

    /// The input's file if it states the one version there is, else a new one.
    fn oci_layout(&self, changes: &mut Vec<Change>) -> Result<Vec<u8>> {
        let stated = self.inventory.oci_layout.as_ref();
        let version = stated.and_then(|file| layout_version(&file.bytes));
        if let (Some(file), Some(LAYOUT_VERSION)) = (stated, version.as_deref()) {
            return Ok(file.bytes.clone());
        }
        let before = stated.map(|_| escape(version.as_deref().unwrap_or("no version")));
        let after = Some(LAYOUT_VERSION.to_owned());
        changes.push(Rule::OciLayout.change(RootName::OciLayout, before, after));
        oci::text(
            OciLayoutBuilder::default()
                .image_layout_version(LAYOUT_VERSION)
                .build(),
        )
    }

    /// All blobs of the input but for documents that were rewritten and what only dropped ones
    /// needed.
    fn kept_blobs(&self) -> Vec<(&'a Digest, &'a BlobEntry)> {
        let blobs = self.inventory.blobs.iter();
        blobs.filter(|(digest, _)| self.is_kept(digest)).collect()
    }

    fn is_kept(&self, digest: &Digest) -> bool {
        !self.rewritten.documents.contains_key(digest)
            && !self.selection.left_out.contains(digest)
            && (!self.decisions.replaced.contains_key(digest)
                || self.decisions.still_used.contains(digest))
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
