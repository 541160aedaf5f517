//! The contents of an archive or a layout directory, with queries that only these tests need.

pub(crate) use super::shared::contents::{Contents, blob_name};

impl Contents {
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.file(name).to_vec()).unwrap()
    }

    /// Whether some file of the archive names this digest.
    pub(crate) fn text_names(&self, digest: &str) -> bool {
        let mut files = self.files.values();
        files.any(|bytes| {
            bytes
                .windows(digest.len())
                .any(|part| part == digest.as_bytes())
        })
    }

    /// The parts of each image: the digests of its config and layers, sorted.
    pub(crate) fn parts(&self) -> Vec<Vec<String>> {
        let mut parts: Vec<Vec<String>> = self
            .manifests()
            .into_iter()
            .map(|(_, manifest)| {
                let layers = manifest["layers"].as_array().into_iter().flatten();
                std::iter::once(&manifest["config"])
                    .chain(layers)
                    .map(|part| part["digest"].as_str().unwrap().to_owned())
                    .collect()
            })
            .collect();
        parts.sort();
        parts
    }
}
