//! What no change can mend, and what a user should know.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::error::escape;
use crate::graph::document::Document;
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestRole};
use crate::inventory::{Content, Inventory};
use crate::media_type::{self, Kind};
use crate::plan::names::Named;
use crate::plan::rewrite::Rewritten;
use crate::plan::{Finding, Severity};

/// Everything worth telling about the output.
pub(crate) fn findings(
    graph: &Graph,
    inventory: &Inventory,
    entries: &[Named],
    rewritten: &Rewritten,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &inventory.passed_over {
        let message = format!(
            "{} stands in the archive more than once with different bytes; the last one was taken",
            escape(name)
        );
        findings.push(warning(
            "duplicate-entry",
            Some(name.clone()),
            message,
            None,
        ));
    }
    unnamed(graph, entries, &mut findings);
    missing(graph, &mut findings);
    layers(graph, inventory, &mut findings);
    unknown_types(graph, &mut findings);
    stale(graph, rewritten, &mut findings);
    findings
}

fn finding(
    rule: &'static str,
    severity: Severity,
    location: Option<String>,
    message: String,
    hint: Option<&str>,
) -> Finding {
    Finding {
        rule,
        severity,
        location,
        message,
        hint: hint.map(str::to_owned),
    }
}

fn warning(
    rule: &'static str,
    location: Option<String>,
    message: String,
    hint: Option<&str>,
) -> Finding {
    finding(rule, Severity::Warning, location, message, hint)
}

fn info(
    rule: &'static str,
    location: Option<String>,
    message: String,
    hint: Option<&str>,
) -> Finding {
    finding(rule, Severity::Info, location, message, hint)
}

fn unnamed(graph: &Graph, entries: &[Named], findings: &mut Vec<Finding>) {
    for entry in entries.iter().filter(|entry| entry.names.is_empty()) {
        let location = graph
            .root
            .pointers
            .get(entry.position)
            .map(|pointer| graph.root.location_of(pointer));
        findings.push(warning(
            "unnamed-image",
            location,
            format!("the image {} has no name: docker loads it untagged, and ctr drops it without --digests", entry.digest),
            Some("give the image a name when it is saved, such as docker save NAME:TAG or buildx build -t NAME:TAG"),
        ));
    }
}

fn missing(graph: &Graph, findings: &mut Vec<Finding>) {
    for missing in &graph.missing {
        let location = Some(missing.location.clone());
        let digest = &missing.digest;
        findings.push(if missing.is_expected {
            info("absent-content", location, format!("{digest} is not in the archive and may be fetched elsewhere"), None)
        } else if missing.is_child {
            warning(
                "missing-manifest",
                location,
                format!("the index lists {digest}, which is not in the archive; readers that want all platforms refuse it"),
                Some("save the image with all its platforms, or read it with a tool that takes one platform"),
            )
        } else {
            warning("missing-blob", location, format!("{digest} is not in the archive, so this image does not load"), None)
        });
    }
}

fn all_documents(graph: &Graph) -> impl Iterator<Item = &Document> {
    std::iter::once(&graph.root).chain(
        graph
            .children_first
            .iter()
            .rev()
            .filter_map(|digest| graph.document(digest)),
    )
}

fn layers(graph: &Graph, inventory: &Inventory, findings: &mut Vec<Finding>) {
    let mut zstd: Vec<String> = Vec::new();
    for (digest, facts) in &graph.manifests {
        let document = graph
            .document(digest)
            .filter(|_| facts.role == ManifestRole::Image);
        for layer in document
            .into_iter()
            .flat_map(|document| document.pointers_in(Role::Layers))
        {
            let location = graph
                .document(digest)
                .map(|document| document.location_of(layer));
            let is_layer = matches!(media_type::kind(&layer.media_type), Kind::Layer { .. });
            match inventory.blobs.get(&layer.digest).map(|blob| blob.content) {
                Some(Content::Zstd) if is_layer => zstd.extend(location),
                Some(Content::Other | Content::Empty) if is_layer => findings.push(warning(
                    "unknown-layer-bytes",
                    location,
                    format!("{} is neither a tar nor compressed in a form that is known; its type was kept", layer.digest),
                    None,
                )),
                _ => {}
            }
        }
    }
    if let Some(first) = zstd.first() {
        let count = zstd.len();
        findings.push(warning(
            "zstd-layers",
            Some(first.clone()),
            format!("{count} {} compressed with zstd, which Docker before 23.0 cannot read", if count == 1 { "layer is" } else { "layers are" }),
            Some("for such a Docker, build with --output type=docker,compression=gzip,force-compression=true"),
        ));
    }
}

fn unknown_types(graph: &Graph, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, (String, usize)> = BTreeMap::new();
    for document in all_documents(graph) {
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
        findings.push(info("unknown-media-type", Some(location), message, None));
    }
}

/// Evidence that names old digests inside bytes that must not change.
fn stale(graph: &Graph, rewritten: &Rewritten, findings: &mut Vec<Finding>) {
    for document in all_documents(graph) {
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
        ManifestRole::Attestation => info(
            "stale-statement",
            location,
            format!("the attestation's statement names the old digest {old}; it is evidence and was not changed"),
            Some("attest the image again if the digest in the statement is verified"),
        ),
        _ => info("moved-referrer", location, format!("this referrer was made for the old digest {old}"), None),
    });
}

fn signature(location: Option<String>, old: &Digest) -> Finding {
    warning(
        "stale-signature",
        location,
        format!("the signature is of the old digest {old} and does not verify the new manifest"),
        Some("sign the fixed image again"),
    )
}

/// cosign's scheme: the tag `sha256-<hex>.sig` names the manifest that was signed.
fn stale_tag(
    rewritten: &Rewritten,
    parent: &Document,
    pointer: &Pointer,
    findings: &mut Vec<Finding>,
) {
    let names = [&pointer.image_name, &pointer.ref_name];
    let signed = names.into_iter().flatten().find_map(|name| {
        let (_, tail) = name.rsplit_once("sha256-")?;
        let (hex, _) = tail.split_once('.')?;
        format!("sha256:{hex}").parse::<Digest>().ok()
    });
    if let Some(old) = signed.filter(|old| rewritten.documents.contains_key(old)) {
        findings.push(signature(Some(parent.location_of(pointer)), &old));
    }
}
