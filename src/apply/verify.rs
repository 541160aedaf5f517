//! Verifies blobs where they are.

use super::ApplyOptions;
use super::pieces::{self, Piece};
use super::verified::{Expected, Hash, Nowhere, copy_verified};
use crate::error::Result;
use crate::input::{BlobAt, BlobName, Source};
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;

/// One blob to verify.
struct Job<'a> {
    blob: BlobAt<'a>,
    expected: Expected<'a>,
    place: usize,
}

impl Piece for Job<'_> {
    fn place(&self) -> usize {
        self.place
    }

    fn len(&self) -> u64 {
        self.blob.len
    }
}

/// Verifies every blob that a plan takes from the source. Of several errors the one of the first
/// entry is returned.
pub(super) fn blobs(
    plan: &Plan,
    source: &Source,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let is_read = |entry: &&OutputEntry| matches!(entry.body, Body::Blob { .. });
    let read = plan.entries.iter().filter(is_read);
    progress.start(read.map(|entry| entry.len).sum());
    let done = all(plan, source, options, progress);
    progress.finish();
    done
}

fn all(
    plan: &Plan,
    source: &Source,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for (place, entry) in plan.entries.iter().enumerate() {
        if let Body::Blob { digest, data } = &entry.body {
            let blob = BlobAt {
                name: BlobName::Entry(&entry.name),
                data,
                len: entry.len,
            };
            jobs.push(Job {
                blob,
                expected: Expected {
                    name: &entry.name,
                    digest,
                },
                place,
            });
        }
    }
    // The largest first, or one thread would end long after the others.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.blob.len));
    pieces::each(&jobs, options, progress, |job, progress, scratch| {
        let mut reader = source.reader(job.blob, progress)?;
        copy_verified(
            &mut reader,
            &mut Nowhere,
            Hash::Inline(job.expected),
            scratch,
        )
    })
}
