//! Runs the command in its own directory, with an empty environment and a time limit.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::schema::parse_report;

/// Test inputs are small, so a run that takes longer than this hangs.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The output of a run and its exit code.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; a signal is a failure of the test.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) time: Duration,
}

impl Run {
    /// The JSON report on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        parse_report(&self.stdout)
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Run {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// An empty directory that the command runs in.
#[derive(Debug)]
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Sandbox {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The command, ready to run here. `OCIFY_RUNNER` is the line of a program that runs it, such as an emulator of another
    /// processor.
    pub(crate) fn command(&self) -> Command {
        let runner = std::env::var("OCIFY_RUNNER").unwrap_or_default();
        let mut line = runner.split_whitespace();
        let Some(program) = line.next() else {
            return self.program(env!("CARGO_BIN_EXE_ocify"));
        };
        let mut command = self.program(program);
        command.args(line).arg(env!("CARGO_BIN_EXE_ocify"));
        command
    }

    /// The command with a `ulimit`: `-v` for its address space in KiB, `-n` for open files.
    pub(crate) fn limited(&self, what: &str, limit: u64) -> Command {
        let mut command = self.program("/bin/sh");
        let script = format!("ulimit {what} {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ocify")]);
        command
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root()).env_clear();
        command
    }

    /// Runs the command with these arguments.
    pub(crate) fn ocify(&self, args: &[&str]) -> Run {
        run(self.command().args(args))
    }

    /// `ocify fix INPUT -o OUTPUT --format json`. An OUTPUT that ends in `/` is written as an image layout directory with this
    /// name: the option is `--layout -o` and the name lacks the `/`, which would mean *into* this directory.
    pub(crate) fn fix(&self, input: impl AsRef<Path>, output: &str) -> Run {
        self.fix_with(input, output, &[])
    }

    /// Like [`fix`](Self::fix), with more options.
    pub(crate) fn fix_with(&self, input: impl AsRef<Path>, output: &str, more: &[&str]) -> Run {
        let mut command = self.command();
        command.arg("fix").arg(input.as_ref());
        match output.strip_suffix('/') {
            Some(layout) => command.args(["--layout", "-o", layout]),
            None => command.args(["-o", output]),
        };
        command.args(["--format", "json"]);
        run(command.args(more))
    }
}

/// Writes an executable file. A child process does this, because children that other tests start inherit this process's descriptors for a
/// moment, and while one is open for writing, the file cannot be executed ("text file busy").
pub(crate) fn write_program(path: &Path, text: &str) {
    let mut child = Command::new("/bin/sh")
        .args(["-ec", "cat >\"$0\"; chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{}", path.display());
}

/// Runs a command to its end, or kills it and fails.
pub(crate) fn run(command: &mut Command) -> Run {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = reader(child.stdout.take().unwrap());
    let stderr = reader(child.stderr.take().unwrap());
    let code = wait(&mut child, start, command);
    let text = |bytes: thread::JoinHandle<Vec<u8>>| String::from_utf8(bytes.join().unwrap());
    let run = Run {
        code: code.unwrap_or(-1),
        stdout: text(stdout).expect("standard output is UTF-8"),
        stderr: text(stderr).expect("standard error is UTF-8"),
        time: start.elapsed(),
    };
    assert!(code.is_some(), "ended by a signal: {command:?}\n{run:#?}");
    assert!(!run.stderr.contains("panicked at"), "{command:?}\n{run:#?}");
    run
}

/// Whether this process ignores a signal, so that programs which it starts ignore it too: `nohup` ignores SIGHUP, and a shell without
/// job control ignores SIGINT in the background. Says so.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let is_ignored = ignored >> (signal.as_raw() - 1) & 1 == 1;
    if is_ignored {
        super::skipped(&format!(
            "{signal:?}: the tests were started with it ignored"
        ));
    }
    is_ignored
}

/// Waits for a command to exit, and returns its exit code; `None` if a signal killed it.
pub(crate) fn wait_for(child: &mut Child, command: &Command) -> Option<i32> {
    wait(child, Instant::now(), command)
}

fn reader(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

fn wait(child: &mut Child, start: Instant, command: &Command) -> Option<i32> {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > TIME_LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still running after {TIME_LIMIT:?}: {command:?}");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
