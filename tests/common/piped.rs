//! The command as a filter: an archive on standard input, another on standard output.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use super::checker::{Facts, check_stream};
use super::contents::Contents;
use super::runner::{Sandbox, wait_for};
use super::schema::check_report;

/// What came out of a run, and how it ended.
#[derive(Debug)]
pub(crate) struct Piped {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// Runs a command with these bytes on its standard input.
pub(crate) fn pipe(command: &mut Command, input: &[u8]) -> Piped {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout, mut stderr) = (
        child.stdin.take().unwrap(),
        child.stdout.take().unwrap(),
        child.stderr.take().unwrap(),
    );
    thread::scope(|scope| {
        scope.spawn(move || {
            // A command that has seen enough reads no further.
            let _ = stdin.write_all(input);
        });
        let out = scope.spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).unwrap();
            out
        });
        let err = scope.spawn(move || {
            let mut err = String::new();
            stderr.read_to_string(&mut err).unwrap();
            err
        });
        let code = wait_for(&mut child, command);
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        assert!(!err.contains("panicked at"), "{command:?}\n{err}");
        let code = code.unwrap_or_else(|| panic!("ended by a signal: {command:?}\n{err}"));
        Piped { code, out, err }
    })
}

/// `ocify fix - --format json` with more options, which leaves nothing behind.
#[track_caller]
pub(crate) fn stream(input: &[u8], options: &[&str]) -> Piped {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.env("TMPDIR", sandbox.root());
    command.args(["fix", "-", "--format", "json"]).args(options);
    let piped = pipe(&mut command, input);
    assert!(sandbox.names().is_empty(), "{:?}", sandbox.names());
    piped
}

impl Piped {
    /// The report, which is all that is on standard error.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let report = serde_json::from_str(&self.err)
            .unwrap_or_else(|error| panic!("no JSON report: {error}\n{}", self.err));
        check_report(&report);
        report
    }

    /// The same run, which must have ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Piped {
        assert_eq!(self.code, code, "{}", self.err);
        self
    }

    /// The names of the entries, as far as the archive goes.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut archive = tar::Archive::new(&self.out[..]);
        for entry in archive.entries().unwrap() {
            let Ok(entry) = entry else { break };
            names.push(String::from_utf8(entry.path_bytes().into_owned()).unwrap());
        }
        names
    }

    /// What came out, which must be right.
    #[track_caller]
    pub(crate) fn judged(&self) -> (Contents, Facts) {
        let facts = check_stream(&self.out);
        (Contents::from_tar(&self.out), facts)
    }

    /// The run failed with this code, and nothing that came out makes an image.
    #[track_caller]
    pub(crate) fn fails(&self, name: &str, codes: &[&str]) {
        let report = self.json();
        let error = &report["error"];
        let code = error["code"].as_str().unwrap_or_default();
        assert!(
            codes.contains(&code),
            "{name}: {codes:?} expected: {report:#}"
        );
        assert_eq!((self.code, &report["output"]), (1, &Value::Null), "{name}");
        for entry in self.names() {
            assert!(entry.starts_with("blobs/"), "{name}: {entry} was written");
        }
    }
}
