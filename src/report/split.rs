//! The report of a split: the list of its outputs, and the report of each.

use std::io::{self, Write};

use serde::Serialize;

use super::json::{self, Change, Data, Failure, Finding, VERSION};
use super::text::{self, BOLD, Detail, RED, count, what_changes};
use super::{Blobs, Report, Status, Wording};
use crate::error::{Error, escape};
use crate::image::{Digest, Platform, Reference};
use crate::plan::{self, Dropped};
use crate::split::{Divided, SplitOutput, SplitPart};

/// One run of a split, ready to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The input as the user wrote it.
    pub input: &'a str,
    /// The directory for the outputs as the user wrote it; `None` on a dry run.
    pub output: Option<&'a str>,
    /// What was done, or what is wrong with the input as a whole.
    pub result: Result<&'a Divided, &'a Error>,
    /// The wording of what depends on the program that shows it.
    pub wording: &'a dyn Wording,
}

/// The report of a split as programs read it. `docs/split.schema.json` is its schema.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct SplitData<'a> {
    /// The version of the schema.
    pub version: u32,
    /// The input as the user wrote it.
    pub input: &'a str,
    /// The directory for the outputs as the user wrote it; `None` on a dry run.
    pub output: Option<&'a str>,
    /// The outputs, in the order of their names; none after a failure.
    pub outputs: Vec<OutputData<'a>>,
    /// How many of them could not be written.
    pub failed: usize,
    /// What no output contains, and names that only one of several images keeps.
    pub changes: Vec<Change<'a>>,
    /// What a user should know about the input.
    pub findings: Vec<Finding<'a>>,
    /// What an option left out of all outputs; `None` if that is nothing.
    pub dropped: Option<Dropped>,
    /// Why standard input was kept in a temporary file, if it was.
    pub spooled: Option<String>,
    /// What is wrong with the input as a whole, if something is.
    pub error: Option<Failure>,
}

/// One output.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct OutputData<'a> {
    /// Its name in the directory; `None` if the image lacks so much that it cannot have an output.
    pub file: Option<&'a str>,
    /// The names of the image in the input.
    pub names: &'a [Reference],
    /// The digest of the image in the input; `None` if it does not have one there.
    pub digest: Option<&'a Digest>,
    /// The platforms of the image.
    pub platforms: Vec<String>,
    /// The length of the archive, or of all files of the layout, in bytes; `None` if it was not written.
    pub size: Option<u64>,
    /// The report of the output, as of a fix.
    pub report: OwnedReport<'a>,
}

/// The report of an output, with the path that it is about.
#[derive(Debug)]
pub struct OwnedReport<'a> {
    run: Run<'a>,
    part: &'a SplitPart,
}

impl<'a> Run<'a> {
    /// The report for programs.
    pub fn data(self) -> SplitData<'a> {
        let divided = self.result.ok();
        let parts = divided.map_or(&[][..], |divided| &divided.parts);
        let changes = divided.map_or(&[][..], |divided| &divided.changes);
        let findings = divided.map_or(&[][..], |divided| &divided.findings);
        let places = divided.map(|divided| &divided.places);
        let dropped = divided.map(|divided| divided.dropped);
        let spooled = divided.and_then(|divided| divided.spooled.as_ref());
        SplitData {
            version: VERSION,
            input: self.input,
            output: self.output,
            outputs: parts.iter().map(|part| self.output_data(part)).collect(),
            failed: parts.iter().filter(|part| part.result.is_err()).count(),
            changes: json::changes(changes, places, self.wording),
            findings: json::findings(findings, places, self.wording),
            dropped: dropped.filter(|dropped| dropped.blobs > 0),
            spooled: spooled.map(ToString::to_string),
            error: self
                .result
                .err()
                .map(|error| Failure::new(error, self.wording)),
        }
    }

    fn output_data(self, part: &'a SplitPart) -> OutputData<'a> {
        OutputData {
            file: part.file_name.as_deref(),
            names: &part.names,
            digest: part.digest.as_ref(),
            platforms: part.platforms.iter().map(Platform::specifier).collect(),
            size: part.result.as_ref().ok().and_then(|output| output.len),
            report: OwnedReport { run: self, part },
        }
    }

    /// The path of an output, which was or would be written.
    fn path(self, part: &SplitPart) -> Option<String> {
        let name = part.file_name.as_ref()?;
        let output = self.output?;
        Some(match output.ends_with('/') {
            true => format!("{output}{name}"),
            false => format!("{output}/{name}"),
        })
    }

    fn report<'r>(self, part: &'r SplitPart, path: Option<&'r str>) -> Report<'r>
    where
        'a: 'r,
    {
        let report = match (&part.result, path) {
            (Ok(output), Some(path)) => {
                Report::written(self.input, path, &output.summary, blobs(output))
            }
            (Ok(output), None) => {
                Report::dry_run(self.input, &output.summary).with_blobs(blobs(output))
            }
            (Err(error), _) => Report::failed(self.input, error),
        };
        report.with_wording(self.wording)
    }

    /// Writes the report for people.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn render(self, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
        let Ok(divided) = self.result else {
            return Ok(());
        };
        let written = divided.parts.iter().filter(|part| part.result.is_ok());
        let outputs = count(written.count() as u64, "output", "outputs");
        let input = escape(self.input);
        match self.output {
            Some(output) => {
                let output = escape(output);
                writeln!(
                    out,
                    "{BOLD}{input} → {output}: split into {outputs}{BOLD:#}\n"
                )?;
            }
            None => writeln!(
                out,
                "{BOLD}{input}: would be split into {outputs}{BOLD:#}\n"
            )?,
        }
        for part in &divided.parts {
            self.render_part(part, detail, out)?;
        }
        text::changes(&divided.changes, self.wording, detail, out)?;
        text::dropped(divided.dropped, detail, out)?;
        text::findings(self.findings(divided), self.wording, detail, out)
    }

    fn render_part(self, part: &SplitPart, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
        let subject = subject(part);
        let output = match &part.result {
            Err(_) => return writeln!(out, "{RED}{subject}: not written{RED:#}"),
            Ok(output) => output,
        };
        let path = self.path(part);
        let report = self.report(part, path.as_deref());
        let status = match self.output {
            Some(_) => Status::Fixed,
            None => report.status,
        };
        let mut line = format!("{subject}, {}", what_changes(status, &output.summary));
        if report.blobs.count > 0 {
            line += &format!(", {}", text::verified(&report.blobs, "copied"));
        }
        let dropped = output.summary.dropped;
        if dropped.blobs > 0 {
            let blobs = count(dropped.blobs, "blob", "blobs");
            line += &format!(", dropped {blobs} ({})", text::bytes(dropped.bytes));
        }
        writeln!(out, "{line}")?;
        match detail {
            Detail::Full => text::changes(&output.summary.changes, self.wording, detail, out),
            Detail::Short => Ok(()),
        }
    }

    /// What a user should know, once for all outputs.
    fn findings(self, divided: &Divided) -> Vec<&plan::Finding> {
        let outputs = divided.parts.iter();
        let outputs = outputs.filter_map(|part| part.result.as_ref().ok());
        let of_outputs = outputs.flat_map(|output| &output.summary.findings);
        text::distinct_findings(divided.findings.iter().chain(of_outputs))
    }
}

impl Serialize for OwnedReport<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let path = self.run.path(self.part);
        let report = self.run.report(self.part, path.as_deref());
        Data::from(&report).serialize(serializer)
    }
}

/// What is wrong with an output that was not written, for people.
///
/// # Errors
/// Those of the writer.
pub fn failure(
    part: &SplitPart,
    error: &Error,
    wording: &dyn Wording,
    out: &mut dyn Write,
) -> io::Result<()> {
    text::error_of(Some(&subject(part)), error, wording, out)
}

fn blobs(output: &SplitOutput) -> Blobs {
    output.outcome.map(Blobs::from).unwrap_or_default()
}

/// The name of an output, with what its image is called.
fn subject(part: &SplitPart) -> String {
    let names: Vec<String> = part.names.iter().map(Reference::familiar).collect();
    let mut about = Vec::new();
    match (names.is_empty(), &part.digest) {
        (true, Some(digest)) if part.file_name.is_none() => about.push(digest.to_string()),
        (true, _) => about.push("without a name".to_owned()),
        (false, _) => about.extend(names),
    }
    about.extend(part.platforms.iter().map(Platform::specifier));
    let about = escape(&about.join(", "));
    match &part.file_name {
        Some(name) => format!("{name}: {about}"),
        None => about,
    }
}
