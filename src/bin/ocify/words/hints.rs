//! Hints in the words of the commands.

use std::path::Path;

use ocify::{Hint, Lenient, Pipeline, command::shell_word};

use super::STANDARD_INPUT;
use super::registry::hint_of_registry;
use crate::args::CommandName;

/// A hint that names options which only this command has, or that `fix` words differently.
pub(super) fn own_hint(command: CommandName, hint: &Hint) -> Option<String> {
    let text = match (command, hint) {
        (CommandName::Merge, Hint::ResolveConflict) => {
            "if they are platforms of one image, join them with --index NAME; otherwise keep one of them with --on-conflict first or last, or both with --on-conflict rename".to_owned()
        }
        (CommandName::Fix, _) => return None,
        (CommandName::Push, Hint::Registry(hint)) => hint_of_registry(hint),
        (CommandName::Push, Hint::NameImage) => {
            "give it one, such as ocify push FILE registry.example.com/app:1.0".to_owned()
        }
        (CommandName::Push, Hint::NameOneImage(digest)) => {
            format!("to name it, push it alone: ocify push FILE registry.example.com/app:1.0 --image {digest}")
        }
        (CommandName::Split, Hint::NameOneImage(_)) | (_, Hint::NameImage) => {
            "give it one with ocify fix, such as ocify fix FILE --name example.com/app:1.0 -o NEW".to_owned()
        }
        (_, Hint::NameOneImage(digest)) => {
            format!("to name it, keep only this image: ocify fix FILE --image {digest} --name example.com/app:1.0 -o NEW")
        }
        (_, Hint::UseName(name)) => {
            format!("{name} is valid: give it with ocify fix FILE --name {name} -o NEW, or when you save the image")
        }
        (CommandName::Split, Hint::ChoosePlatform) => {
            "write an output for each platform with --by platform, or keep one platform with --platform, or one image with --image DIGEST".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// The hint in the words of `fix`.
pub(super) fn hint_of_fix(hint: &Hint) -> String {
    let text = match hint {
        Hint::ReadAsStream => {
            "to read from a pipe, redirect it to standard input and give - as INPUT"
        }
        Hint::GiveFile => "give a file, a directory, or - for standard input",
        Hint::GiveImage => {
            "give an archive written by docker save or docker buildx build --output type=oci or type=docker, or an OCI image layout directory"
        }
        Hint::GiveDirectory { path, directory } => {
            let directory = shell_word(directory.as_ref());
            let unpacked = match is_stream(path) {
                true => "… | tar -x".to_owned(),
                false => format!("tar -xf {}", tar_word(path)),
            };
            return format!(
                "extract the directory and fix that: {unpacked} && ocify fix {directory} -o OUTPUT"
            );
        }
        Hint::GiveDirectories { path } => {
            let unpacked = match is_stream(path) {
                true => "… | tar -C NEW -x".to_owned(),
                false => format!("tar -C NEW -xf {}", tar_word(path)),
            };
            return format!(
                "extract the directories and fix them: mkdir NEW && {unpacked} && ocify fix NEW -o OUTPUT/"
            );
        }
        Hint::Decompress(pipeline) => {
            return format!("decompress it first: {}", piped(pipeline));
        }
        Hint::ConvertBack(pipeline) => {
            return format!("convert it back: {}", piped(pipeline));
        }
        Hint::CutOff(pipeline) => {
            return format!(
                "if it does not belong there, cut it off: {}",
                piped(pipeline)
            );
        }
        Hint::SplitArchives { first, second } => {
            return format!(
                "two archives in one file mean different images to different readers; the first is {}, and the second {}",
                piped(first),
                piped(second)
            );
        }
        Hint::GiveRegularFile => "write a new archive with -o OUTPUT",
        Hint::WriteNewDirectory => "write a new directory: -o NEW/ instead of --in-place",
        Hint::GiveNamedFile => {
            "the file has been deleted, so the result would be lost; write a new file with -o OUTPUT"
        }
        Hint::PipeInput => "pipe an archive into the command, or give a file as INPUT",
        Hint::PipeOutput => "pipe it into a command such as docker load, or give a file with -o",
        Hint::FollowLinks => {
            "archive the directory that it was made from with files instead of links: tar -C DIRECTORY --dereference --hard-dereference -cf - . | ocify fix -"
        }
        Hint::AllowLinks => "if you trust what the link leads to, follow links with --follow",
        Hint::StoreWithoutHoles => "write the archive again without tar --sparse",
        Hint::UseLenient(Lenient::LastKey) => "use --lenient to use the last one, as Docker does",
        Hint::UseLenient(Lenient::LastEntry) => "use --lenient to use the last one, as docker does",
        Hint::UseLenient(Lenient::Config) => {
            "the archive is damaged or was edited; use --lenient to accept the config, as docker does"
        }
        Hint::UseLenient(Lenient::Layer) => {
            "the archive is damaged or was edited; use --lenient to accept the layer, as docker does"
        }
        Hint::UseLenientOrLeaveOut(lenient) => {
            let lenient = hint_of_fix(&Hint::UseLenient(*lenient));
            return format!("{lenient}, or keep only the other images with --image");
        }
        Hint::RaiseMaxRatio(what) => {
            return format!("if you trust the {what}, allow more with --max-ratio");
        }
        Hint::RaiseMaxSize(what) => {
            return format!("if you trust the {what}, allow more with --max-size");
        }
        Hint::RaiseMaxWindow => "if you trust it, allow more with --max-window",
        Hint::WriteElsewhere => "write a new archive with -o OUTPUT",
        Hint::WriteNewFile => "write a new file with -o OUTPUT",
        Hint::ChooseOutput => "choose another OUTPUT",
        Hint::Force => "choose another OUTPUT, or replace it with --force",
        Hint::ChooseOutputOutside => "choose an OUTPUT outside the input directory",
        Hint::FreeSpace => "free some space or choose another OUTPUT",
        Hint::ChooseSpoolDirectory => {
            "choose another directory with --spool-dir or TMPDIR, or decompress the archive first"
        }
        Hint::Recover(path) => {
            let path = shell_word(path);
            return format!("run ocify fix --recover {path} as a user with write permission");
        }
        Hint::CompleteLayout(path) => {
            return format!("complete it: ocify fix --in-place {}", shell_word(path));
        }
        Hint::ReplaceMixed(path) => {
            let path = shell_word(path);
            return format!(
                "copy or download {path} again; ocify fix --dry-run --verify full {path} shows whether it can still be used"
            );
        }
        Hint::UseIntactCopy(path) => {
            let path = shell_word(path);
            return format!(
                "{path} contains an intact copy: give that input first, or write to a file with -o FILE"
            );
        }
        Hint::GiveRepository => {
            "give the repository as the last argument, such as ocify push FILE registry.example.com/app"
        }
        Hint::ChooseImageToPush {
            target,
            image,
            repository,
        } => {
            let image = image.as_deref().unwrap_or("IMAGE");
            let one = format!("push one of them: ocify push FILE {target} --image {image}");
            return match repository {
                Some(all) => format!("{one}; or each under its own tag: ocify push FILE {all}"),
                None => one,
            };
        }
        Hint::PushImageApart { repository, image } => {
            return format!(
                "push each under a tag of its own: ocify push FILE {repository}:TAG --image {image}"
            );
        }
        Hint::PushVerifiable { target, image } => {
            let target = target.iter().map(|target| format!(" {target}"));
            let target: String = target.collect();
            let image = image.as_deref().unwrap_or("IMAGE");
            return format!(
                "keep the other images: ocify push FILE{target} --image {image}; or build the image again with SHA-256 digests"
            );
        }
        Hint::PushApart => {
            "push each under a name of its own: ocify push FILE REPOSITORY:TAG, with --image if FILE has several images, or change a name with --rename OLD=NEW; without REPOSITORY, everything goes to its own name"
        }
        Hint::PushComplete => {
            "remove whatever needs it with --missing prune, or push to a repository that has it"
        }
        Hint::ChooseImage => {
            "select one with --image, or change individual names with --rename OLD=NEW"
        }
        Hint::ChoosePlatform => {
            "keep one platform with --platform, or one image with --image DIGEST"
        }
        Hint::ChooseOtherImages => {
            "if an engine fails on it, keep only the other images with --image"
        }
        Hint::LeaveOutDamaged => {
            "the input is damaged; build, save or download it again, or keep only the other images with --image or --platform"
        }
        Hint::RemoveIndex => {
            "save the image again, or remove index.json from a copy with tar --delete -f COPY index.json to use only the images of manifest.json; platforms, attestations and names that only index.json lists are then lost"
        }
        Hint::ChooseImageBy => {
            "--image takes a name, the digest of a manifest or config, or the number of an image, counted from 1"
        }
        Hint::KeepAll => "omit --image to keep everything in the archive",
        Hint::ChooseOtherPlatform => "choose a platform that the archive has, or omit the option",
        Hint::OmitName => "omit --name, which names an image or artifact",
        Hint::ChooseName => {
            "--rename OLD=NEW replaces a name that an image or artifact has; --name gives one to an image that has none"
        }
        Hint::RenameOtherFirst => {
            "choose another name, or change the other one's name with a --rename before this one"
        }
        Hint::KeepDigests => "use --preserve-digests to leave documents unchanged",
        Hint::ChooseMissing => {
            "use --missing keep to ignore it, or --missing prune to remove whatever needs it"
        }
        Hint::KeepAttestations => "omit --attestations drop",
        Hint::SaveAllPlatforms => {
            "save the image with all its platforms, or remove the absent ones with --missing prune"
        }
        Hint::DropAttestations => "remove attestations with --attestations drop",
        Hint::DropYoungOrphans => "if no build is running, remove them with --orphans-older-than 0",
        Hint::DropOrphans => "remove them with --orphans drop",
        Hint::ChooseImageOrOciTypes => {
            "choose an image with --image, or omit --oci-mediatypes=false"
        }
        Hint::UseOciTypes => "omit --oci-mediatypes=false",
        Hint::AllowNewDigests => "omit --preserve-digests to allow new digests",
        Hint::KeepCompression => "omit --compression and --for to keep the layer as it is",
        Hint::CompressWithGzip => "recompress it with --compression gzip",
        Hint::DecompressTwice => {
            "use --compression gzip, which removes the second compression if the layer's diff ID is that of the tar inside; otherwise build or save the image again"
        }
        Hint::CompressForDocker => {
            "Docker has types for gzip and for plain tars; use --compression gzip"
        }
        Hint::CompressOtherwise => {
            "recompress the layer with --compression to remove the annotation"
        }
        Hint::CompressForOldDocker => {
            "for older versions, use --compression gzip or --for docker@20.10"
        }
        Hint::FixForPodman => "for podman and skopeo, use --for podman",
        Hint::ChooseEngine => "request another engine or version with --for, or omit --for",
        Hint::NameImage => "give it one with --name, such as --name example.com/app:1.0",
        Hint::NameOneImage(digest) => {
            return format!(
                "to name it, keep only this image: --image {digest} --name example.com/app:1.0"
            );
        }
        Hint::UseName(name) => {
            return format!("{name} is valid: give it with --name or when you save the image");
        }
        // These hints do not mention the command.
        Hint::GiveArchive
        | Hint::GiveWholeArchive
        | Hint::GiveInner(_)
        | Hint::Unpack(_)
        | Hint::Decrypt(_)
        | Hint::FetchLfs
        | Hint::DownloadFile
        | Hint::SaveInBinary
        | Hint::CopyInBinary
        | Hint::SaveNothingAgain
        | Hint::ImportFilesystem
        | Hint::SaveWithOldDocker
        | Hint::CorrectDockerManifest
        | Hint::GiveImageDirectory
        | Hint::DownloadAgain
        | Hint::CopyAgain
        | Hint::CopyCutShort
        | Hint::SaveAgain
        | Hint::SaveEmptyAgain
        | Hint::SaveWrongAgain
        | Hint::BuildAgain
        | Hint::BuildRefusedAgain
        | Hint::BuildVerifiable
        | Hint::ReplaceDamaged
        | Hint::RemoveKey
        | Hint::SaveFromTrusted
        | Hint::SaveApart
        | Hint::ConvertSchema1
        | Hint::InstallPlugin
        | Hint::ReplaceLink
        | Hint::ShrinkDocument
        | Hint::ChooseOtherName
        | Hint::SaveWithName(_)
        | Hint::UseSupportedDigest
        | Hint::CompareLength
        | Hint::SaveFewer
        | Hint::RetryWhenIdle
        | Hint::RetryAfterChange
        | Hint::RetryWhenFree
        | Hint::FixAfterBuild
        | Hint::WriteToFile
        | Hint::RemoveLink
        | Hint::ChooseEmptyDirectory
        | Hint::ChooseDirectoryBelow
        | Hint::GiveOutputName
        | Hint::ChooseSuffix
        | Hint::CreateDirectory
        | Hint::RedirectElsewhere
        | Hint::GiveOwnName
        | Hint::RemoveJournal
        | Hint::RecoverOriginal
        | Hint::RecoverWithNewer
        | Hint::OutputComplete
        | Hint::RunAgain
        | Hint::Registry(_)
        | Hint::ReportFault
        | Hint::InspectJournal
        | Hint::CorrectName
        | Hint::ResolveConflict
        | Hint::AttestAgain
        | Hint::SignAgain
        | Hint::IndexLayersAgain
        | Hint::Text(_) => return hint.to_string(),
    };
    text.to_owned()
}

/// A path as a word for tar, which takes what is before a colon for another machine unless a slash is before it.
fn tar_word(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let first = bytes.iter().find(|byte| b":/".contains(byte));
    match first == Some(&b':') {
        true => shell_word(&Path::new(".").join(path)),
        false => shell_word(path),
    }
}

/// Whether messages mean standard input by a path.
fn is_stream(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// A line for a shell that fixes what the commands write.
fn piped(pipeline: &Pipeline) -> String {
    match is_stream(pipeline.path()) {
        true => format!("… | {} | ocify fix -", pipeline.filter()),
        false => format!("{pipeline} | ocify fix -"),
    }
}
