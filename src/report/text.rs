//! The report for people.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::{Report, Status, Wording, metadata};
use crate::error::{Error, escape};
use crate::plan::rules::Rule;
use crate::plan::{Change, DigestChange, Finding, Plan, Severity};

/// How many places of one kind of change are shown.
const SHOWN: usize = 3;

/// Terminal styles, all empty without color.
pub(super) struct Style {
    pub(super) bold: &'static str,
    pub(super) dim: &'static str,
    pub(super) red: &'static str,
    pub(super) yellow: &'static str,
    pub(super) reset: &'static str,
}

impl Style {
    pub(super) fn new(color: bool) -> Self {
        if color {
            Style {
                bold: "\x1b[1m",
                dim: "\x1b[2m",
                red: "\x1b[1;31m",
                yellow: "\x1b[1;33m",
                reset: "\x1b[0m",
            }
        } else {
            Style {
                bold: "",
                dim: "",
                red: "",
                yellow: "",
                reset: "",
            }
        }
    }
}

/// Writes the report. A failure has none: [`error`] writes it.
pub fn render(report: &Report<'_>, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let style = Style::new(color);
    let Some(plan) = report.plan else {
        return recovered(report, &style, out);
    };
    writeln!(
        out,
        "{}{}{}",
        style.bold,
        headline(report, plan),
        style.reset
    )?;
    changes(&plan.changes, report.wording, &style, out)?;
    digests(&plan.digests, &style, out)?;
    findings(&plan.findings, report.wording, &style, out)
}

/// Writes an error and its hint.
pub fn error(
    error: &Error,
    wording: &dyn Wording,
    color: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let style = Style::new(color);
    let message = escape(&wording.error(error));
    writeln!(out, "{}error:{} {message}", style.red, style.reset)?;
    match error.hint() {
        Some(hint) => {
            let hint = escape(&wording.hint(hint));
            writeln!(out, "{}hint:{} {hint}", style.bold, style.reset)
        }
        None => Ok(()),
    }
}

/// A length in bytes for people, in decimal units.
pub fn bytes(len: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if len < 1000 {
        return format!("{len} B");
    }
    // Tenths of the unit, in whole numbers so that no length is rounded up into the next unit.
    let (mut tenths, mut unit) = (len / 100, 0);
    while tenths >= 10_000 {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

pub(super) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How many rules ask for changes.
pub(super) fn kinds_of_changes(plan: &Plan) -> u64 {
    let rules: BTreeSet<Rule> = plan.changes.iter().map(|change| change.rule).collect();
    rules.len() as u64
}

fn headline(report: &Report<'_>, plan: &Plan) -> String {
    let mut subject = escape(report.input);
    let is_in_place = report.output == Some(report.input);
    if let Some(output) = report.output.filter(|_| !is_in_place) {
        subject = format!("{subject} → {}", escape(output));
    }
    let kinds = count(kinds_of_changes(plan), "kind of change", "kinds of changes");
    let what = match report.status {
        Status::Fixed if is_in_place => format!("fixed in place, {kinds}"),
        Status::Fixed => format!("fixed, {kinds}"),
        Status::Unchanged => "already right, nothing needed to change".to_owned(),
        Status::WouldFix => format!("would be fixed, {kinds}"),
        Status::Restored | Status::Failed | Status::Kept | Status::Skipped => {
            report.status.name().to_owned()
        }
    };
    if report.output.is_none() {
        return format!("{subject}: {what}");
    }
    let blobs = count(report.blobs.count, "blob", "blobs");
    let verified = match (report.blobs.are_all_verified, is_in_place) {
        (true, _) => "verified",
        (false, true) => "kept, documents verified",
        (false, false) => "copied, documents verified",
    };
    format!(
        "{subject}: {what}, {blobs} ({}) {verified}",
        bytes(report.blobs.bytes)
    )
}

/// The only line of a run without a plan.
fn recovered(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let what = match report.status {
        Status::Restored => "brought back to what it was before an in-place fix that did not end",
        Status::Unchanged => {
            "no in-place fix was left unfinished, so there is nothing to bring back"
        }
        Status::Fixed | Status::WouldFix | Status::Failed | Status::Kept | Status::Skipped => {
            return Ok(());
        }
    };
    let Style { bold, reset, .. } = style;
    writeln!(out, "{bold}{}: {what}{reset}", escape(report.input))
}

fn changes(
    changes: &[Change],
    wording: &dyn Wording,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut groups: Vec<Vec<&Change>> = Vec::new();
    for change in changes {
        let known = groups.iter_mut().find(|group| group[0].rule == change.rule);
        match known {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    for group in groups {
        let rule = group[0].rule;
        let Style {
            bold, dim, reset, ..
        } = style;
        writeln!(
            out,
            "\n{bold}{}{reset} ({}): {}",
            rule.name(),
            group.len(),
            wording.reason(rule)
        )?;
        for change in group.iter().take(SHOWN) {
            writeln!(out, "  {}", escape(&change.location))?;
            let values = match (&change.before, &change.after) {
                // A file is renamed, and its location is its old name.
                (_, Some(after)) if rule == Rule::BlobName => format!("→ {}", escape(after)),
                (Some(before), Some(after)) => format!("{} → {}", escape(before), escape(after)),
                (None, Some(after)) => format!("added {}", escape(after)),
                (Some(before), None) => format!("removed {}", escape(before)),
                (None, None) => continue,
            };
            writeln!(out, "    {dim}{values}{reset}")?;
        }
        if group.len() > SHOWN {
            writeln!(out, "  and {} more", group.len() - SHOWN)?;
        }
    }
    Ok(())
}

fn digests(digests: &[DigestChange], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if digests.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}manifest digests{}", style.bold, style.reset)?;
    for change in digests {
        let mut about: Vec<String> = Vec::new();
        if change.is_index {
            about.push("index".to_owned());
        }
        about.extend(
            change
                .names
                .iter()
                .map(|name| escape(&metadata::familiar(name))),
        );
        about.extend(change.platform.as_deref().map(escape));
        if !about.is_empty() {
            writeln!(out, "  {}", about.join(", "))?;
        }
        writeln!(out, "    {} → {}", change.before, change.after)?;
    }
    Ok(())
}

fn findings(
    findings: &[Finding],
    wording: &dyn Wording,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !findings.is_empty() {
        writeln!(out)?;
    }
    for finding in findings {
        let severity = finding.rule.severity();
        let color = match severity {
            Severity::Warning => style.yellow,
            Severity::Info => style.bold,
        };
        write!(out, "{color}{}:{} ", severity.name(), style.reset)?;
        if let Some(location) = &finding.location {
            write!(out, "{}: ", escape(location))?;
        }
        writeln!(
            out,
            "{} [{}]",
            escape(&finding.message),
            finding.rule.name()
        )?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "  hint: {}", escape(&wording.hint(hint)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Blobs, Neutral, samples};
    use super::*;
    use crate::error::Code;

    fn text(report: &Report<'_>, color: bool) -> String {
        let mut out = Vec::new();
        render(report, color, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const BLOBS: Blobs = Blobs {
        count: 6,
        bytes: 4000,
        are_all_verified: true,
    };

    #[test]
    fn fixed() {
        let plan = samples::full();
        let expected = format!(
            "app.tar → fixed.tar: fixed, 2 kinds of changes, 6 blobs (4.0 kB) verified

layer-type (5): {}
  index.json, manifests[0], layers[0]
    old-type → new-type
  index.json, manifests[0], layers[1]
    old-type → new-type
  index.json, manifests[0], layers[2]
    old-type → new-type
  and 2 more

oci-layout (1): {}
  oci-layout
    added 1.0.0

manifest digests
  app:latest, linux/amd64
    {} → {}

warning: index.json, manifests[1]\\u{{1b}}[31m: an image has no name [unnamed-image]
  hint: name it after loading
",
            Rule::LayerType.reason(),
            Rule::OciLayout.reason(),
            samples::digest("before"),
            samples::digest("after"),
        );
        let report = Report::written("app.tar", "fixed.tar", &plan, BLOBS);
        assert_eq!(text(&report, false), expected);
    }

    #[test]
    fn color_changes_nothing_but_styles() {
        let plan = samples::full();
        let report = Report::written("app.tar", "fixed.tar", &plan, BLOBS);
        let mut colored = text(&report, true);
        assert!(colored.contains("\x1b[1;33mwarning:\x1b[0m"));
        for style in ["\x1b[1m", "\x1b[2m", "\x1b[1;33m", "\x1b[0m"] {
            colored = colored.replace(style, "");
        }
        assert_eq!(colored, text(&report, false));
    }

    #[test]
    fn other_headlines() {
        let (full, empty) = (samples::full(), samples::empty());
        let dry = text(&Report::dry_run("app.tar", &full), false);
        assert!(
            dry.starts_with("app.tar: would be fixed, 2 kinds of changes\n"),
            "{dry}"
        );
        let dry = text(&Report::dry_run("a\nb", &empty), false);
        assert_eq!(dry, "a\\u{a}b: already right, nothing needed to change\n");
        let report = Report::written(
            "app.tar",
            "b.tar",
            &empty,
            Blobs {
                count: 1,
                bytes: 7,
                are_all_verified: false,
            },
        );
        assert_eq!(
            text(&report, false),
            "app.tar → b.tar: already right, nothing needed to change, 1 blob (7 B) copied, documents verified\n"
        );
    }

    #[test]
    fn errors_with_and_without_hint() {
        let plain = Error::new(Code::MissingBlob, "blob \x07 is missing");
        for (input, expected) in [
            (plain, "error: blob \\u{7} is missing\n"),
            (
                Error::new(Code::OutputExists, "output exists").with_hint("pass --force"),
                "error: output exists\nhint: pass --force\n",
            ),
        ] {
            let mut out = Vec::new();
            error(&input, &Neutral, false, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn lengths() {
        for (len, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (4096, "4.0 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(len), expected);
        }
    }
}
