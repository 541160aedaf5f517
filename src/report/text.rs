//! The report for people.

mod changes;
mod findings;

use std::collections::BTreeSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Blobs, Report, Status, Wording};
pub(super) use crate::error::count;
use crate::error::{Error, escape};
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::{Severity, Summary};
pub(super) use changes::{changes, digests, dropped};
pub(super) use findings::{ShownFinding, distinct_findings, finding, findings, findings_of};

/// How much a report shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// A line for each kind of change that does not follow from others, one for all changes that no engine needs, and one for each of
    /// the first new digests.
    #[default]
    Short,
    /// Every change, with its place and its values.
    Full,
}

impl Detail {
    /// Separates parts of a full report by an empty line.
    fn separate(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Detail::Short => Ok(()),
            Detail::Full => writeln!(out),
        }
    }
}

// Reports and errors are always styled. Streams that do not show styles remove them, as those of anstream do.
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// Writes the report, with escape sequences for styles. A failure has no report: [`error`] writes it.
pub fn render(report: &Report<'_>, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let Some(plan) = report.plan else {
        return recovered(report, out);
    };
    writeln!(out, "{BOLD}{}{BOLD:#}", headline(report, plan, detail))?;
    planned(plan, report.wording, detail, out)
}

/// Writes what a plan changes, and what it found.
pub(super) fn planned(
    plan: &Summary,
    wording: &dyn Wording,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    changes(&plan.changes, wording, detail, out)?;
    dropped(plan.dropped, detail, out)?;
    digests(&plan.digests, detail, out)?;
    findings(&plan.findings, wording, detail, out)
}

/// With what lines begin below the line of one of many inputs.
pub(super) const BELOW: &str = "  ";

/// Writes what belongs to the line of one of many inputs below it: indented, and without empty lines.
pub(super) fn below_line(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut all = Vec::new();
    write(&mut all)?;
    for line in all.split_inclusive(|byte| *byte == b'\n') {
        if line != b"\n" {
            out.write_all(BELOW.as_bytes())?;
            out.write_all(line)?;
        }
    }
    Ok(())
}

/// Writes an error and its hint, with escape sequences for styles.
pub fn error(error: &Error, wording: &dyn Wording, out: &mut dyn Write) -> io::Result<()> {
    error_of(None, error, wording, out)
}

/// The same for one of several outputs.
pub(super) fn error_of(
    subject: Option<&str>,
    error: &Error,
    wording: &dyn Wording,
    out: &mut dyn Write,
) -> io::Result<()> {
    let message = escape(&wording.error(error));
    match subject {
        Some(subject) => writeln!(out, "{RED}error:{RED:#} {subject}: {message}")?,
        None => writeln!(out, "{RED}error:{RED:#} {message}")?,
    }
    match error.hint() {
        Some(hint) => {
            let hint = escape(&wording.hint(hint));
            writeln!(out, "{BOLD}hint:{BOLD:#} {hint}")
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

/// How many kinds of changes a plan has, whether they are needed, and how many are not made. What follows from other changes does
/// not count.
pub(super) fn what_changes(status: Status, plan: &Summary) -> String {
    let rules = plan.changes.iter().map(|change| change.rule);
    let causes: BTreeSet<Rule> = rules.filter(|rule| !rule.is_consequence()).collect();
    let kinds = causes.len() as u64;
    // There is one finding for each rule.
    let not_made = plan.findings.iter();
    let not_made = not_made.filter(|finding| finding.rule == FindingRule::DigestsPreserved);
    let is_right = not_made
        .clone()
        .all(|finding| finding.severity == Severity::Cosmetic);
    let nothing = match is_right {
        true => "nothing to fix",
        false => "nothing to fix without new digests",
    };
    let made = match (status, kinds) {
        (_, 0) => nothing.to_owned(),
        (Status::Unchanged, _) => {
            let optional = count(
                kinds,
                "kind of optional change",
                "kinds of optional changes",
            );
            format!("{nothing}, {optional}")
        }
        _ => count(kinds, "kind of change", "kinds of changes"),
    };
    match not_made.count() as u64 {
        0 => made,
        kinds => {
            let kinds = count(kinds, "kind of change", "kinds of changes");
            format!("{made}, {kinds} not made to preserve digests")
        }
    }
}

/// How many kinds of changes a plan has, and how to see each change if this report does not show them.
pub(super) fn kinds_of_changes(
    status: Status,
    plan: &Summary,
    wording: &dyn Wording,
    detail: Detail,
) -> String {
    let kinds = what_changes(status, plan);
    match wording.full_report() {
        Some(way) if detail == Detail::Short && !plan.changes.is_empty() => {
            format!("{kinds} ({way})")
        }
        _ => kinds,
    }
}

fn headline(report: &Report<'_>, plan: &Summary, detail: Detail) -> String {
    let mut subject = escape(report.input);
    let is_in_place = report.output == Some(report.input);
    if let Some(output) = report.output.filter(|_| !is_in_place) {
        subject = format!("{subject} → {}", escape(output));
    }
    let kinds = kinds_of_changes(report.status, plan, report.wording, detail);
    let what = match report.status {
        Status::Fixed if is_in_place => format!("fixed in place, {kinds}"),
        Status::Fixed => format!("fixed, {kinds}"),
        Status::Unchanged => kinds,
        Status::WouldFix => format!("would be fixed, {kinds}"),
        Status::Restored | Status::Failed | Status::Kept | Status::Skipped => {
            report.status.name().to_owned()
        }
    };
    let is_dry_run = report.output.is_none();
    if is_dry_run && report.blobs.count == 0 {
        return format!("{subject}: {what}");
    }
    let done = match (is_dry_run, is_in_place) {
        (true, _) => "found",
        (false, true) => "kept",
        (false, false) => "copied",
    };
    format!("{subject}: {what}, {}", verified(&report.blobs, done))
}

/// The blobs, and what was verified of them; `done` says what happened to those that were not.
pub(super) fn verified(blobs: &Blobs, done: &str) -> String {
    let Blobs {
        verified,
        unverified,
        ..
    } = blobs;
    let mut text = format!(
        "{} ({})",
        count(blobs.count, "blob", "blobs"),
        bytes(blobs.bytes)
    );
    text += &if unverified.total() == 0 {
        " verified".to_owned()
    } else if verified.layers + verified.others + unverified.configs == 0 {
        format!(" {done}, documents verified")
    } else {
        format!(" {done}, {} verified", verified.total())
    };
    match verified.diff_ids {
        0 => text,
        layers => format!("{text}, {} by diff ID", count(layers, "layer", "layers")),
    }
}

/// The only line of a run without a plan.
fn recovered(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let what = match report.status {
        Status::Restored => "restored to its state before an in-place fix that was interrupted",
        Status::Unchanged => "no unfinished in-place fix was found, nothing to restore",
        Status::Fixed | Status::WouldFix | Status::Failed | Status::Kept | Status::Skipped => {
            return Ok(());
        }
    };
    writeln!(out, "{BOLD}{}: {what}{BOLD:#}", escape(report.input))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{BLOBS, without_styles};
    use super::super::{Blobs, Neutral, samples};
    use super::*;
    use crate::error::Code;
    use crate::plan::{DigestChange, Finding, Unverified, Verified};

    fn text(report: &Report<'_>) -> String {
        let mut out = Vec::new();
        render(report, Detail::Short, &mut out).unwrap();
        without_styles(out)
    }

    #[test]
    fn fixed() {
        let plan = samples::full();
        let expected = format!(
            "app.tar → fixed.tar: fixed, 2 kinds of changes, 6 blobs (4.0 kB) verified
  layer-type (5): {}
  oci-layout (1): {}
  digest {}
warning: a\\u{{1b}}[31m: an image has no name [unnamed-image]
  hint: name it after loading
",
            Rule::LayerType.reason(),
            Rule::OciLayout.reason(),
            samples::digest("after"),
        );
        let report = Report::written("app.tar", "fixed.tar", &plan, BLOBS);
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn styles() {
        let plan = samples::full();
        let report = Report::written("app.tar", "fixed.tar", &plan, BLOBS);
        let mut out = Vec::new();
        render(&report, Detail::Short, &mut out).unwrap();
        let styled = String::from_utf8(out).unwrap();
        for expected in [
            "\x1b[1mapp.tar → fixed.tar: fixed",
            "\x1b[1mlayer-type\x1b[0m (5)",
            "\x1b[1mdigest\x1b[0m sha256:",
            "\x1b[1m\x1b[33mwarning:\x1b[0m ",
        ] {
            assert!(styled.contains(expected), "{expected:?}: {styled:?}");
        }
    }

    #[test]
    fn cosmetic_changes_take_one_line() {
        let rules = [Rule::ArchiveForm, Rule::ExtraEntry, Rule::ExtraEntry];
        let plan = Summary {
            changes: rules.map(samples::cosmetic_change).to_vec(),
            ..samples::empty()
        };
        let line = "3 cosmetic changes: archive-form, extra-entry (every engine loads the archive without them)";
        let report = Report::dry_run("app.tar", &plan);
        assert_eq!(
            text(&report),
            format!("app.tar: nothing to fix, 2 kinds of optional changes\n  {line}\n")
        );
        let report = Report::strict_dry_run("app.tar", &plan);
        assert_eq!(
            text(&report),
            format!("app.tar: would be fixed, 2 kinds of changes\n  {line}\n")
        );
        let mut out = Vec::new();
        render(&report, Detail::Full, &mut out).unwrap();
        let full = without_styles(out);
        assert_eq!(full.matches("  index.json\n").count(), 3, "{full}");
        assert!(!full.contains("cosmetic"), "{full}");
    }

    #[test]
    fn unknown_digests_are_not_shown() {
        let plan = samples::pending();
        let short = text(&Report::dry_run("app.tar", &plan));
        let digest = "  digest known after recompression\n";
        assert!(short.contains(digest), "{short}");
        let mut out = Vec::new();
        render(&Report::dry_run("app.tar", &plan), Detail::Full, &mut out).unwrap();
        let shown = without_styles(out);
        let before = samples::digest("before");
        for expected in [
            "    zstd sha256:old → gzip\n".to_owned(),
            format!("    {before} → known after recompression\n"),
            format!(
                "\nmanifest digests\n  app:latest, linux/amd64\n    {before} → known after recompression\n"
            ),
        ] {
            assert!(shown.contains(&expected), "{expected}: {shown}");
        }
    }

    #[test]
    fn what_preserving_digests_prevents_is_said() {
        let finding = |severity| Finding {
            rule: FindingRule::DigestsPreserved,
            severity,
            location: None,
            message: "not made".to_owned(),
            hint: None,
        };
        let cosmetic = samples::cosmetic_change(Rule::ArchiveForm);
        let needed = samples::layer_change(0);
        let (made, not_made) = ("1 kind of change", "not made to preserve digests");
        for (changes, severities, expected) in [
            (
                vec![],
                vec![Severity::Breaks],
                format!("nothing to fix without new digests, {made} {not_made}"),
            ),
            (
                vec![],
                vec![Severity::Cosmetic; 2],
                format!("nothing to fix, 2 kinds of changes {not_made}"),
            ),
            (
                vec![cosmetic],
                vec![Severity::Cosmetic, Severity::Warns],
                format!(
                    "nothing to fix without new digests, 1 kind of optional change, 2 kinds of changes {not_made}"
                ),
            ),
            (
                vec![needed],
                vec![Severity::Breaks],
                format!("would be fixed, {made}, {made} {not_made}"),
            ),
        ] {
            let plan = Summary {
                changes,
                findings: severities.into_iter().map(finding).collect(),
                ..samples::empty()
            };
            let shown = text(&Report::dry_run("app.tar", &plan));
            let headline = shown.lines().next().unwrap();
            assert_eq!(headline, format!("app.tar: {expected}"));
        }
    }

    #[test]
    fn a_short_report_names_what_each_of_the_first_digests_is_of() {
        let mut plan = samples::full();
        let index = |name: &str| DigestChange {
            names: Vec::new(),
            platform: None,
            is_index: true,
            after: Some(samples::digest(name)),
            ..plan.digests[0].clone()
        };
        let indexes = ["one", "two", "three", "four"].map(index);
        plan.digests.extend(indexes);
        let shown = text(&Report::dry_run("app.tar", &plan));
        let expected = format!(
            "  digest {} app:latest, linux/amd64\n  digest {} index\n  digest {} index\n  and 2 other digests\n",
            samples::digest("after"),
            samples::digest("one"),
            samples::digest("two"),
        );
        assert!(shown.contains(&expected), "{shown}");
    }

    #[test]
    fn a_full_report_shows_every_place() {
        let plan = samples::full();
        let mut out = Vec::new();
        render(&Report::dry_run("app.tar", &plan), Detail::Full, &mut out).unwrap();
        let full = without_styles(out);
        assert_eq!(full.matches("old-type → new-type").count(), 5, "{full}");
        let (before, after) = (samples::digest("before"), samples::digest("after"));
        let digests = format!(
            "\nmanifest digests\n  app:latest, linux/amd64\n    {before} → {after}\n\nwarning: "
        );
        assert!(full.contains(&digests), "{full}");
    }

    #[test]
    fn other_headlines() {
        let (full, empty) = (samples::full(), samples::empty());
        let dry = text(&Report::dry_run("app.tar", &full));
        assert!(
            dry.starts_with("app.tar: would be fixed, 2 kinds of changes\n"),
            "{dry}"
        );
        let dry = text(&Report::dry_run("a\nb", &empty));
        assert_eq!(dry, "a\\u{a}b: nothing to fix\n");
        let dry = text(&Report::dry_run("app.tar", &full).with_blobs(BLOBS));
        assert!(
            dry.starts_with(
                "app.tar: would be fixed, 2 kinds of changes, 6 blobs (4.0 kB) verified\n"
            ),
            "{dry}"
        );
    }

    #[test]
    fn what_was_verified_is_called_so_and_nothing_else() {
        let blobs = |verified: [u64; 5], unverified: [u64; 3]| {
            let [documents, configs, layers, diff_ids, others] = verified;
            let verified = Verified {
                documents,
                configs,
                layers,
                diff_ids,
                others,
            };
            let [configs, layers, others] = unverified;
            let unverified = Unverified {
                configs,
                layers,
                others,
            };
            Blobs::new(
                verified.total() + unverified.total(),
                7,
                verified,
                unverified,
            )
        };
        let empty = samples::empty();
        for (verified, unverified, copied, kept) in [
            ([1, 0, 0, 0, 0], [0; 3], "1 blob (7 B) verified", ""),
            ([1, 1, 4, 0, 0], [0; 3], "6 blobs (7 B) verified", ""),
            (
                [1, 1, 4, 2, 0],
                [0; 3],
                "6 blobs (7 B) verified, 2 layers by diff ID",
                "",
            ),
            (
                [1, 1, 0, 0, 0],
                [0, 3, 1],
                "6 blobs (7 B) copied, documents verified",
                "6 blobs (7 B) kept, documents verified",
            ),
            (
                [1, 0, 0, 0, 0],
                [1, 3, 1],
                "6 blobs (7 B) copied, 1 verified",
                "6 blobs (7 B) kept, 1 verified",
            ),
            (
                [1, 1, 1, 1, 0],
                [0, 2, 1],
                "6 blobs (7 B) copied, 3 verified, 1 layer by diff ID",
                "6 blobs (7 B) kept, 3 verified, 1 layer by diff ID",
            ),
        ] {
            let blobs = blobs(verified, unverified);
            let report = Report::written("app.tar", "b.tar", &empty, blobs);
            let expected = format!("app.tar → b.tar: nothing to fix, {copied}\n");
            assert_eq!(text(&report), expected);
            let report = Report::written("app.tar", "app.tar", &empty, blobs);
            let kept = if kept.is_empty() { copied } else { kept };
            let expected = format!("app.tar: nothing to fix, {kept}\n");
            assert_eq!(text(&report), expected);
        }
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
            error(&input, &Neutral, &mut out).unwrap();
            assert_eq!(without_styles(out), expected);
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
