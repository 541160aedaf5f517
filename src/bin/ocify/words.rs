//! The command's words for what the library says without knowing the command: hints and messages
//! name the options here.

use ocify::error::{Code, Error, Hint, Lenient, show_path};
use ocify::plan::rules::Rule;
use ocify::report::Wording;

/// The words of the command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words;

impl Wording for Words {
    fn hint(&self, hint: &Hint) -> String {
        let text = match hint {
            Hint::ReadAsStream => "give what a pipe brings on standard input, whose name is -",
            Hint::GiveFile => "give a file, a directory, or - for standard input",
            Hint::GiveImage => {
                "give an archive that docker save or docker buildx build --output type=oci or type=docker wrote, or an OCI image layout directory"
            }
            Hint::GiveRegularFile => {
                "only an archive in a file of its own can be fixed in place; -o OUTPUT writes a new one"
            }
            Hint::GiveNamedFile => {
                "nobody could find what is written to it; -o OUTPUT writes a new file"
            }
            Hint::PipeInput => "pipe an archive into the command, or give a file as INPUT",
            Hint::PipeOutput => {
                "pipe it into a command such as docker load, or give a file with -o"
            }
            Hint::FollowLinks => {
                "write the archive again with links followed, as tar --dereference --hard-dereference does"
            }
            Hint::StoreWithoutHoles => "write the archive again without tar --sparse",
            Hint::UseLenient(Lenient::LastKey) => "--lenient takes the last one, as Docker does",
            Hint::UseLenient(Lenient::LastEntry) => "--lenient takes the last one, as docker does",
            Hint::UseLenient(Lenient::Config) => {
                "the archive is damaged or was edited; --lenient takes the config as it is, as docker does"
            }
            Hint::UseLenient(Lenient::Layer) => {
                "the archive is damaged or was edited; --lenient takes the layer as it is, as docker does"
            }
            Hint::RaiseMaxRatio(what) => {
                return format!("if the {what} is to be trusted, allow more with --max-ratio");
            }
            Hint::RaiseMaxWindow => "if it is to be trusted, allow more with --max-window",
            Hint::WriteElsewhere => "-o OUTPUT writes a new archive",
            Hint::WriteNewFile => "-o OUTPUT writes a new file",
            Hint::ChooseOutput => "choose another OUTPUT",
            Hint::Force => "choose another OUTPUT, or replace it with --force",
            Hint::ChooseOutputOutside => "choose an OUTPUT outside the input directory",
            Hint::FreeSpace => "free some space or choose another OUTPUT",
            Hint::ChooseSpoolDirectory => {
                "choose another directory with --spool-dir or TMPDIR, or decompress the archive first"
            }
            Hint::Recover(path) => {
                let path = show_path(path);
                return format!("run ocify fix --recover {path} as a user who may write it");
            }
            Hint::ChooseImage => {
                "pick one with --image, or change single names with --rename OLD=NEW"
            }
            Hint::ChooseImageBy => {
                "--image takes a name, the digest of a manifest or of a config, or a number from 1"
            }
            Hint::ChooseMissing => {
                "--missing keep passes over it, --missing prune leaves out what needs it"
            }
            Hint::DropAttestations => "leave attestations out with --attestations drop",
            Hint::ChooseImageOrOciTypes => {
                "choose an image with --image, or leave out --oci-mediatypes=false"
            }
            Hint::UseOciTypes => "leave out --oci-mediatypes=false",
            Hint::CompressWithGzip => "--compression gzip compresses it anew",
            Hint::CompressForDocker => {
                "Docker has types for gzip and for plain tars; use --compression gzip"
            }
            Hint::CompressOtherwise => "another form with --compression goes without it",
            Hint::CompressForOldDocker => {
                "for such a Docker, use --compression gzip or --for docker@20.10"
            }
            Hint::FixForPodman => "for these, use --for podman",
            Hint::NameImage => "give it one with --name, such as --name example.com/app:1.0",
            Hint::UseName(name) => {
                return format!(
                    "{name} would be valid: give it with --name or when the image is saved"
                );
            }
            // Nothing of the command is in these.
            Hint::GiveArchive
            | Hint::GiveImageDirectory
            | Hint::Decompress(_)
            | Hint::DownloadAgain
            | Hint::CopyAgain
            | Hint::CopyCutShort
            | Hint::SaveAgain
            | Hint::SaveEmptyAgain
            | Hint::SaveWrongAgain
            | Hint::BuildAgain
            | Hint::BuildRefusedAgain
            | Hint::ReplaceDamaged
            | Hint::SaveFromTrusted
            | Hint::SaveApart
            | Hint::ConvertSchema1
            | Hint::InstallPlugin
            | Hint::SplitArchives
            | Hint::UseSupportedDigest
            | Hint::CompareLength
            | Hint::RetryWhenIdle
            | Hint::RetryAfterChange
            | Hint::RetryWhenFree
            | Hint::WriteToFile
            | Hint::ChooseEmptyDirectory
            | Hint::ChooseDirectoryBelow
            | Hint::GiveOutputName
            | Hint::CreateDirectory
            | Hint::RedirectElsewhere
            | Hint::RemoveJournal
            | Hint::InspectJournal
            | Hint::CorrectName
            | Hint::SaveAllPlatforms
            | Hint::AttestAgain
            | Hint::SignAgain
            | Hint::Text(_) => return hint.to_string(),
        };
        text.to_owned()
    }

    fn reason(&self, rule: Rule) -> &'static str {
        match rule {
            Rule::DockerType => "requested with --oci-mediatypes=false",
            Rule::Recompressed => {
                "requested with --compression or --for; the tar inside is the same"
            }
            Rule::AbsentPruned => {
                "content that it needs is not in the archive, and --missing prune was requested"
            }
            Rule::ImageChoice => "another image was requested with --image",
            Rule::AttestationDropped => "requested with --attestations drop",
            _ => rule.reason(),
        }
    }

    fn error(&self, error: &Error) -> String {
        match (error.code(), error.found()) {
            (Code::SeveralImages, Some(found)) => {
                format!("--name needs one image, but the archive has several: {found}")
            }
            (Code::ImageNotFound, None) => {
                "the archive has no image that --name could name".to_owned()
            }
            _ => error.message_with_causes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_the_options() {
        for (hint, expected) in [
            (Hint::Force, "--force"),
            (Hint::UseLenient(Lenient::LastKey), "--lenient"),
            (
                Hint::RaiseMaxRatio("image"),
                "the image is to be trusted, allow more with --max-ratio",
            ),
            (
                Hint::Recover("a\n.tar".into()),
                "ocify fix --recover a\\u{a}.tar",
            ),
            (
                Hint::UseName("app:v1".to_owned()),
                "app:v1 would be valid: give it with --name",
            ),
            (Hint::SignAgain, "sign the fixed image again"),
        ] {
            assert!(Words.hint(&hint).contains(expected), "{hint:?}");
        }
    }
}
