//! What a user can do next.

mod text;

use std::borrow::Cow;
use std::path::PathBuf;

use super::{Pipeline, RegistryHint};

/// The next step after an error or a finding.
///
/// `Display` says it in words that fit every program that uses the library. A program with
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
    /// The input is one document of an image.
    GiveWholeArchive,
    /// The archive contains another archive of this name.
    GiveInner(String),
    /// The image is in this directory of the archive, too deep to be found there.
    GiveDirectory {
        /// What messages call the archive.
        path: PathBuf,
        /// The directory.
        directory: String,
    },
    /// Several directories of the archive contain images, too deep to be found there.
    GiveDirectories {
        /// What messages call the archive.
        path: PathBuf,
    },
    /// The archive has other files in it; this command unpacks them.
    Unpack(&'static str),
    /// The archive is encrypted; this command decrypts it.
    Decrypt(&'static str),
    /// The file is a Git LFS pointer.
    FetchLfs,
    /// The file is a web page or an error message.
    DownloadFile,
    /// A shell took the archive for text.
    SaveInBinary,
    /// The archive was copied in text mode.
    CopyInBinary,
    /// A program took the archive for ISO-8859-1 text and converted it to UTF-8; these commands convert it back.
    ConvertBack(Pipeline),
    /// Nothing was written to the file.
    SaveNothingAgain,
    /// The archive is a root filesystem.
    ImportFilesystem,
    /// The archive is of a form that only old versions of Docker load.
    SaveWithOldDocker,
    /// `manifest.json` is not what docker writes.
    CorrectDockerManifest,
    /// The directory contains far more than an image.
    GiveImageDirectory,
    /// The file to be fixed in place is not a regular file.
    GiveRegularFile,
    /// What is to be fixed in place is a directory.
    WriteNewDirectory,
    /// The file to be fixed in place has no name.
    GiveNamedFile,
    /// The file to be fixed in place was given by a link to an open file.
    GiveOwnName,
    /// Standard input is a terminal.
    PipeInput,
    /// Standard output is a terminal.
    PipeOutput,
    /// The archive is compressed in a way that is not supported, or twice; these commands decompress it.
    Decompress(Pipeline),
    /// The archive is cut short or damaged, and was complete at its origin.
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
    /// A key has two spellings.
    RemoveKey,
    /// `index.json` is damaged, and `manifest.json` lists images.
    RemoveIndex,
    /// The two root documents disagree.
    SaveFromTrusted,
    /// A document is larger than readers accept.
    ShrinkDocument,
    /// A document would become larger than readers accept.
    KeepDigests,
    /// One name is given to two images.
    SaveApart,
    /// The image is of schema 1.
    ConvertSchema1,
    /// It is a plugin.
    InstallPlugin,
    /// Two archives are in one file.
    SplitArchives {
        /// The commands that leave only the first archive.
        first: Pipeline,
        /// Those that leave only what follows it.
        second: Pipeline,
    },
    /// Something that is not an archive follows the archive; these commands cut it off.
    CutOff(Pipeline),
    /// A blob or root file is a link that leads to no file of the archive.
    FollowLinks,
    /// A link in a directory leads out of it, and was not followed.
    AllowLinks,
    /// A blob or root file is a link that leads to no file anywhere.
    ReplaceLink,
    /// An entry is stored as a sparse file.
    StoreWithoutHoles,
    /// The digest's algorithm is not supported.
    UseSupportedDigest,
    /// The archive may have been cut short after an entry.
    CompareLength,
    /// All documents together are too large.
    SaveFewer,
    /// Something else writes to the input.
    RetryWhenIdle,
    /// The input changed while it was being read.
    RetryAfterChange,
    /// Another run works on the file.
    RetryWhenFree,
    /// What passes by once has to be read again.
    WriteToFile,
    /// The input is ambiguous or contradicts itself, and Docker accepts it anyway.
    UseLenient(Lenient),
    /// The same for one of several images.
    UseLenientOrLeaveOut(Lenient),
    /// What is called this (an archive, an image) becomes larger than the allowed ratio.
    RaiseMaxRatio(&'static str),
    /// What is called this (an archive, an image) becomes larger than the allowed size.
    RaiseMaxSize(&'static str),
    /// Decompressing needs more memory than is allowed.
    RaiseMaxWindow,
    /// The archive cannot be fixed in place.
    WriteElsewhere,
    /// The file cannot be written.
    WriteNewFile,
    /// The output cannot be at this path.
    ChooseOutput,
    /// The output is a symbolic link.
    RemoveLink,
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
    /// The output's suffix is that of a format that ocify does not write.
    ChooseSuffix,
    /// The directory for the output does not exist.
    CreateDirectory,
    /// Standard output leads to the input.
    RedirectElsewhere,
    /// The filesystem is full.
    FreeSpace,
    /// The directory for temporary files cannot be used or is full.
    ChooseSpoolDirectory,
    /// A fix of this file was interrupted.
    Recover(PathBuf),
    /// The journal is of another file.
    RemoveJournal,
    /// The journal is of another file, which may have been copied with it.
    RecoverOriginal,
    /// A newer version wrote the journal.
    RecoverWithNewer,
    /// The contents of this file may be partly old and partly new.
    ReplaceMixed(PathBuf),
    /// The output is complete, whatever failed after that.
    OutputComplete,
    /// Nothing was changed, and the same command may succeed.
    RunAgain,
    /// This layout was fixed in place, but not all of its files were written.
    CompleteLayout(PathBuf),
    /// About a registry.
    Registry(RegistryHint),
    /// A fault of the program.
    ReportFault,
    /// The journal may belong to another user.
    InspectJournal,
    /// One image has to be chosen to be named.
    ChooseImage,
    /// Inputs give one name to different images.
    ResolveConflict,
    /// An index with several images cannot be unwrapped.
    ChoosePlatform,
    /// The choice of an image matches none.
    ChooseImageBy,
    /// An image was chosen, and the archive has none.
    KeepAll,
    /// A platform was chosen that no image has.
    ChooseOtherPlatform,
    /// A name was given, and the archive has nothing that could have one.
    OmitName,
    /// A name was to be replaced that nothing has.
    ChooseName,
    /// Something else has the name.
    ChooseOtherName,
    /// Another image or artifact has the name, which can get another name first.
    RenameOtherFirst,
    /// An image has no name under which it can be pushed.
    GiveRepository,
    /// One name was given for several images that are to be pushed.
    ChooseImageToPush {
        /// The name.
        target: String,
        /// One of the images: its name, or its digest in the input if that is known.
        image: Option<String>,
        /// The repository, if each image would have a tag of its own in it.
        repository: Option<String>,
    },
    /// Several images that are to be pushed have one name.
    PushApart,
    /// An image that is to be pushed with others would have no tag, or that of another.
    PushImageApart {
        /// The repository.
        repository: String,
        /// The image: its name, or its digest in the input.
        image: String,
    },
    /// One of several images that are to be pushed has a digest that cannot be verified.
    PushVerifiable {
        /// Where they are to be pushed, if that was given.
        target: Option<String>,
        /// The only other image: its name, or its digest in the input. `None` if that is not known or there are several.
        image: Option<String>,
    },
    /// What is to be pushed has a digest that cannot be verified.
    BuildVerifiable,
    /// A registry lacks a blob that an image needs, and the input lacks it too.
    PushComplete,
    /// An image that no engine can load is beside others.
    ChooseOtherImages,
    /// A blob that an image needs is missing.
    ChooseMissing,
    /// Blobs that nothing refers to can be removed.
    DropOrphans,
    /// Blobs that nothing refers to can be removed even if they are young.
    DropYoungOrphans,
    /// A layout can be fixed where it is when no build is running.
    FixAfterBuild,
    /// Nothing but attestations is in the archive, and they were to be removed.
    KeepAttestations,
    /// An attestation has no Docker type.
    DropAttestations,
    /// A document has no Docker type, and images beside it may have.
    ChooseImageOrOciTypes,
    /// Something has no Docker type.
    UseOciTypes,
    /// Something needs changes that give documents new digests.
    AllowNewDigests,
    /// A layer cannot be recompressed.
    KeepCompression,
    /// A layer's compression has no type.
    CompressWithGzip,
    /// A layer is compressed twice.
    DecompressTwice,
    /// The requested compression has no Docker type.
    CompressForDocker,
    /// A layer has an annotation of its compression, which has no Docker form.
    CompressOtherwise,
    /// Old versions of Docker cannot read zstd.
    CompressForOldDocker,
    /// Podman and skopeo cannot read the layer.
    FixForPodman,
    /// The only image has no name.
    NameImage,
    /// Leave the engine out of the request, or request another version.
    ChooseEngine,
    /// One of several images has no name; this is its digest.
    NameOneImage(String),
    /// The name of the only image is not valid, and this one, much like it, is.
    UseName(String),
    /// One of several names is not valid, and this one, much like it, is.
    SaveWithName(String),
    /// A name is not valid.
    CorrectName,
    /// An index lists manifests that are not there.
    SaveAllPlatforms,
    /// An attestation names the old digest.
    AttestAgain,
    /// A signature is of the old digest.
    SignAgain,
    /// An index of layers is for their old bytes.
    IndexLayersAgain,
    /// An image is damaged, and others are not.
    LeaveOutDamaged,
    /// A blob is damaged in one input, and this one has an intact copy. An output that is not a stream would have that.
    UseIntactCopy(PathBuf),
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

impl From<RegistryHint> for Hint {
    fn from(hint: RegistryHint) -> Self {
        Hint::Registry(hint)
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Self {
        Hint::Text(text.into())
    }
}
