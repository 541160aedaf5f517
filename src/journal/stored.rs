//! Reads a journal piece by piece. Nothing that it states is trusted before it is checked, and its length does
//! not matter for the memory that this takes.

use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::format::{HASH_LEN, MAGIC, MAGIC_LEN, MAX_WITNESSES, WITNESS_LEN};
use crate::error::Result;

/// The most bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// What the beginning of a journal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is complete, as far as it was read.
    Header(Header),
    /// It cannot be used.
    Broken(Broken),
}

/// Why a journal cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It may have been interrupted while it was written, so the file was not changed yet.
    Torn,
    /// It was complete when it got its name, and no longer is what it was then.
    Damaged,
    /// A newer version of ocify wrote it.
    Newer(u8),
}

/// The version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Such a journal got its name before its bytes were on disk.
    One,
    /// Such a journal was synced before it got its name.
    Two,
}

impl Version {
    /// What a journal is that its hash does not match.
    pub(super) fn broken(self) -> Broken {
        match self {
            Version::One => Broken::Torn,
            Version::Two => Broken::Damaged,
        }
    }
}

/// What a journal says about the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: Version,
    /// The file's inode number.
    pub(super) inode: u64,
    pub(super) old_len: u64,
    pub(super) new_len: u64,
}

/// The parts of a file that identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witnesses {
    /// Offset and length of each, which end within the file.
    pub(super) parts: Vec<(u64, u64)>,
    /// The hash of their concatenated bytes.
    pub(super) hash: [u8; HASH_LEN],
}

/// Reads the header of a journal of `len` bytes. The hash in a header of version 2 is that of the header; one of
/// version 1 is not verified yet.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn header(disk: &mut impl Disk, len: u64) -> Result<Found> {
    Stored::new(disk, len).header()
}

/// Reads and verifies a complete journal. `None` if it is incomplete or corrupt.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn verify(disk: &mut impl Disk, len: u64) -> Result<Option<Witnesses>> {
    let mut stored = Stored::new(disk, len);
    let Found::Header(header) = stored.header()? else {
        return Ok(None);
    };
    let longest = header.old_len.max(header.new_len);
    if !stored.ranges(&header, |_, _, _| Ok(()))? {
        return Ok(None);
    }
    let Some(count) = stored.number()? else {
        return Ok(None);
    };
    if count > MAX_WITNESSES as u64 {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for _ in 0..count {
        let (Some(at), Some(len)) = (stored.number()?, stored.number()?) else {
            return Ok(None);
        };
        let is_within = at.checked_add(len).is_some_and(|end| end <= longest);
        if len > WITNESS_LEN || !is_within {
            return Ok(None);
        }
        parts.push((at, len));
    }
    let Some(hash) = stored.take()? else {
        return Ok(None);
    };
    let expected = stored.hash();
    let is_complete = stored.take()? == Some(expected) && stored.left() == 0;
    Ok(is_complete.then_some(Witnesses { parts, hash }))
}

/// Writes the old bytes of all ranges of a journal that was verified. False if it is another one than was verified.
///
/// # Errors
/// The journal cannot be read, or the file cannot be written.
pub(super) fn restore<D: Disk>(disk: &mut D, len: u64) -> Result<bool> {
    let mut stored = Stored::new(disk, len);
    match stored.header()? {
        Found::Header(header) => {
            stored.ranges(&header, |disk: &mut D, bytes, at| disk.write_at(bytes, at))
        }
        _ => Ok(false),
    }
}

/// A journal that is being read.
struct Stored<'d, D> {
    disk: &'d mut D,
    /// The journal's length.
    len: u64,
    /// How many bytes have been read from the disk.
    read: u64,
    /// The last bytes that were read, and how many of them were taken.
    buffer: Vec<u8>,
    taken: usize,
    /// Of all bytes that were taken.
    hasher: Sha256,
}

impl<'d, D: Disk> Stored<'d, D> {
    fn new(disk: &'d mut D, len: u64) -> Self {
        Stored {
            disk,
            len,
            read: 0,
            buffer: Vec::new(),
            taken: 0,
            hasher: Sha256::new(),
        }
    }

    /// How many bytes were not taken yet.
    fn left(&self) -> u64 {
        self.len - self.read + (self.buffer.len() - self.taken) as u64
    }

    /// The hash of everything that was taken.
    fn hash(&self) -> [u8; HASH_LEN] {
        self.hasher.clone().finalize().into()
    }

    /// Reads some of what comes next, unless something was read that was not taken yet. Nothing is there only at
    /// the end.
    fn fill(&mut self) -> Result<&[u8]> {
        if self.taken == self.buffer.len() {
            let count = (self.len - self.read).min(PIECE as u64);
            self.buffer.resize(count as usize, 0);
            self.taken = 0;
            self.disk.read_journal_at(&mut self.buffer, self.read)?;
            self.read += count;
        }
        Ok(&self.buffer[self.taken..])
    }

    /// Takes bytes that were read.
    fn consume(&mut self, count: usize) {
        let taken = &self.buffer[self.taken..self.taken + count];
        self.hasher.update(taken);
        self.taken += count;
    }

    /// The next bytes; `None` if fewer are left.
    fn take<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        if self.left() < N as u64 {
            return Ok(None);
        }
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            let next = self.fill()?;
            let count = next.len().min(N - filled);
            bytes[filled..filled + count].copy_from_slice(&next[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(Some(bytes))
    }

    fn number(&mut self) -> Result<Option<u64>> {
        Ok(self.take()?.map(u64::from_le_bytes))
    }

    fn header(&mut self) -> Result<Found> {
        let Some(magic) = self.take::<MAGIC_LEN>()? else {
            return Ok(Found::Broken(Broken::Damaged));
        };
        let version = match magic.strip_prefix(MAGIC) {
            Some(b"1\n") => Version::One,
            Some(b"2\n") => Version::Two,
            Some([digit @ b'3'..=b'9', b'\n']) => {
                return Ok(Found::Broken(Broken::Newer(*digit - b'0')));
            }
            _ => return Ok(Found::Broken(Broken::Damaged)),
        };
        let header = self.header_of(version)?;
        Ok(header.map_or(Found::Broken(version.broken()), Found::Header))
    }

    /// What follows the magic line. `None` if it is incomplete or corrupt.
    fn header_of(&mut self, version: Version) -> Result<Option<Header>> {
        if version == Version::Two && self.number()? != Some(self.len) {
            return Ok(None);
        }
        let numbers = (self.number()?, self.number()?, self.number()?);
        let (Some(inode), Some(old_len), Some(new_len)) = numbers else {
            return Ok(None);
        };
        let hash = self.hash();
        if version == Version::Two && self.take()? != Some(hash) {
            return Ok(None);
        }
        Ok(Some(Header {
            version,
            inode,
            old_len,
            new_len,
        }))
    }

    /// Calls `each` with the bytes of all ranges and their offsets in the file, in pieces. False if ranges are
    /// not what they have to be; those before were passed on.
    fn ranges(
        &mut self,
        header: &Header,
        mut each: impl FnMut(&mut D, &[u8], u64) -> Result<()>,
    ) -> Result<bool> {
        let Some(count) = self.number()? else {
            return Ok(false);
        };
        let mut last_end = 0;
        for _ in 0..count {
            let (Some(mut at), Some(len)) = (self.number()?, self.number()?) else {
                return Ok(false);
            };
            let end = at.checked_add(len).filter(|end| *end <= header.old_len);
            let Some(end) = end else { return Ok(false) };
            if len == 0 || at < last_end || len > self.left() {
                return Ok(false);
            }
            last_end = end;
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(usize::MAX);
                let count = self.fill()?.len().min(most);
                let bytes = &self.buffer[self.taken..self.taken + count];
                each(self.disk, bytes, at)?;
                self.consume(count);
                at += count as u64;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
