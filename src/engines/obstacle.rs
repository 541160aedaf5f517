//! What can be in the way of an engine that reads an archive.

use serde::{Serialize, Serializer};

use crate::image::Content;

/// Why an engine does not load an archive, or only in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// The archive is compressed as a whole, with gzip.
    OuterGzip,
    /// The same with zstd.
    OuterZstd,
    /// The same with bzip2.
    OuterBzip2,
    /// The same with xz.
    OuterXz,
    /// An entry that tar readers understand differently.
    MisreadEntry,
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
    /// Several images, of which the engine has to be told one.
    SeveralImages,
    /// An image that only the list names that the engine does not read.
    UnlistedImage,
    /// An image without a name, which the engine drops.
    NoName,
    /// A name without a registry in `io.containerd.image.name`.
    ShortName,
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
    /// An image for Windows.
    WindowsImage,
    /// An image for another operating system than Linux and Windows.
    OtherSystem,
    /// The numbers or the order of layers and diff IDs differ.
    WrongLayers,
    /// A layer with the nonstandard media type of Docker's family for zstd.
    LayerType,
    /// A layer of one specification in a manifest of the other.
    MixedTypes,
    /// A Docker manifest that has to be requested by its name.
    DockerTypeByName,
    /// A compressed layer with the media type of a plain tar.
    LayerLabel,
    /// A layer that is compressed with zstd.
    ZstdLayer,
    /// A zstd layer that begins with a skippable frame.
    SkippableFrame,
    /// A layer that is compressed with bzip2.
    Bzip2Layer,
    /// A layer that is compressed with xz.
    XzLayer,
    /// A layer that is a hard link.
    HardLink,
    /// A layer that is a symbolic link.
    SymbolicLink,
    /// One file for two layers with different diff IDs.
    SharedFile,
    /// A path in `manifest.json` that is not the plain name of the entry.
    UncleanPath,
}

impl Obstacle {
    /// All of them.
    pub const ALL: [Self; 37] = [
        Obstacle::OuterGzip,
        Obstacle::OuterZstd,
        Obstacle::OuterBzip2,
        Obstacle::OuterXz,
        Obstacle::MisreadEntry,
        Obstacle::EntryXattrs,
        Obstacle::NoImageFile,
        Obstacle::NoIndex,
        Obstacle::NoDockerManifest,
        Obstacle::OtherDockerManifest,
        Obstacle::NothingListed,
        Obstacle::LayoutVersion,
        Obstacle::SeveralImages,
        Obstacle::UnlistedImage,
        Obstacle::NoName,
        Obstacle::ShortName,
        Obstacle::InvalidTag,
        Obstacle::Artifact,
        Obstacle::Referrer,
        Obstacle::UnnamedEvidence,
        Obstacle::MissingContent,
        Obstacle::AbsentPlatform,
        Obstacle::WindowsImage,
        Obstacle::OtherSystem,
        Obstacle::WrongLayers,
        Obstacle::LayerType,
        Obstacle::MixedTypes,
        Obstacle::DockerTypeByName,
        Obstacle::LayerLabel,
        Obstacle::ZstdLayer,
        Obstacle::SkippableFrame,
        Obstacle::Bzip2Layer,
        Obstacle::XzLayer,
        Obstacle::HardLink,
        Obstacle::SymbolicLink,
        Obstacle::SharedFile,
        Obstacle::UncleanPath,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Obstacle::OuterGzip => "outer-gzip",
            Obstacle::OuterZstd => "outer-zstd",
            Obstacle::OuterBzip2 => "outer-bzip2",
            Obstacle::OuterXz => "outer-xz",
            Obstacle::MisreadEntry => "misread-entry",
            Obstacle::EntryXattrs => "entry-xattrs",
            Obstacle::NoImageFile => "no-image-file",
            Obstacle::NoIndex => "no-index",
            Obstacle::NoDockerManifest => "no-docker-manifest",
            Obstacle::OtherDockerManifest => "other-docker-manifest",
            Obstacle::NothingListed => "nothing-listed",
            Obstacle::LayoutVersion => "layout-version",
            Obstacle::SeveralImages => "several-images",
            Obstacle::UnlistedImage => "unlisted-image",
            Obstacle::NoName => "no-name",
            Obstacle::ShortName => "short-name",
            Obstacle::InvalidTag => "invalid-tag",
            Obstacle::Artifact => "artifact",
            Obstacle::Referrer => "referrer",
            Obstacle::UnnamedEvidence => "unnamed-evidence",
            Obstacle::MissingContent => "missing-content",
            Obstacle::AbsentPlatform => "absent-platform",
            Obstacle::WindowsImage => "windows-image",
            Obstacle::OtherSystem => "other-system",
            Obstacle::WrongLayers => "wrong-layers",
            Obstacle::LayerType => "layer-type",
            Obstacle::MixedTypes => "mixed-types",
            Obstacle::DockerTypeByName => "docker-type-by-name",
            Obstacle::LayerLabel => "layer-label",
            Obstacle::ZstdLayer => "zstd-layers",
            Obstacle::SkippableFrame => "skippable-frame",
            Obstacle::Bzip2Layer => "bzip2-layers",
            Obstacle::XzLayer => "xz-layers",
            Obstacle::HardLink => "hard-link",
            Obstacle::SymbolicLink => "symbolic-link",
            Obstacle::SharedFile => "shared-file",
            Obstacle::UncleanPath => "unclean-path",
        }
    }

    /// What it means, as a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Obstacle::OuterGzip => {
                "The archive is compressed with gzip, and the engine does not decompress it."
            }
            Obstacle::OuterZstd => {
                "The archive is compressed with zstd, and the engine does not decompress it."
            }
            Obstacle::OuterBzip2 => {
                "The archive is compressed with bzip2, and the engine does not decompress it."
            }
            Obstacle::OuterXz => {
                "The archive is compressed with xz, and the engine does not decompress it."
            }
            Obstacle::MisreadEntry => "The engine refuses an entry of the archive, or misreads it.",
            Obstacle::EntryXattrs => {
                "The archive's own entries have extended attributes of macOS, which the engine tries to set on Linux."
            }
            Obstacle::NoImageFile => "No entry is named exactly oci-layout or manifest.json.",
            Obstacle::NoIndex => "No entry is named exactly index.json.",
            Obstacle::NoDockerManifest => {
                "No entry is named exactly manifest.json, the only list of images that the engine reads."
            }
            Obstacle::OtherDockerManifest => {
                "manifest.json is another tool's file, not a list of images."
            }
            Obstacle::NothingListed => "The list that the engine reads has no images.",
            Obstacle::LayoutVersion => "oci-layout has a version other than 1.0.0.",
            Obstacle::SeveralImages => {
                "There are several images, and the engine has to be told which one to load."
            }
            Obstacle::UnlistedImage => "An image is missing from the list that the engine reads.",
            Obstacle::NoName => {
                "The image has no name. The engine drops it, unless it is asked to name images by their digests."
            }
            Obstacle::ShortName => {
                "io.containerd.image.name has no registry. The engine lists the image, but looks for the full name to run it."
            }
            Obstacle::InvalidTag => "RepoTags has a name that is not of the form name:tag.",
            Obstacle::Artifact => "An artifact is listed like an image. No engine can run it.",
            Obstacle::Referrer => {
                "A signature or attestation is listed beside the images, and the engine loads it as an image without a name."
            }
            Obstacle::UnnamedEvidence => {
                "An attestation without a name is listed beside the images, and the engine loads it as an image."
            }
            Obstacle::MissingContent => "A document refers to content that is not in the archive.",
            Obstacle::AbsentPlatform => {
                "The index refers to another platform, which is not in the archive, and the engine reads all platforms."
            }
            Obstacle::WindowsImage => "The image is for Windows.",
            Obstacle::OtherSystem => "The image is for another operating system than Linux.",
            Obstacle::WrongLayers => {
                "The layers are not those of the config's diff IDs, in their order."
            }
            Obstacle::LayerType => "The media type of a zstd layer is not in any specification.",
            Obstacle::MixedTypes => "A Docker manifest has layers with OCI media types.",
            Obstacle::DockerTypeByName => {
                "There are several images, and the engine does not find one with a Docker manifest by its name."
            }
            Obstacle::LayerLabel => "A compressed layer has the media type of a plain tar.",
            Obstacle::ZstdLayer => "The engine cannot read zstd.",
            Obstacle::SkippableFrame => {
                "A zstd layer begins with a skippable frame, and the engine takes it for a plain tar."
            }
            Obstacle::Bzip2Layer => "The engine cannot read layers compressed with bzip2.",
            Obstacle::XzLayer => "The engine cannot read layers compressed with xz.",
            Obstacle::HardLink => "A layer is a hard link to another entry.",
            Obstacle::SymbolicLink => {
                "A layer is a symbolic link to another entry, and the engine uses the link's length as the layer's."
            }
            Obstacle::SharedFile => "Two layers with different diff IDs are one file.",
            Obstacle::UncleanPath => {
                "Paths in manifest.json are not the plain names of the entries: they begin with ./, for example."
            }
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
            Content::Zstd | Content::ZstdAfterSkippable => Some(Obstacle::OuterZstd),
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
