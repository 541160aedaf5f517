//! The table of facts: what is in the way of which reader, in which versions, in the engine's own words.

use std::fmt;

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
    /// The first version that it is no longer in the way of.
    before: Option<Version>,
    /// What the engine says: phrases of which its message contains one, with `…` for anything in between. It says
    /// nothing if there is none.
    pub(crate) says: &'static [&'static str],
    pub(crate) evidence: Evidence,
}

impl Fact {
    /// Whether it holds for a version; `None` is the current one.
    fn covers(&self, version: Option<Version>) -> bool {
        match version {
            Some(version) => {
                self.from.is_none_or(|from| from <= version)
                    && self.before.is_none_or(|before| version < before)
            }
            None => self.before.is_none(),
        }
    }
}

/// What is in the way of a version of a reader; `None` if it copes with it.
pub(crate) fn fact(
    reader: Reader,
    version: Option<Version>,
    obstacle: Obstacle,
) -> Option<&'static Fact> {
    let find = |reader: Reader, version: Option<Version>| {
        FACTS
            .iter()
            .find(|fact| fact.reader == reader && fact.obstacle == obstacle && fact.covers(version))
    };
    let embeds_containerd = matches!(reader, Reader::K3s | Reader::Kind);
    find(reader, version).or_else(|| {
        let embedded = version.map(|version| reader.embedded(version));
        match (embeds_containerd, embedded) {
            (true, None) => find(Reader::Containerd, None),
            (true, Some(Some(embedded))) => find(Reader::Containerd, Some(embedded)),
            _ => None,
        }
    })
}

/// The known versions of a reader in ranges with the same facts, first and last version, in order.
pub(crate) fn ranges(reader: Reader) -> Vec<(Version, Version)> {
    let facts_of = |version: Version| -> Vec<Option<&'static [&'static str]>> {
        let facts = Obstacle::ALL.map(|obstacle| fact(reader, Some(version), obstacle));
        facts.map(|fact| fact.map(|fact| fact.says)).to_vec()
    };
    let mut ranges: Vec<(Version, Version)> = Vec::new();
    for version in reader.known() {
        match ranges.last_mut() {
            Some((first, last)) if facts_of(*first) == facts_of(*version) => *last = *version,
            _ => ranges.push((*version, *version)),
        }
    }
    ranges
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
    const fn from(self, major: u32, minor: u32) -> Self {
        Fact {
            from: Some(Version(major, minor)),
            ..self
        }
    }

    const fn before(self, major: u32, minor: u32) -> Self {
        Fact {
            before: Some(Version(major, minor)),
            ..self
        }
    }
}

use Evidence::{Seen, Source};
use Obstacle::{
    Artifact, Bzip2Layer, EntryXattrs, HardLink, InvalidTag, LayerLabel, LayerType, LayoutVersion,
    MisreadEntry, MissingContent, MixedTypes, NoDockerManifest, NoImageFile, NoIndex, NoName,
    NothingListed, OtherDockerManifest, OuterBzip2, OuterGzip, OuterXz, OuterZstd, Referrer,
    SeveralImages, ShortName, SkippableFrame, SymbolicLink, UncleanPath, UnlistedImage,
    WrongLayers, XzLayer, ZstdLayer,
};
use Reader::{
    Containerd, DockerContainerd, DockerGraphDriver as Graph, Kind, Podman, SkopeoDocker, SkopeoOci,
};

const NOT_A_TAR: &[&str] = &["invalid tar header"];
const NO_MANIFEST: &[&str] = &["loading tar component …: file does not exist"];
const NO_INDEX_FILE: &[&str] = &["open …/index.json: no such file or directory"];
const CHOOSE: &[&str] = &["more than one image in oci, choose an image"];
const MISMATCHED: &[&str] = &["mismatched image rootfs and manifest layers"];
const UNRECOGNIZED: &[&str] = &["unrecognized image format"];
const OTHER_VERSION: &[&str] = &["unsupported OCI version"];
const FILTERED: &[&str] = &["image might be filtered out"];
const WRONG_ORDER: &[&str] = &[
    "wrong diff id calculated on extraction",
    "mismatched image rootfs and manifest layers",
];
const NOT_RESOLVED: &[&str] = &["failed to resolve layers: layer …/layer.tar\" not found"];
const NO_CONFIG: &[&str] = &["image config …./blobs/…not found"];
const UNSUPPORTED_TYPE: &[&str] = &["unsupported docker v2s2 media type"];
const OTHER_DIGEST: &[&str] = &["Digest did not match, expected"];
const NO_ROOTFS: &[&str] = &["invalid image …rootFS"];
const OTHER_SIZE: &[&str] = &["size mismatch"];

const DETECT: Evidence = Source("container-libs, image/pkg/compression, DetectCompressionFormat");
const IMPORTER: Evidence = Source("containerd, images/archive/importer.go");

#[rustfmt::skip]
const FACTS: &[Fact] = &[
    // docker load, graph driver.
    always(Graph, OuterZstd, NOT_A_TAR, Seen("20.10.24; moby/moby#41759")).before(23, 0),
    always(Graph, ZstdLayer, NOT_A_TAR, Seen("20.10.24; moby 23.0 release notes, moby/moby#41759")).before(23, 0),
    always(Graph, SkippableFrame, NOT_A_TAR, Seen("20.10.24; moby 23.0 release notes, moby/moby#42862")).before(23, 0),
    always(Graph, EntryXattrs, &["lsetxattr …: operation not supported"], Seen("26.1.5")).from(23, 0),
    always(Graph, NoDockerManifest, &["open …/json: no such file or directory"], Seen("20.10.24, 26.1.5")),
    always(Graph, OtherDockerManifest, &["docker-import-…: is a directory", "cannot unmarshal"], Seen("20.10.24, 26.1.5")),
    always(Graph, NothingListed, &[], Seen("20.10.24")),
    always(Graph, UnlistedImage, &[], Seen("20.10.24, 26.1.5")),
    always(Graph, InvalidTag, &["invalid tag", "invalid reference format"], Seen("20.10.24")),
    always(Graph, Artifact, NO_ROOTFS, Seen("20.10.24, 26.1.5")),
    always(Graph, MissingContent, &["no such file or directory"], Source("moby, image/tarexport/load.go")),
    always(Graph, WrongLayers, &["invalid manifest, layers length mismatch", "invalid diffID for layer"], Source("moby, image/tarexport/load.go")),
    always(Graph, MisreadEntry, NOT_A_TAR, Source("Go, archive/tar")),

    // docker load, containerd store.
    always(DockerContainerd, NoImageFile, UNRECOGNIZED, Seen("26.1.5")),
    always(DockerContainerd, NoIndex, &["not found"], IMPORTER),
    always(DockerContainerd, LayoutVersion, OTHER_VERSION, Seen("26.1.5")),
    always(DockerContainerd, OtherDockerManifest, &["unmarshal"], IMPORTER),
    always(DockerContainerd, NothingListed, FILTERED, Seen("26.1.5")),
    always(DockerContainerd, UnlistedImage, &[], Seen("26.1.5")),
    always(DockerContainerd, ShortName, &["No such image"], Seen("26.1.5")),
    always(DockerContainerd, Artifact, &["no command specified"], Seen("26.1.5")),
    always(DockerContainerd, Referrer, &["no command specified"], Seen("26.1.5")),
    always(DockerContainerd, MissingContent, &["not found"], IMPORTER),
    always(DockerContainerd, WrongLayers, WRONG_ORDER, Seen("26.1.5")),
    always(DockerContainerd, LayerType, MISMATCHED, Seen("26.1.5")).before(28, 5),
    always(DockerContainerd, LayerLabel, NOT_A_TAR, Seen("26.1.5")),
    always(DockerContainerd, Bzip2Layer, NOT_A_TAR, Source("containerd, archive/compression/compression.go")),
    always(DockerContainerd, XzLayer, NOT_A_TAR, Source("containerd, archive/compression/compression.go")),
    always(DockerContainerd, HardLink, NOT_RESOLVED, Seen("26.1.5")),
    always(DockerContainerd, UncleanPath, NO_CONFIG, Seen("26.1.5")),
    always(DockerContainerd, MisreadEntry, NOT_A_TAR, Source("Go, archive/tar")),

    // ctr images import.
    always(Containerd, OuterGzip, NOT_A_TAR, Seen("1.6.20, 1.7.24")).before(2, 0),
    always(Containerd, OuterZstd, NOT_A_TAR, Seen("1.6.20, 1.7.24")).before(2, 0),
    always(Containerd, OuterBzip2, NOT_A_TAR, Source("containerd, archive/compression/compression.go")),
    always(Containerd, OuterXz, NOT_A_TAR, Source("containerd, archive/compression/compression.go")),
    always(Containerd, NoImageFile, UNRECOGNIZED, Seen("1.6.20, 1.7.24")),
    always(Containerd, NoIndex, &["not found"], IMPORTER),
    always(Containerd, LayoutVersion, OTHER_VERSION, Seen("1.6.20, 1.7.24")),
    always(Containerd, OtherDockerManifest, &["unmarshal"], IMPORTER),
    always(Containerd, NothingListed, FILTERED, Seen("1.6.20, 1.7.24")),
    always(Containerd, UnlistedImage, &[], Seen("1.6.20, 1.7.24")),
    always(Containerd, NoName, &[], Seen("1.6.20, 1.7.24")),
    always(Containerd, Artifact, MISMATCHED, Seen("1.6.20")).before(1, 7),
    always(Containerd, Artifact, &["unknown image config media type"], Seen("1.7.24")).from(1, 7),
    always(Containerd, MissingContent, &["not found"], IMPORTER),
    always(Containerd, WrongLayers, WRONG_ORDER, Seen("1.6.20, 1.7.24")),
    always(Containerd, LayerType, &["no processor for media-type"], Seen("1.6.20")).before(1, 7),
    always(Containerd, LayerType, MISMATCHED, Seen("1.7.24")).from(1, 7).before(2, 0),
    always(Containerd, LayerLabel, NOT_A_TAR, Seen("1.6.20, 1.7.24")),
    always(Containerd, ZstdLayer, NOT_A_TAR, Source("containerd/containerd#4809, in 1.5")).before(1, 5),
    always(Containerd, SkippableFrame, NOT_A_TAR, Source("containerd/containerd#6177, in 1.6")).before(1, 6),
    always(Containerd, Bzip2Layer, NOT_A_TAR, Source("containerd, archive/compression/compression.go")),
    always(Containerd, XzLayer, NOT_A_TAR, Source("containerd, archive/compression/compression.go")),
    always(Containerd, HardLink, NOT_RESOLVED, Seen("1.6.20, 1.7.24")),
    always(Containerd, UncleanPath, NO_CONFIG, Seen("1.6.20, 1.7.24")),
    always(Containerd, MisreadEntry, NOT_A_TAR, Source("Go, archive/tar")),
    always(Kind, MissingContent, &["not found"], Source("kind, pkg/cluster/nodeutils, which imports all platforms")),

    // podman load: oci-archive, then docker-archive.
    always(Podman, NoIndex, NO_INDEX_FILE, Seen("4.3.1, 5.4.2")),
    always(Podman, NoDockerManifest, NO_MANIFEST, Seen("4.3.1, 5.4.2")),
    always(Podman, OtherDockerManifest, &["loading tar component", "decoding tar manifest"], Seen("4.3.1, 5.4.2")),
    always(Podman, NothingListed, CHOOSE, Seen("4.3.1, 5.4.2")),
    always(Podman, SeveralImages, CHOOSE, Seen("4.3.1, 5.4.2")),
    always(Podman, UnlistedImage, &[], Seen("4.3.1, 5.4.2")),
    always(Podman, InvalidTag, &["invalid reference format", "invalid tag"], Source("container-libs, image/docker/archive/src.go")),
    always(Podman, Artifact, NO_ROOTFS, Seen("4.3.1, 5.4.2")),
    always(Podman, MissingContent, &["no such file or directory"], Source("container-libs, image/oci/layout/oci_src.go")),
    always(Podman, WrongLayers, &["executable file …not found"], Seen("4.3.1, 5.4.2")),
    always(Podman, LayerType, UNSUPPORTED_TYPE, Seen("4.3.1, 5.4.2")).before(5, 8),
    always(Podman, MixedTypes, UNSUPPORTED_TYPE, Seen("4.3.1, 5.4.2")),
    always(Podman, ZstdLayer, NOT_A_TAR, Source("containers/image#639, in podman since 1.8")).before(1, 8),
    always(Podman, SkippableFrame, &["supported image formats…invalid tar header"], Seen("4.3.1")).before(5, 0),
    always(Podman, SkippableFrame, OTHER_DIGEST, Seen("5.4.2")).from(5, 0),
    always(Podman, HardLink, OTHER_DIGEST, Source("container-libs, image/docker/internal/tarfile/src.go")),
    always(Podman, SymbolicLink, OTHER_SIZE, Seen("4.3.1, 5.4.2")),
    always(Podman, MisreadEntry, NOT_A_TAR, Source("Go, archive/tar")),

    // skopeo copy --all oci-archive:FILE.
    always(SkopeoOci, NoIndex, NO_INDEX_FILE, Seen("1.18.0")),
    always(SkopeoOci, NothingListed, CHOOSE, Seen("1.18.0")),
    always(SkopeoOci, SeveralImages, CHOOSE, Seen("1.18.0")),
    always(SkopeoOci, MissingContent, &["determining manifest MIME type …: no such file or directory", "no such file or directory"], Seen("1.18.0")),
    always(SkopeoOci, LayerType, UNSUPPORTED_TYPE, Seen("1.18.0")).before(1, 22),
    always(SkopeoOci, MixedTypes, UNSUPPORTED_TYPE, Seen("1.18.0")),
    always(SkopeoOci, MisreadEntry, NOT_A_TAR, Source("Go, archive/tar")),

    // skopeo copy docker-archive:FILE.
    always(SkopeoDocker, NoDockerManifest, NO_MANIFEST, Seen("1.18.0")),
    always(SkopeoDocker, OtherDockerManifest, NO_MANIFEST, Seen("1.18.0")),
    always(SkopeoDocker, NothingListed, &["Unexpected tar manifest.json: expected 1 item"], Source("container-libs, image/docker/archive/reader.go")),
    always(SkopeoDocker, SeveralImages, &["Unexpected tar manifest.json: expected 1 item"], Source("container-libs, image/docker/archive/reader.go")),
    always(SkopeoDocker, UnlistedImage, &[], Source("container-libs, image/docker/archive/reader.go")),
    always(SkopeoDocker, InvalidTag, &["invalid reference format", "invalid tag"], Source("container-libs, image/docker/archive/src.go")),
    always(SkopeoDocker, Artifact, NO_ROOTFS, Seen("1.18.0")),
    always(SkopeoDocker, MissingContent, &["file does not exist", "Some layer tarfiles are missing"], Source("container-libs, image/docker/internal/tarfile/src.go")),
    always(SkopeoDocker, WrongLayers, &["Inconsistent layer count"], Source("container-libs, image/docker/internal/tarfile/src.go")),
    always(SkopeoDocker, ZstdLayer, OTHER_DIGEST, Source("containers/image#639, in skopeo since 0.2")).before(0, 2),
    always(SkopeoDocker, SkippableFrame, OTHER_DIGEST, DETECT),
    always(SkopeoDocker, HardLink, OTHER_DIGEST, Seen("1.18.0")),
    always(SkopeoDocker, SymbolicLink, OTHER_SIZE, Seen("1.18.0")),
    always(SkopeoDocker, MisreadEntry, NOT_A_TAR, Source("Go, archive/tar")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_in_order_and_do_not_overlap() {
        for (number, fact) in FACTS.iter().enumerate() {
            if let (Some(from), Some(before)) = (fact.from, fact.before) {
                assert!(from < before, "{fact:?}");
            }
            let same =
                |other: &&Fact| other.reader == fact.reader && other.obstacle == fact.obstacle;
            for other in FACTS[..number].iter().filter(same) {
                let is_after = other
                    .before
                    .is_some_and(|before| fact.from.is_some_and(|from| before <= from));
                assert!(is_after, "{other:?} overlaps {fact:?}");
            }
        }
    }

    #[test]
    fn an_engine_with_containerd_has_its_facts() {
        let has =
            |reader, version: Version, obstacle| fact(reader, Some(version), obstacle).is_some();
        assert!(has(Reader::K3s, Version(1, 21), ZstdLayer));
        assert!(!has(Reader::K3s, Version(1, 22), ZstdLayer));
        assert!(has(Reader::Kind, Version(0, 11), SkippableFrame));
        assert!(!has(Reader::Kind, Version(0, 15), SkippableFrame));
    }
}
