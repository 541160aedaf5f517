//! Defaults that the environment sets, such as those of a CI system for all its jobs.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory};

use super::Cli;

/// The options whose defaults can be set: their ids and names, and the variables. Options that weaken a check or replace
/// files are not among them: a variable is too easily forgotten.
const VARIABLES: [(&str, &str, &str); 7] = [
    ("engines", "--for", "OCIFY_FOR"),
    ("jobs", "--jobs", "OCIFY_JOBS"),
    ("max_ratio", "--max-ratio", "OCIFY_MAX_RATIO"),
    ("max_size", "--max-size", "OCIFY_MAX_SIZE"),
    ("max_window", "--max-window", "OCIFY_MAX_WINDOW"),
    ("progress", "--progress", "OCIFY_PROGRESS"),
    ("spool_dir", "--spool-dir", "OCIFY_SPOOL_DIR"),
];

/// What the help says about them.
pub(super) const HELP: &str = "\
Environment: OCIFY_FOR, OCIFY_JOBS, OCIFY_MAX_RATIO, OCIFY_MAX_SIZE, OCIFY_MAX_WINDOW, OCIFY_PROGRESS and \
OCIFY_SPOOL_DIR are the defaults of the options with these names. In OCIFY_FOR, commas separate engines.";

/// The value of a variable. An empty one counts as absent.
fn value(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// The command, with the defaults that the environment sets.
pub(super) fn with_defaults(command: clap::Command) -> clap::Command {
    VARIABLES
        .iter()
        .fold(command, |command, (id, _, variable)| {
            let Some(value) = value(variable) else {
                return command;
            };
            // Defaults have to live as long as the program.
            let value: &'static OsStr = Box::leak(value.into_boxed_os_str());
            command.mut_arg(id, |arg| match (*id, value.to_str()) {
                ("engines", Some(list)) => arg.default_values(list.split(',').map(str::trim)),
                _ => arg.default_value(value),
            })
        })
}

/// What a command line says.
///
/// # Errors
/// It is wrong. The error says so if the wrong value is that of a variable.
pub(crate) fn matches_of(line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let matches = Cli::command().try_get_matches_from(line);
    matches.map_err(|mut error| {
        name_variable(&mut error, line);
        error
    })
}

/// Says in an error where the value comes from, if it is that of a variable.
fn name_variable(error: &mut clap::Error, line: &[OsString]) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(argument) = text(ContextKind::InvalidArg) else {
        return;
    };
    let found = VARIABLES.iter().find(|(_, option, variable)| {
        let is_given = |given: &OsString| {
            let given = given.as_encoded_bytes();
            given.starts_with(option.as_bytes())
        };
        argument.split(' ').next() == Some(option)
            && !line.iter().any(is_given)
            && value(variable).is_some()
    });
    if let Some((_, _, variable)) = found {
        let tip = format!("the value comes from {variable} in the environment");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
}
