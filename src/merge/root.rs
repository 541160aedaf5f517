//! The index of a merged source: what the inputs' indexes list, under the names that were decided.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::conflict::Settled;
use crate::error::{Code, Error, Result};
use crate::graph::pointer::{IMAGE_NAME, REF_NAME};
use crate::image::{Digest, Reference, media_type};
use crate::json::View;
use crate::location::RootName;
use crate::plan::{Body, Plan};

/// What images are called.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) settled: &'a Settled,
    /// The name of all images, if they are joined into one index.
    pub(super) index: Option<&'a Reference>,
}

/// The text of the merged index. It does not depend on the order of the inputs.
pub(super) fn root(parts: &[(usize, &Plan)], names: Names<'_>) -> Result<String> {
    let mut items: BTreeSet<Item> = BTreeSet::new();
    let mut annotations: BTreeMap<String, Value> = BTreeMap::new();
    for (number, plan) in parts {
        let text = index_text(plan)?;
        let index = View::parse(text).ok_or_else(unreadable)?;
        let list = index.get("manifests").and_then(View::items);
        let images = plan.summary.images.iter();
        let images: BTreeSet<&Digest> = images.filter_map(|image| image.digest.as_ref()).collect();
        let lost = &names.settled.lost[*number];
        for item in list.unwrap_or_default() {
            items.extend(Item::of(item.text(), &images, lost, names.index)?);
        }
        let stated = index
            .get("annotations")
            .map(|stated| serde_json::from_str(stated.text()));
        if let Some(Ok(Value::Object(stated))) = stated {
            for (key, value) in stated {
                annotations.entry(key).or_insert(value);
            }
        }
    }
    let items: Vec<String> = items.into_iter().map(|item| item.text).collect();
    let annotations = match annotations.is_empty() {
        true => String::new(),
        false => format!(",\"annotations\":{}", json!(annotations)),
    };
    Ok(format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]{annotations}}}",
        media_type::OCI_INDEX,
        items.join(",")
    ))
}

/// An entry of the index, in the order in which they are written: named images first, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    is_unnamed: bool,
    image_name: String,
    ref_name: String,
    digest: String,
    text: String,
}

impl Item {
    /// `None` for an entry of a name that another image has.
    fn of(
        text: &str,
        images: &BTreeSet<&Digest>,
        lost: &BTreeMap<Reference, Option<Reference>>,
        index: Option<&Reference>,
    ) -> Result<Option<Self>> {
        let mut descriptor: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| unreadable())?;
        let digest = descriptor.get("digest").and_then(Value::as_str);
        let digest: Digest = digest.ok_or_else(unreadable)?.parse()?;
        let name = annotation(&descriptor, IMAGE_NAME).and_then(|name| Reference::parse(&name));
        let new = match (index, name.as_ref().and_then(|name| lost.get(name))) {
            (Some(index), _) if images.contains(&digest) => Some(index),
            (_, Some(Some(new))) => Some(new),
            (_, Some(None)) => return Ok(None),
            _ => None,
        };
        let text = match new {
            Some(new) => {
                rename(&mut descriptor, new);
                Value::Object(descriptor.clone()).to_string()
            }
            None => text.to_owned(),
        };
        let image_name = annotation(&descriptor, IMAGE_NAME);
        Ok(Some(Item {
            is_unnamed: image_name.is_none(),
            image_name: image_name.unwrap_or_default(),
            ref_name: annotation(&descriptor, REF_NAME).unwrap_or_default(),
            digest: digest.to_string(),
            text,
        }))
    }
}

fn annotation(descriptor: &Map<String, Value>, key: &str) -> Option<String> {
    let annotations = descriptor.get("annotations")?;
    Some(annotations.get(key)?.as_str()?.to_owned())
}

fn rename(descriptor: &mut Map<String, Value>, name: &Reference) {
    let annotations = descriptor.entry("annotations").or_insert_with(|| json!({}));
    if let Value::Object(annotations) = annotations {
        let tag = name.tag().map_or_else(|| name.full(), str::to_owned);
        annotations.insert(IMAGE_NAME.to_owned(), json!(name.full()));
        annotations.insert(REF_NAME.to_owned(), json!(tag));
    }
}

/// The text of a planned output's index.
fn index_text(plan: &Plan) -> Result<&str> {
    let mut entries = plan.entries.iter();
    let index = entries.find(|entry| entry.name == RootName::Index.name());
    match index.map(|entry| &entry.body) {
        Some(Body::Bytes(bytes)) => std::str::from_utf8(bytes).map_err(|_| unreadable()),
        _ => Err(unreadable()),
    }
}

/// ocify wrote the text, so this does not happen.
fn unreadable() -> Error {
    Error::new(Code::InvalidDocument, "a planned index.json cannot be read")
}
