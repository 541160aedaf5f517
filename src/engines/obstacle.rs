//! What can be in the way of an engine that reads an archive.

mod meaning;

use serde::{Serialize, Serializer};

use crate::image::Content;

/// Why an engine does not load an archive, or only in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// The archive is compressed as a whole, with gzip.
    OuterGzip,
    /// The same, and it is read as a Docker archive.
    OuterGzipDocker,
    /// The archive is compressed as a whole, with zstd.
    OuterZstd,
    /// The same with zstd, and it begins with a skippable frame.
    OuterSkippable,
    /// The same with bzip2.
    OuterBzip2,
    /// The same with xz.
    OuterXz,
    /// An entry that tar readers understand differently.
    MisreadEntry,
    /// An entry of a type that not all readers know.
    OtherType,
    /// A hard link that comes before its target, or has none in the archive.
    EarlyLink,
    /// An entry for the root of the archive, such as `./`.
    RootEntry,
    /// A file that comes before any entry for its directory.
    NoDirectory,
    /// A symbolic link that leads to no file of the archive.
    DanglingLink,
    /// Extended attributes of the archive's own entries.
    EntryXattrs,
    /// No entry is named exactly `oci-layout` or `manifest.json`.
    NoImageFile,
    /// No entry is named exactly `index.json`.
    NoIndex,
    /// No entry is named exactly `manifest.json`.
    NoDockerManifest,
    /// `manifest.json` is not a list of images.
    OtherDockerManifest,
    /// The list of images that the engine reads is empty.
    NothingListed,
    /// `oci-layout` states another version than 1.0.0.
    LayoutVersion,
    /// An index that an index other than `index.json` lists.
    NestedIndex,
    /// Several images, of which the engine has to be told one.
    SeveralImages,
    /// An image with several names, each in an entry of its own.
    SeveralNames,
    /// A name that leads to several manifests.
    AmbiguousTag,
    /// An image that only the list names that the engine does not read.
    UnlistedImage,
    /// An image without a name, which the engine drops.
    NoName,
    /// Several entries of `index.json` with one name, of which the engine keeps the last.
    RepeatedName,
    /// A name without a registry in `io.containerd.image.name`.
    ShortName,
    /// A name in `index.json` that is not a valid image name.
    InvalidName,
    /// A name in `RepoTags` that is not `name:tag`.
    InvalidTag,
    /// What the engine takes for an image and is not one.
    Artifact,
    /// A signature or attestation beside the images, which the engine takes for an image.
    Referrer,
    /// The same without the annotation that says what it is about.
    UnnamedEvidence,
    /// Content that is not in the archive.
    MissingContent,
    /// Content of another platform of the image that is not in the archive.
    AbsentPlatform,
    /// An index that lists no image for the machine's platform.
    NoPlatform,
    /// A manifest without a platform in an index from which the engine chooses one.
    UnstatedPlatform,
    /// An image for Windows.
    WindowsImage,
    /// An image for another operating system than Linux and Windows.
    OtherSystem,
    /// The numbers or the order of layers and diff IDs differ.
    WrongLayers,
    /// A manifest and its config list different numbers of layers, and the engine loads the image without some of them.
    FewerLayers,
    /// An image without layers.
    NoLayers,
    /// A layer with the nonstandard media type of Docker's family for zstd.
    LayerType,
    /// A layer with a media type that is not a layer's.
    OtherLayerType,
    /// A layer of one specification in a manifest of the other.
    MixedTypes,
    /// A config with Docker's media type in an OCI manifest.
    MixedConfig,
    /// A value in the config that the engine cannot decode.
    UndecodableConfig,
    /// A manifest or index that states another media type than the descriptor that leads to it.
    DocumentType,
    /// Media types of Docker.
    DockerTypes,
    /// A Docker manifest that has to be requested by its name.
    DockerTypeByName,
    /// A compressed layer with the media type of a plain tar.
    LayerLabel,
    /// A layer that is compressed in another way than its media type says.
    OtherLabel,
    /// A descriptor that states another size than that of the content.
    WrongSize,
    /// A digest or diff ID of another algorithm than SHA-256.
    OtherDigest,
    /// A layer with URLs, from which the engine downloads it.
    LayerUrls,
    /// A layer that is compressed with zstd.
    ZstdLayer,
    /// A zstd layer that begins with a skippable frame.
    SkippableFrame,
    /// A layer that is compressed with bzip2.
    Bzip2Layer,
    /// A layer that is compressed with xz.
    XzLayer,
    /// A layer that is not a tar, or does not decompress to one.
    LayerNotTar,
    /// A layer that is compressed twice.
    LayerTwice,
    /// Layers of which some are compressed and others are not.
    MixedCompression,
    /// A layer that is a hard link.
    HardLink,
    /// A layer that is a symbolic link.
    SymbolicLink,
    /// One file for two layers with different diff IDs.
    SharedFile,
    /// A path in `manifest.json` that is not the plain name of the entry.
    UncleanPath,
    /// A file whose name has another form than the plain one.
    UncleanName,
}

impl Obstacle {
    /// All of them.
    pub const ALL: [Self; 66] = [
        Obstacle::OuterGzip,
        Obstacle::OuterGzipDocker,
        Obstacle::OuterZstd,
        Obstacle::OuterSkippable,
        Obstacle::OuterBzip2,
        Obstacle::OuterXz,
        Obstacle::MisreadEntry,
        Obstacle::OtherType,
        Obstacle::EarlyLink,
        Obstacle::RootEntry,
        Obstacle::NoDirectory,
        Obstacle::DanglingLink,
        Obstacle::EntryXattrs,
        Obstacle::NoImageFile,
        Obstacle::NoIndex,
        Obstacle::NoDockerManifest,
        Obstacle::OtherDockerManifest,
        Obstacle::NothingListed,
        Obstacle::LayoutVersion,
        Obstacle::NestedIndex,
        Obstacle::SeveralImages,
        Obstacle::SeveralNames,
        Obstacle::AmbiguousTag,
        Obstacle::UnlistedImage,
        Obstacle::NoName,
        Obstacle::RepeatedName,
        Obstacle::ShortName,
        Obstacle::InvalidName,
        Obstacle::InvalidTag,
        Obstacle::Artifact,
        Obstacle::Referrer,
        Obstacle::UnnamedEvidence,
        Obstacle::MissingContent,
        Obstacle::AbsentPlatform,
        Obstacle::NoPlatform,
        Obstacle::UnstatedPlatform,
        Obstacle::WindowsImage,
        Obstacle::OtherSystem,
        Obstacle::WrongLayers,
        Obstacle::FewerLayers,
        Obstacle::NoLayers,
        Obstacle::LayerType,
        Obstacle::OtherLayerType,
        Obstacle::MixedTypes,
        Obstacle::MixedConfig,
        Obstacle::UndecodableConfig,
        Obstacle::DocumentType,
        Obstacle::DockerTypes,
        Obstacle::DockerTypeByName,
        Obstacle::LayerLabel,
        Obstacle::OtherLabel,
        Obstacle::WrongSize,
        Obstacle::OtherDigest,
        Obstacle::LayerUrls,
        Obstacle::ZstdLayer,
        Obstacle::SkippableFrame,
        Obstacle::Bzip2Layer,
        Obstacle::XzLayer,
        Obstacle::LayerNotTar,
        Obstacle::LayerTwice,
        Obstacle::MixedCompression,
        Obstacle::HardLink,
        Obstacle::SymbolicLink,
        Obstacle::SharedFile,
        Obstacle::UncleanPath,
        Obstacle::UncleanName,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Obstacle::OuterGzip => "outer-gzip",
            Obstacle::OuterGzipDocker => "outer-gzip-docker",
            Obstacle::OuterZstd => "outer-zstd",
            Obstacle::OuterSkippable => "outer-skippable-frame",
            Obstacle::OuterBzip2 => "outer-bzip2",
            Obstacle::OuterXz => "outer-xz",
            Obstacle::MisreadEntry => "misread-entry",
            Obstacle::OtherType => "entry-type",
            Obstacle::EarlyLink => "early-hard-link",
            Obstacle::RootEntry => "root-entry",
            Obstacle::NoDirectory => "no-directory",
            Obstacle::DanglingLink => "dangling-link",
            Obstacle::EntryXattrs => "entry-xattrs",
            Obstacle::NoImageFile => "no-image-file",
            Obstacle::NoIndex => "no-index",
            Obstacle::NoDockerManifest => "no-docker-manifest",
            Obstacle::OtherDockerManifest => "other-docker-manifest",
            Obstacle::NothingListed => "nothing-listed",
            Obstacle::LayoutVersion => "layout-version",
            Obstacle::NestedIndex => "nested-index",
            Obstacle::SeveralImages => "several-images",
            Obstacle::SeveralNames => "several-names",
            Obstacle::AmbiguousTag => "ambiguous-tag",
            Obstacle::UnlistedImage => "unlisted-image",
            Obstacle::NoName => "no-name",
            Obstacle::RepeatedName => "repeated-name",
            Obstacle::ShortName => "short-name",
            Obstacle::InvalidName => "invalid-name",
            Obstacle::InvalidTag => "invalid-tag",
            Obstacle::Artifact => "artifact",
            Obstacle::Referrer => "referrer",
            Obstacle::UnnamedEvidence => "unnamed-evidence",
            Obstacle::MissingContent => "missing-content",
            Obstacle::AbsentPlatform => "absent-platform",
            Obstacle::NoPlatform => "no-platform",
            Obstacle::UnstatedPlatform => "unstated-platform",
            Obstacle::WindowsImage => "windows-image",
            Obstacle::OtherSystem => "other-system",
            Obstacle::WrongLayers => "wrong-layers",
            Obstacle::FewerLayers => "fewer-layers",
            Obstacle::NoLayers => "no-layers",
            Obstacle::LayerType => "layer-type",
            Obstacle::OtherLayerType => "other-layer-type",
            Obstacle::MixedTypes => "mixed-types",
            Obstacle::MixedConfig => "mixed-config",
            Obstacle::UndecodableConfig => "undecodable-config",
            Obstacle::DocumentType => "document-type",
            Obstacle::DockerTypes => "docker-types",
            Obstacle::DockerTypeByName => "docker-type-by-name",
            Obstacle::LayerLabel => "layer-label",
            Obstacle::OtherLabel => "other-label",
            Obstacle::WrongSize => "wrong-size",
            Obstacle::OtherDigest => "other-digest",
            Obstacle::LayerUrls => "layer-urls",
            Obstacle::ZstdLayer => "zstd-layers",
            Obstacle::SkippableFrame => "skippable-frame",
            Obstacle::Bzip2Layer => "bzip2-layers",
            Obstacle::XzLayer => "xz-layers",
            Obstacle::LayerNotTar => "layer-not-tar",
            Obstacle::LayerTwice => "layer-compressed-twice",
            Obstacle::MixedCompression => "mixed-compression",
            Obstacle::HardLink => "hard-link",
            Obstacle::SymbolicLink => "symbolic-link",
            Obstacle::SharedFile => "shared-file",
            Obstacle::UncleanPath => "unclean-path",
            Obstacle::UncleanName => "unclean-name",
        }
    }

    /// What a layer with these first bytes needs an engine to read.
    pub(crate) fn of_layer(content: Content) -> Option<Self> {
        match content {
            Content::Zstd => Some(Obstacle::ZstdLayer),
            Content::ZstdAfterSkippable => Some(Obstacle::SkippableFrame),
            Content::Bzip2 => Some(Obstacle::Bzip2Layer),
            Content::Xz => Some(Obstacle::XzLayer),
            Content::Empty | Content::Tar | Content::Gzip | Content::Other => None,
        }
    }

    /// What an archive that is compressed like this needs an engine to read.
    pub(crate) fn of_outer(content: Content) -> Option<Self> {
        match content {
            Content::Gzip => Some(Obstacle::OuterGzip),
            Content::Zstd => Some(Obstacle::OuterZstd),
            Content::ZstdAfterSkippable => Some(Obstacle::OuterSkippable),
            Content::Bzip2 => Some(Obstacle::OuterBzip2),
            Content::Xz => Some(Obstacle::OuterXz),
            Content::Empty | Content::Tar | Content::Other => None,
        }
    }
}

/// By its name.
impl Serialize for Obstacle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
