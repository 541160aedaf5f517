//! A new file with the bytes of another one.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;

use super::Patch;
use crate::apply::target::Target;
use crate::apply::{archive, space};
use crate::error::{Code, Error, IoContext, Result, show_path};
use crate::progress::Progress;
use crate::read::Source;

/// What the system copies at a time, so that progress shows.
const CHUNK: u64 = 64 << 20;
/// What is read at a time where the system cannot copy.
const PIECE: usize = 128 << 10;

/// Fills an empty file with what a patch keeps of the source.
pub(super) fn clone(
    patch: &Patch,
    source: &Source,
    target: &Target,
    output: &File,
    progress: &dyn Progress,
) -> Result<()> {
    let input = source.file();
    if ioctl_ficlone(output, input).is_ok() {
        progress.advance(patch.kept_len);
        return Ok(());
    }
    let needed = patch.kept_len.max(patch.new_len);
    let metadata = input.metadata().context("read", source.path())?;
    let is_sparse = metadata.blocks().saturating_mul(512) < metadata.len();
    if !is_sparse {
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
    let mut at = 0;
    while at < patch.kept_len {
        let (start, end) = match is_sparse {
            true => copy.data(at, patch.kept_len)?,
            false => (at, patch.kept_len),
        };
        progress.advance(start - at);
        copy.range(start, end)?;
        at = end;
    }
    Ok(())
}

struct Copy<'a> {
    input: &'a File,
    output: &'a File,
    source: &'a Source,
    target: &'a Target,
    progress: &'a dyn Progress,
}

impl Copy<'_> {
    /// The next range that is no hole, up to `limit`.
    fn data(&self, at: u64, limit: u64) -> Result<(u64, u64)> {
        let start = match seek(self.input, SeekFrom::Data(at)) {
            Ok(start) => start.min(limit),
            // Nothing but a hole follows.
            Err(Errno::NXIO) => return Ok((limit, limit)),
            Err(error) => return Err(Error::io("read", self.source.path(), error.into())),
        };
        let end = match seek(self.input, SeekFrom::Hole(start)) {
            Ok(end) => end.min(limit),
            Err(Errno::NXIO) => limit,
            Err(error) => return Err(Error::io("read", self.source.path(), error.into())),
        };
        Ok((start, end))
    }

    fn range(&self, start: u64, end: u64) -> Result<()> {
        let mut at = start;
        while at < end {
            let count = CHUNK.min(end - at);
            let (mut from, mut to) = (at, at);
            let count = usize::try_from(count).unwrap_or(PIECE);
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
                ) => return self.by_hand(at, end),
                Err(error) => return Err(Error::io("write", self.target.path(), error.into())),
            }
        }
        Ok(())
    }

    fn by_hand(&self, start: u64, end: u64) -> Result<()> {
        let mut buffer = vec![0; PIECE];
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
        .with_hint("try again when nothing else writes to it")
    }
}
