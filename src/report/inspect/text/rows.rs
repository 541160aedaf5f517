//! The rows of a manifest's layers.

use std::io::{self, Write};

use crate::error::escape;
use crate::image::media_type::without_tree;
use crate::image::{Content, Digest};
use crate::inspect::InspectedBlob;
use crate::report::check::{Layout, form};
use crate::report::text::{DIM, bytes};

/// How many digits of a digest are shown.
const DIGITS: usize = 12;

/// The row of a layer.
struct Row {
    len: String,
    form: &'static str,
    digits: String,
    media_type: String,
}

impl Row {
    fn of(layer: &InspectedBlob) -> Self {
        let form = match layer.content {
            // Documents, such as attestations, are not expected to be compressed.
            Some(Content::Other) => "other",
            content => form(content),
        };
        let media_type = layer.media_type.as_deref();
        Row {
            len: bytes(layer.len),
            form,
            digits: digits(&layer.digest),
            media_type: media_type.map(escape).unwrap_or_default(),
        }
    }
}

/// Writes the layers, with their digests and diff IDs if the report is a full one.
pub(super) fn rows(
    layers: &[InspectedBlob],
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows: Vec<Row> = layers.iter().map(Row::of).collect();
    let number = layers.len().to_string().len();
    let len = width(rows.iter().map(|row| row.len.as_str()));
    let form = width(rows.iter().map(|row| row.form));
    let start = 4 + number + 2 + len + 2 + form + 2 + DIGITS + 2;
    let types = width(rows.iter().map(|row| row.media_type.as_str()));
    let is_short = start + types > layout.width;
    for (position, (row, layer)) in rows.iter().zip(layers).enumerate() {
        let media_type = match is_short {
            true => without_tree(&row.media_type),
            false => &row.media_type,
        };
        let line = format!(
            "    {:>number$}  {:>len$}  {:form$}  {}",
            position + 1,
            row.len,
            row.form,
            row.digits,
        );
        if media_type.is_empty() {
            writeln!(out, "{line}")?;
        } else if start + media_type.chars().count() > layout.width {
            writeln!(out, "{line}\n    {:number$}  {media_type}", "")?;
        } else {
            writeln!(out, "{line}  {media_type}")?;
        }
        if layout.is_full {
            value("digest", &layer.digest.to_string(), out)?;
            if let Some(diff_id) = &layer.diff_id {
                value("diffID", &diff_id.to_string(), out)?;
            }
        }
    }
    Ok(())
}

/// Writes a value that may be copied, and so is never broken.
pub(super) fn value(label: &str, value: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {DIM}{label:6}{DIM:#} {}", escape(value))
}

/// The first digits of a digest.
pub(super) fn digits(digest: &Digest) -> String {
    let hex: String = digest.hex().chars().take(DIGITS).collect();
    escape(&hex)
}

fn width<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    let widths = texts.map(|text| text.chars().count());
    widths.max().unwrap_or(0)
}
