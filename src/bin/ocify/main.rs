//! The command: arguments in, one call of the library, a report out.

mod args;
mod batch;
mod destination;
mod files;
mod fix;
mod interrupt;
mod metadata;
mod notices;
mod progress;
mod run;
mod standard;
mod styles;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::run(std::env::args_os())
}
