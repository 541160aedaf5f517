//! Verifies blobs where they are.

use std::io;
use std::os::unix::fs::FileExt;

use super::ApplyOptions;
use super::copy::{changed_len, check_digest};
use super::pieces::{self, Failure, Piece};
use crate::error::{Error, Result};
use crate::image::{Digest, Hasher};
use crate::input::Source;
use crate::inventory::DataLocation;
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;

/// One read: what is hashed next stays in the processor's cache.
const PIECE: usize = 128 << 10;

/// One blob to verify.
struct Job<'a> {
    name: &'a str,
    digest: &'a Digest,
    data: &'a DataLocation,
    len: u64,
    place: usize,
}

impl Piece for Job<'_> {
    fn place(&self) -> usize {
        self.place
    }

    fn len(&self) -> u64 {
        self.len
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
            jobs.push(Job {
                name: &entry.name,
                digest,
                data,
                len: entry.len,
                place,
            });
        }
    }
    // The largest first, or one thread would end long after the others.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.len));
    pieces::each(&jobs, options, &Failure::none(), |job, buffer| {
        buffer.resize(PIECE, 0);
        verify(job, source, buffer, progress)
    })
}

fn verify(
    job: &Job<'_>,
    source: &Source,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<()> {
    let (file, start) = source.open_blob(job.data)?;
    let mut hasher = Hasher::new(job.digest.algorithm());
    let mut done = 0;
    while done < job.len {
        if progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let count = buffer
            .len()
            .min(usize::try_from(job.len - done).unwrap_or(usize::MAX));
        let count = match file.read_at(&mut buffer[..count], start + done) {
            Ok(0) => return Err(changed_len(job.name, job.data, job.len, done)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", source.path(), error)),
        };
        hasher.update(&buffer[..count]);
        progress.advance(count as u64);
        done += count as u64;
    }
    check_digest(job.name, job.digest, &hasher.finish())
}
