//! What the state files in an output directory record.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ocify::{
    Code, Digest, Error, Result, command::HeldPath, command::InputPath, command::IoContext,
    command::Links, command::publish::is_temporary, command::show_path,
};
use serde_json::Value;

use super::StateOptions;
use super::file::{Span, StateFile, open_existing, refuse_irregular};
use super::lines::{FORMAT, Key, Noted, format_of, key, noted, parse};
use crate::batch::fingerprint::Fingerprint;
use crate::batch::shard::own_name;

/// What is known of a finished output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) noted: Noted,
    /// The state file, and the line in it.
    file: usize,
    pub(super) line: Span,
}

/// What a state file contains.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The last line about each path.
    pub(super) records: HashMap<Key, Record>,
    /// How many lines there are, damaged ones included.
    pub(super) lines: usize,
    /// The number of its format, if the file states one.
    pub(super) format: Option<u64>,
    /// Whether it was not read to its end, because what follows is not a line.
    pub(super) is_cut: bool,
}

impl Contents {
    /// Refuses a file of a format that this version does not know.
    pub(super) fn refuse_newer(&self, path: &Path) -> Result<()> {
        match self.format {
            Some(format) if format > FORMAT => Err(newer(path, format)),
            _ => Ok(()),
        }
    }
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

/// What the files of all shards record.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) options: Digest,
    records: HashMap<Key, Record>,
    pub(super) files: Vec<StateFile>,
}

impl Known {
    /// Nothing yet, of these files.
    pub(super) fn of(options: &Digest, files: Vec<StateFile>) -> Self {
        Known {
            options: options.clone(),
            records: HashMap::new(),
            files,
        }
    }

    /// What is recorded in an output directory, for a dry run. No file is created, locked or changed.
    ///
    /// # Errors
    /// The file of the shard is from a newer version of ocify or is not a regular file, or it cannot be read.
    pub(crate) fn look(directory: &Path, options: StateOptions<'_>) -> Result<Known> {
        let name = own_name("state", options.shard);
        let path = directory.join(&name);
        refuse_irregular(&path)?;
        let own = open_existing(&path).context("read", &path)?;
        let own = own.map(|file| StateFile::of(path, file));
        let mut known = Known::of(options.options, own.into_iter().collect());
        if let Some(own) = known.files.first() {
            let found = known.read(0)?;
            found.refuse_newer(own.path())?;
            known.add(found.records);
        }
        known.add_others(directory, &name);
        Ok(known)
    }

    /// Adds records of a file, except about paths that an earlier one has records of.
    pub(super) fn add(&mut self, records: HashMap<Key, Record>) {
        for (key, record) in records {
            self.records.entry(key).or_insert(record);
        }
    }

    /// Adds what other shards have finished.
    pub(super) fn add_others(&mut self, directory: &Path, own: &str) {
        for other in others(directory, own) {
            // What cannot be read costs time, as if it were not there.
            if let Ok(Some(file)) = open_existing(&other) {
                self.files.push(StateFile::of(other, file));
                let found = self.read(self.files.len() - 1).unwrap_or_default();
                if found.format.is_none_or(|format| format <= FORMAT) {
                    self.add(found.records);
                }
            }
        }
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

    /// Reads one of the files; damaged lines are skipped.
    pub(super) fn read(&self, number: usize) -> Result<Contents> {
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
