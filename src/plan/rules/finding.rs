//! Every kind of finding: something that ocify cannot fix, or that a user should know.

use serde::{Serialize, Serializer};

use crate::error::Hint;
use crate::location::Location;
use crate::plan::{Finding, Severity};

rules! {
    /// What a finding is about: something that ocify cannot fix, or that a user should know.
    FindingRule;
    DuplicateEntry = {
        name: "duplicate-entry",
        severity: Warns,
        what: "An entry appears in the archive more than once with different bytes.",
        why: "readers differ on which one they use: docker uses the last, skopeo's docker-archive the first",
        whose: "nobody's: tar allows it",
        threads: [],
    };
    NoEndMarker = {
        name: "no-end-marker",
        severity: Warns,
        what: "The archive lacks the end-of-archive marker, the zero blocks that end a tar.",
        why: "the archive may be truncated, and readers do not report that",
        whose: "an interrupted copy or download; tools that do not finish their archive",
        threads: [],
    };
    DuplicateKey = {
        name: "duplicate-key",
        severity: Warns,
        what: "A key appears more than once in a JSON object.",
        why: "parsers differ on which one they use",
        whose: "the tool that wrote the document",
        threads: [],
    };
    UnloadableImage = {
        name: "unloadable-image",
        severity: Breaks,
        what: "An image that no engine can load is kept beside others.",
        why: "it stays in index.json, and manifest.json omits it so that the others load",
        whose: "the tool that wrote it",
        threads: [],
    };
    DamagedBlob = {
        name: "damaged-blob",
        severity: Warns,
        what: "A blob is damaged in one input of a merge and intact in another.",
        why: "the output has the intact one; the input is still damaged",
        whose: "an interrupted copy or download, or a failing disk",
        threads: [],
    };
    ConfigKeyCase = {
        name: "config-key-case",
        severity: Warns,
        what: "A key of an image's config is not spelled as the specification has it.",
        why: "some readers ignore the case of keys, and others ignore such a key; a config never changes, because its digest is the image ID",
        whose: "the tool that wrote the config",
        threads: [],
    };
    SchemaVersion = {
        name: "schema-version",
        severity: Warns,
        what: "An index or a manifest does not state schema version 2.",
        why: "the specification requires it, and registries refuse the document; engines ignore the field",
        whose: "the tool that wrote the document",
        threads: [],
    };
    UndecodableConfig = {
        name: "undecodable-config",
        severity: Breaks,
        what: "A value in an image's config has a type that some engines cannot decode.",
        why: "these engines refuse the image; a config never changes, because its digest is the image ID",
        whose: "the tool that wrote the config",
        threads: [],
    };
    OtherPlatform = {
        name: "other-platform",
        severity: Warns,
        what: "An image with several platforms does not have the one that was requested for `manifest.json`.",
        why: "other images have it, so `manifest.json` describes another platform of this one",
        whose: "nobody's: the images have different platforms",
        threads: [],
    };
    UnnamedImage = {
        name: "unnamed-image",
        severity: Breaks,
        what: "An image has no name.",
        why: "docker loads it untagged, and ctr drops it without --digests; with a tag alone, Docker with the containerd image store does not list it",
        whose: "whoever saved the image without a name",
        threads: ["moby/moby#45416", "moby/buildkit#1949", "docker/buildx#1659"],
    };
    BadName = {
        name: "bad-name",
        severity: Breaks,
        what: "A name is not a valid image name.",
        why: "docker refuses an archive with such a name",
        whose: "tools that do not complete or check names",
        threads: ["moby/moby#12968", "google/go-containerregistry#890", "spiffe/spire#6515"],
    };
    SharedName = {
        name: "shared-name",
        severity: Warns,
        what: "Several images that are not platforms of one image have the same name.",
        why: "docker and containerd give the name to the last one, skopeo to the first",
        whose: "tools that do not check the names in an archive",
        threads: [],
    };
    StaleDigestName = {
        name: "stale-digest-name",
        severity: Warns,
        what: "A name has a digest that is not the image's, for example because its manifest was rewritten.",
        why: "the name promises content that the archive does not have under it",
        whose: "nobody's: a digest changes with its document",
        threads: [],
    };
    MissingManifest = {
        name: "missing-manifest",
        severity: Breaks,
        what: "An index lists a manifest that is not in the archive.",
        why: "readers that require all platforms refuse the archive",
        whose: "Docker and containerd, which save an index without everything that it lists",
        threads: ["kubernetes-sigs/kind#3795", "containerd/containerd#4634", "moby/moby#49473"],
    };
    MissingBlob = {
        name: "missing-blob",
        severity: Breaks,
        what: "A config or layer is not in the archive.",
        why: "an image that needs it does not load",
        whose: "the tool that saved it",
        threads: ["moby/moby#49784"],
    };
    NestedIndex = {
        name: "nested-index",
        severity: Breaks,
        what: "An index below `index.json` lists another index that leads to images.",
        why: "skopeo, podman and CRI-O expect manifests in the index of an image",
        whose: "tools that combine indexes without merging their lists",
        threads: [],
    };
    AbsentContent = {
        name: "absent-content",
        severity: Cosmetic,
        what: "A layer is not in the archive and may be fetched from elsewhere.",
        why: "layers may be nondistributable; ocify never fetches content",
        whose: "nobody's",
        threads: ["moby/moby#33008", "containerd/containerd#4396"],
    };
    UnknownLayerBytes = {
        name: "unknown-layer-bytes",
        severity: Warns,
        what: "A layer is neither a tar nor compressed in a known format.",
        why: "ocify cannot choose a type that matches its bytes",
        whose: "the tool that created it",
        threads: [],
    };
    EmptyLayer = {
        name: "empty-layer",
        severity: Warns,
        what: "A layer has no bytes.",
        why: "Docker, containerd and podman read it as a layer without files; Amazon ECR does not accept it",
        whose: "buildpacks and other tools that write an empty file instead of an empty tar",
        threads: ["spring-projects/spring-boot#47022", "moby/buildkit#2198"],
    };
    UnsupportedCompression = {
        name: "unsupported-compression",
        severity: Breaks,
        what: "A layer is compressed in a format that OCI has no media type for.",
        why: "containerd and podman cannot read it; docker load before Docker 29 finds it through manifest.json",
        whose: "the tool that created it",
        threads: [],
    };
    LayerNotTar = {
        name: "layer-not-tar",
        severity: Breaks,
        what: "A compressed layer does not contain a tar.",
        why: "engines decompress a layer once and then expect a tar",
        whose: "tools that compress layers that are already compressed",
        threads: [],
    };
    OpaqueLayers = {
        name: "opaque-layers",
        severity: Breaks,
        what: "An image has layers that are not tars, such as EROFS or encrypted ones, and lacks a variant whose layers are tars.",
        why: "Docker with a graph driver and podman cannot unpack such layers, and containerd needs a plugin for them; manifest.json omits an image with layers that have no diff IDs",
        whose: "nobody's: newer engines unpack such layers",
        threads: [],
    };
    CompressedDiffId = {
        name: "compressed-diff-id",
        severity: Breaks,
        what: "The diff ID of a compressed layer is the digest of the compressed bytes.",
        why: "Docker and containerd verify diff IDs when they decompress layers, and refuse the image",
        whose: "tools that write a layer's digest where its diff ID belongs",
        threads: [],
    };
    DigestsPreserved = {
        name: "digests-preserved",
        severity: Breaks,
        what: "Changes were not made because they would give manifests and indexes new digests.",
        why: "the rule that the message names says which readers need them",
        whose: "nobody's: preserving digests was requested",
        threads: [],
    };
    ZstdLayers = {
        name: "zstd-layers",
        severity: Breaks,
        what: "Layers are compressed with zstd.",
        why: "Docker before 23.0 cannot read it",
        whose: "Docker before 23",
        threads: ["blakeblackshear/frigate#7308", "n8n-io/n8n#24347"],
    };
    SkippableFrame = {
        name: "skippable-frame",
        severity: Breaks,
        what: "Layers begin with a skippable zstd frame.",
        why: "podman and skopeo recognize zstd only by its first frame, and mistake such a layer for a plain tar",
        whose: "containers/image, which checks for one magic number only",
        threads: [],
    };
    LayersLeftAlone = {
        name: "layers-left-alone",
        severity: Cosmetic,
        what: "Layers keep their compression although others are recompressed.",
        why: "they are evidence, are encrypted, do not contain a tar, belong to a cache or an artifact, or are fetched from elsewhere by their digest",
        whose: "nobody's: other documents refer to these bytes",
        threads: [],
    };
    UnverifiedDigest = {
        name: "unverified-digest",
        severity: Warns,
        what: "A digest uses an algorithm that ocify cannot verify.",
        why: "only a layer's diff ID can then prove its content, other content is copied without being verified, and engines that do not know the algorithm refuse it",
        whose: "nobody's: the specification allows other algorithms",
        threads: [],
    };
    OrphanedBlobs = {
        name: "orphaned-blobs",
        severity: Cosmetic,
        what: "Nothing refers to some of the blobs.",
        why: "no reader needs them, and they take up space; they may still be of use to whoever wrote them, so they stay unless removing them is requested",
        whose: "Docker since 25.0, which stores a config of each layer that only old versions had a use for; BuildKit, which never removes anything from its caches",
        threads: ["moby/buildkit#1896"],
    };
    UnknownMediaType = {
        name: "unknown-media-type",
        severity: Cosmetic,
        what: "A media type is unknown and was skipped.",
        why: "the specification requires tools to store and copy unknown types unchanged",
        whose: "nobody's",
        threads: [],
    };
    StaleSignature = {
        name: "stale-signature",
        severity: Warns,
        what: "A signature is for a manifest that was rewritten.",
        why: "it does not verify the new manifest",
        whose: "nobody's: a signature is for one digest",
        threads: ["containers/skopeo#1692", "sigstore/cosign#1549"],
    };
    LostSignature = {
        name: "lost-signature",
        severity: Warns,
        what: "A signature of the input is not in the output.",
        why: "the signature is a file of a `dir:` directory, for which no archive has a place",
        whose: "nobody's: only `dir:` directories and some registries have one",
        threads: [],
    };
    StaleStatement = {
        name: "stale-statement",
        severity: Cosmetic,
        what: "An attestation's statement names a manifest that was rewritten.",
        why: "the statement is evidence and is left unchanged",
        whose: "nobody's: a statement names one digest",
        threads: [],
    };
    MovedReferrer = {
        name: "moved-referrer",
        severity: Cosmetic,
        what: "A referrer was created for a manifest that was rewritten.",
        why: "ocify updated its subject but not its content",
        whose: "nobody's",
        threads: [],
    };
    StaleSociIndex = {
        name: "stale-soci-index",
        severity: Cosmetic,
        what: "A SOCI index describes layers that are recompressed.",
        why: "its tables of contents are for the old bytes, so engines pull the complete layers instead of loading them lazily",
        whose: "nobody's: a table of contents is for one compressed form",
        threads: [],
    };
    FlatReferrer = {
        name: "flat-referrer",
        severity: Breaks,
        what: "`index.json` lists referrers without a name beside the images.",
        why: "skopeo then requires the name of an image in an oci-archive, and Docker 26 and 28 with the containerd store load each referrer as an image without a name",
        whose: "Docker 29 and containerd, which save referrers like this, and which read them again",
        threads: [],
    };
}

impl FindingRule {
    /// A finding of this kind.
    pub(crate) fn finding(
        self,
        location: Option<Location>,
        message: String,
        hint: Option<Hint>,
    ) -> Finding {
        Finding {
            rule: self,
            severity: self.severity(),
            location,
            message,
            hint,
        }
    }
}
