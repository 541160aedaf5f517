//! Runs the command with a fault in one of its system calls.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use super::runner::{Sandbox, wait_for};
use super::trace::may_trace;
use super::{repository, skipped};

/// How strace marks a call that it let fail.
const INJECTED: &str = "(INJECTED)";

/// What happens at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The command is killed before the call.
    Kill,
    /// The call does nothing, and fails with this error.
    Error(&'static str),
    /// The same, and all later calls of that name fail too.
    Always(&'static str),
    /// The call reads or writes half of what it could.
    Short,
    /// The same, and all later calls of that name do too.
    AlwaysShort,
}

/// A fault, and the call where it happens: each thread's call of this number and name.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) call: String,
    pub(crate) number: usize,
    pub(crate) fault: Fault,
}

/// The output of a run and its exit code, which is 128 and more if a signal ended it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Whether a call failed because of the fault. Threads may share the work in such a way that none makes so many calls.
    pub(crate) is_reached: bool,
    /// The descriptors of writes that failed because of the fault.
    pub(crate) unwritten: Vec<u32>,
}

/// The calls of a run by name: how many the start of the program makes, and how many there are after it, at most in one thread.
pub(crate) type Calls = BTreeMap<String, (usize, usize)>;

/// Runs the command to its end and counts its calls; `None` if it cannot be traced here.
pub(crate) fn calls(
    sandbox: &Sandbox,
    args: &[&str],
    input: Option<&[u8]>,
) -> Option<(Calls, Ended)> {
    if !may_trace() {
        return None;
    }
    let log = sandbox.path("trace");
    let mut command = strace(sandbox, &log);
    command.arg(env!("CARGO_BIN_EXE_ocify")).args(args);
    let ended = finished(&mut command, input);
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    Some((count(&text), ended))
}

/// Runs the command with a fault; `None` if there is no program for it here.
pub(crate) fn injected(
    sandbox: &Sandbox,
    args: &[&str],
    input: Option<&[u8]>,
    injection: &Injection,
) -> Option<Ended> {
    let Injection {
        call,
        number,
        fault,
    } = injection;
    let log = sandbox.path("trace");
    let what = match fault {
        Fault::Kill => "signal=KILL".to_owned(),
        Fault::Error(name) | Fault::Always(name) => format!("error={name}"),
        Fault::Short | Fault::AlwaysShort => {
            let more = if *fault == Fault::AlwaysShort {
                "+"
            } else {
                ""
            };
            let mut command = Command::new(short_calls()?);
            command.arg(call).arg(format!("{number}{more}"));
            prepare(&mut command, sandbox);
            command.arg(env!("CARGO_BIN_EXE_ocify")).args(args);
            return Some(finished(&mut command, input));
        }
    };
    let more = if matches!(fault, Fault::Always(_)) {
        "+"
    } else {
        ""
    };
    let mut command = strace(sandbox, &log);
    command.args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:{what}:when={number}{more}")]);
    command.arg(env!("CARGO_BIN_EXE_ocify")).args(args);
    let mut ended = finished(&mut command, input);
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    ended.is_reached = text.contains(INJECTED);
    ended.unwritten = unwritten(&text);
    Some(ended)
}

fn strace(sandbox: &Sandbox, log: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "0", "-o"]).arg(log);
    prepare(&mut command, sandbox);
    command
}

/// All temporary files are in the sandbox.
fn prepare(command: &mut Command, sandbox: &Sandbox) {
    command
        .current_dir(sandbox.root())
        .env_clear()
        .env("TMPDIR", ".");
}

/// Runs a command to its end, however it ends.
fn finished(command: &mut Command, input: Option<&[u8]>) -> Ended {
    let stdin = if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::scope(|scope| {
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // The command may stop reading early.
            scope.spawn(move || drop(stdin.write_all(input)));
        }
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stdout = scope.spawn(|| read(stdout));
        let stderr = scope.spawn(|| read(stderr));
        let code = wait_for(&mut child, command).unwrap_or(128 + 9);
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let stderr = String::from_utf8(stderr).unwrap();
        Ended {
            code,
            stdout,
            stderr,
            is_reached: false,
            unwritten: Vec::new(),
        }
    })
}

fn read(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The descriptors of writes that failed because of a fault.
fn unwritten(text: &str) -> Vec<u32> {
    let failed = text.lines().filter(|line| line.contains(INJECTED));
    let descriptors = failed.filter_map(|line| {
        let (_, args) = line.split_once("write(")?;
        args.split_once(',')?.0.parse().ok()
    });
    descriptors.collect()
}

/// Counts the calls of each thread. The start of the program is what it does before it looks at its standard descriptors: the work of the
/// dynamic linker.
fn count(text: &str) -> Calls {
    let mut calls = Calls::new();
    let mut threads: HashMap<(&str, &str), usize> = HashMap::new();
    let mut is_started = false;
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        // The end of a call that another thread interrupted, or of a thread.
        let Some((name, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if name.starts_with('<') {
            continue;
        }
        is_started |= name == "poll" || name == "ppoll";
        let of_thread = threads.entry((thread, name)).or_default();
        *of_thread += 1;
        let (start, most) = calls.entry(name.to_owned()).or_default();
        *most = (*most).max(*of_thread);
        if !is_started {
            *start = *of_thread;
        }
    }
    assert!(is_started, "the program looks at its descriptors: {text}");
    calls
}

/// The program that makes calls short, which is compiled once; `None` if it cannot be compiled, or does not work here.
fn short_calls() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("short_calls-{}", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O1", "-o"])
            .arg(&program)
            .arg(repository("tests/campaigns/short_calls.c"));
        let is_compiled = compiler
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let mut test = Command::new(&program);
        let is_usable = is_compiled
            && test
                .args(["read", "1", "true"])
                .status()
                .is_ok_and(|status| status.success());
        if !is_usable {
            skipped("short reads and writes: need a C compiler, x86-64 and the right to trace");
        }
        is_usable.then_some(program)
    });
    program.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_thread_and_from_the_start_of_the_program() {
        let log = "7 openat(AT_FDCWD, \"libc\") = 3
7 read(3, \"\"..., 832) = 832
7 poll([], 0, 0) = 0
7 read(3, \"\"..., 10) = 10
7 read(3, \"\"..., 10 <unfinished ...>
8 read(3, \"\"..., 10) = 10
7 <... read resumed>) = 10
8 fsync(4) = 0
8 +++ exited with 0 +++
";
        let expected = [
            ("fsync", (0, 1)),
            ("openat", (1, 1)),
            ("poll", (0, 1)),
            ("read", (1, 3)),
        ];
        let expected = expected.map(|(name, counts)| (name.to_owned(), counts));
        assert_eq!(count(log), Calls::from(expected));
    }
}
