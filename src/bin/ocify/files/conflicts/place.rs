//! A regular file that exists or is to be written, and whether it is another by a different path.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::args::is_standard;
use crate::paths::resolved;

/// How much of a file is read to recognize it. The first line of a digest map is shorter.
const HEAD_LEN: u64 = 64 << 10;

/// A regular file that exists, or a path where nothing is.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    found: Option<Metadata>,
}

impl Place {
    /// `None` for standard input and output, directories, devices and the like.
    pub(super) fn of(path: &Path) -> Option<Place> {
        if is_standard(path) {
            return None;
        }
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return None;
        }
        let path = resolved(path);
        Some(Place { path, found })
    }

    /// The path without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether both are the same file.
    pub(super) fn is(&self, other: &Place) -> bool {
        self.path == other.path
            || other
                .found
                .as_ref()
                .is_some_and(|found| self.is_file(found))
    }

    /// Whether it is the file that the system says this about.
    pub(super) fn is_file(&self, file: &Metadata) -> bool {
        let found = self.found.as_ref();
        found.is_some_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    }

    /// Whether it is below a directory.
    pub(super) fn is_below(&self, directory: &Path) -> bool {
        !is_standard(directory) && directory.is_dir() && self.path.starts_with(resolved(directory))
    }

    /// Whether it exists under other names too.
    pub(super) fn has_other_names(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.nlink() > 1)
    }

    /// Whether it has content that no option of ocify wrote.
    pub(super) fn has_other_content(&self) -> bool {
        let is_empty = |found: &Metadata| found.len() == 0;
        self.found.as_ref().is_some_and(|found| !is_empty(found))
            && !head(&self.path).is_ok_and(|head| is_record(&head))
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_LEN).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether a file that begins like this is a report, a digest map or a metadata file, complete or not.
fn is_record(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    if text == "{}\n" || text.starts_with("{\n  \"containerimage.") {
        return true;
    }
    if let Some(rest) = text.strip_prefix("{\"version\":") {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        return [",\"status\":\"", ",\"type\":\"summary\""]
            .iter()
            .any(|next| rest.starts_with(next));
    }
    let line = text.lines().next().unwrap_or_default();
    let keys = ["before", "after", "input"];
    serde_json::from_str::<Value>(line)
        .is_ok_and(|line| keys.iter().all(|key| line.get(key).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ocify_writes_is_recognized() {
        for (text, expected) in [
            (r#"{"version":1,"status":"fixed","input""#, true),
            (r#"{"version":12,"type":"summary","items""#, true),
            (
                "{\"name\":null,\"before\":\"x\",\"after\":\"y\",\"input\":\"a\"}\n{",
                true,
            ),
            ("{\n  \"containerimage.descriptor\": {", true),
            ("{}\n", true),
            (r#"{"version":1,"other":2}"#, false),
            (r#"{"schemaVersion":2,"manifests":[]}"#, false),
            (r#"{"imageLayoutVersion":"1.0.0"}"#, false),
            (r#"[{"Config":"x"}]"#, false),
            (r#"{"before":1,"after":2}"#, false),
            ("notes", false),
        ] {
            assert_eq!(is_record(text.as_bytes()), expected, "{text}");
        }
    }
}
