//! The order of a rewrite and of its undoing: what makes them safe at every point.

use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::format::Journal;
use super::{Recovery, unfinished};
use crate::error::{Code, Error, Hint, Result, show_path};

/// How much of the file is looked at beside each range, to know it again.
const WITNESS_LEN: u64 = 512;
/// How many such parts are looked at.
const WITNESSES: usize = 16;

/// Bytes that take the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Write {
    /// Where the bytes end.
    pub(crate) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

/// Overwrites parts of the file and gives it a length: journal, data, no journal, each on the disk
/// before the next begins. `writes` are in order and do not overlap, and after the last of them
/// only zeros are cut off, which growing the file brings back.
pub(super) fn rewrite(disk: &mut impl Disk, writes: &[Write], new_len: u64) -> Result<()> {
    let journal = journal(disk, writes, new_len)?;
    disk.create_journal()?;
    let written = disk
        .write_journal(&journal.encode())
        .and_then(|()| disk.sync_journal())
        .and_then(|()| disk.sync_directory());
    if let Err(error) = written {
        // Nothing has changed, and a journal that stays is known by that.
        let _ = disk.remove_journal();
        return Err(error);
    }
    let done = carry_out(disk, writes, new_len).and_then(|()| disk.remove_journal());
    match done {
        Ok(()) => disk.sync_directory(),
        Err(error) => match undo(disk, &journal) {
            Ok(()) => Err(error),
            Err(_) => Err(unfinished(disk.path(), &error.message_with_causes())),
        },
    }
}

fn carry_out(disk: &mut impl Disk, writes: &[Write], new_len: u64) -> Result<()> {
    // What makes the file longer comes first, since that is what can fail for lack of space.
    for write in writes.iter().rev() {
        disk.write_at(&write.bytes, write.at)?;
    }
    disk.set_len(new_len)?;
    disk.sync()
}

/// Undoes what the journal is of, and removes it. Doing so again changes nothing.
fn undo(disk: &mut impl Disk, journal: &Journal) -> Result<()> {
    for (at, bytes) in &journal.ranges {
        disk.write_at(bytes, *at)?;
    }
    disk.set_len(journal.old_len)?;
    disk.sync()?;
    disk.remove_journal()?;
    disk.sync_directory()
}

pub(super) fn recover(disk: &mut impl Disk) -> Result<Recovery> {
    let Some(bytes) = disk.read_journal()? else {
        return Ok(Recovery::Nothing);
    };
    let Some(journal) = Journal::decode(&bytes) else {
        disk.remove_journal()?;
        disk.sync_directory()?;
        return Ok(Recovery::Removed);
    };
    if !is_of(&journal, disk)? {
        return Err(Error::new(
            Code::ForeignJournal,
            format!(
                "an in-place fix did not end, but {} is no longer the file that the journal {} is of",
                show_path(disk.path()),
                show_path(disk.journal_path())
            ),
        ).with_path(disk.path())
        .with_hint(Hint::RemoveJournal));
    }
    undo(disk, &journal)?;
    Ok(Recovery::Restored)
}

/// The old bytes of all that will be overwritten.
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
        if witness_len > 0 && journal.witnesses.len() < WITNESSES {
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

/// Whether the file is the one that was being rewritten, at any point of that.
fn is_of(journal: &Journal, disk: &mut impl Disk) -> Result<bool> {
    let (shorter, longer) = match journal.old_len <= journal.new_len {
        true => (journal.old_len, journal.new_len),
        false => (journal.new_len, journal.old_len),
    };
    let len = disk.len()?;
    let is_seen = journal
        .witnesses
        .iter()
        .all(|(at, count)| at + count <= len);
    Ok(disk.inode()? == journal.inode
        && (shorter..=longer).contains(&len)
        && is_seen
        && witness_hash(journal, disk)? == journal.witness_hash)
}
