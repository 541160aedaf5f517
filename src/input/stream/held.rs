//! Buffers a stream's documents until all of it has passed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::input::spool::with_hint;

/// How many bytes are kept in memory; those that follow go to a temporary file.
const IN_MEMORY: usize = 8 << 20;

/// Blobs and root files, by number.
#[derive(Debug)]
pub(super) struct Held {
    directory: PathBuf,
    items: Vec<Item>,
    in_memory: usize,
    file: Option<File>,
    file_len: u64,
}

#[derive(Debug)]
enum Item {
    Memory(Vec<u8>),
    File { offset: u64, len: usize },
}

impl Held {
    /// An empty buffer. `directory` is for bytes that do not stay in memory.
    pub(super) fn new(directory: PathBuf) -> Self {
        Held {
            directory,
            items: Vec::new(),
            in_memory: 0,
            file: None,
            file_len: 0,
        }
    }

    /// Keeps these bytes, and returns their number.
    pub(super) fn push(&mut self, bytes: Vec<u8>) -> Result<usize> {
        let item = if self.in_memory + bytes.len() <= IN_MEMORY {
            self.in_memory += bytes.len();
            Item::Memory(bytes)
        } else {
            self.write(&bytes)
                .map_err(|error| with_hint("write to", &self.directory, error))?
        };
        self.items.push(item);
        Ok(self.items.len() - 1)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Item> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        let offset = self.file_len;
        file.write_all_at(bytes, offset)?;
        self.file_len += bytes.len() as u64;
        Ok(Item::File {
            offset,
            len: bytes.len(),
        })
    }

    /// The first `len` bytes under that number, or all if there are fewer.
    pub(super) fn read(&self, number: usize, len: usize) -> Result<Vec<u8>> {
        let read = match (self.items.get(number), &self.file) {
            (Some(Item::Memory(bytes)), _) => Ok(bytes[..bytes.len().min(len)].to_vec()),
            (Some(Item::File { offset, len: all }), Some(file)) => {
                let mut bytes = vec![0; len.min(*all)];
                file.read_exact_at(&mut bytes, *offset).map(|()| bytes)
            }
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
        let mut held = Held::new(dir.path().to_owned());
        let part = |byte: u8| vec![byte; 3 << 20];
        let numbers: Vec<usize> = (0..5).map(|byte| held.push(part(byte)).unwrap()).collect();
        let empty = held.push(Vec::new()).unwrap();
        assert_eq!(held.file_len, 9 << 20);
        for (byte, number) in numbers.into_iter().enumerate() {
            let byte = u8::try_from(byte).unwrap();
            assert!(held.read(number, usize::MAX).unwrap() == part(byte));
            assert_eq!(held.read(number, 2).unwrap(), [byte; 2]);
        }
        assert_eq!(held.read(empty, 9).unwrap(), b"");
        assert!(held.read(6, 1).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut nowhere = Held::new(dir.path().join("missing"));
        nowhere.push(vec![0; IN_MEMORY]).unwrap();
        let error = nowhere.push(vec![0]).unwrap_err();
        assert_eq!(error.hint(), Some(&Hint::ChooseSpoolDirectory));
    }
}
