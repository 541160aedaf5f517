//! Gives finished outputs their names, in groups.
//!
//! When the data of a group is on disk, its outputs are renamed into place, and only then are they recorded. So after
//! a power failure, every output that has its name is complete, and so is every output that is recorded. To sync many
//! small outputs at once takes little longer than to sync one of them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ocify::{
    Error, Hint, Result, command::HeldPath, command::InputPath, command::IoContext, command::Links,
};
use serde_json::Value;

use super::fingerprint::Fingerprint;
use super::output::{Existing, OutputDir, Published};
use super::outputs::Outputs;
use super::queue::Task;
use super::state::Finished;
use super::tally::Ended;
use crate::fix::Done;
use crate::panics::caught;

/// When so many outputs wait, they are synced without waiting for others.
const ENOUGH: usize = 500;
/// How many outputs are synced at once, at most. So many can gather while others are being synced; then a worker syncs
/// them.
const MAX_GROUP: usize = 4 * ENOUGH;
/// How long an output waits for others to be synced with.
const DELAY: Duration = Duration::from_millis(500);

/// An output that is complete, in the staging directory.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) path: HeldPath,
    /// Its path below the output directory.
    pub(crate) relative: PathBuf,
    pub(crate) existing: Existing,
    /// What it was written from.
    pub(crate) source: Fingerprint,
    /// A digest of what it contains, in hexadecimal.
    pub(crate) content: Option<String>,
    /// What is recorded about it.
    pub(crate) note: Value,
    /// What was done; nothing if a file was copied.
    pub(crate) done: Option<Box<Done>>,
}

/// What is reported about tasks when they have ended.
pub(crate) type Report<'a> = &'a (dyn Fn(&Task, Ended, f64) + Sync);

/// One output, and the task that it is of, with the seconds that it took.
struct Commit {
    task: Task,
    staged: Staged,
    seconds: f64,
}

/// An output that has its name.
struct Named {
    commit: Commit,
    published: Published,
    place: HeldPath,
    output: Fingerprint,
}

#[derive(Default)]
struct Waiting {
    commits: Vec<Commit>,
    /// When the first of them was added.
    since: Option<Instant>,
    is_complete: bool,
}

/// The outputs that wait for their names.
pub(crate) struct Commits<'a> {
    outputs: Option<&'a Outputs>,
    /// Whether names have to be on disk, too.
    syncs_names: bool,
    report: Report<'a>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl<'a> Commits<'a> {
    pub(crate) fn new(outputs: Option<&'a Outputs>, syncs_names: bool, report: Report<'a>) -> Self {
        Commits {
            outputs,
            syncs_names,
            report,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an output. If too many wait, it returns when a group of them has been dealt with.
    pub(crate) fn add(&self, task: Task, staged: Staged, seconds: f64) {
        let mut waiting = self.lock();
        waiting.commits.push(Commit {
            task,
            staged,
            seconds,
        });
        waiting.since.get_or_insert_with(Instant::now);
        let group = match waiting.commits.len() {
            MAX_GROUP.. => waiting.take(),
            1 | ENOUGH => {
                self.changed.notify_one();
                Vec::new()
            }
            _ => Vec::new(),
        };
        drop(waiting);
        self.commit(group);
    }

    /// Does work that adds outputs, which another thread deals with. Returns when all have been dealt with.
    ///
    /// # Errors
    /// That of the work; [`Code::Internal`](ocify::Code::Internal) after a panic.
    pub(crate) fn during(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let run = || {
            self.run();
            Ok(())
        };
        thread::scope(|scope| {
            // Without this thread, the workers sync what waits, and the rest is synced at the end.
            let spawn = || thread::Builder::new().spawn_scoped(scope, || caught(None, run));
            let committer = self.outputs.and_then(|_| spawn().ok());
            let done = work();
            self.lock().is_complete = true;
            self.changed.notify_all();
            let rest = caught(None, run);
            let committed = committer.and_then(|committer| committer.join().ok());
            done.and(rest).and(committed.unwrap_or(Ok(())))
        })
    }

    /// Deals with outputs until there are none and no more will be added.
    fn run(&self) {
        let mut waiting = self.lock();
        loop {
            let waited = waiting.since.map(|since| since.elapsed());
            waiting = match waited {
                None if waiting.is_complete => return,
                None => {
                    let changed = self.changed.wait(waiting);
                    changed.unwrap_or_else(PoisonError::into_inner)
                }
                Some(waited)
                    if waited < DELAY && waiting.commits.len() < ENOUGH && !waiting.is_complete =>
                {
                    let changed = self.changed.wait_timeout(waiting, DELAY - waited);
                    changed.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    let group = waiting.take();
                    drop(waiting);
                    self.commit(group);
                    self.lock()
                }
            };
        }
    }

    fn commit(&self, group: Vec<Commit>) {
        let Some(outputs) = self.outputs.filter(|_| !group.is_empty()) else {
            return;
        };
        let paths: Vec<&HeldPath> = group.iter().map(|it| &it.staged.path).collect();
        let synced = outputs.output_dir.sync(&paths);
        let mut named = Vec::new();
        for (commit, synced) in group.into_iter().zip(synced) {
            match synced.and_then(|()| name(outputs, &commit.staged)) {
                Ok((published, place, output)) => named.push(Named {
                    commit,
                    published,
                    place,
                    output,
                }),
                Err(error) => {
                    // What is left here is also removed at the end of the run.
                    let _ = commit.staged.path.remove();
                    (self.report)(&commit.task, Ended::Failed(error), commit.seconds);
                }
            }
        }
        let recorded = self.sync_names(outputs, &named).and_then(|()| {
            let finished: Vec<Finished<'_>> = named.iter().map(Named::finished).collect();
            outputs.state.finish(&finished)
        });
        let message = recorded
            .err()
            .map(|error| (error.code(), error.message_with_causes()));
        for Named {
            commit,
            place,
            output,
            ..
        } in named
        {
            let len = output.len;
            let ended = match (&message, commit.staged.done) {
                (Some((code, message)), _) => Ended::Failed(
                    Error::new(*code, message.clone()).with_hint(Hint::OutputComplete),
                ),
                (None, Some(done)) => Ended::Done(done, Some((place.path(), len))),
                (None, None) => Ended::Copied(len),
            };
            (self.report)(&commit.task, ended, commit.seconds);
        }
    }

    /// A record of an output that replaced another one must not be on disk before its name is: the old output does not
    /// match it. What has a new name is written again if only the record remains.
    fn sync_names(&self, outputs: &Outputs, named: &[Named]) -> Result<()> {
        let mut directories = HashSet::new();
        for named in named {
            let all = OutputDir::directories(&named.commit.staged.relative);
            if self.syncs_names {
                directories.extend(all);
            } else if named.published == Published::Replaced {
                directories.extend(all.take(1));
            }
        }
        let mut directories = directories.into_iter();
        directories.try_for_each(|directory| outputs.output_dir.sync_directory(directory))
    }
}

impl Named {
    fn finished(&self) -> Finished<'_> {
        let Commit { task, staged, .. } = &self.commit;
        Finished {
            relative: &task.relative,
            source: staged.source,
            output: self.output,
            content: staged.content.as_deref(),
            note: &staged.note,
        }
    }
}

impl Waiting {
    /// Takes all, and lets the next begin to wait.
    fn take(&mut self) -> Vec<Commit> {
        self.since = None;
        std::mem::take(&mut self.commits)
    }
}

/// Renames an output into place, and looks it up.
fn name(outputs: &Outputs, staged: &Staged) -> Result<(Published, HeldPath, Fingerprint)> {
    let output_dir = &outputs.output_dir;
    let (published, place) = output_dir.publish(&staged.path, &staged.relative, staged.existing)?;
    let output = Fingerprint::of_input(&InputPath::Held(place.clone()), Links::Refuse);
    let output = output.context("look up", place.path())?;
    Ok((published, place, output))
}

#[cfg(test)]
mod tests {
    use ocify::command::batch::grouped;

    use super::*;
    use crate::batch::queue::TaskKind;

    #[test]
    fn groups_have_the_documented_sizes() {
        let place = HeldPath::of(&std::env::temp_dir().join("output")).unwrap();
        let report = |_: &Task, _: Ended, _: f64| {};
        // No thread takes what waits.
        let commits = Commits::new(None, false, &report);
        let mut most = 0;
        for number in 0..2 * MAX_GROUP as u64 {
            let task = Task {
                number,
                turn: 0,
                path: PathBuf::new(),
                relative: PathBuf::new(),
                output: PathBuf::new(),
                kind: TaskKind::Layout,
                len: 0,
                root: None,
            };
            let staged = Staged {
                path: place.clone(),
                relative: PathBuf::new(),
                existing: Existing::Absent,
                source: Fingerprint::default(),
                content: None,
                note: Value::Null,
                done: None,
            };
            commits.add(task, staged, 0.0);
            // So many are a group if they are taken now.
            most = most.max(commits.lock().commits.len());
        }
        assert_eq!(most + 1, MAX_GROUP);
        assert!(commits.lock().commits.is_empty(), "it was a group");
        let docs = include_str!("../../../../docs/batch.md").replace('\n', " ");
        for expected in [
            format!("when {ENOUGH} outputs are complete, half a second after the first one"),
            format!(
                "up to {} outputs can gather for the next",
                grouped(MAX_GROUP as u64)
            ),
        ] {
            assert!(docs.contains(&expected), "{expected}");
        }
        assert_eq!(DELAY, Duration::from_millis(500));
    }
}
