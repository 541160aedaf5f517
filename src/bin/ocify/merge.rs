//! A merge: joins the inputs, and reports.

use ocify::{MergedInput, Report, Result, command::json, command::merge, command::path_text};

use crate::args::{CommandName, Format, Merge};
use crate::destination::Destination;
use crate::ending::{self, Ending};
use crate::fix::{self, Done};
use crate::interrupt::Interrupt;
use crate::metadata;
use crate::notices::Single;
use crate::run::{DONE, Rendering, WOULD_FIX, finish_as};
use crate::standard;
use crate::transports;
use crate::words::Words;

/// What a merge did with the inputs, and the output.
type Outcome = Result<(Vec<MergedInput>, Done)>;

/// Merges the inputs, or only shows what would be merged. Returns the exit code.
pub(crate) fn merge(args: &Merge, destination: Option<&Destination>) -> u8 {
    let ending = Merging::new(args, destination);
    ending::run(ending, None, |_, interrupt| {
        work(args, destination, interrupt)
    })
}

fn work(args: &Merge, destination: Option<&Destination>, interrupt: &Interrupt) -> Outcome {
    #[cfg(test)]
    if args.fix.input().ends_with("panics.tar") {
        panic!("half-way");
    }
    let mut merge = ocify::Merge::new(fix::options(&args.fix));
    if let Some(choice) = args.on_conflict {
        merge = merge.on_conflict(choice.of_library());
    }
    if let Some(name) = &args.index {
        merge = merge.index(name.clone());
    }
    let inputs = args.fix.inputs.iter().map(|input| {
        fix::open(input).map_err(|error| transports::with_hint(error, input, CommandName::Merge))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let observer = Single {
        args: &args.fix,
        interrupt,
    };
    if args.fix.dry_run {
        let preview = match fix::planned_output(&args.fix, destination)? {
            Some(output) => merge.plan_for(inputs, output, &observer),
            None => {
                let form = fix::form(&args.fix, destination);
                merge.plan_only_observed(inputs, form, &observer)
            }
        }?;
        return Ok((preview.inputs, preview.output.into()));
    }
    let output = fix::output(&args.fix, destination)?;
    let merged = merge.run_observed(inputs, output, &observer)?;
    let done: Done = merged.output.into();
    if let Some(path) = &args.fix.metadata_file {
        metadata::write(path, &done.plan, interrupt)?;
    }
    Ok((merged.inputs, done))
}

struct Merging {
    args: Merge,
    input: String,
    /// `None` on a dry run.
    output: Option<String>,
}

impl Merging {
    fn new(args: &Merge, destination: Option<&Destination>) -> Self {
        let inputs = args.fix.inputs.iter().map(|input| path_text(input));
        let inputs: Vec<_> = inputs.collect();
        let output = match (destination, args.fix.format) {
            _ if args.fix.dry_run => None,
            (Some(destination), _) => Some(path_text(destination.path()).into_owned()),
            (None, Format::Text) => Some(standard::OUTPUT.to_owned()),
            (None, Format::Json) => Some("-".to_owned()),
        };
        Merging {
            args: args.clone(),
            input: inputs.join(", "),
            output,
        }
    }
}

impl Ending for Merging {
    type Done = (Vec<MergedInput>, Done);

    fn report(&self, result: &Outcome, _: &Interrupt) -> u8 {
        let (inputs, report) = match result {
            Ok((inputs, done)) => {
                let report = match &self.output {
                    Some(output) => Report::written(&self.input, output, &done.plan, done.blobs),
                    None => Report::dry_run(&self.input, &done.plan).with_blobs(done.blobs),
                };
                (inputs.as_slice(), report)
            }
            Err(error) => (&[][..], Report::failed(&self.input, error)),
        };
        let rendering = Rendering {
            text: &|report, detail, out| merge::render(inputs, report, detail, out),
            json: &|report, out| json::pretty(&merge::MergeData::new(inputs, report), out),
        };
        match finish_as(&report, &self.args.fix, &rendering, &Words::MERGE) {
            // Nothing is wrong with inputs that can be merged.
            WOULD_FIX => DONE,
            code => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::panics::listen;
    use crate::run::FAILED;

    #[test]
    fn a_panic_is_a_failure_with_a_report() {
        listen();
        let line = [
            "ocify",
            "merge",
            "panics.tar",
            "-o",
            "never.tar",
            "--format",
            "json",
        ];
        let Command::Merge(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        assert_eq!(merge(&args, None), FAILED);
    }
}
