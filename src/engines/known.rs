//! The versions that are known: somebody saw what they do with archives, or read their source at exactly that version. What
//! others do is not predicted.

use crate::engines::{Reader, Version};

const fn v(major: u32, minor: u32, patch: u32) -> Version {
    Version(major, minor, patch)
}

/// moby, `image/tarexport/load.go` and `pkg/archive`, later moby/go-archive. 29.7.0 and 29.7.1 refuse some entries that
/// the versions before and after them accept, so they are not here.
#[rustfmt::skip]
const DOCKER: &[Version] = &[
    v(20, 10, 0), v(20, 10, 24), v(20, 10, 27), v(23, 0, 0), v(23, 0, 18), v(24, 0, 0), v(24, 0, 9),
    v(25, 0, 0), v(25, 0, 17), v(26, 0, 0), v(26, 0, 2), v(26, 1, 0), v(26, 1, 5), v(27, 0, 1), v(27, 1, 0), v(27, 2, 0),
    v(27, 3, 0), v(27, 4, 0), v(27, 5, 0), v(27, 5, 1), v(28, 0, 0), v(28, 1, 0), v(28, 2, 0), v(28, 3, 0), v(28, 4, 0),
    v(28, 5, 0), v(28, 5, 2), v(29, 0, 0), v(29, 1, 0), v(29, 2, 0), v(29, 3, 0), v(29, 4, 0), v(29, 5, 0), v(29, 6, 0),
    v(29, 7, 2),
];

/// moby, `daemon/containerd`, since that exists.
#[rustfmt::skip]
const DOCKER_CONTAINERD: &[Version] = &[
    v(24, 0, 0), v(24, 0, 9), v(25, 0, 0), v(25, 0, 17), v(26, 0, 0), v(26, 0, 2), v(26, 1, 0), v(26, 1, 5), v(27, 0, 1),
    v(27, 1, 0), v(27, 2, 0), v(27, 3, 0), v(27, 4, 0), v(27, 5, 0), v(27, 5, 1), v(28, 0, 0), v(28, 1, 0), v(28, 2, 0),
    v(28, 3, 0), v(28, 4, 0), v(28, 5, 0), v(28, 5, 2), v(29, 0, 0), v(29, 1, 0), v(29, 2, 0), v(29, 3, 0), v(29, 4, 0),
    v(29, 5, 0), v(29, 6, 0), v(29, 7, 2),
];

/// containerd, `images/archive/importer.go`, `images/mediatypes.go`, `archive/compression` and `ctr`.
#[rustfmt::skip]
const CONTAINERD: &[Version] = &[
    v(1, 4, 0), v(1, 4, 13), v(1, 5, 0), v(1, 5, 18), v(1, 6, 0), v(1, 6, 17), v(1, 6, 18), v(1, 6, 20), v(1, 6, 24), v(1, 6, 25),
    v(1, 6, 39), v(1, 7, 0), v(1, 7, 6), v(1, 7, 7), v(1, 7, 13), v(1, 7, 14), v(1, 7, 24), v(1, 7, 34), v(2, 0, 2), v(2, 0, 11),
    v(2, 1, 0), v(2, 1, 9), v(2, 2, 0), v(2, 2, 7), v(2, 3, 0), v(2, 3, 4),
];

/// podman, `go.mod` and `libimage/load.go` of the last release of every minor version; 5.8.6 as forky has it.
#[rustfmt::skip]
const PODMAN: &[Version] = &[
    v(3, 0, 2), v(3, 1, 2), v(3, 2, 3), v(3, 3, 1), v(3, 4, 7), v(4, 0, 3), v(4, 1, 1), v(4, 2, 1), v(4, 3, 1), v(4, 4, 4),
    v(4, 5, 1), v(4, 6, 2), v(4, 7, 2), v(4, 8, 3), v(4, 9, 5), v(5, 0, 3), v(5, 1, 2), v(5, 2, 5), v(5, 3, 2), v(5, 4, 2),
    v(5, 5, 2), v(5, 6, 2), v(5, 7, 1), v(5, 8, 0), v(5, 8, 2), v(5, 8, 6),
];

/// skopeo, `go.mod` of the last release of every minor version, and container-libs of that version.
#[rustfmt::skip]
const SKOPEO: &[Version] = &[
    v(1, 2, 4), v(1, 3, 1), v(1, 4, 1), v(1, 5, 2), v(1, 6, 3), v(1, 7, 0), v(1, 8, 0), v(1, 9, 3), v(1, 9, 5), v(1, 10, 0), v(1, 11, 4),
    v(1, 12, 0), v(1, 13, 3), v(1, 14, 6), v(1, 15, 2), v(1, 16, 1), v(1, 17, 0), v(1, 18, 0), v(1, 18, 2), v(1, 19, 0), v(1, 20, 1),
    v(1, 21, 0), v(1, 22, 0), v(1, 22, 2),
];

/// The known versions of each reader, in order.
pub(super) const KNOWN: &[(Reader, &[Version])] = &[
    (Reader::DockerGraphDriver, DOCKER),
    (Reader::DockerContainerd, DOCKER_CONTAINERD),
    (Reader::Containerd, CONTAINERD),
    (Reader::Podman, PODMAN),
    (Reader::SkopeoOci, SKOPEO),
    (Reader::SkopeoDocker, SKOPEO),
    (Reader::ApptainerOci, APPTAINER_OF_GGCR),
    (Reader::ApptainerDocker, APPTAINER_OF_GGCR),
    (Reader::Crane, CRANE),
    (Reader::Umoci, UMOCI),
    (Reader::Oras, ORAS),
    (Reader::Regctl, REGCTL),
];

/// Releases of k3s, and the containerd in them, by k3s' release notes; those since 1.31.14 by the Dockerfile of RKE2 at the same version.
#[rustfmt::skip]
pub(super) const K3S: &[(Version, Version)] = &[
    (v(1, 21, 1), v(1, 4, 0)), (v(1, 22, 2), v(1, 5, 0)),
    (v(1, 24, 2), v(1, 5, 13)), (v(1, 24, 4), v(1, 5, 13)), (v(1, 24, 6), v(1, 6, 8)), (v(1, 24, 13), v(1, 6, 19)), (v(1, 24, 14), v(1, 7, 1)),
    (v(1, 24, 17), v(1, 7, 3)), (v(1, 25, 3), v(1, 6, 8)), (v(1, 25, 9), v(1, 6, 19)), (v(1, 25, 10), v(1, 7, 1)), (v(1, 25, 14), v(1, 7, 6)),
    (v(1, 25, 15), v(1, 7, 7)), (v(1, 25, 16), v(1, 7, 7)), (v(1, 26, 0), v(1, 6, 12)), (v(1, 26, 4), v(1, 6, 19)), (v(1, 26, 5), v(1, 7, 1)),
    (v(1, 26, 9), v(1, 7, 6)), (v(1, 26, 10), v(1, 7, 7)), (v(1, 26, 12), v(1, 7, 11)),
    (v(1, 27, 1), v(1, 6, 19)), (v(1, 27, 2), v(1, 7, 1)), (v(1, 27, 4), v(1, 7, 1)), (v(1, 27, 5), v(1, 7, 3)), (v(1, 27, 6), v(1, 7, 6)),
    (v(1, 27, 7), v(1, 7, 7)), (v(1, 28, 1), v(1, 7, 3)), (v(1, 28, 2), v(1, 7, 6)), (v(1, 28, 3), v(1, 7, 7)),
    (v(1, 29, 0), v(1, 7, 11)), (v(1, 29, 3), v(1, 7, 11)), (v(1, 29, 4), v(1, 7, 15)), (v(1, 29, 6), v(1, 7, 17)), (v(1, 29, 8), v(1, 7, 20)),
    (v(1, 29, 11), v(1, 7, 23)), (v(1, 30, 0), v(1, 7, 15)), (v(1, 30, 2), v(1, 7, 17)), (v(1, 30, 4), v(1, 7, 20)), (v(1, 30, 7), v(1, 7, 23)),
    (v(1, 31, 0), v(1, 7, 20)), (v(1, 31, 5), v(1, 7, 23)), (v(1, 31, 6), v(2, 0, 2)),
    (v(1, 31, 10), v(2, 0, 5)), (v(1, 31, 14), v(2, 1, 5)),
    (v(1, 32, 0), v(1, 7, 23)), (v(1, 32, 13), v(2, 1, 5)), (v(1, 33, 0), v(2, 0, 4)), (v(1, 33, 13), v(2, 2, 5)),
    (v(1, 34, 1), v(2, 1, 4)), (v(1, 34, 10), v(2, 2, 6)), (v(1, 35, 0), v(2, 1, 5)), (v(1, 35, 7), v(2, 2, 6)),
    (v(1, 36, 0), v(2, 2, 3)), (v(1, 36, 3), v(2, 3, 3)),
];

/// Releases of kind, and the containerd in their node images, by kind's `images/base/Dockerfile`.
#[rustfmt::skip]
pub(super) const KIND: &[(Version, Version)] = &[
    (v(0, 9, 0), v(1, 4, 0)), (v(0, 10, 0), v(1, 4, 0)), (v(0, 11, 0), v(1, 5, 1)), (v(0, 12, 0), v(1, 5, 10)), (v(0, 13, 0), v(1, 6, 4)),
    (v(0, 14, 0), v(1, 6, 4)), (v(0, 15, 0), v(1, 6, 7)), (v(0, 16, 0), v(1, 6, 8)), (v(0, 17, 0), v(1, 6, 9)), (v(0, 18, 0), v(1, 6, 19)),
    (v(0, 19, 0), v(1, 6, 21)), (v(0, 20, 0), v(1, 7, 1)), (v(0, 21, 0), v(1, 7, 13)), (v(0, 22, 0), v(1, 7, 13)), (v(0, 23, 0), v(1, 7, 15)),
    (v(0, 24, 0), v(1, 7, 18)), (v(0, 25, 0), v(1, 7, 18)), (v(0, 26, 0), v(1, 7, 24)), (v(0, 27, 0), v(2, 0, 2)), (v(0, 28, 0), v(2, 1, 0)),
    (v(0, 29, 0), v(2, 1, 1)), (v(0, 30, 0), v(2, 1, 4)), (v(0, 31, 0), v(2, 2, 0)), (v(0, 32, 0), v(2, 3, 1)),
];

/// go-containerregistry, `pkg/v1/tarball` and `cmd/crane`.
#[rustfmt::skip]
const CRANE: &[Version] = &[
    v(0, 5, 1), v(0, 6, 0), v(0, 7, 0), v(0, 8, 0), v(0, 9, 0), v(0, 10, 0), v(0, 11, 0), v(0, 12, 1), v(0, 13, 0), v(0, 14, 0),
    v(0, 15, 2), v(0, 16, 1), v(0, 17, 0), v(0, 18, 0), v(0, 19, 2), v(0, 20, 0), v(0, 20, 7), v(0, 20, 8), v(0, 21, 0), v(0, 21, 3), v(0, 21, 7),
    v(0, 21, 9),
];

/// apptainer, `internal/pkg/ociimage`, since it reads archives with go-containerregistry, whatever `go.mod` lists.
const APPTAINER_OF_GGCR: &[Version] = &[v(1, 4, 1), v(1, 4, 5), v(1, 5, 0), v(1, 5, 3)];

/// umoci, `oci/cas/dir`, `oci/casext` and `oci/layer`.
const UMOCI: &[Version] = &[v(0, 4, 7), v(0, 5, 0), v(0, 5, 1), v(0, 6, 0)];

/// oras, and the version of oras-go in it.
const ORAS: &[Version] = &[v(1, 0, 1), v(1, 1, 0), v(1, 2, 0), v(1, 3, 3)];

/// regclient, `image.go`.
#[rustfmt::skip]
const REGCTL: &[Version] = &[
    v(0, 4, 0), v(0, 4, 8), v(0, 5, 0), v(0, 5, 7), v(0, 6, 0), v(0, 7, 0), v(0, 8, 0), v(0, 8, 3), v(0, 9, 0), v(0, 10, 0), v(0, 11, 0),
    v(0, 11, 5),
];

/// Releases of trivy, and the go-containerregistry in them, by `go.mod`.
#[rustfmt::skip]
pub(super) const TRIVY: &[(Version, Version)] = &[
    (v(0, 40, 0), v(0, 14, 0)), (v(0, 45, 0), v(0, 16, 1)), (v(0, 50, 0), v(0, 19, 0)), (v(0, 55, 0), v(0, 20, 2)),
    (v(0, 60, 0), v(0, 20, 3)), (v(0, 65, 0), v(0, 20, 6)), (v(0, 68, 0), v(0, 20, 6)), (v(0, 69, 0), v(0, 20, 7)),
    (v(0, 70, 0), v(0, 21, 2)),
];

/// Releases of nerdctl, and the containerd in the packages that contain both, by `Dockerfile`.
#[rustfmt::skip]
pub(super) const NERDCTL: &[(Version, Version)] = &[
    (v(1, 0, 0), v(1, 6, 8)), (v(1, 3, 1), v(1, 7, 0)), (v(1, 7, 7), v(1, 7, 22)), (v(2, 0, 0), v(2, 0, 0)), (v(2, 1, 0), v(2, 1, 0)),
    (v(2, 1, 6), v(2, 1, 4)), (v(2, 2, 0), v(2, 2, 0)), (v(2, 2, 2), v(2, 2, 1)), (v(2, 3, 5), v(2, 3, 3)),
];

/// k3d, and the containerd in the k3s of a cluster that it creates by default: `version/version.go`, and the Dockerfile of RKE2 at
/// that version of k3s.
pub(super) const K3D: &[(Version, Version)] = &[(v(5, 9, 0), v(2, 0, 5))];

/// Releases of buildah, and the skopeo with the same version of container-libs, by `go.mod`; 1.43.2 as forky has it.
#[rustfmt::skip]
pub(super) const BUILDAH: &[(Version, Version)] = &[
    (v(1, 22, 5), v(1, 4, 1)), (v(1, 24, 7), v(1, 6, 3)), (v(1, 25, 1), v(1, 7, 0)), (v(1, 28, 2), v(1, 10, 0)),
    (v(1, 30, 0), v(1, 12, 0)), (v(1, 31, 5), v(1, 13, 3)), (v(1, 33, 15), v(1, 14, 6)), (v(1, 35, 5), v(1, 15, 2)),
    (v(1, 37, 8), v(1, 16, 1)), (v(1, 38, 1), v(1, 17, 0)), (v(1, 39, 3), v(1, 18, 0)), (v(1, 39, 9), v(1, 18, 2)), (v(1, 40, 1), v(1, 19, 0)),
    (v(1, 41, 9), v(1, 20, 1)), (v(1, 42, 2), v(1, 21, 0)), (v(1, 43, 1), v(1, 22, 2)), (v(1, 43, 2), v(1, 22, 2)),
];

/// The same of apptainer, before 1.4.
#[rustfmt::skip]
pub(super) const APPTAINER: &[(Version, Version)] = &[
    (v(1, 0, 3), v(1, 6, 3)), (v(1, 1, 9), v(1, 9, 3)), (v(1, 2, 5), v(1, 12, 0)), (v(1, 3, 6), v(1, 15, 2)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        for reader in Reader::ALL {
            let versions: Vec<Version> = reader.known().collect();
            assert!(!versions.is_empty(), "{reader:?}");
            assert!(
                versions.is_sorted_by(|one, other| one < other),
                "{reader:?}"
            );
        }
    }
}
