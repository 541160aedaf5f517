//! One task of a batch, from its input to its output.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ocify::{
    Code, Error, Form, Hint, IdleThreads, Input, Notice, Observer, Output, Progress, Result, Stage,
    command::batch::digests, command::holds_image_entry, command::show_path,
};
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
use crate::panics::caught;
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
            idle_threads,
        })
    }

    /// Does the task. A panic is its failure.
    pub(crate) fn work(&self, task: &mut Task, running: &Running<'_>) -> Ended {
        let path = task.path.clone();
        let ended = caught(Some(&path), || Ok(self.attempt(task, running)));
        ended.unwrap_or_else(|error| {
            // What it had made, if it is not in place.
            if self.outputs.is_some() {
                remove(&self.made_path(&task.output));
                remove(&self.made_path(&task.relative));
            }
            Ended::Failed(error)
        })
    }

    fn attempt(&self, task: &mut Task, running: &Running<'_>) -> Ended {
        #[cfg(test)]
        if task.path.ends_with("panics.tar") {
            tests::panic_half_way(self, task);
        }
        let kind = std::mem::replace(&mut task.kind, TaskKind::Layout);
        let result = match kind {
            TaskKind::Report(error) => return Ended::Failed(error),
            TaskKind::Archive { is_named } => match self.fix(task, false, running) {
                Err(error) if !is_named && is_other_archive(&error, &task.path) => {
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
        let input = Input::path(&task.path);
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
        let source = look(&task.path)?;
        let place = outputs.output_dir.place(&relative);
        let existing = match self.output_state(outputs, task, source, &place) {
            Ok(note) => return Ok(Ended::Kept(place, note)),
            Err(existing) => existing,
        };
        let is_archive = kind == ImageKind::Archive;
        if is_archive && existing == Existing::Absent && outputs.output_dir.is_open(&place) {
            let unchanged = || refuse_changed(task, source);
            let watcher = Watcher {
                confirm: Some(&unchanged),
                ..self.watcher(running)
            };
            let input = Input::path(&task.path);
            let done: Done = (self.fix)
                .run_observed(input, kind.output(&place), &watcher)?
                .into();
            let len = finish(outputs, task, source, &place, &digests(&done.plan))?;
            return Ok(Ended::Done(Box::new(done), Some((place, len))));
        }
        let made = Made {
            source,
            path: self.made_path(&relative),
            relative,
            existing,
        };
        let (input, output) = (Input::path(&task.path), kind.output(&made.path));
        let done: Done = (self.fix)
            .run_observed(input, output, &self.watcher(running))?
            .into();
        let len = self.publish(outputs, task, &made, &digests(&done.plan))?;
        Ok(Ended::Done(Box::new(done), Some((place, len))))
    }

    fn copy(
        &self,
        task: &Task,
        source: Fingerprint,
        copy: impl Fn(&Path, &Path) -> Result<()>,
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
        let path = self.made_path(&relative);
        copy(&task.path, &path)?;
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
        let len = self.publish(outputs, task, &made, &Value::Null)?;
        Ok(Ended::Copied(len))
    }

    /// The path of an output in the staging directory.
    fn made_path(&self, relative: &Path) -> PathBuf {
        let name = relative.file_name().unwrap_or_default();
        self.staging_dir.join(name)
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
    fn publish(&self, outputs: &Outputs, task: &Task, made: &Made, note: &Value) -> Result<u64> {
        refuse_changed(task, made.source).inspect_err(|_| remove(&made.path))?;
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
    let noted = state.finish(&task.relative, source, output, note);
    noted.map_err(|error| error.with_hint(Hint::OutputComplete))?;
    Ok(output.len)
}

fn refuse_changed(task: &Task, source: Fingerprint) -> Result<()> {
    if look(&task.path)? == source {
        return Ok(());
    }
    Err(Error::new(
        Code::SourceChanged,
        format!("{} changed while it was being read", show_path(&task.path)),
    )
    .with_path(&task.path)
    .with_hint("run again when nothing else writes to it"))
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

/// Whether an archive that was found, and not named, contains something other than an image: what makes
/// an image unreadable may be valid there.
fn is_other_archive(error: &Error, path: &Path) -> bool {
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
    may_be && !holds_image_entry(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ocify::{Code, command::batch::Summary};

    use super::*;
    use crate::args::{Cli, Command};
    use crate::batch;
    use crate::panics::listen;

    /// Leaves a file as an output that was not finished.
    pub(super) fn panic_half_way(worker: &Worker<'_>, task: &Task) {
        if worker.outputs.is_some() {
            fs::write(worker.made_path(&task.output), "half").unwrap();
        }
        panic!("half-way");
    }

    fn names_in(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn run(line: &[&str]) -> Summary {
        listen();
        let Command::Fix(args) = Cli::try_parse_from(line).unwrap().command;
        let end = batch::run(&args, None);
        assert!(end.trouble.is_none(), "{:?}", end.trouble);
        end.summary
    }

    #[test]
    fn a_panic_is_the_failure_of_its_input_alone() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let archive = fs::read(fixtures.join("buildkit-docker-gzip-ocifalse.tar")).unwrap();
        for jobs in ["1", "3"] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
            fs::create_dir(at("in")).unwrap();
            for name in ["a.tar", "m.tar", "panics.tar", "z.tar"] {
                fs::write(dir.path().join("in").join(name), &archive).unwrap();
            }
            let (input, output, report) = (at("in"), at("out"), at("report"));
            let line = ["ocify", "fix", &input, "--jobs", jobs, "--report", &report];
            let summary = run(&[&line[..], &["-o", &output]].concat());
            assert_eq!((summary.fixed, summary.failed), (3, 1));
            assert_eq!(
                names_in(Path::new(&output)),
                [".ocify-state", "a.tar", "m.tar", "z.tar"]
            );
            let text = fs::read_to_string(&report).unwrap();
            let failed = text
                .lines()
                .find(|line| line.contains("panics.tar"))
                .unwrap();
            let failed: Value = serde_json::from_str(failed).unwrap();
            assert_eq!(failed["error"]["code"], Code::Internal.name());
            let message = failed["error"]["message"].as_str().unwrap();
            assert!(
                message.contains("half-way (src/bin/ocify/batch/work.rs:"),
                "{message}"
            );

            let summary = run(&[&line[..], &["--in-place"]].concat());
            assert_eq!((summary.fixed, summary.failed), (3, 1));
            assert_eq!(names_in(Path::new(&input)).len(), 4);
            assert_eq!(fs::read(at("in/panics.tar")).unwrap(), archive);
        }
    }
}
