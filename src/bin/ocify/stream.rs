//! Standard input: in one pass where that can be, and through a temporary file otherwise.

use std::io::{self, Write};
use std::path::Path;

use ocify::apply::{ApplyOptions, Outcome, StreamSink, Target};
use ocify::error::{Result, show_path};
use ocify::graph::resolve;
use ocify::input::{Source, SpoolOptions, Stream};
use ocify::plan::{Form, NewLayers, Plan};
use ocify::progress::Progress;
use ocify::standard;

use crate::args::{Fix, Format};
use crate::fix::{self, Around, Done};

/// Fixes what standard input holds.
pub(crate) fn fix(args: &Fix, around: &Around<'_>) -> Result<Done> {
    let name = Path::new(standard::INPUT);
    // Everything that can refuse an output does so before the input is read.
    let target = fix::target(&Source::of(standard::input()?, name)?, args)?;
    let directory = args.spool_directory();
    let options = SpoolOptions {
        directory: &directory,
        limits: args.limits(),
    };
    let mut stream = Stream::open(standard::input()?, name, options)?;
    let reason = match needs_file(args) {
        Some(reason) => Some(reason.to_owned()),
        None => stream.obstacle()?,
    };
    if let Some(reason) = reason {
        say_why(args, &directory, &reason);
        let source = stream.spool(&*(around.stage)("reading"))?;
        return Ok(Done {
            spooled: Some(reason),
            ..fix::fix_source(source, target, args, around)?
        });
    }
    let progress = (around.stage)("streaming");
    let options = fix::apply_options(args, around);
    // How much will come is not known.
    progress.start(0);
    let is_written = target.0.is_some();
    let result = match target.0.and_then(Target::into_writer) {
        Some(output) => one_pass(&mut stream, output, args, &options, &*progress),
        None => one_pass(&mut stream, io::sink(), args, &options, &*progress),
    };
    progress.finish();
    let (plan, outcome) = result?;
    Ok(match is_written {
        true => Done::written(plan, outcome, args),
        false => Done::planned(plan.summary),
    })
}

/// Why the archive has to be in a file, as far as the command line tells.
fn needs_file(args: &Fix) -> Option<&'static str> {
    if args.is_for_stream() {
        fix::plan_options(args).rewrites_layers()
    } else {
        Some("the output is no stream, so its entries are sorted")
    }
}

/// Says it once, but for a report to programs in the same place, which says it too.
fn say_why(args: &Fix, directory: &Path, reason: &str) {
    if args.is_to_stream() && args.format == Format::Json {
        return;
    }
    let _ = writeln!(
        io::stderr(),
        "{} is kept in {} while it is read twice: {reason}",
        standard::INPUT,
        show_path(directory)
    );
}

/// All stages while the archive passes.
fn one_pass(
    stream: &mut Stream,
    output: impl Write,
    args: &Fix,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<(Plan, Outcome)> {
    let mut sink = StreamSink::new(output, Path::new(standard::OUTPUT), options, progress);
    let inventory = stream.scan(fix::strictness(args), &mut sink)?;
    let graph = resolve(inventory, stream, fix::strictness(args))?;
    let options = fix::plan_options(args);
    let draft = ocify::plan(&graph, &options, Form::Stream, fix::host_architecture())?;
    let plan = draft.complete(&NewLayers::default())?;
    let outcome = sink.finish(&plan, stream)?;
    Ok((plan, outcome))
}
