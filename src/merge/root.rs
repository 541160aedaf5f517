//! The index of a merged source: what the inputs' indexes list, under the names that were decided.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::conflict::Settled;
use super::listed::{Listed, Name};
use super::part::Part;
use crate::error::{Code, Error, Result};
use crate::graph::pointer::{IMAGE_NAME, REF_NAME};
use crate::graph::set_names;
use crate::image::{Reference, media_type};
use crate::json::View;
use crate::location::RootName;
use crate::plan::{Body, Plan, annotations};

/// What images are called.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) settled: &'a Settled,
    /// The name of all images, if they are joined into one index.
    pub(super) index: Option<&'a Reference>,
}

/// The text of the merged index, which does not depend on the order of the inputs. It has the annotations on which all
/// inputs that have them agree.
pub(super) fn root(parts: &[Part], names: Names<'_>) -> Result<String> {
    let mut items: BTreeSet<Item> = BTreeSet::new();
    let mut stated_by_any: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (part, lost) in parts.iter().zip(&names.settled.lost) {
        for listed in &part.listed {
            items.extend(Item::of(listed, lost, names)?);
        }
        let index = View::parse(index_text(&part.plan)?).ok_or_else(unreadable)?;
        let stated = index.get("annotations").and_then(View::strings);
        for (key, value) in stated.unwrap_or_default() {
            let values = stated_by_any.entry(key.into_owned()).or_default();
            values.insert(value.into_owned());
        }
    }
    let agreed = stated_by_any
        .into_iter()
        .filter(|(_, values)| values.len() == 1);
    let agreed: BTreeMap<String, String> = agreed
        .filter_map(|(key, values)| Some((key, values.into_iter().next()?)))
        .collect();
    let items: Vec<String> = items.into_iter().map(|item| item.text).collect();
    let agreed = match agreed.is_empty() {
        true => String::new(),
        false => format!(",\"annotations\":{}", json!(agreed)),
    };
    Ok(format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]{agreed}}}",
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
    /// `None` for an entry of a name that other content has.
    fn of(
        listed: &Listed,
        lost: &BTreeMap<Name, Option<Name>>,
        names: Names<'_>,
    ) -> Result<Option<Self>> {
        let text = &listed.text;
        let mut descriptor: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| unreadable())?;
        let lost = listed.name.as_ref().and_then(|name| lost.get(name));
        let new = match (names.index, lost) {
            (Some(index), _) if listed.is_image || listed.shares_name => Some(annotations(index)),
            (_, Some(Some(new))) => Some(new.annotations()),
            // The plan leaves it out, and what refers to it.
            (_, Some(None)) if names.settled.superseded.contains(&listed.digest) => {
                Some(Vec::new())
            }
            (_, Some(None)) => return Ok(None),
            _ => None,
        };
        let text = match new {
            Some(new) => {
                set_names(&mut descriptor, new);
                Value::Object(descriptor.clone()).to_string()
            }
            None => text.to_owned(),
        };
        let image_name = annotation(&descriptor, IMAGE_NAME);
        Ok(Some(Item {
            is_unnamed: image_name.is_none(),
            image_name: image_name.unwrap_or_default(),
            ref_name: annotation(&descriptor, REF_NAME).unwrap_or_default(),
            digest: listed.digest.to_string(),
            text,
        }))
    }
}

fn annotation(descriptor: &Map<String, Value>, key: &str) -> Option<String> {
    let annotations = descriptor.get("annotations")?;
    Some(annotations.get(key)?.as_str()?.to_owned())
}

/// The text of a planned output's index.
pub(super) fn index_text(plan: &Plan) -> Result<&str> {
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
