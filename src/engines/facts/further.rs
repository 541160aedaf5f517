//! The facts of readers that are not container engines, or that contain the code of one.

use super::container::{DIFF_IDS, NO_CONTENT, NO_IMAGE, NOT_A_TAR, UNDECODABLE};
use super::{Fact, always};
use crate::engines::facts::Evidence::{self, Seen, Source};
use crate::engines::{Obstacle, Reader, Version};
use Obstacle::{
    AbsentPlatform, AmbiguousTag, Artifact, Bzip2Layer, DockerTypes, DocumentType, HardLink,
    InvalidName, LayerNotTar, LayerTwice, LayerType, LayoutVersion, MissingContent,
    MixedCompression, MixedConfig, NoDockerManifest, NoImageFile, NoIndex, NoName, NoPlatform,
    NothingListed, OtherDigest, OtherDockerManifest, OtherLabel, OtherLayerType, OuterBzip2,
    OuterGzip, OuterSkippable, OuterXz, OuterZstd, SeveralImages, SharedFile, SkippableFrame,
    SymbolicLink, UncleanName, UncleanPath, UndecodableConfig, UnlistedImage, WrongLayers,
    WrongSize, XzLayer, ZstdLayer,
};
use Reader::{
    ApptainerOci, BuildahDocker, BuildahOci, Crane, K3d, K3s, Kind, Nerdctl, Oras, Regctl, Trivy,
    Umoci,
};

pub(super) const INSTANCE: Evidence =
    Source("container-libs, image/internal/manifest/oci_index.go");
pub(super) const GGCR: Evidence = Source("go-containerregistry, pkg/v1/tarball/image.go");
const VALIDATE: Evidence = Source("go-containerregistry, pkg/v1/validate/layer.go");
const OF_TRIVY: Evidence = Source("trivy, pkg/fanal/image/archive.go");
const ORAS: Evidence = Source("oras-go, content/oci/readonlyoci.go");
const TARFS: Evidence = Source("oras-go, internal/fs/tarfs/tarfs.go");
const REGCLIENT: Evidence = Source("regclient, image.go");
const COMPRESS: Evidence = Source("regclient, pkg/archive/compress.go");
const CAS: Evidence = Source("umoci, oci/cas/dir/dir.go");
const UNPACK: Evidence = Source("umoci, oci/layer/unpack.go");
pub(super) const HASH: Evidence = Source("go-containerregistry, pkg/v1/hash.go");

pub(super) const NOT_IN_TAR: &[&str] = &["not found in tar"];
const ONLY_ONE: &[&str] = &["tarball must contain only a single image"];
const NOT_GZIP: &[&str] = &["gzip: invalid header"];
const NOT_LIKE_FIRST: &[&str] = &[
    "gzip: invalid header",
    "mismatched diffid",
    "invalid tar header",
    "undersized layer",
];
pub(super) const OTHER_HASH: &[&str] = &[
    "unsupported hash",
    "cannot parse hash",
    "non-hex character in hash",
    "wrong number of hex digits",
];
const NO_DIFF_ID: &[&str] = &[
    "may not describe a runnable image",
    "mismatched",
    "index out of range",
];
const NO_LAYOUT: &[&str] = &[
    "invalid OCI Image Layout",
    "invalid image detected",
    "no such file or directory",
];
const NO_LAYOUT_INDEX: &[&str] = &[
    "invalid OCI Image Index",
    "read top-level index",
    "no such file or directory",
];
pub(super) const OTHER_TYPE: &[&str] = &[
    "is not correct mediatype",
    "unsupported mediatype",
    "descriptor does not point to ispec.MediaTypeImageManifest",
];
const OTHER_FORM: &[&str] = &[
    "gzip: invalid header",
    "invalid tar header",
    "magic number mismatch",
    "invalid header",
];
const LINK_TYPE: &[&str] = &["type flag", "panic: sync/atomic"];
const OTHER_DIFF_IDS: &[&str] = &[
    "does not match config's DiffID",
    "image config has only … DiffID values",
    "invalid tar header",
];
const NO_ENTRY_OF_NAME: &[&str] = &[
    "not found",
    "does not exist",
    "no such file or directory",
    "panic: sync/atomic",
];
const NO_TAG: &[&str] = &["could not find requested tag in index.json"];
const NOT_FOUND: &[&str] = &["not found", "no such file or directory"];

#[rustfmt::skip]
pub(super) const FURTHER: &[Fact] = &[
    // k3d and nerdctl do what the containerd in them does, and kind too.
    always(K3d, AbsentPlatform, NO_CONTENT, Source("k3d, pkg/client/tools.go, which imports all platforms")),

    // buildah pull, by the code of skopeo.
    always(BuildahOci, WrongLayers, OTHER_DIFF_IDS, Seen("1.39.3")).from(1, 39, 0),
    always(BuildahOci, NoPlatform, NO_IMAGE, INSTANCE),
    always(BuildahOci, SkippableFrame, OTHER_DIFF_IDS, Seen("1.39.3")),
    always(BuildahOci, InvalidName, &["normalizing name"], DIFF_IDS),
    always(BuildahOci, UndecodableConfig, UNDECODABLE, Seen("1.39.3")),
    always(BuildahOci, MixedConfig, &["unsupported image-specific operation on artifact", "invalid mixed OCI image with Docker v2s2 config"], DIFF_IDS),
    always(BuildahOci, LayerNotTar, NOT_A_TAR, DIFF_IDS),
    always(BuildahOci, LayerTwice, NOT_A_TAR, DIFF_IDS),
    always(BuildahDocker, LayerNotTar, NOT_A_TAR, DIFF_IDS),
    always(BuildahDocker, LayerTwice, &["does not match config's DiffID"], DIFF_IDS).from(1, 39, 0),

    // crane push, and crane validate --tarball.
    always(Crane, OuterGzip, NOT_A_TAR, GGCR),
    always(Crane, OuterZstd, NOT_A_TAR, GGCR),
    always(Crane, OuterSkippable, NOT_A_TAR, GGCR),
    always(Crane, OuterBzip2, NOT_A_TAR, GGCR),
    always(Crane, OuterXz, NOT_A_TAR, GGCR),
    always(Crane, NoDockerManifest, &["file manifest.json not found in tar"], GGCR),
    always(Crane, OtherDockerManifest, &["cannot unmarshal", "not found in tar", "no valid manifest.json in tarball"], GGCR),
    always(Crane, NothingListed, ONLY_ONE, GGCR),
    always(Crane, SeveralImages, ONLY_ONE, GGCR),
    always(Crane, UnlistedImage, &[], GGCR),
    always(Crane, Artifact, NO_DIFF_ID, GGCR),
    always(Crane, MissingContent, NOT_IN_TAR, GGCR),
    always(Crane, WrongLayers, NO_DIFF_ID, GGCR),
    always(Crane, UndecodableConfig, UNDECODABLE, Seen("0.20.7")),
    always(Crane, ZstdLayer, NOT_A_TAR, VALIDATE).before(0, 13, 0),
    always(Crane, ZstdLayer, NOT_GZIP, Seen("0.20")).from(0, 13, 0),
    always(Crane, SkippableFrame, NOT_A_TAR, Seen("0.20.7")),
    always(Crane, Bzip2Layer, NOT_A_TAR, Seen("0.20.7")),
    always(Crane, XzLayer, NOT_A_TAR, Seen("0.20.7")),
    always(Crane, LayerNotTar, NOT_A_TAR, VALIDATE),
    always(Crane, LayerTwice, NOT_A_TAR, VALIDATE),
    always(Crane, MixedCompression, NOT_LIKE_FIRST, GGCR),
    always(Crane, OtherDigest, OTHER_HASH, HASH),
    always(Crane, HardLink, NOT_IN_TAR, GGCR),
    always(Crane, UncleanName, NOT_IN_TAR, GGCR),
    always(Crane, UncleanPath, NOT_IN_TAR, GGCR).before(0, 21, 7),

    // trivy image --input, by the code of crane. It decompresses each layer by its first bytes.
    always(Trivy, Artifact, NO_DIFF_ID, OF_TRIVY),
    always(Trivy, SkippableFrame, NOT_A_TAR, OF_TRIVY),
    always(Trivy, Bzip2Layer, NOT_A_TAR, OF_TRIVY),
    always(Trivy, XzLayer, NOT_A_TAR, OF_TRIVY),

    // umoci unpack --image DIRECTORY:TAG.
    always(Umoci, NoImageFile, NO_LAYOUT, CAS),
    always(Umoci, LayoutVersion, NO_LAYOUT, CAS),
    always(Umoci, NoIndex, NO_LAYOUT_INDEX, CAS),
    always(Umoci, NoName, NOT_FOUND, Source("umoci, oci/casext/refname.go")),
    always(Umoci, AmbiguousTag, &["tag is ambiguous"], Seen("0.4.7, 0.6.0")),
    always(Umoci, MissingContent, NOT_FOUND, CAS),
    always(Umoci, DockerTypes, OTHER_TYPE, Seen("0.4.7, 0.6.0")),
    always(Umoci, LayerType, OTHER_TYPE, UNPACK),
    always(Umoci, WrongLayers, &["diffid mismatch", "layer diffs", "diff_ids", "mismatch"], UNPACK),
    always(Umoci, UndecodableConfig, UNDECODABLE, Seen("0.4.7")),
    always(Umoci, OtherLabel, OTHER_FORM, UNPACK),
    always(Umoci, ZstdLayer, OTHER_TYPE, Seen("0.4.7")).before(0, 5, 0),
    always(Umoci, SkippableFrame, OTHER_TYPE, UNPACK).before(0, 5, 0),
    always(Umoci, Bzip2Layer, OTHER_FORM, UNPACK),
    always(Umoci, XzLayer, OTHER_FORM, UNPACK),
    always(Umoci, LayerNotTar, NOT_A_TAR, UNPACK),
    always(Umoci, LayerTwice, NOT_A_TAR, UNPACK),

    // oras copy --from-oci-layout FILE:TAG.
    always(Oras, OuterGzip, &["invalid tar header", "does not look like a tar archive"], TARFS),
    always(Oras, OuterZstd, &["invalid tar header", "does not look like a tar archive"], TARFS),
    always(Oras, OuterSkippable, &["invalid tar header", "does not look like a tar archive"], TARFS),
    always(Oras, OuterBzip2, &["invalid tar header", "does not look like a tar archive"], TARFS),
    always(Oras, OuterXz, &["invalid tar header", "does not look like a tar archive"], TARFS),
    always(Oras, NoImageFile, NO_LAYOUT, ORAS),
    always(Oras, LayoutVersion, NO_LAYOUT, ORAS),
    always(Oras, NoIndex, NO_LAYOUT_INDEX, ORAS),
    always(Oras, NothingListed, NOT_FOUND, ORAS),
    always(Oras, SeveralImages, NOT_FOUND, ORAS),
    always(Oras, UnlistedImage, &[], ORAS),
    always(Oras, MissingContent, NO_ENTRY_OF_NAME, Seen("1.2.0, 1.3.0")),
    always(Oras, HardLink, LINK_TYPE, TARFS),
    always(Oras, SymbolicLink, LINK_TYPE, TARFS),
    always(Oras, UncleanName, NO_ENTRY_OF_NAME, TARFS),
    always(Oras, UncleanPath, NO_ENTRY_OF_NAME, Seen("1.2.0")).before(1, 3, 0),
    always(Oras, WrongSize, &["unexpected EOF"], Seen("1.2.0")),
    always(Oras, OtherLayerType, NO_LAYOUT_INDEX, Seen("1.2.0")),

    // regctl image import REFERENCE FILE.
    always(Regctl, OuterGzip, NOT_A_TAR, REGCLIENT).before(0, 5, 7),
    always(Regctl, OuterBzip2, NOT_A_TAR, REGCLIENT).before(0, 5, 7),
    always(Regctl, OuterXz, NOT_A_TAR, REGCLIENT).before(0, 5, 7),
    always(Regctl, OuterZstd, NOT_A_TAR, COMPRESS).before(0, 7, 0),
    always(Regctl, OuterSkippable, NOT_A_TAR, COMPRESS),
    always(Regctl, NoImageFile, NOT_FOUND, Seen("0.8.3")),
    always(Regctl, LayoutVersion, &["Unsupported oci-layout version", "json: cannot unmarshal", "invalid character"], Seen("0.8.3")),
    always(Regctl, OtherDockerManifest, &["json", "not found"], REGCLIENT),
    always(Regctl, NothingListed, &["could not find requested tag in index.json", "index out of range"], REGCLIENT),
    always(Regctl, SeveralImages, NO_TAG, Seen("0.8.3")),
    always(Regctl, NoName, &[], REGCLIENT),
    always(Regctl, UnlistedImage, &[], REGCLIENT),
    always(Regctl, MissingContent, &["unable to read all files from tar", "not found"], Seen("0.8.3")),
    always(Regctl, UncleanName, &["unable to read all files from tar", "Rel: can't make"], Seen("0.8.3")),
    always(Regctl, WrongSize, &["unexpected blob length"], Seen("0.8.3")),
    always(Regctl, DocumentType, &["unexpected media type"], Seen("0.8.3")),
    always(Regctl, SharedFile, &["invalid"], REGCLIENT),
    always(Regctl, HardLink, NOT_FOUND, REGCLIENT).before(0, 5, 0),
    always(Regctl, SymbolicLink, NOT_FOUND, REGCLIENT).before(0, 5, 0),
];

/// What a reader copes with although the one whose code it contains does not, from which version on.
#[rustfmt::skip]
pub(super) const COPES: &[(Reader, Obstacle, Version)] = &[
    // kind imports with --digests. The source of the others is stated at `base`.
    (Kind, NoName, Version(0, 14, 0)),
    // k3s decompresses files by their suffixes, which archives are supposed to have.
    (K3s, OuterGzip, Version(1, 21, 0)),
    (K3s, OuterZstd, Version(1, 21, 0)),
    (K3s, OuterSkippable, Version(1, 21, 0)),
    (K3s, OuterBzip2, Version(1, 21, 0)),
    (Nerdctl, NoName, Version(0, 0, 0)),
    (Nerdctl, OuterGzip, Version(0, 0, 0)),
    (Nerdctl, OuterZstd, Version(0, 0, 0)),
    (Nerdctl, OuterSkippable, Version(0, 0, 0)),
    // Only the image for the machine is read.
    (BuildahOci, AbsentPlatform, Version(0, 0, 0)),
    (ApptainerOci, AbsentPlatform, Version(0, 0, 0)),
    (Trivy, OuterGzip, Version(0, 0, 0)),
    (Trivy, ZstdLayer, Version(0, 0, 0)),
];
