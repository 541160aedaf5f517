//! The command: arguments in, one call of the library, a report out.

mod args;
mod batch;
mod check;
mod destination;
mod digest_map;
mod documents;
mod ending;
mod files;
mod fix;
mod fold;
mod inspect;
mod interrupt;
mod merge;
mod metadata;
mod notices;
mod panics;
mod paths;
mod progress;
mod push;
mod records;
mod run;
mod single;
mod split;
mod standard;
mod styles;
mod transports;
mod way;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    panics::listen();
    run::run(std::env::args_os())
}
