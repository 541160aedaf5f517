//! What a manifest is, and what its config says.

use crate::error::{Code, Error, Hint, Result};
use crate::graph::decoders::Undecodable;
use crate::graph::document::{Document, DocumentReader, Respelled, Text, require_decodable};
use crate::graph::fields::IMAGE_CONFIG;
use crate::graph::pointer::{EntryKind, Pointer, needs_os_features, platform, stated_text};
use crate::image::media_type::{self, Kind};
use crate::image::{Content, Digest, Platform, StatedDiffId};
use crate::json::{View, find};
use crate::location::{self, Location};

/// What a sigstore bundle attests, as cosign and GitHub's actions annotate its manifest.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// The predicate of a signature.
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// What a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A container image.
    Image,
    /// Evidence about another manifest, as BuildKit writes it.
    Attestation,
    /// A signature of another manifest.
    Signature,
    /// BuildKit's cache.
    Cache,
    /// Anything else.
    Artifact,
}

impl Role {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Role::Image => "image",
            Role::Attestation => "attestation",
            Role::Signature => "signature",
            Role::Cache => "cache",
            Role::Artifact => "artifact",
        }
    }
}

/// What is known about a manifest beyond its text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ManifestFacts {
    /// What it is.
    pub role: Role,
    /// The config's digest.
    pub config: Digest,
    /// The platform that the config states.
    pub platform: Option<Platform>,
    /// Whether the config requires features of the operating system (`os.features`).
    pub needs_os_features: bool,
    /// The architecture that the config states, also if it states no operating system.
    pub(crate) architecture: Option<String>,
    /// The diff IDs that an image's config states.
    pub diff_ids: Vec<StatedDiffId>,
    /// Whether the config and all layers are present, or may be absent.
    pub is_whole: bool,
    /// Known keys of an image's config in an unusual spelling. The config keeps them, because its digest is the image
    /// ID.
    pub respelled: Vec<Respelled>,
    /// What some engines cannot decode in an image's config.
    pub(crate) undecodable: Option<Undecodable>,
}

impl ManifestFacts {
    /// The platform that the config states, and the architecture, which may be all that it states of one.
    pub(crate) fn stated(&self) -> (Option<&Platform>, Option<&str>) {
        (self.platform.as_ref(), self.architecture.as_deref())
    }

    /// Whether the diff ID of a compressed layer is the digest of its compressed bytes. No decompression can give
    /// content with that digest.
    pub(crate) fn has_diff_id_of_bytes(&self, layer: &Pointer) -> bool {
        let stated = self.diff_ids.get(layer.position);
        layer.content.is_some_and(Content::is_compressed)
            && stated.is_some_and(|stated| stated.is_of(&layer.digest))
    }
}

/// The error for a Docker plugin, which is not an image.
pub(crate) fn plugin(document: &Document) -> Option<Error> {
    let is_plugin = document.config()?.kind == Kind::Plugin;
    is_plugin.then(|| {
        Error::new(
            Code::Plugin,
            format!("{} is a Docker plugin, not an image", document.path),
        )
        .with_location(&document.path)
        .with_hint(Hint::InstallPlugin)
    })
}

/// What a manifest is, from its own text and the descriptor that led to it. `is_described` says whether `manifest.json` has
/// an image with the same config: Docker loads it, also if the manifest states an artifact type.
pub(crate) fn role(document: &Document, parent: &Pointer, is_described: bool) -> Role {
    let kinds: Vec<Kind> = document
        .pointers_in(location::Role::Layers)
        .map(|layer| layer.kind)
        .collect();
    let config = document.config();
    let config_kind = config.map_or(Kind::Unknown, |config| config.kind);
    let artifact = document.artifact_type.as_deref().map(media_type::kind);
    let all = |kind: Kind| !kinds.is_empty() && kinds.iter().all(|found| *found == kind);
    let is_artifact_layer = |kind: &Kind| !(kind.is_layer() || *kind == Kind::Unknown);
    // Whatever name or mark an image has, it stays one.
    let has_layers_only = config_kind == Kind::Config
        && document.artifact_type.is_none()
        && !kinds.is_empty()
        && kinds.iter().all(|kind| kind.is_layer());
    let is_marked = |kind: EntryKind| parent.entry_kind == Some(kind) && !has_layers_only;
    if config_kind == Kind::CacheConfig {
        Role::Cache
    } else if parent.is_attestation
        || is_marked(EntryKind::Attestation)
        || artifact == Some(Kind::Attestation)
        || artifact == Some(Kind::Signature) && has_predicate(document)
        || all(Kind::InToto)
    {
        Role::Attestation
    } else if is_marked(EntryKind::Signature)
        || artifact == Some(Kind::Signature)
        || config_kind == Kind::Signature
        || all(Kind::Signature)
    {
        Role::Signature
    } else if matches!(config_kind, Kind::Config | Kind::OctetStream)
        // Nothing is known of an image whose config cannot be verified.
        && config.is_some_and(|config| config.digest.is_verifiable())
        && (is_described || document.artifact_type.is_none())
        && !is_marked(EntryKind::Note)
        && !kinds.iter().any(is_artifact_layer)
        && may_have_layers(document)
    {
        Role::Image
    } else {
        Role::Artifact
    }
}

/// Whether a sigstore bundle is an attestation: its annotations state the type of the predicate, and it is not that of
/// signatures, which cosign 3 writes in the same form.
fn has_predicate(document: &Document) -> bool {
    let root = View::of_checked(&document.text);
    let annotations = root.get("annotations");
    let predicate = annotations.and_then(|annotations| annotations.get(PREDICATE_TYPE)?.str());
    predicate.is_some_and(|predicate| predicate != SIGNATURE_PREDICATE)
}

/// Whether a manifest has a layer by its type or, of an unknown type, by its first bytes; or no layers.
fn may_have_layers(document: &Document) -> bool {
    let mut layers = document.pointers_in(location::Role::Layers).peekable();
    layers.peek().is_none()
        || layers.any(|layer| layer.kind.is_layer() || layer.content != Some(Content::Other))
}

/// Whether a platform is the one that BuildKit and others give to what is not an image.
pub(crate) fn is_unknown(platform: &Platform) -> bool {
    platform.os == "unknown" && platform.architecture == "unknown"
}

/// The parts of an image config that are read.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) platform: Option<Platform>,
    pub(crate) needs_os_features: bool,
    pub(crate) architecture: Option<String>,
    /// The diff IDs, at most one more than there are layers.
    pub(crate) diff_ids: Vec<StatedDiffId>,
    /// How many diff IDs it states.
    pub(crate) diff_id_count: usize,
    /// Known keys in an unusual spelling.
    pub(crate) respelled: Vec<Respelled>,
    /// What some engines cannot decode.
    pub(crate) undecodable: Option<Undecodable>,
}

/// Reads the config of an image of so many layers. Of more diff IDs than layers, the first one too many shows that there are more, and
/// the others are only counted: a config of 4 MiB can state a million.
pub(crate) fn config(
    bytes: Vec<u8>,
    location: &Location,
    layers: usize,
    reader: &mut DocumentReader,
) -> Result<Config> {
    let Text {
        text,
        respelled,
        mismatch,
        partly,
    } = reader.text(bytes, IMAGE_CONFIG, location)?;
    let invalid = |what: &str| {
        Error::new(Code::InvalidDocument, format!("{location} {what}"))
            .with_location(location)
            .with_hint(Hint::BuildAgain)
    };
    let root = View::of_checked(&text);
    let members = root
        .members()
        .ok_or_else(|| invalid("is not a JSON object"))?;
    let rootfs = find(&members, "rootfs");
    let mut diff_ids = Vec::new();
    let mut diff_id_count = 0;
    if let Some(list) = rootfs.and_then(|rootfs| rootfs.get("diff_ids")) {
        let wrong = || invalid("has diff IDs that are not a list of strings");
        for item in list.each_item().ok_or_else(wrong)? {
            let text = item.str().ok_or_else(wrong)?;
            diff_id_count += 1;
            if diff_id_count <= layers + 1 {
                diff_ids.push(StatedDiffId::from(&*text));
            }
        }
    }
    require_decodable(mismatch.as_ref(), location)?;
    Ok(Config {
        platform: platform(&members),
        needs_os_features: needs_os_features(&members),
        architecture: stated_text(&members, "architecture"),
        diff_ids,
        diff_id_count,
        respelled,
        undecodable: partly.map(|first| Undecodable::of(&text, first)),
    })
}
