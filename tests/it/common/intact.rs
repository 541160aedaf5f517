//! Whether a layout is valid for readers of `index.json`, whatever else is in its directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::contents::blob_name;
use super::sha256;

/// Follows `index.json`: every blob that it leads to is there, and is what its digest and its size say.
///
/// # Errors
/// What is wrong.
pub(crate) fn intact(root: &Path) -> Result<BTreeSet<String>, String> {
    let read = |name: &str| fs::read(root.join(name)).map_err(|error| format!("{name}: {error}"));
    let parse = |name: &str, bytes: &[u8]| -> Result<Value, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("{name}: {error}"))
    };
    let mut open = vec![parse("index.json", &read("index.json")?)?];
    let mut seen = BTreeSet::new();
    while let Some(document) = open.pop() {
        let lists = ["manifests", "layers", "blobs"].map(|key| document[key].as_array());
        let config = document.get("config").into_iter();
        for descriptor in lists.into_iter().flatten().flatten().chain(config) {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            if !seen.insert(digest.to_owned()) {
                continue;
            }
            let name = blob_name(digest);
            let bytes = read(&name)?;
            let found = format!("sha256:{}", sha256(&bytes));
            if found != digest || descriptor["size"] != bytes.len() {
                return Err(format!("{name} has {} bytes of {found}", bytes.len()));
            }
            let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
            if media_type.contains("manifest") || media_type.contains("index") {
                open.push(parse(&name, &bytes)?);
            }
        }
    }
    if seen.is_empty() {
        return Err("index.json lists nothing".to_owned());
    }
    Ok(seen)
}
