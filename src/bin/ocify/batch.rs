//! Many inputs in one run.

mod check;
mod checks;
mod claims;
mod commit;
mod emptiness;
mod fingerprint;
mod inputs;
mod inspects;
mod list;
mod options;
mod others;
mod output;
mod outputs;
mod places;
mod planned;
mod pool;
mod preview;
mod pushes;
mod queue;
mod reading;
mod session;
mod shard;
mod source;
mod state;
mod tally;
mod turns;
mod unsynced;
mod walk;
mod watcher;
mod work;

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ocify::{
    Error, Result, command::ArchiveSuffix, command::batch::Summary, command::batch::summary_json,
    command::may_be_image_layout, command::show_path,
};

pub(crate) use self::checks::check_all;
use self::claims::Claims;
use self::commit::Commits;
pub(crate) use self::emptiness::Found;
pub(crate) use self::fingerprint::Fingerprint;
use self::inputs::{Finder, Named, OutputPlace, Selection, Watch, named};
pub(crate) use self::inspects::inspect_all;
pub(crate) use self::list::listed_paths;
use self::outputs::{Outputs, To};
pub(crate) use self::planned::planned_source;
use self::pool::Pool;
use self::preview::PlannedOutputs;
pub(crate) use self::pushes::push_all;
use self::queue::{Queue, Task};
pub(crate) use self::shard::{Shard, ShardChoice};
use self::tally::{Ended, Tally, run_end};
pub(crate) use self::walk::{find_file, is_own};
use self::work::{Worked, Worker};
use crate::args::{CommandName, Fix, Format, is_standard};
use crate::destination::{is_directory, is_known, output_directory};
use crate::files::below_output;
use crate::interrupt::Interrupt;
use crate::progress::{Lines, Overview};
use crate::words::Words;

/// Whether there are many inputs, or may be: a directory that is not an image layout is searched.
pub(crate) fn is_batch(args: &Fix) -> bool {
    if args.many.files_from.is_some() {
        return true;
    }
    match args.inputs.as_slice() {
        [input] => input.is_dir() && !may_be_image_layout(input),
        _ => true,
    }
}

/// Says which option a batch does not support, for the user.
pub(crate) fn contradiction(args: &Fix) -> Option<String> {
    let refused = [
        (
            args.metadata_file.is_some(),
            "--metadata-file supports only a single input; use --report FILE for many",
        ),
        (
            args.recover,
            "--recover supports only a single input; with many, --in-place first restores each archive whose fix was interrupted",
        ),
        (
            !args.name.is_empty(),
            "--name supports only a single input; with many, all would get the same name",
        ),
        (
            args.is_for_stream(),
            "with many inputs, OUTPUT must be a directory, not standard output",
        ),
        (
            args.inputs.iter().any(|input| is_standard(input)),
            "standard input must be the only INPUT: it has no name for an output",
        ),
    ];
    let found = refused.iter().find(|(is_given, _)| *is_given);
    let found = found.map(|(_, what)| (*what).to_owned());
    found.or_else(|| output_contradiction(args)).or_else(|| {
        let follow = args.follow.then_some("--follow");
        let option = args.many.only_for_directories().or(follow)?;
        let may_search = args.many.files_from.is_some()
            || args
                .inputs
                .iter()
                .any(|input| input.is_dir() || !is_known(input));
        (!may_search).then(|| {
            format!("{option} has no effect: it applies to directories that ocify searches")
        })
    })
}

/// An OUTPUT that cannot be a directory for many outputs.
fn output_contradiction(args: &Fix) -> Option<String> {
    let output = args.output().filter(|output| !is_directory(output))?;
    let shown = show_path(output);
    if args.inputs.len() != 1 || args.many.files_from.is_some() {
        let what = match args.many.files_from {
            Some(_) => "--files-from requires",
            None => "several inputs require",
        };
        return Some(format!(
            "{what} an OUTPUT that is a directory: {shown} is not an existing one and does not end in /"
        ));
    }
    ArchiveSuffix::of(output.file_name().unwrap_or_default())?;
    Some(format!(
        "a directory of inputs requires an OUTPUT that is a directory: {shown} is named like an archive"
    ))
}

/// How a batch ended, besides what was reported.
pub(crate) struct End {
    pub(crate) summary: Summary,
    /// The exit code of a run that was stopped.
    pub(crate) stopped: Option<u8>,
    /// What went wrong apart from the inputs.
    pub(crate) trouble: Option<Error>,
}

/// What is known before anything is written.
struct Prepared {
    place: OutputPlace,
    named: Vec<Named>,
    selection: Selection,
}

/// Runs the batch.
pub(crate) fn run(args: &Fix, shard: Option<Shard>) -> End {
    let started = Instant::now();
    // Before anything is created that an immediate exit would leave behind.
    let interrupt = Interrupt::default();
    interrupt.listen();
    let lines = Lines::of(args, args.is_stdout_taken());
    let overview = Overview::new(args.progress(), args.jobs().get(), lines);
    let begun = prepare(args).and_then(|prepared| {
        let tally = Tally::new(args, shard, &overview, &interrupt)?;
        Ok((prepared, tally))
    });
    let stopped = |interrupt: &Interrupt| interrupt.is_asked().then(|| interrupt.exit_code());
    let (prepared, tally) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let summary = Summary {
                end: run_end(
                    started.elapsed().as_secs_f64(),
                    shard,
                    Some(&error),
                    &interrupt,
                    &Words::FIX,
                ),
                ..Summary::default()
            };
            if args.format == Format::Json {
                let mut json = Vec::new();
                // Writing to memory cannot fail.
                let _ = summary_json(&summary, &mut json);
                overview.print(&json);
                overview.flush();
            }
            return End {
                summary,
                stopped: stopped(&interrupt),
                trouble: Some(error),
            };
        }
    };
    let stop = Stop {
        interrupt,
        has_failed: AtomicBool::new(false),
    };
    let run = Run {
        args,
        shard,
        tally: &tally,
        stop: &stop,
        overview: &overview,
    };
    let done = run.write(prepared);
    let seconds = started.elapsed().as_secs_f64();
    let (summary, trouble) = tally.finish(seconds, &stop.interrupt, done.err());
    End {
        summary,
        stopped: stopped(&stop.interrupt),
        trouble,
    }
}

/// Everything that can be refused before the inputs are searched.
fn prepare(args: &Fix) -> Result<Prepared> {
    let place = OutputPlace::of(args.output());
    let named = named(args)?;
    for input in &named {
        place.check(&input.path)?;
    }
    Ok(Prepared {
        place,
        named,
        selection: Selection::new(args)?,
    })
}

/// What every part of a run needs.
#[derive(Clone, Copy)]
struct Run<'a> {
    args: &'a Fix,
    shard: Option<Shard>,
    tally: &'a Tally<'a>,
    stop: &'a Stop,
    overview: &'a Overview,
}

impl Run<'_> {
    /// Finds and does everything in the output directory, which is created for it.
    fn write(self, prepared: Prepared) -> Result<()> {
        let output = self.args.output();
        let created = match output {
            Some(output) if !self.args.dry_run => {
                output_directory(output, self.args.sync, CommandName::Fix)?
            }
            _ => None,
        };
        let result = self.write_below(output, prepared);
        // Another shard may be about to use it.
        if let Some(created) = created.filter(|_| self.shard.is_none()) {
            created.remove_if_empty();
        }
        result
    }

    fn write_below(self, output: Option<&Path>, prepared: Prepared) -> Result<()> {
        let Run { args, shard, .. } = self;
        let mut planned = None;
        let outputs = match output {
            Some(output) if args.dry_run => {
                planned = PlannedOutputs::open(output, args, shard)?;
                None
            }
            Some(output) => Some(Outputs::open(output, args, shard)?),
            None => None,
        };
        let queue = Queue::default();
        let finder = Finder {
            args,
            named: prepared.named,
            place: &prepared.place,
            selection: &prepared.selection,
            shard,
            queue: &queue,
            watch: &self,
            claims: RefCell::new(Claims::new(args.many.files_from.is_some())),
            records: below_output(args, shard),
        };
        let to = To {
            outputs: outputs.as_ref(),
            planned: planned.as_ref(),
        };
        let found = self.all(finder, to, &queue);
        let closed = outputs.map_or(Ok(()), Outputs::close);
        found.and(closed)
    }

    /// Finds and does all tasks. The error is one of the search.
    fn all(self, finder: Finder<'_>, to: To<'_>, queue: &Queue) -> Result<()> {
        let Run {
            args,
            tally,
            stop,
            overview,
            ..
        } = self;
        let jobs = args.jobs().get();
        let mut workers = Vec::new();
        for number in 0..jobs {
            workers.push(Worker::new(number, args, to, &queue.idle_threads)?);
        }
        let is_stopped = || stop.is_asked();
        let report = |task: &Task, ended: Ended, seconds: f64| {
            if tally.ended(task, ended, seconds) {
                overview.failed();
                if args.many.fail_fast {
                    stop.has_failed.store(true, Ordering::Relaxed);
                }
            }
        };
        let commits = Commits::new(to.outputs, args.sync, &report);
        let work = |number: usize, mut task: Task| {
            let begun = Instant::now();
            let running = overview.begin(number, &task.relative, task.len, &is_stopped);
            let worked = workers[number].work(&mut task, &running);
            drop(running);
            let seconds = begun.elapsed().as_secs_f64();
            match worked {
                Worked::Ended(ended) => report(&task, ended, seconds),
                Worked::Staged(staged) => commits.add(task, *staged, seconds),
            }
        };
        let pool = Pool {
            jobs,
            queue,
            overview,
            is_stopped: &is_stopped,
        };
        commits.during(|| pool.run(|| finder.run().map(drop), &work))
    }
}

impl Watch for Run<'_> {
    fn found(&self, len: u64) {
        self.overview.found(len);
    }

    fn left(&self) {
        self.tally.left();
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }
}

/// Why a run ends early.
struct Stop {
    interrupt: Interrupt,
    /// With --fail-fast.
    has_failed: AtomicBool,
}

impl Stop {
    fn is_asked(&self) -> bool {
        self.interrupt.is_asked() || self.has_failed.load(Ordering::Relaxed)
    }
}
