//! The report of checks as JUnit XML, which GitLab and Jenkins show: a suite for each input, and a case for each engine.

use std::io::{self, Write};

use super::closing::command_for;
use super::many::in_short;
use super::reasons::lines_of;
use super::table::{label_of_one, word};
use super::text::meaning;
use super::{CheckReport, CheckStatus};
use crate::check::{FailOn, Judged};
use crate::engines::Loads;
use crate::error::escape;
use crate::report::run_end::RunEnd;

/// The name of what is not about an input.
const NAME: &str = "ocify check";

/// Writes what precedes all suites.
pub fn junit_start(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"{NAME}\">")
}

/// Writes the suite of one input, which took this many seconds.
pub fn junit_suite(report: &CheckReport<'_>, seconds: f64, out: &mut dyn Write) -> io::Result<()> {
    suite(report.input, &cases(report), seconds, out)
}

/// Writes what follows all suites. If something went wrong apart from all inputs, that is a suite, too.
pub fn junit_end(end: &RunEnd, out: &mut dyn Write) -> io::Result<()> {
    if let Some(failure) = &end.error {
        let case = Case {
            name: "run".to_owned(),
            result: CaseResult::Error(Problem {
                kind: failure.code.name().to_owned(),
                text: failure.message.clone(),
            }),
        };
        suite(NAME, &[case], end.seconds, out)?;
    }
    writeln!(out, "</testsuites>")
}

/// One case of a suite.
struct Case {
    name: String,
    result: CaseResult,
}

enum CaseResult {
    /// It passed; there may be something to add.
    Passed(Option<String>),
    /// It does not count, for this reason.
    Skipped(String),
    Failed(Problem),
    /// There is no result.
    Error(Problem),
}

struct Problem {
    kind: String,
    text: String,
}

fn suite(name: &str, cases: &[Case], seconds: f64, out: &mut dyn Write) -> io::Result<()> {
    let number = |of: fn(&CaseResult) -> bool| cases.iter().filter(|case| of(&case.result)).count();
    let tests = cases.len();
    let failures = number(|result| matches!(result, CaseResult::Failed(_)));
    let errors = number(|result| matches!(result, CaseResult::Error(_)));
    let skipped = number(|result| matches!(result, CaseResult::Skipped(_)));
    let input = xml(name);
    writeln!(
        out,
        "  <testsuite name=\"{input}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">"
    )?;
    for case in cases {
        let name = xml(&case.name);
        write!(
            out,
            "    <testcase classname=\"{input}\" name=\"{name}\" time=\"0\""
        )?;
        match &case.result {
            CaseResult::Passed(None) => {
                writeln!(out, "/>")?;
                continue;
            }
            CaseResult::Passed(Some(text)) => {
                write!(out, ">\n      <system-out>{}</system-out>\n", xml(text))?;
            }
            CaseResult::Skipped(why) => {
                write!(out, ">\n      <skipped message=\"{}\"/>\n", xml(why))?
            }
            CaseResult::Failed(problem) => problem.write("failure", out)?,
            CaseResult::Error(problem) => problem.write("error", out)?,
        }
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}

impl Problem {
    fn write(&self, element: &str, out: &mut dyn Write) -> io::Result<()> {
        let first = self.text.lines().next().unwrap_or_default();
        let (kind, message, text) = (xml(&self.kind), xml(first), xml_lines(&self.text));
        writeln!(out, ">")?;
        writeln!(
            out,
            "      <{element} type=\"{kind}\" message=\"{message}\">{text}</{element}>"
        )
    }
}

fn cases(report: &CheckReport<'_>) -> Vec<Case> {
    let case = |name: &str, result| Case {
        name: name.to_owned(),
        result,
    };
    let Some(checked) = report.checked else {
        let mut text = in_short(report);
        let result = match report.error {
            Some(error) if report.status == CheckStatus::Failed => {
                if let Some(hint) = error.hint() {
                    text += &format!("\nhint: {}", escape(&report.wording.hint(hint)));
                }
                CaseResult::Error(Problem {
                    kind: error.code().name().to_owned(),
                    text,
                })
            }
            _ => CaseResult::Skipped(text),
        };
        return vec![case("input", result)];
    };
    let verdicts = checked.verdicts.iter();
    let mut cases: Vec<Case> = verdicts
        .map(|judged| case(&label_of_one(judged), result(report, judged)))
        .collect();
    if cases.is_empty() {
        cases.push(case("engines", CaseResult::Skipped(in_short(report))));
    }
    for name in checked.failed_on.iter().copied().map(FailOn::name) {
        let problem = Problem {
            kind: name.to_owned(),
            text: format!("rejected because of {name}"),
        };
        cases.push(case(
            &format!("fail on {name}"),
            CaseResult::Failed(problem),
        ));
    }
    cases
}

/// A case fails if and only if the verdict makes the check fail.
fn result(report: &CheckReport<'_>, judged: &Judged) -> CaseResult {
    let verdict = &judged.as_it_is;
    let loads = match meaning(verdict.loads) {
        Some(meaning) => format!("{}: {meaning}", word(verdict.loads)),
        None => word(verdict.loads).to_owned(),
    };
    if judged.counts() && judged.is_bad() {
        let first = verdict.because.first();
        let kind = first.map_or(verdict.loads.name(), |reason| reason.obstacle.name());
        return CaseResult::Failed(Problem {
            kind: kind.to_owned(),
            text: text(report, judged, loads),
        });
    }
    match verdict.loads {
        Loads::Yes => CaseResult::Passed(None),
        loads_so if loads_so.is_good() => CaseResult::Passed(Some(loads)),
        Loads::Unknown => CaseResult::Skipped(loads),
        _ => CaseResult::Skipped(format!(
            "{}, but its makers no longer support this version",
            word(verdict.loads)
        )),
    }
}

/// The verdict, what is in the way, what the engine says, and the command that helps.
fn text(report: &CheckReport<'_>, judged: &Judged, loads: String) -> String {
    let mut lines = vec![match judged.as_it_is.because.first() {
        Some(reason) => format!(
            "{}: {}: {}",
            word(judged.as_it_is.loads),
            reason.obstacle.name(),
            reason.obstacle.meaning()
        ),
        None => loads,
    }];
    lines.extend(judged.as_it_is.because.iter().flat_map(lines_of));
    lines.extend(match command_for(report, judged) {
        Some(command) => Some(format!("it loads after: {command}")),
        None if judged.as_it_is.loads == Loads::Unknown => None,
        None => Some("ocify knows no fix that makes it load".to_owned()),
    });
    lines.join("\n")
}

/// Lines of text for XML 1.0.
fn xml_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(xml).collect();
    lines.join("\n")
}

/// A line of text for XML 1.0, in content or in an attribute with double quotes. What XML cannot contain is written as in
/// messages, and so is what is not visible.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_contain_is_escaped() {
        let text = "<a href=\"x\">&'\u{0}\u{1b}\u{202e}\u{fffe}é\r\n]]>";
        let expected = "&lt;a href=&quot;x&quot;&gt;&amp;'\\u{0}\\u{1b}\\u{202e}\\u{fffe}é\\u{d}";
        assert_eq!(xml(text), format!("{expected}\\u{{a}}]]&gt;"));
        assert_eq!(xml_lines(text), format!("{expected}\n]]&gt;"));
    }
}
