//! The options of `check`.

use clap::builder::{PossibleValuesParser, Resettable, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, ValueEnum};
use ocify::{FailOn, Platform};

use super::scope::{READ_FILES_FROM, READ_FOLLOW, READ_SPOOL_DIR, READ_VERIFY, Variant, variant};
use super::{CommandName, Fix, Format, ProgressMode};

pub(super) const ABOUT: &str =
    "Say which engines load an archive, and what is in the way of the others";

const EXAMPLES: &str = "\
Examples:
  # Which engines load it, and which would after ocify fix?
  ocify check app.tar

  # Fail with exit code 3 unless these engines load it
  ocify check app.tar --for containerd@1.7 --for docker@28.5

  # Does it load on machines with another architecture?
  ocify check app.tar --platform linux/arm64

  # Also fail if an image would be loaded without a name
  ocify check app.tar --fail-on untagged

  # Also verify every blob against its digest
  ocify check app.tar --verify digests

  # Check all archives and layouts in a directory
  ocify check images/ --for k3s

  # Show the result in GitLab or Jenkins, or in GitHub Actions
  ocify check images/ --format junit >report.xml
  ocify check app.tar --format github

  # A page that shows which archives load in which engines
  ocify check images/ --format html >report.html

  # Check the output of a build
  docker save app | ocify check -

Exit codes: 0 loads everywhere that was asked for, or without --for in every supported version of \
every engine, 1 damaged or unreadable, 2 wrong usage, 3 an engine does not load it, or not all of \
it, or --fail-on applies, 128 + n stopped by signal n. Build caches and artifacts have no verdict, \
and so exit with code 0. Of many inputs, the worst result counts: 1, then 3.";

/// The formats of the report of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// Readable text
    #[default]
    Text,
    /// One JSON object, also on failure
    Json,
    /// JUnit XML for GitLab and Jenkins, with a test suite for each input
    Junit,
    /// Annotations for GitHub Actions, and a table in the summary of the step
    Github,
    /// One HTML page with a table of inputs and engines, and filters
    Html,
}

/// The options of `check`: those of `fix` that are about reading inputs, and what is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Check {
    /// Also exit with code 3 if this verdict, rule or severity is found; can be repeated
    ///
    /// A verdict is `untagged`, `choose`, `partly`, `no` or `unknown`. A rule is one that a report names, such as
    /// layer-type or unnamed-image. A severity is `breaks`, `warns` or `cosmetic`, and is that of a change that `ocify
    /// fix` would make, or of a finding. A verdict of `no` or `partly` always counts, and so does `unknown` for an engine
    /// that --for names.
    #[arg(long, value_name = "VERDICT|RULE|SEVERITY", help_heading = "Checking")]
    pub(crate) fail_on: Vec<FailOn>,

    /// How inputs are read.
    #[command(flatten)]
    pub(crate) fix: Fix,

    /// The format of the report. In the options of `fix`, those that `fix` does not have count as text.
    #[arg(skip)]
    pub(crate) format: CheckFormat,
}

impl Check {
    /// An option that has no effect in this format, in words for the user.
    pub(crate) fn format_contradiction(&self) -> Option<String> {
        let name = match self.format {
            CheckFormat::Text | CheckFormat::Json => return None,
            CheckFormat::Junit => "junit",
            CheckFormat::Github => "github",
            CheckFormat::Html => "html",
        };
        if self.fix.verbose {
            return Some(format!(
                "--all has no effect: it applies to the text report, not to --format {name}"
            ));
        }
        if self.fix.quiet {
            return Some(format!(
                "--quiet shows no report: leave out --format {name}, or --quiet"
            ));
        }
        let shows_progress = !matches!(self.fix.progress, ProgressMode::Auto | ProgressMode::Quiet);
        (shows_progress && self.format == CheckFormat::Github).then(|| {
            "--format github shows no progress: GitHub Actions could mistake a file name for a command"
                .to_owned()
        })
    }

    /// The options of a dry run of `fix` that reads inputs like this.
    pub(crate) fn dry_run(&self) -> Fix {
        let progress = match self.format {
            // Each line may be a command there, and names of files could forge one.
            CheckFormat::Github => ProgressMode::Quiet,
            _ => self.fix.progress(),
        };
        Fix {
            dry_run: true,
            engines: Vec::new(),
            platform: Vec::new(),
            progress,
            ..self.fix.clone()
        }
    }
}

/// The options as they were given.
pub(super) fn parsed(matches: &ArgMatches) -> Result<Check, clap::Error> {
    let mut check = Check::from_arg_matches(matches)?;
    let given = matches.get_raw("format").and_then(Iterator::last);
    let format = given.and_then(|name| CheckFormat::from_str(name.to_str()?, false).ok());
    check.format = format.unwrap_or_default();
    // A default for all runs does not apply to a format that shows none.
    let is_default = matches.value_source("progress") != Some(ValueSource::CommandLine);
    if check.format == CheckFormat::Github && is_default {
        check.fix.progress = ProgressMode::Quiet;
    }
    Ok(check)
}

/// Reads the name of a format that only a check has as text.
fn formats() -> impl TypedValueParser<Value = Format> {
    let formats = CheckFormat::value_variants().iter();
    let names = formats.filter_map(CheckFormat::to_possible_value);
    PossibleValuesParser::new(names.collect::<Vec<_>>())
        .map(|name| Format::from_str(&name, false).unwrap_or(Format::Text))
}

/// The command with its options and their help.
pub(super) fn defined(command: clap::Command) -> clap::Command {
    variant::<Check>(command, &CHECK)
        .mut_arg("verbose", |arg| arg.visible_alias("all"))
        .mut_arg("format", |arg| arg.value_parser(formats()))
        // It is refused for itself.
        .mut_arg("strict", |arg| arg.requires(Resettable::Reset))
        // It asks about one platform, and keeps all.
        .mut_arg("platform", |arg| {
            arg.action(ArgAction::Set)
                .value_delimiter(None)
                .value_parser(linux)
                .help_heading("Checking")
        })
        .mut_arg("engines", |arg| {
            arg.value_name("ENGINE[@VERSION][/STORE]")
                .help_heading("Checking")
        })
}

/// Reads a platform of Linux.
fn linux(text: &str) -> Result<Platform, String> {
    let platform: Platform = text.parse().map_err(|error| format!("{error}"))?;
    match platform.os.as_str() {
        "linux" => Ok(platform),
        _ => Err("what engines do is known only for Linux".to_owned()),
    }
}

const CHECK: Variant = Variant {
    name: CommandName::Check,
    about: ABOUT,
    examples: EXAMPLES,
    helps: &[
        ("engines", FOR, FOR_LONG),
        ("platform", PLATFORM, PLATFORM_LONG),
        ("verbose", ALL, ALL_LONG),
        READ_VERIFY,
        READ_FOLLOW,
        READ_SPOOL_DIR,
        READ_FILES_FROM,
    ],
};
const FOR: &str = "Ask about this engine: docker, containerd, podman, skopeo, k3s, kind, or another that `ocify engines` lists; can be repeated";
const FOR_LONG: &str = "Without a version, the current one is meant. After a slash comes the image store or transport; \
without it, the worst verdict of all of them counts. Examples: docker@20.10, docker@28.5/containerd, \
skopeo@1.18/oci-archive. Without --for, ocify asks about every engine and version that it knows, and those count that \
their makers still support. `ocify engines` lists them.";
const PLATFORM: &str = "Ask about machines with this platform, such as linux/arm64 [default: linux on this machine's architecture]";
const PLATFORM_LONG: &str = "Of an image with several platforms, containerd and podman load the one for their machine, and fail if it is absent. \
The default is the platform of the first image if there is none for this machine. Engines that load an image for \
another platform than their machine's count as loading it.";
const ALL: &str = "Show every verdict in a row of its own";
pub(super) const ALL_LONG: &str = "With many inputs, the report of each is below its line.";
