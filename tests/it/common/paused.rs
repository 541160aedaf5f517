//! Runs the command, stops it half-way, and lets it continue.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::NamedTempFile;

use super::batch::{Batch, parsed};
use super::runner::{Run, Sandbox, wait_for};

/// How long a run may take to reach a point.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How often a run is tried that may be too fast.
const ATTEMPTS: usize = 100;
/// The most bytes that a pipe has, to which ocify enlarges it.
const PIPE_MAX: usize = 1 << 20;

/// A process that is stopped. It is killed if this is dropped.
#[derive(Debug)]
pub(crate) struct Paused(Child);

impl Paused {
    /// Starts a command, and stops it as soon as a condition is true. Its standard output goes to a file. `None` if it was
    /// faster.
    pub(crate) fn when(
        command: &mut Command,
        stdout: &Path,
        is_reached: impl Fn() -> bool,
    ) -> Option<Paused> {
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.stdout(File::create(stdout).unwrap()).spawn();
        let paused = Paused(child.unwrap());
        let begun = Instant::now();
        while !is_reached() {
            assert!(begun.elapsed() < TIME_LIMIT, "it did not come so far");
            thread::sleep(Duration::from_micros(100));
        }
        let pid = Pid::from_child(&paused.0);
        kill_process(pid, Signal::STOP).unwrap();
        // The signal takes a moment to arrive.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), options).unwrap().unwrap();
        status.stopped().then_some(paused)
    }

    /// Lets it run to its end, and returns its exit code.
    pub(crate) fn resume(mut self, command: &Command) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::CONT).unwrap();
        wait_for(&mut self.0, command)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command with these bytes on its standard input, and interferes when it has read the first half of them. The second half
/// follows after that. Returns its exit code.
#[track_caller]
pub(crate) fn interrupted(
    command: &mut Command,
    input: &[u8],
    interfere: impl FnOnce(),
) -> Option<i32> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Paused(child.unwrap());
    let mut stdin = child.0.stdin.take().unwrap();
    // It has begun when more was written than fits into the pipe.
    let (first, second) = input.split_at(input.len() / 2);
    assert!(first.len() > 2 * PIPE_MAX);
    stdin.write_all(first).unwrap();
    interfere();
    // It may end early.
    let _ = stdin.write_all(second);
    drop(stdin);
    wait_for(&mut child.0, command)
}

/// Runs a batch that a test interferes with half-way: as soon as `is_reached`, the process is stopped, and `interfere` says
/// whether there was anything left to do. Otherwise, or if the process was faster, everything is done again in another sandbox.
/// Returns the sandbox and the report.
#[track_caller]
pub(crate) fn interrupted_batch(
    args: &[&str],
    prepare: impl Fn(&Sandbox),
    is_reached: impl Fn(&Path) -> bool,
    interfere: impl Fn(&Path) -> bool,
) -> (Sandbox, Batch) {
    for _ in 0..ATTEMPTS {
        let sandbox = Sandbox::new();
        prepare(&sandbox);
        let mut command = sandbox.command();
        command.arg("fix").args(args).args(["--format", "json"]);
        let stdout = NamedTempFile::new().unwrap();
        let reached = || is_reached(sandbox.root());
        let Some(paused) = Paused::when(&mut command, stdout.path(), reached) else {
            continue;
        };
        if !interfere(sandbox.root()) {
            continue;
        }
        let code = paused.resume(&command).expect("it was not killed");
        let stdout = fs::read_to_string(stdout.path()).unwrap();
        let (items, summary) = parsed(&stdout);
        let run = Run {
            code,
            stdout,
            stderr: String::new(),
            time: Duration::ZERO,
        };
        let batch = Batch {
            run,
            items,
            summary,
        };
        return (sandbox, batch);
    }
    panic!("the run was always faster");
}
