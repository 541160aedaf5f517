//! The report of a merge: what was done with each input, and the report of the output.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anstyle::Style;
use serde::Serialize;

use super::json::{self, Change, Data, Finding, VERSION};
use super::text::{self, BOLD, Detail, count, what_changes};
use super::{Report, Status, Wording};
use crate::error::escape;
use crate::image::Reference;
use crate::location::Location;
use crate::merge::{MergedInput, NameConflict};
use crate::plan::rules::FindingRule;
use crate::plan::{self, DigestChange, Image, Summary};

/// The report of a merge as programs read it. `docs/merge.schema.json` is its schema.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MergeData<'a> {
    /// The version of the schema.
    pub version: u32,
    /// The inputs, in their order; none after a failure.
    pub inputs: Vec<InputData<'a>>,
    /// The report of the output, as of a fix.
    pub merged: Data<'a>,
}

/// What was done with one input.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InputData<'a> {
    /// The input as the user wrote it.
    pub input: &'a str,
    /// What was changed in it.
    pub changes: Vec<Change<'a>>,
    /// What ocify cannot fix in it, or what a user should know.
    pub findings: Vec<Finding<'a>>,
    /// The digests of its manifests and indexes that changed.
    pub digests: &'a [DigestChange],
    /// Its images.
    pub images: &'a [Image],
    /// The names that different content of other inputs has.
    pub conflicts: Vec<Conflict<'a>>,
}

/// A name that different content of another input has.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Conflict<'a> {
    /// The name in full, or a tag alone.
    pub name: &'a str,
    /// The name that the content has instead; `None` if it lost this one.
    pub renamed: Option<&'a str>,
}

impl<'a> MergeData<'a> {
    /// The report of a merge of these inputs.
    pub fn new(inputs: &'a [MergedInput], output: &Report<'a>) -> Self {
        let wording = output.wording;
        MergeData {
            version: VERSION,
            inputs: inputs.iter().map(|input| data(input, wording)).collect(),
            merged: Data::from(output),
        }
    }
}

fn data<'a>(input: &'a MergedInput, wording: &dyn Wording) -> InputData<'a> {
    let summary = &input.summary;
    let conflict = |conflict: &'a NameConflict| Conflict {
        name: &conflict.name,
        renamed: conflict.renamed.as_deref(),
    };
    InputData {
        input: &input.name,
        changes: json::changes(&summary.changes, Some(&summary.places), wording),
        findings: json::findings(&summary.findings, Some(&summary.places), wording),
        digests: &summary.digests,
        images: &summary.images,
        conflicts: input.conflicts.iter().map(conflict).collect(),
    }
}

/// Writes the report for people: a line for each input, then the report of the output.
pub fn render(
    inputs: &[MergedInput],
    output: &Report<'_>,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(plan) = output.plan else {
        return Ok(());
    };
    let images = count(plan.images.len() as u64, "image", "images");
    let subject = match output.output {
        Some(path) => format!("{} → {}", inputs_of(inputs), escape(path)),
        None => inputs_of(inputs),
    };
    let what = match output.output {
        Some(_) => {
            let blobs = text::verified(&output.blobs, "copied");
            format!("merged, {images}, {blobs}")
        }
        None => format!("would be merged, {images}"),
    };
    writeln!(out, "{BOLD}{subject}: {what}{BOLD:#}")?;
    writeln!(out)?;
    for input in inputs {
        let images = count(input.summary.images.len() as u64, "image", "images");
        let changes = what_changes(Status::Fixed, &input.summary);
        writeln!(out, "{}: {images}, {changes}", escape(&input.name))?;
        for NameConflict { name, renamed } in &input.conflicts {
            let name = shown(name);
            match renamed {
                Some(new) => writeln!(out, "  {name} → {}", shown(new))?,
                None => writeln!(out, "  removed {name}, which another input has")?,
            }
        }
        if detail == Detail::Full {
            text::changes(&input.summary.changes, output.wording, detail, out)?;
        }
    }
    if !plan.images.is_empty() {
        writeln!(out, "\nimages")?;
    }
    for image in &plan.images {
        let names: Vec<String> = image.names.iter().map(Reference::familiar).collect();
        let dim = Style::new().dimmed();
        let names = match names.is_empty() {
            true => "without a name".to_owned(),
            false => escape(&names.join(", ")),
        };
        match &image.digest {
            Some(digest) => writeln!(out, "  {names} {dim}{digest}{dim:#}")?,
            None => writeln!(out, "  {names}")?,
        }
    }
    text::dropped(plan.dropped, detail, out)?;
    text::findings_of(findings(inputs, plan), output.wording, detail, out)
}

/// What a user should know, each with the input that it is about: what ocify found when it read the inputs, and then what only the
/// output shows.
fn findings<'a>(
    inputs: &'a [MergedInput],
    output: &'a Summary,
) -> Vec<(Option<&'a str>, &'a plan::Finding)> {
    let mut all = Vec::new();
    let mut said = BTreeSet::new();
    let of_output: BTreeSet<FindingRule> = output.findings.iter().map(|found| found.rule).collect();
    for input in inputs {
        let found = text::distinct_findings(&input.summary.findings).into_iter();
        let found = found.filter(|found| !is_settled(found, &of_output));
        for found in found {
            // The place in the output is another one.
            said.insert((found.rule, &found.message));
            all.push((Some(&*input.name), found));
        }
    }
    let found = text::distinct_findings(&output.findings).into_iter();
    let found = found.filter(|found| !said.contains(&(found.rule, &found.message)));
    all.extend(found.map(|found| (None, found)));
    all
}

/// Whether the merge or an option of its output settled what an input's finding of this rule is about, as `--index` names
/// images.
fn is_settled(found: &plan::Finding, of_output: &BTreeSet<FindingRule>) -> bool {
    let rule = found.rule;
    let may_be = match rule {
        // An image that only `manifest.json` lists was left out.
        FindingRule::MissingBlob => !matches!(found.location, Some(Location::Item { .. })),
        FindingRule::UnnamedImage
        | FindingRule::MissingManifest
        | FindingRule::OrphanedBlobs
        | FindingRule::ZstdLayers
        | FindingRule::SkippableFrame => true,
        _ => false,
    };
    may_be && !of_output.contains(&rule)
}

/// A name as users write it.
fn shown(name: &str) -> String {
    let full = name.contains('/').then(|| Reference::parse(name)).flatten();
    match full {
        Some(name) => escape(&name.familiar()),
        None => escape(name),
    }
}

fn inputs_of(inputs: &[MergedInput]) -> String {
    count(inputs.len() as u64, "input", "inputs")
}
