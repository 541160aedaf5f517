//! Buffers what a stream may need again until all of it has passed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::codec::Limits;
use crate::error::{Error, Result, show_path};
use crate::input::SpoolOptions;
use crate::input::spool::with_hint;

/// How many bytes are kept in memory; those that follow go to a temporary file.
const IN_MEMORY: usize = 8 << 20;
/// How many bytes are written to the temporary file at a time.
const PIECE: usize = 64 << 10;

/// Documents and other files, by number.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    directory: PathBuf,
    limits: Limits,
    items: Vec<Item>,
    in_memory: usize,
    file: Option<File>,
    file_len: u64,
}

#[derive(Debug)]
enum Item {
    Memory(Vec<u8>),
    File { offset: u64, len: u64 },
}

impl Held {
    /// An empty buffer. `path` is what messages call the stream; the options are for bytes that do not stay in memory.
    pub(super) fn new(path: &Path, options: SpoolOptions<'_>) -> Self {
        Held {
            path: path.to_owned(),
            directory: options.directory.to_owned(),
            limits: options.limits,
            items: Vec::new(),
            in_memory: 0,
            file: None,
            file_len: 0,
        }
    }

    /// Keeps `len` bytes, and returns their number. `next` fills its buffer with those that come next.
    ///
    /// # Errors
    /// Those of `next`; the temporary file cannot be written, or would become larger than the limits allow.
    pub(super) fn push(
        &mut self,
        len: u64,
        mut next: impl FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<usize> {
        let fitting = usize::try_from(len).ok();
        let fitting = fitting.filter(|len| self.in_memory.saturating_add(*len) <= IN_MEMORY);
        let item = match fitting {
            Some(len) => {
                let mut bytes = vec![0; len];
                next(&mut bytes)?;
                self.in_memory += len;
                Item::Memory(bytes)
            }
            None => {
                let offset = self.file_len;
                if offset.saturating_add(len) > self.limits.max_size {
                    let error = self.limits.kept_error(show_path(&self.path));
                    return Err(error.with_path(&self.path));
                }
                let mut buffer = vec![0; PIECE];
                let mut left = len;
                while left > 0 {
                    let count = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                    let bytes = &mut buffer[..count];
                    next(bytes)?;
                    self.write(bytes)
                        .map_err(|error| with_hint("write to", &self.directory, error))?;
                    left -= count as u64;
                }
                Item::File { offset, len }
            }
        };
        self.items.push(item);
        Ok(self.items.len() - 1)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        file.write_all_at(bytes, self.file_len)?;
        self.file_len += bytes.len() as u64;
        Ok(())
    }

    /// The first `len` bytes under that number, or all if there are fewer.
    pub(super) fn read(&self, number: usize, len: usize) -> Result<Vec<u8>> {
        let all = match self.items.get(number) {
            Some(Item::Memory(bytes)) => bytes.len(),
            Some(Item::File { len, .. }) => usize::try_from(*len).unwrap_or(usize::MAX),
            None => 0,
        };
        let mut bytes = vec![0; len.min(all)];
        self.read_at(number, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Fills the buffer with the bytes of that number from an offset on; with fewer only at their end.
    pub(super) fn read_at(&self, number: usize, buffer: &mut [u8], from: u64) -> Result<usize> {
        let read = match (self.items.get(number), &self.file) {
            (Some(Item::Memory(bytes)), _) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            (Some(Item::File { offset, len }), Some(file)) => {
                let left = usize::try_from(len.saturating_sub(from)).unwrap_or(usize::MAX);
                let count = left.min(buffer.len());
                let read = file.read_exact_at(&mut buffer[..count], offset + from);
                read.map(|()| count)
            }
            // Nothing was written, so there is no file.
            (Some(Item::File { len: 0, .. }), None) => Ok(0),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        read.map_err(|error| Error::io("read a temporary file in", &self.directory, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Hint;

    #[test]
    fn what_memory_does_not_hold_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let new = |directory: &Path| Held::new(Path::new("in.tar"), SpoolOptions::new(directory));
        let mut held = new(dir.path());
        let part = |byte: u8| vec![byte; 3 << 20];
        let fill = |byte: u8| {
            move |buffer: &mut [u8]| {
                buffer.fill(byte);
                Ok(buffer.len())
            }
        };
        let push = |held: &mut Held, byte: u8| held.push(3 << 20, fill(byte)).unwrap();
        let numbers: Vec<usize> = (0..5).map(|byte| push(&mut held, byte)).collect();
        let empty = held.push(0, fill(0)).unwrap();
        assert_eq!(held.file_len, 9 << 20);
        for (byte, number) in numbers.into_iter().enumerate() {
            let byte = u8::try_from(byte).unwrap();
            assert!(held.read(number, usize::MAX).unwrap() == part(byte));
            assert_eq!(held.read(number, 2).unwrap(), [byte; 2]);
            let mut end = [9; 8];
            assert_eq!(held.read_at(number, &mut end, (3 << 20) - 5).unwrap(), 5);
            assert_eq!(end, [byte, byte, byte, byte, byte, 9, 9, 9]);
        }
        assert_eq!(held.read(empty, 9).unwrap(), b"");
        assert!(held.read(6, 1).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut nowhere = new(&dir.path().join("missing"));
        nowhere.push(IN_MEMORY as u64, fill(0)).unwrap();
        let error = nowhere.push(1, fill(0)).unwrap_err();
        assert_eq!(error.hint(), Some(&Hint::ChooseSpoolDirectory));
    }
}
