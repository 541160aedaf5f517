//! Checks of many inputs in one run, which write nothing.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use ocify::{
    Blobs, Checked, Error, Input, Observer, Result, command::check, command::check::CheckItem,
    command::check::CheckReport, command::check::CheckSummary, command::check::GithubTable,
    command::check::HtmlPage, command::path_text,
};

use super::queue::Task;
use super::reading::Ended;
use super::session::{Session, SessionEnd, counts, lines_of_input, plain, styled};
use super::shard::Shard;
use super::turns::Turns;
use crate::args::{Check, CheckFormat, Fix};
use crate::check::{append_step_summary, fix_command_of_many, layout, options};
use crate::panics::caught;
use crate::words::Words;

/// Checks all inputs of a shard.
pub(crate) fn check_all(args: &Check, shard: Option<Shard>) -> SessionEnd<CheckCounts> {
    let dry_run = args.dry_run();
    let run = Run {
        args,
        dry_run: &dry_run,
        session: Session::new(&dry_run, dry_run.jobs(), shard, &Words::CHECK),
        turns: Turns::default(),
    };
    run.begin();
    let done = run.all();
    run.finish(done.err())
}

/// What every part of a run needs.
struct Run<'a> {
    args: &'a Check,
    /// The options of a dry run that reads inputs like this.
    dry_run: &'a Fix,
    session: Session<'a, CheckCounts>,
    /// Results that wait for those of inputs that were found before.
    turns: Turns<Reported>,
}

/// What is said of an input.
struct Reported {
    path: PathBuf,
    /// The length of the input.
    bytes: u64,
    seconds: f64,
    ended: Ended<Checked>,
    /// The command that fixes it.
    fix: Option<String>,
    /// Its line, or lines.
    shown: Vec<u8>,
}

/// About how many bytes the verdicts on one input take.
const VERDICTS_LEN: usize = 32 << 10;

impl Reported {
    /// About how many bytes it takes.
    fn len(&self) -> usize {
        self.shown.len() + VERDICTS_LEN
    }

    fn report<'r>(&'r self, input: &'r str) -> Option<CheckReport<'r>> {
        let report = match &self.ended {
            Ended::Done(checked) => CheckReport::new(input, checked)
                .with_blobs(checked.outcome.map(Blobs::from).unwrap_or_default()),
            Ended::Skipped(error) => CheckReport::skipped(input, error),
            Ended::Failed(error) => CheckReport::failed(input, error),
            Ended::Unfinished => return None,
        };
        Some(report.with_words(&Words::CHECK, self.fix.as_deref()))
    }
}

/// What is counted, and what is collected for the end.
#[derive(Default)]
pub(crate) struct CheckCounts {
    pub(crate) summary: CheckSummary,
    table: GithubTable,
    page: HtmlPage,
}

impl Run<'_> {
    /// Writes what precedes all inputs.
    fn begin(&self) {
        if self.args.format == CheckFormat::Junit {
            let start = plain(&|out| check::junit_start(out));
            self.session.overview.print(&start);
        }
    }

    /// Finds and checks everything. The error is one of the search.
    fn all(&self) -> Result<()> {
        // Each task has one thread, and those that are idle.
        let check = options(self.args, self.dry_run, Some(NonZeroUsize::MIN));
        let work = |input: Input, observer: &dyn Observer| check.run_observed(input, observer);
        let is_in_order = self.is_in_order();
        self.session
            .all(is_in_order, &work, &|task, ended, seconds| {
                self.ended(task, ended, seconds);
            })
    }

    /// Reports and counts how a check ended.
    fn ended(&self, task: &Task, ended: Ended<Checked>, seconds: f64) {
        let reported = match ended {
            Ended::Unfinished => None,
            ended => Some(self.reported(task, ended, seconds)),
        };
        if !self.is_in_order() {
            reported
                .into_iter()
                .for_each(|reported| self.count(reported));
            return;
        }
        let len = reported.as_ref().map_or(0, Reported::len);
        let is_stopped = || self.session.stop.is_asked();
        let count = |reported| self.count(reported);
        self.turns
            .put(task.turn, reported, len, &is_stopped, &count);
    }

    /// Whether the report must not depend on which check ends first. Lines of text and JSON are shown as checks end.
    fn is_in_order(&self) -> bool {
        match self.args.format {
            CheckFormat::Text | CheckFormat::Json => false,
            CheckFormat::Junit | CheckFormat::Github | CheckFormat::Html => true,
        }
    }

    /// What is said of an input. A panic is its failure, because the results after it wait for this one.
    fn reported(&self, task: &Task, ended: Ended<Checked>, seconds: f64) -> Reported {
        let mut reported = Reported {
            path: task.path.clone(),
            bytes: task.len,
            seconds,
            ended,
            fix: None,
            shown: Vec::new(),
        };
        let is_rejected = matches!(&reported.ended, Ended::Done(checked) if !checked.passes());
        let shown = caught(Some(&task.path), || {
            if is_rejected && (self.is_in_order() || self.args.fix.verbose) {
                reported.fix = fix_command_of_many(self.dry_run, &task.path);
            }
            Ok(self.shown(&reported))
        });
        match shown {
            Ok(shown) => reported.shown = shown,
            Err(error) => reported.ended = Ended::Failed(error),
        }
        match reported.ended {
            Ended::Failed(_) => self.session.failed(),
            _ if is_rejected => self.session.rejected(),
            _ => {}
        }
        reported
    }

    /// Shows and counts what was reported.
    fn count(&self, reported: Reported) {
        let input = path_text(&reported.path);
        let error = match &reported.ended {
            Ended::Failed(error) => Some(error.clone()),
            _ => None,
        };
        let (path, shown) = (&reported.path, &reported.shown);
        self.session.count(path, shown, error, |counts| {
            let Some(report) = reported.report(&input) else {
                return;
            };
            counts.summary.count(&report, reported.bytes);
            match self.args.format {
                CheckFormat::Github => counts.table.add(&report),
                CheckFormat::Html => counts.page.add(&report),
                CheckFormat::Text | CheckFormat::Json | CheckFormat::Junit => {}
            }
        });
    }

    /// The line for standard output.
    fn shown(&self, reported: &Reported) -> Vec<u8> {
        let input = path_text(&reported.path);
        let Some(report) = reported.report(&input) else {
            return Vec::new();
        };
        let item = CheckItem {
            report,
            bytes: reported.bytes,
            seconds: reported.seconds,
        };
        match self.args.format {
            CheckFormat::Json => plain(&|out| check::item_json(&item, out)),
            CheckFormat::Junit => plain(&|out| check::junit_suite(&item.report, item.seconds, out)),
            CheckFormat::Github => plain(&|out| check::github_annotation(&item.report, out)),
            // The page is written at the end.
            CheckFormat::Html => Vec::new(),
            CheckFormat::Text => {
                let is_on_terminal = self.session.overview.is_on_terminal();
                let in_full = self.args.fix.verbose.then(|| layout(true, is_on_terminal));
                lines_of_input(is_on_terminal, self.args.fix.detail(), &|out| {
                    check::item_text(&item, in_full, out)
                })
            }
        }
    }

    /// Reports the summary.
    fn finish(mut self, trouble: Option<Error>) -> SessionEnd<CheckCounts> {
        // Of a run that was stopped.
        for reported in std::mem::take(&mut self.turns).rest() {
            self.count(reported);
        }
        let format = self.args.format;
        let is_on_terminal = self.session.overview.is_on_terminal();
        let is_annotated = format == CheckFormat::Github;
        let mut end = self.session.finish(trouble, is_annotated, |ending| {
            let CheckCounts { summary, page, .. } = ending.summary;
            match format {
                CheckFormat::Json => plain(&|out| check::summary_json(summary, out)),
                CheckFormat::Junit => plain(&|out| check::junit_end(&summary.end, out)),
                CheckFormat::Github => plain(&|out| {
                    let mut errors = summary.end.error.iter();
                    errors.try_for_each(|failure| check::github_error(failure, out))?;
                    let mut warnings = ending.warning.into_iter();
                    warnings.try_for_each(|warning| check::github_warning(warning, out))
                }),
                CheckFormat::Html => plain(&|out| page.write(Some(summary), out)),
                CheckFormat::Text if ending.error.is_some() => Vec::new(),
                CheckFormat::Text => {
                    styled(is_on_terminal, &|out| check::summary_text(summary, out))
                }
            }
        });
        if is_annotated {
            let CheckCounts { summary, table, .. } = &end.summary;
            let table = plain(&|out| table.write(Some(summary), out));
            end.add(append_step_summary(&table));
        }
        end
    }
}

counts!(CheckCounts, summary);
