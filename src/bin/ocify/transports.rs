//! Names of images, and of the transports of skopeo and BuildKit, where ocify expects a path.

use std::fs;
use std::io;
use std::path::Path;

use ocify::{
    Code, Error, Reference,
    command::{ArchiveSuffix, shell_word},
};

use crate::args::CommandName;

/// What a text names with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An image in a registry.
    Registry,
    /// An archive, with a name or not.
    Archive,
    /// An image layout directory, with a name or not.
    Layout,
    /// skopeo's directory.
    Directory,
    /// An image in Docker.
    Daemon,
    /// An image of podman.
    Storage,
    /// A file elsewhere, which this command downloads: what is before and after the address.
    Remote(&'static str, &'static str),
}

const PREFIXES: [(&str, Kind); 14] = [
    ("docker://", Kind::Registry),
    ("docker-image://", Kind::Registry),
    ("oci://", Kind::Registry),
    ("https://", Kind::Remote("curl -fLO ", "")),
    ("http://", Kind::Remote("curl -fLO ", "")),
    ("s3://", Kind::Remote("aws s3 cp ", " .")),
    ("gs://", Kind::Remote("gcloud storage cp ", " .")),
    ("oci-archive:", Kind::Archive),
    ("docker-archive:", Kind::Archive),
    ("oci-layout://", Kind::Layout),
    ("oci:", Kind::Layout),
    ("dir:", Kind::Directory),
    ("docker-daemon:", Kind::Daemon),
    ("containers-storage:", Kind::Storage),
];

/// A text with the prefix of a transport.
struct Named<'a> {
    kind: Kind,
    /// What follows the prefix, without the name of an image in an archive or layout.
    rest: &'a str,
    /// The name of an image in an archive or layout.
    image: Option<&'a str>,
}

fn named(text: &str) -> Option<Named<'_>> {
    let mut prefixes = PREFIXES.iter();
    let (kind, rest) =
        prefixes.find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(prefix)?)))?;
    let (rest, image) = match (kind, rest.split_once(':')) {
        (Kind::Archive | Kind::Layout, Some((path, image))) => (path, Some(image)),
        _ => (rest, None),
    };
    Some(Named { kind, rest, image })
}

/// The error of an input, with a hint if the input does not exist because it is the name of something else.
pub(crate) fn with_hint(error: Error, input: &Path, command: CommandName) -> Error {
    let is_absent = || {
        let found = fs::symlink_metadata(input);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let is_about_input = error.code() == Code::Io && error.path() == Some(input);
    if !is_about_input || error.hint().is_some() || !is_absent() {
        return error;
    }
    let hint = input.to_str().and_then(|text| input_hint(text, command));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The error of an input that cannot be looked up.
pub(crate) fn absent(input: &Path, error: io::Error) -> Error {
    // A batch.
    with_hint(Error::io("open", input, error), input, CommandName::Fix)
}

fn input_hint(text: &str, command: CommandName) -> Option<String> {
    let word = |text: &str| shell_word(text.as_ref());
    let Some(Named { kind, rest, image }) = named(text) else {
        return looks_like_image(text).then(|| {
            format!(
                "if it is the name of an image, save the image first: docker save -o app.tar {}",
                word(text)
            )
        });
    };
    let choice = match image {
        _ if command.lacks("image") => String::new(),
        Some(image) if is_name(image) => format!(" --image {}", word(image)),
        Some(_) => ", with --image if it has several images".to_owned(),
        None => String::new(),
    };
    Some(match kind {
        Kind::Registry => format!(
            "ocify reads files; save the image first: skopeo copy --all {} oci-archive:app.tar",
            word(&format!("docker://{rest}"))
        ),
        Kind::Archive | Kind::Layout | Kind::Directory => {
            format!(
                "give the path without the transport: {}{choice}",
                word(rest)
            )
        }
        Kind::Daemon => format!(
            "ocify reads files; save the image first: docker save -o app.tar {}",
            word(rest)
        ),
        Kind::Remote(before, after) => format!(
            "ocify reads files; download it first: {before}{}{after}",
            word(text)
        ),
        Kind::Storage => format!(
            "ocify reads files; save the image first: podman save --format oci-archive -o app.tar {}",
            word(rest)
        ),
    })
}

/// Whether a transport's name of an image is more than a tag.
fn is_name(image: &str) -> bool {
    image.contains([':', '/'])
}

/// Whether a text that is not the path of a file may be an image name: it has a tag or a digest, or is a single word.
fn looks_like_image(text: &str) -> bool {
    let last = text.rsplit('/').next().unwrap_or_default();
    let is_word = !text.contains(['/', '.']);
    let has_suffix = ArchiveSuffix::of(last.as_ref()).is_some();
    !has_suffix && (is_word || last.contains(':')) && text.parse::<Reference>().is_ok()
}

/// Why an OUTPUT that does not exist is not a path, in words for the user.
pub(crate) fn output_fault(output: &Path, command: CommandName) -> Option<String> {
    let text = output.to_str()?;
    let image = text.strip_prefix("docker:");
    let found = named(text);
    if found.is_none() && image.is_none() || fs::symlink_metadata(output).is_ok() {
        return None;
    }
    let word = |text: &str| shell_word(text.as_ref());
    let instead = match found {
        None => format!(
            "--name {} names the image, and --for docker@{} makes it load in that version of Docker",
            word(text),
            image.unwrap_or_default()
        ),
        Some(Named { kind, rest, image }) => {
            let name = match image {
                Some(image) if is_name(image) => format!(" --name {}", word(image)),
                Some(tag) => format!(" --name NAME:{}", word(tag)),
                None => String::new(),
            };
            match kind {
                Kind::Registry => format!("publish images with ocify push INPUT {}", word(rest)),
                Kind::Archive => format!("use -o {}{name}", word(rest)),
                Kind::Layout => format!("use --layout -o {}{name}", word(rest)),
                Kind::Directory => format!(
                    "ocify writes image layouts instead of skopeo's directories; use --layout -o {}",
                    word(rest)
                ),
                Kind::Remote(..) => "write a file, and upload it when it is complete".to_owned(),
                Kind::Daemon | Kind::Storage if command == CommandName::Split => {
                    "write archives into a directory, and load each with docker load -i or podman load -i".to_owned()
                }
                Kind::Daemon => "pipe the archive into Docker with -o - | docker load".to_owned(),
                Kind::Storage => "pipe the archive into podman with -o - | podman load".to_owned(),
            }
        }
    };
    Some(format!(
        "the OUTPUT {} is not a path: {instead}; for a file of that name, use -o ./{}",
        word(text),
        word(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_as_inputs_have_hints() {
        for (text, expected) in [
            (
                "docker://alpine:3",
                "skopeo copy --all docker://alpine:3 oci-archive:app.tar",
            ),
            (
                "docker-image://alpine",
                "skopeo copy --all docker://alpine oci-archive:app.tar",
            ),
            (
                "oci://ghcr.io/org/chart:1",
                "skopeo copy --all docker://ghcr.io/org/chart:1 oci-archive:app.tar",
            ),
            (
                "https://example.com/my app.tar",
                "download it first: curl -fLO 'https://example.com/my app.tar'",
            ),
            (
                "s3://b/app.tar",
                "download it first: aws s3 cp s3://b/app.tar .",
            ),
            ("oci-archive:app.tar", "without the transport: app.tar"),
            (
                "docker-archive:my app.tar:app:v1",
                "without the transport: 'my app.tar' --image app:v1",
            ),
            (
                "oci:layout:app:v1",
                "without the transport: layout --image app:v1",
            ),
            (
                "oci:layout:v1",
                "layout, with --image if it has several images",
            ),
            (
                "oci-layout:///srv/layout",
                "without the transport: /srv/layout",
            ),
            ("dir:folder", "without the transport: folder"),
            ("docker-daemon:app:v1", "docker save -o app.tar app:v1"),
            (
                "containers-storage:app",
                "podman save --format oci-archive -o app.tar app",
            ),
            ("docker:20.10", "docker save -o app.tar docker:20.10"),
            ("alpine", "docker save -o app.tar alpine"),
            (
                "ghcr.io/org/app:1.0",
                "docker save -o app.tar ghcr.io/org/app:1.0",
            ),
            ("app.tar", ""),
            ("images/app", ""),
            ("app:1.0.tar", ""),
            ("Upper Case", ""),
        ] {
            let hint = input_hint(text, CommandName::Fix).unwrap_or_default();
            assert!(hint.ends_with(expected), "{text}: {hint}");
            assert_eq!(hint.is_empty(), expected.is_empty(), "{text}: {hint}");
        }
    }

    #[test]
    fn outputs_that_are_not_paths_are_refused() {
        for (text, expected) in [
            ("docker://app:v1", "with ocify push INPUT app:v1;"),
            ("oci-archive:x.tar:app:v1", "use -o x.tar --name app:v1;"),
            ("docker-archive:x.tar", "use -o x.tar;"),
            ("oci:x:v1", "use --layout -o x --name NAME:v1;"),
            ("dir:x", "use --layout -o x;"),
            ("docker-daemon:x:1", "-o - | docker load;"),
            ("containers-storage:x", "-o - | podman load;"),
            ("docker:20.10", "--for docker@20.10 "),
            ("s3://b/x.tar", "upload it when it is complete;"),
        ] {
            let fault = output_fault(text.as_ref(), CommandName::Fix).unwrap();
            assert!(fault.contains(expected), "{fault}");
            assert!(fault.ends_with(&format!("use -o ./{text}")), "{fault}");
            assert_eq!(
                output_fault(format!("./{text}").as_ref(), CommandName::Fix),
                None
            );
        }
        for path in ["x.tar", "app:v1", "a/oci:x", "oci", "docker/"] {
            assert_eq!(
                output_fault(path.as_ref(), CommandName::Fix),
                None,
                "{path}"
            );
        }
        for (text, command, expected) in [
            (
                "oci:x:v1",
                CommandName::Merge,
                "use --layout -o x --name NAME:v1;",
            ),
            (
                "docker:20.10",
                CommandName::Merge,
                ": --name docker:20.10 names the image",
            ),
            ("docker-daemon:x", CommandName::Split, "docker load -i"),
        ] {
            let fault = output_fault(text.as_ref(), command).unwrap();
            assert!(fault.contains(expected), "{fault}");
        }
        let hint = input_hint("oci:layout:app:v1", CommandName::Check).unwrap();
        assert!(hint.ends_with("without the transport: layout"), "{hint}");
        // What exists is a path.
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("oci:x")).unwrap();
        assert_eq!(
            output_fault(&dir.path().join("oci:x"), CommandName::Fix),
            None
        );
    }
}
