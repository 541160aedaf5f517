//! The record of an exchange: the blobs that it may leave if it is interrupted.
//!
//! It never decides whether a blob is needed. The next run removes those that nothing refers to, so a record that was
//! damaged or made up can at most spare or cost blobs that no reader can find.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::blobs::create;
use super::roots::publish;
use crate::beneath::{Directory, HeldPath, Links};
use crate::error::{IoContext, Result};
use crate::image::Digest;

const NAME: &str = ".ocify-in-place";
const VERSION: u32 = 1;
/// Nobody fixes more documents at once.
const MAX_LEN: u64 = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Record {
    /// Whether the layout has a record.
    pub(super) exists: bool,
    pub(super) blobs: BTreeSet<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    version: u32,
    blobs: Vec<String>,
}

impl Record {
    /// The record of an interrupted run; an empty one if it cannot be used.
    pub(super) fn read(root: &Directory) -> Self {
        let Ok(file) = root.read(Path::new(NAME), Links::Refuse) else {
            return Self::default();
        };
        let mut bytes = Vec::new();
        let read = file.take(MAX_LEN).read_to_end(&mut bytes);
        let text = read.ok().and_then(|_| serde_json::from_slice(&bytes).ok());
        let known = text.filter(|text: &Text| text.version == VERSION);
        let blobs = known.map(|text| text.blobs).unwrap_or_default();
        let digests = blobs
            .iter()
            .filter_map(|digest| Digest::stated(digest).ok());
        Record {
            exists: true,
            blobs: digests.collect(),
        }
    }

    /// Adds blobs, and returns when the record is on disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn add(&mut self, root: &Directory, blobs: BTreeSet<Digest>) -> Result<()> {
        if blobs.is_subset(&self.blobs) {
            return Ok(());
        }
        self.blobs.extend(blobs);
        let text = Text {
            version: VERSION,
            blobs: self.blobs.iter().map(Digest::to_string).collect(),
        };
        let path = root.join(Path::new(NAME));
        let place = HeldPath::new(root, NAME.as_ref()).context("create", &path)?;
        let file = create(&place)?;
        let written = serde_json::to_vec(&text)
            .map_err(std::io::Error::from)
            .and_then(|bytes| file.file().write_all(&bytes));
        written.context("write", &path)?;
        // Also if that fails after it got its name.
        self.exists = true;
        publish(Some(file))
    }

    /// Removes it.
    ///
    /// # Errors
    /// The system refuses. One that stays is only read again.
    pub(super) fn remove(&self, root: &Directory) -> Result<()> {
        if !self.exists {
            return Ok(());
        }
        let path = root.join(Path::new(NAME));
        let removed = HeldPath::new(root, NAME.as_ref()).and_then(|place| place.remove());
        removed.context("remove", path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::image::Algorithm;

    #[test]
    fn a_record_grows_and_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        let digests = [b"a", b"b"].map(|text| Digest::of(Algorithm::Sha256, text));
        let [a, b] = digests.map(|digest| BTreeSet::from([digest]));
        let mut record = Record::read(&root);
        assert!(!record.exists && record.blobs.is_empty());
        record.add(&root, BTreeSet::new()).unwrap();
        assert!(!record.exists && root.is_empty().unwrap());
        record.add(&root, a.clone()).unwrap();
        let mut found = Record::read(&root);
        assert!(found.exists && found.blobs == a);
        found.add(&root, b.clone()).unwrap();
        let found = Record::read(&root);
        assert_eq!(found.blobs, a.union(&b).cloned().collect());
        found.remove(&root).unwrap();
        assert!(root.is_empty().unwrap());
    }

    #[test]
    fn a_record_that_cannot_be_used_names_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"a");
        for (text, count) in [
            (format!(r#"{{"version":1,"blobs":["{digest}","../a"]}}"#), 1),
            (format!(r#"{{"version":2,"blobs":["{digest}"]}}"#), 0),
            ("{\"version\":1,\"blo".to_owned(), 0),
            (String::new(), 0),
        ] {
            fs::write(dir.path().join(NAME), &text).unwrap();
            let record = Record::read(&root);
            assert!(record.exists);
            assert_eq!(record.blobs.len(), count, "{text}");
        }
    }
}
