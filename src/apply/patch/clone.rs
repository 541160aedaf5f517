//! A new file with the bytes of another one.

use std::fs::File;
use std::path::Path;

use rustix::fs::{copy_file_range, ioctl_ficlone};
use rustix::io::Errno;

use super::Patch;
use crate::apply::pieces::{self, Piece};
use crate::apply::target::Target;
use crate::apply::verified::{FileSink, Hash, Scratch, copy_verified};
use crate::apply::{ApplyOptions, Link, archive, space};
use crate::error::{Error, IoContext, Result};
use crate::input::{self, Source, archive_ended};
use crate::progress::Progress;

/// What the system copies at a time, so that progress shows, and so that two threads share the work:
/// while one of them looks for pages of the input, the other writes.
const CHUNK: u64 = if cfg!(test) { 1 << 20 } else { 16 << 20 };

/// Fills an empty file with what a patch keeps of the source.
pub(super) fn clone(
    patch: &Patch,
    source: &Source,
    target: &Target,
    output: &File,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let input = source.file();
    if options.link != Link::Never && ioctl_ficlone(output, input).is_ok() {
        progress.advance(patch.kept_len);
        return Ok(());
    }
    let needed = patch.kept_len.max(patch.new_len);
    let holes = input::holes(input, 0..patch.kept_len).context("read", source.path())?;
    if holes.is_empty() {
        space::check_for(target, needed)?;
        archive::reserve(output, needed).context("write", target.path())?;
    }
    let path = &target.path();
    let copy = KernelCopy {
        input,
        output,
        source,
        path,
    };
    let mut parts = Vec::new();
    let mut start = 0;
    let end = std::iter::once(patch.kept_len..patch.kept_len);
    for hole in holes.into_iter().chain(end) {
        while start < hole.start {
            let end = hole.start.min(start + CHUNK);
            let place = parts.len();
            parts.push(Part { place, start, end });
            start = end;
        }
        progress.advance(hole.end - hole.start);
        start = hole.end;
    }
    pieces::each(&parts, options, progress, |part, progress, scratch| {
        copy.range(part, progress, scratch)
    })
}

/// Some of the bytes that are kept, without holes.
struct Part {
    place: usize,
    start: u64,
    end: u64,
}

impl Piece for Part {
    fn place(&self) -> usize {
        self.place
    }

    fn len(&self) -> u64 {
        self.end - self.start
    }
}

struct KernelCopy<'a> {
    input: &'a File,
    output: &'a File,
    source: &'a Source,
    /// The output, for messages.
    path: &'a Path,
}

impl KernelCopy<'_> {
    fn range(&self, part: &Part, progress: &dyn Progress, scratch: &mut Scratch) -> Result<()> {
        let (mut at, end) = (part.start, part.end);
        while at < end {
            if progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let (mut from, mut to) = (at, at);
            let count = usize::try_from(end - at).unwrap_or(usize::MAX);
            match copy_file_range(
                self.input,
                Some(&mut from),
                self.output,
                Some(&mut to),
                count,
            ) {
                Ok(0) => return Err(archive_ended(self.source.path(), at)),
                Ok(copied) => {
                    at += copied as u64;
                    progress.advance(copied as u64);
                }
                Err(Errno::INTR) => {}
                Err(
                    Errno::INVAL
                    | Errno::OPNOTSUPP
                    | Errno::XDEV
                    | Errno::NOSYS
                    | Errno::PERM
                    | Errno::IO
                    | Errno::BADF,
                ) => {
                    let mut rest = self.source.range_reader(at..end, progress);
                    let mut sink = FileSink {
                        file: self.output,
                        path: self.path,
                        at,
                    };
                    return copy_verified(&mut rest, &mut sink, Hash::None, scratch);
                }
                Err(error) => return Err(Error::io("write", self.path, error.into())),
            }
        }
        Ok(())
    }
}
