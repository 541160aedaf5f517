//! Apply: writes the output that a [`Plan`] lists. It appears only when it is complete and verified.

mod archive;
mod compressed;
mod copy;
mod directory;
mod output;
mod patch;
mod pieces;
mod recompress;
mod sequence;
mod space;
mod stream;
mod target;
mod transcode;
mod verbatim;
mod verified;
mod verify;

pub use output::Output;
pub use patch::{Patch, apply_in_place, apply_patched, patch};
pub use recompress::{RecompressOptions, recompress};
pub(crate) use stream::StreamSink;
pub use target::Target;

use std::num::NonZeroUsize;

use crate::error::{Code, Error, Result, escape};
use crate::image::Digest;
use crate::input::Source;
use crate::plan::{Body, Form, OutputEntry, Plan};
use crate::progress::Progress;
use crate::threads::{IdleThreads, Workers};
use verified::Expected;

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

/// What is verified while it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Every blob, against its digest.
    #[default]
    Full,
    /// Documents and configs, which the plan depends on and which were verified when they were read.
    /// Of all other blobs, only the length is checked.
    Documents,
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
    /// The number of blobs in the output, all of them verified.
    pub blob_count: u64,
    /// Their total length in bytes.
    pub blob_bytes: u64,
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
    let outcome = check_entries(&plan.entries, options.workers())?;
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
fn check_entries(entries: &[OutputEntry], workers: Workers<'_>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut documents = Vec::new();
    let mut documents_len = 0;
    for entry in entries {
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
            .with_entry(&entry.name));
        }
        let Some(digest) = Digest::from_blob_name(&entry.name) else {
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
    }
    let workers = match documents_len {
        SHARED_MIN.. => workers,
        _ => Workers::ONE,
    };
    let checked = workers.map(&documents, |(name, digest, bytes)| {
        Expected { name, digest }.check_bytes(bytes)
    });
    checked.into_iter().collect::<Result<()>>()?;
    Ok(outcome)
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
