//! One task of a batch, from its input to its output.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ocify::{
    Code, Directory, Error, Form, IdleThreads, Input, Notice, Observer, Output, Progress, Result,
    Stage, command::HeldPath, command::InputPath, command::IoContext, command::batch::digests,
    command::holds_image_entry, command::show_path,
};
use rustix::io::Errno;
use serde_json::Value;

use super::fingerprint::Fingerprint;
use super::others::{copy_file, copy_link};
use super::output::{Existing, OutputDir};
use super::queue::{Task, TaskKind};
use super::state::{OutputState, State};
use super::tally::Ended;
use crate::args::Fix;
use crate::destination::ImageKind;
use crate::fix::{self, Done};
use crate::notices::{self, restoring};
use crate::progress::Running;

/// Where a batch puts its outputs, and what it knows of earlier ones.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) output_dir: OutputDir,
    pub(crate) state: State,
}

/// What every worker needs.
pub(crate) struct Worker<'a> {
    args: &'a Fix,
    fix: ocify::Fix,
    /// None in place and on a dry run.
    outputs: Option<&'a Outputs>,
    staging_dir: PathBuf,
    /// The directory of the last input that was found below one.
    last_directory: Mutex<Option<Directory>>,
    idle_threads: &'a IdleThreads,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        number: usize,
        args: &'a Fix,
        outputs: Option<&'a Outputs>,
        idle_threads: &'a IdleThreads,
    ) -> Result<Self> {
        let staging_dir = match outputs {
            Some(outputs) => outputs.output_dir.staging_dir(number)?,
            None => PathBuf::new(),
        };
        // Each task has one thread, and those that are idle. A source is examined again once it was
        // restored, so that is done here.
        let fix = fix::options(args).jobs(NonZeroUsize::MIN);
        Ok(Worker {
            args,
            fix: fix.recover(outputs.is_none()),
            outputs,
            staging_dir,
            last_directory: Mutex::default(),
            idle_threads,
        })
    }

    /// Does the task.
    pub(crate) fn work(&self, task: &mut Task, running: &Running<'_>) -> Ended {
        let kind = std::mem::replace(&mut task.kind, TaskKind::Layout);
        let result = match kind {
            TaskKind::Report(error) => return Ended::Failed(error),
            TaskKind::Skip(error) => return Ended::Skipped(error),
            TaskKind::Archive { is_named } => match self.fix(task, false, running) {
                Err(error) if !is_named && self.is_other_archive(&error, task) => {
                    Ok(Ended::Skipped(error))
                }
                other => other,
            },
            TaskKind::Layout => self.fix(task, true, running),
            TaskKind::Copy(source) => self.copy(task, source, copy_file),
            TaskKind::Link => self.copy(task, Fingerprint::default(), copy_link),
        };
        match result {
            Err(_) if running.is_stopped() => Ended::Unfinished,
            other => other.unwrap_or_else(Ended::Failed),
        }
    }

    /// The input of a task. If it was found below a directory, its own directory is held open, and nothing leads out of
    /// the one that was walked.
    fn input(&self, task: &Task) -> Result<InputPath> {
        let path = &task.path;
        let (Some(root), Some(parent)) = (&task.root, path.parent()) else {
            return Ok(InputPath::Named(path.clone()));
        };
        let mut last = self
            .last_directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = last.take().filter(|directory| directory.path() == parent);
        let directory = match known {
            Some(directory) => directory,
            None => {
                let below = parent.strip_prefix(root.path()).unwrap_or(Path::new(""));
                let opened = root.below(below);
                opened.map_err(|error| replaced(parent, error))?
            }
        };
        *last = Some(directory.clone());
        let name = path.file_name().unwrap_or_default();
        let place = HeldPath::new(&directory, name).context("open", path)?;
        Ok(InputPath::Held(place))
    }

    fn look(&self, input: &InputPath) -> Result<Fingerprint> {
        let found = Fingerprint::of_input(input, self.args.links());
        found.map_err(|error| Error::io("look up", &input.path(), error))
    }

    fn refuse_changed(&self, input: &InputPath, source: Fingerprint) -> Result<()> {
        if self.look(input)? == source {
            return Ok(());
        }
        Err(changed(&input.path()))
    }

    /// Whether an archive that was found, and not named, contains something other than an image: what makes
    /// an image unreadable may be valid there.
    fn is_other_archive(&self, error: &Error, task: &Task) -> bool {
        let may_be = matches!(
            error.code(),
            Code::NotAnImage
                | Code::TruncatedArchive
                | Code::InvalidArchive
                | Code::InvalidDocument
                | Code::DuplicateEntry
                | Code::TrailingArchive
                | Code::CompressionRatio
                | Code::SparseEntry
                | Code::LinkEntry
                | Code::DocumentTooLarge
                | Code::DocumentTooDeep
        );
        // A link that replaced an archive is neither.
        let input = self.input(task).ok().filter(|_| may_be);
        let is_file = |input: &InputPath| input.look_up().is_ok_and(|found| found.kind.is_file());
        input.is_some_and(|input| is_file(&input) && !holds_image_entry(&input))
    }

    fn fix(&self, task: &Task, is_layout: bool, running: &Running<'_>) -> Result<Ended> {
        match self.outputs {
            // The source is examined again once it is restored.
            Some(outputs) => restoring(&task.path, || {
                self.fix_to(outputs, task, is_layout, running)
            }),
            None => self.fix_alone(task, is_layout, running),
        }
    }

    /// In place, or a dry run.
    fn fix_alone(&self, task: &Task, is_layout: bool, running: &Running<'_>) -> Result<Ended> {
        let watcher = self.watcher(running);
        let input = Input::at(self.input(task)?);
        if !self.args.dry_run {
            let fixed = (self.fix).run_observed(input, Output::in_place(), &watcher)?;
            let place = (task.path.clone(), 0);
            return Ok(Ended::Done(Box::new(fixed.into()), Some(place)));
        }
        // What would be written depends on where it would go.
        let kind = self.output_kind(is_layout);
        let form = match self.args.output() {
            Some(output) => kind.output(&output.join(&task.output)).form(),
            None if self.args.in_place => Form::Patch,
            None => kind.form(),
        };
        let preview = self.fix.plan_only_observed(input, form, &watcher)?;
        Ok(Ended::Done(Box::new(preview.into()), None))
    }

    /// What the output of an input is.
    fn output_kind(&self, is_layout: bool) -> ImageKind {
        let from = match is_layout {
            true => ImageKind::Layout,
            false => ImageKind::Archive,
        };
        self.args.output_kind().unwrap_or(from)
    }

    fn watcher<'w>(&'w self, running: &'w Running<'w>) -> Watcher<'w> {
        Watcher {
            worker: self,
            running,
            confirm: None,
        }
    }

    fn fix_to(
        &self,
        outputs: &Outputs,
        task: &Task,
        is_layout: bool,
        running: &Running<'_>,
    ) -> Result<Ended> {
        let relative = task.output.clone();
        let kind = self.output_kind(is_layout);
        let input = self.input(task)?;
        let source = self.look(&input)?;
        let place = outputs.output_dir.place(&relative);
        let existing = match self.output_state(outputs, task, source, &place) {
            Ok(note) => return Ok(Ended::Kept(place, note)),
            Err(existing) => existing,
        };
        let is_archive = kind == ImageKind::Archive;
        if is_archive && existing == Existing::Absent && outputs.output_dir.is_open(&place) {
            let unchanged = || self.refuse_changed(&input, source);
            let watcher = Watcher {
                confirm: Some(&unchanged),
                ..self.watcher(running)
            };
            let input = Input::at(input.clone());
            let done: Done = (self.fix)
                .run_observed(input, kind.output(&place), &watcher)?
                .into();
            let len = finish(outputs, task, source, &place, &digests(&done.plan))?;
            return Ok(Ended::Done(Box::new(done), Some((place, len))));
        }
        let made = Made {
            source,
            path: self
                .staging_dir
                .join(relative.file_name().unwrap_or_default()),
            relative,
            existing,
        };
        let output = kind.output(&made.path);
        let done: Done = (self.fix)
            .run_observed(Input::at(input.clone()), output, &self.watcher(running))?
            .into();
        let len = self.publish(outputs, task, &input, &made, &digests(&done.plan))?;
        Ok(Ended::Done(Box::new(done), Some((place, len))))
    }

    fn copy(
        &self,
        task: &Task,
        source: Fingerprint,
        copy: impl Fn(&InputPath, &HeldPath) -> Result<()>,
    ) -> Result<Ended> {
        let Some(outputs) = self.outputs else {
            return Ok(Ended::Copied(0));
        };
        let relative = task.relative.clone();
        let place = outputs.output_dir.place(&relative);
        let existing = match self.output_state(outputs, task, source, &place) {
            Ok(_) => return Ok(Ended::Copied(0)),
            Err(existing) => existing,
        };
        let path = self
            .staging_dir
            .join(relative.file_name().unwrap_or_default());
        let input = self.input(task)?;
        copy(&input, &HeldPath::of(&path).context("create", &path)?)?;
        if source == Fingerprint::default() {
            // A link has nothing that could be remembered.
            let published = outputs
                .output_dir
                .publish(&path, &relative, existing, self.args.sync);
            published.inspect_err(|_| remove(&path))?;
            return Ok(Ended::Copied(0));
        }
        let made = Made {
            source,
            path,
            relative,
            existing,
        };
        let len = self.publish(outputs, task, &input, &made, &Value::Null)?;
        Ok(Ended::Copied(len))
    }

    /// What was noted about a finished output, or what may happen to the one that is there.
    fn output_state(
        &self,
        outputs: &Outputs,
        task: &Task,
        source: Fingerprint,
        place: &Path,
    ) -> std::result::Result<Value, Existing> {
        if self.args.force {
            return Err(match fs::symlink_metadata(place) {
                Ok(_) => Existing::ReplaceSynced,
                Err(_) => Existing::Absent,
            });
        }
        match outputs.state.output_state(&task.relative, source, place) {
            OutputState::Finished(note) => Ok(note),
            OutputState::Outdated => Err(Existing::Replace),
            OutputState::Absent => Err(Existing::Absent),
            OutputState::Foreign => Err(Existing::Compare),
        }
    }

    /// Renames an output into place, unless its source changed in the meantime; returns its length.
    fn publish(
        &self,
        outputs: &Outputs,
        task: &Task,
        input: &InputPath,
        made: &Made,
        note: &Value,
    ) -> Result<u64> {
        let unchanged = self.refuse_changed(input, made.source);
        unchanged.inspect_err(|_| remove(&made.path))?;
        let output_dir = &outputs.output_dir;
        let syncs = self.args.sync;
        let published = output_dir.publish(&made.path, &made.relative, made.existing, syncs);
        published.inspect_err(|_| remove(&made.path))?;
        let place = output_dir.place(&made.relative);
        finish(outputs, task, made.source, &place, note)
    }
}

/// Watches the fix of one task.
struct Watcher<'a> {
    worker: &'a Worker<'a>,
    running: &'a Running<'a>,
    /// Called before an archive is renamed into place.
    confirm: Option<&'a (dyn Fn() -> Result<()> + Sync)>,
}

impl Observer for Watcher<'_> {
    fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(self.running.stage(stage.name()))
    }

    fn notice(&self, notice: &Notice<'_>) {
        notices::show(notice, self.worker.args);
    }

    fn confirm(&self) -> Result<()> {
        self.confirm.map_or(Ok(()), |confirm| confirm())
    }

    fn idle_threads(&self) -> Option<&IdleThreads> {
        Some(self.worker.idle_threads)
    }
}

/// Records that an output is in place; returns its length.
fn finish(
    outputs: &Outputs,
    task: &Task,
    source: Fingerprint,
    place: &Path,
    note: &Value,
) -> Result<u64> {
    let output = look(place)?;
    let state = &outputs.state;
    state.finish(&task.relative, source, output, note)?;
    Ok(output.len)
}

fn changed(path: &Path) -> Error {
    Error::new(
        Code::SourceChanged,
        format!("{} changed while it was being read", show_path(path)),
    )
    .with_path(path)
    .with_hint("run again when nothing else writes to it")
}

/// The error for the directory of an input, which may have been replaced by a link since it was listed.
fn replaced(directory: &Path, error: io::Error) -> Error {
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::NOTDIR) => changed(directory),
        _ => Error::io("open", directory, error),
    }
}

/// An output that is complete but not in place yet.
struct Made {
    source: Fingerprint,
    path: PathBuf,
    relative: PathBuf,
    existing: Existing,
}

fn look(path: &Path) -> Result<Fingerprint> {
    Fingerprint::of(path).map_err(|error| Error::io("look up", path, error))
}

/// What is left here is also removed at the end of the run.
fn remove(made: &Path) {
    let _ = if made.is_dir() {
        fs::remove_dir_all(made)
    } else {
        fs::remove_file(made)
    };
}
