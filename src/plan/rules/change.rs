//! The rules by which ocify changes a document or an archive.

use serde::{Serialize, Serializer};

use crate::plan::Severity;

rules! {
    /// A rule of normalization.
    Rule;
    IndexType = {
        name: "index-type",
        severity: Cosmetic,
        what: "Docker's manifest list type is replaced with the OCI index type.",
        why: "readers of OCI archives expect an OCI index",
        whose: "nobody's: Docker's types are older",
        threads: [],
    };
    ManifestType = {
        name: "manifest-type",
        severity: Cosmetic,
        what: "Docker's manifest type is replaced with the OCI manifest type.",
        why: "podman and skopeo refuse a manifest whose type and layers belong to different families",
        whose: "tools that mix the families",
        threads: ["containers/container-libs#977", "containers/image#2972", "opencontainers/image-spec#1150"],
    };
    ConfigType = {
        name: "config-type",
        severity: Cosmetic,
        what: "Docker's config type is replaced with the OCI config type.",
        why: "an OCI manifest describes its config with the OCI type",
        whose: "tools that mix the families",
        threads: ["opencontainers/image-spec#1150"],
    };
    LayerType = {
        name: "layer-type",
        severity: Cosmetic,
        what: "A layer's type is replaced with the OCI type that matches its bytes.",
        why: "containerd and podman choose the decoder by this type, so it must be the OCI type that matches the layer's bytes",
        whose: "BuildKit since 0.10, which invented `diff.tar.zstd`; containerd, which labels every layer of a Docker archive as gzip; tools that do not check what they label",
        threads: ["moby/buildkit#3968", "containers/image#2906", "containerd/containerd#9263", "containerd/containerd#14160", "containerd/containerd#10134"],
    };
    DockerType = {
        name: "docker-type",
        severity: Warns,
        what: "A type is replaced with Docker's, on request.",
        why: "Docker's types were requested",
        whose: "nobody's: it is requested",
        threads: [],
    };
    MediaTypeField = {
        name: "media-type-field",
        severity: Warns,
        what: "`mediaType` is added to an index, or to a document that changes anyway.",
        why: "containerization before 0.13 (apple/container) refuses an index without mediaType",
        whose: "containerd before 2.0 and BuildKit with it, skopeo, podman: they omit it from `index.json`",
        threads: ["apple/container#330", "containerd/containerd#9867", "moby/buildkit#4595"],
    };
    EmptyList = {
        name: "empty-list",
        severity: Warns,
        what: "A list of layers or manifests that is `null` or absent is written as an empty list.",
        why: "the specification requires a list, and registries such as Quay and Amazon ECR refuse a manifest without one",
        whose: "BuildKit, which writes null for an image without layers",
        threads: ["opencontainers/image-spec#1025", "moby/buildkit#4331"],
    };
    DescriptorPlatform = {
        name: "descriptor-platform",
        severity: Warns,
        what: "`platform` is removed from the descriptor of a config, a layer or a subject.",
        why: "only entries of an index have a platform, and Amazon ECR refuses it elsewhere",
        whose: "Docker 25.0 and 26.0; nydusify",
        threads: ["moby/moby#47661", "regclient/regclient#709", "dragonflyoss/nydus#1691"],
    };
    IncompletePlatform = {
        name: "incomplete-platform",
        severity: Breaks,
        what: "The `platform` of an index's entry gets the operating system or the architecture that it lacks, from the image's config.",
        why: "the specification requires both, podman does not choose an image that lacks one of them, and containerd none without an architecture",
        whose: "indexes written by hand",
        threads: [],
    };
    KeyCase = {
        name: "key-case",
        severity: Warns,
        what: "A key of a document gets the spelling that the specification has.",
        why: "some readers ignore the case of keys, and others ignore such a key",
        whose: "tools that write keys in another case",
        threads: [],
    };
    Size = {
        name: "size",
        severity: Breaks,
        what: "A descriptor's size is replaced with the length of the content, whose digest is right.",
        why: "readers that check the size refuse the content, although its digest proves that it is right",
        whose: "tools that compute or copy sizes wrongly",
        threads: [],
    };
    Descriptor = {
        name: "descriptor",
        severity: Cosmetic,
        what: "A descriptor is updated to match its rewritten document.",
        why: "the document it points at was rewritten",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    AttestationLink = {
        name: "attestation-link",
        severity: Cosmetic,
        what: "An annotation is updated to match the rewritten manifest that it links to.",
        why: "the manifest it links to was rewritten",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    Subject = {
        name: "subject",
        severity: Cosmetic,
        what: "A subject is updated to match its rewritten document.",
        why: "the subject was rewritten",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    ReferrersTag = {
        name: "referrers-tag",
        severity: Cosmetic,
        what: "A tag made of a manifest's digest (`sha256-<hex>`, `sha256-<hex>.sig`, `sha512-` and half of the hash) is updated to match the rewritten manifest.",
        why: "readers find referrers, signatures and attestations by a tag made of the digest of what these are about",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    ImageName = {
        name: "image-name",
        severity: Breaks,
        what: "The full name is added as an annotation, or replaces one that is invalid or not complete.",
        why: "docker and containerd read the name from this annotation, and docker does not find an image under an incomplete name",
        whose: "readers, which do not agree on a single annotation",
        threads: ["containers/common#853", "containers/podman#12560", "apple/containerization#369"],
    };
    RefName = {
        name: "ref-name",
        severity: Warns,
        what: "The tag is added as an annotation, or replaces a name with an old digest.",
        why: "podman and skopeo read the name from this annotation",
        whose: "readers, which do not agree on a single annotation",
        threads: ["containers/common#853", "containers/podman#12560"],
    };
    NameRemoved = {
        name: "name-removed",
        severity: Warns,
        what: "A name that several images have is removed from all but the last one, and the name of an image from evidence that is marked as such.",
        why: "docker and containerd give the name to the last entry that has it",
        whose: "tools that do not check the names in an archive",
        threads: [],
    };
    PlatformsNested = {
        name: "platforms-nested",
        severity: Breaks,
        what: "Images with one name but different platforms are moved into an index of that name.",
        why: "an engine keeps one image for each name, and would use the last one on every machine",
        whose: "tools that list platforms side by side",
        threads: [],
    };
    IndexReplaced = {
        name: "index-replaced",
        severity: Warns,
        what: "An index of an input is removed when a merge moves its images into one index and nothing else refers to it.",
        why: "its images are in the new index",
        whose: "nobody's: it is requested",
        threads: [],
    };
    NameEntry = {
        name: "name-entry",
        severity: Breaks,
        what: "An index entry is added for a name that only manifest.json has, or removed if its name was replaced or another entry of the image has it.",
        why: "readers of the index look for each name in one entry",
        whose: "nobody's: an index entry has one name",
        threads: [],
    };
    DockerManifest = {
        name: "docker-manifest",
        severity: Breaks,
        what: "`manifest.json` is written or corrected.",
        why: "docker load before Docker 25 reads only manifest.json",
        whose: "BuildKit, whose `type=oci` and `tar=false` omit the file; Docker 25, whose LayerSources some readers refuse",
        threads: ["moby/buildkit#5559", "moby/buildkit#4131", "google/go-containerregistry#1870", "GoogleContainerTools/jib#2288"],
    };
    OciLayout = {
        name: "oci-layout",
        severity: Breaks,
        what: "The `oci-layout` file is written.",
        why: "containerd treats an archive without this file as a Docker archive",
        whose: "tools that omit it",
        threads: [],
    };
    IndexAdded = {
        name: "index-added",
        severity: Breaks,
        what: "`index.json` is written if the source lacks it or has an empty one.",
        why: "readers of OCI archives start at index.json",
        whose: "Docker before 25, and Docker 25 when it saves by digest",
        threads: ["moby/moby#47210", "apple/container#1426"],
    };
    IndexEntryAdded = {
        name: "index-entry-added",
        severity: Breaks,
        what: "An entry is added to `index.json` for an image that only `manifest.json` lists.",
        why: "docker save lists every image in manifest.json and only the first of several IDs in index.json, so readers of OCI archives miss the others",
        whose: "Docker 25 and later with a graph driver, when it saves several images by ID",
        threads: [],
    };
    ManifestAdded = {
        name: "manifest-added",
        severity: Breaks,
        what: "A manifest is written for an image that only `manifest.json` describes.",
        why: "readers of OCI archives find an image's config and layers in its manifest",
        whose: "nobody's: Docker archives do not have manifests",
        threads: ["apple/container#1426"],
    };
    BlobName = {
        name: "blob-name",
        severity: Breaks,
        what: "A file is renamed to its digest, and replaces links to it.",
        why: "an image layout names its blobs by digest",
        whose: "Docker before 25, which stores repeated layers as links",
        threads: ["containerd/containerd#12890", "moby/moby#24003", "regclient/regclient#451"],
    };
    Link = {
        name: "link",
        severity: Breaks,
        what: "A blob or root file that is a link becomes a regular file.",
        why: "containerd does not find a blob that is a hard link, and other readers differ on links",
        whose: "tar, which stores files with several names or of one content as links",
        threads: [],
    };
    LayersRestored = {
        name: "layers-restored",
        severity: Breaks,
        what: "A manifest's layers are restored from `manifest.json`.",
        why: "the manifest contradicts the config's diff IDs; manifest.json lists layers that match them",
        whose: "Docker 25.0.0",
        threads: ["moby/moby#47065", "moby/moby#47072", "moby/moby#47150"],
    };
    Recompressed = {
        name: "recompressed",
        severity: Warns,
        what: "A layer is recompressed.",
        why: "another compression was requested; the tar inside is the same",
        whose: "Docker before 23, which cannot read zstd",
        threads: ["blakeblackshear/frigate#7308", "n8n-io/n8n#24347"],
    };
    AbsentPruned = {
        name: "absent-pruned",
        severity: Warns,
        what: "Whatever needs missing content is removed, on request.",
        why: "content that it needs is not in the archive, and removing it was requested",
        whose: "Docker and containerd, which save an index without everything that it lists",
        threads: ["moby/moby#49473", "moby/moby#49784", "containerd/containerd#4634", "kubernetes-sigs/kind#3795"],
    };
    ImageChoice = {
        name: "image-choice",
        severity: Warns,
        what: "An image that was not requested is removed, and what refers to it.",
        why: "another image was requested",
        whose: "readers that load one image at a time",
        threads: ["containers/podman#29196", "containers/skopeo#2512"],
    };
    PlatformChoice = {
        name: "platform-choice",
        severity: Warns,
        what: "An image for a platform that was not requested is removed, and what refers to it.",
        why: "other platforms were requested",
        whose: "nobody's: it is requested",
        threads: ["docker/buildx#59", "moby/moby#48589", "containers/podman#22882"],
    };
    Unwrapped = {
        name: "unwrapped",
        severity: Warns,
        what: "An entry of `index.json` leads to an image's manifest instead of an index with this one image. What only the index lists is removed.",
        why: "a manifest in place of an index with one image was requested",
        whose: "readers that take only a single manifest, such as AWS Lambda",
        threads: ["docker/buildx#1533", "aws/aws-lambda-roadmap#82"],
    };
    Superseded = {
        name: "superseded",
        severity: Warns,
        what: "An image of a merge, or anything else under a name, is removed if other inputs have its names, and what refers to it.",
        why: "other inputs have its names",
        whose: "nobody's: a name is for one image",
        threads: [],
    };
    AttestationDropped = {
        name: "attestation-dropped",
        severity: Warns,
        what: "An attestation is removed, on request, and what refers to it. Signatures of images stay.",
        why: "images without attestations were requested",
        whose: "readers that mistake an attestation for an image",
        threads: ["containerd/containerd#11344", "kubernetes-sigs/kind#3845", "k3s-io/k3s#10132"],
    };
    OrphanDropped = {
        name: "orphan-dropped",
        severity: Warns,
        what: "Blobs that nothing refers to are removed, on request.",
        why: "an output without them was requested",
        whose: "tools that add to an image layout and never remove anything, such as BuildKit from its caches",
        threads: [],
    };
    EntryXattrs = {
        name: "entry-xattrs",
        severity: Breaks,
        what: "Extended attributes of the archive's own entries are removed.",
        why: "docker load restores them, and fails if the filesystem does not support them",
        whose: "tar on macOS, which stores `com.apple.provenance` and others",
        threads: ["moby/moby#47517", "OffchainLabs/prysm#15181"],
    };
    ExtraEntry = {
        name: "extra-entry",
        severity: Cosmetic,
        what: "A file that belongs to neither the image layout nor the Docker archive is removed.",
        why: "it belongs to neither the image layout nor the Docker archive, and no reader needs it",
        whose: "nobody's",
        threads: [],
    };
    DirectorySignature = {
        name: "signature-file",
        severity: Cosmetic,
        what: "A signature file of a `dir:` directory is removed.",
        why: "neither an image layout nor a Docker archive has a place for such a signature",
        whose: "nobody's: only `dir:` directories and some registries have one",
        threads: [],
    };
    OuterCompression = {
        name: "outer-compression",
        severity: Breaks,
        what: "The compression of the archive as a whole is removed, or changed to match OUTPUT's name.",
        why: "containerd before 2.0 refuses an archive that is compressed as a whole, and Docker before 23.0 refuses one that is compressed with zstd",
        whose: "readers that decompress only some formats, or none",
        threads: ["containerd/containerd#9981", "k3s-io/k3s#13136", "google/go-containerregistry#783", "regclient/regclient#519"],
    };
    ArchiveForm = {
        name: "archive-form",
        severity: Cosmetic,
        what: "The archive's format is made canonical.",
        why: "entries get a fixed order and fixed modes, owners and times, so that the same image always gives the same archive",
        whose: "Docker, whose archives differ from run to run; tools that omit entries for directories",
        threads: ["moby/moby#42766", "moby/moby#49068", "anchore/stereoscope#492"],
    };
}
