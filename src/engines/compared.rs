//! Releases whose source was compared, at their tags, with that of the release before: what decides about archives is the same, or what changed does
//! not matter, or the table of facts states from which release on it does. Others are unknown, even between two known ones: moby 29.7.0
//! and 29.7.1 refuse entries that the releases before and after them accept.

use crate::engines::{Reader, Version};

/// Releases of one minor version, from one patch number to another.
type Span = (u32, u32, u32, u32);

/// moby, `image/tarexport/load.go` and `pkg/archive`, or the moby/go-archive in it.
#[rustfmt::skip]
const DOCKER: &[Span] = &[
    (20, 10, 0, 27), (23, 0, 0, 18), (24, 0, 0, 9), (25, 0, 0, 16), (26, 0, 0, 2), (26, 1, 0, 5), (27, 1, 0, 1), (27, 2, 0, 1), (27, 3, 0, 1),
    (27, 4, 0, 1), (27, 5, 0, 1), (28, 0, 0, 1), (28, 1, 0, 1), (28, 2, 0, 2), (28, 3, 0, 3), (28, 5, 0, 2), (29, 0, 0, 4), (29, 1, 0, 5),
    (29, 2, 0, 1), (29, 3, 0, 1), (29, 4, 0, 3), (29, 5, 0, 3), (29, 6, 0, 2),
];

/// moby, `daemon/containerd`, and the importer of the containerd in it.
#[rustfmt::skip]
const DOCKER_CONTAINERD: &[Span] = &[
    (24, 0, 6, 9), (26, 0, 1, 2), (26, 1, 4, 5), (27, 0, 1, 3), (27, 1, 0, 1), (27, 2, 0, 1), (27, 3, 0, 1), (27, 4, 0, 1),
    (27, 5, 0, 1), (28, 2, 0, 2), (28, 3, 0, 3), (28, 5, 0, 2), (29, 0, 0, 4), (29, 1, 0, 5), (29, 2, 0, 1), (29, 3, 0, 1), (29, 4, 0, 3),
    (29, 5, 0, 2), (29, 6, 0, 2),
];

/// containerd, `images`, `images/archive`, `archive/compression`, `import.go`, `image.go` and `ctr`, since 2.0 also `core/unpack`.
#[rustfmt::skip]
const CONTAINERD: &[Span] = &[
    (1, 4, 0, 11), (1, 4, 12, 13), (1, 5, 0, 7), (1, 5, 8, 18), (1, 6, 0, 39), (1, 7, 0, 34), (2, 0, 2, 11), (2, 1, 2, 9), (2, 2, 0, 2), (2, 2, 3, 7),
    (2, 3, 1, 4),
];

/// podman, `go.mod` and `libimage/load.go`.
#[rustfmt::skip]
const PODMAN: &[Span] = &[
    (3, 3, 0, 1), (3, 4, 5, 7), (4, 1, 0, 1), (4, 2, 0, 1), (4, 4, 3, 4), (4, 5, 0, 1), (4, 6, 1, 2), (4, 7, 0, 2), (5, 2, 4, 5), (5, 5, 1, 2),
    (5, 6, 1, 2), (5, 8, 0, 1),
];

/// skopeo, `go.mod`.
const SKOPEO: &[Span] = &[(1, 9, 3, 5), (1, 18, 0, 2), (1, 22, 1, 2)];

/// apptainer, `internal/pkg/ociimage`, `internal/pkg/build/sources`, and the go-containerregistry and umoci in it.
const APPTAINER: &[Span] = &[(1, 4, 1, 5), (1, 5, 0, 3)];

fn spans(reader: Reader) -> &'static [Span] {
    match reader {
        Reader::DockerGraphDriver => DOCKER,
        Reader::DockerContainerd => DOCKER_CONTAINERD,
        Reader::Containerd => CONTAINERD,
        Reader::Podman => PODMAN,
        Reader::SkopeoOci | Reader::SkopeoDocker => SKOPEO,
        Reader::ApptainerOci | Reader::ApptainerDocker => APPTAINER,
        _ => &[],
    }
}

/// The version itself, if it was compared.
pub(super) fn compared(reader: Reader, version: Version) -> Option<Version> {
    let mut spans = spans(reader).iter();
    let contains = |(major, minor, first, last): &Span| {
        (*major, *minor) == (version.0, version.1) && (*first..=*last).contains(&version.2)
    };
    spans.any(contains).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_contains_a_known_version() {
        for reader in Reader::ALL {
            for (major, minor, first, last) in spans(reader) {
                assert!(first < last, "{reader:?} {major}.{minor}.{first}");
                let mut known = reader.known();
                let is_known = known.any(|known| {
                    (known.0, known.1) == (*major, *minor) && (*first..=*last).contains(&known.2)
                });
                assert!(is_known, "{reader:?} {major}.{minor}.{first}");
            }
        }
    }

    #[test]
    fn a_version_that_nobody_compared_is_unknown() {
        for (text, is_known) in [
            ("docker@20.10.12/graphdriver", true),
            ("docker@29.1.3", true),
            ("docker@29.7.0", false),
            ("docker@29.7.1", false),
            ("docker@27.5.9", false),
            ("docker@26.1.3/containerd", false),
            ("containerd@1.7.20", true),
            ("containerd@1.7.35", false),
            ("podman@5.8.4", false),
            ("podman@5.8.6", true),
            ("skopeo@1.18.1", true),
            ("apptainer@1.4.0", false),
            ("apptainer@1.4.3", true),
            ("k3s@1.31.7", false),
            ("k3s@1.31.6", true),
        ] {
            let engine: crate::engines::Engine = text.parse().unwrap();
            for reader in engine.readers() {
                let versions = engine.versions(reader);
                assert_eq!(!versions.is_empty(), is_known, "{text} {reader:?}");
            }
        }
    }
}
