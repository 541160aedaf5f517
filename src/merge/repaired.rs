//! Documents that are damaged or missing in one input and intact in another.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::part::{Known, known};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::fix::Run;
use crate::graph::Graph;
use crate::graph::document::MAX_DOCUMENT_LEN;
use crate::graph::needed_by::blob_of;
use crate::image::Digest;
use crate::input::Source;
use crate::inventory::{BlobEntry, BlobSource, DataLocation};
use crate::location::Location;
use crate::plan::rules::FindingRule;
use crate::plan::{Finding, PlanOptions, refused_item};

/// An input that was read.
pub(super) struct Read {
    pub(super) source: Source,
    pub(super) found: Found,
    /// What was replaced, for the user.
    pub(super) repairs: Vec<Finding>,
}

/// What was found in an input.
pub(super) struct Found {
    pub(super) known: Known,
    /// The error for the input alone, if none of its images is complete.
    pub(super) incomplete: Option<Error>,
    pub(super) refused: Option<Refused>,
    blobs: BTreeMap<Digest, BlobEntry>,
    /// The documents that are damaged or missing, as far as others lead to them.
    wanted: BTreeSet<Digest>,
}

/// What is wrong with an image of a Docker archive that must not go out.
pub(super) struct Refused {
    /// The error if no input has another image.
    pub(super) alone: Error,
    /// The error that says how to keep the others.
    pub(super) beside_others: Error,
}

impl Refused {
    fn of(graph: &Graph, path: &Path, run: &Run<'_>) -> Option<Self> {
        let (position, error) = refused_item(graph, run.requested())?;
        let error = graph.restated(error.clone());
        let beside_others = graph.with_item(error.clone(), position);
        Some(Refused {
            alone: error.within(path),
            beside_others: beside_others.within(path),
        })
    }
}

impl Read {
    /// Reads and plans an input, whose images need not be complete: others may have what they lack.
    pub(super) fn of(source: Source, options: &PlanOptions, run: &Run<'_>) -> Result<Self> {
        Ok(Read {
            found: Found::of(&source, &BTreeMap::new(), options, run)?,
            source,
            repairs: Vec::new(),
        })
    }
}

impl Found {
    /// Reads a source with these blobs in place of its own.
    fn of(
        source: &Source,
        blobs: &BTreeMap<Digest, BlobEntry>,
        options: &PlanOptions,
        run: &Run<'_>,
    ) -> Result<Self> {
        let found = || {
            let mut inventory = run.scanned(source)?;
            let blobs = blobs.iter();
            let blobs = blobs.map(|(digest, blob)| (digest.clone(), blob.clone()));
            inventory.blobs.extend(blobs);
            let graph = run.meaning_beside_others(inventory, source)?;
            let is_whole = graph.require_an_item();
            let is_whole = is_whole.and_then(|()| graph.require_a_whole_image());
            Ok(Found {
                known: known(&graph, options, run)?,
                incomplete: is_whole.err(),
                refused: Refused::of(&graph, source.path(), run),
                wanted: wanted(&graph),
                blobs: graph.inventory.blobs,
            })
        };
        let found: Result<Self> = found();
        let mut found = found.map_err(|error| error.within(source.path()))?;
        let incomplete = found.incomplete.take();
        found.incomplete = incomplete.map(|error| error.within(source.path()));
        Ok(found)
    }
}

fn wanted(graph: &Graph) -> BTreeSet<Digest> {
    let damage = graph.faults.iter().filter(|(_, error)| is_damage(error));
    let damaged = damage.map(|(digest, error)| blob_of(error).unwrap_or_else(|| digest.clone()));
    let missing = graph.missing.iter().filter(|missing| missing.is_child);
    let missing = missing.map(|missing| missing.digest.clone());
    damaged.chain(missing).collect()
}

fn is_damage(error: &Error) -> bool {
    matches!(error.code(), Code::DigestMismatch | Code::SizeMismatch)
}

/// Gives each input the documents that are damaged in it, or that it lacks, from another in which they are intact. All inputs
/// then mean the same by them, and change them in the same way.
pub(super) fn repair(inputs: &mut [Read], options: &PlanOptions, run: &Run<'_>) -> Result<()> {
    let mut intact: BTreeMap<Digest, Option<usize>> = BTreeMap::new();
    let mut replaced: Vec<BTreeMap<Digest, BlobEntry>> = vec![BTreeMap::new(); inputs.len()];
    // Each document that can be read now may lead to others.
    loop {
        let mut changed = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            let wanted = input.found.wanted.iter();
            let wanted = wanted.filter(|digest| !replaced[number].contains_key(*digest));
            let found = wanted.filter_map(|digest| {
                let other = intact.entry(digest.clone());
                let other = *other.or_insert_with(|| find(inputs, digest));
                Some((digest.clone(), other.filter(|other| *other != number)?))
            });
            let found: Vec<(Digest, usize)> = found.collect();
            if !found.is_empty() {
                changed.push((number, found));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        for (number, found) in changed {
            let blobs = spooled(inputs, number, &found, &run.spool_directory())?;
            for (digest, other) in found {
                if inputs[number].found.blobs.contains_key(&digest) {
                    let finding = finding(&digest, inputs[other].source.path());
                    inputs[number].repairs.push(finding);
                }
            }
            replaced[number].extend(blobs);
            let input = &mut inputs[number];
            input.found = Found::of(&input.source, &replaced[number], options, run)?;
        }
    }
}

/// What the user should know about a damaged blob.
pub(super) fn finding(digest: &Digest, other: &Path) -> Finding {
    let message = format!(
        "the blob does not match its digest; ocify used the intact copy in {}",
        show_path(other)
    );
    let location = Some(Location::entry(&digest.blob_name()));
    FindingRule::DamagedBlob.finding(location, message, Some(Hint::ReplaceDamaged))
}

/// The first input in which a blob is intact.
fn find(inputs: &[Read], digest: &Digest) -> Option<usize> {
    inputs.iter().position(|input| {
        let blob = input.found.blobs.get(digest);
        let bytes = blob.and_then(|blob| input.source.read_blob(blob, MAX_DOCUMENT_LEN).ok());
        bytes.is_some_and(|bytes| digest.recompute(&bytes).as_ref() == Some(digest))
    })
}

/// Adds blobs of other inputs to the source of one, in a temporary file.
fn spooled(
    inputs: &mut [Read],
    number: usize,
    blobs: &[(Digest, usize)],
    directory: &Path,
) -> Result<BTreeMap<Digest, BlobEntry>> {
    let file = tempfile::tempfile_in(directory).map_err(|error| {
        Error::io("create a temporary file in", directory, error)
            .with_hint(Hint::ChooseSpoolDirectory)
    })?;
    let file = Arc::new(file);
    let place = inputs[number].source.add_spooled(Arc::clone(&file));
    let mut offset = 0;
    let mut entries = BTreeMap::new();
    for (digest, other) in blobs {
        let other = &inputs[*other];
        let Some(blob) = other.found.blobs.get(digest) else {
            continue;
        };
        let bytes = other.source.read_blob(blob, MAX_DOCUMENT_LEN)?;
        (&*file).write_all(&bytes).context("write to", directory)?;
        let data = DataLocation::Spooled {
            file: place,
            offset,
        };
        let entry = BlobEntry {
            data,
            ..blob.clone()
        };
        entries.insert(digest.clone(), entry);
        offset += blob.len;
    }
    Ok(entries)
}
