//! A merge: joins the inputs, and reports.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process;

use ocify::{
    Code, Error, Input, MergedInput, Output, Report, Result, command::json, command::merge,
    command::path_text, command::text,
};

use crate::args::{Format, Merge, is_standard};
use crate::destination::Destination;
use crate::fix::{self, Done};
use crate::interrupt::Interrupt;
use crate::metadata;
use crate::notices::Single;
use crate::run::{FAILED, show_error, write_at_once};
use crate::standard;
use crate::styles::styled_memory;
use crate::words::Words;

/// Merges the inputs, or only shows what would be merged. Returns the exit code.
pub(crate) fn merge(args: &Merge, destination: Option<&Destination>) -> u8 {
    let interrupt = Interrupt::default();
    interrupt.watch(|code| {
        let message = "the run was stopped while it waited for its input or output";
        show_error(&Error::new(Code::Interrupted, message));
        process::exit(code.into());
    });
    let result = work(args, destination, &interrupt);
    let output = match (args.fix.dry_run, destination) {
        (true, _) => None,
        (false, Some(destination)) => Some(path_text(destination.path()).into_owned()),
        (false, None) => Some(standard::OUTPUT.to_owned()),
    };
    let inputs: Vec<_> = args
        .fix
        .inputs
        .iter()
        .map(|input| path_text(input))
        .collect();
    let input = inputs.join(", ");
    let (inputs, report) = match &result {
        Ok((inputs, done)) => {
            let report = match &output {
                Some(output) => Report::written(&input, output, &done.plan, done.blobs),
                None => Report::dry_run(&input, &done.plan).with_blobs(done.blobs),
            };
            (inputs.as_slice(), report)
        }
        Err(error) => (&[][..], Report::failed(&input, error)),
    };
    let code = finish(args, inputs, &report);
    match code {
        FAILED if interrupt.is_asked() => interrupt.exit_code(),
        _ => code,
    }
}

fn work(
    args: &Merge,
    destination: Option<&Destination>,
    interrupt: &Interrupt,
) -> Result<(Vec<MergedInput>, Done)> {
    let mut merge = ocify::Merge::new(fix::options(&args.fix));
    if let Some(choice) = args.on_conflict {
        merge = merge.on_conflict(choice.of_library());
    }
    if let Some(name) = &args.index {
        merge = merge.index(name.clone());
    }
    let inputs = args.fix.inputs.iter().map(|input| open(input));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let observer = Single {
        args: &args.fix,
        interrupt,
    };
    if args.fix.dry_run {
        let form = fix::form(&args.fix, destination);
        let preview = merge.plan_only_observed(inputs, form, &observer)?;
        return Ok((preview.inputs, preview.output.into()));
    }
    let output = match destination {
        Some(destination) => destination.output().overwrite(args.fix.force),
        None => Output::from_file(standard::output()?, standard::OUTPUT)?,
    };
    let merged = merge.run_observed(inputs, output, &observer)?;
    let done: Done = merged.output.into();
    if let Some(path) = &args.fix.metadata_file {
        metadata::write(path, &done.plan, interrupt)?;
    }
    Ok((merged.inputs, done))
}

fn open(input: &Path) -> Result<Input> {
    match is_standard(input) {
        true => Input::from_file(standard::input()?, standard::INPUT),
        false => Input::open(input),
    }
}

/// Shows the report. Returns the exit code.
fn finish(args: &Merge, inputs: &[MergedInput], report: &Report<'_>) -> u8 {
    let is_alone = args.fix.is_to_stream() && args.fix.format == Format::Json;
    if let Some(error) = report.error
        && error.code() != Code::OutputClosed
        && !is_alone
    {
        show_error(error);
    }
    let code = match report.error {
        Some(_) => FAILED,
        None => 0,
    };
    let shown = match args.fix.is_stdout_taken() {
        true => show(args, inputs, report, io::stderr()),
        false => show(args, inputs, report, io::stdout()),
    };
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let stream = Path::new(standard::OUTPUT);
            show_error(&Error::io("write the report to", stream, error));
            FAILED
        }
        _ => code,
    }
}

fn show(
    args: &Merge,
    inputs: &[MergedInput],
    report: &Report<'_>,
    to: impl Write + IsTerminal,
) -> io::Result<()> {
    let report = &report.with_wording(&Words);
    match args.fix.format {
        Format::Text => {
            let detail = match args.fix.verbose {
                true => text::Detail::Full,
                false => text::Detail::Short,
            };
            let mut shown = styled_memory(to.is_terminal());
            merge::render(inputs, report, detail, &mut shown)?;
            write_at_once(to, &shown.into_inner())
        }
        Format::Json => {
            let mut shown = Vec::new();
            json::pretty(&merge::MergeData::new(inputs, report), &mut shown)?;
            write_at_once(to, &shown)
        }
    }
}
