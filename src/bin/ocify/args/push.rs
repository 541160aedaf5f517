//! The options of `push`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use ocify::{
    PushTarget,
    command::{ArchiveSuffix, is_image_layout, shell_word, show_path},
};

use super::scope::{READ_FILES_FROM, VERBOSE_OF_MANY, Variant, variant};
use super::{CommandName, Fix, Verification, is_standard};

pub(super) const ABOUT: &str = "Publish images to a registry, with OCI media types";

const EXAMPLES: &str = "\
Examples:
  # One image under this name
  ocify push app.tar registry.example.com/team/app:v1

  # Every image of the archive, under the tags that it has there
  ocify push bundle.tar registry.example.com/team/app

  # Every image under its own name
  ocify push bundle.tar

  # What would be pushed where? This opens no connection
  ocify push bundle.tar registry.example.com/team/app --dry-run

  # All archives and image layouts in a directory; what the registry has is not sent again
  ocify push images/ registry.example.com/mirror

  # The output of a build, with the digest for a signing tool
  docker buildx build --output type=oci . | ocify push - registry.example.com/app:v1 --metadata-file pushed.json
  cosign sign registry.example.com/app@$(jq -r '.\"containerimage.digest\"' pushed.json)

The last argument is REF if it is a valid name and nothing has that path. If something has, write ./NAME for the file, or
the complete name of the image, such as docker.io/library/NAME.

Credentials are those of docker login and podman login. Proxies are those of HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

Exit codes: 0 pushed, or with --dry-run can be pushed, 1 failed, 2 wrong usage, 128 + n stopped by signal n.";

/// How many blobs are sent at a time.
const JOBS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// The options of `push`: those of `fix` that are about images, and how registries are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct Push {
    /// Take credentials only from FILE: docker's config.json or podman's auth.json
    ///
    /// Without it, ocify looks where docker and podman keep them: DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE, the configuration
    /// directory of docker (DOCKER_CONFIG), and podman's auth.json. Credential helpers are supported.
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub(crate) authfile: Option<PathBuf>,

    /// Log in with this user name; requires --password-stdin and REF
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Registry",
        requires = "password_stdin",
        conflicts_with = "authfile"
    )]
    pub(crate) username: Option<String>,

    /// Read the password or token for --username from standard input
    #[arg(long, help_heading = "Registry", requires = "username")]
    pub(crate) password_stdin: bool,

    /// Also trust the certificate authorities in this PEM file; can be repeated
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub(crate) ca_file: Vec<PathBuf>,

    /// Use plain HTTP; a registry on this machine that does not speak TLS needs no option
    ///
    /// This machine is localhost and every loopback address. Credentials are sent over plain HTTP only to this machine.
    #[arg(long, help_heading = "Registry")]
    pub(crate) plain_http: bool,

    /// Accept any certificate, so that anyone on the way to the registry can read and change what is sent
    #[arg(
        long,
        help_heading = "Registry",
        hide_short_help = true,
        conflicts_with = "plain_http"
    )]
    pub(crate) insecure_skip_verify: bool,

    /// How often to repeat a request that fails for a reason that may pass
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        help_heading = "Registry",
        hide_short_help = true
    )]
    pub(crate) retries: u32,

    /// Mount blobs from this repository of the same registry instead of sending them, if it has them; can be repeated
    #[arg(
        long,
        value_name = "REPOSITORY",
        help_heading = "Registry",
        hide_short_help = true
    )]
    pub(crate) mount_from: Vec<PushTarget>,

    /// What is to be pushed.
    #[command(flatten)]
    pub(crate) fix: Fix,
}

impl Push {
    /// Takes REF from the end of the inputs, if it is there.
    ///
    /// # Errors
    /// The last argument may be both, or is neither, in words for the user.
    pub(crate) fn take_target(&mut self) -> Result<Option<PushTarget>, String> {
        let inputs = &mut self.fix.inputs;
        let may_have = inputs.len() > 1 || self.fix.many.files_from.is_some();
        let Some(last) = inputs.last().filter(|_| may_have) else {
            return Ok(None);
        };
        let target = target(last)?;
        if target.is_some() {
            inputs.pop();
        }
        Ok(target)
    }

    /// Conflicts between options that clap cannot check.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let dry_run = self.reads();
        let what = if self.password_stdin && dry_run.inputs.iter().any(|input| is_standard(input)) {
            "standard input cannot be both an archive and the password"
        } else if self.fix.verify == Some(Verification::Documents) {
            "--verify documents has no effect: everything that is sent is verified against its digest"
        } else {
            return dry_run.contradiction(CommandName::Push);
        };
        Some(what.to_owned())
    }

    /// The options of a dry run of `fix` that reads inputs like this.
    pub(crate) fn reads(&self) -> Fix {
        Fix {
            dry_run: true,
            ..self.fix.clone()
        }
    }

    /// How many blobs are sent at a time.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.fix.jobs.unwrap_or(JOBS)
    }
}

/// What the last argument names if it is REF.
fn target(last: &Path) -> Result<Option<PushTarget>, String> {
    let Some(text) = last.to_str().filter(|text| !is_standard(Path::new(text))) else {
        return Ok(None);
    };
    let name = last.file_name().unwrap_or_default();
    let is_archive_name = ArchiveSuffix::of(name).is_some();
    let exists = last.symlink_metadata().is_ok();
    match (exists, text.parse::<PushTarget>()) {
        // It would be a name on Docker Hub, but more likely the repository is missing.
        (false, Ok(target)) if !is_archive_name && is_host(text) => Err(format!(
            "{text} is not a file or directory, and could be a registry or a name on Docker Hub: write {text}/app for the registry, or {target} for Docker Hub"
        )),
        (false, Ok(target)) if !is_archive_name => Ok(Some(target)),
        (true, Ok(target)) if !is_archive_name && !is_image_layout(last) => Err(format!(
            "{} is a file or directory, and also a valid image name: write {} for the file or directory, or {target} for the image",
            show_path(last),
            shell_word(&Path::new(".").join(last))
        )),
        (false, Err(fault)) if !is_archive_name && !text.starts_with(['.', '/']) => Err(format!(
            "{} is neither a file or directory nor a valid image name: {fault}",
            show_path(last)
        )),
        _ => Ok(None),
    }
}

/// Whether a name without a slash may be that of a host, with a port or without one. Ports are numbers.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_name = host == "localhost" || host.contains('.');
    is_name && !text.contains('/') && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// The command with its options and their help.
pub(super) fn defined(command: clap::Command) -> clap::Command {
    let command = variant::<Push>(command, &PUSH);
    command
        .override_usage("ocify push [OPTIONS] <INPUT>... [REF]")
        // It is refused for itself.
        .mut_arg("strict", |arg| {
            arg.requires(clap::builder::Resettable::Reset)
        })
}

const PUSH: Variant = Variant {
    name: CommandName::Push,
    about: ABOUT,
    examples: EXAMPLES,
    helps: &[
        VERBOSE_OF_MANY,
        READ_FILES_FROM,
        (
            "inputs",
            "Image archives (tar), image layout directories, `-` for standard input, or directories to search for them; then REF",
            "REF is where to push: with a tag, the name of the one image; without a tag, a repository in which every image keeps \
its own tags. Without REF, every image is pushed to its own names.",
        ),
        (
            "dry_run",
            "Show what would be pushed where, without opening a connection",
            "",
        ),
        (
            "missing",
            "What to do if the input lacks manifests or layers",
            "keep: push the images if the registry has what is missing, and refuse before anything is sent if it does not. \
prune: leave out every manifest with missing content, along with everything that refers to it and any index that this leaves \
empty. error: refuse. Layers that can be fetched from elsewhere (nondistributable layers, layers with URLs) never count as \
missing.",
        ),
        (
            "verify",
            "What to verify [default: digests]",
            "Each blob that is sent is verified against its digest before its last bytes are sent, so that the registry never \
stores it if it is damaged. full: before anything is sent, also verify every layer against its diff ID.",
        ),
        (
            "jobs",
            "How many blobs, or inputs if there are many, to push at a time [default: 4]",
            "",
        ),
        (
            "metadata_file",
            "Write the names and digests under which images were pushed to FILE, as JSON with the keys that buildx uses; `-` is standard output",
            "",
        ),
        (
            "spool_dir",
            "Where to store recompressed layers, and temporary files for a compressed INPUT or for standard input [default: TMPDIR, or /tmp]",
            "",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_argument_is_a_target_if_nothing_else_has_that_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("plain"), "").unwrap();
        let shown =
            |last: &str| target(Path::new(last)).map(|found| found.map(|found| found.to_string()));
        assert_eq!(
            shown("localhost:5000/app"),
            Ok(Some("localhost:5000/app".to_owned()))
        );
        assert_eq!(
            shown("app:v1"),
            Ok(Some("docker.io/library/app:v1".to_owned()))
        );
        // Ports are numbers.
        assert_eq!(
            shown("my.app:v1"),
            Ok(Some("docker.io/library/my.app:v1".to_owned()))
        );
        for host in [
            "localhost:5000",
            "localhost",
            "registry.example.com",
            "registry.example.com:443",
            "127.0.0.1:5000",
            "mispelled.tarr",
        ] {
            let error = shown(host).unwrap_err();
            let (registry, hub) = (format!("{host}/app"), format!("docker.io/library/{host}"));
            let expected = format!("write {registry} for the registry, or {hub} for Docker Hub");
            assert!(error.ends_with(&expected), "{error}");
            for other in [registry, hub] {
                assert_eq!(shown(&other), Ok(Some(other)));
            }
        }
        // A misspelled archive is not pushed to Docker Hub.
        assert_eq!(shown("mispelled.tar"), Ok(None));
        assert_eq!(shown("-"), Ok(None));
        assert_eq!(shown("./app"), Ok(None));
        assert_eq!(shown("/no/such/file"), Ok(None));
        let error = shown("example.com/App:v1").unwrap_err();
        assert!(error.contains("lower case"), "{error}");
        assert_eq!(target(&at("plain")), Ok(None), "a path is not a name");
        // The tests run in the directory of the package.
        let error = shown("src").unwrap_err();
        assert!(
            error.contains("./src") && error.contains("docker.io/library/src"),
            "{error}"
        );
    }
}
