//! What a batch has finished, in one small file beside its outputs, so that a run that was stopped
//! goes on where it was.
//!
//! The file only helps: a line that is lost or damaged costs the time to make an output again. Each
//! line is a JSON object that begins with a check sum over its rest. The last line about a path
//! counts. Lines are appended whole as outputs get their place, and when most of them are
//! outdated the file is written anew.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ocify::error::{Code, Error, IoContext, Result, show_path};
use ocify::image::{Algorithm, Digest};
use ocify::publish::{PublishOptions, StagedFile, is_at, is_temporary};
use rustix::fs::{OFlags, fcntl_setfl};
use serde::Serialize;
use serde_json::Value;

use super::fingerprint::Fingerprint;
use super::output::own_name;
use super::shard::Shard;

/// How many outdated lines are not worth writing the file anew.
const FREE_LINES: usize = 1000;

/// How often the file is opened again when another run replaces it.
const ATTEMPTS: usize = 100;

/// The first bytes of the path's SHA-256: enough to tell any number of paths apart.
type Key = [u8; 16];

/// What one line says.
#[derive(Clone, Copy, Debug)]
struct Record {
    source: Fingerprint,
    output: Fingerprint,
    options: u64,
    line: Place,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: usize,
    at: u64,
    len: usize,
}

/// How an output stands that a batch is about to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not there.
    Absent,
    /// It is there, and made from this source with these options. What was noted is read again.
    Finished(Value),
    /// It is there as an earlier run left it, but made from another source or with other options.
    Outdated,
    /// Something is there, and no earlier run is known to have made it, or it was changed since.
    Foreign,
}

/// What all outputs of a batch depend on besides their sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateOptions<'a> {
    /// The share whose state it is.
    pub(crate) shard: Option<Shard>,
    /// A text that is another one whenever outputs could be.
    pub(crate) options: &'a str,
}

/// The open state of one share, which nobody else can open meanwhile.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    options: u64,
    records: HashMap<Key, Record>,
    /// The files of all shares; the first is that of this one.
    files: Vec<File>,
    is_empty: bool,
}

impl State {
    /// Opens the state in an output directory. What other shares have finished is known as well, so
    /// that the number of shares can change.
    ///
    /// # Errors
    /// Another run has the same share, or the file cannot be made.
    pub(crate) fn open(directory: &Path, options: StateOptions<'_>) -> Result<State> {
        let name = own_name("state", options.shard);
        let path = directory.join(&name);
        let file = lock(&path, directory)?;
        let mut state = State {
            path,
            options: number(&Digest::of(Algorithm::Sha256, options.options.as_bytes()).hex()[..16]),
            records: HashMap::new(),
            files: vec![file],
            is_empty: true,
        };
        let (mut own, total) = state.read(0)?;
        if total - own.len() > own.len() + FREE_LINES {
            state.compact(&own)?;
            own = state.read(0)?.0;
        }
        state.is_empty = own.is_empty();
        state.end_torn_line()?;
        for other in others(directory, &name) {
            // What cannot be read costs time, as if it were not there.
            if let Ok(file) = File::open(other) {
                state.files.push(file);
                let found = state.read(state.files.len() - 1);
                for (key, record) in found.map(|(records, _)| records).unwrap_or_default() {
                    own.entry(key).or_insert(record);
                }
            }
        }
        state.records = own;
        Ok(state)
    }

    /// How the output for a source stands.
    pub(crate) fn standing(&self, relative: &Path, source: Fingerprint, output: &Path) -> Standing {
        let is_there = fs::symlink_metadata(output).is_ok();
        if !is_there {
            return Standing::Absent;
        }
        let Some(record) = self.records.get(&key(relative)) else {
            return Standing::Foreign;
        };
        if !Fingerprint::of(output).is_ok_and(|found| found == record.output) {
            return Standing::Foreign;
        }
        if record.source != source || record.options != self.options {
            return Standing::Outdated;
        }
        match self.note(record) {
            Some(note) => Standing::Finished(note),
            None => Standing::Outdated,
        }
    }

    fn note(&self, record: &Record) -> Option<Value> {
        let mut line = vec![0; record.line.len];
        let file = self.files.get(record.line.file)?;
        file.read_exact_at(&mut line, record.line.at).ok()?;
        parse(&line)?.get_mut("note").map(Value::take)
    }

    /// Notes that an output is in its place, with anything that is wanted again later.
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
        let line = line(&Line {
            path: relative.to_string_lossy(),
            key: hex(&key(relative)),
            source: (source.len, source.modified),
            output: (output.len, output.modified),
            options: format!("{:016x}", self.options),
            note,
        })
        .context("write", &self.path)?;
        // The file is open for appending, and a line is one write.
        (&self.files[0])
            .write_all(&line)
            .context("write", &self.path)
    }

    /// Makes all lines survive a power failure.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn sync(&self) -> Result<()> {
        self.files[0].sync_all().context("sync", &self.path)
    }

    /// Removes the file if it holds nothing.
    pub(crate) fn close(self) {
        let is_empty = self.files[0].metadata().is_ok_and(|found| found.len() == 0);
        if self.is_empty && is_empty {
            // A file too many does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// The last line about each path, and how many lines there are; damaged ones are passed over.
    fn read(&self, number: usize) -> Result<(HashMap<Key, Record>, usize)> {
        let mut records = HashMap::new();
        let file = Positioned {
            file: &self.files[number],
            at: 0,
        };
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let (mut at, mut total) = (0, 0);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let len = reader
                .read_until(b'\n', &mut bytes)
                .context("read", &self.path)?;
            if len == 0 {
                return Ok((records, total));
            }
            total += 1;
            let line = Place {
                file: number,
                at,
                len,
            };
            if let Some((key, record)) = parse(&bytes).and_then(|value| record(&value, line)) {
                records.insert(key, record);
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

    /// Writes the lines that count beside the file, and lets the new file take its place.
    fn compact(&mut self, records: &HashMap<Key, Record>) -> Result<()> {
        let mut places: Vec<Place> = records.values().map(|record| record.line).collect();
        places.sort_by_key(|place| place.at);
        // It may be a link.
        let path = fs::canonicalize(&self.path).context("look up", &self.path)?;
        let staged = StagedFile::create(&path).context("create", &path)?;
        let write = || -> io::Result<()> {
            let mut out = BufWriter::new(staged.file());
            for place in places {
                let mut line = vec![0; place.len];
                self.files[0].read_exact_at(&mut line, place.at)?;
                out.write_all(&line)?;
            }
            out.flush()?;
            // As every state is open.
            Ok(fcntl_setfl(staged.file(), OFlags::APPEND)?)
        };
        write().context("write", &self.path)?;
        let options = PublishOptions {
            replace: true,
            sync: true,
        };
        // Whoever has opened the old file finds that it is gone, and this one locked.
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
    .with_hint("wait for it to end, or give each worker a share of its own with --shard")
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

fn key(relative: &Path) -> Key {
    let digest = Digest::of(Algorithm::Sha256, relative.as_os_str().as_bytes());
    let number = u128::from_str_radix(&digest.hex()[..32], 16).unwrap_or(0);
    number.to_be_bytes()
}

fn hex(key: &Key) -> String {
    format!("{:032x}", u128::from_be_bytes(*key))
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or(0)
}

fn sum(rest: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, rest).hex()[..16].to_owned()
}

/// A line without its check sum.
#[derive(Serialize)]
struct Line<'a> {
    path: Cow<'a, str>,
    key: String,
    /// Length and time, as of the output.
    source: (u64, i64),
    output: (u64, i64),
    options: String,
    note: &'a Value,
}

/// The object with its check sum in front, on a line.
fn line(line: &Line<'_>) -> io::Result<Vec<u8>> {
    let text = serde_json::to_string(line)?;
    let rest = &text[1..];
    Ok(format!("{{\"sum\":\"{}\",{rest}\n", sum(rest.as_bytes())).into_bytes())
}

/// The object on a line, if its check sum is right.
fn parse(line: &[u8]) -> Option<Value> {
    let text = line.strip_suffix(b"\n")?.strip_prefix(b"{\"sum\":\"")?;
    let (stated, rest) = text.split_at_checked(16)?;
    let rest = rest.strip_prefix(b"\",")?;
    if sum(rest).as_bytes() != stated {
        return None;
    }
    serde_json::from_slice(&[b"{", rest].concat()).ok()
}

fn record(value: &Value, line: Place) -> Option<(Key, Record)> {
    let fingerprint = |name: &str| {
        let pair = value.get(name)?.as_array()?;
        Some(Fingerprint {
            len: pair.first()?.as_u64()?,
            modified: pair.get(1)?.as_i64()?,
        })
    };
    let text = |name: &str| value.get(name)?.as_str();
    let key = u128::from_str_radix(text("key")?, 16).ok()?;
    let record = Record {
        source: fingerprint("source")?,
        output: fingerprint("output")?,
        options: u64::from_str_radix(text("options")?, 16).ok()?,
        line,
    };
    Some((key.to_be_bytes(), record))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOURCE: Fingerprint = Fingerprint {
        len: 7,
        modified: 9,
    };

    fn opened(directory: &Path, options: &str) -> State {
        let shard = None;
        State::open(directory, StateOptions { shard, options }).unwrap()
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
        assert_eq!(state.standing(relative, SOURCE, &path), Standing::Foreign);
        let note = json!(["noted"]);
        state.finish(relative, SOURCE, fingerprint, &note).unwrap();
        drop(state);

        let state = opened(dir.path(), "options");
        let finished = Standing::Finished(note);
        assert_eq!(state.standing(relative, SOURCE, &path), finished);
        let other = Fingerprint {
            modified: 10,
            ..SOURCE
        };
        assert_eq!(state.standing(relative, other, &path), Standing::Outdated);
        let gone = dir.path().join("gone");
        assert_eq!(state.standing(relative, SOURCE, &gone), Standing::Absent);
        let elsewhere = state.standing(Path::new("b.tar"), SOURCE, &path);
        assert_eq!(elsewhere, Standing::Foreign);
        drop(state);

        let state = opened(dir.path(), "other options");
        assert_eq!(state.standing(relative, SOURCE, &path), Standing::Outdated);
        fs::write(&path, "changed").unwrap();
        assert_eq!(state.standing(relative, SOURCE, &path), Standing::Foreign);
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
            let is_known = |name: &&str| {
                let standing = state.standing(Path::new(name), SOURCE, &path);
                standing == Standing::Finished(json!(name))
            };
            names.into_iter().filter(is_known).collect::<String>()
        };
        assert_eq!(known(&whole), "abc");
        assert_eq!(known(&whole[..whole.len() - 1]), "ab", "the end is torn");
        let lines = whole.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(known(&whole[5..]), "bc", "the start is missing");
        let mut changed = whole.clone();
        // One digit of a number: the line would still be read.
        let digit = changed[..lines].iter().rposition(u8::is_ascii_digit);
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
        let open = |shard| State::open(dir.path(), StateOptions { shard, options: "" });
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
        let finished = Standing::Finished(Value::Null);
        assert_eq!(whole.standing(relative, SOURCE, &path), finished);
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
            let last = Standing::Finished(json!(FREE_LINES + 9));
            assert_eq!(state.standing(Path::new("x"), SOURCE, &path), last);
            assert!(len() < before / 500);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        }
    }
}
