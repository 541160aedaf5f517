//! What a batch has finished, in one small file beside its outputs, so that a run that was stopped
//! continues where it was.
//!
//! The file only saves time: if a line is lost or damaged, its output is written again. The last line
//! about a path counts. Lines are appended whole when the outputs that they are about are on disk, and when
//! most of them are outdated the file is rewritten.

mod file;
mod lines;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ocify::{
    Code, Digest, Error, Result, command::HeldPath, command::InputPath, command::IoContext,
    command::Links, command::publish::is_temporary, command::show_path,
};
use serde_json::Value;

pub(super) use self::file::open_existing;
use self::file::{Span, StateFile};
pub(super) use self::lines::Finished;
use self::lines::{FORMAT, Key, Noted, format_of, header, key, line, noted, parse};
use super::fingerprint::Fingerprint;
use super::output::own_name;
use super::shard::Shard;

/// The file is rewritten once it contains more outdated lines than this.
const FREE_LINES: usize = 1000;

/// What is known of a finished output.
#[derive(Clone, Copy, Debug)]
struct Record {
    noted: Noted,
    /// The state file, and the line in it.
    file: usize,
    line: Span,
}

/// What a state file contains.
#[derive(Debug, Default)]
struct Contents {
    /// The last line about each path.
    records: HashMap<Key, Record>,
    /// How many lines there are, damaged ones included.
    lines: usize,
    /// The number of its format, if the file states one.
    format: Option<u64>,
    /// Whether it was not read to its end, because what follows is not a line.
    is_cut: bool,
}

/// What the output directory contains for an output that a batch is about to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputState {
    /// The output does not exist.
    Absent,
    /// It exists and was written from this source with these options.
    Finished(Recorded),
    /// It exists as an earlier run left it, but was written from another source, with other options or by a version
    /// of ocify that did not record enough.
    Outdated,
    /// Something exists that no earlier run is known to have written, or that was changed since.
    Foreign,
}

/// What was recorded about a finished output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Anything that is needed again later.
    pub(crate) note: Value,
    /// A digest of what it contains, if it contains images.
    pub(crate) content: Option<String>,
}

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
    options: Digest,
    records: HashMap<Key, Record>,
    /// The files of all shards; the first is that of this one.
    files: Vec<StateFile>,
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
        let mut state = State {
            options: options.options.clone(),
            records: HashMap::new(),
            files: vec![own],
            lacks_header: Mutex::new(false),
            is_upgraded: false,
            is_unsynced: AtomicBool::new(options.syncs),
        };
        let mut found = state.read(0)?;
        if let Some(format) = found.format.filter(|format| *format > FORMAT) {
            return Err(newer(state.path(), format));
        }
        let is_older = found.lines > 0 && found.format != Some(FORMAT);
        let mut records = found.records.values();
        state.is_upgraded = is_older && records.any(|record| record.noted.is_older);
        let outdated = found.lines - found.records.len();
        let is_full = outdated > found.records.len() + FREE_LINES;
        if is_older || is_full || found.is_cut || state.files[0].has_other_names()? {
            let mut lines: Vec<Span> = found.records.values().map(|record| record.line).collect();
            lines.sort_by_key(|line| line.at);
            state.files[0].rewrite(&header(), &lines)?;
            found = state.read(0)?;
        }
        state.lacks_header = Mutex::new(found.lines == 0);
        state.files[0].end_torn_line()?;
        let mut own = found.records;
        for other in others(directory, &name) {
            // What cannot be read costs time, as if it were not there.
            if let Ok(Some(file)) = open_existing(&other) {
                state.files.push(StateFile::of(other, file));
                let found = state.read(state.files.len() - 1).unwrap_or_default();
                if found.format.is_none_or(|format| format <= FORMAT) {
                    for (key, record) in found.records {
                        own.entry(key).or_insert(record);
                    }
                }
            }
        }
        state.records = own;
        Ok(state)
    }

    /// Whether the filesystem has no locks, so that nothing keeps another run of the same share away.
    pub(crate) fn lacks_lock(&self) -> bool {
        self.files.first().is_some_and(StateFile::lacks_lock)
    }

    /// Whether an older version of ocify wrote the file. What it recorded does not count as finished,
    /// and now the file has the current format.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.is_upgraded
    }

    /// The file of this shard.
    pub(crate) fn path(&self) -> &Path {
        self.files[0].path()
    }

    /// The state of the output for a source; without its fingerprint, none is finished.
    pub(crate) fn output_state(
        &self,
        relative: &Path,
        source: Option<Fingerprint>,
        output: Option<&HeldPath>,
    ) -> OutputState {
        let Some(output) = output.filter(|output| output.exists()) else {
            return OutputState::Absent;
        };
        let Some(record) = self.records.get(&key(relative)) else {
            return OutputState::Foreign;
        };
        let noted = record.noted;
        let output = InputPath::Held(output.clone());
        let found = Fingerprint::of_input(&output, Links::Refuse);
        if !found.is_ok_and(|found| found == noted.output) {
            return OutputState::Foreign;
        }
        if source != Some(noted.source) || !noted.has_options || noted.is_older {
            return OutputState::Outdated;
        }
        match self.recorded(record) {
            Some(recorded) => OutputState::Finished(recorded),
            None => OutputState::Outdated,
        }
    }

    fn recorded(&self, record: &Record) -> Option<Recorded> {
        let line = self.files.get(record.file)?.line(record.line).ok()?;
        let mut value = parse(&line)?;
        let content = value.get("content").and_then(Value::as_str);
        Some(Recorded {
            content: content.map(str::to_owned),
            note: value.get_mut("note")?.take(),
        })
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
            let line = line(finished, &self.options).context("write", self.path())?;
            bytes.extend(line);
        }
        self.is_unsynced.store(true, Ordering::Relaxed);
        self.files[0].append(&bytes)?;
        *lacks_header = false;
        Ok(())
    }

    /// Makes all lines survive a power failure.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn sync(&self) -> Result<()> {
        match self.is_unsynced.swap(false, Ordering::Relaxed) {
            true => self.files[0].sync(),
            false => Ok(()),
        }
    }

    /// Removes the file if it records nothing.
    pub(crate) fn close(self) {
        let empty = [0, header().len() as u64];
        if self.files[0].len().is_ok_and(|len| empty.contains(&len)) {
            // An extra file does no harm.
            let _ = fs::remove_file(self.path());
        }
    }

    /// Reads one of the files; damaged lines are skipped.
    fn read(&self, number: usize) -> Result<Contents> {
        let mut contents = Contents::default();
        let is_complete = self.files[number].read(|line, bytes| {
            if contents.lines == 0 {
                contents.format = format_of(bytes);
            }
            contents.lines += 1;
            let found = parse(bytes).and_then(|value| noted(&value, &self.options));
            if let Some((key, noted)) = found {
                let record = Record {
                    noted,
                    file: number,
                    line,
                };
                contents.records.insert(key, record);
            }
        })?;
        contents.is_cut = !is_complete;
        Ok(contents)
    }
}

fn newer(path: &Path, format: u64) -> Error {
    Error::new(
        Code::OutputExists,
        format!(
            "{} has format {format}, and this version of ocify knows formats up to {FORMAT}",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_expected(FORMAT)
    .with_found(format)
    .with_hint("use the newer ocify that wrote it, or choose another OUTPUT")
}

/// The state files of other shards, in the order of their names.
fn others(directory: &Path, own: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let is_state = name.to_string_lossy().starts_with(".ocify-state");
            is_state && !is_temporary(&name) && name != own
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests;
