//! What ocify cannot fix, and what a user should know.

mod layers;
mod missing;
mod nested;
mod referrers;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Hint, escape};
use crate::graph::ManifestFacts;
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::Reference;
use crate::image::media_type::Kind;
use crate::location::Location;
use crate::plan::entries::{NamedEntry, bad_name_of};
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::rules::FindingRule;
use crate::plan::{Finding, ImageChoice};

/// How an image gets a name: a single one directly, and one of several if it is chosen alone.
pub(crate) fn naming(entry: &NamedEntry<'_>, is_single: bool) -> Hint {
    match is_single {
        true => Hint::NameImage,
        false => Hint::NameOneImage(entry.digest.to_string()),
    }
}

impl Planner<'_> {
    /// Everything worth reporting about the output.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.about_archive(&mut findings);
        self.about_faults(&mut findings);
        let documents: Vec<InputDocument<'_>> = self.documents_after().collect();
        findings.extend(self.preserved_findings());
        self.unnamed(&mut findings);
        findings.extend(self.name_findings.iter().cloned());
        self.bad_names(&mut findings);
        self.lacking_platform(&mut findings);
        self.missing(&mut findings);
        self.about_layers(&documents, &mut findings);
        self.nested_indexes(&documents, &mut findings);
        unknown_types(&documents, &mut findings);
        schema_versions(&documents, &mut findings);
        self.unverified(&documents, &mut findings);
        for InputDocument { document, facts } in &documents {
            config_keys(document, *facts, &mut findings);
            undecodable(document, *facts, &mut findings);
        }
        self.about_referrers(&documents, &mut findings);
        self.about_orphans(&mut findings);
        findings
    }

    /// What is true of the archive, whichever images the output contains.
    pub(crate) fn about_archive(&self, findings: &mut Vec<Finding>) {
        let inventory = &self.graph.inventory;
        for name in &inventory.skipped {
            let message = format!(
                "{} appears in the archive more than once with different bytes; ocify used the last one",
                escape(name)
            );
            findings.push(FindingRule::DuplicateEntry.finding(
                Some(Location::entry(name)),
                message,
                None,
            ));
        }
        if !inventory.archive.is_ended() {
            let message = format!(
                "the archive ends after {} bytes without an end-of-archive marker; if it was truncated, the rest is lost",
                inventory.archive.len
            );
            let hint = Hint::CompareLength;
            findings.push(FindingRule::NoEndMarker.finding(None, message, Some(hint)));
        }
        for repeated in &self.graph.repeated_keys {
            let message = format!(
                "the key \"{}\" appears more than once in a JSON object; ocify used the last one",
                escape(&repeated.key)
            );
            let location = Some(repeated.location.clone());
            findings.push(FindingRule::DuplicateKey.finding(location, message, None));
        }
    }

    fn unnamed(&self, findings: &mut Vec<Finding>) {
        let root = &self.graph.root;
        let is_unnamed = |entry: &&NamedEntry<'_>| entry.names.is_empty() && !entry.has_false_name;
        let is_single = self.has_single_image();
        for entry in self.entries.iter().filter(is_unnamed) {
            let pointer = root.pointers.get(entry.position);
            let stated = pointer.filter(|_| !entry.loses_name);
            let what = stated.map_or_else(without_name, unnamed);
            findings.push(FindingRule::UnnamedImage.finding(
                pointer.map(|pointer| root.location_of(pointer)),
                format!("the image {} {what}", entry.digest),
                Some(naming(entry, is_single)),
            ));
        }
    }

    /// Whether all entries of images are of the same one, which can be named then.
    pub(crate) fn has_single_image(&self) -> bool {
        let mut digests = self.entries.iter().map(|entry| entry.digest);
        let first = digests.next();
        digests.all(|digest| Some(digest) == first)
    }

    /// Invalid names that are written unchanged: those of images, and of what else is listed.
    fn bad_names(&self, findings: &mut Vec<Finding>) {
        let root = &self.graph.root;
        let of_images: BTreeSet<usize> = self.entries.iter().map(|entry| entry.position).collect();
        let is_other = |position: &usize| {
            !of_images.contains(position) && !self.selection.root.contains(position)
        };
        let pointers = root.pointers.iter().enumerate();
        let of_others = pointers
            .filter(|(position, _)| is_other(position))
            .filter_map(|(_, pointer)| bad_name_of(root, pointer));
        let of_images = self.entries.iter().flat_map(|entry| &entry.bad_names);
        let is_single = self.has_single_image();
        let of_images = of_images.cloned().map(|bad| (bad, is_single));
        for (bad, is_single) in of_images.chain(of_others.map(|bad| (bad, false))) {
            let hint = match Reference::suggest(bad.name) {
                Some(better) if is_single => Hint::UseName(better.familiar()),
                Some(better) => Hint::SaveWithName(better.familiar()),
                None => Hint::CorrectName,
            };
            let message = format!(
                "\"{}\" is not a valid image name, and docker refuses an archive with such a name",
                escape(bad.name)
            );
            findings.push(FindingRule::BadName.finding(Some(bad.location), message, Some(hint)));
        }
    }

    fn lacking_platform(&self, findings: &mut Vec<Finding>) {
        let Some(asked) = &self.options.docker_platform else {
            return;
        };
        let root = &self.graph.root;
        for (position, described) in &self.lacking_platform {
            let pointer = root.pointers.get(*position);
            let instead = described.map_or_else(String::new, |platform| {
                format!("; manifest.json describes {platform} instead")
            });
            findings.push(FindingRule::OtherPlatform.finding(
                pointer.map(|pointer| root.location_of(pointer)),
                format!("the image does not have the platform {asked}{instead}"),
                None,
            ));
        }
    }

    /// Digests that cannot be verified, by algorithm.
    fn unverified(&self, documents: &[InputDocument<'_>], findings: &mut Vec<Finding>) {
        let mut seen: BTreeMap<&str, (Location, usize, usize)> = BTreeMap::new();
        for input in documents {
            let document = input.document;
            let pointers = document.pointers.iter();
            let is_there = |pointer: &&Pointer| {
                !self.selection.left_out.contains(&pointer.digest)
                    && self.decisions.new_compression(&pointer.digest).is_none()
            };
            for pointer in pointers
                .filter(|pointer| !pointer.digest.is_verifiable())
                .filter(is_there)
            {
                let entry = seen
                    .entry(pointer.digest.algorithm_name())
                    .or_insert_with(|| (document.location_of(pointer), 0, 0));
                entry.1 += 1;
                entry.2 += usize::from(self.is_proven_by_diff_id(*input, pointer));
            }
        }
        for (algorithm, (location, count, proven)) in seen {
            let what = match count - proven {
                0 => {
                    "unless only documents are verified, these layers are verified against their diff IDs instead"
                }
                _ if proven > 0 => {
                    "unless only documents are verified, layers with a diff ID are verified against it instead, and other content is copied as it is"
                }
                _ => "their content is copied as it is",
            };
            let message = format!(
                "digests by \"{}\"{} cannot be verified; {what}",
                escape(algorithm),
                times(count)
            );
            findings.push(FindingRule::UnverifiedDigest.finding(Some(location), message, None));
        }
    }
}

fn config_keys(document: &Document, facts: Option<&ManifestFacts>, findings: &mut Vec<Finding>) {
    for key in facts.into_iter().flat_map(|facts| &facts.respelled) {
        let message = format!(
            "the config spells the key \"{}\" as \"{}\"; readers that do not ignore the case of keys ignore it",
            key.known,
            escape(&key.found)
        );
        let location = document.config().map(|config| document.location_of(config));
        findings.push(FindingRule::ConfigKeyCase.finding(location, message, None));
    }
}

fn undecodable(document: &Document, facts: Option<&ManifestFacts>, findings: &mut Vec<Finding>) {
    let Some(undecodable) = facts.and_then(|facts| facts.undecodable.as_ref()) else {
        return;
    };
    let first = &undecodable.first;
    let message = format!(
        "{} of the config is {first}; some engines cannot decode it",
        escape(&first.path())
    );
    let location = document.config().map(|config| document.location_of(config));
    let hint = Some(Hint::BuildAgain);
    findings.push(FindingRule::UndecodableConfig.finding(location, message, hint));
}

/// What engines do with an image whose entry has no name.
fn unnamed(pointer: &Pointer) -> String {
    let Some(ref_name) = pointer.ref_name.as_deref().filter(|name| !name.is_empty()) else {
        return without_name();
    };
    let is_id = matches!(ref_name.parse(), Ok(ImageChoice::Digest(_)));
    if pointer.image_name.is_none() && is_id {
        return format!(
            "has an image ID, {}, and no name: Docker with a graph driver loads it untagged, and containerd uses the ID as a name",
            escape(ref_name)
        );
    }
    if let Some(tag) = pointer.bare_tag() {
        return format!(
            "has only the tag {} and no name: Docker with a graph driver loads it untagged, Docker with the containerd image store, the default since Docker 29, does not list it and runs only its digest, and ctr adds a prefix",
            escape(tag)
        );
    }
    without_name()
}

fn without_name() -> String {
    "has no name: docker loads it untagged, and ctr drops it without --digests".to_owned()
}

fn unknown_types(documents: &[InputDocument<'_>], findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, (Location, usize)> = BTreeMap::new();
    for InputDocument { document, .. } in documents {
        for pointer in &document.pointers {
            if pointer.kind == Kind::Unknown {
                let entry = seen
                    .entry(&pointer.media_type)
                    .or_insert_with(|| (document.location_of(pointer), 0));
                entry.1 += 1;
            }
        }
    }
    for (media_type, (location, count)) in seen {
        let message = format!(
            "the media type \"{}\"{} is unknown and was skipped",
            escape(media_type),
            times(count)
        );
        findings.push(FindingRule::UnknownMediaType.finding(Some(location), message, None));
    }
}

/// Documents without the only schema version that there is.
fn schema_versions(documents: &[InputDocument<'_>], findings: &mut Vec<Finding>) {
    let is_other = |input: &&InputDocument<'_>| input.document.schema_version != Some(2);
    let mut others = documents.iter().filter(is_other);
    let Some(InputDocument { document, .. }) = others.next() else {
        return;
    };
    let message = format!(
        "schemaVersion is not 2{}, and registries refuse such a document",
        times(1 + others.count())
    );
    let location = Some(Location::from(&document.path));
    findings.push(FindingRule::SchemaVersion.finding(location, message, None));
}

fn times(count: usize) -> String {
    match count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    }
}
