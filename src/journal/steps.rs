//! The steps of a rewrite and of its recovery, in an order that is crash-safe at every point.

use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::format::Journal;
use super::{Recovery, unfinished};
use crate::error::{Code, Error, Hint, Result, show_path};

/// The length in bytes of a witness, the unchanged part of the file before an overwritten range.
const WITNESS_LEN: u64 = 512;
/// The largest number of witnesses.
const MAX_WITNESSES: usize = 16;

/// Bytes to write at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Write {
    /// The offset after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

/// Overwrites parts of the file and sets its length: writes the journal, writes the data, removes the
/// journal, and syncs each step before the next begins. `writes` are sorted and do not overlap. Only zeros
/// may be cut off after the last write, because growing the file restores them.
pub(super) fn rewrite(disk: &mut impl Disk, writes: &[Write], new_len: u64) -> Result<()> {
    let journal = journal(disk, writes, new_len)?;
    disk.create_journal()?;
    let written = disk
        .write_journal(&journal.encode())
        .and_then(|()| disk.sync_journal())
        .and_then(|()| disk.sync_directory());
    if let Err(error) = written {
        // The file is unchanged. If the journal cannot be removed, recovery finds that the file does not
        // need it.
        let _ = disk.remove_journal();
        return Err(error);
    }
    let done = write_all(disk, writes, new_len).and_then(|()| disk.remove_journal());
    match done {
        Ok(()) => disk.sync_directory(),
        Err(error) => match undo(disk, &journal) {
            Ok(()) => Err(error),
            Err(_) => Err(unfinished(disk.path(), &error.message_with_causes())),
        },
    }
}

fn write_all(disk: &mut impl Disk, writes: &[Write], new_len: u64) -> Result<()> {
    // Writes that extend the file come first, because they are the ones that can run out of space.
    for write in writes.iter().rev() {
        disk.write_at(&write.bytes, write.at)?;
    }
    disk.set_len(new_len)?;
    disk.sync()
}

/// Restores the file from the journal, and removes the journal. This is idempotent.
fn undo(disk: &mut impl Disk, journal: &Journal) -> Result<()> {
    for (at, bytes) in &journal.ranges {
        disk.write_at(bytes, *at)?;
    }
    disk.set_len(journal.old_len)?;
    disk.sync()?;
    disk.remove_journal()?;
    disk.sync_directory()
}

/// Restores the file if it has a journal.
///
/// # Errors
/// The journal does not belong to the file, or the file cannot be written.
pub(super) fn recover(disk: &mut impl Disk) -> Result<Recovery> {
    let Some(bytes) = disk.read_journal()? else {
        return Ok(Recovery::Nothing);
    };
    let Some(journal) = Journal::decode(&bytes) else {
        disk.remove_journal()?;
        disk.sync_directory()?;
        return Ok(Recovery::Removed);
    };
    if !belongs_to(&journal, disk)? {
        return Err(Error::new(
            Code::ForeignJournal,
            format!(
                "{} has changed since its in-place fix was interrupted, so the journal {} does not apply",
                show_path(disk.path()),
                show_path(disk.journal_path())
            ),
        ).with_path(disk.path())
        .with_hint(Hint::RemoveJournal));
    }
    undo(disk, &journal)?;
    Ok(Recovery::Restored)
}

/// Reads the old bytes of everything that will be overwritten.
fn journal(disk: &mut impl Disk, writes: &[Write], new_len: u64) -> Result<Journal> {
    let old_len = disk.len()?;
    let mut journal = Journal {
        inode: disk.inode()?,
        old_len,
        new_len,
        ..Journal::default()
    };
    let mut last_end = 0;
    for write in writes {
        let start = write.at.saturating_sub(WITNESS_LEN).max(last_end);
        let witness_len = write.at.min(old_len).saturating_sub(start);
        if witness_len > 0 && journal.witnesses.len() < MAX_WITNESSES {
            journal.witnesses.push((start, witness_len));
        }
        let end = write.end().min(old_len);
        last_end = write.end();
        if write.at < end {
            journal
                .ranges
                .push((write.at, read(disk, write.at, end - write.at)?));
        }
    }
    journal.witness_hash = witness_hash(&journal, disk)?;
    Ok(journal)
}

fn read(disk: &mut impl Disk, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    disk.read_at(&mut bytes, at)?;
    Ok(bytes)
}

fn witness_hash(journal: &Journal, disk: &mut impl Disk) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    for (at, len) in &journal.witnesses {
        hasher.update(read(disk, *at, *len)?);
    }
    Ok(hasher.finalize().into())
}

/// Whether the file is the one that was being rewritten, whatever the progress of the rewrite.
fn belongs_to(journal: &Journal, disk: &mut impl Disk) -> Result<bool> {
    let (shorter, longer) = match journal.old_len <= journal.new_len {
        true => (journal.old_len, journal.new_len),
        false => (journal.new_len, journal.old_len),
    };
    let len = disk.len()?;
    let contains_witnesses = journal
        .witnesses
        .iter()
        .all(|(at, count)| at + count <= len);
    Ok(disk.inode()? == journal.inode
        && (shorter..=longer).contains(&len)
        && contains_witnesses
        && witness_hash(journal, disk)? == journal.witness_hash)
}
