//! The steps of a rewrite and of its recovery, in an order that is crash-safe at every point.

use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::format::{Journal, MAX_LEN, MAX_WITNESSES, WITNESS_LEN};
use super::stamp::Stamp;
use super::stored::{self, Broken, Found, Header, Version, Witnesses};
use super::{Recovery, refused, unfinished};
use crate::error::{Error, Result};

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

/// Overwrites parts of the file and sets its length: writes the journal, names it, writes the data, removes the
/// journal, and syncs each step before the next begins. `writes` are sorted and do not overlap. Only zeros
/// may be cut off after the last write, because growing the file restores them, and no write ends after both the
/// old and the new end, by which recovery knows the file. `read` is what the file was
/// when the writes were computed from it.
pub(super) fn rewrite(
    disk: &mut impl Disk,
    writes: &[Write],
    new_len: u64,
    read: &Stamp,
) -> Result<()> {
    refuse_changed(disk, read)?;
    let journal = journal(disk, writes, new_len)?;
    create_journal(disk, &journal)?;
    // Writing the journal took a while.
    if let Err(error) = refuse_changed(disk, read) {
        disk.remove_journal()?;
        disk.sync_directory()?;
        return Err(error);
    }
    let done = match write_all(disk, writes, &journal, read) {
        Ok(true) => refuse_replaced(disk),
        Ok(false) => {
            // The other program's bytes may be there now, so the old ones must not be written over them.
            let kept = disk.keep_journal()?;
            disk.sync_directory()?;
            return Err(refused::mixed(disk.path(), &kept));
        }
        Err(error) => Err(error),
    };
    match done.and_then(|()| disk.remove_journal()) {
        Ok(()) => disk.sync_directory().map_err(refused::complete),
        Err(error) => match undo(disk, &journal) {
            Ok(()) => Err(error),
            Err(_) => Err(unfinished(disk.path(), &error.message_with_causes())),
        },
    }
}

/// Creates the journal without its name, and names it once its bytes are on disk.
fn create_journal(disk: &mut impl Disk, journal: &Journal) -> Result<()> {
    disk.create_journal()?;
    disk.write_journal(&journal.encode())?;
    disk.sync_journal()?;
    disk.name_journal()?;
    disk.sync_directory().inspect_err(|_| {
        // The file is unchanged. If the journal cannot be removed, recovery restores what is there.
        let _ = disk.remove_journal();
    })
}

/// Writes and syncs everything; false if another program wrote to the file too.
fn write_all<D: Disk>(
    disk: &mut D,
    writes: &[Write],
    journal: &Journal,
    read: &Stamp,
) -> Result<bool> {
    let mut last = *read;
    // Other changes than those of the bytes, such as another link to the file, do not matter.
    let is_ours = |disk: &mut D, last: &Stamp| Ok(disk.stamp()?.has_bytes_of(last));
    // Writes that extend the file come first, because they are the ones that can run out of space.
    for write in writes.iter().rev() {
        if !is_ours(disk, &last)? {
            return Ok(false);
        }
        disk.write_at(&write.bytes, write.at)?;
        last = disk.stamp()?;
    }
    if !is_ours(disk, &last)? {
        return Ok(false);
    }
    disk.set_len(journal.new_len)?;
    last = disk.stamp()?;
    disk.sync()?;
    // A program can set the time back after it wrote.
    Ok(is_ours(disk, &last)? && is_written(disk, writes, journal)?)
}

/// Whether the file has the bytes that were written, and still has those that show that it is the same.
fn is_written(disk: &mut impl Disk, writes: &[Write], journal: &Journal) -> Result<bool> {
    let new_len = journal.new_len;
    let mut witnesses = journal.witnesses.iter().copied();
    if witnesses.all(|(at, len)| at + len <= new_len)
        && witness_hash(&journal.witnesses, disk)? != journal.witness_hash
    {
        return Ok(false);
    }
    for write in writes {
        let len = write.end().min(new_len).saturating_sub(write.at);
        let found = read(disk, write.at, len)?;
        if !write.bytes.starts_with(&found) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn refuse_changed(disk: &mut impl Disk, read: &Stamp) -> Result<()> {
    refuse_replaced(disk)?;
    match disk.stamp()? == *read {
        true => Ok(()),
        false => Err(refused::changed(disk.path())),
    }
}

fn refuse_replaced(disk: &mut impl Disk) -> Result<()> {
    match disk.is_named()? {
        true => Ok(()),
        false => Err(refused::replaced(disk.path())),
    }
}

/// Restores the file from the journal, and removes the journal. This is idempotent.
fn undo(disk: &mut impl Disk, journal: &Journal) -> Result<()> {
    for (at, bytes) in &journal.ranges {
        disk.write_at(bytes, *at)?;
    }
    finish_undo(disk, journal.old_len)
}

fn finish_undo(disk: &mut impl Disk, old_len: u64) -> Result<()> {
    disk.set_len(old_len)?;
    disk.sync()?;
    disk.remove_journal()?;
    disk.sync_directory()
}

/// Restores the file if it has a journal.
///
/// # Errors
/// The journal is damaged, does not belong to the file or is of a newer version, or the file cannot be written.
pub(super) fn recover(disk: &mut impl Disk) -> Result<Recovery> {
    let Some(len) = disk.journal_len()? else {
        return Ok(Recovery::Nothing);
    };
    let header = match stored::header(disk, len)? {
        Found::Header(header) => header,
        Found::Broken(why) => return broken(disk, why),
    };
    // In version 2 the hash in the header proves it, so whatever follows need not be read for another file.
    let is_proven = header.version == Version::Two;
    if is_proven && !may_be_of(&header, disk)? {
        return Err(foreign(disk, &header)?);
    }
    let Some(witnesses) = stored::verify(disk, len)? else {
        return broken(disk, header.version.broken());
    };
    let may_be_of_it = is_proven || may_be_of(&header, disk)?;
    if !may_be_of_it || !is_there(&witnesses, disk)? {
        return Err(foreign(disk, &header)?);
    }
    // First, because no filesystem has files of any length: then the file is not changed.
    if disk.len()? < header.old_len {
        disk.set_len(header.old_len)?;
    }
    if !stored::restore(disk, len)? {
        return broken(disk, Broken::Damaged);
    }
    finish_undo(disk, header.old_len)?;
    Ok(Recovery::Restored)
}

/// A journal that cannot be used.
fn broken(disk: &mut impl Disk, why: Broken) -> Result<Recovery> {
    match why {
        Broken::Torn => {
            disk.remove_journal()?;
            disk.sync_directory()?;
            Ok(Recovery::Removed)
        }
        Broken::Newer(version) => Err(refused::newer(disk.path(), disk.journal_path(), version)),
        Broken::Damaged => {
            let kept = disk.keep_journal()?;
            disk.sync_directory()?;
            Err(refused::damaged(disk.path(), &kept))
        }
    }
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
    let overwritten = writes.iter().map(|write| {
        let end = write.end().min(old_len);
        // With its offset and length.
        end.saturating_sub(write.at) + 16
    });
    if journal.encoded_len() + overwritten.sum::<u64>() > MAX_LEN - MAX_WITNESSES as u64 * 16 {
        return Err(refused::too_large(disk.path()));
    }
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
    journal.witness_hash = witness_hash(&journal.witnesses, disk)?;
    Ok(journal)
}

fn read(disk: &mut impl Disk, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    disk.read_at(&mut bytes, at)?;
    Ok(bytes)
}

fn witness_hash(parts: &[(u64, u64)], disk: &mut impl Disk) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    for (at, len) in parts {
        hasher.update(read(disk, *at, *len)?);
    }
    Ok(hasher.finalize().into())
}

/// Whether the file can be the one that was being rewritten, whatever the progress of the rewrite.
fn may_be_of(header: &Header, disk: &mut impl Disk) -> Result<bool> {
    let (old, new) = (header.old_len, header.new_len);
    let len = disk.len()?;
    Ok(disk.inode()? == header.inode && (old.min(new)..=old.max(new)).contains(&len))
}

/// Whether the parts that the rewrite did not change are in the file.
fn is_there(witnesses: &Witnesses, disk: &mut impl Disk) -> Result<bool> {
    let len = disk.len()?;
    let mut ends = witnesses.parts.iter().map(|(at, count)| at + count);
    Ok(ends.all(|end| end <= len) && witness_hash(&witnesses.parts, disk)? == witnesses.hash)
}

/// The error for a journal that is not the file's.
fn foreign(disk: &mut impl Disk, header: &Header) -> Result<Error> {
    let is_same = disk.inode()? == header.inode;
    let (path, journal) = (disk.path(), disk.journal_path());
    Ok(match is_same {
        true => refused::foreign(path, journal),
        false => refused::copied(path, journal),
    })
}

#[cfg(test)]
pub(super) mod tests;
