//! The readers of archives: engines, each with its image stores or transports.

use crate::engines::Version;
use crate::engines::known::{APPTAINER, BUILDAH, K3D, K3S, KIND, KNOWN, NERDCTL, TRIVY};

/// A program that loads image archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Product {
    Docker,
    Containerd,
    Podman,
    Skopeo,
    K3s,
    Kind,
    Nerdctl,
    K3d,
    Buildah,
    Apptainer,
    Crane,
    Trivy,
    Umoci,
    Oras,
    Regctl,
}

impl Product {
    pub(crate) const ALL: [Self; 15] = [
        Product::Docker,
        Product::Containerd,
        Product::Podman,
        Product::Skopeo,
        Product::K3s,
        Product::Kind,
        Product::Nerdctl,
        Product::K3d,
        Product::Buildah,
        Product::Apptainer,
        Product::Crane,
        Product::Trivy,
        Product::Umoci,
        Product::Oras,
        Product::Regctl,
    ];

    /// The name in `ENGINE[@VERSION][/STORE]`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Product::Docker => "docker",
            Product::Containerd => "containerd",
            Product::Podman => "podman",
            Product::Skopeo => "skopeo",
            Product::K3s => "k3s",
            Product::Kind => "kind",
            Product::Nerdctl => "nerdctl",
            Product::K3d => "k3d",
            Product::Buildah => "buildah",
            Product::Apptainer => "apptainer",
            Product::Crane => "crane",
            Product::Trivy => "trivy",
            Product::Umoci => "umoci",
            Product::Oras => "oras",
            Product::Regctl => "regctl",
        }
    }

    /// The oldest version that reads an image archive.
    pub(crate) fn oldest(self) -> Version {
        match self {
            // moby 1.10 introduced manifest.json.
            Product::Docker => Version(1, 10, 0),
            Product::Containerd => Version(1, 2, 0),
            Product::Podman => Version(1, 0, 0),
            Product::Skopeo => Version(0, 1, 0),
            Product::K3s => Version(1, 0, 0),
            Product::Kind => Version(0, 1, 0),
            Product::Nerdctl => Version(0, 1, 0),
            Product::K3d => Version(1, 0, 0),
            Product::Buildah => Version(1, 0, 0),
            Product::Apptainer => Version(1, 0, 0),
            Product::Crane => Version(0, 1, 0),
            Product::Trivy => Version(0, 1, 0),
            Product::Umoci => Version(0, 1, 0),
            Product::Oras => Version(1, 0, 0),
            Product::Regctl => Version(0, 4, 0),
        }
    }

    pub(crate) fn readers(self) -> impl Iterator<Item = Reader> {
        let all = Reader::ALL.into_iter();
        all.filter(move |reader| reader.product() == self)
    }
}

/// The part of an engine that reads an archive: an image store of it, or a transport. Engines run on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reader {
    /// `docker load` with a graph driver, such as overlay2.
    DockerGraphDriver,
    /// `docker load` with the containerd image store.
    DockerContainerd,
    /// `ctr images import`.
    Containerd,
    /// `podman load`.
    Podman,
    /// `skopeo copy --all oci-archive:FILE`.
    SkopeoOci,
    /// `skopeo copy docker-archive:FILE`.
    SkopeoDocker,
    /// The containerd of k3s, from its images folder, where the suffix of a compressed archive has to say how it is compressed.
    K3s,
    /// `kind load image-archive`.
    Kind,
    /// `nerdctl load`.
    Nerdctl,
    /// `k3d image import`.
    K3d,
    /// `buildah pull oci-archive:FILE`.
    BuildahOci,
    /// `buildah pull docker-archive:FILE`.
    BuildahDocker,
    /// `apptainer build SIF oci-archive:FILE`.
    ApptainerOci,
    /// `apptainer build SIF docker-archive:FILE`.
    ApptainerDocker,
    /// `crane push FILE` and `crane validate --tarball FILE`.
    Crane,
    /// `trivy image --input FILE`.
    Trivy,
    /// `umoci unpack`, of the image layout that the archive contains.
    Umoci,
    /// `oras copy --from-oci-layout FILE:TAG`.
    Oras,
    /// `regctl image import REFERENCE FILE`.
    Regctl,
}

impl Reader {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 19] = [
        Reader::DockerGraphDriver,
        Reader::DockerContainerd,
        Reader::Containerd,
        Reader::Podman,
        Reader::SkopeoOci,
        Reader::SkopeoDocker,
        Reader::K3s,
        Reader::Kind,
        Reader::Nerdctl,
        Reader::K3d,
        Reader::BuildahOci,
        Reader::BuildahDocker,
        Reader::ApptainerOci,
        Reader::ApptainerDocker,
        Reader::Crane,
        Reader::Trivy,
        Reader::Umoci,
        Reader::Oras,
        Reader::Regctl,
    ];

    pub(crate) fn product(self) -> Product {
        match self {
            Reader::DockerGraphDriver | Reader::DockerContainerd => Product::Docker,
            Reader::Containerd => Product::Containerd,
            Reader::Podman => Product::Podman,
            Reader::SkopeoOci | Reader::SkopeoDocker => Product::Skopeo,
            Reader::K3s => Product::K3s,
            Reader::Kind => Product::Kind,
            Reader::Nerdctl => Product::Nerdctl,
            Reader::K3d => Product::K3d,
            Reader::BuildahOci | Reader::BuildahDocker => Product::Buildah,
            Reader::ApptainerOci | Reader::ApptainerDocker => Product::Apptainer,
            Reader::Crane => Product::Crane,
            Reader::Trivy => Product::Trivy,
            Reader::Umoci => Product::Umoci,
            Reader::Oras => Product::Oras,
            Reader::Regctl => Product::Regctl,
        }
    }

    /// The engine's name, such as `docker`.
    pub fn engine(self) -> &'static str {
        self.product().name()
    }

    /// The image store or transport; `None` if the engine has only one.
    pub fn store(self) -> Option<&'static str> {
        match self {
            Reader::DockerGraphDriver => Some("graphdriver"),
            Reader::DockerContainerd => Some("containerd"),
            Reader::SkopeoOci | Reader::BuildahOci | Reader::ApptainerOci => Some("oci-archive"),
            Reader::SkopeoDocker | Reader::BuildahDocker | Reader::ApptainerDocker => {
                Some("docker-archive")
            }
            _ => None,
        }
    }

    /// The first version of the engine that has it.
    pub(crate) fn since(self) -> Version {
        match self {
            // moby, daemon/containerd.
            Reader::DockerContainerd => Version(24, 0, 0),
            _ => self.product().oldest(),
        }
    }

    /// The versions that somebody saw with archives, or whose source was read at that version, in order.
    pub(crate) fn known(self) -> impl Iterator<Item = Version> {
        let rows = KNOWN.iter().filter(move |(reader, _)| *reader == self);
        let own = rows.flat_map(|(_, versions)| versions.iter().copied());
        let table = self.contained().map_or(&[][..], |(_, table)| table);
        let contained = table.iter().map(|(version, _)| *version);
        contained.chain(own)
    }

    /// The reader whose code this one contains, and its version in each version that is known.
    fn contained(self) -> Option<(Reader, &'static [(Version, Version)])> {
        match self {
            Reader::K3s => Some((Reader::Containerd, K3S)),
            Reader::Kind => Some((Reader::Containerd, KIND)),
            Reader::Nerdctl => Some((Reader::Containerd, NERDCTL)),
            Reader::K3d => Some((Reader::Containerd, K3D)),
            Reader::BuildahOci => Some((Reader::SkopeoOci, BUILDAH)),
            Reader::BuildahDocker => Some((Reader::SkopeoDocker, BUILDAH)),
            Reader::ApptainerOci => Some((Reader::SkopeoOci, APPTAINER)),
            Reader::ApptainerDocker => Some((Reader::SkopeoDocker, APPTAINER)),
            Reader::Trivy => Some((Reader::Crane, TRIVY)),
            _ => None,
        }
    }

    /// Whether it has a verdict only if it is asked for: it is not an engine, or does what another reader does.
    pub(crate) fn is_asked_for(self) -> bool {
        self > Reader::Kind
    }

    /// The newest version that is known.
    pub(crate) fn newest(self) -> Option<Version> {
        self.known().last()
    }

    /// Whether the makers still supported this version in November 2026.
    pub(crate) fn is_supported(self, version: Version) -> bool {
        // moby, project/BRANCHES-AND-TAGS.md; containerd, RELEASES.md; of the others the newest minor version.
        match self {
            Reader::DockerGraphDriver | Reader::DockerContainerd => {
                matches!(version.0, 25 | 29)
            }
            Reader::Containerd => matches!((version.0, version.1), (2, 0 | 3)),
            Reader::K3s => version.1 >= 35,
            Reader::Kind => version.1 >= 32,
            _ => {
                let newest = self.newest();
                newest.is_some_and(|newest| (version.0, version.1) >= (newest.0, newest.1))
            }
        }
    }

    /// Of readers that are judged by the same code, one: only facts and habits distinguish them.
    pub(crate) fn model(self) -> Self {
        match self {
            Reader::DockerContainerd
            | Reader::K3s
            | Reader::Kind
            | Reader::Nerdctl
            | Reader::K3d => Reader::Containerd,
            _ => self,
        }
    }

    /// The reader whose code a version of this one contains, and its version. Versions with a code of their own follow those.
    pub(crate) fn base(self, version: Version) -> Option<(Reader, Version)> {
        let mut own = KNOWN.iter().filter(|(reader, _)| *reader == self);
        let first = own.find_map(|(_, versions)| versions.first());
        if first.is_some_and(|first| *first <= version) {
            return None;
        }
        let (reader, table) = self.contained()?;
        let older = table.iter().rev().find(|(since, _)| *since <= version);
        older.map(|(_, base)| (reader, *base))
    }
}
