//! The inputs of a batch: what was named, what is listed, and what is found below directories.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use globset::{GlobSet, GlobSetBuilder};
use ocify::{
    Code, Directory, Error, Result, command::InputPath, command::Links, command::is_image_layout,
    command::show_path,
};

use super::claims::Claims;
use super::emptiness::nothing_found;
use super::fingerprint::Fingerprint;
use super::list::{Interruptible, list_end, listed_relative};
use super::queue::{Queue, Task, TaskKind};
use super::shard::Shard;
use super::walk::{Found, FoundKind, Walk};
use crate::args::{Fix, Pattern, is_standard};
use crate::destination::{ImageKind, last_part, output_name};
use crate::paths::resolved;

/// A file or directory that was named, and the path of its outputs below the output directory.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) path: PathBuf,
    pub(crate) relative: PathBuf,
}

/// What was named on the command line: a single directory is mirrored, and of several inputs
/// each has the last part of its path.
pub(crate) fn named(args: &Fix) -> Result<Vec<Named>> {
    let is_alone = args.inputs.len() == 1 && args.many.files_from.is_none();
    let mut seen: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut named = Vec::new();
    for path in &args.inputs {
        let relative = match is_alone {
            true => PathBuf::new(),
            false => last_part(path).into(),
        };
        if let Some(other) = seen.insert(relative.clone(), path) {
            return Err(Error::new(
                Code::OutputExists,
                format!(
                    "{} and {} would have the same output {}",
                    show_path(other),
                    show_path(path),
                    show_path(&relative)
                ),
            )
            .with_path(path)
            .with_hint(
                "give the directory that contains both, or list them in a file for --files-from",
            ));
        }
        named.push(Named {
            path: path.clone(),
            relative,
        });
    }
    Ok(named)
}

/// The directory for outputs, with all links resolved as far as it exists.
#[derive(Debug)]
pub(crate) struct OutputPlace(Option<PathBuf>);

impl OutputPlace {
    pub(crate) fn of(output: Option<&Path>) -> Self {
        OutputPlace(output.map(resolved))
    }

    /// Refuses an input inside the output directory, or the reverse.
    pub(crate) fn check(&self, input: &Path) -> Result<()> {
        let Some(output) = &self.0 else {
            return Ok(());
        };
        let real = resolved(input);
        let (what, code, hint) = if *output == real {
            (
                "is the output",
                Code::OutputIsInput,
                "choose another OUTPUT",
            )
        } else if output.starts_with(&real) {
            (
                "contains the output",
                Code::OutputInInput,
                "choose an OUTPUT outside all inputs",
            )
        } else if real.starts_with(output) {
            (
                "is inside the output",
                Code::OutputIsInput,
                "choose an OUTPUT that does not contain an input",
            )
        } else {
            return Ok(());
        };
        let message = format!(
            "the input {} {what} {}",
            show_path(input),
            show_path(output)
        );
        Err(Error::new(code, message).with_path(input).with_hint(hint))
    }
}

/// Which paths are included.
#[derive(Debug)]
pub(crate) struct Selection {
    include: Option<[GlobSet; 2]>,
    exclude: [GlobSet; 2],
}

impl Selection {
    pub(crate) fn new(args: &Fix) -> Result<Self> {
        let include = &args.many.include;
        Ok(Selection {
            include: match include.is_empty() {
                true => None,
                false => Some(sets(include)?),
            },
            exclude: sets(&args.many.exclude)?,
        })
    }

    fn is_excluded(&self, relative: &Path) -> bool {
        matches(&self.exclude, relative)
    }

    fn is_taken(&self, relative: &Path) -> bool {
        let is_included = self
            .include
            .as_ref()
            .is_none_or(|sets| matches(sets, relative));
        is_included && !self.is_excluded(relative)
    }
}

/// The patterns for names, and those for paths.
fn sets(patterns: &[Pattern]) -> Result<[GlobSet; 2]> {
    let build = |is_for_names: bool| {
        let mut builder = GlobSetBuilder::new();
        for pattern in patterns {
            if pattern.is_for_names == is_for_names {
                builder.add(pattern.glob.clone());
            }
        }
        builder
            .build()
            .map_err(|error| Error::new(Code::NoSpace, "too many patterns").with_source(error))
    };
    Ok([build(true)?, build(false)?])
}

fn matches(sets: &[GlobSet; 2], relative: &Path) -> bool {
    let name = relative.file_name().unwrap_or_default();
    sets[0].is_match(name) || sets[1].is_match(relative)
}

/// What is called for everything that is found, during the search.
pub(crate) trait Watch {
    /// A task was found.
    fn found(&self, len: u64);
    /// A file that is left unchanged was found.
    fn left(&self);
    /// Whether to look no further.
    fn is_stopped(&self) -> bool;
}

/// Finds the tasks of one shard and hands them to the queue.
pub(crate) struct Finder<'a> {
    pub(crate) args: &'a Fix,
    pub(crate) named: Vec<Named>,
    pub(crate) place: &'a OutputPlace,
    pub(crate) selection: &'a Selection,
    pub(crate) shard: Option<Shard>,
    pub(crate) queue: &'a Queue,
    pub(crate) watch: &'a dyn Watch,
    pub(crate) claims: RefCell<Claims>,
    /// Files of options below the output directory, by their paths there: none of them is an output.
    pub(crate) records: Vec<PathBuf>,
}

impl Finder<'_> {
    /// Finds everything; returns how many tasks there were.
    ///
    /// # Errors
    /// The list of files cannot be read, or nothing was found and that counts as a failure.
    pub(crate) fn run(mut self) -> Result<u64> {
        let mut next = 0;
        for named in std::mem::take(&mut self.named) {
            self.take(named, &mut next);
        }
        if let Some(list) = &self.args.many.files_from {
            self.listed(list, &mut next)?;
        }
        if next == 0 && self.args.many.fail_if_empty && !self.watch.is_stopped() {
            return Err(nothing_found());
        }
        Ok(next)
    }

    fn listed(&self, list: &Path, next: &mut u64) -> Result<()> {
        let failed = |error| Error::io("read", list, error);
        let file = match is_standard(list) {
            true => File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?),
            false => File::open(list).map_err(failed)?,
        };
        let is_stopped = || self.watch.is_stopped();
        let mut reader = BufReader::new(Interruptible {
            file,
            is_stopped: &is_stopped,
        });
        let end = list_end(self.args);
        // Names take memory once for each line, as tasks do.
        let mut seen = std::collections::HashSet::new();
        let mut line = Vec::new();
        while !self.watch.is_stopped() {
            line.clear();
            let len = reader.read_until(end, &mut line).map_err(failed)?;
            // A line that was being read when the run was stopped may be incomplete.
            if len == 0 || self.watch.is_stopped() {
                break;
            }
            if line.last() == Some(&end) {
                line.pop();
            }
            if line.is_empty() {
                continue;
            }
            let path = PathBuf::from(OsString::from_vec(line.clone()));
            let relative = listed_relative(&path);
            let checked = if relative.as_os_str().is_empty() {
                let message = format!("{} lacks a file name", show_path(&path));
                Err(Error::new(Code::ParentMissing, message)
                    .with_path(&path)
                    .with_hint("list paths that end in a file name"))
            } else if !seen.insert(relative.clone()) {
                let message = format!(
                    "{} has the same output as another listed path: {}",
                    show_path(&path),
                    show_path(&relative)
                );
                Err(Error::new(Code::OutputExists, message)
                    .with_path(&path)
                    .with_hint("list each path only once"))
            } else {
                self.place.check(&path)
            };
            match checked {
                Ok(()) => self.take(Named { path, relative }, next),
                Err(error) => self.failed(path, relative, error, next),
            }
        }
        Ok(())
    }

    /// A named file is an archive, whatever it contains; a directory is a layout or is walked.
    fn take(&self, named: Named, next: &mut u64) {
        let metadata = match fs::metadata(&named.path) {
            Ok(metadata) => metadata,
            Err(error) => {
                let error = crate::transports::absent(&named.path, error);
                return self.failed(named.path, named.relative, error, next);
            }
        };
        if !metadata.is_dir() {
            let kind = TaskKind::Archive { is_named: true };
            return self.push(named, kind, metadata.len(), None, next);
        }
        let links = self.args.links();
        if is_image_layout(&named.path) && !named.relative.as_os_str().is_empty() {
            let input = InputPath::Named(named.path.clone());
            let len = Fingerprint::of_input(&input, links).map_or(0, |found| found.len);
            return self.push(named, TaskKind::Layout, len, None, next);
        }
        let enters = |relative: &Path| !self.selection.is_excluded(relative);
        let takes = |relative: &Path| self.selection.is_taken(relative);
        let walk = match Walk::new(&named.path, links, &enters, &takes) {
            Ok(walk) => walk,
            Err(error) => return self.failed(named.path, named.relative, error, next),
        };
        let root = (links == Links::Refuse).then(|| walk.root().clone());
        for found in walk {
            if self.watch.is_stopped() {
                return;
            }
            match found {
                Ok(found) => self.found(&named.relative, found, root.clone(), next),
                Err((path, error)) => {
                    let below = path.strip_prefix(&named.path).unwrap_or(&path);
                    let relative = named.relative.join(below);
                    self.failed(path, relative, error, next);
                }
            }
        }
    }

    fn found(&self, prefix: &Path, found: Found, root: Option<Directory>, next: &mut u64) {
        let relative = prefix.join(&found.relative);
        let copies = self.args.many.copy_others;
        // The directory itself has no name in it.
        let root = root.filter(|_| !found.relative.as_os_str().is_empty());
        let kind = match found.kind {
            FoundKind::Archive => TaskKind::Archive { is_named: false },
            FoundKind::Layout => TaskKind::Layout,
            FoundKind::File if copies => TaskKind::Copy(found.fingerprint),
            FoundKind::Link if copies => TaskKind::Link,
            FoundKind::Link if found.is_named_like_archive() => {
                TaskKind::Skip(found.not_followed(self.args))
            }
            FoundKind::File | FoundKind::Link | FoundKind::Special => {
                if self.shard.is_none_or(|shard| shard.contains(&relative)) {
                    self.watch.left();
                }
                return;
            }
        };
        let path = found.path;
        let len = found.fingerprint.len;
        self.push(Named { path, relative }, kind, len, root, next);
    }

    fn failed(&self, path: PathBuf, relative: PathBuf, error: Error, next: &mut u64) {
        self.push(
            Named { path, relative },
            TaskKind::Report(error),
            0,
            None,
            next,
        );
    }

    fn push(
        &self,
        Named { path, relative }: Named,
        kind: TaskKind,
        len: u64,
        root: Option<Directory>,
        next: &mut u64,
    ) {
        // Every shard numbers and claims alike, so that what several report can be put together in order.
        let number = *next;
        *next += 1;
        let output = self.output(&relative, &kind);
        let kind = self.claimed(&path, &output, kind);
        if self.shard.is_some_and(|shard| !shard.contains(&relative)) {
            return;
        }
        self.watch.found(len);
        self.queue.push(Task {
            number,
            turn: 0,
            path,
            relative,
            output,
            kind,
            len,
            root,
        });
    }

    /// The path of the output below the output directory.
    fn output(&self, relative: &Path, kind: &TaskKind) -> PathBuf {
        let from = match kind {
            TaskKind::Archive { .. } => ImageKind::Archive,
            TaskKind::Layout => ImageKind::Layout,
            TaskKind::Copy(_) | TaskKind::Link | TaskKind::Skip(_) | TaskKind::Report(_) => {
                return relative.to_owned();
            }
        };
        let to = self.args.output_kind().unwrap_or(from);
        output_name(relative, from, to)
    }

    /// The same kind of task, unless its output belongs to another.
    fn claimed(&self, path: &Path, output: &Path, kind: TaskKind) -> TaskKind {
        let has_no_output = matches!(kind, TaskKind::Skip(_) | TaskKind::Report(_));
        if self.args.output().is_none() || has_no_output {
            return kind;
        }
        let mut records = self.records.iter();
        if records.any(|record| record.starts_with(output) || output.starts_with(record)) {
            let shown = show_path(output);
            let message = format!("the output {shown} is a file that another option writes");
            let error = Error::new(Code::OutputExists, message).with_path(path);
            return TaskKind::Report(
                error.with_hint("choose another file for --report or --digest-map"),
            );
        }
        let Err(other) = self.claims.borrow_mut().claim(output, path) else {
            return kind;
        };
        let error = Error::new(
            Code::OutputExists,
            format!(
                "the output {} of {} conflicts with that of {}",
                show_path(output),
                show_path(path),
                show_path(&other)
            ),
        );
        TaskKind::Report(
            error
                .with_path(path)
                .with_hint("rename one of them, or skip it with --exclude"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_inputs_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("in/deep")).unwrap();
        fs::create_dir(at("other")).unwrap();
        std::os::unix::fs::symlink("in", at("link")).unwrap();
        for (output, input, expected) in [
            ("out", "in", None),
            ("other", "in", None),
            ("in2/x", "in", None),
            ("in", "in", Some(Code::OutputIsInput)),
            ("link", "in", Some(Code::OutputIsInput)),
            ("in/new/out", "in", Some(Code::OutputInInput)),
            ("link/new", "in", Some(Code::OutputInInput)),
            ("in", "in/deep", Some(Code::OutputIsInput)),
            ("link", "in/deep/a.tar", Some(Code::OutputIsInput)),
        ] {
            let place = OutputPlace::of(Some(&at(output)));
            let found = place.check(&at(input)).err().map(|error| error.code());
            assert_eq!(found, expected, "{output} {input}");
        }
        assert!(OutputPlace::of(None).check(&at("in")).is_ok());
    }
}
