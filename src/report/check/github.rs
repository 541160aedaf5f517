//! The report of checks for GitHub Actions: workflow commands, which become annotations, and a table for the summary of
//! the step.

use std::io::{self, Write};

use super::closing::{Line, closing};
use super::many::{CheckSummary, in_short, summary_line};
use super::reasons::rule_texts;
use super::{CheckReport, CheckStatus};
use crate::check::Judged;
use crate::engines::Loads;
use crate::error::escape;
use crate::report::batch::grouped;
use crate::report::json::Failure;

/// How the report of standard input names it.
const STREAM: &str = "-";

/// The title of annotations.
const TITLE: &str = "ocify check";

/// How many bytes of rows a table has at most, because GitHub refuses a summary of more than 1 MiB: of inputs that did not
/// pass, and of the others.
const MAX_LEN: usize = 400_000;

/// Writes the annotation of one input: an error if it did not pass, a warning if it loads, but somewhere not all of it by
/// its name, else a notice.
pub fn github_annotation(report: &CheckReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let level = match report.status {
        CheckStatus::Rejected | CheckStatus::Failed => "error",
        CheckStatus::Passed if !is_plain(report) => "warning",
        CheckStatus::Passed | CheckStatus::Skipped => "notice",
    };
    let (input, result) = (shown(report.input), in_short(report));
    // Most errors name the input.
    let mut lines = vec![match result.starts_with(&input) {
        true => result,
        false => format!("{input}: {result}"),
    }];
    if let Some(error) = report
        .error
        .filter(|_| report.status == CheckStatus::Failed)
    {
        let hint = error.hint().map(|hint| report.wording.hint(hint));
        lines.extend(hint.map(|hint| format!("hint: {}", escape(&hint))));
    }
    if let Some(checked) = report
        .checked
        .filter(|_| report.status == CheckStatus::Rejected)
    {
        let is_meant = |judged: &Judged| judged.counts() && judged.is_bad();
        for rule in rule_texts(checked, &is_meant) {
            lines.push(format!("{}: {}", rule.name, rule.meaning));
            let details = std::iter::once(rule.place).chain(rule.messages);
            lines.extend(details.map(|line| format!("  {line}")));
        }
        lines.extend(commands(report).into_iter().map(|line| match line.command {
            Some(command) => format!("{} {command}", line.text),
            None => line.text,
        }));
    }
    let file = Some(report.input).filter(|input| *input != STREAM);
    command(level, file, &lines.join("\n"), out)
}

/// Writes the annotation of what went wrong apart from all inputs.
pub fn github_error(failure: &Failure, out: &mut dyn Write) -> io::Result<()> {
    let mut text = escape(&failure.message);
    if let Some(hint) = &failure.hint {
        text += &format!("\nhint: {}", escape(hint));
    }
    command("error", None, &text, out)
}

/// Writes the annotation of a run that found no images.
pub fn github_warning(warning: &str, out: &mut dyn Write) -> io::Result<()> {
    command("warning", None, warning, out)
}

/// Whether every engine that counts loads all images by their names.
fn is_plain(report: &CheckReport<'_>) -> bool {
    let verdicts = report.checked.map_or(&[][..], |checked| &checked.verdicts);
    let mut counted = verdicts.iter().filter(|judged| judged.counts());
    counted.all(|judged| matches!(judged.as_it_is.loads, Loads::Yes | Loads::Unknown))
}

/// The commands that make engines load the archive.
fn commands(report: &CheckReport<'_>) -> Vec<Line> {
    let lines = report.checked.map(|checked| closing(report, checked));
    let lines = lines.into_iter().flatten();
    lines.filter(|line| line.command.is_some()).collect()
}

fn shown(input: &str) -> String {
    match input {
        STREAM => "standard input".to_owned(),
        _ => escape(input),
    }
}

/// Writes a workflow command.
fn command(level: &str, file: Option<&str>, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let file = file.map(|file| format!("file={},", property(file)));
    let (file, text) = (file.unwrap_or_default(), data(text));
    writeln!(out, "::{level} {file}title={TITLE}::{text}")
}

/// The data of a workflow command: GitHub's escapes for what would end it.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join("\n").replace('%', "%25").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    let text = escape(text).replace('%', "%25");
    text.replace(':', "%3A").replace(',', "%2C")
}

/// The table for the summary of a step, in Markdown.
#[derive(Clone, Debug, Default)]
pub struct GithubTable {
    bad: Rows,
    good: Rows,
}

#[derive(Clone, Debug, Default)]
struct Rows {
    /// The input, and its row.
    rows: Vec<(String, String)>,
    len: usize,
    omitted: u64,
}

impl GithubTable {
    /// Adds the row of one input.
    pub fn add(&mut self, report: &CheckReport<'_>) {
        let (mark, rows) = match report.status {
            CheckStatus::Passed => ("✅ passed", &mut self.good),
            CheckStatus::Skipped => ("⚪ skipped", &mut self.good),
            CheckStatus::Rejected => ("❌ rejected", &mut self.bad),
            CheckStatus::Failed => ("❌ failed", &mut self.bad),
        };
        let commands = commands(report).into_iter().map(|line| {
            let command = line.command.map(|command| markdown(&command));
            let command = format!("<code>{}</code>", command.unwrap_or_default());
            match line.text == Line::FIX {
                true => command,
                false => format!("{} {command}", markdown(&line.text)),
            }
        });
        let commands: Vec<String> = commands.collect();
        let (input, result) = (markdown(&shown(report.input)), markdown(&in_short(report)));
        let commands = commands.join("<br>");
        let row = format!("| {mark} | {input} | {result} | {commands} |\n");
        rows.add(report.input, row);
    }

    /// Writes the table, with what became of all inputs if there are several.
    pub fn write(&self, summary: Option<&CheckSummary>, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "### {TITLE}\n")?;
        if let Some(summary) = summary {
            let (start, rest) = summary_line(summary);
            writeln!(out, "{}\n", markdown(&format!("{start}{rest}")))?;
            if let Some(failure) = &summary.end.error {
                writeln!(out, "❌ {}\n", markdown(&failure.message))?;
            }
        }
        if self.bad.rows.is_empty() && self.good.rows.is_empty() {
            return Ok(());
        }
        writeln!(out, "| | Input | Result | Fix |\n|---|---|---|---|")?;
        self.bad.write(out)?;
        self.good.write(out)?;
        match self.bad.omitted + self.good.omitted {
            0 => Ok(()),
            omitted => writeln!(out, "\nand {} more, which the log has", grouped(omitted)),
        }
    }
}

impl Rows {
    fn add(&mut self, input: &str, row: String) {
        if self.len + row.len() > MAX_LEN {
            self.omitted += 1;
            return;
        }
        self.len += row.len();
        self.rows.push((input.to_owned(), row));
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows: Vec<&(String, String)> = self.rows.iter().collect();
        rows.sort();
        rows.into_iter()
            .try_for_each(|(_, row)| out.write_all(row.as_bytes()))
    }
}

/// Text in Markdown, in which nothing is markup: whatever may be is a character reference.
fn markdown(text: &str) -> String {
    const PLAIN: &str = " ,./-";
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c.is_ascii_punctuation() && !PLAIN.contains(c) {
            true => out.push_str(&format!("&#{};", u32::from(c))),
            false => out.push(c),
        }
    }
    // This would become a link.
    out.replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_commands_or_markup() {
        assert_eq!(
            property("a,b:c%\nd\r\u{1b}"),
            "a%2Cb%3Ac%25\\u{a}d\\u{d}\\u{1b}"
        );
        assert_eq!(data("100%\n::error::x\r"), "100%25%0A::error::x\\u{d}");
        assert_eq!(
            markdown("a|b <img> [x](www.y) `z`\n# *_@é"),
            "a&#124;b &#60;img&#62; &#91;x&#93;&#40;www&#46;y&#41; &#96;z&#96;&#92;u&#123;a&#125;&#35; &#42;&#95;&#64;é"
        );
    }

    #[test]
    fn a_table_stays_below_the_limit() {
        let mut table = GithubTable::default();
        let error = crate::error::Error::new(crate::error::Code::MissingBlob, "x");
        for number in 0..20_000 {
            let input = format!("{number:05}.tar");
            table.add(&CheckReport::failed(&input, &error));
            table.add(&CheckReport::skipped(&input, &error));
        }
        let mut out = Vec::new();
        table.write(None, &mut out).unwrap();
        assert!(out.len() < 1 << 20, "{}", out.len());
        let text = String::from_utf8(out).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| ❌")).count();
        let rows = rows + text.lines().filter(|line| line.starts_with("| ⚪")).count();
        let more = grouped(40_000 - rows as u64);
        assert!(text.ends_with(&format!("\nand {more} more, which the log has\n")));
    }
}
