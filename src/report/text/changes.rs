//! Changes and what follows from them, in the report for people.

use std::io::{self, Write};

use super::{BOLD, DIM, Detail, bytes, count};
use crate::error::escape;
use crate::image::{Digest, Platform, Reference};
use crate::plan::rules::Rule;
use crate::plan::{Change, DigestChange, Dropped, Severity};
use crate::report::Wording;

/// How many new digests a short report shows.
const DIGESTS: usize = 3;

/// Stands for a new value that a dry run cannot know.
const PENDING: &str = "known after recompression";

/// Writes how much was dropped, if anything was.
pub(in crate::report) fn dropped(
    dropped: Dropped,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    if dropped.blobs == 0 {
        return Ok(());
    }
    detail.separate(out)?;
    let blobs = count(dropped.blobs, "blob", "blobs");
    writeln!(
        out,
        "dropped {blobs} ({}) that nothing else needs",
        bytes(dropped.bytes)
    )
}

/// Writes the changes: a line for each kind, or every change.
pub(in crate::report) fn changes(
    changes: &[Change],
    wording: &dyn Wording,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut groups: Vec<Vec<&Change>> = Vec::new();
    let mut cosmetic: Vec<&Change> = Vec::new();
    for change in changes {
        if detail == Detail::Short {
            // The new digests stand for these.
            if change.rule.is_consequence() {
                continue;
            }
            if change.severity == Severity::Cosmetic {
                cosmetic.push(change);
                continue;
            }
        }
        let known = groups.iter_mut().find(|group| group[0].rule == change.rule);
        match known {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    let indent = match detail {
        Detail::Short => "  ",
        Detail::Full => "",
    };
    for group in groups {
        let rule = group[0].rule;
        detail.separate(out)?;
        writeln!(
            out,
            "{indent}{BOLD}{}{BOLD:#} ({}): {}",
            rule.name(),
            group.len(),
            wording.reason(rule)
        )?;
        if detail == Detail::Full {
            places(&group, out)?;
        }
    }
    cosmetic_changes(&cosmetic, out)
}

/// The place and the values of each change by one rule.
fn places(group: &[&Change], out: &mut dyn Write) -> io::Result<()> {
    for change in group {
        writeln!(out, "  {}", escape(&change.location.to_string()))?;
        let values = match (&change.before, &change.after) {
            // A file is renamed, and its location is its old name.
            (_, Some(after)) if change.rule == Rule::BlobName => format!("→ {}", escape(after)),
            (Some(before), Some(after)) => format!("{} → {}", escape(before), escape(after)),
            (None, Some(after)) => format!("added {}", escape(after)),
            (Some(before), None) if change.is_pending => format!("{} → {PENDING}", escape(before)),
            (Some(before), None) => format!("removed {}", escape(before)),
            (None, None) => continue,
        };
        writeln!(out, "    {DIM}{values}{DIM:#}")?;
    }
    Ok(())
}

/// One line for the changes that no engine needs.
fn cosmetic_changes(changes: &[&Change], out: &mut dyn Write) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut rules: Vec<&str> = Vec::new();
    for change in changes {
        if !rules.contains(&change.rule.name()) {
            rules.push(change.rule.name());
        }
    }
    let number = changes.len() as u64;
    let them = if number == 1 { "it" } else { "them" };
    writeln!(
        out,
        "  {BOLD}{}{BOLD:#}: {} (every engine loads the archive without {them})",
        count(number, "cosmetic change", "cosmetic changes"),
        rules.join(", ")
    )
}

/// Writes the digests of manifests and indexes that changed: the first new ones, or all with the old ones.
pub(in crate::report) fn digests(
    digests: &[DigestChange],
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<()> {
    if digests.is_empty() {
        return Ok(());
    }
    match detail {
        Detail::Short => new_digests(digests, out),
        Detail::Full => all_digests(digests, out),
    }
}

/// A line for each. What a single one is the digest of is clear, and without that the line fits 80 columns.
fn new_digests(digests: &[DigestChange], out: &mut dyn Write) -> io::Result<()> {
    for change in digests.iter().take(DIGESTS) {
        let about = match digests.len() {
            1 => Vec::new(),
            _ => about(change),
        };
        let about = match about.is_empty() {
            true => String::new(),
            false => format!(" {DIM}{}{DIM:#}", about.join(", ")),
        };
        writeln!(out, "  {BOLD}digest{BOLD:#} {}{about}", after(change))?;
    }
    if digests.len() > DIGESTS {
        let left = (digests.len() - DIGESTS) as u64;
        writeln!(
            out,
            "  and {}",
            count(left, "other digest", "other digests")
        )?;
    }
    Ok(())
}

fn all_digests(digests: &[DigestChange], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{BOLD}manifest digests{BOLD:#}")?;
    for change in digests {
        let about = about(change);
        if !about.is_empty() {
            writeln!(out, "  {}", about.join(", "))?;
        }
        writeln!(out, "    {} → {}", change.before, after(change))?;
    }
    Ok(())
}

/// What has the digest: whether it is an index, its names, its platform.
fn about(change: &DigestChange) -> Vec<String> {
    let mut about: Vec<String> = Vec::new();
    if change.is_index {
        about.push("index".to_owned());
    }
    let names = change.names.iter().map(Reference::familiar);
    about.extend(names.map(|name| escape(&name)));
    let platform = change.platform.as_ref().map(Platform::to_string);
    about.extend(platform.map(|platform| escape(&platform)));
    about
}

fn after(change: &DigestChange) -> String {
    let after = change.after.as_ref().map(Digest::to_string);
    after.unwrap_or_else(|| PENDING.to_owned())
}
