//! Measures what a run of the command takes: its peak memory and its processor time.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What a run took.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) code: i32,
    pub(crate) stderr: String,
    /// The most memory that it had at one time (`VmHWM`).
    pub(crate) peak_kib: u64,
    /// The time of its first thread on a processor, which is all of its time if it starts no others.
    pub(crate) processor: Duration,
}

/// No measured run takes as long.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Runs a command to its end. What it writes to standard output is not kept.
pub(crate) fn measured(command: &mut Command) -> Measured {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let mut stderr = child.stderr.take().unwrap();
    let messages = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let start = Instant::now();
    let mut peak_kib = 0;
    // The kernel keeps the peak, so that only growth after the last look is missed.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), options).unwrap().is_none() {
        peak_kib = peak_kib.max(peak(pid).unwrap_or(0));
        if start.elapsed() > TIME_LIMIT {
            child.kill().unwrap();
            panic!("still running after {TIME_LIMIT:?}: {command:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    // It has ended, and the kernel still has its times.
    let times = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    let nanoseconds = times.split_whitespace().next().unwrap().parse().unwrap();
    let code = child.wait().unwrap().code();
    let stderr = messages.join().unwrap();
    assert!(!stderr.contains("panicked at"), "{command:?}\n{stderr}");
    Measured {
        code: code.unwrap_or_else(|| panic!("ended by a signal: {command:?}\n{stderr}")),
        stderr,
        peak_kib,
        processor: Duration::from_nanos(nanoseconds),
    }
}

fn peak(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.split_whitespace().next()?.parse().ok()
}
