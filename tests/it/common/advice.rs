//! Does what a hint says.

use std::path::Path;
use std::process::{Command, Stdio};

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
    let mut command = Command::new("/bin/sh");
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
