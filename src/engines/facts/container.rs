//! The facts of container engines.

use super::{Evidence, Fact, always};
use crate::engines::{Obstacle, Reader};
use Evidence::{Seen, Source};
use Obstacle::{
    AbsentPlatform, Artifact, Bzip2Layer, DanglingLink, DockerTypeByName, EarlyLink, EntryXattrs,
    FewerLayers, HardLink, InvalidName, InvalidTag, LayerLabel, LayerNotTar, LayerTwice, LayerType,
    LayerUrls, LayoutVersion, MisreadEntry, MissingContent, MixedConfig, MixedTypes, NestedIndex,
    NoDockerManifest, NoImageFile, NoIndex, NoName, NoPlatform, NothingListed, OtherDockerManifest,
    OtherLayerType, OtherSystem, OtherType, OuterBzip2, OuterGzip, OuterGzipDocker, OuterSkippable,
    OuterXz, OuterZstd, Referrer, RepeatedName, SeveralImages, SharedFile, ShortName,
    SkippableFrame, SymbolicLink, UncleanName, UncleanPath, UndecodableConfig, UnlistedImage,
    UnnamedEvidence, WindowsImage, WrongLayers, WrongSize, XzLayer, ZstdLayer,
};
use Reader::{
    Containerd, DockerContainerd, DockerGraphDriver as Graph, K3s, Kind, Podman, SkopeoDocker,
    SkopeoOci,
};

/// Read at every version of `known.rs`.
const MOBY: Evidence = Source("moby, image/tarexport/load.go");
const MOBY_STORE: Evidence = Source("moby, daemon/containerd/image_exporter.go");
const GO_TAR: Evidence = Source("Go, archive/tar");
const IMPORTER: Evidence = Source("containerd, images/archive/importer.go");
const CODECS: Evidence = Source("containerd, archive/compression/compression.go");
const LAYER_FILTER: Evidence = Source("containerd, image.go, IsLayerType in getLayers");
const TARFILE: Evidence = Source("container-libs, image/docker/internal/tarfile");
const OCI_LAYOUT: Evidence = Source("container-libs, image/oci/layout");
const SCHEMA_2: Evidence = Source("container-libs, image/manifest/docker_schema2.go");
/// Read at 4.2.1. Podman 4.2 and Go 1.19 are of the same month.
const PGZIP: Evidence = Source(
    "podman, vendor/modules.txt, with pgzip 1.2.5, which loses data if it is built with Go 1.19; containers/podman#15944",
);
const DETECT: Evidence = Source("container-libs, image/pkg/compression, DetectCompressionFormat");
pub(super) const DIFF_IDS: Evidence = Source("container-libs, image/storage/storage_dest.go");
const BOTH: Evidence = Seen("20.10.24, 26.1.5");
const OF_26: Evidence = Seen("26.1.5");
const OF_1: Evidence = Seen("1.6.20, 1.7.24");
const NODE: Evidence = Seen(
    "the command that kind runs, in containerd 1.6.20, 1.7.24 and 2.1.9; between, containerd, cmd/ctr/commands/images/import.go",
);
const OF_PODMAN: Evidence = Seen("4.3.1, 5.4.2");
const OF_SKOPEO: Evidence = Seen("1.18.0");

/// Read in the versions of 2021, and in wharfie, which RKE2 uses.
const SUFFIXES: Evidence = Source(
    "k3s, pkg/agent/containerd/containerd.go, which decompresses .tar.gz, .tgz, .tar.zst, .tzst, .tar.bz2 and .tbz",
);
const SKIP_MISSING: Evidence =
    Source("k3s-io/k3s#10132 and #10136, with #10249, #10258 and #10259");

pub(super) const UNDECODABLE: &[&str] = &["cannot unmarshal … into Go struct field"];
pub(super) const NOT_A_TAR: &[&str] = &["invalid tar header", "unexpected EOF"];
const NO_LINK: &[&str] = &[
    "link …: no such file or directory",
    "no such file or directory",
];
const NO_TYPE: &[&str] = &["unhandled tar header type"];
const NO_MANIFEST: &[&str] = &["loading tar component …: file does not exist"];
const LOST: &[&str] = &[
    "loading tar component …: unexpected EOF",
    "invalid tar header",
];
const NO_INDEX_FILE: &[&str] = &["open …/index.json: no such file or directory"];
const NO_FILE: &[&str] = &["no such file or directory"];
const CHOOSE: &[&str] = &["more than one image in oci, choose an image"];
const ONE_ITEM: &[&str] = &["Unexpected tar manifest.json: expected 1 item"];
/// What a layer with the type of an index is called before the types of the others matter.
const READ_AS_INDEX: &str = "children: invalid desc";
const MISMATCHED_OR_READ: &[&str] = &["mismatched image rootfs and manifest layers", READ_AS_INDEX];
const UNKNOWN_CONFIG: &[&str] = &["unknown image config media type", READ_AS_INDEX];
const MISMATCHED: &[&str] = &["mismatched image rootfs and manifest layers"];
const UNRECOGNIZED: &[&str] = &["unrecognized image format"];
const OTHER_VERSION: &[&str] = &["unsupported OCI version", "untar oci layout"];
const FILTERED: &[&str] = &["image might be filtered out"];
const WRONG_LAYERS: &[&str] = &[
    "wrong diff id calculated on extraction",
    "mismatched image rootfs and manifest layers",
    "number of layers and diffIDs don't match",
];
const NO_LAYER: &[&str] = &[
    "failed to resolve layers: layer …/layer.tar\" not found",
    "failed to resolve layers: layer …not found",
];
const NO_ENTRY: &[&str] = &[
    "image config …not found",
    "failed to resolve layers: layer …not found",
];
const NO_TAR_ENTRY: &[&str] = &["file does not exist", "Some layer tarfiles are missing"];
const NO_TARGET: &[&str] = &["no target for symlink layer"];
const INNER_INDEX: &[&str] = &["Unexpectedly received a manifest list instead of a manifest"];
pub(super) const NO_IMAGE: &[&str] = &[
    "no image found in image index for architecture",
    "no image found in manifest list for architecture",
];
const DOWNLOAD: &[&str] = &["failed fetching external blob from all urls"];
const NO_CONFIG: &[&str] = &["image config …./blobs/…not found"];
pub(super) const NO_CONTENT: &[&str] = &["content digest …: not found", "not found"];
const NO_PROCESSOR: &[&str] = &["no processor for media-type"];
const NOT_DECODED: &[&str] = &["untar manifest …: json: cannot unmarshal", "untar manifest"];
const WRONG_TYPE: &[&str] = &[
    "mismatched image rootfs and manifest layers",
    "cannot unmarshal",
    "no processor for media-type",
    "children: invalid desc",
];
const UNSUPPORTED_TYPE: &[&str] = &["unsupported docker v2s2 media type"];
const OTHER_DIGEST: &[&str] = &["Digest did not match, expected"];
const NO_ROOTFS: &[&str] = &["invalid image …rootFS"];
const OTHER_SIZE: &[&str] = &["size mismatch", "Size mismatch when copying"];
const NOT_RUN: &[&str] = &[
    "no command specified",
    "mismatched image rootfs and manifest layers",
    "stat …: no such file or directory",
    // If its config is absent too, in Docker 26 and in 28.
    "No such image",
    "failed to read config content",
];
const BAD_TAG: &[&str] = &["invalid tag", "invalid reference format"];

#[rustfmt::skip]
pub(super) const FACTS: &[Fact] = &[
    // docker load, graph driver.
    always(Graph, OuterZstd, NOT_A_TAR, Seen("20.10.24; moby/moby#41759")).before(23, 0, 0),
    always(Graph, ZstdLayer, NOT_A_TAR, Seen("20.10.24; moby 23.0 release notes, moby/moby#41759")).before(23, 0, 0),
    always(Graph, SkippableFrame, NOT_A_TAR, Seen("20.10.24; moby 23.0 release notes, moby/moby#42862")).before(23, 0, 0),
    always(Graph, OuterSkippable, NOT_A_TAR, Source("moby/moby#42862, in 23.0")).before(23, 0, 0),
    always(Graph, LayerNotTar, NOT_A_TAR, BOTH),
    always(Graph, LayerTwice, NOT_A_TAR, BOTH),
    always(Graph, OtherType, NO_TYPE, BOTH),
    always(Graph, EarlyLink, NO_LINK, BOTH),
    always(Graph, EntryXattrs, &["lsetxattr …: operation not supported"], OF_26).from(25, 0, 0),
    always(Graph, NoDockerManifest, &["open …/json: no such file or directory"], BOTH).before(29, 0, 0),
    always(Graph, NoDockerManifest, &["does not contain a manifest.json"], MOBY).from(29, 0, 0),
    always(Graph, OtherDockerManifest, &["docker-import-…: is a directory", "cannot unmarshal"], BOTH),
    always(Graph, NothingListed, &[], Seen("20.10.24")),
    always(Graph, UnlistedImage, &[], BOTH),
    always(Graph, InvalidTag, BAD_TAG, Seen("20.10.24")),
    always(Graph, Artifact, NO_ROOTFS, BOTH),
    always(Graph, MissingContent, NO_FILE, MOBY),
    always(Graph, WrongLayers, &["invalid manifest, layers length mismatch", "invalid diffID for layer"], MOBY),
    always(Graph, UndecodableConfig, UNDECODABLE, BOTH).before(29, 0, 0),
    always(Graph, UndecodableConfig, UNDECODABLE, Source("moby, api/types/container/config.go: since 29.0, Cmd, Entrypoint and Shell must be lists")).from(29, 0, 0),
    always(Graph, WindowsImage, &["cannot load windows image on linux"], MOBY),
    // The daemon has no layer store for it, and closes the connection.
    always(Graph, OtherSystem, &["error during connect"], Seen("20.10.24")).before(23, 0, 0),
    always(Graph, OtherSystem, &["cannot load … image on linux"], MOBY).from(23, 0, 0),
    always(Graph, MisreadEntry, &["unhandled tar header type", "invalid tar header"], GO_TAR),

    // docker load, containerd store.
    always(DockerContainerd, OuterGzip, NOT_A_TAR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, OuterZstd, NOT_A_TAR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, OuterSkippable, NOT_A_TAR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, OuterBzip2, NOT_A_TAR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, OuterXz, NOT_A_TAR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, NoImageFile, UNRECOGNIZED, OF_26),
    always(DockerContainerd, NoIndex, &["missing index.json in OCI layout"], IMPORTER),
    always(DockerContainerd, LayoutVersion, OTHER_VERSION, OF_26),
    always(DockerContainerd, OtherDockerManifest, NOT_DECODED, IMPORTER),
    always(DockerContainerd, NothingListed, FILTERED, OF_26),
    always(DockerContainerd, UnlistedImage, &[], OF_26),
    always(DockerContainerd, RepeatedName, &["content digest …: not found", "No such image"], OF_26),
    always(DockerContainerd, ShortName, &["No such image"], OF_26),
    always(DockerContainerd, InvalidName, &["invalid reference format", "No such image"], OF_26),
    always(DockerContainerd, Artifact, NOT_RUN, OF_26),
    always(DockerContainerd, Referrer, NOT_RUN, OF_26).before(29, 1, 0),
    always(DockerContainerd, UnnamedEvidence, NOT_RUN, MOBY_STORE),
    always(DockerContainerd, MissingContent, &["content digest …: not found", "not found", "No such image"], MOBY_STORE),
    always(DockerContainerd, AbsentPlatform, NO_CONTENT, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, WrongLayers, WRONG_LAYERS, OF_26),
    always(DockerContainerd, UndecodableConfig, UNDECODABLE, OF_26),
    always(DockerContainerd, LayerType, NO_PROCESSOR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, LayerType, MISMATCHED, OF_26).from(25, 0, 0).before(28, 0, 0),
    // With containerd 2, as in Debian's packages, it loads.
    always(DockerContainerd, LayerType, NO_PROCESSOR, Source("moby, Dockerfile: Docker's own packages of 28 contain containerd 1.7")).from(28, 0, 0).before(29, 0, 0),
    always(DockerContainerd, LayerLabel, NOT_A_TAR, OF_26),
    always(DockerContainerd, Bzip2Layer, NOT_A_TAR, CODECS),
    always(DockerContainerd, XzLayer, NOT_A_TAR, CODECS),
    always(DockerContainerd, LayerNotTar, NOT_A_TAR, OF_26),
    always(DockerContainerd, OtherLayerType, WRONG_TYPE, OF_26),
    always(DockerContainerd, NestedIndex, &["manifest has incorrect mediatype"], OF_26).before(28, 0, 0),
    always(DockerContainerd, UncleanName, NO_ENTRY, OF_26),
    always(DockerContainerd, LayerTwice, NOT_A_TAR, OF_26),
    always(DockerContainerd, DanglingLink, NO_TARGET, OF_26),
    always(DockerContainerd, HardLink, NO_LAYER, OF_26),
    always(DockerContainerd, UncleanPath, NO_CONFIG, OF_26),

    // ctr images import.
    always(Containerd, OuterGzip, NOT_A_TAR, OF_1).before(2, 0, 0),
    always(Containerd, OuterZstd, NOT_A_TAR, OF_1).before(2, 0, 0),
    always(Containerd, OuterSkippable, NOT_A_TAR, CODECS).before(2, 0, 0),
    always(Containerd, OuterBzip2, NOT_A_TAR, CODECS),
    always(Containerd, OuterXz, NOT_A_TAR, CODECS),
    always(Containerd, NoImageFile, UNRECOGNIZED, OF_1),
    always(Containerd, NoIndex, &["missing index.json in OCI layout"], IMPORTER),
    always(Containerd, LayoutVersion, OTHER_VERSION, OF_1),
    always(Containerd, OtherDockerManifest, NOT_DECODED, Seen("1.6.20")),
    always(Containerd, NothingListed, &[], Source("containerd, import.go, before WalkNotEmpty")).before(1, 6, 0),
    always(Containerd, NothingListed, FILTERED, OF_1).from(1, 6, 0),
    always(Containerd, UnlistedImage, &[], OF_1),
    always(Containerd, RepeatedName, NO_CONTENT, OF_1),
    always(Containerd, NoName, &[], OF_1),
    always(Containerd, Artifact, MISMATCHED_OR_READ, Seen("1.6.20")).before(1, 6, 25),
    always(Containerd, Artifact, UNKNOWN_CONFIG, LAYER_FILTER).from(1, 6, 25).before(1, 7, 0),
    always(Containerd, Artifact, MISMATCHED_OR_READ, LAYER_FILTER).from(1, 7, 0).before(1, 7, 7),
    always(Containerd, Artifact, UNKNOWN_CONFIG, Seen("1.7.24")).from(1, 7, 7),
    always(Containerd, MissingContent, NO_CONTENT, IMPORTER),
    always(Containerd, NoPlatform, &["no match for platform in manifest", "image might be filtered out", "content digest …: not found"], OF_1),
    always(Containerd, WrongLayers, WRONG_LAYERS, OF_1),
    always(Containerd, UndecodableConfig, UNDECODABLE, OF_1),
    always(Containerd, LayerType, NO_PROCESSOR, Seen("1.6.20")).before(1, 6, 25),
    always(Containerd, LayerType, MISMATCHED, LAYER_FILTER).from(1, 6, 25).before(1, 7, 0),
    always(Containerd, LayerType, NO_PROCESSOR, LAYER_FILTER).from(1, 7, 0).before(1, 7, 7),
    always(Containerd, LayerType, MISMATCHED, Seen("1.7.24")).from(1, 7, 7).before(2, 0, 0),
    always(Containerd, LayerLabel, NOT_A_TAR, OF_1),
    always(Containerd, ZstdLayer, NOT_A_TAR, Source("containerd/containerd#4809, in 1.5")).before(1, 5, 0),
    always(Containerd, SkippableFrame, NOT_A_TAR, Source("containerd/containerd#6177, in 1.6")).before(1, 6, 0),
    always(Containerd, Bzip2Layer, NOT_A_TAR, CODECS),
    always(Containerd, XzLayer, NOT_A_TAR, CODECS),
    always(Containerd, LayerNotTar, NOT_A_TAR, OF_1),
    always(Containerd, OtherLayerType, WRONG_TYPE, OF_1),
    always(Containerd, UncleanName, NO_ENTRY, OF_1),
    always(Containerd, LayerTwice, NOT_A_TAR, OF_1),
    always(Containerd, DanglingLink, NO_TARGET, OF_1),
    always(Containerd, HardLink, NO_LAYER, OF_1),
    always(Containerd, UncleanPath, NO_CONFIG, OF_1),

    // What k3s and kind do in another way than ctr.
    always(K3s, OuterXz, &["unhandled file type"], SUFFIXES),
    always(K3s, AbsentPlatform, NO_CONTENT, SKIP_MISSING).before(1, 27, 15),
    always(K3s, AbsentPlatform, NO_CONTENT, SKIP_MISSING).from(1, 28, 0).before(1, 28, 11),
    always(K3s, AbsentPlatform, NO_CONTENT, SKIP_MISSING).from(1, 29, 0).before(1, 29, 6),
    always(K3s, AbsentPlatform, NO_CONTENT, SKIP_MISSING).from(1, 30, 0).before(1, 30, 2),
    always(Kind, UnnamedEvidence, &["no processor for media-type", "mismatched image rootfs and manifest layers", "content digest …: not found"], NODE).from(0, 14, 0).before(0, 27, 0),
    always(Kind, Referrer, MISMATCHED, NODE).from(0, 14, 0).before(0, 21, 0),
    always(Kind, AbsentPlatform, NO_CONTENT, Source("kind, pkg/cluster/nodeutils/util.go, which imports all platforms")).from(0, 17, 0),

    // podman load: oci-archive, then docker-archive; before 3.2 the other way round.
    always(Podman, NoIndex, NO_INDEX_FILE, OF_PODMAN),
    always(Podman, NoDockerManifest, NO_MANIFEST, OF_PODMAN),
    always(Podman, OtherDockerManifest, &["loading tar component", "decoding tar manifest"], OF_PODMAN),
    always(Podman, NothingListed, &["more than one image in oci, choose an image", "Loaded image:"], OF_PODMAN),
    always(Podman, SeveralImages, CHOOSE, OF_PODMAN),
    always(Podman, UnlistedImage, &[], OF_PODMAN),
    always(Podman, InvalidTag, BAD_TAG, TARFILE),
    always(Podman, Artifact, NO_ROOTFS, OF_PODMAN),
    always(Podman, MissingContent, NO_FILE, OCI_LAYOUT),
    always(Podman, NoPlatform, NO_IMAGE, OF_PODMAN),
    always(Podman, WrongLayers, &["does not match config's DiffID", "image config has only … DiffID values", "Inconsistent layer count"], OF_PODMAN),
    always(Podman, FewerLayers, &["executable file …not found"], OF_PODMAN),
    always(Podman, LayerType, UNSUPPORTED_TYPE, OF_PODMAN).before(5, 7, 0),
    always(Podman, OtherLayerType, UNSUPPORTED_TYPE, SCHEMA_2),
    always(Podman, MixedTypes, UNSUPPORTED_TYPE, OF_PODMAN),
    always(Podman, ZstdLayer, NOT_A_TAR, Source("containers/image#639, in podman since 1.8")).before(1, 8, 0),
    always(Podman, SkippableFrame, &["supported image formats…invalid tar header"], Seen("4.3.1")).before(5, 0, 0),
    always(Podman, SkippableFrame, OTHER_DIGEST, Seen("5.4.2")).from(5, 0, 0),
    always(Podman, OuterGzipDocker, LOST, PGZIP).from(4, 2, 0).before(4, 3, 0),
    always(Podman, OuterGzipDocker, LOST, Seen("4.3.1 built with Go 1.19; containers/podman#15944, klauspost/pgzip#50")).from(4, 3, 0).before(4, 4, 0),
    always(Podman, OuterSkippable, NOT_A_TAR, DETECT),
    always(Podman, LayerNotTar, NOT_A_TAR, OF_PODMAN),
    always(Podman, OtherType, NO_TYPE, OF_PODMAN),
    always(Podman, EarlyLink, NO_FILE, OF_PODMAN),
    always(Podman, NestedIndex, INNER_INDEX, OF_PODMAN),
    always(Podman, UncleanName, NO_TAR_ENTRY, OF_PODMAN),
    always(Podman, WrongSize, OTHER_SIZE, DIFF_IDS),
    always(Podman, LayerUrls, DOWNLOAD, OF_PODMAN),
    always(Podman, LayerTwice, &["invalid tar header", "unexpected EOF", "does not match config's DiffID"], OF_PODMAN),
    always(Podman, InvalidName, &["normalizing name"], OF_PODMAN),
    always(Podman, MixedConfig, &["unsupported image-specific operation on artifact", "invalid mixed OCI image with Docker v2s2 config"], OF_PODMAN),
    always(Podman, UndecodableConfig, UNDECODABLE, OF_PODMAN),
    always(Podman, HardLink, OTHER_DIGEST, TARFILE),
    always(Podman, SymbolicLink, OTHER_SIZE, OF_PODMAN),
    always(Podman, SharedFile, &["used for two different DiffID values"], TARFILE),

    // skopeo copy --all oci-archive:FILE.
    always(SkopeoOci, NoIndex, NO_INDEX_FILE, OF_SKOPEO),
    always(SkopeoOci, NothingListed, CHOOSE, OF_SKOPEO),
    always(SkopeoOci, SeveralImages, CHOOSE, OF_SKOPEO),
    always(SkopeoOci, DockerTypeByName, &["no descriptor found for reference", "matches unsupported manifest MIME types"], Seen("1.9.3")).before(1, 19, 0),
    always(SkopeoOci, MissingContent, NO_FILE, OCI_LAYOUT),
    always(SkopeoOci, AbsentPlatform, &["determining manifest MIME type …: no such file or directory", "no such file or directory"], OF_SKOPEO),
    always(SkopeoOci, LayerType, UNSUPPORTED_TYPE, OF_SKOPEO).before(1, 21, 0),
    always(SkopeoOci, OtherLayerType, UNSUPPORTED_TYPE, SCHEMA_2),
    always(SkopeoOci, MixedTypes, UNSUPPORTED_TYPE, OF_SKOPEO),
    always(SkopeoOci, NestedIndex, INNER_INDEX, OF_SKOPEO),
    always(SkopeoOci, WrongSize, OTHER_SIZE, OF_SKOPEO),
    always(SkopeoOci, LayerUrls, DOWNLOAD, OF_SKOPEO),
    always(SkopeoOci, OuterSkippable, NOT_A_TAR, DETECT),
    always(SkopeoOci, OtherType, NO_TYPE, OF_SKOPEO),
    always(SkopeoOci, EarlyLink, NO_FILE, OF_SKOPEO),

    // skopeo copy docker-archive:FILE.
    always(SkopeoDocker, OuterGzipDocker, LOST, Seen("1.9.3 built with Go 1.19; containers/podman#15944, klauspost/pgzip#50")).from(1, 9, 0).before(1, 11, 0),
    always(SkopeoDocker, OuterSkippable, NOT_A_TAR, DETECT),
    always(SkopeoDocker, NoDockerManifest, NO_MANIFEST, OF_SKOPEO),
    always(SkopeoDocker, OtherDockerManifest, &["loading tar component …: file does not exist", "decoding tar manifest.json"], OF_SKOPEO),
    always(SkopeoDocker, NothingListed, ONE_ITEM, TARFILE),
    always(SkopeoDocker, SeveralImages, ONE_ITEM, TARFILE),
    always(SkopeoDocker, UnlistedImage, &[], TARFILE),
    always(SkopeoDocker, InvalidTag, BAD_TAG, TARFILE),
    always(SkopeoDocker, Artifact, NO_ROOTFS, OF_SKOPEO),
    always(SkopeoDocker, MissingContent, &["file does not exist", "Some layer tarfiles are missing"], TARFILE),
    always(SkopeoDocker, UndecodableConfig, UNDECODABLE, TARFILE),
    always(SkopeoDocker, WrongLayers, &["Inconsistent layer count"], TARFILE),
    always(SkopeoDocker, ZstdLayer, OTHER_DIGEST, Source("containers/image#639, in skopeo since 0.2")).before(0, 2, 0),
    always(SkopeoDocker, SkippableFrame, OTHER_DIGEST, DETECT),
    always(SkopeoDocker, UncleanName, NO_TAR_ENTRY, OF_SKOPEO),
    always(SkopeoDocker, HardLink, OTHER_DIGEST, OF_SKOPEO),
    always(SkopeoDocker, SymbolicLink, OTHER_SIZE, OF_SKOPEO),
    always(SkopeoDocker, SharedFile, &["used for two different DiffID values"], TARFILE),
];
