//! A new file with the bytes of another one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{copy_file_range, ioctl_ficlone};
use rustix::io::Errno;

use super::Patch;
use crate::apply::pieces::{self, Failure, Piece};
use crate::apply::target::Target;
use crate::apply::{ApplyOptions, Link, archive, copy, space};
use crate::error::{Code, Error, IoContext, Result, show_path};
use crate::input::Source;
use crate::progress::Progress;

/// What the system copies at a time, so that progress shows, and so that two threads share the work:
/// while one of them looks for pages of the input, the other writes.
const CHUNK: u64 = if cfg!(test) { 1 << 20 } else { 16 << 20 };
/// What is read at a time where the system cannot copy.
const PIECE: usize = 128 << 10;

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
    let holes = copy::holes(input, 0..patch.kept_len).context("read", source.path())?;
    if holes.is_empty() {
        space::check(target.parent(), needed)?;
        archive::reserve(output, needed).context("write", target.path())?;
    }
    let copy = Copy {
        input,
        output,
        source,
        target,
        progress,
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
    pieces::each(&parts, options, &Failure::none(), |part, buffer| {
        copy.range(part, buffer)
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

struct Copy<'a> {
    input: &'a File,
    output: &'a File,
    source: &'a Source,
    target: &'a Target,
    progress: &'a dyn Progress,
}

impl Copy<'_> {
    fn range(&self, part: &Part, buffer: &mut Vec<u8>) -> Result<()> {
        let (mut at, end) = (part.start, part.end);
        while at < end {
            if self.progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let (mut from, mut to) = (at, at);
            let count = usize::try_from(end - at).unwrap_or(PIECE);
            match copy_file_range(
                self.input,
                Some(&mut from),
                self.output,
                Some(&mut to),
                count,
            ) {
                Ok(0) => return Err(self.ended(at)),
                Ok(copied) => {
                    at += copied as u64;
                    self.progress.advance(copied as u64);
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
                ) => return self.by_hand(at, end, buffer),
                Err(error) => return Err(Error::io("write", self.target.path(), error.into())),
            }
        }
        Ok(())
    }

    fn by_hand(&self, start: u64, end: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(PIECE, 0);
        let mut at = start;
        while at < end {
            let count = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
            let count = match self.input.read_at(&mut buffer[..count], at) {
                Ok(0) => return Err(self.ended(at)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.source.path(), error)),
            };
            let written = self.output.write_all_at(&buffer[..count], at);
            written.context("write", self.target.path())?;
            at += count as u64;
            self.progress.advance(count as u64);
        }
        Ok(())
    }

    fn ended(&self, at: u64) -> Error {
        Error::new(
            Code::TruncatedArchive,
            format!(
                "{} ended at byte {at} while it was read",
                show_path(self.source.path())
            ),
        )
        .with_path(self.source.path())
        .with_byte(at)
        .with_hint("try again when nothing else writes to it")
    }
}
