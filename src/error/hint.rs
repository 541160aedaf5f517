//! What a user can do next.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use super::show_path;

/// The next step after an error or a finding.
///
/// `Display` says it in words that hold for every program that uses the library. A program with
/// options of its own, such as the command `ocify`, matches the variants and names these; the list
/// has no catch-all, so that a new variant cannot be missed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// The path is a FIFO, which can only be read once: open it as a stream.
    ReadAsStream,
    /// The path is neither a file nor a directory.
    GiveFile,
    /// The input is not a tar archive.
    GiveArchive,
    /// The input has no image in it.
    GiveImage,
    /// The directory holds far more than an image.
    GiveImageDirectory,
    /// The file to be fixed in place is not a regular file.
    GiveRegularFile,
    /// The file to be fixed in place has no name.
    GiveNamedFile,
    /// Standard input is a terminal.
    PipeInput,
    /// Standard output is a terminal.
    PipeOutput,
    /// The archive is compressed; this command decompresses it.
    Decompress(&'static str),
    /// The archive is cut short or damaged, and was whole where it came from.
    DownloadAgain,
    /// A document's bytes are damaged.
    CopyAgain,
    /// A blob has another length than stated.
    CopyCutShort,
    /// Blobs are missing.
    SaveAgain,
    /// No image is listed.
    SaveEmptyAgain,
    /// A layer's digest is not the diff ID that the config states.
    SaveWrongAgain,
    /// Layers and diff IDs differ in number.
    BuildAgain,
    /// A layer's content is not what the config states.
    BuildRefusedAgain,
    /// A blob's bytes are damaged.
    ReplaceDamaged,
    /// The two root documents disagree.
    SaveFromTrusted,
    /// One name is given to two images.
    SaveApart,
    /// The image is of schema 1.
    ConvertSchema1,
    /// It is a plugin.
    InstallPlugin,
    /// Two archives are in one file.
    SplitArchives,
    /// A blob or root file is a link.
    FollowLinks,
    /// An entry is stored as a sparse file.
    StoreWithoutHoles,
    /// The digest's algorithm is not supported.
    UseSupportedDigest,
    /// The archive may have been cut short after an entry.
    CompareLength,
    /// Something else writes to the input.
    RetryWhenIdle,
    /// The input changed while it was read.
    RetryAfterChange,
    /// Another run works on the file.
    RetryWhenFree,
    /// What passes by once has to be read again.
    WriteToFile,
    /// The input is ambiguous or contradicts itself, and Docker takes it all the same.
    UseLenient(Lenient),
    /// What is called this (an archive, an image) becomes larger than the allowed ratio.
    RaiseMaxRatio(&'static str),
    /// Decompressing needs more memory than is allowed.
    RaiseMaxWindow,
    /// The archive cannot be fixed in place.
    WriteElsewhere,
    /// The file cannot be written.
    WriteNewFile,
    /// The output is not where it can be.
    ChooseOutput,
    /// The output exists.
    Force,
    /// The output directory is not empty.
    ChooseEmptyDirectory,
    /// The output directory is a mount point.
    ChooseDirectoryBelow,
    /// The output would be in the input.
    ChooseOutputOutside,
    /// The output's path does not end in a name.
    GiveOutputName,
    /// The directory for the output does not exist.
    CreateDirectory,
    /// Standard output leads to the input.
    RedirectElsewhere,
    /// The filesystem is full.
    FreeSpace,
    /// The directory for temporary files cannot be used or is full.
    ChooseSpoolDirectory,
    /// A fix of this file did not end.
    Recover(PathBuf),
    /// The journal is of another file.
    RemoveJournal,
    /// The journal may be somebody else's.
    InspectJournal,
    /// One image has to be chosen to be named.
    ChooseImage,
    /// The choice of an image matches none.
    ChooseImageBy,
    /// A blob that an image needs is missing.
    ChooseMissing,
    /// An attestation has no Docker type.
    DropAttestations,
    /// A document has no Docker type, and images beside it may have.
    ChooseImageOrOciTypes,
    /// Something has no Docker type.
    UseOciTypes,
    /// A layer's compression has no type.
    CompressWithGzip,
    /// The wanted compression has no Docker type.
    CompressForDocker,
    /// A layer has an annotation of its compression, which has no Docker form.
    CompressOtherwise,
    /// Old versions of Docker cannot read zstd.
    CompressForOldDocker,
    /// Podman and skopeo cannot read the layer.
    FixForPodman,
    /// An image has no name.
    NameImage,
    /// A name is not valid, and this one, much like it, is.
    UseName(String),
    /// A name is not valid.
    CorrectName,
    /// An index lists manifests that are not there.
    SaveAllPlatforms,
    /// An attestation names the old digest.
    AttestAgain,
    /// A signature is of the old digest.
    SignAgain,
    /// Words of the program that uses the library.
    Text(Cow<'static, str>),
}

/// What is accepted when ambiguous input is read leniently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lenient {
    /// The last of several values of one key.
    LastKey,
    /// The last of several entries of one name.
    LastEntry,
    /// A config whose name is another digest.
    Config,
    /// A layer whose name is another digest.
    Layer,
}

impl From<&'static str> for Hint {
    fn from(text: &'static str) -> Self {
        Hint::Text(text.into())
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Self {
        Hint::Text(text.into())
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Hint::ReadAsStream => "read it as a stream",
            Hint::GiveFile => "give a file or a directory",
            Hint::GiveArchive => "give a tar archive or an OCI image layout directory",
            Hint::GiveImage => {
                "give an archive with an index.json or a manifest.json, or an OCI image layout directory"
            }
            Hint::GiveImageDirectory => "give the directory that holds the image and nothing else",
            Hint::GiveRegularFile => {
                "only an archive in a file of its own can be fixed in place; write a new one"
            }
            Hint::GiveNamedFile => "nobody could find what is written to it; write a new file",
            Hint::PipeInput => "read an archive from a pipe or a file",
            Hint::PipeOutput => "write the archive to a pipe or a file",
            Hint::Decompress(tool) => {
                return write!(f, "decompress it first, for example with {tool}");
            }
            Hint::DownloadAgain => "copy or download the archive again",
            Hint::CopyAgain => "the archive is damaged; copy or save it again",
            Hint::CopyCutShort => "the archive is damaged or was cut short; copy or save it again",
            Hint::SaveAgain => "save the image again; the archive is incomplete",
            Hint::SaveEmptyAgain => {
                "save the image again; docker before 23 takes such an archive in silence and loads nothing"
            }
            Hint::SaveWrongAgain => {
                "the archive is damaged or was made wrong; save the image again"
            }
            Hint::BuildAgain => "build or save the image again; every engine refuses it as it is",
            Hint::BuildRefusedAgain => "every engine refuses this image; build or save it again",
            Hint::ReplaceDamaged => "the input is damaged; build, save or download it again",
            Hint::SaveFromTrusted => {
                "readers would load different images from this archive; save it again from a source you trust"
            }
            Hint::SaveApart => {
                "readers would keep that name for one image or the other; save each image under a name of its own"
            }
            Hint::ConvertSchema1 => {
                "pull and save the image again with a current Docker, or convert it with oci-schema1 (github.com/tianon/oci-schema1)"
            }
            Hint::InstallPlugin => {
                "plugins are installed with docker plugin install, not loaded from archives"
            }
            Hint::SplitArchives => {
                "two archives in one file mean different images to different readers; split them"
            }
            Hint::FollowLinks => "write the archive again with links followed",
            Hint::StoreWithoutHoles => "write the archive again without sparse files",
            Hint::UseSupportedDigest => "only sha256 and sha512 digests are supported",
            Hint::CompareLength => "compare its length with that of the original",
            Hint::RetryWhenIdle => "try again when nothing else writes to it",
            Hint::RetryAfterChange => "the input changed while it was read; try again",
            Hint::RetryWhenFree => "try again when it has ended",
            Hint::WriteToFile => "write the archive to a file first",
            Hint::UseLenient(accepted) => return write!(f, "{accepted}"),
            Hint::RaiseMaxRatio(what) => {
                return write!(
                    f,
                    "if the {what} is to be trusted, raise the limit of the ratio"
                );
            }
            Hint::RaiseMaxWindow => "if it is to be trusted, raise the limit of the window",
            Hint::WriteElsewhere => "write a new archive",
            Hint::WriteNewFile => "write a new file",
            Hint::ChooseOutput => "choose another output",
            Hint::Force => "choose another output, or allow it to be replaced",
            Hint::ChooseEmptyDirectory => {
                "choose a new or an empty directory; for an archive in this one, give its name as well"
            }
            Hint::ChooseDirectoryBelow => "choose a new directory below it",
            Hint::ChooseOutputOutside => "choose an output outside the input directory",
            Hint::GiveOutputName => "give a path that ends in a name",
            Hint::CreateDirectory => "create it first",
            Hint::RedirectElsewhere => "let it lead to another file, or to a pipe",
            Hint::FreeSpace => "free some space or choose another output",
            Hint::ChooseSpoolDirectory => {
                "choose another directory for temporary files, or decompress the archive first"
            }
            Hint::Recover(path) => {
                return write!(f, "recover {} as a user who may write it", show_path(path));
            }
            Hint::RemoveJournal => "if the file was replaced on purpose, remove the journal",
            Hint::InspectJournal => "look who put it there, and remove it if it is not wanted",
            Hint::ChooseImage => "choose one image, or rename single images",
            Hint::ChooseImageBy => {
                "an image is chosen by a name, by the digest of a manifest or of a config, or by a number from 1"
            }
            Hint::ChooseMissing => "keep what needs it as it is, or leave it out",
            Hint::DropAttestations => "leave attestations out",
            Hint::ChooseImageOrOciTypes => "choose an image, or ask for OCI types",
            Hint::UseOciTypes => "ask for OCI types",
            Hint::CompressWithGzip => "compress it anew with gzip",
            Hint::CompressForDocker => {
                "Docker has types for gzip and for plain tars; compress with gzip"
            }
            Hint::CompressOtherwise => "another compression goes without it",
            Hint::CompressForOldDocker => {
                "for such a Docker, compress with gzip, or avoid what docker@20.10 cannot read"
            }
            Hint::FixForPodman => "for these, avoid what podman cannot read",
            Hint::NameImage => "give it a name, such as example.com/app:1.0",
            Hint::UseName(name) => {
                return write!(
                    f,
                    "{name} would be valid: give it now or when the image is saved"
                );
            }
            Hint::CorrectName => {
                "a name is REPOSITORY:TAG, the repository in lower case, such as example.com/app:1.0"
            }
            Hint::SaveAllPlatforms => {
                "save the image with all its platforms, or read it with a tool that takes one platform"
            }
            Hint::AttestAgain => {
                "attest the image again if the digest in the statement is verified"
            }
            Hint::SignAgain => "sign the fixed image again",
            Hint::Text(text) => text,
        };
        f.write_str(text)
    }
}

impl fmt::Display for Lenient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lenient::LastKey => "lenient reading takes the last one, as Docker does",
            Lenient::LastEntry => "lenient reading takes the last one, as docker does",
            Lenient::Config => "the archive is damaged or was edited; lenient reading takes the config as it is, as docker does",
            Lenient::Layer => "the archive is damaged or was edited; lenient reading takes the layer as it is, as docker does",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_in_the_words() {
        for (hint, expected) in [
            (Hint::UseName("app:v1".to_owned()), "app:v1 would be valid"),
            (Hint::Recover("a\n.tar".into()), "recover a\\u{a}.tar as"),
            (Hint::Decompress("xz -d"), "with xz -d"),
            (Hint::RaiseMaxRatio("image"), "if the image is"),
            (Hint::UseLenient(Lenient::Config), "takes the config"),
            ("create it first".into(), "create it first"),
        ] {
            assert!(hint.to_string().contains(expected), "{hint}");
        }
    }
}
