//! What a batch has finished, in one small file beside its outputs, so that a run that was stopped
//! continues where it was.
//!
//! The file only saves time: if a line is lost or damaged, its output is written again. The last line
//! about a path counts. Lines are appended whole when the outputs that they are about are on disk, and when
//! most of them are outdated the file is rewritten.

mod file;
mod known;
mod lines;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ocify::{Digest, Result, command::IoContext};

pub(super) use self::file::open_existing;
use self::file::{Span, StateFile};
pub(crate) use self::known::{Known, OutputState, Recorded};
pub(super) use self::lines::Finished;
use self::lines::{FORMAT, header, line};
use super::shard::{Shard, own_name};

/// The file is rewritten once it contains more outdated lines than this.
const FREE_LINES: usize = 1000;

/// What all outputs of a batch depend on besides their sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateOptions<'a> {
    /// The shard whose state it is.
    pub(crate) shard: Option<Shard>,
    /// A digest that differs whenever outputs could differ.
    pub(crate) options: &'a Digest,
    /// Whether the lines of earlier runs have to survive a power failure too.
    pub(crate) syncs: bool,
}

/// The open state of one shard. It is locked, so no other run can open it.
#[derive(Debug)]
pub(crate) struct State {
    /// The first file is that of this shard.
    known: Known,
    /// Whether the file is empty, so that its first line comes before the next one.
    lacks_header: Mutex<bool>,
    is_upgraded: bool,
    /// Whether there are lines that have to be on disk and perhaps are not.
    is_unsynced: AtomicBool,
}

impl State {
    /// Opens the state in an output directory. What other shards have finished is known too, so
    /// that the number of shards can change.
    ///
    /// # Errors
    /// Another run has the same shard, the file is from a newer version of ocify or is not a regular file, or it
    /// cannot be created or read.
    pub(crate) fn open(directory: &Path, options: StateOptions<'_>) -> Result<State> {
        let name = own_name("state", options.shard);
        let own = StateFile::lock(&directory.join(&name), directory)?;
        let mut known = Known::of(options.options, vec![own]);
        let mut found = known.read(0)?;
        found.refuse_newer(known.files[0].path())?;
        let is_older = found.lines > 0 && found.format != Some(FORMAT);
        let mut records = found.records.values();
        let is_upgraded = is_older && records.any(|record| record.noted.is_older);
        let outdated = found.lines - found.records.len();
        let is_full = outdated > found.records.len() + FREE_LINES;
        if is_older || is_full || found.is_cut || known.files[0].has_other_names()? {
            let mut lines: Vec<Span> = found.records.values().map(|record| record.line).collect();
            lines.sort_by_key(|line| line.at);
            known.files[0].rewrite(&header(), &lines)?;
            found = known.read(0)?;
        }
        let lacks_header = Mutex::new(found.lines == 0);
        known.files[0].end_torn_line()?;
        known.add(found.records);
        known.add_others(directory, &name);
        Ok(State {
            known,
            lacks_header,
            is_upgraded,
            is_unsynced: AtomicBool::new(options.syncs),
        })
    }

    /// What is recorded.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// The file of this shard.
    fn own(&self) -> &StateFile {
        &self.known.files[0]
    }

    /// Whether the filesystem has no locks, so that nothing keeps another run of the same share away.
    pub(crate) fn lacks_lock(&self) -> bool {
        self.own().lacks_lock()
    }

    /// Whether an older version of ocify wrote the file. What it recorded does not count as finished,
    /// and now the file has the current format.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.is_upgraded
    }

    /// The file of this shard.
    pub(crate) fn path(&self) -> &Path {
        self.own().path()
    }

    /// Records that outputs are in place. They must be on disk, or a power failure could leave the record of an
    /// output that is not there.
    ///
    /// # Errors
    /// The lines cannot be written.
    pub(crate) fn finish(&self, finished: &[Finished<'_>]) -> Result<()> {
        if finished.is_empty() {
            return Ok(());
        }
        let mut lacks_header = self
            .lacks_header
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut bytes = match *lacks_header {
            true => header(),
            false => Vec::new(),
        };
        for finished in finished {
            let line = line(finished, &self.known.options).context("write", self.path())?;
            bytes.extend(line);
        }
        self.is_unsynced.store(true, Ordering::Relaxed);
        self.own().append(&bytes)?;
        *lacks_header = false;
        Ok(())
    }

    /// Makes all lines survive a power failure.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn sync(&self) -> Result<()> {
        match self.is_unsynced.swap(false, Ordering::Relaxed) {
            true => self.own().sync(),
            false => Ok(()),
        }
    }

    /// Removes the file if it records nothing.
    pub(crate) fn close(self) {
        let empty = [0, header().len() as u64];
        if self.own().len().is_ok_and(|len| empty.contains(&len)) {
            // An extra file does no harm.
            let _ = fs::remove_file(self.path());
        }
    }
}

#[cfg(test)]
mod tests;
