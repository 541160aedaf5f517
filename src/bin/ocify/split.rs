//! A split: writes each image to an output of its own, and reports.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocify::{
    Directory, Divided, Report, Result, Summary, command::IoContext, command::json,
    command::path_text, command::split,
};

use crate::args::{CommandName, Split};
use crate::destination::{NewDirectory, output_directory, planned_directory};
use crate::ending::{self, Ending};
use crate::fix;
use crate::interrupt::Interrupt;
use crate::notices::Single;
use crate::run::{DONE, FAILED, Rendering, WOULD_FIX, finish_as, show};
use crate::transports;
use crate::words::Words;

/// Splits the input, or only shows what would be written. Returns the exit code.
pub(crate) fn split(args: &Split) -> u8 {
    let input = (!args.fix.is_stream()).then(|| args.fix.input());
    ending::run(Splitting::new(args), input, |ending, interrupt| {
        work(args, ending, interrupt)
    })
}

fn work(args: &Split, ending: &Splitting, interrupt: &Interrupt) -> Result<Divided> {
    #[cfg(test)]
    if args.fix.input().ends_with("panics.tar") {
        panic!("half-way");
    }
    let input = args.fix.input();
    divided(args, ending, interrupt)
        .map_err(|error| transports::with_hint(error, input, CommandName::Split))
}

fn divided(args: &Split, ending: &Splitting, interrupt: &Interrupt) -> Result<Divided> {
    let mut split = ocify::Split::new(fix::options(&args.fix))
        .layouts(args.fix.layout)
        .overwrite(args.fix.force);
    if let Some(by) = args.by {
        split = split.by(by.of_library());
    }
    let input = fix::open(args.fix.input())?;
    let observer = Single {
        args: &args.fix,
        interrupt,
    };
    let Some(output) = args.fix.output.as_deref() else {
        return split.plan_only_observed(input, &observer);
    };
    if args.fix.dry_run {
        if !planned_directory(output, CommandName::Split)? {
            return split.plan_only_observed(input, &observer);
        }
        let directory = Directory::open(output).context("open", output)?;
        return split.plan_for(input, &directory, &observer);
    }
    *ending.created() = output_directory(output, args.fix.sync, CommandName::Split)?;
    let directory = Directory::open(output).context("open", output)?;
    split.run_observed(input, &directory, &observer)
}

struct Splitting {
    args: Split,
    input: String,
    /// `None` on a dry run.
    output: Option<String>,
    /// The directory for the outputs, if this run created it.
    created: Mutex<Option<NewDirectory>>,
}

impl Splitting {
    fn new(args: &Split) -> Self {
        let shown = |path: &Path| path_text(path).into_owned();
        let output = args.fix.output.as_deref().filter(|_| !args.fix.dry_run);
        Splitting {
            args: args.clone(),
            input: shown(args.fix.input()),
            output: output.map(shown),
            created: Mutex::default(),
        }
    }

    fn created(&self) -> MutexGuard<'_, Option<NewDirectory>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the directory for the outputs if this run created it and wrote nothing to it.
    fn remove_directory(&self) {
        if let Some(created) = self.created().take() {
            created.remove_if_empty();
        }
    }
}

impl Ending for Splitting {
    type Done = Divided;

    fn report(&self, result: &Result<Divided>, _: &Interrupt) -> u8 {
        let is_written = |divided: &Divided| divided.parts.iter().any(|part| part.result.is_ok());
        if !result.as_ref().is_ok_and(is_written) {
            self.remove_directory();
        }
        let run = split::Run {
            input: &self.input,
            output: self.output.as_deref(),
            result: result.as_ref(),
            wording: &Words::SPLIT,
        };
        let nothing = Summary::default();
        let report = match result {
            Ok(_) => Report::dry_run(&self.input, &nothing),
            Err(error) => Report::failed(&self.input, error),
        };
        let mut is_failed = false;
        let parts = result.iter().flat_map(|divided| &divided.parts);
        for part in parts {
            if let Err(error) = &part.result {
                is_failed = true;
                show(|out| split::failure(part, error, &Words::SPLIT, out));
            }
        }
        let rendering = Rendering {
            text: &|_, detail, out| run.render(detail, out),
            json: &|_, out| json::pretty(&run.data(), out),
        };
        match finish_as(&report, &self.args.fix, &rendering, &Words::SPLIT) {
            // Nothing is wrong with an input that can be split.
            DONE | WOULD_FIX if !is_failed => DONE,
            _ => FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::panics::listen;

    #[test]
    fn a_panic_is_a_failure_with_a_report() {
        listen();
        for more in [&["-o", "never/"][..], &["--dry-run"]] {
            let line = [&["ocify", "split", "panics.tar", "--format", "json"], more].concat();
            let Command::Split(args) = Cli::try_parse_from(line).unwrap().command else {
                panic!("another command");
            };
            assert_eq!(split(&args), FAILED);
        }
    }
}
