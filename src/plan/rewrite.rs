//! Old documents and decisions become new documents: children first, each old digest once.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::error::{Code, Error, Result};
use crate::graph::Graph;
use crate::graph::document::{Document, MAX_DOCUMENT_LEN};
use crate::graph::location::DocumentPath;
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME, Role, belongs_to_one_form};
use crate::image::Digest;
use crate::inventory::BlobEntry;
use crate::json::{
    Edit, Formatting, View, append_items, apply_edits, insert_members, remove_items,
    remove_members, set_member,
};
use crate::plan::decide::{Decisions, DocumentDecision};
use crate::plan::recompress::NewLayer;
use crate::plan::{Change, rules::Rule};

/// The documents of the output that differ from the input's.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    /// New documents by the digest of the old one.
    pub(crate) documents: BTreeMap<Digest, NewDocument>,
    /// The text of the new `index.json`.
    pub(crate) root: String,
    /// Descriptors, subjects and links that follow rewritten documents.
    pub(crate) changes: Vec<Change>,
}

/// A document that takes the place of another.
#[derive(Debug)]
pub(crate) struct NewDocument {
    pub(crate) digest: Digest,
    pub(crate) text: String,
}

/// Carries out all decisions. With `places`, a document that becomes shorter than the one there is
/// padded to its length.
///
/// # Errors
/// A document would become larger than readers take.
pub(crate) fn rewrite(
    graph: &Graph,
    decisions: &Decisions,
    places: Option<&BTreeMap<Digest, BlobEntry>>,
) -> Result<Rewritten> {
    let mut out = Rewritten::default();
    for digest in &graph.children_first {
        let Some((document, decision)) =
            graph.document(digest).zip(decisions.documents.get(digest))
        else {
            continue;
        };
        let mut text = rewrite_document(document, decision, &mut out);
        check_len(&document.path, &text)?;
        if text != document.text || document.is_restored {
            if let Some(old) = places.and_then(|places| places.get(digest)) {
                pad(&mut text, old.len);
            }
            let digest = Digest::of(document.digest.algorithm(), text.as_bytes());
            out.documents
                .insert(document.digest.clone(), NewDocument { digest, text });
        }
    }
    out.root = rewrite_document(&graph.root, &decisions.root, &mut out);
    check_len(&graph.root.path, &out.root)?;
    Ok(out)
}

/// White space after a document's end changes its digest and nothing else.
fn pad(text: &mut String, len: u64) {
    let missing = len.saturating_sub(text.len() as u64);
    text.extend(std::iter::repeat_n(
        ' ',
        usize::try_from(missing).unwrap_or(0),
    ));
}

/// Refuses what the next reader, ocify among them, would refuse.
pub(crate) fn check_len(document: &DocumentPath, text: &str) -> Result<()> {
    if text.len() as u64 <= MAX_DOCUMENT_LEN {
        return Ok(());
    }
    Err(Error::new(
        Code::DocumentTooLarge,
        format!(
            "{document} would become a document of {} bytes; readers take at most {MAX_DOCUMENT_LEN}",
            text.len()
        ),
    ).with_document(document).with_expected(MAX_DOCUMENT_LEN).with_found(text.len()))
}

fn rewrite_document(
    document: &Document,
    decision: &DocumentDecision,
    out: &mut Rewritten,
) -> String {
    let text = &document.text;
    let root = View::of_checked(text);
    let formatting = Formatting::of(text);
    let mut edits = Vec::new();
    if let Some(media_type) = decision.media_type {
        edits.push(match &document.media_type_place {
            Some(place) => Edit::string(place.clone(), media_type),
            None => set_member(
                &formatting,
                root,
                Some("schemaVersion"),
                "mediaType",
                json!(media_type),
            ),
        });
    }
    let items = root
        .get(Role::Manifests.property())
        .and_then(View::items)
        .unwrap_or_default();
    for (position, pointer) in document.pointers.iter().enumerate() {
        if decision.dropped.contains(&position) {
            continue;
        }
        if let Some(media_type) = decision.pointer_types.get(&position) {
            edits.push(Edit::string(pointer.places.media_type.clone(), media_type));
        }
        if let Some(new) = decision.new_layers.get(&position) {
            follow_layer(root, pointer, new, &mut edits);
            continue;
        }
        follow_child(document, pointer, &mut edits, out);
        follow_links(document, pointer, &mut edits, out);
        if let (Some(added), Some(item)) = (
            decision.annotations.get(&position),
            items.get(pointer.position),
        ) {
            edits.extend(annotate(&formatting, *item, added));
        }
    }
    if let Some(array) = root.get(Role::Manifests.property()) {
        let dropped: BTreeSet<usize> = decision
            .dropped
            .iter()
            .map(|position| document.pointers[*position].position)
            .collect();
        if !dropped.is_empty() {
            edits.extend(remove_items(array, &dropped));
        }
        let copies: Vec<String> = decision
            .copies
            .iter()
            .map(|(position, names)| {
                let pointer = &document.pointers[*position];
                let media_type = decision
                    .pointer_types
                    .get(position)
                    .unwrap_or(&pointer.media_type);
                copy(document, pointer, media_type, names, out)
            })
            .collect();
        if !copies.is_empty() {
            edits.push(append_items(&formatting, array, &copies));
        }
    }
    apply_edits(text, edits)
}

/// The descriptor of a rewritten document gets its new digest, size and embedded data.
fn follow_child(
    document: &Document,
    pointer: &Pointer,
    edits: &mut Vec<Edit>,
    out: &mut Rewritten,
) {
    let Some(new) = out.documents.get(&pointer.digest) else {
        return;
    };
    let places = &pointer.places;
    edits.push(Edit::string(places.digest.clone(), &new.digest.to_string()));
    edits.push(Edit {
        range: places.size.clone(),
        text: new.text.len().to_string(),
    });
    if let Some(place) = &places.data {
        let data = base64::engine::general_purpose::STANDARD.encode(&new.text);
        edits.push(Edit::string(place.clone(), &data));
    }
    let rule = if pointer.role == Role::Subject {
        Rule::Subject
    } else {
        Rule::Descriptor
    };
    let (before, after) = (pointer.digest.to_string(), new.digest.to_string());
    out.changes
        .push(rule.change(document.location_of(pointer), Some(before), Some(after)));
}

/// The descriptor of a layer that was compressed anew: what was true of the old bytes only goes, such
/// as the places where these can be fetched.
fn follow_layer(root: View<'_>, pointer: &Pointer, new: &NewLayer, edits: &mut Vec<Edit>) {
    let places = &pointer.places;
    edits.push(Edit::string(places.digest.clone(), &new.digest.to_string()));
    edits.push(Edit {
        range: places.size.clone(),
        text: new.len.to_string(),
    });
    let descriptor = root
        .get(pointer.role.property())
        .and_then(View::items)
        .and_then(|items| items.get(pointer.position).copied());
    let Some(descriptor) = descriptor else { return };
    let annotations = descriptor.get("annotations");
    let members = annotations.and_then(View::members).unwrap_or_default();
    let untrue: BTreeSet<&str> = members
        .iter()
        .filter(|member| is_untrue(&member.key, member.value, new))
        .map(|member| member.key.as_ref())
        .collect();
    let is_emptied = !members.is_empty() && untrue.len() == members.len();
    edits.extend(remove_members(descriptor, |key| {
        matches!(key, "data" | "urls") || (is_emptied && key == "annotations")
    }));
    if let Some(annotations) = annotations.filter(|_| !is_emptied) {
        edits.extend(remove_members(annotations, |key| untrue.contains(key)));
    }
}

/// Whether an annotation does not hold for the new bytes: it tells of the old form, of a registry
/// that has the old bytes, or of another tar than the one that was verified.
fn is_untrue(key: &str, value: View<'_>, new: &NewLayer) -> bool {
    belongs_to_one_form(key)
        || key.starts_with("containerd.io/distribution.source.")
        || (key == "containerd.io/uncompressed"
            && value.string().as_deref() != Some(new.diff_id.to_string().as_str()))
}

fn follow_links(
    document: &Document,
    pointer: &Pointer,
    edits: &mut Vec<Edit>,
    out: &mut Rewritten,
) {
    for link in &pointer.links {
        if let Some(new) = out.documents.get(&link.digest) {
            edits.push(Edit::string(link.place.clone(), &new.digest.to_string()));
            let location = document.location_of_annotation(pointer, link.annotation);
            let (before, after) = (link.digest.to_string(), new.digest.to_string());
            out.changes
                .push(Rule::AttestationLink.change(location, Some(before), Some(after)));
        }
    }
}

/// Sets annotations: in the place of the old value where there is one, else after the others.
fn annotate(
    formatting: &Formatting,
    descriptor: View<'_>,
    set: &[(&'static str, String)],
) -> Vec<Edit> {
    let Some(annotations) = descriptor.get("annotations") else {
        let object: Map<String, Value> = set
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let value = Value::Object(object);
        let after = Some("size");
        return vec![set_member(
            formatting,
            descriptor,
            after,
            "annotations",
            value,
        )];
    };
    let mut edits = Vec::new();
    let mut added: Vec<(&str, Value)> = Vec::new();
    for (key, value) in set {
        match annotations.get(key) {
            Some(old) => edits.push(Edit::string(old.span(), value)),
            None => added.push((*key, json!(value))),
        }
    }
    if !added.is_empty() {
        let last = annotations
            .members()
            .and_then(|members| members.last().map(|member| member.key.clone()));
        edits.push(insert_members(
            formatting,
            annotations,
            last.as_deref(),
            &added,
        ));
    }
    edits
}

/// The text of a copy of a descriptor under other names.
fn copy(
    document: &Document,
    pointer: &Pointer,
    media_type: &str,
    names: &[(&'static str, String)],
    out: &Rewritten,
) -> String {
    let text = &document.text[pointer.places.descriptor.clone()];
    let Ok(Value::Object(mut descriptor)) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    descriptor.insert("mediaType".to_owned(), json!(media_type));
    if let Some(new) = out.documents.get(&pointer.digest) {
        descriptor.insert("digest".to_owned(), json!(new.digest.to_string()));
        descriptor.insert("size".to_owned(), json!(new.text.len()));
        descriptor.remove("data");
    }
    let mut annotations = match descriptor.get("annotations") {
        Some(Value::Object(annotations)) => annotations.clone(),
        _ => Map::new(),
    };
    annotations.remove(IMAGE_NAME);
    annotations.remove(REF_NAME);
    annotations.extend(
        names
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value))),
    );
    descriptor.insert("annotations".to_owned(), Value::Object(annotations));
    Value::Object(descriptor).to_string()
}
