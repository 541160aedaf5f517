//! The report of one check for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::CheckReport;
use super::closing::{Line, closing};
use super::reasons::reasons;
use super::table::{Cell, Row, all_rows, rows, word};
use super::wrap::wrapped;
use crate::check::Checked;
use crate::engines::Loads;
use crate::error::escape;
use crate::image::{Content, Digest, Reference};
use crate::report::text::{BELOW, BOLD, DIM, Detail, RED, YELLOW, count, findings, verified};

const GREEN: Style = AnsiColor::Green.on_default();

/// How many names and platforms the first line shows.
const SHOWN: usize = 4;

/// How a report for people is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How wide lines of text are, if no word is longer.
    pub width: usize,
    /// Whether every verdict has a row of its own.
    pub is_full: bool,
}

impl Layout {
    /// The same below the line of one of many inputs.
    pub(in crate::report) fn below_line(self) -> Self {
        Layout {
            width: self.width.saturating_sub(BELOW.len()),
            ..self
        }
    }
}

/// Writes the report, with escape sequences for styles. A failure has no report.
pub fn render(report: &CheckReport<'_>, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let Some(checked) = report.checked else {
        return Ok(());
    };
    let (input, what) = (escape(report.input), contents_and_blobs(report, checked));
    writeln!(out, "{BOLD}{input}: {what}{BOLD:#}")?;
    details(report, checked, layout, out)
}

/// Writes what belongs below the line of one of many inputs.
pub(super) fn below(
    report: &CheckReport<'_>,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(checked) = report.checked else {
        return Ok(());
    };
    let what = contents_and_blobs(report, checked);
    writeln!(out, "{}", wrapped(&what, 0, 2, layout.width))?;
    details(report, checked, layout, out)
}

fn contents_and_blobs(report: &CheckReport<'_>, checked: &Checked) -> String {
    let mut what = contents(checked);
    if report.blobs.count > 0 {
        what += &format!(", {}", verified(&report.blobs, "found"));
    }
    what
}

fn details(
    report: &CheckReport<'_>,
    checked: &Checked,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !checked.verdicts.is_empty() {
        writeln!(out)?;
        table(checked, layout, out)?;
        reasons(checked, layout, out)?;
    }
    findings(&checked.summary.findings, report.wording, Detail::Full, out)?;
    writeln!(out)?;
    for line in closing(report, checked) {
        let style = match line.text == Line::FIX {
            true => BOLD,
            false => Style::new(),
        };
        let text = wrapped(&line.text, 0, 2, layout.width);
        match line.command {
            Some(command) => writeln!(out, "{style}{text}{style:#} {command}")?,
            None => writeln!(out, "{text}")?,
        }
    }
    Ok(())
}

/// What is in the archive, in short.
pub(super) fn contents(checked: &Checked) -> String {
    let summary = &checked.summary;
    if summary.images.is_empty() {
        return match checked.is_cache {
            true => "a BuildKit cache".to_owned(),
            false => "no image".to_owned(),
        };
    }
    let names = summary.images.iter().flat_map(|image| &image.names);
    let names: Vec<String> = names
        .map(Reference::familiar)
        .map(|name| escape(&name))
        .collect();
    let platforms = checked.images.iter().filter_map(|image| {
        let platform = image.platform.as_ref()?;
        Some(escape(&platform.to_string()))
    });
    let mut distinct: Vec<String> = Vec::new();
    for platform in platforms {
        if !distinct.contains(&platform) {
            distinct.push(platform);
        }
    }
    let mut parts = vec![match names.is_empty() {
        true => "without a name".to_owned(),
        false => shortened(&names),
    }];
    if !distinct.is_empty() {
        parts.push(shortened(&distinct));
    }
    let layers = checked.images.iter().flat_map(|image| &image.layers);
    parts.push(layer_forms(
        layers.map(|layer| (&layer.digest, layer.content)),
    ));
    parts.join(", ")
}

/// The first of several texts, and how many more there are.
pub(in crate::report) fn shortened(items: &[String]) -> String {
    let shown: Vec<&str> = items.iter().take(SHOWN).map(String::as_str).collect();
    let shown = shown.join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// How many layers there are, and their compression.
pub(in crate::report) fn layer_forms<'d>(
    layers: impl Iterator<Item = (&'d Digest, Option<Content>)>,
) -> String {
    let distinct: BTreeMap<&Digest, Option<Content>> = layers.collect();
    let mut forms: Vec<(&str, u64)> = Vec::new();
    for content in distinct.values() {
        let form = form(*content);
        match forms.iter_mut().find(|(known, _)| *known == form) {
            Some((_, count)) => *count += 1,
            None => forms.push((form, 1)),
        }
    }
    let number = count(distinct.len() as u64, "layer", "layers");
    match forms.as_slice() {
        [] => number,
        [(form, _)] => format!("{number} ({form})"),
        _ => {
            let forms = forms.iter().map(|(form, count)| format!("{count} {form}"));
            format!("{number} ({})", forms.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The word for what a layer is compressed with.
pub(in crate::report) fn form(content: Option<Content>) -> &'static str {
    match content {
        None => "absent",
        Some(Content::Tar) => "uncompressed",
        Some(Content::Empty) => "empty",
        Some(other) => other.name(),
    }
}

fn style(loads: Loads) -> Style {
    match loads {
        Loads::Yes => GREEN,
        Loads::Untagged | Loads::Choose | Loads::Unknown => YELLOW,
        Loads::Partly | Loads::No => RED,
    }
}

fn cell_text(cell: &Cell, word_width: usize, has_rule: bool) -> String {
    let rule = cell.rule.filter(|_| has_rule).map(|rule| rule.name());
    let word = word(cell.loads);
    let mut text = match rule {
        Some(rule) => format!("{word:word_width$}  {rule}"),
        None => word.to_owned(),
    };
    if let Some(store) = cell.store {
        text += &format!(" ({store})");
    }
    text
}

const HEADINGS: [&str; 3] = ["engine", "as it is", "after ocify fix"];

fn table(checked: &Checked, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let rows = match layout.is_full {
        true => all_rows(&checked.verdicts),
        false => rows(&checked.verdicts),
    };
    let cells = |of: fn(&Row) -> &Cell, has_rule: fn(&Row) -> bool| -> Vec<String> {
        let with_rule = rows
            .iter()
            .filter(|row| of(row).rule.is_some() && has_rule(row));
        let words = with_rule.map(|row| word(of(row).loads).len());
        let word_width = words.max().unwrap_or(0);
        let texts = rows
            .iter()
            .map(|row| cell_text(of(row), word_width, has_rule(row)));
        texts.collect()
    };
    let before = cells(|row| &row.before, |_| true);
    // What is still in the way need not be said twice.
    let after = cells(|row| &row.after, |row| row.after.rule != row.before.rule);
    let short_after = cells(|row| &row.after, |_| false);
    let len = |text: &str| text.chars().count();
    let width = |texts: &[String], heading: &str| {
        let texts = texts.iter().map(String::as_str).chain([heading]);
        texts.map(len).max().unwrap_or(0)
    };
    let labels: Vec<String> = rows.iter().map(|row| row.label.clone()).collect();
    let engine = match checked.is_of_one_platform() {
        true => HEADINGS[0].to_owned(),
        false => format!(
            "{} on {}",
            HEADINGS[0],
            escape(&checked.platform.to_string())
        ),
    };
    let (label_width, before_width) = (width(&labels, &engine), width(&before, HEADINGS[1]));
    let fits = |after: &[String]| {
        6 + label_width + before_width + width(after, HEADINGS[2]) <= layout.width
    };
    // What is in the way after a fix is said below the table, too.
    let after = match fits(&after) {
        false if fits(&short_after) => short_after,
        _ => after,
    };
    let pad = |text: &str, width: usize| " ".repeat(width.saturating_sub(len(text)));
    if fits(&after) {
        let [_, now, fixed] = HEADINGS;
        let (pad_engine, pad_now) = (pad(&engine, label_width), pad(now, before_width));
        writeln!(
            out,
            "  {DIM}{engine}{pad_engine}  {now}{pad_now}  {fixed}{DIM:#}"
        )?;
        for ((row, now), fixed) in rows.iter().zip(&before).zip(&after) {
            let (pad_label, pad_now) = (pad(&row.label, label_width), pad(now, before_width));
            let (one, other) = (style(row.before.loads), style(row.after.loads));
            writeln!(
                out,
                "  {}{pad_label}  {one}{now}{one:#}{pad_now}  {other}{fixed}{other:#}",
                row.label
            )?;
        }
    } else {
        for ((row, now), fixed) in rows.iter().zip(&before).zip(&after) {
            let (one, other) = (style(row.before.loads), style(row.after.loads));
            writeln!(out, "  {}", row.label)?;
            writeln!(out, "    {DIM}{:16}{DIM:#}{one}{now}{one:#}", HEADINGS[1])?;
            writeln!(
                out,
                "    {DIM}{:16}{DIM:#}{other}{fixed}{other:#}",
                HEADINGS[2]
            )?;
        }
    }
    legend(&rows, layout, out)
}

/// What the word for a verdict means, unless it explains itself.
pub(super) fn meaning(loads: Loads) -> Option<&'static str> {
    match loads {
        Loads::Yes | Loads::No => None,
        Loads::Untagged => Some("loads, but an image has no name in this engine"),
        Loads::Choose => Some("the engine has to be told which of several images to load"),
        Loads::Partly => Some("does not load all images, or loads something else besides"),
        Loads::Unknown => Some(
            "nobody has tried this version or read its source; ocify engines lists those that are known",
        ),
    }
}

/// What the words of the table mean that do not explain themselves.
fn legend(rows: &[Row], layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let used = rows
        .iter()
        .flat_map(|row| [row.before.loads, row.after.loads]);
    let used: BTreeSet<Loads> = used.collect();
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for loads in used {
        lines.extend(meaning(loads).map(|meaning| (word(loads), meaning)));
    }
    if rows.iter().any(|row| row.label.ends_with("EOL")) {
        lines.push((
            "EOL",
            "no longer supported by its makers, so it does not count",
        ));
    }
    if !lines.is_empty() {
        writeln!(out)?;
    }
    for (word, meaning) in lines {
        let text = wrapped(&format!("{word}: {meaning}"), 2, 4, layout.width);
        writeln!(out, "  {DIM}{text}{DIM:#}")?;
    }
    Ok(())
}
