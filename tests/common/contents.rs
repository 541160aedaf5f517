//! Reads an archive or a layout directory into memory, without using ocify's reader.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// The files of an archive or directory, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    /// Reads an archive, or a directory.
    pub(crate) fn read(path: &Path) -> Self {
        if path.is_dir() {
            let files = super::tree(path)
                .into_iter()
                .filter(|(name, _)| path.join(name).is_file())
                .map(|(name, bytes)| (name.to_str().unwrap().to_owned(), bytes))
                .collect();
            return Contents { files };
        }
        Contents::from_tar(&fs::read(path).unwrap())
    }

    /// Reads an archive's bytes. Names must be there once.
    pub(crate) fn from_tar(bytes: &[u8]) -> Self {
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(bytes);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            let name = name.trim_start_matches("./").to_owned();
            assert!(
                files.insert(name.clone(), data).is_none(),
                "duplicate entry {name}"
            );
        }
        Contents { files }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// A file that must be there.
    pub(crate) fn file(&self, name: &str) -> &[u8] {
        self.files
            .get(name)
            .unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(self.file(name)).unwrap()
    }

    /// The bytes of a blob, if it is there.
    pub(crate) fn blob(&self, digest: &str) -> Option<&[u8]> {
        let name = blob_name(digest);
        self.files.get(&name).map(Vec::as_slice)
    }

    /// A blob that must be there, as JSON.
    pub(crate) fn document(&self, digest: &str) -> Value {
        self.json(&blob_name(digest))
    }

    /// The digests of all blobs.
    pub(crate) fn digests(&self) -> Vec<String> {
        let names = self.files.keys();
        names
            .filter_map(|name| Some(name.strip_prefix("blobs/")?.replacen('/', ":", 1)))
            .collect()
    }

    /// All manifests and images below `index.json`, by following every `manifests` list.
    pub(crate) fn manifests(&self) -> Vec<(String, Value)> {
        let mut found: Vec<(String, Value)> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        let mut open = vec![self.json("index.json")];
        while let Some(index) = open.pop() {
            for child in index["manifests"].as_array().into_iter().flatten() {
                let digest = child["digest"].as_str().unwrap();
                let Some(bytes) = self.blob(digest) else {
                    continue;
                };
                if seen.iter().any(|known| known == digest) {
                    continue;
                }
                seen.push(digest.to_owned());
                let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
                    continue;
                };
                if document["manifests"].is_array() {
                    open.push(document);
                } else if document["config"].is_object() {
                    found.push((digest.to_owned(), document));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

/// The name of a blob's entry.
pub(crate) fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
