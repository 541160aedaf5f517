//! What lists of referrers say about one.

use serde_json::{Map, Value};

use super::schedule::ManifestStep;
use crate::graph::document::Document;
use crate::json::View;

/// The descriptor of a referrer by the distribution specification: with its artifact type, which is that of its config if it does
/// not state one, and with its annotations.
pub(super) fn descriptor(document: &Document, step: &ManifestStep) -> Value {
    let mut descriptor = Map::new();
    let mut add = |key: &str, value: Value| descriptor.insert(key.to_owned(), value);
    add("mediaType", step.media_type.clone().into());
    add("digest", step.digest.to_string().into());
    add("size", step.len.into());
    let config = document
        .config()
        .map(|config| config.media_type.to_string());
    let stated = document
        .artifact_type
        .clone()
        .filter(|stated| !stated.is_empty());
    if let Some(artifact_type) = stated.or(config) {
        add("artifactType", artifact_type.into());
    }
    let root = View::of_checked(&document.text);
    if let Some(annotations) = root.get("annotations").and_then(View::strings)
        && !annotations.is_empty()
    {
        let annotations = annotations.into_iter();
        let annotations = annotations.map(|(key, value)| (key.into_owned(), value.into()));
        let annotations: Map<String, Value> = annotations.collect();
        add("annotations", annotations.into());
    }
    Value::Object(descriptor)
}
