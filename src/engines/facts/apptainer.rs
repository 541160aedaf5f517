//! The facts of apptainer. Until 1.3 it contains the code of skopeo, and since 1.4 that of go-containerregistry.

use super::container::{NO_IMAGE, NOT_A_TAR, UNDECODABLE};
use super::further::{GGCR, HASH, INSTANCE, NOT_IN_TAR, OTHER_HASH, OTHER_TYPE};
use super::{Fact, always};
use crate::engines::facts::Evidence::{self, Seen, Source};
use crate::engines::{Obstacle, Reader};
use Obstacle::{
    Artifact, Bzip2Layer, DocumentType, FewerLayers, HardLink, LayerLabel, LayerNotTar, LayerTwice,
    LayerType, MissingContent, MixedCompression, NestedIndex, NoDirectory, NoDockerManifest,
    NoIndex, NoLayers, NoPlatform, NothingListed, OtherDigest, OtherDockerManifest, OtherLayerType,
    OuterBzip2, OuterGzip, OuterSkippable, OuterXz, OuterZstd, RootEntry, SeveralImages,
    SeveralNames, SkippableFrame, SymbolicLink, UncleanName, UncleanPath, UndecodableConfig,
    UnlistedImage, UnstatedPlatform, WrongLayers, WrongSize, XzLayer, ZstdLayer,
};
use Reader::{ApptainerDocker, ApptainerOci};

const FETCH: Evidence = Source("apptainer, internal/pkg/ociimage/fetch.go");
const SOURCE_SINK: Evidence = Source("apptainer, internal/pkg/ociimage/sourcesink.go");
const UNPACK: Evidence = Source("apptainer, internal/pkg/build/sources/oci_unpack.go");
const CONVEYOR: Evidence = Source("apptainer, internal/pkg/build/sources/conveyorPacker_oci.go");
const LAYOUT: Evidence = Source("go-containerregistry, pkg/v1/layout");

/// It has read the first bytes when it begins to decompress.
const LOST_BEGINNING: &[&str] = &["gzip: invalid header", "EOF", "invalid tar header"];
const OUTSIDE: &[&str] = &["illegal extraction path"];
const NO_FILE: &[&str] = &["no such file or directory"];
const NOT_ONE: &[&str] = &[
    "no images found in layout",
    "layout contains multiple images",
    "tarball must contain only a single image",
];
const NOT_THERE: &[&str] = &[
    "no such file or directory",
    "image not found in blobs",
    "not found in tar",
];
const NOT_FOR_MACHINE: &[&str] = &["image not found in index"];
const CRASH: &[&str] = &["invalid memory address or nil pointer dereference"];
const OTHER_DOCUMENT: &[&str] = &["unexpected media type"];
const OTHER_SIZE: &[&str] = &["expected blob size"];
const NOTHING_UNPACKED: &[&str] = &["no extractable OCI/Docker tar layers found"];
const OUT_OF_RANGE: &[&str] = &["index out of range"];
const NO_LIST: &[&str] = &[
    "cannot unmarshal",
    "not found in tar",
    "no valid manifest.json in tarball",
];

#[rustfmt::skip]
pub(super) const OWN: &[Fact] = &[
    always(ApptainerOci, NoPlatform, NO_IMAGE, INSTANCE).before(1, 4, 0),
    always(ApptainerOci, ZstdLayer, OTHER_TYPE, UNPACK).before(1, 4, 0),
    always(ApptainerOci, LayerLabel, NOT_A_TAR, UNPACK).before(1, 4, 0),
    always(ApptainerOci, UndecodableConfig, UNDECODABLE, CONVEYOR).before(1, 4, 0),
    always(ApptainerOci, SkippableFrame, NOT_A_TAR, UNPACK),
    always(ApptainerOci, Bzip2Layer, NOT_A_TAR, UNPACK),
    always(ApptainerOci, XzLayer, NOT_A_TAR, UNPACK),
    always(ApptainerOci, NoIndex, NO_FILE, LAYOUT).from(1, 4, 0),

    // What is not an image layout is read like crane reads it.
    always(ApptainerDocker, SkippableFrame, NOT_A_TAR, UNPACK).from(1, 4, 0),
    always(ApptainerDocker, Bzip2Layer, NOT_A_TAR, UNPACK).from(1, 4, 0),
    always(ApptainerDocker, XzLayer, NOT_A_TAR, UNPACK).from(1, 4, 0),
    always(ApptainerDocker, NoDockerManifest, NOT_IN_TAR, GGCR).from(1, 4, 0),
    always(ApptainerDocker, OtherDockerManifest, NO_LIST, GGCR).from(1, 4, 0),
    always(ApptainerDocker, UncleanName, NOT_IN_TAR, GGCR).from(1, 4, 0),
    always(ApptainerDocker, UncleanPath, NOT_IN_TAR, GGCR).from(1, 4, 0),
    always(ApptainerDocker, WrongLayers, OUT_OF_RANGE, GGCR).from(1, 4, 0),
    always(ApptainerDocker, MixedCompression, NOT_A_TAR, GGCR).from(1, 4, 0),
];

pub(super) static OCI: [Fact; 28] = of_both(ApptainerOci);
pub(super) static DOCKER: [Fact; 28] = of_both(ApptainerDocker);

/// An image layout is read in the same way by both transports.
#[rustfmt::skip]
const fn of_both(reader: Reader) -> [Fact; 28] {
    [
        always(reader, LayerNotTar, NOT_A_TAR, UNPACK),
        always(reader, LayerTwice, NOT_A_TAR, UNPACK),
        always(reader, OuterGzip, LOST_BEGINNING, FETCH).from(1, 4, 0),
        always(reader, OuterZstd, NOT_A_TAR, FETCH).from(1, 4, 0),
        always(reader, OuterSkippable, NOT_A_TAR, FETCH).from(1, 4, 0),
        always(reader, OuterBzip2, NOT_A_TAR, FETCH).from(1, 4, 0),
        always(reader, OuterXz, NOT_A_TAR, FETCH).from(1, 4, 0),
        always(reader, RootEntry, OUTSIDE, FETCH).from(1, 4, 0),
        always(reader, NoDirectory, NO_FILE, FETCH).from(1, 4, 0),
        always(reader, NothingListed, NOT_ONE, SOURCE_SINK).from(1, 4, 0),
        always(reader, SeveralImages, NOT_ONE, SOURCE_SINK).from(1, 4, 0),
        always(reader, SeveralNames, NOT_ONE, SOURCE_SINK).from(1, 4, 0),
        always(reader, UnlistedImage, &[], SOURCE_SINK).from(1, 4, 0),
        always(reader, OtherDigest, OTHER_HASH, HASH).from(1, 4, 0),
        always(reader, NoPlatform, NOT_FOR_MACHINE, SOURCE_SINK).from(1, 4, 0),
        always(reader, UnstatedPlatform, CRASH, SOURCE_SINK).from(1, 4, 0),
        always(reader, NestedIndex, OTHER_DOCUMENT, LAYOUT).from(1, 4, 0),
        always(reader, DocumentType, OTHER_DOCUMENT, LAYOUT).from(1, 4, 0),
        always(reader, MissingContent, NOT_THERE, LAYOUT).from(1, 4, 0),
        always(reader, HardLink, NOT_THERE, FETCH).from(1, 4, 0),
        always(reader, SymbolicLink, NOT_THERE, FETCH).from(1, 4, 0),
        always(reader, WrongSize, OTHER_SIZE, LAYOUT).from(1, 4, 0),
        always(reader, Artifact, NOTHING_UNPACKED, UNPACK).from(1, 4, 0),
        always(reader, NoLayers, NOTHING_UNPACKED, UNPACK).from(1, 4, 0),
        always(reader, LayerType, NOTHING_UNPACKED, UNPACK).from(1, 4, 0),
        always(reader, OtherLayerType, NOTHING_UNPACKED, UNPACK).from(1, 4, 0),
        always(reader, FewerLayers, &[], UNPACK).from(1, 4, 0),
        always(reader, UndecodableConfig, UNDECODABLE, Seen("1.4.5")).from(1, 4, 0),
    ]
}
