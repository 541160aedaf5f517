//! The command that fixes an input.

use std::path::Path;

use ocify::{Limits, command::shell_word};

use crate::args::Fix;

/// The command that fixes an input of a check, with the options that decide how it is read.
pub(crate) fn fix_command(args: &Fix, input: &Path) -> String {
    let mut command = match args.is_stream() {
        true => "… | ocify fix -".to_owned(),
        false => format!("ocify fix {}", shell_word(input)),
    };
    command += &format!(" -o {}", free_name());
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

/// A name for the output that no file has.
fn free_name() -> String {
    let is_free = |name: &String| Path::new(name).symlink_metadata().is_err();
    let numbered = (2..100).map(|number| format!("fixed-{number}.tar"));
    let mut names = std::iter::once("fixed.tar".to_owned()).chain(numbered);
    names
        .find(is_free)
        .unwrap_or_else(|| "OUTPUT.tar".to_owned())
}
