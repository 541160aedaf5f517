//! Where a sparse file has bytes, and where it has holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Smaller holes are copied like everything else.
const MIN_HOLE: u64 = 64 << 10;

/// What a file has from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Bytes up to here.
    Data(u64),
    /// A hole up to here, which reads as zeros.
    Hole(u64),
    /// Nothing: the file ends before.
    End,
}

/// The extents of one file, each looked up when it is needed.
#[derive(Debug)]
pub(super) struct Extents {
    is_sparse: bool,
    /// The extent that was found last, and its start.
    last: Option<(u64, Extent)>,
}

impl Extents {
    pub(super) fn of(file: &File) -> Self {
        // A file with as many blocks as bytes has no holes.
        let is_sparse = file
            .metadata()
            .is_ok_and(|found| found.blocks().saturating_mul(512) < found.len());
        Extents {
            is_sparse,
            last: None,
        }
    }

    pub(super) fn may_be_sparse(&self) -> bool {
        self.is_sparse
    }

    /// What the file has from `start` on, up to `end` at most.
    pub(super) fn at(&mut self, file: &File, start: u64, end: u64) -> io::Result<Extent> {
        if !self.is_sparse {
            return Ok(Extent::Data(end));
        }
        if let Some((from, extent)) = self.last
            && let Some(extent) = within(from, extent, start, end)
        {
            return Ok(extent);
        }
        let extent = find(file, start)?;
        self.last = Some((start, extent));
        Ok(within(start, extent, start, end).unwrap_or(extent))
    }
}

/// Moves the position of the file, which nothing here reads from.
fn find(file: &File, start: u64) -> io::Result<Extent> {
    match seek(file, SeekFrom::Data(start)) {
        Ok(data) if data.saturating_sub(start) >= MIN_HOLE => Ok(Extent::Hole(data)),
        Ok(data) => match seek(file, SeekFrom::Hole(data)) {
            Ok(hole) if hole > start => Ok(Extent::Data(hole)),
            _ => Ok(Extent::Data(u64::MAX)),
        },
        // Only a hole up to the end, unless the end is before.
        Err(Errno::NXIO) => {
            let len = file.metadata()?.len();
            Ok(if len > start {
                Extent::Hole(len)
            } else {
                Extent::End
            })
        }
        // Not every filesystem knows its holes; then everything is read.
        Err(_) => Ok(Extent::Data(u64::MAX)),
    }
}

/// The part of an extent, found at `from`, that is between `start` and `end`.
fn within(from: u64, extent: Extent, start: u64, end: u64) -> Option<Extent> {
    let cut = |until: u64| (from..until).contains(&start).then_some(until.min(end));
    match extent {
        Extent::Data(until) => cut(until).map(Extent::Data),
        Extent::Hole(until) => cut(until).map(Extent::Hole),
        Extent::End => None,
    }
}

/// The holes in a range of a file that are worth keeping. Their number is limited by the length of
/// the file, and small in practice.
pub(crate) fn holes(file: &File, bytes: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut extents = Extents::of(file);
    let mut holes = Vec::new();
    let mut at = bytes.start;
    while extents.is_sparse && at < bytes.end {
        at = match extents.at(file, at, bytes.end)? {
            Extent::Data(end) => end,
            Extent::Hole(end) => {
                holes.push(at..end);
                end
            }
            Extent::End => break,
        };
    }
    Ok(holes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_are_found_where_the_filesystem_keeps_them() {
        const MIB: u64 = 1 << 20;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"first", 0).unwrap();
        file.write_all_at(b"middle", 4 * MIB).unwrap();
        file.set_len(8 * MIB).unwrap();
        let found = holes(&file, 0..8 * MIB).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].start <= MIB && found[0].end == 4 * MIB,
            "{found:?}"
        );
        assert!(
            found[1].start <= 5 * MIB && found[1].end == 8 * MIB,
            "{found:?}"
        );
        // Only the part inside the range.
        let inner = holes(&file, 2 * MIB..3 * MIB).unwrap();
        assert_eq!((inner.len(), &inner[0]), (1, &(2 * MIB..3 * MIB)));
        // Past the end there is nothing, not a hole.
        let mut extents = Extents::of(&file);
        let mut at = |start, end| extents.at(&file, start, end).unwrap();
        assert_eq!(at(8 * MIB, 9 * MIB), Extent::End);
        assert_eq!(at(7 * MIB, 9 * MIB), Extent::Hole(8 * MIB));
    }

    #[test]
    fn a_file_without_holes_is_all_data() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 300_000], 0).unwrap();
        assert_eq!(holes(&file, 0..300_000).unwrap(), []);
        assert_eq!(Extents::of(&file).at(&file, 5, 9).unwrap(), Extent::Data(9));
    }
}
