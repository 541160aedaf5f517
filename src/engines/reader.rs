//! The readers of archives: engines, each with its image stores or transports.

use crate::engines::Version;

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
            Product::Docker => Version(1, 10),
            Product::Containerd => Version(1, 2),
            Product::Podman => Version(1, 0),
            Product::Skopeo => Version(0, 1),
            Product::K3s => Version(1, 0),
            Product::Kind => Version(0, 1),
        }
    }

    pub(crate) fn readers(self) -> impl Iterator<Item = Reader> {
        let all = Reader::ALL.into_iter();
        all.filter(move |reader| reader.product() == self)
    }
}

/// The part of an engine that reads an archive: an image store of it, or a transport.
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

    /// The versions that were seen with archives or whose source was read, in order.
    pub(crate) fn known(self) -> &'static [Version] {
        match self {
            Reader::DockerGraphDriver => &[
                Version(20, 10),
                Version(23, 0),
                Version(24, 0),
                Version(25, 0),
                Version(26, 0),
                Version(26, 1),
                Version(27, 0),
                Version(28, 0),
            ],
            Reader::DockerContainerd => &[Version(26, 1), Version(28, 5), Version(29, 0)],
            Reader::Containerd => &[
                Version(1, 5),
                Version(1, 6),
                Version(1, 7),
                Version(2, 0),
                Version(2, 3),
            ],
            Reader::Podman => &[Version(4, 3), Version(5, 4), Version(5, 8)],
            Reader::SkopeoOci | Reader::SkopeoDocker => {
                &[Version(1, 9), Version(1, 18), Version(1, 22)]
            }
            Reader::K3s => &[Version(1, 21), Version(1, 22), Version(1, 25)],
            Reader::Kind => &[Version(0, 11), Version(0, 15)],
        }
    }

    /// Whether somebody saw what this version does, or read its source.
    pub fn is_known(self, version: Version) -> bool {
        self.known().contains(&version)
    }

    /// Whether the makers still supported this version in November 2026.
    pub fn is_supported(self, version: Version) -> bool {
        let oldest = match self {
            Reader::DockerGraphDriver | Reader::DockerContainerd => Version(28, 0),
            Reader::Containerd => Version(1, 7),
            Reader::Podman => Version(5, 0),
            Reader::SkopeoOci | Reader::SkopeoDocker => Version(1, 18),
            Reader::K3s => Version(1, 32),
            Reader::Kind => Version(0, 30),
        };
        version >= oldest
    }

    /// The version of containerd that a version of this reader contains, if that is what reads the archive.
    pub(crate) fn embedded(self, version: Version) -> Option<Version> {
        let table: &[(Version, Version)] = match self {
            Reader::K3s => &K3S,
            Reader::Kind => &KIND,
            _ => return None,
        };
        let older = table.iter().rev().find(|(since, _)| *since <= version);
        older.map(|(_, containerd)| *containerd)
    }
}

/// The oldest containerd of a minor version of k3s, by its release notes.
const K3S: [(Version, Version); 4] = [
    (Version(1, 0), Version(1, 3)),
    (Version(1, 21), Version(1, 4)),
    (Version(1, 22), Version(1, 5)),
    (Version(1, 25), Version(1, 6)),
];

/// The containerd of the node images of kind, by its release notes.
const KIND: [(Version, Version); 3] = [
    (Version(0, 1), Version(1, 3)),
    (Version(0, 11), Version(1, 5)),
    (Version(0, 15), Version(1, 6)),
];
