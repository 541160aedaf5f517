//! The readers of archives: engines, each with its image stores or transports.

use crate::engines::Version;
use crate::engines::known::{K3S, KIND, KNOWN};

/// A program that loads image archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Product {
    Docker,
    Containerd,
    Podman,
    Skopeo,
    K3s,
    Kind,
}

impl Product {
    pub(crate) const ALL: [Self; 6] = [
        Product::Docker,
        Product::Containerd,
        Product::Podman,
        Product::Skopeo,
        Product::K3s,
        Product::Kind,
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
    /// The containerd of k3s.
    K3s,
    /// `kind load image-archive`.
    Kind,
}

impl Reader {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] = [
        Reader::DockerGraphDriver,
        Reader::DockerContainerd,
        Reader::Containerd,
        Reader::Podman,
        Reader::SkopeoOci,
        Reader::SkopeoDocker,
        Reader::K3s,
        Reader::Kind,
    ];

    pub(crate) fn product(self) -> Product {
        match self {
            Reader::DockerGraphDriver | Reader::DockerContainerd => Product::Docker,
            Reader::Containerd => Product::Containerd,
            Reader::Podman => Product::Podman,
            Reader::SkopeoOci | Reader::SkopeoDocker => Product::Skopeo,
            Reader::K3s => Product::K3s,
            Reader::Kind => Product::Kind,
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
            Reader::SkopeoOci => Some("oci-archive"),
            Reader::SkopeoDocker => Some("docker-archive"),
            Reader::Containerd | Reader::Podman | Reader::K3s | Reader::Kind => None,
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
        let embedding = match self {
            Reader::K3s => K3S,
            Reader::Kind => KIND,
            _ => &[],
        };
        own.chain(embedding.iter().map(|(version, _)| *version))
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
            Reader::Podman | Reader::SkopeoOci | Reader::SkopeoDocker => {
                let newest = self.newest();
                newest.is_some_and(|newest| (version.0, version.1) >= (newest.0, newest.1))
            }
            Reader::K3s => version.1 >= 35,
            Reader::Kind => version.1 >= 32,
        }
    }

    /// Whether it reads a Docker archive where others try the image layout first (podman, `libpod/runtime_img.go`).
    pub(crate) fn tries_docker_first(self, version: Version) -> bool {
        self == Reader::Podman && version < Version(3, 2, 0)
    }

    /// The version of containerd that a version of this reader contains, if that is what reads the archive.
    pub(crate) fn embedded(self, version: Version) -> Option<Version> {
        let table = match self {
            Reader::K3s => K3S,
            Reader::Kind => KIND,
            _ => return None,
        };
        let older = table.iter().rev().find(|(since, _)| *since <= version);
        older.map(|(_, containerd)| *containerd)
    }
}
