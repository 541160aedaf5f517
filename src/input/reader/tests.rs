use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Counts, and asks the reader to stop after this many bytes.
struct Counter {
    read: AtomicU64,
    stop_at: u64,
}

impl Counter {
    fn stopping_at(stop_at: u64) -> Self {
        Counter {
            read: AtomicU64::new(0),
            stop_at,
        }
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Progress for Counter {
    fn start(&self, _total_len: u64) {}

    fn advance(&self, len: u64) {
        self.read.fetch_add(len, Ordering::Relaxed);
    }

    fn finish(&self) {}

    fn is_stopped(&self) -> bool {
        self.read() >= self.stop_at
    }
}

/// An archive, or a layout with the file `blob`, that contains these bytes.
struct Input {
    dir: tempfile::TempDir,
    source: Source,
    data: DataLocation,
}

impl Input {
    fn archive(bytes: &[u8], offset: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.tar"), bytes).unwrap();
        Input {
            source: Source::open(dir.path().join("in.tar")).unwrap(),
            data: DataLocation::Offset(offset),
            dir,
        }
    }

    fn layout(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("blob"), bytes).unwrap();
        Input {
            source: Source::open(dir.path()).unwrap(),
            data: DataLocation::File("blob".to_owned()),
            dir,
        }
    }

    fn blob(&self, len: u64) -> BlobAt<'_> {
        BlobAt {
            name: BlobName::Entry("the blob"),
            data: &self.data,
            len,
        }
    }

    /// Reads a blob of `len` bytes with a buffer of 4.
    fn read(&self, len: u64, counter: &Counter) -> Result<Vec<u8>> {
        rest(&mut self.source.reader(self.blob(len), counter)?)
    }
}

fn rest(reader: &mut BlobReader<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn a_blob_is_read_from_its_offset_to_its_end() {
    let whole = b"0123456789";
    for (offset, len) in [(0, 10), (3, 4), (3, 5), (9, 1), (10, 0), (4, 0)] {
        let input = Input::archive(whole, offset);
        let counter = Counter::stopping_at(u64::MAX);
        let expected = &whole[offset as usize..][..len as usize];
        assert_eq!(input.read(len, &counter).unwrap(), expected);
        assert_eq!(counter.read(), len);
    }
    let input = Input::layout(whole);
    let counter = Counter::stopping_at(u64::MAX);
    assert_eq!(input.read(10, &counter).unwrap(), whole);
    let mut reader = input.source.reader(input.blob(10), &counter).unwrap();
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert_eq!(reader.left(), 10);
    assert_eq!(rest(&mut reader.only(2..7)).unwrap(), b"23456");
}

#[test]
fn an_input_that_ends_early_is_an_error() {
    for (offset, len, found) in [(0, 11, 10), (8, 8, 2), (10, 1, 0), (200, 5, 0)] {
        let input = Input::archive(b"0123456789", offset);
        let error = input
            .read(len, &Counter::stopping_at(u64::MAX))
            .unwrap_err();
        assert_eq!(error.code(), Code::TruncatedArchive);
        let expected = format!("expected {len} bytes, found {found}");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    // Two readers of one blob say the same.
    let input = Input::archive(b"0123456789", 4);
    let counter = Counter::stopping_at(u64::MAX);
    for range in [0..9, 7..9] {
        let reader = input.source.reader(input.blob(9), &counter).unwrap();
        let error = rest(&mut reader.only(range)).unwrap_err();
        let message = error.to_string();
        assert!(message.ends_with("expected 9 bytes, found 6"), "{message}");
    }
    let mut reader = input.source.range_reader(6..12, &counter);
    let error = rest(&mut reader).unwrap_err();
    assert_eq!(error.code(), Code::TruncatedArchive);
    assert!(error.to_string().contains("ended at byte 10"), "{error}");
}

#[test]
fn a_file_of_another_length_is_an_error() {
    let input = Input::layout(b"0123456789");
    for len in [9, 11, 0] {
        let error = input
            .read(len, &Counter::stopping_at(u64::MAX))
            .unwrap_err();
        assert_eq!(error.code(), Code::SizeMismatch);
        let expected = format!("expected {len} bytes, found 10");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    // One that shrinks later.
    let counter = Counter::stopping_at(u64::MAX);
    let mut reader = input.source.reader(input.blob(10), &counter).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 4);
    fs::write(input.dir.path().join("blob"), b"01234").unwrap();
    let error = rest(&mut reader).unwrap_err();
    assert_eq!(error.code(), Code::SizeMismatch);
    assert!(error.to_string().ends_with("found 5"), "{error}");
}

#[test]
fn bytes_that_an_archive_gained_are_not_read() {
    let input = Input::archive(b"0123456789", 6);
    let counter = Counter::stopping_at(u64::MAX);
    let mut reader = input.source.reader(input.blob(4), &counter).unwrap();
    fs::write(input.dir.path().join("in.tar"), b"0123456789 and more").unwrap();
    assert_eq!(rest(&mut reader).unwrap(), b"6789");
}

#[test]
fn a_reader_stops_between_two_pieces() {
    let input = Input::archive(b"0123456789", 0);
    for stop_at in [0, 1, 8] {
        let counter = Counter::stopping_at(stop_at);
        let error = input.read(10, &counter).unwrap_err();
        assert_eq!(error.code(), Code::Interrupted);
        assert_eq!(counter.read(), stop_at.next_multiple_of(4));
    }
    // At the end nothing is left to stop.
    let counter = Counter::stopping_at(10);
    assert_eq!(input.read(10, &counter).unwrap().len(), 10);
}

#[test]
fn holes_are_passed_over_and_read_as_zeros() {
    const MIB: u64 = 1 << 20;
    let input = Input::archive(b"begin", 0);
    let file = File::options().write(true).open(input.source.path());
    let file = file.unwrap();
    file.write_all_at(b"end", 4 * MIB).unwrap();
    let len = 4 * MIB + 3;
    for max in [u64::MAX, 128 << 10] {
        let counter = Counter::stopping_at(u64::MAX);
        let reader = input.source.reader(input.blob(len), &counter).unwrap();
        let mut reader = reader.with_holes(max);
        assert!(reader.may_have_holes());
        let (mut data, mut holes) = (Vec::new(), 0);
        let mut buffer = vec![1; 64 << 10];
        loop {
            match reader.next(&mut buffer).unwrap() {
                Piece::Bytes(0) => break,
                Piece::Bytes(count) => data.extend_from_slice(&buffer[..count]),
                Piece::Hole(len) => {
                    assert!(len <= max);
                    holes += len;
                }
            }
        }
        assert!(holes > 3 * MIB, "{holes}");
        assert_eq!(data.len() as u64 + holes, len);
        assert!(data.starts_with(b"begin\0") && data.ends_with(b"\0end"));
        assert_eq!(counter.read(), len);
    }
    let counter = Counter::stopping_at(MIB);
    let reader = input.source.reader(input.blob(len), &counter).unwrap();
    let mut reader = reader.with_holes(MIB);
    let mut buffer = vec![1; 64 << 10];
    let stopped = std::iter::repeat_with(|| reader.next(&mut buffer)).find_map(Result::err);
    assert_eq!(stopped.unwrap().code(), Code::Interrupted);
    assert!(counter.read() < 3 * MIB);
}

/// Is interrupted before every call that gives something, which is two bytes at most.
struct Interrupted {
    bytes: &'static [u8],
    calls: Cell<usize>,
}

impl ReadAt for Interrupted {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len()).min(2);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

#[test]
fn interrupted_reads_are_repeated() {
    let file = Interrupted {
        bytes: b"0123456",
        calls: Cell::new(0),
    };
    let mut buffer = [b'-'; 5];
    assert_eq!(read_some(&file, &mut buffer, 1).unwrap(), 2);
    assert_eq!(&buffer, b"12---");
    assert_eq!(file.calls.get(), 2);
    assert_eq!(read_full(&file, &mut buffer, 1).unwrap(), 5);
    assert_eq!(&buffer, b"12345");
    assert_eq!(read_full(&file, &mut buffer, 4).unwrap(), 3);
    assert_eq!(read_full(&file, &mut buffer, 7).unwrap(), 0);
    assert_eq!(read_full(&file, &mut buffer, 70).unwrap(), 0);
    let failed = uninterrupted(|| Err::<(), _>(io::ErrorKind::NotFound.into()));
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
}
