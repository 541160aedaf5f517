//! Findings about layers: formats that some readers do not support, and layers that keep their
//! compression although others are recompressed.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Hint;
use crate::graph::ManifestRole;
use crate::graph::pointer::Pointer;
use crate::image::media_type::Kind;
use crate::image::{Compression, Content, Digest};
use crate::location::{Location, Role};
use crate::plan::Finding;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::recompress::{is_wanted, wanted};
use crate::plan::rules::FindingRule;

impl Planner<'_> {
    pub(super) fn about_layers(
        &self,
        documents: &[InputDocument<'_>],
        findings: &mut Vec<Finding>,
    ) {
        self.unread(documents, findings);
        self.opaque(findings);
        for input in documents {
            self.left_alone(*input, findings);
        }
    }

    /// What the layer's bytes are in the output.
    fn content(&self, layer: &Pointer) -> Option<Content> {
        let new = self.decisions.new_compression(&layer.digest);
        new.map(Compression::content).or(layer.content)
    }

    /// Layers of images in forms that some reader does not accept.
    fn unread(&self, documents: &[InputDocument<'_>], findings: &mut Vec<Finding>) {
        let mut zstd: Vec<Location> = Vec::new();
        let mut after_skippable: Vec<Location> = Vec::new();
        let mut empty: Vec<Location> = Vec::new();
        let mut of_bytes: Vec<Location> = Vec::new();
        let images = documents
            .iter()
            .filter(|input| input.role() == Some(ManifestRole::Image));
        for input in images {
            for layer in input.document.pointers_in(Role::Layers) {
                if !matches!(layer.kind, Kind::Layer { .. }) {
                    continue;
                }
                let location = || input.document.location_of(layer);
                findings.extend(self.not_tar(layer, location));
                if input
                    .facts
                    .is_some_and(|facts| facts.has_diff_id_of_bytes(layer))
                {
                    of_bytes.push(location());
                }
                let content = self.content(layer);
                let is_mentioned = |content| !self.options.read_by_all.contains(&content);
                match content {
                    Some(content @ (Content::Zstd | Content::ZstdAfterSkippable)) => {
                        if is_mentioned(Content::Zstd) {
                            zstd.push(location());
                        }
                        if content == Content::ZstdAfterSkippable && is_mentioned(content) {
                            after_skippable.push(location());
                        }
                    }
                    Some(Content::Empty) => empty.push(location()),
                    Some(Content::Other) => findings.push(FindingRule::UnknownLayerBytes.finding(
                        Some(location()),
                        format!("{} is neither a tar nor compressed in a known format; its type was kept", layer.digest),
                        None,
                    )),
                    _ => {}
                }
            }
        }
        findings.extend(several(
            FindingRule::CompressedDiffId,
            &of_bytes,
            [
                "has a diff ID that is the digest",
                "have diff IDs that are the digests",
            ],
            "of the compressed bytes, so Docker and containerd refuse the image",
            Some(Hint::BuildAgain),
        ));
        findings.extend(several(
            FindingRule::ZstdLayers,
            &zstd,
            ["is compressed", "are compressed"],
            "with zstd, which Docker before 23.0 cannot read",
            Some(Hint::CompressForOldDocker),
        ));
        findings.extend(several(
            FindingRule::SkippableFrame,
            &after_skippable,
            ["begins", "begin"],
            "with a skippable zstd frame, so podman and skopeo mistake it for a plain tar",
            Some(Hint::FixForPodman),
        ));
        findings.extend(several(
            FindingRule::EmptyLayer,
            &empty,
            ["has", "have"],
            "no bytes: engines read an empty layer, and Amazon ECR refuses it",
            None,
        ));
    }

    /// Entries whose images all have layers that are not tars.
    fn opaque(&self, findings: &mut Vec<Finding>) {
        let root = &self.graph.root;
        let has_opaque = |image: &&Digest| {
            let document = self.graph.document(image).into_iter();
            let mut layers = document.flat_map(|document| document.pointers_in(Role::Layers));
            layers.any(|layer| layer.kind == Kind::OpaqueLayer)
        };
        let mut seen: BTreeSet<&Digest> = BTreeSet::new();
        for (entry, described) in self.entries.iter().zip(&self.described) {
            let left_out = &self.selection.left_out;
            let is_kept = |image: &&&Digest| !left_out.contains(**image);
            let mut images = entry.images.iter().filter(is_kept).peekable();
            if !seen.insert(entry.digest) || images.peek().is_none() || !images.all(has_opaque) {
                continue;
            }
            let omitted = match described {
                Some(_) => "",
                None => "; manifest.json omits it",
            };
            let message = format!(
                "{} has layers that are not tars but filesystem images or encrypted: Docker with a graph driver and podman cannot unpack them, and containerd needs a plugin for them{omitted}",
                entry.digest
            );
            let location = root
                .pointers
                .get(entry.position)
                .map(|pointer| root.location_of(pointer));
            findings.push(FindingRule::OpaqueLayers.finding(location, message, None));
        }
    }

    /// A compressed layer that does not contain a tar, unless it was repaired.
    fn not_tar(&self, layer: &Pointer, location: impl Fn() -> Location) -> Option<Finding> {
        let inside = *self.graph.not_tars.get(&layer.digest)?;
        let new = self.layers.get(&layer.digest);
        if self.layers.is_twice(&layer.digest) {
            return None;
        }
        let what = match inside.is_compressed() {
            true => format!("decompresses to {} data instead of a tar", inside.name()),
            false => "does not decompress to a tar".to_owned(),
        };
        // A layer that was kept has the diff ID of what it decompresses to.
        let hint = match inside.is_compressed() && new.is_none() {
            true => Hint::DecompressTwice,
            false => Hint::BuildAgain,
        };
        let message = format!("{} {what}, which engines cannot unpack", layer.digest);
        Some(FindingRule::LayerNotTar.finding(Some(location()), message, Some(hint)))
    }

    /// Whether a layer is not recompressed because what it decompresses to is not a tar.
    fn lacks_tar(&self, layer: &Pointer) -> bool {
        let new = self.layers.get(&layer.digest);
        new.is_some_and(|new| new.digest == layer.digest && !new.was_compressed_twice)
            && self.graph.not_tars.contains_key(&layer.digest)
    }

    /// Layers that are not in the requested form, because they are not layers of an image, or contain no tar.
    fn left_alone(&self, input: InputDocument<'_>, findings: &mut Vec<Finding>) {
        let options = self.options;
        if !is_wanted(options) {
            return;
        }
        let mut left: BTreeMap<&str, Vec<Location>> = BTreeMap::new();
        for pointer in &input.document.pointers {
            let kind = pointer.kind;
            let is_kept = || pointer.role == Role::Layers && self.lacks_tar(pointer);
            let why = reason(input.role(), pointer.role, kind)
                .or_else(|| is_kept().then_some("the layer does not decompress to a tar"));
            let Some((why, content)) = why.zip(pointer.content) else {
                continue;
            };
            // Content that is not a tar cannot be said to have the requested form.
            let is_opaque = kind == Kind::OpaqueLayer
                || (options.compression.is_some() && !matches!(kind, Kind::Layer { .. }));
            if is_opaque || wanted(content, options).is_some() {
                left.entry(why)
                    .or_default()
                    .push(input.document.location_of(pointer));
            }
        }
        for (why, locations) in left {
            let count = locations.len();
            let what = if count == 1 {
                "blob keeps its"
            } else {
                "blobs keep their"
            };
            let message = format!("{count} {what} bytes and compression: {why}");
            findings.push(FindingRule::LayersLeftAlone.finding(
                locations.into_iter().next(),
                message,
                None,
            ));
        }
    }
}

/// Why a blob that is part of the content is left unchanged; `None` for layers that can be
/// recompressed, and for what is not content.
fn reason(document: Option<ManifestRole>, pointer: Role, kind: Kind) -> Option<&'static str> {
    let is_content = match pointer {
        Role::Layers | Role::Blobs => true,
        // BuildKit's caches list layers in an index.
        Role::Manifests => kind.is_layer(),
        Role::Config | Role::Subject => false,
    };
    if !is_content {
        return None;
    }
    match (document, kind) {
        (Some(ManifestRole::Attestation), _) => Some("an attestation is evidence"),
        (Some(ManifestRole::Signature), _) => Some("a signature is evidence"),
        (Some(ManifestRole::Artifact), _) => {
            Some("ocify does not recompress an artifact's content")
        }
        (Some(ManifestRole::Cache) | None, _) => {
            Some("the cache config refers to its layers by these digests")
        }
        (Some(ManifestRole::Image), Kind::OpaqueLayer) => {
            Some("it is encrypted, or a filesystem image instead of a tar")
        }
        (Some(ManifestRole::Image), kind) if kind.is_foreign() => {
            Some("the layer is fetched from elsewhere by this digest")
        }
        (Some(ManifestRole::Image), _) => None,
    }
}

fn several(
    rule: FindingRule,
    locations: &[Location],
    verb: [&str; 2],
    what: &str,
    hint: Option<Hint>,
) -> Option<Finding> {
    let first = locations.first()?.clone();
    let count = locations.len();
    let are = if count == 1 {
        format!("layer {}", verb[0])
    } else {
        format!("layers {}", verb[1])
    };
    let message = format!("{count} {are} {what}");
    Some(rule.finding(Some(first), message, hint))
}
