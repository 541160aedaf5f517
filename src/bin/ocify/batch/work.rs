//! One task of a batch, from its input to its output.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ocify::{
    Directory, Form, IdleThreads, Input, Output, Result, command::HeldPath, command::InputPath,
    command::IoContext, command::batch, command::refuse_irreplaceable,
};
use rustix::fs::FileType;
use serde_json::Value;

use super::check::{content_of, verified};
use super::commit::Staged;
use super::fingerprint::Fingerprint;
use super::others::{copy_file, copy_link};
use super::output::{Existing, same};
use super::outputs::{Outputs, To};
use super::preview::refuse;
use super::queue::{Task, TaskKind};
use super::source::Sources;
use super::state::Recorded;
use super::tally::{Ended, Kept};
use super::watcher::Watcher;
use crate::args::Fix;
use crate::destination::ImageKind;
use crate::fix::{self, Done};
use crate::notices::restoring;
use crate::panics::caught;
use crate::progress::Running;
use crate::words::Words;

/// What became of a task.
pub(crate) enum Worked {
    /// It has ended.
    Ended(Ended),
    /// Its output is complete, and has to be named and recorded.
    Staged(Box<Staged>),
}

/// What every worker needs.
pub(crate) struct Worker<'a> {
    args: &'a Fix,
    fix: ocify::Fix,
    to: To<'a>,
    /// None without outputs.
    staging_dir: Option<Directory>,
    sources: Sources,
    idle_threads: &'a IdleThreads,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        number: usize,
        args: &'a Fix,
        to: To<'a>,
        idle_threads: &'a IdleThreads,
    ) -> Result<Self> {
        let outputs = to.outputs;
        let staging_dir = match outputs {
            Some(outputs) => Some(outputs.output_dir.staging_dir(number)?),
            None => None,
        };
        // Each task has one thread, and those that are idle. A source is examined again once it was
        // restored, so that is done here.
        let fix = fix::options(args).jobs(NonZeroUsize::MIN);
        // Outputs are synced in groups.
        let fix = fix.sync(args.sync && outputs.is_none());
        Ok(Worker {
            args,
            fix: fix.recover(outputs.is_none()),
            to,
            staging_dir,
            sources: Sources::new(args.links()),
            idle_threads,
        })
    }

    /// Does the task. A panic is its failure.
    pub(crate) fn work(&self, task: &mut Task, running: &Running<'_>) -> Worked {
        let path = task.path.clone();
        let worked = caught(Some(&path), || Ok(self.attempt(task, running)));
        worked.unwrap_or_else(|error| {
            if let Ok((_, staged)) = self.staging_path(task) {
                // What is left here is also removed at the end of the run.
                let _ = staged.remove();
            }
            Worked::Ended(Ended::Failed(error))
        })
    }

    fn attempt(&self, task: &mut Task, running: &Running<'_>) -> Worked {
        #[cfg(test)]
        if task.path.ends_with("panics.tar") {
            tests::panic_half_way(self, task);
        }
        let kind = std::mem::replace(&mut task.kind, TaskKind::Layout);
        let result = match kind {
            TaskKind::Report(error) => return Worked::Ended(Ended::Failed(error)),
            TaskKind::Skip(error) => return Worked::Ended(Ended::Skipped(error)),
            TaskKind::Archive { is_named } => match self.fix(task, false, running) {
                Err(error) if !is_named && self.sources.is_other_archive(&error, task) => {
                    Ok(Worked::Ended(Ended::Skipped(error)))
                }
                other => other,
            },
            TaskKind::Layout => self.fix(task, true, running),
            TaskKind::Copy(source) => self.copy(task, Some(source)),
            TaskKind::Link => self.copy(task, None),
        };
        match result {
            Err(_) if running.is_stopped() => Worked::Ended(Ended::Unfinished),
            other => other.unwrap_or_else(|error| Worked::Ended(Ended::Failed(error))),
        }
    }

    fn fix(&self, task: &Task, is_layout: bool, running: &Running<'_>) -> Result<Worked> {
        match self.to.outputs {
            // The source is examined again once it is restored.
            Some(outputs) => restoring(&self.sources.input(task)?, || {
                self.fix_to(outputs, task, is_layout, running)
            }),
            None => self.fix_alone(task, is_layout, running).map(Worked::Ended),
        }
    }

    /// In place, or a dry run.
    fn fix_alone(&self, task: &Task, is_layout: bool, running: &Running<'_>) -> Result<Ended> {
        if self.args.dry_run {
            return self.preview(task, is_layout, running);
        }
        let watcher = self.watcher(running);
        let input = Input::at(self.sources.input(task)?);
        let fixed = (self.fix).run_observed(input, Output::in_place(), &watcher)?;
        let place = (task.path.clone(), 0);
        Ok(Ended::Done(Box::new(fixed.into()), Some(place)))
    }

    /// A dry run.
    fn preview(&self, task: &Task, is_layout: bool, running: &Running<'_>) -> Result<Ended> {
        let kind = self.output_kind(is_layout);
        let input = self.sources.input(task)?;
        let (mut place, mut existing) = (None, Existing::Absent);
        if let Some(planned) = self.to.planned {
            let source = self.sources.look(&input)?;
            place = planned.places.place(&task.output)?;
            let at = place.as_ref();
            existing = match Existing::of(&planned.known, self.args.force, task, Some(source), at) {
                Ok(recorded) => {
                    let path = planned.places.path(&task.output);
                    match self.kept(kind, path, at, recorded, running)? {
                        Some(kept) => return Ok(Ended::Kept(kept)),
                        None => Existing::Replace,
                    }
                }
                Err(existing) => existing,
            };
        }
        // What would be written depends on its name, which is the same in every output directory.
        let form = match self.args.in_place {
            true => Form::Patch,
            false => kind.output(&task.output).form(),
        };
        let watcher = self.watcher(running);
        let preview = Input::at(input.clone());
        let preview = self.fix.plan_only_observed(preview, form, &watcher)?;
        let done = Done::from(preview);
        refuse(existing, place.as_ref(), kind.file_type(), |place| {
            done.plan.changes.is_empty() && is_same(&input, Some(place))
        })?;
        Ok(Ended::Done(Box::new(done), None))
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
            args: self.args,
            idle_threads: self.idle_threads,
            running,
        }
    }

    fn fix_to(
        &self,
        outputs: &Outputs,
        task: &Task,
        is_layout: bool,
        running: &Running<'_>,
    ) -> Result<Worked> {
        let relative = task.output.clone();
        let kind = self.output_kind(is_layout);
        let input = self.sources.input(task)?;
        let source = self.sources.look(&input)?;
        let path = outputs.output_dir.places().path(&relative);
        let place = outputs.output_dir.places().place(&relative)?;
        let known = outputs.state.known();
        let force = self.args.force;
        let existing = match Existing::of(known, force, task, Some(source), place.as_ref()) {
            Ok(recorded) => {
                match self.kept(kind, path.clone(), place.as_ref(), recorded, running)? {
                    Some(kept) => {
                        outputs.has_name(&relative);
                        return Ok(Worked::Ended(Ended::Kept(kept)));
                    }
                    None => Existing::Replace,
                }
            }
            Err(existing) => existing,
        };
        if let (Existing::Force, Some(place)) = (existing, &place) {
            refuse_irreplaceable(place, kind.file_type())?;
        }
        let (staging_dir, staged) = self.staging_path(task)?;
        let output = match kind.output(&path).form() {
            Form::Archive(form) => Output::archive(staged.name()).compression(form),
            _ => kind.output(Path::new(staged.name())),
        };
        let output = output.beneath(staging_dir);
        let done: Done = (self.fix)
            .run_observed(Input::at(input.clone()), output, &self.watcher(running))?
            .into();
        let staged = Staged {
            path: staged,
            relative,
            existing,
            source,
            content: content_of(&done.plan),
            note: batch::record(&done.plan, &Words::FIX),
            done: Some(Box::new(done)),
        };
        self.unchanged(&input, staged)
    }

    /// An output that is complete, unless its source changed in the meantime.
    fn unchanged(&self, input: &InputPath, staged: Staged) -> Result<Worked> {
        let unchanged = self.sources.refuse_changed(input, staged.source);
        // What is left here is also removed at the end of the run.
        unchanged.inspect_err(|_| drop(staged.path.remove()))?;
        Ok(Worked::Staged(Box::new(staged)))
    }

    /// Where a worker writes an output until it has its name, and the directory that this is in.
    fn staging_path(&self, task: &Task) -> Result<(&Directory, HeldPath)> {
        let name = task.number.to_string();
        let directory = self.staging_dir.as_ref();
        let directory = directory.ok_or(io::Error::from(io::ErrorKind::NotFound));
        let directory = directory.context("create", &name)?;
        let path = HeldPath::new(directory, name.as_ref());
        Ok((directory, path.context("create", name)?))
    }

    /// Copies a file, or without a fingerprint a symbolic link, which has nothing that could be recorded.
    fn copy(&self, task: &Task, source: Option<Fingerprint>) -> Result<Worked> {
        let Some(outputs) = self.to.outputs else {
            return self.copy_previewed(task, source).map(Worked::Ended);
        };
        let relative = task.relative.clone();
        let input = self.sources.input(task)?;
        let place = outputs.output_dir.places().place(&relative)?;
        let (known, force) = (outputs.state.known(), self.args.force);
        let existing = match Existing::of(known, force, task, source, place.as_ref()) {
            Ok(_) if self.args.verify.is_none() || is_same(&input, place.as_ref()) => {
                outputs.has_name(&relative);
                return Ok(Worked::Ended(Ended::Copied(0)));
            }
            Ok(_) => Existing::Replace,
            Err(existing) => existing,
        };
        let (_, path) = self.staging_path(task)?;
        let Some(source) = source else {
            copy_link(&input, &path)?;
            // It has no data that would have to be on disk before its name is.
            let published = outputs.output_dir.publish(&path, &relative, existing);
            published.inspect_err(|_| drop(path.remove()))?;
            outputs.has_name(&relative);
            return Ok(Worked::Ended(Ended::Copied(0)));
        };
        copy_file(&input, &path)?;
        let staged = Staged {
            path,
            relative,
            existing,
            source,
            content: None,
            note: Value::Null,
            done: None,
        };
        self.unchanged(&input, staged)
    }

    /// A dry run of a copy.
    fn copy_previewed(&self, task: &Task, source: Option<Fingerprint>) -> Result<Ended> {
        if let Some(planned) = self.to.planned {
            let input = self.sources.input(task)?;
            let place = planned.places.place(&task.relative)?;
            let at = place.as_ref();
            if let Err(existing) = Existing::of(&planned.known, self.args.force, task, source, at) {
                let kind = match source {
                    Some(_) => FileType::RegularFile,
                    None => FileType::Symlink,
                };
                refuse(existing, at, kind, |place| is_same(&input, Some(place)))?;
            }
        }
        Ok(Ended::Copied(0))
    }

    /// A finished output, if it is what its record says, as far as that is to be verified.
    fn kept(
        &self,
        kind: ImageKind,
        output: PathBuf,
        place: Option<&HeldPath>,
        recorded: Recorded,
        running: &Running<'_>,
    ) -> Result<Option<Kept>> {
        let verified = match (self.args.verify, place) {
            (Some(level), Some(place)) => {
                let watcher = self.watcher(running);
                let blobs = verified(self.args, level, kind, place, &recorded, &watcher)?;
                let Some(blobs) = blobs else {
                    return Ok(None);
                };
                Some((level, blobs))
            }
            _ => None,
        };
        Ok(Some(Kept {
            output,
            record: recorded.note,
            verified,
        }))
    }
}

/// Whether a copy still has the bytes of its source.
fn is_same(source: &InputPath, copy: Option<&HeldPath>) -> bool {
    let source = match source {
        InputPath::Held(place) => Some(place.clone()),
        InputPath::Named(path) => HeldPath::of(path).ok(),
    };
    let both = source.as_ref().zip(copy);
    both.is_some_and(|(source, copy)| same(source, copy).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use ocify::{Code, command::batch::Summary};

    use super::*;
    use crate::args::{Cli, Command};
    use crate::batch;
    use crate::batch::output::tests::names_in;
    use crate::panics::listen;

    /// Leaves a file as an output that was not finished.
    pub(super) fn panic_half_way(worker: &Worker<'_>, task: &Task) {
        if worker.to.outputs.is_some() {
            let (_, path) = worker.staging_path(task).unwrap();
            fs::write(path.path(), "half").unwrap();
        }
        panic!("half-way");
    }

    fn run(line: &[&str]) -> Summary {
        listen();
        let Command::Fix(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
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
