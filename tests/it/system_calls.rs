//! A kill, an error or a short read or write at each system call of a run, for every kind of output. A run that fails says why and leaves no
//! incomplete output; inputs are not harmed; the next run finishes the work and removes what the failed one left.
//!
//! By default, a sample of the calls is tried. The campaign tries all of them:
//!
//! ```sh
//! OCIFY_SYSTEM_CALLS=full cargo test --locked --test it -- system_calls --nocapture
//! ```
//!
//! `OCIFY_SYSTEM_CALLS=COUNT` tries about so many, and `OCIFY_SCENARIO=NAME` only those of the scenarios whose names begin so.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

mod scenarios;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::thread;

use crate::common::injected::{Calls, Ended, Fault, Injection, calls, injected};
use crate::common::intact::intact;
use crate::common::runner::Sandbox;
use crate::common::{fixture, tree};
use scenarios::{SCENARIOS, Scenario};

/// How many faults are tried by default.
const SAMPLE: usize = 400;
/// This many at a time: they wait for disks more than for processors.
const THREADS: usize = 3;

/// The calls of the language's runtime: memory, threads, signals and time. ocify cannot do anything about their errors.
const RUNTIME: [&str; 37] = [
    "access",
    "arch_prctl",
    "brk",
    "clock_nanosleep",
    "clone3",
    "execve",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "geteuid",
    "getrandom",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "poll",
    "prlimit64",
    "recvfrom",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "socketpair",
    "clone",
    "getpid",
    "tgkill",
];
/// Calls that take space.
const WRITES: [&str; 14] = [
    "copy_file_range",
    "fallocate",
    "fsetxattr",
    "ftruncate",
    "linkat",
    "mkdir",
    "mkdirat",
    "openat",
    "pwrite64",
    "renameat2",
    "sendfile",
    "splice",
    "symlinkat",
    "write",
];
/// Calls that not every kernel and filesystem has, or that a sandbox forbids.
const OPTIONAL: [&str; 8] = [
    "copy_file_range",
    "fallocate",
    "flock",
    "linkat",
    "openat2",
    "renameat2",
    "statx",
    "syncfs",
];
const LENGTHS: [&str; 7] = [
    "copy_file_range",
    "pread64",
    "pwrite64",
    "read",
    "sendfile",
    "splice",
    "write",
];
/// Calls that remove what a failed run leaves.
const REMOVES: [&str; 4] = ["getdents64", "rmdir", "unlink", "unlinkat"];
const SYNCS: [&str; 3] = ["fdatasync", "fsync", "syncfs"];

/// What is in a directory, by path.
type Files = BTreeMap<String, Vec<u8>>;

/// BuildKit's lock, which may stay: nobody holds it.
const LOCK: &str = "in/index.json.lock";

fn files(sandbox: &Sandbox) -> Files {
    let found = tree(sandbox.root()).into_iter();
    let found = found.map(|(path, bytes)| (path.to_str().unwrap().to_owned(), bytes));
    found.filter(|(path, _)| path != LOCK).collect()
}

fn is_temporary(path: &str) -> bool {
    path.split('/').any(|part| {
        part.starts_with('.') && part.ends_with(".ocify-tmp") || part.starts_with(".ocify-work")
    })
}

fn is_journal(path: &str) -> bool {
    path.ends_with(".ocify-journal")
}

fn is_state(path: &str) -> bool {
    path.contains(".ocify-state") && !is_temporary(path)
}

/// Files that say something about the run, such as times.
fn is_report(path: &str) -> bool {
    ["report", "metadata", "digests"].contains(&path)
}

/// A scenario, and what comes of it without a fault.
struct Expected {
    scenario: Scenario,
    input: Option<Vec<u8>>,
    calls: Calls,
    after: Files,
    stdout: Vec<u8>,
    restored: Option<Vec<u8>>,
}

impl Expected {
    fn of(scenario: Scenario) -> Option<Expected> {
        let sandbox = Sandbox::new();
        let input = scenario.input.map(|name| fs::read(fixture(name)).unwrap());
        if !crate::common::trace::may_trace() {
            return None;
        }
        (scenario.set_up)(&sandbox);
        let (calls, ended) = calls(&sandbox, scenario.line, input.as_deref())?;
        assert_eq!(ended.code, scenario.code, "{}: {ended:?}", scenario.name);
        let after = files(&sandbox);
        assert!(
            !after
                .keys()
                .any(|path| is_temporary(path) || is_journal(path)),
            "{after:?}"
        );
        Some(Expected {
            scenario,
            input,
            calls,
            after,
            stdout: ended.stdout,
            restored: scenario
                .restored
                .map(|name| fs::read(fixture(name)).unwrap()),
        })
    }

    fn injections(&self) -> Vec<Injection> {
        let mut all = Vec::new();
        for (call, &(start, most)) in &self.calls {
            let faults = faults(call);
            for number in start + 1..=most {
                for fault in &faults {
                    // One of these includes all later ones.
                    let is_first = number == start + 1;
                    if is_first || !matches!(fault, Fault::Always(_) | Fault::AlwaysShort) {
                        let (call, fault) = (call.clone(), *fault);
                        all.push(Injection {
                            call,
                            number,
                            fault,
                        });
                    }
                }
            }
        }
        all
    }

    /// Runs the command with a fault, and the next command; what is wrong.
    fn check(&self, injection: &Injection) -> Option<Outcome> {
        let Scenario { set_up, line, .. } = self.scenario;
        let sandbox = Sandbox::new();
        set_up(&sandbox);
        let before = files(&sandbox);
        let ended = injected(&sandbox, line, self.input.as_deref(), injection)?;
        let found = files(&sandbox);
        let mut wrong = match self.scenario.layout {
            None => self.after_fault(injection, &ended, &before, &found),
            Some(root) => {
                let fault = intact(&sandbox.path(root)).err();
                let wrong = self.after_fault_in_layout(injection, &ended, &before, &found);
                wrong.into_iter().chain(fault).collect()
            }
        };
        let again = if self.is_there(&before, &found) {
            self.scenario.again
        } else {
            &[]
        };
        let next = [line, again].concat();
        let (_, next) = calls(&sandbox, &next, self.input.as_deref())?;
        if next.code != self.scenario.code {
            wrong.push(format!("the next run: {next:?}"));
        }
        if let Err(difference) = self.same(&files(&sandbox)) {
            wrong.push(format!("after the next run: {difference}"));
        }
        let what = format!(
            "{}: {injection:?}: exit code {}, {}",
            self.scenario.name, ended.code, ended.stderr
        );
        let wrong = wrong
            .into_iter()
            .map(|wrong| format!("{what}\n    {wrong}"))
            .collect();
        Some(Outcome {
            code: ended.code,
            wrong,
        })
    }

    /// Whether the output of a single input is there.
    fn is_there(&self, before: &Files, found: &Files) -> bool {
        let mut outputs = found.iter().filter(|(path, _)| path.starts_with("out"));
        !self.scenario.name.starts_with("batch")
            && outputs.any(|(path, bytes)| {
                before.get(path) != Some(bytes) && self.after.get(path) == Some(bytes)
            })
    }

    /// Whether everything is there and nothing else.
    fn same(&self, found: &Files) -> Result<(), String> {
        for (path, bytes) in found {
            match self.after.get(path) {
                None => return Err(format!("{path} is left")),
                Some(expected) if expected == bytes || is_state(path) => {}
                Some(_) if is_report(path) => {
                    is_complete(bytes).map_err(|error| format!("{path}: {error}"))?
                }
                Some(_) => return Err(format!("{path} has other bytes")),
            }
        }
        let missing = self.after.keys().find(|path| !found.contains_key(*path));
        missing.map_or(Ok(()), |path| Err(format!("{path} is missing")))
    }

    fn after_fault(
        &self,
        injection: &Injection,
        ended: &Ended,
        before: &Files,
        found: &Files,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let is_killed = injection.fault == Fault::Kill;
        let is_removal = REMOVES.contains(&injection.call.as_str());
        // Another run is about to remove what it has locked.
        let is_locked = injection.call == "flock" && injection.fault == Fault::Error("EAGAIN");
        let has_journal = found.keys().any(|path| is_journal(path));
        for (path, bytes) in found {
            let is_known = before.get(path) == Some(bytes)
                || self.after.get(path) == Some(bytes)
                || path == "in.tar" && self.restored.as_ref() == Some(bytes);
            if is_known || is_state(path) || is_journal(path) {
                continue;
            }
            if is_temporary(path) {
                let is_said = ended.stderr.contains("cannot remove");
                if !is_killed && !is_removal && !is_locked && !is_said {
                    wrong.push(format!("{path} is left"));
                }
            } else if is_report(path) {
                wrong.extend(
                    is_complete(bytes)
                        .err()
                        .map(|error| format!("{path}: {error}")),
                );
            } else if !(has_journal && before.contains_key(path)) {
                wrong.push(format!("{path} is neither old nor complete"));
            }
        }
        let is_part = |path: &str| {
            self.scenario
                .whole
                .is_some_and(|whole| path.starts_with(whole))
        };
        let lost = before
            .keys()
            .find(|path| !found.contains_key(*path) && !is_journal(path) && !is_part(path));
        wrong.extend(lost.map(|path| format!("{path} is gone")));
        let parts = |files: &Files| -> Files {
            let files = files.iter().filter(|(path, _)| is_part(path));
            files
                .map(|(path, bytes)| (path.clone(), bytes.clone()))
                .collect()
        };
        if ![parts(before), parts(&self.after)].contains(&parts(found)) {
            wrong.push("the output directory is neither old nor new".to_owned());
        }
        if self.scenario.input.is_some() && !self.scenario.line.contains(&"-o") && ended.code != 0 {
            let is_image = ended.stdout != self.stdout
                && ended.stdout.windows(11).any(|text| text == b"index.json\0");
            if is_image {
                wrong.push("the stream contains an index".to_owned());
            }
        }
        wrong.extend(self.wrong_end(injection, ended, before, found));
        wrong
    }

    /// The same for a layout that is fixed where it is: `index.json` is the old or the new one, and `manifest.json` never
    /// belongs to the other one. Without a kill, what is not complete is undone, unless the next run is to complete it.
    fn after_fault_in_layout(
        &self,
        injection: &Injection,
        ended: &Ended,
        before: &Files,
        found: &Files,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |is_right: bool, what: &str| {
            if !is_right {
                wrong.push(what.to_owned());
            }
        };
        let (index, manifest) = ("in/index.json", "in/manifest.json");
        let is_new = found.get(index) == self.after.get(index);
        let [own, other] = match is_new {
            true => [&self.after, before],
            false => [before, &self.after],
        };
        expect(found.get(index) == own.get(index), "another index.json");
        let described = found.get(manifest);
        let is_described = described == own.get(manifest);
        expect(
            is_described || described.is_none(),
            "manifest.json does not belong to index.json",
        );
        let is_complete = ended.stderr.contains("the output itself is complete");
        if injection.fault != Fault::Kill && ended.code == 1 {
            expect(is_described || is_new, "manifest.json is gone");
            expect(
                is_complete == (is_new && is_described) || ended.unwritten.contains(&2),
                "the hint is not right",
            );
            let is_unknown = REMOVES.contains(&injection.call.as_str());
            expect(is_new || is_unknown || found == before, "it is not undone");
            let is_begun = ended
                .stderr
                .contains("complete it: ocify fix --in-place in");
            expect(
                is_begun == (is_new && !is_described) || ended.unwritten.contains(&2),
                "the hint is not about what is missing",
            );
        }
        let known = |path: &String| own.contains_key(path) || other.contains_key(path);
        let mut others = found.keys().filter(|path| !known(path));
        let is_own = |path: &String| path.ends_with("/.ocify-in-place") || is_temporary(path);
        expect(others.all(is_own), "a file that is neither old nor new");
        wrong.extend(self.wrong_end(injection, ended, before, found));
        wrong
    }

    /// What is wrong with how a run ended.
    fn wrong_end(
        &self,
        injection: &Injection,
        ended: &Ended,
        before: &Files,
        found: &Files,
    ) -> Option<String> {
        let is_done = self.same(found);
        let is_sync = SYNCS.contains(&injection.call.as_str())
            && injection.fault == Fault::Error("EIO")
            && ended.is_reached;
        match ended.code {
            137 if injection.fault == Fault::Kill => None,
            // The call was not reached.
            code if code == self.scenario.code => match is_done {
                Err(_) if injection.call == "flock" => None,
                _ if is_sync => Some("a failed sync is not an error".to_owned()),
                _ if ended.unwritten.contains(&1) && injection.fault != Fault::Error("EINTR") => {
                    Some("a report that was not written is not an error".to_owned())
                }
                Err(difference) => Some(format!("exit code {code}, but {difference}")),
                Ok(()) if self.scenario.input.is_some() && ended.stdout != self.stdout => {
                    Some("another stream".to_owned())
                }
                Ok(()) => None,
            },
            1 => {
                let text = &ended.stderr;
                let is_said = text.contains("error: ") || text.contains("failed ");
                if text.contains("panicked") || text.contains("this is a bug") {
                    Some("a panic".to_owned())
                } else if !is_said && !ended.unwritten.contains(&2) {
                    Some("no message".to_owned())
                } else if self.is_there(before, found)
                    && !text.contains("the output itself is complete")
                {
                    Some("the message does not say that the output is complete".to_owned())
                } else {
                    None
                }
            }
            // An input is looked up several times while arguments are read. If only one of them fails, an option that it is for may look
            // wrong. Nothing was begun.
            2 if injection.call == "statx" && before == found => None,
            _ => Some("another exit code".to_owned()),
        }
    }
}

/// Whether a report, or the lines of one, are complete.
fn is_complete(bytes: &[u8]) -> Result<(), String> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    let error = values.find_map(Result::err);
    error.map_or(Ok(()), |error| Err(error.to_string()))
}

/// What came of a fault.
struct Outcome {
    code: i32,
    wrong: Vec<String>,
}

/// What can happen at a call of this name.
fn faults(call: &str) -> Vec<Fault> {
    let mut faults = vec![Fault::Kill];
    if call == "clone3" {
        faults.push(Fault::Error("EAGAIN"));
    }
    // Closing a file ends, whatever it returns; a test's close would not.
    if RUNTIME.contains(&call) || call == "close" {
        return faults;
    }
    faults.extend(["EIO", "EINTR", "EAGAIN"].map(Fault::Error));
    if WRITES.contains(&call) {
        faults.extend(["ENOSPC", "EDQUOT", "EFBIG"].map(Fault::Error));
    }
    if OPTIONAL.contains(&call) {
        faults.extend(["ENOSYS", "EPERM"].map(Fault::Always));
    }
    if LENGTHS.contains(&call) {
        faults.extend([Fault::Short, Fault::AlwaysShort]);
    }
    faults
}

#[test]
fn a_fault_at_any_system_call_leaves_nothing_half_done() {
    let only = env::var("OCIFY_SCENARIO").unwrap_or_default();
    let mut all = Vec::new();
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| scenario.name.starts_with(&only))
    {
        let Some(expected) = Expected::of(*scenario) else {
            return;
        };
        all.push(expected);
    }
    let cases: Vec<(&Expected, Injection)> = all
        .iter()
        .flat_map(|expected| {
            expected
                .injections()
                .into_iter()
                .map(move |injection| (expected, injection))
        })
        .collect();
    let wanted = match env::var("OCIFY_SYSTEM_CALLS").as_deref() {
        Ok("full") => cases.len(),
        Ok(count) => count.parse().unwrap(),
        Err(_) => SAMPLE,
    };
    let step = cases.len().div_ceil(wanted);
    let total = cases.len();
    let queue = Mutex::new(cases.into_iter().step_by(step));
    let outcomes: Mutex<BTreeMap<(&str, String, i32), usize>> = Mutex::default();
    let wrong: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((expected, injection)) = { queue.lock().unwrap().next() } {
                    let Some(outcome) = expected.check(&injection) else {
                        continue;
                    };
                    let fault = format!("{:?}", injection.fault);
                    let key = (expected.scenario.name, fault, outcome.code);
                    *outcomes.lock().unwrap().entry(key).or_default() += 1;
                    wrong.lock().unwrap().extend(outcome.wrong);
                }
            });
        }
    });
    report(total, &outcomes.into_inner().unwrap());
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} faults: {}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn report(total: usize, outcomes: &BTreeMap<(&str, String, i32), usize>) {
    let tried: usize = outcomes.values().sum();
    println!("system calls: {tried} faults tried of {total}");
    let mut by_fault: BTreeMap<&str, BTreeMap<i32, usize>> = BTreeMap::new();
    let mut by_scenario: BTreeMap<&str, usize> = BTreeMap::new();
    for ((scenario, fault, code), count) in outcomes {
        *by_fault.entry(fault).or_default().entry(*code).or_default() += count;
        *by_scenario.entry(scenario).or_default() += count;
    }
    for (fault, codes) in by_fault {
        let mut line = String::new();
        for (code, count) in codes {
            write!(line, "  exit code {code}: {count}").unwrap();
        }
        println!("  {fault}:{line}");
    }
    for (scenario, count) in by_scenario {
        println!("  {scenario}: {count}");
    }
    // Otherwise no fault reached a call.
    assert!(
        outcomes.keys().any(|(_, _, code)| *code == 1),
        "{outcomes:?}"
    );
    assert!(
        outcomes.keys().any(|(_, _, code)| *code == 137),
        "{outcomes:?}"
    );
}
