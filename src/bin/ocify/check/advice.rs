//! The command that fixes an input.

use std::env;
use std::path::{Path, PathBuf};

use ocify::{Limits, command::shell_word};

use crate::args::Fix;

/// The command that fixes an input of a check, with the options that decide how it is read; `None` if no place for the
/// output is known.
pub(crate) fn fix_command(args: &Fix, input: &Path) -> Option<String> {
    let mut command = match args.is_stream() {
        true => "… | ocify fix -".to_owned(),
        false => format!("ocify fix {}", shell_word(input)),
    };
    let directory = match args.is_stream() {
        true => PathBuf::new(),
        false => outside(input)?,
    };
    command += &format!(" -o {}", shell_word(&free_name(&directory)?));
    let defaults = Limits::default();
    let limits = args.limits();
    let options = [
        (args.follow, "--follow".to_owned()),
        (args.lenient, "--lenient".to_owned()),
        (
            limits.max_ratio != defaults.max_ratio,
            format!("--max-ratio {}", args.max_ratio),
        ),
        (
            limits.max_size != defaults.max_size,
            format!("--max-size {}", args.max_size),
        ),
        (
            limits.max_window != defaults.max_window,
            format!("--max-window {}", args.max_window),
        ),
    ];
    for (_, option) in options.iter().filter(|(is_given, _)| *is_given) {
        command += &format!(" {option}");
    }
    if let Some(directory) = &args.spool_dir {
        command += &format!(" --spool-dir {}", shell_word(directory));
    }
    Some(command)
}

/// The nearest directory, seen from the current one, that is not in the input; empty for the current one.
fn outside(input: &Path) -> Option<PathBuf> {
    let Ok(input) = input.canonicalize() else {
        return Some(PathBuf::new());
    };
    let current = env::current_dir().and_then(|current| current.canonicalize());
    let mut current = current.ok()?;
    let mut directory = PathBuf::new();
    while current.starts_with(&input) {
        directory.push("..");
        current = current.parent()?.to_owned();
    }
    Some(directory)
}

/// A path for the output in a directory, which no file has.
fn free_name(directory: &Path) -> Option<PathBuf> {
    let numbered = (2..100).map(|number| format!("fixed-{number}.tar"));
    let names = std::iter::once("fixed.tar".to_owned()).chain(numbered);
    let mut paths = names.map(|name| directory.join(name));
    paths.find(|path| path.symlink_metadata().is_err())
}
