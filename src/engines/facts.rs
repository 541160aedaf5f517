//! The table of facts: what is in the way of which reader, in which versions, in the engine's own words.

mod further;

use std::fmt;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use crate::engines::{Obstacle, Reader, Version};

/// How a fact is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// Seen with this version.
    Seen(&'static str),
    /// Read in a repository at this place.
    Source(&'static str),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Seen(version) => write!(f, "seen with {version}"),
            Evidence::Source(place) => f.write_str(place),
        }
    }
}

/// As it is displayed.
impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that is in the way of some versions of a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    reader: Reader,
    pub(crate) obstacle: Obstacle,
    /// The first version that it is in the way of; `None` for all older ones.
    from: Option<Version>,
    /// The first later version that copes with it.
    before: Option<Version>,
    /// What the engine says: phrases of which its message contains one, with `…` for anything in between. It says
    /// nothing if there is none.
    pub(crate) says: &'static [&'static str],
    pub(crate) evidence: Evidence,
}

impl Fact {
    /// Whether it holds for a version.
    fn covers(&self, version: Version) -> bool {
        self.from.is_none_or(|from| from <= version)
            && self.before.is_none_or(|before| version < before)
    }
}

/// All facts.
fn all() -> impl Iterator<Item = &'static Fact> {
    FACTS.iter().chain(further::FURTHER)
}

/// What is in the way of a version of a reader; `None` if it copes with it.
pub(crate) fn fact(reader: Reader, version: Version, obstacle: Obstacle) -> Option<&'static Fact> {
    let find = |reader: Reader, version: Version| {
        let is_it = |fact: &&Fact| fact.obstacle == obstacle && fact.reader == reader;
        let mut facts = all().filter(is_it);
        facts.find(|fact| fact.covers(version))
    };
    find(reader, version).or_else(|| {
        let copes = |(other, known, from): &(Reader, Obstacle, Version)| {
            *other == reader && *known == obstacle && *from <= version
        };
        let (base, version) = reader.base(version)?;
        let copes = further::COPES.iter().any(copes);
        find(base, version).filter(|_| !copes)
    })
}

/// The known versions of a reader in ranges that do the same, first and last version, in order.
pub(crate) fn ranges(reader: Reader) -> impl Iterator<Item = (Version, Version)> {
    let of_reader = RANGES.iter().filter(move |range| range.0 == reader);
    let of_reader = of_reader.map(|(_, first, last)| (*first, *last));
    let further = match reader.is_asked_for() {
        true => ranges_of(reader),
        false => Vec::new(),
    };
    of_reader.chain(further)
}

/// The ranges of the readers that are judged without being asked for. Comparing all facts of all versions takes longer than
/// checking a small archive.
static RANGES: LazyLock<Vec<(Reader, Version, Version)>> = LazyLock::new(|| {
    let readers = Reader::ALL.into_iter();
    let readers = readers.filter(|reader| !reader.is_asked_for());
    let ranges = readers.flat_map(|reader| {
        let ranges = ranges_of(reader).into_iter();
        ranges.map(move |(first, last)| (reader, first, last))
    });
    ranges.collect()
});

fn ranges_of(reader: Reader) -> Vec<(Version, Version)> {
    let mut ranges: Vec<(Version, Version)> = Vec::new();
    for version in reader.known() {
        match ranges.last_mut() {
            Some((first, last)) if are_same(reader, *first, version) => *last = version,
            _ => ranges.push((version, version)),
        }
    }
    ranges
}

/// Whether two versions of a reader do the same, and say the same.
fn are_same(reader: Reader, one: Version, other: Version) -> bool {
    let says = |version, obstacle| fact(reader, version, obstacle).map(|fact| fact.says);
    let mut obstacles = Obstacle::ALL.into_iter();
    reader.tries_docker_first(one) == reader.tries_docker_first(other)
        && obstacles.all(|obstacle| says(one, obstacle) == says(other, obstacle))
}

const fn always(
    reader: Reader,
    obstacle: Obstacle,
    says: &'static [&'static str],
    evidence: Evidence,
) -> Fact {
    Fact {
        reader,
        obstacle,
        from: None,
        before: None,
        says,
        evidence,
    }
}

impl Fact {
    const fn from(self, major: u32, minor: u32, patch: u32) -> Self {
        Fact {
            from: Some(Version(major, minor, patch)),
            ..self
        }
    }

    const fn before(self, major: u32, minor: u32, patch: u32) -> Self {
        Fact {
            before: Some(Version(major, minor, patch)),
            ..self
        }
    }
}

use Evidence::{Seen, Source};
use Obstacle::{
    AbsentPlatform, Artifact, Bzip2Layer, DanglingLink, DockerTypeByName, EarlyLink, EntryXattrs,
    HardLink, InvalidName, InvalidTag, LayerLabel, LayerNotTar, LayerTwice, LayerType, LayerUrls,
    LayoutVersion, MisreadEntry, MissingContent, MixedConfig, MixedTypes, NestedIndex,
    NoDockerManifest, NoImageFile, NoIndex, NoName, NothingListed, OtherDockerManifest,
    OtherLayerType, OtherSystem, OtherType, OuterBzip2, OuterGzip, OuterSkippable, OuterXz,
    OuterZstd, Referrer, RepeatedName, SeveralImages, SharedFile, ShortName, SkippableFrame,
    SymbolicLink, UncleanName, UncleanPath, UnlistedImage, UnnamedEvidence, WindowsImage,
    WrongLayers, XzLayer, ZstdLayer,
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
const DETECT: Evidence = Source("container-libs, image/pkg/compression, DetectCompressionFormat");
const DIFF_IDS: Evidence = Source("container-libs, image/storage/storage_dest.go");
const BOTH: Evidence = Seen("20.10.24, 26.1.5");
const OF_26: Evidence = Seen("26.1.5");
const OF_1: Evidence = Seen("1.6.20, 1.7.24");
const OF_PODMAN: Evidence = Seen("4.3.1, 5.4.2");
const OF_SKOPEO: Evidence = Seen("1.18.0");

const NOT_A_TAR: &[&str] = &["invalid tar header", "unexpected EOF"];
const NO_LINK: &[&str] = &[
    "link …: no such file or directory",
    "no such file or directory",
];
const NO_TYPE: &[&str] = &["unhandled tar header type"];
const NO_MANIFEST: &[&str] = &["loading tar component …: file does not exist"];
const NO_INDEX_FILE: &[&str] = &["open …/index.json: no such file or directory"];
const NO_FILE: &[&str] = &["no such file or directory"];
const CHOOSE: &[&str] = &["more than one image in oci, choose an image"];
const ONE_ITEM: &[&str] = &["Unexpected tar manifest.json: expected 1 item"];
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
const DOWNLOAD: &[&str] = &["failed fetching external blob from all urls"];
const NO_CONFIG: &[&str] = &["image config …./blobs/…not found"];
const NO_CONTENT: &[&str] = &["content digest …: not found", "not found"];
const NO_PROCESSOR: &[&str] = &["no processor for media-type"];
const NOT_DECODED: &[&str] = &["untar manifest …: json: cannot unmarshal", "untar manifest"];
const WRONG_TYPE: &[&str] = &[
    "mismatched image rootfs and manifest layers",
    "no processor for media-type",
    "children: invalid desc",
];
const UNSUPPORTED_TYPE: &[&str] = &["unsupported docker v2s2 media type"];
const OTHER_DIGEST: &[&str] = &["Digest did not match, expected"];
const NO_ROOTFS: &[&str] = &["invalid image …rootFS"];
const OTHER_SIZE: &[&str] = &["size mismatch"];
const NOT_RUN: &[&str] = &["no command specified"];
const BAD_TAG: &[&str] = &["invalid tag", "invalid reference format"];

#[rustfmt::skip]
const FACTS: &[Fact] = &[
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
    always(Graph, WindowsImage, &["cannot load windows image on linux"], MOBY),
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
    always(DockerContainerd, Artifact, NOT_RUN, OF_26),
    always(DockerContainerd, Referrer, NOT_RUN, OF_26).before(29, 1, 0),
    always(DockerContainerd, UnnamedEvidence, NOT_RUN, MOBY_STORE),
    always(DockerContainerd, MissingContent, &["content digest …: not found", "not found", "No such image"], MOBY_STORE),
    always(DockerContainerd, AbsentPlatform, NO_CONTENT, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, WrongLayers, WRONG_LAYERS, OF_26),
    always(DockerContainerd, LayerType, NO_PROCESSOR, MOBY_STORE).before(25, 0, 0),
    always(DockerContainerd, LayerType, MISMATCHED, OF_26).from(25, 0, 0).before(28, 0, 0),
    // With containerd 2, as in Debian's packages, it loads.
    always(DockerContainerd, LayerType, NO_PROCESSOR, Source("moby, Dockerfile: Docker's own packages of 28 contain containerd 1.7")).from(28, 0, 0).before(29, 0, 0),
    always(DockerContainerd, LayerLabel, NOT_A_TAR, OF_26),
    always(DockerContainerd, Bzip2Layer, NOT_A_TAR, CODECS),
    always(DockerContainerd, XzLayer, NOT_A_TAR, CODECS),
    always(DockerContainerd, LayerNotTar, NOT_A_TAR, OF_26),
    always(DockerContainerd, OtherLayerType, WRONG_TYPE, OF_26),
    always(DockerContainerd, NestedIndex, &["manifest has incorrect mediatype"], OF_26),
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
    always(Containerd, Artifact, MISMATCHED, Seen("1.6.20")).before(1, 6, 25),
    always(Containerd, Artifact, &["unknown image config media type"], LAYER_FILTER).from(1, 6, 25).before(1, 7, 0),
    always(Containerd, Artifact, MISMATCHED, LAYER_FILTER).from(1, 7, 0).before(1, 7, 7),
    always(Containerd, Artifact, &["unknown image config media type"], Seen("1.7.24")).from(1, 7, 7),
    always(Containerd, MissingContent, NO_CONTENT, IMPORTER),
    always(Containerd, WrongLayers, WRONG_LAYERS, OF_1),
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
    always(K3s, AbsentPlatform, NO_CONTENT, Source("k3s-io/k3s#10132 and #10136")).before(1, 30, 2),
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
    always(Podman, WrongLayers, &["executable file …not found", "does not match config's DiffID"], OF_PODMAN),
    always(Podman, LayerType, UNSUPPORTED_TYPE, OF_PODMAN).before(5, 7, 0),
    always(Podman, MixedTypes, UNSUPPORTED_TYPE, OF_PODMAN),
    always(Podman, ZstdLayer, NOT_A_TAR, Source("containers/image#639, in podman since 1.8")).before(1, 8, 0),
    always(Podman, SkippableFrame, &["supported image formats…invalid tar header"], Seen("4.3.1")).before(5, 0, 0),
    always(Podman, SkippableFrame, OTHER_DIGEST, Seen("5.4.2")).from(5, 0, 0),
    always(Podman, OuterSkippable, NOT_A_TAR, DETECT),
    always(Podman, LayerNotTar, NOT_A_TAR, OF_PODMAN),
    always(Podman, OtherType, NO_TYPE, OF_PODMAN),
    always(Podman, EarlyLink, NO_FILE, OF_PODMAN),
    always(Podman, NestedIndex, INNER_INDEX, OF_PODMAN),
    always(Podman, UncleanName, NO_TAR_ENTRY, OF_PODMAN),
    always(Podman, LayerUrls, DOWNLOAD, OF_PODMAN),
    always(Podman, LayerTwice, &["invalid tar header", "unexpected EOF", "does not match config's DiffID"], OF_PODMAN),
    always(Podman, InvalidName, &["normalizing name"], OF_PODMAN),
    always(Podman, MixedConfig, &["unsupported image-specific operation on artifact", "invalid mixed OCI image with Docker v2s2 config"], OF_PODMAN),
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
    always(SkopeoOci, MixedTypes, UNSUPPORTED_TYPE, OF_SKOPEO),

    always(SkopeoOci, NestedIndex, INNER_INDEX, OF_SKOPEO),
    always(SkopeoOci, LayerUrls, DOWNLOAD, OF_SKOPEO),
    always(SkopeoOci, OuterSkippable, NOT_A_TAR, DETECT),
    always(SkopeoOci, OtherType, NO_TYPE, OF_SKOPEO),
    always(SkopeoOci, EarlyLink, NO_FILE, OF_SKOPEO),

    // skopeo copy docker-archive:FILE.
    always(SkopeoDocker, OuterSkippable, NOT_A_TAR, DETECT),
    always(SkopeoDocker, NoDockerManifest, NO_MANIFEST, OF_SKOPEO),
    always(SkopeoDocker, OtherDockerManifest, &["loading tar component …: file does not exist", "decoding tar manifest.json"], OF_SKOPEO),
    always(SkopeoDocker, NothingListed, ONE_ITEM, TARFILE),
    always(SkopeoDocker, SeveralImages, ONE_ITEM, TARFILE),
    always(SkopeoDocker, UnlistedImage, &[], TARFILE),
    always(SkopeoDocker, InvalidTag, BAD_TAG, TARFILE),
    always(SkopeoDocker, Artifact, NO_ROOTFS, OF_SKOPEO),
    always(SkopeoDocker, MissingContent, &["file does not exist", "Some layer tarfiles are missing"], TARFILE),
    always(SkopeoDocker, WrongLayers, &["Inconsistent layer count"], TARFILE),
    always(SkopeoDocker, ZstdLayer, OTHER_DIGEST, Source("containers/image#639, in skopeo since 0.2")).before(0, 2, 0),
    always(SkopeoDocker, SkippableFrame, OTHER_DIGEST, DETECT),
    always(SkopeoDocker, UncleanName, NO_TAR_ENTRY, OF_SKOPEO),
    always(SkopeoDocker, HardLink, OTHER_DIGEST, OF_SKOPEO),
    always(SkopeoDocker, SymbolicLink, OTHER_SIZE, OF_SKOPEO),
    always(SkopeoDocker, SharedFile, &["used for two different DiffID values"], TARFILE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_in_order_and_do_not_overlap() {
        let facts: Vec<&Fact> = all().collect();
        for (number, fact) in facts.iter().enumerate() {
            if let (Some(from), Some(before)) = (fact.from, fact.before) {
                assert!(from < before, "{fact:?}");
            }
            let same =
                |other: &&&Fact| other.reader == fact.reader && other.obstacle == fact.obstacle;
            for other in facts[..number].iter().filter(same) {
                let is_after = other
                    .before
                    .is_some_and(|before| fact.from.is_some_and(|from| before <= from));
                assert!(is_after, "{other:?} overlaps {fact:?}");
            }
        }
    }

    #[test]
    fn an_engine_with_containerd_has_its_facts() {
        let has = |reader, version: Version, obstacle| fact(reader, version, obstacle).is_some();
        assert!(has(Reader::Kind, Version(0, 10, 0), ZstdLayer));
        assert!(!has(Reader::Kind, Version(0, 11, 0), ZstdLayer));
        assert!(has(Reader::Kind, Version(0, 11, 0), SkippableFrame));
        assert!(!has(Reader::Kind, Version(0, 15, 0), SkippableFrame));
        assert!(has(Reader::K3s, Version(1, 31, 0), LayerType));
        assert!(!has(Reader::K3s, Version(1, 33, 0), LayerType));
    }
}
