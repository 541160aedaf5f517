//! What obstacles mean, in words for people.

use super::Obstacle;

impl Obstacle {
    /// What it means, as a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Obstacle::OuterGzip => {
                "The archive is compressed with gzip, and the engine does not decompress it."
            }
            Obstacle::OuterGzipDocker => {
                "The archive is compressed with gzip, and the engine loses its beginning when it reads manifest.json."
            }
            Obstacle::OuterZstd => {
                "The archive is compressed with zstd, and the engine does not decompress it."
            }
            Obstacle::OuterSkippable => {
                "The archive is compressed with zstd and begins with a skippable frame, and the engine takes it for a plain tar."
            }
            Obstacle::OuterBzip2 => {
                "The archive is compressed with bzip2, and the engine does not decompress it."
            }
            Obstacle::OuterXz => {
                "The archive is compressed with xz, and the engine does not decompress it."
            }
            Obstacle::MisreadEntry => "The engine refuses an entry of the archive, or misreads it.",
            Obstacle::OtherType => "An entry has a type that the engine refuses to unpack.",
            Obstacle::EarlyLink => {
                "The engine unpacks the archive, and a hard link comes before its target or has none."
            }
            Obstacle::RootEntry => {
                "The archive has an entry for its own root, such as ./, which the engine takes for a path outside of it."
            }
            Obstacle::NoDirectory => {
                "A file comes before any entry for its directory, and the engine does not create it."
            }
            Obstacle::DanglingLink => {
                "A symbolic link leads to no file of the archive, and the engine looks for what all of them lead to."
            }
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
            Obstacle::NestedIndex => {
                "An index of the image lists another index, where the engine expects a manifest."
            }
            Obstacle::SeveralImages => {
                "There are several images, and the engine has to be told which one to load."
            }
            Obstacle::SeveralNames => {
                "An image has several names, each in an entry of index.json, and the engine takes an archive with one entry."
            }
            Obstacle::AmbiguousTag => {
                "A name leads to several manifests: of platforms, or of an image and its attestation."
            }
            Obstacle::UnlistedImage => "An image is missing from the list that the engine reads.",
            Obstacle::NoName => {
                "The image has no name. The engine drops it, unless it is asked to name images by their digests."
            }
            Obstacle::RepeatedName => {
                "Several entries of index.json have one name, and the engine keeps only the last, whatever its platform."
            }
            Obstacle::ShortName => {
                "io.containerd.image.name has no registry. The engine lists the image, but looks for the full name to run it."
            }
            Obstacle::InvalidName => "A name in index.json is not a valid image name.",
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
            Obstacle::NoPlatform => {
                "No image is for the platform of the machine that loads it, by the index or, in a Docker archive, by the config."
            }
            Obstacle::UnstatedPlatform => {
                "An index lists a manifest without a platform, at which the engine crashes."
            }
            Obstacle::WindowsImage => "The image is for Windows.",
            Obstacle::OtherSystem => "The image is for another operating system than Linux.",
            Obstacle::WrongLayers => {
                "The layers are not those of the config's diff IDs, in their order."
            }
            Obstacle::FewerLayers => {
                "A manifest and its config list different numbers of layers, and the engine loads the image without some of them."
            }
            Obstacle::NoLayers => "The image has no layers, and the engine needs one.",
            Obstacle::LayerType => "The media type of a zstd layer is not in any specification.",
            Obstacle::OtherLayerType => "A layer has a media type that is not a layer's.",
            Obstacle::MixedTypes => "A Docker manifest has layers with OCI media types.",
            Obstacle::MixedConfig => "An OCI manifest has a config with Docker's media type.",
            Obstacle::UndecodableConfig => {
                "A value in the config has another type than the engine expects, and it refuses the image."
            }
            Obstacle::DocumentType => {
                "A manifest or index states another media type than the descriptor that leads to it."
            }
            Obstacle::DockerTypes => "The engine does not know the media types of Docker.",
            Obstacle::DockerTypeByName => {
                "There are several images, and the engine does not find one with a Docker manifest by its name."
            }
            Obstacle::LayerLabel => "A compressed layer has the media type of a plain tar.",
            Obstacle::OtherLabel => "A layer is not compressed as its media type says.",
            Obstacle::WrongSize => "A descriptor states another size than that of the content.",
            Obstacle::OtherDigest => {
                "The engine knows only SHA-256, and a digest or diff ID has another algorithm."
            }
            Obstacle::LayerUrls => {
                "A layer has URLs, and the engine downloads it from there instead of reading it from the archive."
            }
            Obstacle::ZstdLayer => "The engine cannot read zstd.",
            Obstacle::SkippableFrame => {
                "A zstd layer begins with a skippable frame, and the engine takes it for a plain tar."
            }
            Obstacle::Bzip2Layer => "The engine cannot read layers compressed with bzip2.",
            Obstacle::XzLayer => "The engine cannot read layers compressed with xz.",
            Obstacle::LayerNotTar => "A layer is not a tar, or does not decompress to one.",
            Obstacle::LayerTwice => "A layer is compressed twice.",
            Obstacle::MixedCompression => {
                "Some layers are compressed and others are not, and the engine reads all of them like the first."
            }
            Obstacle::HardLink => "A layer is a hard link to another entry.",
            Obstacle::SymbolicLink => {
                "A layer is a symbolic link to another entry, and the engine uses the link's length as the layer's."
            }
            Obstacle::SharedFile => "Two layers with different diff IDs are one file.",
            Obstacle::UncleanPath => {
                "Paths in manifest.json are not the plain names of the entries: they begin with ./, for example."
            }
            Obstacle::UncleanName => {
                "An entry's name begins with / or ./, and the engine does not find it under its plain name."
            }
        }
    }
}
