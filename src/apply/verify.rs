//! Verifies blobs where they are.

use std::collections::BTreeSet;

use super::copy::{self, Destination, Job, Task};
use super::proof::{Proof, prove};
use super::{ApplyOptions, Outcome, Verify, check_entries};
#[cfg(feature = "push")]
use super::{body_len, count};
use crate::error::Result;
use crate::image::Digest;
use crate::input::Source;
use crate::plan::{BlobKind, Body, OutputEntry, Plan, Transcode};
use crate::progress::Progress;

/// Verifies everything that a plan takes from the source, at the level that the options ask for, and writes
/// nothing. `progress` counts the bytes of the blobs that are read.
///
/// # Errors
/// A blob is damaged, or the input cannot be read. Of several errors the one of the first entry is returned.
pub fn verify(
    plan: &Plan,
    source: &Source,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<Outcome> {
    verify_with(plan, &[], source, options, progress)
}

/// The same for a plan that waits for layers to be recompressed. They are verified against their digest and
/// their diff ID, as recompressing them does.
pub(crate) fn verify_with(
    plan: &Plan,
    transcodes: &[Transcode],
    source: &Source,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let mut outcome = check_entries(plan, options)?;
    if options.verify == Verify::Documents {
        return Ok(outcome);
    }
    let proven: BTreeSet<&Digest> = transcodes.iter().map(|work| &work.digest).collect();
    let mut jobs = Vec::new();
    for entry in &plan.entries {
        let Some(job) = job(plan, entry, options) else {
            continue;
        };
        if !proven.contains(job.digest) {
            jobs.push(job);
        } else if entry.kind == BlobKind::Layer && job.proof.is_none() {
            outcome.verified.diff_ids += 1;
        }
    }
    let lens = jobs.iter().map(|job| job.len);
    progress.start(lens.chain(transcodes.iter().map(|work| work.len)).sum());
    let tasks: Vec<Task<'_>> = jobs.into_iter().map(Task::Blob).collect();
    let done = copy::run(&tasks, plan, source, source.path(), options, progress)
        .and_then(|()| prove(transcodes, source, options, progress));
    progress.finish();
    done.map(|()| outcome)
}

/// Verifies the documents of a plan, and those blobs that have to be read for it whether or not they are copied: layers
/// that only their diff ID proves, and with [`Verify::Full`] all.
///
/// # Errors
/// Those of [`verify`].
#[cfg(feature = "push")]
pub(crate) fn verify_decoded<'p>(
    plan: &Plan,
    source: &Source,
    options: &ApplyOptions<'_>,
    begin: &dyn Fn() -> Box<dyn Progress + 'p>,
) -> Result<()> {
    check_entries(plan, options)?;
    let entries = plan.entries.iter();
    let jobs = entries.filter_map(|entry| job(plan, entry, options));
    let is_read = |job: &Job<'_>| options.verify == Verify::Full || job.proof.is_some();
    let jobs: Vec<Job<'_>> = jobs.filter(is_read).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let progress = begin();
    progress.start(jobs.iter().map(|job| job.len).sum());
    let tasks: Vec<Task<'_>> = jobs.into_iter().map(Task::Blob).collect();
    let done = copy::run(&tasks, plan, source, source.path(), options, &*progress);
    progress.finish();
    done
}

/// What was verified of a plan's blobs after [`verify_decoded`], and after those that `is_read` names were verified against their
/// digests.
#[cfg(feature = "push")]
pub(crate) fn outcome_of(
    plan: &Plan,
    options: &ApplyOptions<'_>,
    is_read: &dyn Fn(&Digest) -> bool,
) -> Outcome {
    let unread = ApplyOptions {
        verify: Verify::Documents,
        ..*options
    };
    let mut outcome = Outcome::default();
    for entry in &plan.entries {
        let Some(digest) = Digest::from_any_blob_name(&entry.name) else {
            continue;
        };
        outcome.blob_count += 1;
        outcome.blob_bytes += body_len(entry);
        let was_read = options.verify == Verify::Full
            || Proof::of(plan, entry, options).is_some()
            || is_read(&digest);
        let options = if was_read { options } else { &unread };
        count(&mut outcome, plan, entry, options);
    }
    outcome
}

fn job<'a>(plan: &'a Plan, entry: &'a OutputEntry, options: &ApplyOptions<'_>) -> Option<Job<'a>> {
    let Body::Blob { digest, data } = &entry.body else {
        return None;
    };
    Some(Job {
        name: &entry.name,
        digest,
        data,
        len: entry.len,
        proof: Proof::of(plan, entry, options),
        destination: Destination::Nowhere,
    })
}
