//! The command that fixes an input.

use std::env;
use std::path::{Path, PathBuf};

use ocify::{Limits, command::shell_word};

use crate::args::Fix;

/// The command that fixes an input of a check, with the options that decide how it is read; `None` if no place for the
/// output is known.
pub(crate) fn fix_command(args: &Fix, input: &Path) -> Option<String> {
    let directory = match args.is_stream() {
        true => PathBuf::new(),
        false => outside(input)?,
    };
    Some(command(args, input, &free_name(&directory)?))
}

/// The same for one of many inputs, whose output goes into a directory under its own name.
pub(crate) fn fix_command_of_many(args: &Fix, input: &Path) -> Option<String> {
    let name = input.file_name()?;
    let outside = outside(input)?;
    let directories = numbered("fixed", "").map(|name| outside.join(name));
    let mut free = directories.filter(|directory| match directory.metadata() {
        Ok(found) => found.is_dir() && is_free(&directory.join(name)),
        Err(_) => is_free(directory),
    });
    // With a slash at its end, the name is that of a directory.
    Some(command(args, input, &free.next()?.join("")))
}

fn command(args: &Fix, input: &Path, output: &Path) -> String {
    let mut command = match args.is_stream() {
        true => "… | ocify fix -".to_owned(),
        false => format!("ocify fix {}", shell_word(input)),
    };
    command += &format!(" -o {}", shell_word(output));
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
    command
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
    let mut paths = numbered("fixed", ".tar").map(|name| directory.join(name));
    paths.find(|path| is_free(path))
}

/// Names to try.
fn numbered(start: &str, end: &str) -> impl Iterator<Item = String> {
    let first = format!("{start}{end}");
    let others = (2..100).map(move |number| format!("{start}-{number}{end}"));
    std::iter::once(first).chain(others)
}

fn is_free(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}
