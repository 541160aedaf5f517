//! Apply: writes the output that a [`Plan`] lists. It appears only when it is complete and verified.

mod archive;
mod compressed;
mod copy;
mod decode;
mod directory;
mod exchange;
mod output;
mod patch;
mod pieces;
mod proof;
mod recompress;
mod sequence;
mod space;
mod stream;
mod target;
mod transcode;
mod verbatim;
mod verified;
mod verify;

pub(crate) use exchange::{
    Exchange, Exchanged, is_building, is_older, lock_layout, recorded, refuse_exchange,
    refused_link,
};
pub use output::Output;
pub use patch::{Patch, apply_in_place, apply_patched, patch};
pub(crate) use recompress::without_tar;
pub use recompress::{RecompressOptions, recompress};
pub(crate) use stream::StreamSink;
pub use target::{Target, refuse_irreplaceable};
#[cfg(feature = "push")]
pub(crate) use verified::wrong_digest;
pub use verify::verify;
pub(crate) use verify::verify_with;
#[cfg(feature = "push")]
pub(crate) use verify::{outcome_of, verify_decoded};

use std::num::NonZeroUsize;

use crate::codec::Limits;
use crate::error::{Code, Error, Hint, Result, escape};
use crate::image::Digest;
use crate::input::Source;
use crate::inventory::DataLocation;
use crate::plan::{BlobKind, Body, Form, OutputEntry, Plan, Unverified, Verified};
use crate::progress::Progress;
use crate::threads::{IdleThreads, Workers};
use proof::Proof;

/// Options for writing an output.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ApplyOptions<'a> {
    /// Wait until the output is on disk.
    pub sync: bool,
    /// How many threads copy and verify blobs.
    pub jobs: NonZeroUsize,
    /// Idle threads that may help.
    pub idle_threads: Option<&'a IdleThreads>,
    /// What is verified before the output is renamed into place.
    pub verify: Verify,
    /// What layers may ask for that are decompressed.
    pub limits: Limits,
    /// How blobs are copied from one layout directory to another.
    pub link: Link,
    /// Called before the output is renamed into place.
    pub confirm: Option<Confirm<'a>>,
}

impl ApplyOptions<'_> {
    fn workers(&self) -> Workers<'_> {
        Workers {
            jobs: self.jobs.into(),
            idle_threads: self.idle_threads,
        }
    }
}

impl Default for ApplyOptions<'_> {
    fn default() -> Self {
        ApplyOptions {
            sync: false,
            jobs: NonZeroUsize::MIN,
            idle_threads: None,
            verify: Verify::default(),
            limits: Limits::default(),
            link: Link::default(),
            confirm: None,
        }
    }
}

impl ApplyOptions<'_> {
    /// Sets whether to wait until the output is on disk.
    #[must_use]
    pub fn with_sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// Sets the number of threads.
    #[must_use]
    pub fn with_jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = jobs;
        self
    }

    /// Sets what is verified.
    #[must_use]
    pub fn with_verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// The same, decompressing layers within these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how blobs are copied from one layout directory to another.
    #[must_use]
    pub fn with_link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }
}

/// Called when the archive's file is complete, right before it is renamed into place. After an error
/// it is not renamed, and nothing is left behind.
#[derive(Clone, Copy)]
pub struct Confirm<'a>(pub &'a (dyn Fn() -> Result<()> + Sync));

impl std::fmt::Debug for Confirm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Confirm")
    }
}

/// What is verified before an output appears. The levels build on each other.
///
/// Layers that are recompressed are verified against their digest and their diff ID at every level, since all
/// of their bytes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verify {
    /// Indexes, manifests and image configs, against their digests. All other blobs are only held to their
    /// length.
    Documents,
    /// Every blob, against its digest. If ocify computed a layer's digest, because nothing in the input states
    /// it, or cannot verify the digest's algorithm, the diff ID is the only proof of the layer's bytes, and it is
    /// verified as with [`Full`](Self::Full). Docker archives with compressed layers have such layers.
    #[default]
    Digests,
    /// Every blob, against its digest, and every layer of an image, against its diff ID: compressed layers are
    /// decompressed. Encrypted layers, filesystem images, nondistributable layers and layers of unknown types
    /// are not decompressed.
    Full,
}

/// Whether files of a layout directory share their bytes with the input's. They are verified in
/// both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// If the filesystem can share blocks (reflinks), so that a later change to one file does not affect
    /// the other.
    #[default]
    Auto,
    /// As hard links if possible: a change to one file changes the other.
    Hard,
    /// Never: every byte is copied.
    Never,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How many blobs the output holds.
    pub blob_count: u64,
    /// Their total length in bytes.
    pub blob_bytes: u64,
    /// What was verified of them.
    pub verified: Verified,
    /// What was not verified of them.
    pub unverified: Unverified,
}

/// Writes the plan's entries to the target. The output is renamed into place only when every byte is
/// written and verified; on an error nothing is left behind.
///
/// The plan must have been made for the target's [form](Target::form).
///
/// # Errors
/// A blob is damaged, the input cannot be read or the output cannot be written.
pub fn apply(
    plan: &Plan,
    source: &Source,
    mut target: Target<'_>,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let outcome = check_entries(plan, options)?;
    if plan.keeps_bytes
        && let Some(input) = source.original()
    {
        verbatim::write(plan, source, input, &target, options, progress)?;
        return Ok(outcome);
    }
    let copied = plan.entries.iter().filter_map(|entry| match entry.body {
        Body::Blob { .. } => Some(entry.len),
        Body::Directory | Body::Bytes(_) => None,
    });
    progress.start(copied.sum());
    let written = match (target.take_writer(), target.form(), plan.form.compression()) {
        (Some(output), ..) => stream::write(plan, source, &target, output, options, progress),
        (None, Form::Layout, _) => directory::write(plan, source, &target, options, progress),
        (None, _, None) => archive::write(plan, source, &target, options, progress),
        (None, _, Some(to)) => compressed::write(plan, source, &target, to, options, progress),
    };
    progress.finish();
    written.map(|()| outcome)
}

/// Documents with this many bytes are hashed by all threads.
const SHARED_MIN: u64 = if cfg!(test) { 64 } else { 256 << 10 };

/// Verifies the documents whose bytes are known, and that no name leads outside the output.
fn check_entries(plan: &Plan, options: &ApplyOptions<'_>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut documents = Vec::new();
    let mut documents_len = 0;
    for entry in &plan.entries {
        let is_outside = entry
            .name
            .trim_end_matches('/')
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."));
        if is_outside {
            return Err(Error::new(
                Code::InvalidArchive,
                format!(
                    "the name \"{}\" is not valid in an output",
                    escape(&entry.name)
                ),
            )
            .with_entry(&entry.name)
            .with_hint(Hint::SaveWrongAgain));
        }
        let Some(digest) = Digest::from_any_blob_name(&entry.name) else {
            continue;
        };
        match &entry.body {
            Body::Directory => continue,
            Body::Blob { digest: stated, .. } => {
                verified::check_digest(&entry.name, &digest, stated)?;
            }
            Body::Bytes(bytes) => {
                documents_len += body_len(entry);
                documents.push((&entry.name, digest, bytes));
            }
        }
        outcome.blob_count += 1;
        outcome.blob_bytes += body_len(entry);
        count(&mut outcome, plan, entry, options);
    }
    let workers = match documents_len {
        SHARED_MIN.. => options.workers(),
        _ => Workers::ONE,
    };
    let checked = workers.map(&documents, |(name, digest, bytes)| {
        let found = digest.recompute(bytes);
        let found = found.ok_or_else(|| digest.unsupported())?;
        verified::check_digest(name, digest, &found)
    });
    checked.into_iter().collect::<Result<()>>()?;
    Ok(outcome)
}

/// Counts a blob as what these options verify of it.
fn count(outcome: &mut Outcome, plan: &Plan, entry: &OutputEntry, options: &ApplyOptions<'_>) {
    let Outcome {
        verified,
        unverified,
        ..
    } = outcome;
    let is_spooled = |data: &DataLocation| matches!(data, DataLocation::Spooled { .. });
    // Those of a temporary file of ours were verified when they were recompressed.
    let is_recompressed = matches!(&entry.body, Body::Blob { data, .. } if is_spooled(data));
    let is_unverifiable =
        matches!(&entry.body, Body::Blob { digest, .. } if !digest.is_verifiable());
    let is_hashed = !is_unverifiable && (options.verify != Verify::Documents || is_recompressed);
    // The diff ID of an uncompressed layer is its digest.
    let has_proof = || {
        is_recompressed
            || is_hashed && entry.kind == BlobKind::PlainLayer
            || Proof::of(plan, entry, options).is_some()
    };
    match entry.kind {
        BlobKind::Document => verified.documents += 1,
        BlobKind::Config => verified.configs += 1,
        BlobKind::Layer | BlobKind::PlainLayer if is_hashed || has_proof() => {
            verified.layers += 1;
            verified.diff_ids += u64::from(has_proof());
        }
        BlobKind::Other if is_hashed => verified.others += 1,
        BlobKind::UnprovenConfig => unverified.configs += 1,
        BlobKind::Layer | BlobKind::PlainLayer | BlobKind::UnprovenLayer => {
            unverified.layers += 1;
        }
        BlobKind::Other => unverified.others += 1,
    }
}

/// How many bytes the entry has in the output.
fn body_len(entry: &OutputEntry) -> u64 {
    match &entry.body {
        Body::Directory => 0,
        Body::Blob { .. } => entry.len,
        Body::Bytes(bytes) => bytes.len() as u64,
    }
}

#[cfg(test)]
mod tests;
