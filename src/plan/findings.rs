//! What no change can mend, and what a user should know.

mod layers;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Hint, escape};
use crate::graph::document::Document;
use crate::graph::location::Location;
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestRole, Missing};
use crate::image::media_type::{self, Kind};
use crate::image::{Digest, Reference};
use crate::inventory::Inventory;
use crate::plan::decide::Decisions;
use crate::plan::names::{Named, bad_name_of};
use crate::plan::rewrite::Rewritten;
use crate::plan::selection::{Selection, documents_after, signed_digest};
use crate::plan::{Finding, PlanOptions, rules::FindingRule};
use layers::Layers;

/// Everything worth telling about the output.
pub(crate) fn findings(
    graph: &Graph,
    inventory: &Inventory,
    entries: &[Named],
    selection: &Selection,
    decisions: &Decisions,
    rewritten: &Rewritten,
    options: &PlanOptions,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &inventory.passed_over {
        let message = format!(
            "{} stands in the archive more than once with different bytes; the last one was taken",
            escape(name)
        );
        findings.push(FindingRule::DuplicateEntry.finding(
            Some(Location::Entry(name.clone())),
            message,
            None,
        ));
    }
    if !inventory.archive.is_ended() {
        let message = format!(
            "the archive stops after {} bytes without an end marker; what stood behind is lost if it was cut short",
            inventory.archive.len
        );
        let hint = Hint::CompareLength;
        findings.push(FindingRule::NoEndMarker.finding(None, message, Some(hint)));
    }
    for repeated in &graph.repeated_keys {
        let message = format!(
            "the key \"{}\" stands twice in one object; the last one was taken",
            escape(&repeated.key)
        );
        let location = Some(repeated.location.clone());
        findings.push(FindingRule::DuplicateKey.finding(location, message, None));
    }
    let documents: Vec<&Document> = documents_after(graph, selection).collect();
    unnamed(graph, entries, &mut findings);
    bad_names(graph, entries, selection, &mut findings);
    missing(graph, selection, &mut findings);
    let layers = Layers {
        graph,
        inventory,
        decisions,
        options,
    };
    layers.findings(&documents, &mut findings);
    unknown_types(&documents, &mut findings);
    stale(graph, rewritten, &documents, &mut findings);
    findings
}

fn unnamed(graph: &Graph, entries: &[Named], findings: &mut Vec<Finding>) {
    for entry in entries.iter().filter(|entry| entry.names.is_empty()) {
        let location = graph
            .root
            .pointers
            .get(entry.position)
            .map(|pointer| graph.root.location_of(pointer));
        findings.push(FindingRule::UnnamedImage.finding(
            location,
            format!("the image {} has no name: docker loads it untagged, and ctr drops it without --digests", entry.digest),
            Some(Hint::NameImage),
        ));
    }
}

/// Names that no reader takes as they stand: those of images, and of what else is listed.
fn bad_names(graph: &Graph, entries: &[Named], selection: &Selection, findings: &mut Vec<Finding>) {
    let of_images: BTreeSet<usize> = entries.iter().map(|entry| entry.position).collect();
    let is_other =
        |position: &usize| !of_images.contains(position) && !selection.root.contains(position);
    let pointers = graph.root.pointers.iter().enumerate();
    let of_others = pointers
        .filter(|(position, _)| is_other(position))
        .filter_map(|(_, pointer)| bad_name_of(&graph.root, pointer));
    let of_images = entries.iter().flat_map(|entry| entry.bad_names.clone());
    for bad in of_images.chain(of_others) {
        let hint = match Reference::suggest(&bad.name) {
            Some(better) => Hint::UseName(better.familiar()),
            None => Hint::CorrectName,
        };
        let message = format!(
            "\"{}\" is not a valid image name, and docker refuses an archive that has it",
            escape(&bad.name)
        );
        findings.push(FindingRule::BadName.finding(Some(bad.location), message, Some(hint)));
    }
}

fn missing(graph: &Graph, selection: &Selection, findings: &mut Vec<Finding>) {
    let told = |missing: &&Missing| !selection.left_out.contains(&missing.digest);
    for missing in graph.missing.iter().filter(told) {
        let location = Some(missing.location.clone());
        let digest = &missing.digest;
        findings.push(if missing.is_expected {
            FindingRule::AbsentContent.finding( location, format!("{digest} is not in the archive and may be fetched elsewhere"), None)
        } else if missing.is_child {
            FindingRule::MissingManifest.finding(
                location,
                format!("the index lists {digest}, which is not in the archive; readers that want all platforms refuse it"),
                Some(Hint::SaveAllPlatforms),
            )
        } else {
            FindingRule::MissingBlob.finding( location, format!("{digest} is not in the archive, and what needs it does not load"), None)
        });
    }
}

fn unknown_types(documents: &[&Document], findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, (Location, usize)> = BTreeMap::new();
    for document in documents {
        for pointer in &document.pointers {
            if media_type::kind(&pointer.media_type) == Kind::Unknown {
                let entry = seen
                    .entry(&pointer.media_type)
                    .or_insert_with(|| (document.location_of(pointer), 0));
                entry.1 += 1;
            }
        }
    }
    for (media_type, (location, count)) in seen {
        let times = if count == 1 {
            String::new()
        } else {
            format!(" ({count} times)")
        };
        let message = format!(
            "the media type \"{}\"{times} is not known and was passed over",
            escape(media_type)
        );
        findings.push(FindingRule::UnknownMediaType.finding(Some(location), message, None));
    }
}

/// Evidence that names old digests inside bytes that must not change.
fn stale(
    graph: &Graph,
    rewritten: &Rewritten,
    documents: &[&Document],
    findings: &mut Vec<Finding>,
) {
    for document in documents {
        for pointer in document.pointers_in(Role::Manifests) {
            stale_evidence(graph, rewritten, document, pointer, findings);
            stale_tag(rewritten, document, pointer, findings);
        }
    }
}

fn stale_evidence(
    graph: &Graph,
    rewritten: &Rewritten,
    parent: &Document,
    pointer: &Pointer,
    findings: &mut Vec<Finding>,
) {
    let Some(facts) = graph.manifests.get(&pointer.digest) else {
        return;
    };
    let subject = graph
        .document(&pointer.digest)
        .and_then(|document| document.pointers_in(Role::Subject).next());
    let targets = pointer
        .links
        .iter()
        .map(|link| &link.digest)
        .chain(subject.map(|subject| &subject.digest));
    let Some(old) = targets
        .into_iter()
        .find(|digest| rewritten.documents.contains_key(*digest))
    else {
        return;
    };
    let location = Some(parent.location_of(pointer));
    findings.push(match facts.role {
        ManifestRole::Signature => signature(location, old),
        ManifestRole::Attestation => FindingRule::StaleStatement.finding(
            location,
            format!("the attestation's statement names the old digest {old}; it is evidence and was not changed"),
            Some(Hint::AttestAgain),
        ),
        _ => FindingRule::MovedReferrer.finding( location, format!("this referrer was made for the old digest {old}"), None),
    });
}

fn signature(location: Option<Location>, old: &Digest) -> Finding {
    FindingRule::StaleSignature.finding(
        location,
        format!("the signature is of the old digest {old} and does not verify the new manifest"),
        Some(Hint::SignAgain),
    )
}

fn stale_tag(
    rewritten: &Rewritten,
    parent: &Document,
    pointer: &Pointer,
    findings: &mut Vec<Finding>,
) {
    if let Some(old) = signed_digest(pointer).filter(|old| rewritten.documents.contains_key(old)) {
        findings.push(signature(Some(parent.location_of(pointer)), &old));
    }
}
