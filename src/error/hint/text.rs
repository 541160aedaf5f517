//! Hints in words that fit every program that uses the library.

use std::fmt;

use super::{Hint, Lenient};
use crate::error::{escape, shell_word, show_path};

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Hint::ReadAsStream => "read it as a stream",
            Hint::GiveFile => "give a file or a directory",
            Hint::GiveArchive => "give a tar archive or an OCI image layout directory",
            Hint::GiveImage => {
                "give an archive with an index.json or a manifest.json, or an OCI image layout directory"
            }
            Hint::GiveWholeArchive => "give the archive or the directory that contains it",
            Hint::GiveInner(name) => {
                return write!(f, "extract {} and give that", escape(name));
            }
            Hint::GiveDirectory { directory, .. } => {
                let directory = shell_word(directory.as_ref());
                return write!(f, "extract the directory {directory} and give that");
            }
            Hint::GiveDirectories { .. } => {
                "extract the archive and give the directories with images"
            }
            Hint::Unpack(tool) => {
                return write!(
                    f,
                    "unpack it first, for example with {tool}, and give the archive or directory in it"
                );
            }
            Hint::Decrypt(tool) => return write!(f, "decrypt it first, for example with {tool}"),
            Hint::FetchLfs => "fetch the file itself with git lfs pull",
            Hint::DownloadFile => {
                "the download returned a page or a message instead of the file; check the address, and sign in if it requires that"
            }
            Hint::SaveInBinary => {
                "PowerShell's > converts binary data to text; save the image again with docker save -o FILE"
            }
            Hint::CopyInBinary => "copy or download the archive again in binary mode",
            Hint::ConvertBack(pipeline) => return write!(f, "convert it back: {pipeline}"),
            Hint::SaveNothingAgain => {
                "nothing was written to it; save or download the image again, and check that this succeeds"
            }
            Hint::ImportFilesystem => {
                "docker import makes an image of a root filesystem; docker save writes an image archive"
            }
            Hint::SaveWithOldDocker => "load it with Docker 28 or older, and save it again",
            Hint::CorrectDockerManifest => {
                "manifest.json must be a list of objects with Config, RepoTags and Layers, as docker save writes it; save the image again"
            }
            Hint::GiveImageDirectory => "give the directory that contains only the image",
            Hint::GiveRegularFile => "write a new archive instead",
            Hint::WriteNewDirectory => "write a new directory instead",
            Hint::GiveNamedFile => {
                "the file has been deleted, so the result would be lost; write a new file"
            }
            Hint::GiveOwnName => "give the file's own name",
            Hint::PipeInput => "read an archive from a pipe or a file",
            Hint::PipeOutput => "write the archive to a pipe or a file",
            Hint::Decompress(pipeline) => return write!(f, "decompress it first: {pipeline}"),
            Hint::DownloadAgain => "copy or download the archive again",
            Hint::CopyAgain => "the archive is damaged; copy or save it again",
            Hint::CopyCutShort => "the archive is damaged or truncated; copy or save it again",
            Hint::SaveAgain => "save the image again; the archive is incomplete",
            Hint::SaveEmptyAgain => {
                "save the image again; docker before 23 accepts such an archive silently and loads nothing"
            }
            Hint::SaveWrongAgain => {
                "the archive is damaged or was written incorrectly; save the image again"
            }
            Hint::BuildAgain => "build or save the image again; engines refuse it",
            Hint::BuildRefusedAgain => {
                "engines that verify layers refuse this image; build or save it again"
            }
            Hint::ReplaceDamaged => "the input is damaged; build, save or download it again",
            Hint::LeaveOutDamaged => {
                "the input is damaged; build, save or download it again, or choose the other images"
            }
            Hint::RemoveIndex => {
                "save the image again, or remove index.json to use only the images of manifest.json; platforms, attestations and names that only index.json lists are then lost"
            }
            Hint::SaveFromTrusted => {
                "readers would load different images from this archive; save it again from a source you trust"
            }
            Hint::ShrinkDocument => {
                "engines and registries limit the size of documents; save fewer images at once, or build the image again"
            }
            Hint::KeepDigests => "keep the digests, and with them the documents",
            Hint::RemoveKey => "remove one of the two keys, or save the image again",
            Hint::SaveApart => {
                "readers would keep that name for one image or the other; save each image under its own name"
            }
            Hint::ConvertSchema1 => {
                "pull and save the image again with a current Docker, or convert it with oci-schema1 (github.com/tianon/oci-schema1)"
            }
            Hint::InstallPlugin => {
                "plugins are installed with docker plugin install, not loaded from archives"
            }
            Hint::SplitArchives { first, second } => {
                return write!(
                    f,
                    "two archives in one file mean different images to different readers; split them with {first} and {second}"
                );
            }
            Hint::CutOff(pipeline) => {
                return write!(f, "if it does not belong there, cut it off: {pipeline}");
            }
            Hint::FollowLinks => "write the archive again with links followed",
            Hint::ReplaceLink => {
                "replace the link with the file that it stands for, or save the image again"
            }
            Hint::AllowLinks => "if you trust what the link leads to, follow links",
            Hint::StoreWithoutHoles => "write the archive again without sparse files",
            Hint::UseSupportedDigest => "only sha256 and sha512 digests are supported",
            Hint::CompareLength => "compare its length with the original's",
            Hint::SaveFewer => "save fewer images in one archive",
            Hint::RetryWhenIdle => "try again when nothing else writes to it",
            Hint::RetryAfterChange => "the input changed while it was being read; try again",
            Hint::RetryWhenFree => "try again when it has finished",
            Hint::WriteToFile => "write the archive to a file first",
            Hint::UseLenient(accepted) => return write!(f, "{accepted}"),
            Hint::UseLenientOrLeaveOut(accepted) => {
                return write!(f, "{accepted}, or choose the other images");
            }
            Hint::RaiseMaxRatio(what) => {
                return write!(f, "if you trust the {what}, raise the ratio limit");
            }
            Hint::RaiseMaxSize(what) => {
                return write!(f, "if you trust the {what}, raise the size limit");
            }
            Hint::RaiseMaxWindow => "if you trust it, raise the window limit",
            Hint::WriteElsewhere => "write a new archive",
            Hint::WriteNewFile => "write a new file",
            Hint::ChooseOutput => "choose another output",
            Hint::RemoveLink => "remove the link, or give the path that it leads to",
            Hint::Force => "choose another output, or allow replacing this one",
            Hint::ChooseEmptyDirectory => "choose a new or empty directory",
            Hint::ChooseDirectoryBelow => "choose a new directory inside it",
            Hint::ChooseOutputOutside => "choose an output outside the input directory",
            Hint::GiveOutputName => "give a path that ends in a file name",
            Hint::ChooseSuffix => "use .tar, .tar.gz or .tar.zst",
            Hint::CreateDirectory => "create it first",
            Hint::RedirectElsewhere => "redirect it to another file or to a pipe",
            Hint::FreeSpace => "free some space or choose another output",
            Hint::ChooseSpoolDirectory => {
                "choose another directory for temporary files, or decompress the archive first"
            }
            Hint::Recover(path) => {
                return write!(
                    f,
                    "recover {} as a user with write permission",
                    show_path(path)
                );
            }
            Hint::UseIntactCopy(path) => {
                return write!(
                    f,
                    "{} contains an intact copy: give that input first, or write to a file",
                    show_path(path)
                );
            }
            Hint::RemoveJournal => "if you replaced the file on purpose, remove the journal",
            Hint::RecoverOriginal => {
                "if the file was copied together with its journal, recover the original and copy it again; if you replaced the file on purpose, remove the journal"
            }
            Hint::RecoverWithNewer => "recover it with that version of ocify",
            Hint::ReplaceMixed(path) => {
                return write!(
                    f,
                    "copy or download {} again; only verifying every layer would show whether it can still be used",
                    show_path(path)
                );
            }
            Hint::OutputComplete => "the output itself is complete",
            Hint::RunAgain => "run the same command again",
            Hint::CompleteLayout(path) => {
                return write!(f, "fix {} in place again to complete it", show_path(path));
            }
            Hint::Registry(hint) => return hint.fmt(f),
            Hint::ReportFault => {
                "this is a bug in ocify; please report it with this message and, if you can, the archive"
            }
            Hint::InspectJournal => "check who put it there, and remove it if you do not need it",
            Hint::ChooseImage => "choose one image, or rename single images",
            Hint::ChoosePlatform => "choose one platform",
            Hint::ResolveConflict => "say which image has the name",
            Hint::GiveRepository => {
                "give the repository to push to, such as registry.example.com/app"
            }
            Hint::ChooseImageToPush {
                repository: Some(_),
                ..
            } => "choose one, or give a repository without a tag, so that each keeps its own",
            Hint::ChooseImageToPush { .. } => "choose one",
            Hint::PushApart => "push each of them under a name of its own",
            Hint::PushImageApart { repository, image } => {
                return write!(
                    f,
                    "push {image} alone, under a tag of its own in {repository}"
                );
            }
            Hint::PushVerifiable { .. } => {
                "leave out what has such a digest, or build it again with SHA-256 digests"
            }
            Hint::BuildVerifiable => "build the image again with SHA-256 digests",
            Hint::PushComplete => "leave out what needs it, or push to a repository that has it",
            Hint::ChooseOtherImages => "if an engine fails on it, choose the other images",
            Hint::ChooseImageBy => {
                "choose an image by its name, by the digest of its manifest or config, or by its number, counted from 1"
            }
            Hint::KeepAll => "do not choose an image",
            Hint::ChooseOtherPlatform => "choose a platform that the archive has, or none",
            Hint::OmitName => "do not give a name: only images and artifacts get one",
            Hint::ChooseName => "choose a name that an image or artifact has",
            Hint::ChooseOtherName => "choose another name",
            Hint::RenameOtherFirst => "choose another name, or rename the other one first",
            Hint::ChooseMissing => "keep whatever needs it unchanged, or remove it",
            Hint::KeepAttestations => "keep attestations",
            Hint::DropAttestations => "drop attestations",
            Hint::DropYoungOrphans => "drop younger blobs that nothing refers to",
            Hint::FixAfterBuild => {
                "fix it again when no build is running; if none is, remove what a killed build left in ingest/"
            }
            Hint::DropOrphans => "drop blobs that nothing refers to",
            Hint::ChooseImageOrOciTypes => "choose an image, or request OCI types",
            Hint::UseOciTypes => "request OCI types",
            Hint::AllowNewDigests => "allow digests to change",
            Hint::KeepCompression => "keep the compression of layers",
            Hint::CompressWithGzip => "recompress it with gzip",
            Hint::DecompressTwice => {
                "recompress it with gzip, which removes the second compression if the diff ID is that of the tar inside; otherwise build or save the image again"
            }
            Hint::CompressForDocker => {
                "Docker has types for gzip and for plain tars; recompress it with gzip"
            }
            Hint::CompressOtherwise => "recompress the layer to remove the annotation",
            Hint::CompressForOldDocker => {
                "for older versions, recompress with gzip, or avoid what docker@20.10 cannot read"
            }
            Hint::FixForPodman => "for podman and skopeo, avoid what podman cannot read",
            Hint::ChooseEngine => "choose another engine or version, or none",
            Hint::NameImage => "give it a name, such as example.com/app:1.0",
            Hint::NameOneImage(digest) => {
                return write!(
                    f,
                    "choose {digest} alone, and give it a name, such as example.com/app:1.0"
                );
            }
            Hint::UseName(name) => {
                return write!(f, "{name} is valid: use it now or when you save the image");
            }
            Hint::SaveWithName(name) => {
                return write!(f, "{name} is valid: use it when you save the image");
            }
            Hint::CorrectName => {
                "a name is REPOSITORY:TAG, with the repository in lower case, such as example.com/app:1.0"
            }
            Hint::SaveAllPlatforms => {
                "save the image with all its platforms, or load it with a tool that reads a single platform"
            }
            Hint::AttestAgain => {
                "attest the image again if anything verifies the digest in the statement"
            }
            Hint::SignAgain => "sign the fixed image again",
            Hint::IndexLayersAgain => "create the SOCI index again from the fixed image",
            Hint::Text(text) => text,
        };
        f.write_str(text)
    }
}

impl fmt::Display for Lenient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lenient::LastKey => "lenient reading uses the last one, as Docker does",
            Lenient::LastEntry => "lenient reading uses the last one, as docker does",
            Lenient::Config => "the archive is damaged or was edited; lenient reading accepts the config, as docker does",
            Lenient::Layer => "the archive is damaged or was edited; lenient reading accepts the layer, as docker does",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Pipeline;

    #[test]
    fn data_is_in_the_words() {
        for (hint, expected) in [
            (Hint::UseName("app:v1".to_owned()), "app:v1 is valid"),
            (Hint::Recover("a\n.tar".into()), "recover a\\u{a}.tar as"),
            (
                Hint::CompleteLayout("a\n".into()),
                "fix a\\u{a} in place again",
            ),
            (
                Hint::Decompress(Pipeline::new(
                    "a b".as_ref(),
                    ["gzip -dc", "lz4 -dc"].map(str::to_owned),
                )),
                "decompress it first: gzip -dc 'a b' | lz4 -dc",
            ),
            (Hint::RaiseMaxRatio("image"), "if you trust the image"),
            (Hint::UseLenient(Lenient::Config), "accepts the config"),
            ("create it first".into(), "create it first"),
        ] {
            assert!(hint.to_string().contains(expected), "{hint}");
        }
    }
}
