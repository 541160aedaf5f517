//! Findings about what refers to an image: signatures, attestations, indexes of layers and other referrers.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Hint, escape};
use crate::graph::ManifestRole;
use crate::graph::link::LinkKind;
use crate::graph::referrers::{Listing, Referrers, Targets, listings};
use crate::image::Digest;
use crate::location::{Location, Role};
use crate::plan::Finding;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::rules::FindingRule;
use crate::plan::selection::gone_with_attestations;

impl Planner<'_> {
    pub(super) fn about_referrers(
        &self,
        documents: &[InputDocument<'_>],
        findings: &mut Vec<Finding>,
    ) {
        self.stale_evidence(findings);
        self.flat_referrers(findings);
        for input in documents {
            findings.extend(self.stale_layer_index(*input));
        }
        for name in self.graph.signature_files() {
            let message = format!(
                "{} is a signature of the image, and the output has no place for it, so the output is not signed",
                escape(name)
            );
            findings.push(FindingRule::LostSignature.finding(
                Some(Location::entry(name)),
                message,
                Some(Hint::SignAgain),
            ));
        }
    }

    /// Evidence that names an old digest inside bytes that must not change; once, wherever it is listed.
    fn stale_evidence(&self, findings: &mut Vec<Finding>) {
        if self.rewritten.documents.is_empty() {
            return;
        }
        let targets = Targets::new(self.graph);
        let mut seen = BTreeSet::new();
        for listing in listings(self.graph).filter(|listing| self.selection.keeps(listing)) {
            let digest = &listing.pointer.digest;
            let is_rewritten = |target: &&Digest| self.rewritten.documents.contains_key(*target);
            let Some(facts) = self.graph.manifests.get(digest) else {
                continue;
            };
            let Some(old) = targets.of_evidence(&listing).find(is_rewritten) else {
                continue;
            };
            if !seen.insert(digest) {
                continue;
            }
            let location = Some(listing.document.location_of(listing.pointer));
            findings.push(match facts.role {
                ManifestRole::Signature => FindingRule::StaleSignature.finding(
                    location,
                    format!("the signature is for the old digest {old} and does not verify the new manifest"),
                    Some(Hint::SignAgain),
                ),
                ManifestRole::Attestation => FindingRule::StaleStatement.finding(
                    location,
                    format!("the attestation's statement names the old digest {old}; it is evidence and was left unchanged"),
                    Some(Hint::AttestAgain),
                ),
                _ => FindingRule::MovedReferrer.finding(
                    location,
                    format!("this referrer was created for the old digest {old}"),
                    None,
                ),
            });
        }
    }

    /// Entries of `index.json` that are no images, have no name and refer to something.
    fn flat_referrers(&self, findings: &mut Vec<Finding>) {
        if self.entries.is_empty() {
            return;
        }
        let is_image: BTreeSet<usize> = self.entries.iter().map(|entry| entry.position).collect();
        let targets = Targets::new(self.graph);
        let root = listings(self.graph).enumerate();
        let root = root.take_while(|(_, listing)| listing.owner.is_none());
        let flat: BTreeMap<usize, Listing<'_>> = root
            .filter(|(_, listing)| {
                let pointer = listing.pointer;
                self.selection.keeps(listing)
                    && !is_image.contains(&listing.position)
                    && pointer.image_name.is_none()
                    && pointer.ref_name.is_none()
                    && targets.of(listing).next().is_some()
            })
            .collect();
        let Some(first) = flat.values().next() else {
            return;
        };
        let message = format!(
            "index.json lists {} without a name: skopeo requires the name of an image in an oci-archive, and Docker 26 and 28 with the containerd store load each as an image without a name",
            match flat.len() {
                1 => "a referrer".to_owned(),
                count => format!("{count} referrers"),
            }
        );
        let with_attestations = gone_with_attestations(self.graph, &Referrers::new(self.graph));
        let is_curable = flat.keys().all(|number| with_attestations.contains(number));
        findings.push(FindingRule::FlatReferrer.finding(
            Some(first.document.location_of(first.pointer)),
            message,
            is_curable.then_some(Hint::DropAttestations),
        ));
    }

    /// An index of layers that does not describe their new bytes.
    fn stale_layer_index(&self, input: InputDocument<'_>) -> Option<Finding> {
        let tables = input.document.pointers_in(Role::Layers);
        let links = tables.flat_map(|table| &table.links);
        let layers = links.filter(|link| link.kind == LinkKind::Layer);
        let count = layers
            .filter(|link| self.decisions.new_compression(&link.digest).is_some())
            .count();
        let what = match count {
            0 => return None,
            1 => "1 layer is recompressed, so the SOCI index no longer describes it, and engines do not load it lazily".to_owned(),
            _ => format!("{count} layers are recompressed, so the SOCI index no longer describes them, and engines do not load them lazily"),
        };
        Some(FindingRule::StaleSociIndex.finding(
            Some(Location::from(&input.document.path)),
            what,
            Some(Hint::IndexLayersAgain),
        ))
    }
}
