//! Descriptors of recompressed layers.

use std::collections::BTreeSet;

use crate::graph::pointer::{Pointer, belongs_to_one_form};
use crate::json::{Edit, View, remove_members};
use crate::plan::recompress::NewLayer;

/// The descriptor of a layer that was recompressed: what was true only of the old bytes is removed, such
/// as the places where these can be fetched.
pub(super) fn follow_layer(text: &str, pointer: &Pointer, new: &NewLayer, edits: &mut Vec<Edit>) {
    let places = &pointer.places;
    edits.push(Edit::string(places.digest.clone(), &new.digest.to_string()));
    edits.push(Edit {
        range: places.size.clone(),
        text: new.len.to_string(),
    });
    let descriptor = View::at(text, &places.descriptor);
    let annotations = descriptor.get("annotations");
    let members = annotations.and_then(View::members).unwrap_or_default();
    let untrue: BTreeSet<&str> = members
        .iter()
        .filter(|member| is_untrue(&member.key, member.value, new))
        .map(|member| member.key.as_ref())
        .collect();
    let is_emptied = !members.is_empty() && untrue.len() == members.len();
    edits.extend(remove_members(descriptor, |key| {
        matches!(key, "data" | "urls" | "platform") || (is_emptied && key == "annotations")
    }));
    if let Some(annotations) = annotations.filter(|_| !is_emptied) {
        edits.extend(remove_members(annotations, |key| untrue.contains(key)));
    }
}

/// Whether an annotation is wrong for the new bytes: it is about the old form, about a registry
/// that has the old bytes, or about another tar than the one that was verified.
fn is_untrue(key: &str, value: View<'_>, new: &NewLayer) -> bool {
    belongs_to_one_form(key)
        || key.starts_with("containerd.io/distribution.source.")
        || (key == "containerd.io/uncompressed"
            && value.string().as_deref() != Some(new.diff_id.to_string().as_str()))
}
