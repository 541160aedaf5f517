//! Checks that no reference in an output leads to what is no longer there.

use serde_json::Value;

use super::builder::{IMAGE_NAME, REF_NAME};
use super::contents::Contents;

/// The annotations that name another manifest.
const ANNOTATIONS: [&str; 4] = [
    "vnd.docker.reference.digest",
    "io.containerd.manifest.subject",
    "com.amazon.soci.image-manifest-digest",
    "com.amazon.soci.index-digest",
];

/// Checks every subject, link and tag in the output: what it names is there, or was absent from the input too.
#[track_caller]
pub(crate) fn check_links(input: &Contents, output: &Contents, what: &str) {
    let dangling: Vec<String> = links(output)
        .into_iter()
        .filter(|(_, digest)| output.blob(digest).is_none() && input.blob(digest).is_some())
        .map(|(place, digest)| format!("{place}: {digest}"))
        .collect();
    assert!(dangling.is_empty(), "{what}: {dangling:#?}");
}

/// The digest that each reference in `index.json`, an index or a manifest names.
pub(crate) fn links(contents: &Contents) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, bytes) in &contents.files {
        let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
            continue;
        };
        if document["schemaVersion"] == 2 {
            collect(&document, name, name == "index.json", &mut found);
        }
    }
    found
}

fn collect(value: &Value, place: &str, is_root: bool, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                collect(item, &format!("{place}[{number}]"), is_root, found);
            }
        }
        Value::Object(members) => {
            if let Some(subject) = members
                .get("subject")
                .and_then(|subject| subject["digest"].as_str())
            {
                found.push((format!("{place}, subject"), subject.to_owned()));
            }
            for (key, value) in members
                .get("annotations")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let value = value.as_str().unwrap();
                let place = || format!("{place}, {key}");
                if ANNOTATIONS.contains(&key.as_str()) {
                    found.push((place(), value.to_owned()));
                }
                let tag = value.rsplit_once("sha256-").filter(|_| is_root);
                if let Some((_, tail)) = tag
                    && [IMAGE_NAME, REF_NAME].contains(&key.as_str())
                {
                    let hex = tail.split('.').next().unwrap();
                    found.push((place(), format!("sha256:{hex}")));
                }
            }
            for (key, value) in members {
                collect(value, &format!("{place}, {key}"), is_root, found);
            }
        }
        _ => {}
    }
}
