//! The lines of a state file.
//!
//! The first one states the format's number, which is 4: `{"format":4}`. Every other line is a JSON object that begins
//! with a checksum over its rest.
//!
//! Formats 1 to 3 are read too. Format 3 is the same, except that its notes have no findings. A file of format 1 does not
//! state the number, and its lines have a shorter key for the options. Lines of formats 1 and 2 lack the digest of the
//! content, and were written before their outputs were on disk. So they prove that ocify wrote the file that is there and
//! may replace it, but neither that it is intact nor what it contains.
//!
//! When a file is upgraded, its lines stay as they are, so each line shows its own format.

use std::borrow::Cow;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ocify::{Algorithm, Digest, command::path_text};
use serde::Serialize;
use serde_json::{Value, json};

use crate::batch::fingerprint::Fingerprint;

/// The number of the format that is written.
pub(super) const FORMAT: u64 = 4;

/// The first bytes of the path's SHA-256: enough to distinguish any number of paths.
pub(super) type Key = [u8; 16];

/// The first line of a state file.
pub(super) fn header() -> Vec<u8> {
    format!("{}\n", json!({"format": FORMAT})).into_bytes()
}

/// The number of the format that the first line of a state file states.
pub(super) fn format_of(first_line: &[u8]) -> Option<u64> {
    let value: Value = serde_json::from_slice(first_line).ok()?;
    value.get("format")?.as_u64()
}

/// What a line says about a finished output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    pub(super) source: Fingerprint,
    pub(super) output: Fingerprint,
    /// Whether the output was written with the options that the reader has.
    pub(super) has_options: bool,
    /// Whether the line has format 1 or 2, so that its output is written again.
    pub(super) is_older: bool,
}

/// A line without its checksum.
#[derive(Serialize)]
struct Line<'a> {
    path: Cow<'a, str>,
    key: String,
    /// Length and time, as of the output.
    source: (u64, i64),
    output: (u64, i64),
    /// The key of the options, in hexadecimal.
    options: String,
    content: Option<&'a str>,
    note: &'a Value,
}

/// An output that is in place.
#[derive(Clone, Debug)]
pub(in crate::batch) struct Finished<'a> {
    /// The path that identifies its source.
    pub(in crate::batch) relative: &'a Path,
    pub(in crate::batch) source: Fingerprint,
    pub(in crate::batch) output: Fingerprint,
    /// A digest of what it contains, in hexadecimal.
    pub(in crate::batch) content: Option<&'a str>,
    /// Anything that is needed again later.
    pub(in crate::batch) note: &'a Value,
}

pub(super) fn key(relative: &Path) -> Key {
    let digest = Digest::of(Algorithm::Sha256, relative.as_os_str().as_bytes());
    let number = u128::from_str_radix(&digest.hex()[..32], 16).unwrap_or(0);
    number.to_be_bytes()
}

fn sum(rest: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, rest).hex()[..16].to_owned()
}

/// The line about an output: an object with its checksum in front.
pub(super) fn line(finished: &Finished<'_>, options: &Digest) -> io::Result<Vec<u8>> {
    let Finished {
        relative,
        source,
        output,
        content,
        note,
    } = *finished;
    let text = serde_json::to_string(&Line {
        path: path_text(relative),
        key: format!("{:032x}", u128::from_be_bytes(key(relative))),
        source: (source.len, source.modified),
        output: (output.len, output.modified),
        options: options.hex(),
        content,
        note,
    })?;
    let rest = &text[1..];
    Ok(format!("{{\"sum\":\"{}\",{rest}\n", sum(rest.as_bytes())).into_bytes())
}

/// The object on a line, if its checksum is right.
pub(super) fn parse(line: &[u8]) -> Option<Value> {
    let text = line.strip_suffix(b"\n")?.strip_prefix(b"{\"sum\":\"")?;
    let (stated, rest) = text.split_at_checked(16)?;
    let rest = rest.strip_prefix(b"\",")?;
    if sum(rest).as_bytes() != stated {
        return None;
    }
    serde_json::from_slice(&[b"{", rest].concat()).ok()
}

/// What the object on a line says, and of which path.
pub(super) fn noted(value: &Value, options: &Digest) -> Option<(Key, Noted)> {
    let fingerprint = |name: &str| {
        let pair = value.get(name)?.as_array()?;
        Some(Fingerprint {
            len: pair.first()?.as_u64()?,
            modified: pair.get(1)?.as_i64()?,
        })
    };
    let text = |name: &str| value.get(name)?.as_str();
    let key = u128::from_str_radix(text("key")?, 16).ok()?;
    let noted = Noted {
        source: fingerprint("source")?,
        output: fingerprint("output")?,
        has_options: text("options")? == options.hex(),
        // A record without a digest has `null` here.
        is_older: value.get("content").is_none(),
    };
    Some((key.to_be_bytes(), noted))
}
