//! What a batch has finished, in one small file beside its outputs, so that a run that was stopped
//! continues where it was.
//!
//! The file only saves time: if a line is lost or damaged, its output is written again. The last line
//! about a path counts. Lines are appended whole as outputs are published, and when most of them are
//! outdated the file is rewritten.

mod lines;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ocify::{
    Code, Digest, Error, Result, command::IoContext, command::publish::PublishOptions,
    command::publish::StagedFile, command::publish::is_at, command::publish::is_temporary,
    command::show_path,
};
use rustix::fs::{OFlags, fcntl_setfl};
use serde_json::Value;

use self::lines::{FORMAT, Key, Noted, format_of, header, key, line, noted, parse};
use super::fingerprint::Fingerprint;
use super::output::own_name;
use super::shard::Shard;

/// The file is rewritten once it contains more outdated lines than this.
const FREE_LINES: usize = 1000;

/// How often the file is opened again when another run replaces it.
const ATTEMPTS: usize = 100;

/// What is known of a finished output.
#[derive(Clone, Copy, Debug)]
struct Record {
    noted: Noted,
    line: Span,
}

/// Where a line is in the state files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    file: usize,
    at: u64,
    len: usize,
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
}

/// What the output directory contains for an output that a batch is about to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputState {
    /// The output does not exist.
    Absent,
    /// It exists and was written from this source with these options. Contains the recorded data.
    Finished(Value),
    /// It exists as an earlier run left it, but was written from another source or with other options.
    Outdated,
    /// Something exists that no earlier run is known to have written, or that was changed since.
    Foreign,
}

/// What all outputs of a batch depend on besides their sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateOptions<'a> {
    /// The share whose state it is.
    pub(crate) shard: Option<Shard>,
    /// A digest that differs whenever outputs could differ.
    pub(crate) options: &'a Digest,
}

/// The open state of one share. It is locked, so no other run can open it.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    options: Digest,
    records: HashMap<Key, Record>,
    /// The files of all shares; the first is that of this one.
    files: Vec<File>,
    /// Whether the file is empty, so that its first line comes before the next one.
    lacks_header: Mutex<bool>,
    is_upgraded: bool,
}

impl State {
    /// Opens the state in an output directory. What other shares have finished is known too, so
    /// that the number of shares can change.
    ///
    /// # Errors
    /// Another run has the same share, the file is from a newer version of ocify, or it cannot be
    /// created or read.
    pub(crate) fn open(directory: &Path, options: StateOptions<'_>) -> Result<State> {
        let name = own_name("state", options.shard);
        let path = directory.join(&name);
        let file = lock(&path, directory)?;
        let mut state = State {
            path,
            options: options.options.clone(),
            records: HashMap::new(),
            files: vec![file],
            lacks_header: Mutex::new(false),
            is_upgraded: false,
        };
        let mut found = state.read(0)?;
        if let Some(format) = found.format.filter(|format| *format > FORMAT) {
            return Err(newer(&state.path, format));
        }
        let is_older = found.lines > 0 && found.format != Some(FORMAT);
        let mut records = found.records.values();
        state.is_upgraded = is_older && records.any(|record| record.noted.is_of_format_1);
        let outdated = found.lines - found.records.len();
        if is_older || outdated > found.records.len() + FREE_LINES {
            state.compact(&found.records)?;
            found = state.read(0)?;
        }
        state.lacks_header = Mutex::new(found.lines == 0);
        state.end_torn_line()?;
        let mut own = found.records;
        for other in others(directory, &name) {
            // What cannot be read costs time, as if it were not there.
            if let Ok(file) = File::open(other) {
                state.files.push(file);
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

    /// Whether an older version of ocify wrote the file. What it recorded does not count as finished,
    /// and now the file has the current format.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.is_upgraded
    }

    /// The file of this share.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the output for a source.
    pub(crate) fn output_state(
        &self,
        relative: &Path,
        source: Fingerprint,
        output: &Path,
    ) -> OutputState {
        let is_there = fs::symlink_metadata(output).is_ok();
        if !is_there {
            return OutputState::Absent;
        }
        let Some(record) = self.records.get(&key(relative)) else {
            return OutputState::Foreign;
        };
        let noted = record.noted;
        if !Fingerprint::of(output).is_ok_and(|found| found == noted.output) {
            return OutputState::Foreign;
        }
        if noted.source != source || !noted.has_options {
            return OutputState::Outdated;
        }
        match self.note(record) {
            Some(note) => OutputState::Finished(note),
            None => OutputState::Outdated,
        }
    }

    fn note(&self, record: &Record) -> Option<Value> {
        let mut line = vec![0; record.line.len];
        let file = self.files.get(record.line.file)?;
        file.read_exact_at(&mut line, record.line.at).ok()?;
        parse(&line)?.get_mut("note").map(Value::take)
    }

    /// Records that an output is in place, with anything that is needed again later.
    ///
    /// # Errors
    /// The line cannot be written.
    pub(crate) fn finish(
        &self,
        relative: &Path,
        source: Fingerprint,
        output: Fingerprint,
        note: &Value,
    ) -> Result<()> {
        let line = line(relative, [source, output], &self.options, note);
        let mut bytes = line.context("write", &self.path)?;
        let mut lacks_header = self
            .lacks_header
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *lacks_header {
            bytes = [header(), bytes].concat();
        }
        // The file is open for appending, and this is one write.
        let written = (&self.files[0]).write_all(&bytes);
        *lacks_header &= written.is_err();
        written.context("write", &self.path)
    }

    /// Makes all lines survive a power failure.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn sync(&self) -> Result<()> {
        self.files[0].sync_all().context("sync", &self.path)
    }

    /// Removes the file if it records nothing.
    pub(crate) fn close(self) {
        let empty = [0, header().len() as u64];
        let len = self.files[0].metadata().map(|found| found.len());
        if len.is_ok_and(|len| empty.contains(&len)) {
            // An extra file does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Reads one of the files; damaged lines are skipped.
    fn read(&self, number: usize) -> Result<Contents> {
        let mut contents = Contents::default();
        let file = Positioned {
            file: &self.files[number],
            at: 0,
        };
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut at = 0;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let len = reader
                .read_until(b'\n', &mut bytes)
                .context("read", &self.path)?;
            if len == 0 {
                return Ok(contents);
            }
            if contents.lines == 0 {
                contents.format = format_of(&bytes);
            }
            contents.lines += 1;
            let line = Span {
                file: number,
                at,
                len,
            };
            let found = parse(&bytes).and_then(|value| noted(&value, &self.options));
            if let Some((key, noted)) = found {
                contents.records.insert(key, Record { noted, line });
            }
            at += len as u64;
        }
    }

    /// A line that a crash cut short must not spoil the next.
    fn end_torn_line(&self) -> Result<()> {
        let mut file = &self.files[0];
        let len = file.metadata().context("read", &self.path)?.len();
        let mut last = [b'\n'];
        if len > 0 {
            file.read_exact_at(&mut last, len - 1)
                .context("read", &self.path)?;
        }
        match last {
            [b'\n'] => Ok(()),
            _ => file.write_all(b"\n").context("write", &self.path),
        }
    }

    /// Writes the lines that count beside the file, and replaces it with the new file.
    fn compact(&mut self, records: &HashMap<Key, Record>) -> Result<()> {
        let mut lines: Vec<Span> = records.values().map(|record| record.line).collect();
        lines.sort_by_key(|line| line.at);
        // It may be a link.
        let path = fs::canonicalize(&self.path).context("look up", &self.path)?;
        let staged = StagedFile::create(&path).context("create", &path)?;
        let write = || -> io::Result<()> {
            let mut out = BufWriter::new(staged.file());
            out.write_all(&header())?;
            for line in lines {
                let mut bytes = vec![0; line.len];
                self.files[0].read_exact_at(&mut bytes, line.at)?;
                out.write_all(&bytes)?;
            }
            out.flush()?;
            // Open for appending, like every state file.
            Ok(fcntl_setfl(staged.file(), OFlags::APPEND)?)
        };
        write().context("write", &self.path)?;
        let options = PublishOptions {
            replace: true,
            sync: true,
        };
        // A run that has opened the old file finds that it is gone, and this one locked.
        self.files[0] = staged
            .publish_locked(options)?
            .ok_or_else(|| busy(&self.path))?;
        Ok(())
    }
}

/// Reads a file that is open for appending, from its start.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
}

fn lock(path: &Path, directory: &Path) -> Result<File> {
    for _ in 0..ATTEMPTS {
        let file = open(path).context("create", path)?;
        match file.try_lock() {
            // Another run replaced or removed the file before its lock was free.
            Ok(()) if !is_at(&file, path) => {}
            // A filesystem without locks leaves it to its users.
            Ok(()) | Err(fs::TryLockError::Error(_)) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => break,
        }
    }
    Err(busy(directory))
}

fn busy(directory: &Path) -> Error {
    Error::new(
        Code::OutputBusy,
        format!("another run is writing to {}", show_path(directory)),
    )
    .with_path(directory)
    .with_hint("wait for it to finish, or give each worker its own shard with --shard")
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

/// The state files of other shares, in the order of their names.
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
mod tests {
    use ocify::Algorithm;
    use serde_json::json;

    use super::*;

    const SOURCE: Fingerprint = Fingerprint {
        len: 7,
        modified: 9,
    };

    fn open(directory: &Path, options: &str, shard: Option<Shard>) -> Result<State> {
        let options = &Digest::of(Algorithm::Sha256, options.as_bytes());
        State::open(directory, StateOptions { shard, options })
    }

    fn opened(directory: &Path, options: &str) -> State {
        open(directory, options, None).unwrap()
    }

    fn output(directory: &Path, name: &str) -> (PathBuf, Fingerprint) {
        let path = directory.join(name);
        fs::write(&path, name).unwrap();
        let fingerprint = Fingerprint::of(&path).unwrap();
        (path, fingerprint)
    }

    #[test]
    fn standings() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fingerprint) = output(dir.path(), "a.tar");
        let relative = Path::new("a.tar");
        let state = opened(dir.path(), "options");
        assert_eq!(
            state.output_state(relative, SOURCE, &path),
            OutputState::Foreign
        );
        let note = json!(["noted"]);
        state.finish(relative, SOURCE, fingerprint, &note).unwrap();
        drop(state);

        let state = opened(dir.path(), "options");
        let finished = OutputState::Finished(note);
        assert_eq!(state.output_state(relative, SOURCE, &path), finished);
        let other = Fingerprint {
            modified: 10,
            ..SOURCE
        };
        assert_eq!(
            state.output_state(relative, other, &path),
            OutputState::Outdated
        );
        let gone = dir.path().join("gone");
        assert_eq!(
            state.output_state(relative, SOURCE, &gone),
            OutputState::Absent
        );
        let elsewhere = state.output_state(Path::new("b.tar"), SOURCE, &path);
        assert_eq!(elsewhere, OutputState::Foreign);
        drop(state);

        let state = opened(dir.path(), "other options");
        assert_eq!(
            state.output_state(relative, SOURCE, &path),
            OutputState::Outdated
        );
        fs::write(&path, "changed").unwrap();
        assert_eq!(
            state.output_state(relative, SOURCE, &path),
            OutputState::Foreign
        );
    }

    #[test]
    fn damage_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fingerprint) = output(dir.path(), "x");
        let names = ["a", "b", "c"];
        let state = opened(dir.path(), "");
        for name in names {
            let note = json!(name);
            state
                .finish(Path::new(name), SOURCE, fingerprint, &note)
                .unwrap();
        }
        drop(state);
        let file = dir.path().join(".ocify-state");
        let whole = fs::read(&file).unwrap();
        let known = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            let state = opened(dir.path(), "");
            assert!(!state.is_upgraded());
            let is_known = |name: &&str| {
                let output_state = state.output_state(Path::new(name), SOURCE, &path);
                output_state == OutputState::Finished(json!(name))
            };
            names.into_iter().filter(is_known).collect::<String>()
        };
        assert_eq!(known(&whole), "abc");
        assert_eq!(known(&whole[..whole.len() - 1]), "ab", "the end is torn");
        assert_eq!(known(&whole[5..]), "abc", "the start is missing");
        let first = header().len();
        assert_eq!(known(&whole[first + 5..]), "bc", "a line is cut");
        let mut changed = whole.clone();
        // One digit of a number: the line would still be read.
        let mut ends = (first..whole.len()).filter(|at| whole[*at] == b'\n');
        let digit = changed[..ends.next().unwrap()]
            .iter()
            .rposition(u8::is_ascii_digit);
        changed[digit.unwrap()] ^= 1;
        assert_eq!(known(&changed), "bc", "a digit is another");
        assert_eq!(known(b""), "");
        assert_eq!(known(&[0xff; 300]), "");
        // A torn end does not spoil the line that is written next.
        let torn = [&whole[..20], b"\n", &whole[..]].concat();
        assert_eq!(known(&torn), "abc");
        fs::write(&file, &whole[..whole.len() - 9]).unwrap();
        let state = opened(dir.path(), "");
        let note = json!("c");
        state
            .finish(Path::new("c"), SOURCE, fingerprint, &note)
            .unwrap();
        drop(state);
        assert_eq!(known(&fs::read(&file).unwrap()), "abc");
    }

    #[test]
    fn one_run_at_a_time_for_each_share() {
        let dir = tempfile::tempdir().unwrap();
        let shard = |number| Some(Shard { number, count: 2 });
        let open = |shard| open(dir.path(), "", shard);
        let first = open(shard(1)).unwrap();
        let second = open(shard(2)).unwrap();
        assert_eq!(open(shard(1)).unwrap_err().code(), Code::OutputBusy);
        let (path, fingerprint) = output(dir.path(), "x");
        let relative = Path::new("x");
        first
            .finish(relative, SOURCE, fingerprint, &Value::Null)
            .unwrap();
        drop((first, second));
        // What a share finished is known to every other.
        let whole = open(None).unwrap();
        let finished = OutputState::Finished(Value::Null);
        assert_eq!(whole.output_state(relative, SOURCE, &path), finished);
        whole.close();
        assert!(!dir.path().join(".ocify-state").exists(), "it was empty");
    }

    #[test]
    fn outdated_lines_go() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fingerprint) = output(dir.path(), "x");
        let state = opened(dir.path(), "");
        for number in 0..FREE_LINES + 10 {
            let note = json!(number);
            state
                .finish(Path::new("x"), SOURCE, fingerprint, &note)
                .unwrap();
        }
        drop(state);
        let len = || fs::metadata(dir.path().join(".ocify-state")).unwrap().len();
        let before = len();
        for _ in 0..2 {
            let state = opened(dir.path(), "");
            let last = OutputState::Finished(json!(FREE_LINES + 9));
            assert_eq!(state.output_state(Path::new("x"), SOURCE, &path), last);
            assert!(len() < before / 500);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        }
    }

    /// A line as format 1 has it: with a shorter key for the options.
    fn old_line(name: &str, output: Fingerprint) -> String {
        let key = Digest::of(Algorithm::Sha256, name.as_bytes()).hex();
        let rest = format!(
            r#""path":"{name}","key":"{}","source":[7,9],"output":[{},{}],"options":"0123456789abcdef","note":null}}"#,
            &key[..32],
            output.len,
            output.modified
        );
        let sum = Digest::of(Algorithm::Sha256, rest.as_bytes()).hex();
        format!("{{\"sum\":\"{}\",{rest}\n", &sum[..16])
    }

    #[test]
    fn files_of_older_versions_are_upgraded() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fingerprint) = output(dir.path(), "a");
        let file = dir.path().join(".ocify-state");
        let old = old_line("a", fingerprint);
        // The other is only read.
        let share = dir.path().join(".ocify-state-1-of-2");
        let (other, of_other) = output(dir.path(), "b");
        fs::write(&share, old_line("b", of_other)).unwrap();
        fs::write(&file, format!("{old}torn")).unwrap();
        let state = opened(dir.path(), "");
        assert!(state.is_upgraded());
        for (name, path) in [("a", &path), ("b", &other)] {
            let output_state = state.output_state(Path::new(name), SOURCE, path);
            assert_eq!(output_state, OutputState::Outdated, "{name}");
        }
        assert_eq!(fs::read_to_string(&share).unwrap(), old_line("b", of_other));
        let upgraded = format!("{{\"format\":2}}\n{old}");
        assert_eq!(fs::read_to_string(&file).unwrap(), upgraded);
        let relative = Path::new("a");
        let note = json!(1);
        state.finish(relative, SOURCE, fingerprint, &note).unwrap();
        drop(state);
        let state = opened(dir.path(), "");
        assert!(!state.is_upgraded());
        let finished = OutputState::Finished(note);
        assert_eq!(state.output_state(relative, SOURCE, &path), finished);
    }

    #[test]
    fn files_of_newer_versions_are_refused_and_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fingerprint) = output(dir.path(), "a");
        let text = format!("{{\"format\":3}}\n{}torn", old_line("a", fingerprint));
        for name in [".ocify-state", ".ocify-state-1-of-2"] {
            let file = dir.path().join(name);
            fs::write(&file, &text).unwrap();
            let shard = Some(Shard {
                number: 1,
                count: 2,
            });
            let own = if name == ".ocify-state" { None } else { shard };
            let error = open(dir.path(), "", own).unwrap_err();
            assert_eq!(error.code(), Code::OutputExists);
            let expected = "has format 3, and this version of ocify knows formats up to 2";
            assert!(error.to_string().ends_with(expected), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            if own.is_none() {
                fs::remove_file(&file).unwrap();
            }
        }
        // Of another share it counts as nothing.
        let state = opened(dir.path(), "");
        let output_state = state.output_state(Path::new("a"), SOURCE, &path);
        assert_eq!(output_state, OutputState::Foreign);
    }

    #[test]
    fn the_first_line_states_the_format() {
        let dir = tempfile::tempdir().unwrap();
        let (_, fingerprint) = output(dir.path(), "a");
        let file = dir.path().join(".ocify-state");
        let state = opened(dir.path(), "");
        assert_eq!(fs::read(&file).unwrap(), b"");
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let state = &state;
                scope.spawn(move || {
                    state.finish(Path::new(name), SOURCE, fingerprint, &Value::Null)
                });
            }
        });
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("{\"format\":2}\n{\"sum\":\""), "{text}");
        assert_eq!(text.matches("format").count(), 1);
        assert_eq!(text.lines().count(), 5);
        // A crash right at the beginning.
        fs::write(&file, b"{\"for").unwrap();
        drop(state);
        let state = opened(dir.path(), "");
        assert!(!state.is_upgraded());
        assert_eq!(fs::read(&file).unwrap(), b"{\"format\":2}\n");
        state.close();
        assert!(!file.exists());
    }
}
