//! The table of media types: what each type describes, and the equivalent OCI and Docker types.
//!
//! Sources: OCI image specification `media-types.md`; distribution `manifest-v2-2.md`; BuildKit
//! `util/compression` for the nonstandard zstd type; ocicrypt `spec.go` for the encrypted types.
//! No other module contains media type strings.

use std::borrow::Cow;

use crate::image::Compression;

/// An OCI image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image config.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Docker's manifest list.
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What a registry may return as a manifest or an index.
#[cfg(feature = "push")]
pub(crate) const MANIFEST_TYPES: [&str; 4] =
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];
/// Bytes of any kind, in HTTP.
#[cfg(feature = "push")]
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";
/// Names and values, in HTTP.
#[cfg(feature = "push")]
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

const OCI_LAYER: [&str; 3] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];
const OCI_NONDISTRIBUTABLE: [&str; 3] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// What a media type describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An index (Docker: manifest list).
    Index,
    /// An image manifest.
    Manifest,
    /// A Docker schema 1 manifest.
    Schema1,
    /// An image config.
    Config,
    /// Arbitrary bytes. Old Docker versions used this type for configs (moby#29807).
    OctetStream,
    /// A Docker plugin's config.
    Plugin,
    /// An image layer.
    Layer {
        /// The compression that the type claims. The blob may use another.
        compression: Compression,
        /// False for the types that must not be pushed to another registry.
        distributable: bool,
    },
    /// A layer that is not a tar because it is encrypted or a filesystem image.
    OpaqueLayer,
    /// BuildKit's cache config.
    CacheConfig,
    /// An in-toto statement.
    InToto,
    /// An attestation manifest's artifact type.
    Attestation,
    /// A signature's payload.
    Signature,
    /// Known artifact content, which ocify does not change.
    Artifact,
    /// A type that is not in the table. ocify reports it and does not change it.
    Unknown,
}

impl Kind {
    /// Whether this is a layer of an image's root filesystem.
    pub fn is_layer(self) -> bool {
        matches!(self, Kind::Layer { .. } | Kind::OpaqueLayer)
    }

    /// Whether this is a layer that must not be pushed to another registry. Archives may omit such layers.
    pub fn is_foreign(self) -> bool {
        matches!(
            self,
            Kind::Layer {
                distributable: false,
                ..
            }
        )
    }
}

/// The specification that defines an image's media types. Readers expect an image to use one family
/// throughout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// The OCI image specification.
    #[default]
    Oci,
    /// Docker's image manifest version 2, schema 2.
    Docker,
}

struct Row {
    name: &'static str,
    kind: Kind,
    /// The equivalent OCI type, if this is not an OCI type.
    oci: Option<&'static str>,
    /// Whether Docker's specification or registry defines the type.
    is_docker: bool,
}

const fn row(name: &'static str, kind: Kind) -> Row {
    Row {
        name,
        kind,
        oci: None,
        is_docker: false,
    }
}

const fn docker(name: &'static str, kind: Kind, oci: &'static str) -> Row {
    Row {
        name,
        kind,
        oci: Some(oci),
        is_docker: true,
    }
}

const fn nonstandard(name: &'static str, kind: Kind, oci: &'static str) -> Row {
    Row {
        name,
        kind,
        oci: Some(oci),
        is_docker: false,
    }
}

const fn layer(compression: Compression, distributable: bool) -> Kind {
    Kind::Layer {
        compression,
        distributable,
    }
}

use Compression::{Gzip, Uncompressed, Zstd};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(OCI_INDEX, Kind::Index),
    docker(DOCKER_INDEX, Kind::Index, OCI_INDEX),
    row(OCI_MANIFEST, Kind::Manifest),
    docker(DOCKER_MANIFEST, Kind::Manifest, OCI_MANIFEST),
    row("application/vnd.docker.distribution.manifest.v1+json", Kind::Schema1),
    row("application/vnd.docker.distribution.manifest.v1+prettyjws", Kind::Schema1),
    row(OCI_CONFIG, Kind::Config),
    docker("application/vnd.docker.container.image.v1+json", Kind::Config, OCI_CONFIG),
    nonstandard("application/octet-stream", Kind::OctetStream, OCI_CONFIG),
    row("application/vnd.docker.plugin.v1+json", Kind::Plugin),

    row(OCI_LAYER[0], layer(Uncompressed, true)),
    row(OCI_LAYER[1], layer(Gzip, true)),
    row(OCI_LAYER[2], layer(Zstd, true)),
    docker("application/vnd.docker.image.rootfs.diff.tar", layer(Uncompressed, true), OCI_LAYER[0]),
    docker("application/vnd.docker.image.rootfs.diff.tar.gzip", layer(Gzip, true), OCI_LAYER[1]),
    // BuildKit since 0.10 writes the first if OCI types are disabled. stereoscope handles the second.
    nonstandard("application/vnd.docker.image.rootfs.diff.tar.zstd", layer(Zstd, true), OCI_LAYER[2]),
    nonstandard("application/vnd.docker.image.rootfs.diff.tar+zstd", layer(Zstd, true), OCI_LAYER[2]),
    row(OCI_NONDISTRIBUTABLE[0], layer(Uncompressed, false)),
    row(OCI_NONDISTRIBUTABLE[1], layer(Gzip, false)),
    row(OCI_NONDISTRIBUTABLE[2], layer(Zstd, false)),
    docker("application/vnd.docker.image.rootfs.foreign.diff.tar", layer(Uncompressed, false), OCI_NONDISTRIBUTABLE[0]),
    docker("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", layer(Gzip, false), OCI_NONDISTRIBUTABLE[1]),
    nonstandard("application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", layer(Zstd, false), OCI_NONDISTRIBUTABLE[2]),

    row("application/vnd.buildkit.cacheconfig.v0", Kind::CacheConfig),
    row("application/vnd.in-toto+json", Kind::InToto),
    // cosign's attestations: the statement in an envelope with its signature.
    row("application/vnd.dsse.envelope.v1+json", Kind::InToto),
    row("application/vnd.docker.attestation.manifest.v1+json", Kind::Attestation),
    row("application/vnd.dev.cosign.simplesigning.v1+json", Kind::Signature),
    row("application/vnd.dev.cosign.artifact.sig.v1+json", Kind::Signature),
    row("application/vnd.cncf.notary.signature", Kind::Signature),
    row("application/vnd.oci.empty.v1+json", Kind::Artifact),
    row("application/vnd.oci.descriptor.v1+json", Kind::Artifact),
    row("application/vnd.oci.layout.header.v1+json", Kind::Artifact),
    row("application/vnd.oci.artifact.manifest.v1+json", Kind::Artifact),
    row("application/wasm", Kind::Artifact),
    row("application/spdx+json", Kind::Artifact),
    row("text/spdx", Kind::Artifact),
    row("text/spdx+json", Kind::Artifact),
    row("text/spdx+xml", Kind::Artifact),
    row("application/vnd.cyclonedx", Kind::Artifact),
    row("application/vnd.cyclonedx+json", Kind::Artifact),
    row("application/vnd.cyclonedx+xml", Kind::Artifact),
    row("application/vnd.syft+json", Kind::Artifact),
];

/// Types that begin like this belong together, and new ones keep being added. The table comes first.
///
/// Sources: the EROFS image specification, nydus-snapshotter's `pkg/converter/constant.go`, containerd's
/// `core/images/mediatypes.go` for checkpoints, BuildKit's history for build records, the model-spec of
/// ModelPack, and what stacker, Singularity, PuzzleFS, dev containers, Docker's model runner, Compose, Ollama,
/// SOCI, Helm, Flux, Open Policy Agent, cosign and ORAS write.
const FAMILIES: &[(&str, Kind)] = &[
    ("application/vnd.erofs", Kind::OpaqueLayer),
    ("application/vnd.oci.image.layer.nydus.", Kind::OpaqueLayer),
    ("application/vnd.stacker.image.layer.", Kind::OpaqueLayer),
    ("application/vnd.sylabs.image.layer.", Kind::OpaqueLayer),
    ("application/vnd.puzzlefs.image.", Kind::OpaqueLayer),
    ("application/vnd.sylabs.sif.", Kind::Artifact),
    ("application/vnd.devcontainers", Kind::Artifact),
    ("application/vnd.dev.sigstore.bundle", Kind::Signature),
    ("application/vnd.dev.cosign.", Kind::Artifact),
    ("application/vnd.containerd.container.", Kind::Artifact),
    ("application/vnd.buildkit.", Kind::Artifact),
    ("application/vnd.cncf.model.", Kind::Artifact),
    ("application/vnd.cnai.model.", Kind::Artifact),
    ("application/vnd.docker.ai.", Kind::Artifact),
    ("application/vnd.docker.compose.", Kind::Artifact),
    ("application/vnd.ollama.image.", Kind::Artifact),
    ("application/vnd.amazon.soci.", Kind::Artifact),
    ("application/vnd.cncf.helm.", Kind::Artifact),
    ("application/vnd.cncf.flux.", Kind::Artifact),
    ("application/vnd.cncf.openpolicyagent.", Kind::Artifact),
    ("application/vnd.wasm.", Kind::Artifact),
    ("application/vnd.unknown.config.v1+json", Kind::Artifact),
    ("application/vnd.unknown.artifact.v1", Kind::Artifact),
];

fn find(media_type: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == media_type)
}

/// What a media type describes.
pub(crate) fn kind(media_type: &str) -> Kind {
    if let Some(row) = find(media_type) {
        return row.kind;
    }
    let encrypted = media_type
        .strip_suffix("+encrypted")
        .and_then(find)
        .is_some_and(|row| row.kind.is_layer());
    if encrypted {
        return Kind::OpaqueLayer;
    }
    let family = FAMILIES
        .iter()
        .find(|(prefix, _)| media_type.starts_with(prefix));
    family.map_or(Kind::Unknown, |(_, kind)| *kind)
}

/// The specification that defines a media type; `None` for nonstandard and unknown types.
pub(crate) fn family(media_type: &str) -> Option<Family> {
    let row = find(media_type)?;
    match (row.is_docker, row.oci) {
        (true, _) => Some(Family::Docker),
        (false, None) => Some(Family::Oci),
        (false, Some(_)) => None,
    }
}

/// The OCI type equivalent to a media type; the type itself if it is an OCI type or has no equivalent.
pub(crate) fn oci_form(media_type: &str) -> &str {
    other_oci_form(media_type).unwrap_or(media_type)
}

/// The OCI form of a media type by its name alone, if that is another one.
pub(crate) fn other_oci_form(media_type: &str) -> Option<&'static str> {
    find(media_type)?.oci
}

/// Converts a media type to a `'static` string, without copying if the table contains it.
pub(crate) fn shared(media_type: Cow<'_, str>) -> Cow<'static, str> {
    match find(&media_type) {
        Some(row) => Cow::Borrowed(row.name),
        None => Cow::Owned(media_type.into_owned()),
    }
}

/// The Docker type equivalent to a media type; the type itself if it is a Docker type, and `None` if there
/// is no equivalent.
pub(crate) fn docker_form(media_type: &str) -> Option<&'static str> {
    let oci = oci_form(media_type);
    TABLE
        .iter()
        .find(|row| row.is_docker && row.oci == Some(oci))
        .map(|row| row.name)
}

/// The media type of a layer; `None` if the family does not have one.
pub(crate) fn layer_type(
    family: Family,
    compression: Compression,
    distributable: bool,
) -> Option<&'static str> {
    let oci = oci_layer(compression, distributable);
    match family {
        Family::Oci => Some(oci),
        Family::Docker => docker_form(oci),
    }
}

/// The media type of an index.
pub(crate) fn index_type(family: Family) -> &'static str {
    match family {
        Family::Oci => OCI_INDEX,
        Family::Docker => DOCKER_INDEX,
    }
}

/// The media type of an image manifest.
pub(crate) fn manifest_type(family: Family) -> &'static str {
    match family {
        Family::Oci => OCI_MANIFEST,
        Family::Docker => DOCKER_MANIFEST,
    }
}

/// A media type without what nearly all of images have in common, for people.
pub(crate) fn without_tree(media_type: &str) -> &str {
    media_type
        .strip_prefix("application/")
        .unwrap_or(media_type)
}

/// The OCI media type of a layer.
pub(crate) fn oci_layer(compression: Compression, distributable: bool) -> &'static str {
    let types = if distributable {
        OCI_LAYER
    } else {
        OCI_NONDISTRIBUTABLE
    };
    match compression {
        Uncompressed => types[0],
        Gzip => types[1],
        Zstd => types[2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oci_forms_have_the_same_kind_and_are_their_own_oci_form() {
        for row in TABLE {
            let oci = oci_form(row.name);
            assert_eq!(oci_form(oci), oci, "{}", row.name);
            let expected = match row.kind {
                Kind::OctetStream => Kind::Config,
                kind => kind,
            };
            assert_eq!(kind(oci), expected, "{}", row.name);
        }
    }

    #[test]
    fn nonstandard_types_belong_to_no_family() {
        for (media_type, expected) in [
            (OCI_LAYER[2], Some(Family::Oci)),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Some(Family::Docker),
            ),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", None),
            ("application/octet-stream", None),
            ("application/x-unknown", None),
        ] {
            assert_eq!(family(media_type), expected, "{media_type}");
        }
    }

    #[test]
    fn media_types_are_unique() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn oci_layer_types_match_the_table() {
        for row in TABLE {
            if let Kind::Layer {
                compression,
                distributable,
            } = row.kind
            {
                assert_eq!(
                    oci_layer(compression, distributable),
                    oci_form(row.name),
                    "{}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn docker_forms_are_found() {
        let docker = |rest: &str| format!("application/vnd.docker.{rest}");
        let oci = |rest: &str| format!("application/vnd.oci.image.{rest}");
        for (name, expected) in [
            (
                oci("index.v1+json"),
                Some("distribution.manifest.list.v2+json"),
            ),
            (
                oci("manifest.v1+json"),
                Some("distribution.manifest.v2+json"),
            ),
            (oci("config.v1+json"), Some("container.image.v1+json")),
            (
                "application/octet-stream".to_owned(),
                Some("container.image.v1+json"),
            ),
            (oci("layer.v1.tar"), Some("image.rootfs.diff.tar")),
            (oci("layer.v1.tar+gzip"), Some("image.rootfs.diff.tar.gzip")),
            (oci("layer.v1.tar+zstd"), None),
            (docker("image.rootfs.diff.tar.zstd"), None),
            (
                docker("image.rootfs.diff.tar.gzip"),
                Some("image.rootfs.diff.tar.gzip"),
            ),
            (
                oci("layer.nondistributable.v1.tar+gzip"),
                Some("image.rootfs.foreign.diff.tar.gzip"),
            ),
            (oci("layer.nondistributable.v1.tar+zstd"), None),
            (oci("layer.v1.tar+gzip+encrypted"), None),
            (docker("attestation.manifest.v1+json"), None),
            ("application/vnd.in-toto+json".to_owned(), None),
            ("text/plain".to_owned(), None),
        ] {
            assert_eq!(
                docker_form(&name),
                expected.map(docker).as_deref(),
                "{name}"
            );
        }
        for family in [Family::Oci, Family::Docker] {
            assert_eq!(kind(index_type(family)), Kind::Index);
            assert_eq!(kind(manifest_type(family)), Kind::Manifest);
        }
    }

    #[test]
    fn encrypted_layers_are_opaque() {
        for base in OCI_LAYER.iter().chain(&OCI_NONDISTRIBUTABLE) {
            let encrypted = format!("{base}+encrypted");
            assert_eq!(kind(&encrypted), Kind::OpaqueLayer);
            assert_eq!(oci_form(&encrypted), encrypted);
        }
        assert_eq!(
            kind("application/vnd.oci.image.config.v1+json+encrypted"),
            Kind::Unknown
        );
    }

    #[test]
    fn types_of_known_families_are_known() {
        for (name, expected) in [
            ("application/vnd.erofs.layer.v1", Kind::OpaqueLayer),
            ("application/vnd.erofs.layer.v1+zstd", Kind::OpaqueLayer),
            ("application/vnd.erofs", Kind::OpaqueLayer),
            ("application/vnd.erofs+zstd", Kind::OpaqueLayer),
            ("application/vnd.erofs.chunk-index.v1", Kind::OpaqueLayer),
            (
                "application/vnd.oci.image.layer.nydus.blob.v1",
                Kind::OpaqueLayer,
            ),
            (
                "application/vnd.stacker.image.layer.squashfs+zstd+verity",
                Kind::OpaqueLayer,
            ),
            (
                "application/vnd.sylabs.image.layer.v1.squashfs",
                Kind::OpaqueLayer,
            ),
            (
                "application/vnd.puzzlefs.image.rootfs.v1",
                Kind::OpaqueLayer,
            ),
            ("application/vnd.sylabs.sif.layer.v1.sif", Kind::Artifact),
            (
                "application/vnd.containerd.container.criu.checkpoint.predump.tar",
                Kind::Artifact,
            ),
            (
                "application/vnd.containerd.container.checkpoint.runtime.name",
                Kind::Artifact,
            ),
            (
                "application/vnd.containerd.container.rw.tar",
                Kind::Artifact,
            ),
            ("application/vnd.buildkit.historyrecord.v0", Kind::Artifact),
            ("application/vnd.buildkit.cacheconfig.v0", Kind::CacheConfig),
            (
                "application/vnd.cncf.model.weight.v1.tar+zstd",
                Kind::Artifact,
            ),
            (
                "application/vnd.docker.ai.model.config.v0.1+json",
                Kind::Artifact,
            ),
            ("application/vnd.docker.ai.gguf.v3", Kind::Artifact),
            (
                "application/vnd.docker.compose.config.empty.v1+json",
                Kind::Artifact,
            ),
            (
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                Kind::Artifact,
            ),
            (
                "application/vnd.ollama.image.config; type=gguf",
                Kind::Artifact,
            ),
            (
                "application/vnd.dev.sigstore.bundle+json;version=0.1",
                Kind::Signature,
            ),
            (
                "application/vnd.dev.sigstore.bundle.v0.3+json",
                Kind::Signature,
            ),
            (
                "application/vnd.dev.cosign.artifact.sbom.v1+json",
                Kind::Artifact,
            ),
            ("application/vnd.cncf.modelpack", Kind::Unknown),
        ] {
            assert_eq!(kind(name), expected, "{name}");
            assert_eq!(oci_form(name), name);
            assert_eq!(docker_form(name), None, "{name}");
        }
        for (prefix, _) in FAMILIES {
            let other_families = FAMILIES.iter().filter(|(other, _)| other != prefix);
            let mut shadowing = other_families.filter(|(other, _)| prefix.starts_with(other));
            assert!(shadowing.next().is_none(), "{prefix}");
        }
    }

    #[test]
    fn media_types_are_compared_exactly() {
        for name in [
            "",
            "application/vnd.oci.image.index.v1+json; charset=utf-8",
            "APPLICATION/WASM",
        ] {
            assert_eq!(kind(name), Kind::Unknown, "{name}");
        }
    }
}
