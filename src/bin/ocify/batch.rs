//! Many inputs in one run.

mod digest_map;
mod fingerprint;
mod inputs;
mod options;
mod others;
mod output;
mod queue;
mod shard;
mod state;
mod tally;
mod walk;
mod work;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use ocify::{
    Code, Error, Result, command::batch::Summary, command::may_be_image_layout, command::show_path,
};

use self::inputs::{Finder, OutputPlace, Selection, Watch, named};
use self::options::options_key;
use self::output::OutputDir;
use self::queue::Queue;
pub(crate) use self::shard::{Shard, ShardChoice};
use self::state::{State, StateOptions};
use self::tally::Tally;
use self::work::{Outputs, Worker};
use crate::args::Fix;
use crate::interrupt::Interrupt;
use crate::progress::{Lines, Overview};

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
    ];
    let found = refused.iter().find(|(is_given, _)| *is_given);
    found.map(|(_, what)| (*what).to_owned())
}

/// How a batch ended, besides what was reported.
pub(crate) struct End {
    pub(crate) summary: Summary,
    /// The exit code of a run that was stopped.
    pub(crate) stopped: Option<u8>,
    /// What went wrong apart from the inputs.
    pub(crate) trouble: Option<Error>,
}

/// Runs the batch.
pub(crate) fn run(args: &Fix, shard: Option<Shard>) -> Result<End> {
    let started = Instant::now();
    // Before anything is created that an immediate exit would leave behind.
    let interrupt = Interrupt::default();
    interrupt.listen();
    let place = OutputPlace::of(args.output().filter(|_| !args.dry_run));
    let named = named(args)?;
    for input in &named {
        place.check(&input.path)?;
    }
    let selection = Selection::new(args)?;
    let lines = match args.is_stdout_taken() {
        true => Lines::Stderr,
        false => Lines::Stdout,
    };
    let overview = Overview::new(args.progress, args.jobs().get(), lines);
    let tally = match Tally::new(args, shard, &overview, &interrupt) {
        Err(error) if error.code() == Code::Interrupted => {
            return Ok(End {
                summary: Summary::default(),
                stopped: Some(interrupt.exit_code()),
                trouble: Some(error),
            });
        }
        other => other?,
    };
    let made = match args.output() {
        Some(output) if !args.dry_run => Some(prepare(output)?),
        _ => None,
    };
    let outputs = match &made {
        Some((output, _)) => Some(open(output, args, shard)?),
        None => None,
    };
    let stop = Stop {
        interrupt,
        has_failed: AtomicBool::new(false),
    };
    let queue = Queue::default();
    let finder = Finder {
        args,
        named,
        place: &place,
        selection: &selection,
        shard,
        queue: &queue,
        watch: &Told {
            overview: &overview,
            tally: &tally,
            stop: &stop,
        },
    };
    let found = all(
        args,
        finder,
        outputs.as_ref(),
        &queue,
        &tally,
        &stop,
        &overview,
    );
    if let Some(outputs) = outputs {
        if args.sync {
            outputs.state.sync()?;
        }
        outputs.output_dir.close()?;
        outputs.state.close();
    }
    if let Some((output, true)) = &made
        && shard.is_none()
    {
        // A directory that was created for nothing, and that no other share is about to use; it is not removed while anything is in it.
        let _ = std::fs::remove_dir(output);
    }
    let (summary, trouble) = tally.finish(started.elapsed().as_secs_f64(), &stop.interrupt);
    Ok(End {
        summary,
        stopped: (stop.interrupt.is_asked()).then(|| stop.interrupt.exit_code()),
        trouble: found.err().or(trouble),
    })
}

/// Finds and does all tasks. The error is one of the search.
fn all(
    args: &Fix,
    finder: Finder<'_>,
    outputs: Option<&Outputs>,
    queue: &Queue,
    tally: &Tally<'_>,
    stop: &Stop,
    overview: &Overview,
) -> Result<()> {
    let jobs = args.jobs().get();
    let is_done = AtomicBool::new(false);
    let mut workers = Vec::new();
    for number in 0..jobs {
        workers.push(Worker::new(number, args, outputs, &queue.idle_threads)?);
    }
    let is_stopped = || stop.is_asked();
    let work = |number: usize, worker: &Worker<'_>| {
        while let Some(mut task) = queue.pop(&is_stopped) {
            let begun = Instant::now();
            let running = overview.begin(number, &task.relative, task.len, &is_stopped);
            let ended = worker.work(&mut task, &running);
            drop(running);
            let seconds = begun.elapsed().as_secs_f64();
            if tally.ended(&task, ended, seconds) {
                overview.failed();
                if args.many.fail_fast {
                    stop.has_failed.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    let work = &work;
    thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            overview.show(&is_done, &|| {
                if !stop.is_asked() {
                    return "";
                }
                // Workers need not wait for the next task.
                queue.complete();
                "stopping;"
            });
        });
        let mut threads = Vec::new();
        for (number, worker) in workers.iter().enumerate() {
            let thread = thread::Builder::new().spawn_scoped(scope, move || work(number, worker));
            match thread {
                Ok(thread) => threads.push(thread),
                // Fewer threads only take longer.
                Err(_) => break,
            }
        }
        let found = finder.run();
        overview.complete();
        queue.complete();
        if threads.is_empty()
            && let Some(worker) = workers.first()
        {
            work(0, worker);
        }
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        is_done.store(true, Ordering::Relaxed);
        ticker.thread().unpark();
        found.map(drop)
    })
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

struct Told<'a> {
    overview: &'a Overview,
    tally: &'a Tally<'a>,
    stop: &'a Stop,
}

impl Watch for Told<'_> {
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

/// Creates the output directory if it does not exist; returns whether it did.
fn prepare(output: &Path) -> Result<(PathBuf, bool)> {
    let output: PathBuf = output.components().collect();
    if output.is_dir() {
        return Ok((output, false));
    }
    match std::fs::create_dir(&output) {
        Ok(()) => Ok((output, true)),
        // Another share that started at the same moment created it.
        Err(_) if output.is_dir() => Ok((output, false)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::new(
            Code::OutputExists,
            format!(
                "the output {} exists and is not a directory",
                show_path(&output)
            ),
        )
        .with_path(&output)
        .with_hint("with many inputs, OUTPUT must be a directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(
            Code::ParentMissing,
            format!(
                "the parent directory of the output {} does not exist",
                show_path(&output)
            ),
        )
        .with_path(&output)
        .with_hint("create it first")),
        Err(error) => Err(Error::io("create", &output, error)),
    }
}

fn open(output: &Path, args: &Fix, shard: Option<Shard>) -> Result<Outputs> {
    let options = StateOptions {
        shard,
        options: &options_key(args)?,
    };
    // First the state, whose lock keeps others away.
    let state = State::open(output, options)?;
    if state.is_upgraded() {
        let _ = writeln!(
            std::io::stderr(),
            "note: {} was written by an older version of ocify; ocify will rewrite the outputs that it lists",
            show_path(state.path())
        );
    }
    let output_dir = OutputDir::open(output, shard)?;
    Ok(Outputs { output_dir, state })
}
