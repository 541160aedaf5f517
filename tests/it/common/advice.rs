//! Does what a hint says.

use std::path::Path;
use std::process::{Command, Stdio};

use super::failure::expect;
use super::judged::fixed;
use super::piped::stream;
use super::runner::{Run, Sandbox, run};
use super::skipped;

/// What the command in a hint says after these words, as it is written.
#[track_caller]
pub(crate) fn command_after<'a>(hint: &'a str, words: &str) -> &'a str {
    let Some((_, command)) = hint.split_once(words) else {
        panic!("\"{words}\" is not in the hint: {hint}");
    };
    command
}

/// Runs a line in a shell, in the sandbox, with ocify among the programs. What it writes to standard output is in
/// `piped.tar` then.
#[track_caller]
pub(crate) fn shell(sandbox: &Sandbox, line: &str) -> Run {
    let ocify = Path::new(env!("CARGO_BIN_EXE_ocify")).parent().unwrap();
    let path = format!("{}:{}", ocify.display(), programs());
    let line = format!("{{ {line}\n}} >piped.tar");
    // Some shells do not know this form yet.
    let program = match line.contains("$'") {
        true => "bash",
        false => "/bin/sh",
    };
    let mut command = Command::new(program);
    command.current_dir(sandbox.root()).env_clear();
    run(command.args(["-c", &line]).env("PATH", path))
}

/// Whether these programs are installed. Says so if they are not.
pub(crate) fn are_installed(programs: &[&str]) -> bool {
    let is_missing = |program: &&&str| {
        let mut command = Command::new("/bin/sh");
        command
            .env("PATH", self::programs())
            .args(["-c", "command -v \"$0\"", program])
            .stdout(Stdio::null());
        !command.status().unwrap().success()
    };
    match programs.iter().find(is_missing) {
        None => true,
        Some(program) => {
            skipped(&format!(
                "a hint that runs {program}, which is not installed"
            ));
            false
        }
    }
}

fn programs() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned())
}

/// Fixes a file of this name, which fails with this code and message. Returns the hint.
#[track_caller]
pub(crate) fn hint(sandbox: &Sandbox, name: &str, code: &str, parts: &[&str]) -> String {
    hint_with(sandbox, name, &[], code, parts)
}

#[track_caller]
pub(crate) fn hint_with(
    sandbox: &Sandbox,
    name: &str,
    options: &[&str],
    code: &str,
    parts: &[&str],
) -> String {
    let before = sandbox.names();
    let run = sandbox.fix_with(name, "out.tar", options);
    expect(name, &run, code, parts);
    assert_eq!(sandbox.names(), before, "{name}");
    run.json()["error"]["hint"].as_str().unwrap().to_owned()
}

/// The same for a stream.
#[track_caller]
pub(crate) fn stream_hint(bytes: &[u8], code: &str) -> String {
    let report = stream(bytes, &[]).exits(1).json();
    // A blob passes before what follows it.
    let found = report["error"]["code"].as_str().unwrap();
    assert!([code, "digest-mismatch"].contains(&found), "{report:#}");
    report["error"]["hint"].as_str().unwrap().to_owned()
}

/// Runs a line, which writes what fixing these bytes writes.
#[track_caller]
pub(crate) fn writes(sandbox: &Sandbox, line: &str, expected: &[u8]) {
    shell(sandbox, line).exits(0);
    let found = fixed(&sandbox.read("piped.tar"), &[]);
    assert!(found.bytes == fixed(expected, &[]).bytes, "{line}");
}
