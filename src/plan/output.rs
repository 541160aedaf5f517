//! The output: its entries in order, its images, and the digests that changed.

mod order;
mod xattrs;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use oci_spec::image::OciLayoutBuilder;

use crate::error::{Result, escape};
use crate::graph::document::Shape;
use crate::graph::fields::LAYOUT;
use crate::graph::{ManifestFacts, ManifestRole};
use crate::image::{Compression, Content, Digest, Platform, Reference, media_type, oci};
use crate::inventory::{BlobEntry, ExtraKind, Inventory};
use crate::json::{View, check};
use crate::location::{Location, RootName};
use crate::plan::planner::Planner;
use crate::plan::recompress::NewLayer;
use crate::plan::rewrite::Rewritten;
use crate::plan::rules::Rule;
use crate::plan::{BlobKind, Body, Change, DigestChange, Form, Image, OutputEntry, Severity};
use order::{blob, entry, file, merged};

/// How many names are reported of one document; nobody would read more, and their number has no limit.
const MAX_NAMES: usize = 100;
const LAYOUT_VERSION: &str = "1.0.0";

impl<'a> Planner<'a> {
    /// Manifests and indexes that get another digest, parents first.
    pub(crate) fn digests(&self) -> Vec<DigestChange> {
        if self.rewritten.documents.is_empty() {
            return Vec::new();
        }
        let mut names: BTreeMap<&Digest, Vec<&Reference>> = BTreeMap::new();
        let mut leading: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for entry in &self.entries {
            let is_first = !names.contains_key(entry.digest);
            names.entry(entry.digest).or_default().extend(&entry.names);
            for digest in entry.images.iter().filter(|_| is_first) {
                leading.entry(digest).or_default().push(entry.digest);
            }
            if is_first && !entry.images.contains(&entry.digest) {
                let own = leading.entry(entry.digest).or_default();
                own.push(entry.digest);
            }
        }
        let names_of = |digest: &Digest| -> Vec<Reference> {
            let leading = leading.get(digest).into_iter().flatten();
            let all = leading.flat_map(|digest| names.get(digest).into_iter().flatten());
            let all = all.filter(|name| !self.pending_names.contains(name));
            let shown = all.take(MAX_NAMES).map(|name| (name.full(), *name));
            let in_order: BTreeMap<String, &Reference> = shown.collect();
            in_order.into_values().cloned().collect()
        };
        let changed = self.documents.iter().rev().filter_map(|input| {
            let before = &input.document.digest;
            let new = self.rewritten.documents.get(before)?;
            if self.graph.is_created(before) {
                return None;
            }
            Some(DigestChange {
                is_index: input.document.shape == Shape::Index,
                before: before.clone(),
                after: new.known_digest(),
                names: names_of(before),
                platform: self.platforms.first(before).cloned(),
            })
        });
        changed.collect()
    }

    /// The image that each entry of the index leads to; entries with the same digest are one image.
    pub(crate) fn images(&self) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        let mut by_digest: HashMap<Digest, usize> = HashMap::new();
        for (entry, described) in self.entries.iter().zip(&self.described) {
            let names = entry.names.iter();
            let names = names.filter(|name| !self.pending_names.contains(name));
            let names = names.cloned();
            let (digest, len, is_pending) = self.after(entry.digest);
            let number = *by_digest.entry(digest.clone()).or_insert(images.len());
            if let Some(image) = images.get_mut(number) {
                image.names.extend(names);
                continue;
            }
            let is_index = self
                .graph
                .document(entry.digest)
                .is_some_and(|document| document.shape == Shape::Index);
            let media_type = self
                .media_type_after(entry.position)
                .unwrap_or(match is_index {
                    true => media_type::index_type(self.options.family),
                    false => media_type::manifest_type(self.options.family),
                });
            // An image that manifest.json omits is shown if it is the only one of its entry.
            let image = described.or(match *entry.images {
                [image] => Some(image),
                _ => None,
            });
            let facts = image.and_then(|image| self.graph.manifests.get(image));
            let platform = image.and_then(|image| self.platforms.first(image));
            let mut names: Vec<Reference> = names.collect();
            names.shrink_to_fit();
            images.push(Image {
                names,
                digest: (!is_pending).then_some(digest),
                len,
                media_type,
                config_digest: facts.map(|facts| facts.config.clone()),
                platform: platform.cloned(),
                platforms: self.platforms_of(&entry.images),
            });
        }
        images
    }

    /// The platforms of those of these images that the output contains.
    fn platforms_of(&self, images: &[&Digest]) -> Vec<Platform> {
        let kept = images
            .iter()
            .filter(|image| !self.selection.left_out.contains(**image));
        let mut seen = BTreeSet::new();
        let platforms = kept.flat_map(|image| self.platforms.get(image));
        let distinct = platforms.filter(|platform| seen.insert(*platform));
        distinct.cloned().collect()
    }

    /// The media type in the output of what a descriptor of the index points at, if it is a known one.
    fn media_type_after(&self, position: usize) -> Option<&'static str> {
        let decision = self.decisions.root.pointers.get(position);
        let pointer = match self.selection.unwrapped.get(&position) {
            Some(unwrapped) => unwrapped.pointer,
            None => self.graph.root.pointers.get(position)?,
        };
        let stated = match pointer.media_type {
            Cow::Borrowed(known) => Some(known),
            Cow::Owned(_) => None,
        };
        decision.and_then(|decision| decision.media_type).or(stated)
    }

    /// The digest and length that a document has in the output, and whether these are not known yet.
    fn after(&self, before: &Digest) -> (Digest, u64, bool) {
        match self.rewritten.documents.get(before) {
            Some(new) => (new.digest.clone(), new.text.len() as u64, new.is_pending),
            None => {
                let blob = self.graph.inventory.blobs.get(before);
                let document = self.graph.document(before);
                let synthesized = document.map_or(0, |document| document.text.len() as u64);
                let len = blob.map_or(synthesized, |blob| blob.len);
                (before.clone(), len, false)
            }
        }
    }

    /// Reports what is removed because it belongs to neither the image layout nor the Docker archive; a directory, only if nothing in it is reported.
    pub(crate) fn leave_out_extra_entries(&mut self) {
        if matches!(self.form, Form::Patch | Form::LayoutInPlace) {
            return;
        }
        let extra = &self.graph.inventory.extra;
        let mut told: BTreeSet<&str> = BTreeSet::new();
        let signatures: BTreeSet<&str> = self.graph.signature_files().collect();
        for (name, entry) in extra {
            if entry.kind != ExtraKind::Directory {
                let before = format!("{} bytes", entry.len);
                let rule = match signatures.contains(name.as_str()) {
                    true => Rule::DirectorySignature,
                    false => Rule::ExtraEntry,
                };
                let change = left_out(rule, name, before);
                // Not every reader may create these, or finds where a link leads.
                let is_special = matches!(entry.kind, ExtraKind::Hardlink(_) | ExtraKind::Other);
                self.changes.push(match is_special {
                    true => change.with_severity(Severity::Warns),
                    false => change,
                });
                told.extend(parents(name));
            }
        }
        for renamed in &self.graph.renamed {
            told.extend(parents(&renamed.name));
        }
        for (name, entry) in extra {
            if entry.kind == ExtraKind::Directory && !told.contains(name.as_str()) {
                let before = "an empty directory".to_owned();
                self.changes.push(left_out(Rule::ExtraEntry, name, before));
            }
        }
    }

    /// The input's `oci-layout` if it states the one version there is, else a new one.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn oci_layout(&mut self) -> Result<Vec<u8>> {
        let stated = self.graph.inventory.oci_layout.as_ref();
        let version = stated.and_then(|file| layout_version(&file.bytes));
        if let (Some(file), Some(LAYOUT_VERSION)) = (stated, version.as_deref()) {
            return Ok(file.bytes.clone());
        }
        let before = stated.map(|_| escape(version.as_deref().unwrap_or("no version")));
        let after = Some(LAYOUT_VERSION.to_owned());
        let mut roles = self.graph.manifests.values().map(|facts| facts.role);
        let severity = match stated {
            Some(_) => Severity::Breaks,
            // containerd then reads manifest.json.
            None if self.graph.docker_archive.is_some() => Severity::Warns,
            // BuildKit reads its caches without this file.
            None if roles.all(|role| role == ManifestRole::Cache) => Severity::Cosmetic,
            None => Severity::Breaks,
        };
        let change = Rule::OciLayout.change(RootName::OciLayout, before, after);
        self.changes.push(change.with_severity(severity));
        oci::text(
            OciLayoutBuilder::default()
                .image_layout_version(LAYOUT_VERSION)
                .build(),
        )
    }

    /// The changes of the archive's own form. What is compressed as a whole becomes plain, or compressed as its
    /// name says.
    pub(crate) fn report_archive_form(&mut self) {
        let inventory = &self.graph.inventory;
        self.changes.extend(xattrs::changes(&inventory.archive));
        if let Some(form) = inventory.form.as_ref().filter(|_| self.form != Form::Patch) {
            let change = Rule::ArchiveForm.change(
                Location::entry(&form.entry),
                Some(form.what.clone()),
                Some("canonical".to_owned()),
            );
            self.changes.push(match form.hides_entries {
                true => change.with_severity(Severity::Breaks),
                false => change,
            });
        }
        let wanted = self.form.compression();
        if let Some(before) = inventory.outer_compression
            && wanted.map(Compression::content) != Some(before)
        {
            let change = Rule::OuterCompression.change(
                Location::Archive,
                Some(before.name().to_owned()),
                Some(wanted.map_or("none", Compression::short_name).to_owned()),
            );
            self.changes.push(match wanted {
                // The output's name requests another compression.
                Some(_) => change.with_severity(Severity::Warns).requested(),
                None => change,
            });
        }
    }

    /// Whether the output is the input, byte for byte: it has no images, and only its archive's form would
    /// change. So a build record stays what its own readers expect.
    pub(crate) fn keeps_bytes(&self) -> bool {
        let inventory = &self.graph.inventory;
        let is_wanted_form = match self.form {
            Form::Archive(to) => {
                to == Compression::Uncompressed || inventory.outer_compression == Some(to.content())
            }
            Form::Patch => true,
            Form::Stream | Form::Layout | Form::LayoutInPlace => false,
        };
        let is_written_form = matches!(
            inventory.outer_compression,
            None | Some(Content::Gzip | Content::Zstd)
        );
        let manifests = &self.graph.manifests;
        let is_other = |facts: &ManifestFacts| {
            !matches!(facts.role, ManifestRole::Image | ManifestRole::Cache)
        };
        let has_others_only = !manifests.is_empty() && manifests.values().all(is_other);
        let is_of_form = |change: &Change| {
            matches!(
                change.rule,
                Rule::ArchiveForm | Rule::OuterCompression | Rule::ExtraEntry | Rule::EntryXattrs
            )
        };
        inventory.has_original
            && inventory.misread().is_none()
            && is_wanted_form
            && is_written_form
            && has_others_only
            && self.graph.faults.is_empty()
            && self.changes.iter().all(is_of_form)
    }

    /// The blobs of the input, and the documents that the source lacks, that the output contains unchanged: all but
    /// documents that were rewritten and what only dropped ones needed.
    pub(crate) fn kept(&self) -> (KeptBlobs<'a>, KeptDocuments<'a>) {
        let blobs = self.graph.inventory.blobs.iter();
        let documents = self.graph.synthesized.iter();
        (
            blobs.filter(|(digest, _)| self.is_kept(digest)).collect(),
            documents
                .filter(|(digest, _)| self.is_kept(digest))
                .collect(),
        )
    }

    fn is_kept(&self, digest: &Digest) -> bool {
        let selection = &self.selection;
        // What an unreadable document may name exists only here when the fix is in place.
        let may_be_named = self.form == Form::LayoutInPlace && selection.has_unreadable;
        let is_needed = selection.named_elsewhere.contains(digest) || may_be_named;
        !selection.left_out.contains(digest) && (is_needed || !self.is_replaced(digest))
    }

    fn is_replaced(&self, digest: &Digest) -> bool {
        let layer = self.decisions.replaced.get(digest);
        let is_old_layer = layer.is_some_and(|new| !new.is_pending);
        self.rewritten.documents.contains_key(digest)
            || is_old_layer && !self.decisions.still_used.contains(digest)
    }
}

fn left_out(rule: Rule, name: &str, before: String) -> Change {
    rule.change(Location::entry(name), Some(before), None)
}

/// Blobs and where they are, by digest.
pub(crate) type KeptBlobs<'a> = Vec<(&'a Digest, &'a BlobEntry)>;

/// Documents and their text, by digest.
pub(crate) type KeptDocuments<'a> = Vec<(&'a Digest, &'a Vec<u8>)>;

/// Everything that an output contains.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) blobs: KeptBlobs<'a>,
    /// What these are.
    pub(crate) kinds: HashMap<&'a Digest, BlobKind>,
    pub(crate) documents: KeptDocuments<'a>,
    pub(crate) rewritten: Rewritten<'a>,
    /// Layers that were recompressed.
    pub(crate) layers: Vec<Cow<'a, NewLayer>>,
    pub(crate) docker_manifest: Option<Vec<u8>>,
    pub(crate) oci_layout: Vec<u8>,
}

impl Contents<'_> {
    /// The entries of the output, sorted by name. `inventory` has what they replace.
    pub(crate) fn entries(self, inventory: &Inventory) -> Vec<OutputEntry> {
        let mut others = Vec::new();
        for (old, new) in self.rewritten.documents {
            let old = inventory.blobs.get(old).map(|blob| &blob.data);
            others.push(file(new.digest.blob_name(), new.text.into_bytes(), old));
        }
        for (digest, bytes) in self.documents {
            others.push(file(digest.blob_name(), bytes.clone(), None));
        }
        for new in self.layers {
            let kind = BlobKind::Layer;
            others.push(blob(&new.digest, new.len, &new.data, kind));
        }
        let root_index = Some(self.rewritten.root.into_bytes());
        let roots = [
            (RootName::Index, root_index, &inventory.root_index),
            (
                RootName::DockerManifest,
                self.docker_manifest,
                &inventory.docker_manifest,
            ),
            (
                RootName::OciLayout,
                Some(self.oci_layout),
                &inventory.oci_layout,
            ),
        ];
        for (name, bytes, old) in roots {
            let replaced = old.as_ref().map(|old| &old.data);
            others.extend(bytes.map(|bytes| file(name.name().to_owned(), bytes, replaced)));
        }
        let mut algorithms: Vec<&str> = Vec::new();
        let kept = self.blobs.iter().map(|(digest, _)| digest.algorithm_name());
        let written = others
            .iter()
            .filter_map(|other| other.name.split('/').nth(1));
        for algorithm in kept.chain(written) {
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        let directories = algorithms.into_iter().map(|name| format!("blobs/{name}/"));
        let directories: Vec<String> = directories.collect();
        others.extend(
            directories
                .into_iter()
                .map(|name| entry(name, 0, Body::Directory)),
        );
        others.push(entry("blobs/".to_owned(), 0, Body::Directory));
        others.sort_by(|a, b| a.name.cmp(&b.name));
        // If the same blob is in several places, the first is as good as any.
        others.dedup_by(|next, first| next.name == first.name);
        merged(self.blobs, others, &self.kinds)
    }
}

/// The directories that contain a name.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(slash, _)| &name[..slash])
}

/// The version that an `oci-layout` file states, if the file can be read by every reader.
fn layout_version(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let checked = check(text, LAYOUT, false).ok()?;
    if checked.has_other_spelling || checked.mismatch.is_some() {
        return None;
    }
    View::parse(text)?.get("imageLayoutVersion")?.string()
}
