//! Writes a new archive: all offsets are known first, so blobs are copied in any order.

mod places;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::copy::{self, Destination, Job, MAX_REGION, Region, Task};
use super::proof::Proof;
use super::target::Target;
use super::{ApplyOptions, Confirm, body_len, space};
use crate::error::{IoContext, Result};
use crate::input::Source;
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::publish::{PublishOptions, Published, StagedFile};
use crate::tar::canonical;
use places::{Places, is_small};

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let places = Places::of(&plan.entries)?;
    let holes = places.holes(&plan.entries, source)?;
    let kept: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
    // A small output fails just as early while it is written.
    if places.len >= RESERVED {
        space::check_for(target, places.len.saturating_sub(kept))?;
    }
    let path = &target.path();
    let output = create(target)?;
    let reserved = match holes.as_slice() {
        [] => reserve(output.file(), places.len),
        holes => reserve_around(output.file(), places.len, holes),
    };
    reserved.context("write", path)?;

    let write = |bytes: &[u8], at| {
        let written = output.file().write_all_at(bytes, at);
        written.context("write", path)
    };
    let mut tasks = Vec::new();
    for group in places.groups(&plan.entries) {
        let entry = match &plan.entries[group.clone()] {
            [entry] if !is_small(entry) => entry,
            entries => {
                let (start, end) = (places.bounds[group.start], places.bounds[group.end]);
                tasks.push(Task::Region(Region {
                    entries,
                    output: output.file(),
                    at: start,
                    len: (end - start) as usize,
                }));
                continue;
            }
        };
        let position = places.bounds[group.start];
        let len = body_len(entry);
        let header = canonical(&entry.name, entry.body == Body::Directory, len);
        write(&header, position)?;
        let position = position + header.len() as u64;
        match &entry.body {
            Body::Directory => {}
            Body::Bytes(bytes) => {
                for (number, piece) in bytes.chunks(MAX_REGION).enumerate() {
                    write(piece, position + (number * MAX_REGION) as u64)?;
                }
            }
            Body::Blob { digest, data } => tasks.push(Task::Blob(Job {
                name: &entry.name,
                digest,
                data,
                len,
                proof: Proof::of(plan, entry, options),
                destination: Destination::At(output.file(), position),
            })),
        }
    }
    copy::run(&tasks, plan, source, path, options, progress)?;
    publish(output, target, options)
}

/// From this size, free space is checked and reserved first, which takes as long as
/// writing a small file.
const RESERVED: u64 = 256 << 10;

/// Sets the file's length. A new file is all zeros, so it already has padding and the end-of-archive marker.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    reserve_around(file, len, &[])
}

/// Reserves everything except the holes, which are in order.
fn reserve_around(file: &File, len: u64, holes: &[Range<u64>]) -> io::Result<()> {
    if len < RESERVED {
        return file.set_len(len);
    }
    let mut at = 0;
    for hole in holes.iter().chain([&(len..len)]) {
        // Not every filesystem can reserve space, so other errors are ignored.
        let reserved = match hole.start > at {
            true => fallocate(file, FallocateFlags::empty(), at, hole.start - at),
            false => Ok(()),
        };
        if let Err(error @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) = reserved {
            return Err(error.into());
        }
        at = hole.end;
    }
    file.set_len(len)
}

/// An empty file for an archive.
pub(super) fn create(target: &Target) -> Result<StagedFile> {
    let staged = target.place().and_then(StagedFile::create_held);
    staged.context("create", target.path())
}

/// Renames a complete archive into place, unless the caller objects.
pub(super) fn publish(file: StagedFile, target: &Target, options: &ApplyOptions) -> Result<()> {
    if let Some(Confirm(confirm)) = options.confirm {
        confirm()?;
    }
    let published = file.publish(PublishOptions {
        replace: target.overwrite,
        sync: options.sync,
    })?;
    match published {
        Published::Done => Ok(()),
        Published::Exists | Published::NotEmpty => Err(target.appeared()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::apply::Output;
    use crate::error::{Code, Error};

    #[test]
    fn an_archive_that_appeared_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.tar"), b"in").unwrap();
        let source = Source::open(dir.path().join("in.tar")).unwrap();
        let path = dir.path().join("out.tar");
        let run = |options: &ApplyOptions, overwrite: bool| {
            let file = StagedFile::create(&path).unwrap();
            let output = Output::archive(&path).overwrite(true);
            let mut target = Target::prepare(output, &source).unwrap();
            target.overwrite = overwrite;
            publish(file, &target, options).map_err(|error| error.code())
        };
        let refuses = || Err(Error::interrupted());
        let options = ApplyOptions {
            confirm: Some(Confirm(&refuses)),
            ..ApplyOptions::default()
        };
        assert_eq!(run(&options, false), Err(Code::Interrupted));
        assert!(!path.exists());
        let options = ApplyOptions::default();
        assert_eq!(run(&options, false), Ok(()));
        assert_eq!(run(&options, false), Err(Code::OutputExists));
        assert_eq!(run(&options, true), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
