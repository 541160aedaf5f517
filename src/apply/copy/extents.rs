//! Where a sparse file has bytes, and where it has holes.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Smaller holes are copied like everything else.
const MIN_HOLE: u64 = 64 << 10;

/// What a file has at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Bytes up to here.
    Data(u64),
    /// A hole up to here, which reads as zeros.
    Hole(u64),
    /// Nothing: the file ends before.
    End,
}

/// The holes of a file that may have some.
#[derive(Debug)]
pub(super) struct Extents<'a> {
    file: &'a File,
    is_sparse: bool,
    /// The extent that was found last, and its start.
    last: RefCell<Option<(u64, Extent)>>,
}

impl<'a> Extents<'a> {
    pub(super) fn of(file: &'a File) -> Self {
        // Where there are as many blocks as bytes, nobody needs to look.
        let is_sparse = file
            .metadata()
            .is_ok_and(|found| found.blocks().saturating_mul(512) < found.len());
        Extents {
            file,
            is_sparse,
            last: RefCell::new(None),
        }
    }

    pub(super) fn may_be_sparse(&self) -> bool {
        self.is_sparse
    }

    /// What is at `start`, up to `end` at most.
    pub(super) fn at(&self, start: u64, end: u64) -> io::Result<Extent> {
        if !self.is_sparse {
            return Ok(Extent::Data(end));
        }
        if let Some((from, extent)) = *self.last.borrow()
            && let Some(extent) = within(from, extent, start, end)
        {
            return Ok(extent);
        }
        let extent = self.find(start)?;
        *self.last.borrow_mut() = Some((start, extent));
        Ok(within(start, extent, start, end).unwrap_or(extent))
    }

    /// The position of the file moves, but nobody reads from there.
    fn find(&self, start: u64) -> io::Result<Extent> {
        match seek(self.file, SeekFrom::Data(start)) {
            Ok(data) if data.saturating_sub(start) >= MIN_HOLE => Ok(Extent::Hole(data)),
            Ok(data) => match seek(self.file, SeekFrom::Hole(data)) {
                Ok(hole) if hole > start => Ok(Extent::Data(hole)),
                _ => Ok(Extent::Data(u64::MAX)),
            },
            // Nothing but a hole up to the end, if that is not before.
            Err(Errno::NXIO) => {
                let len = self.file.metadata()?.len();
                Ok(if len > start {
                    Extent::Hole(len)
                } else {
                    Extent::End
                })
            }
            // Not every filesystem can tell; then it is all read.
            Err(_) => Ok(Extent::Data(u64::MAX)),
        }
    }
}

/// The part of an extent, found at `from`, that lies between two places.
fn within(from: u64, extent: Extent, start: u64, end: u64) -> Option<Extent> {
    let cut = |until: u64| (from..until).contains(&start).then_some(until.min(end));
    match extent {
        Extent::Data(until) => cut(until).map(Extent::Data),
        Extent::Hole(until) => cut(until).map(Extent::Hole),
        Extent::End => None,
    }
}

/// The holes between two places of a file that are worth keeping. An archive has at most as many as
/// fit in it, and few in truth.
pub(in crate::apply) fn holes(file: &File, bytes: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let extents = Extents::of(file);
    let mut holes = Vec::new();
    let mut at = bytes.start;
    while extents.is_sparse && at < bytes.end {
        at = match extents.at(at, bytes.end)? {
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
        // Only what lies within.
        let inner = holes(&file, 2 * MIB..3 * MIB).unwrap();
        assert_eq!((inner.len(), &inner[0]), (1, &(2 * MIB..3 * MIB)));
        // Past the end there is nothing, not a hole.
        let extents = Extents::of(&file);
        assert_eq!(extents.at(8 * MIB, 9 * MIB).unwrap(), Extent::End);
        assert_eq!(extents.at(7 * MIB, 9 * MIB).unwrap(), Extent::Hole(8 * MIB));
    }

    #[test]
    fn a_file_without_holes_is_all_data() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 300_000], 0).unwrap();
        assert_eq!(holes(&file, 0..300_000).unwrap(), []);
        assert_eq!(Extents::of(&file).at(5, 9).unwrap(), Extent::Data(9));
    }
}
