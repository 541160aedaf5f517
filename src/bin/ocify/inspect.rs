//! The contents of one input: asks the library, and reports.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::Path;

use ocify::{
    Error, Inspected, Result, command::inspect, command::inspect::InspectReport,
    command::inspect::InspectStatus, command::path_text,
};

use crate::args::{CommandName, Fix, Format, Inspect};
use crate::batch::{self, Shard};
use crate::check::layout;
use crate::ending::{self, Ending};
use crate::fix;
use crate::fold::fitted;
use crate::interrupt::Interrupt;
use crate::notices::Single;
use crate::run::{DONE, FAILED, show_error, write_at_once};
use crate::standard;
use crate::styles::styled_memory;
use crate::transports;
use crate::words::Words;

/// Lists the contents of the input. Returns the exit code.
pub(crate) fn inspect(args: &Inspect) -> u8 {
    let input = (!args.fix.is_stream()).then(|| args.fix.input());
    ending::run(Inspecting::new(args), input, work)
}

/// Lists the contents of many inputs. Returns the exit code.
pub(crate) fn inspect_all(args: &Inspect, shard: Option<Shard>) -> u8 {
    batch::inspect_all(args, shard).tell().unwrap_or(DONE)
}

fn work(ending: &Inspecting, interrupt: &Interrupt) -> Result<Inspected> {
    let args = &ending.dry_run;
    let observer = Single { args, interrupt };
    let with_hint = |error| transports::with_hint(error, args.input(), CommandName::Inspect);
    let input = fix::open(args.input()).map_err(with_hint)?;
    operation(args, None)
        .run_observed(input, &observer)
        .map_err(with_hint)
}

/// The inspection that the command line describes.
pub(crate) fn operation(dry_run: &Fix, jobs: Option<NonZeroUsize>) -> ocify::Inspect {
    // An interrupted fix is reported, because restoring the input would write to it.
    let fix = fix::options(dry_run).recover(false);
    ocify::Inspect::new(match jobs {
        Some(jobs) => fix.jobs(jobs),
        None => fix,
    })
}

struct Inspecting {
    dry_run: Fix,
    input: String,
}

impl Inspecting {
    fn new(args: &Inspect) -> Self {
        let input = match args.fix.format {
            Format::Text if args.fix.is_stream() => standard::INPUT.to_owned(),
            _ => path_text(args.fix.input()).into_owned(),
        };
        Inspecting {
            dry_run: args.dry_run(),
            input,
        }
    }

    fn show(&self, report: &InspectReport<'_>) -> io::Result<()> {
        let stdout = io::stdout().lock();
        let is_terminal = stdout.is_terminal();
        let mut shown = styled_memory(is_terminal);
        match self.dry_run.format {
            Format::Text => {
                let layout = layout(self.dry_run.verbose, is_terminal);
                inspect::render(report, layout, &mut shown)?;
                return write_at_once(stdout, &fitted(shown.into_inner(), is_terminal));
            }
            Format::Json => inspect::json(report, &mut shown)?,
        }
        write_at_once(stdout, &shown.into_inner())
    }
}

impl Ending for Inspecting {
    type Done = Inspected;

    fn report(&self, result: &Result<Inspected>, _: &Interrupt) -> u8 {
        let spooled = result
            .as_ref()
            .ok()
            .and_then(|inspected| inspected.spooled.as_ref());
        let spooled = spooled.map(ToString::to_string);
        let mut report = match result {
            Ok(inspected) => InspectReport::new(&self.input, inspected),
            Err(error) => InspectReport::failed(&self.input, error),
        };
        report = report.with_wording(&Words::INSPECT);
        report.spooled = spooled.as_deref();
        let shown = self.show(&report);
        if let Some(error) = report.error {
            show_error(error, &Words::INSPECT);
        }
        match shown {
            // The reader may have seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let path = Path::new(standard::OUTPUT);
                let error = Error::io("write the report to", path, error);
                show_error(&error, &Words::INSPECT);
                FAILED
            }
            _ if report.status == InspectStatus::Failed => FAILED,
            _ => DONE,
        }
    }
}
