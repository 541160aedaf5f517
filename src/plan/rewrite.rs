//! Old documents and decisions become new documents: children first, each old digest once.

mod entry;
mod layer;
mod links;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::error::{Code, Error, Hint, Result};
use crate::graph::document::{Document, MAX_DOCUMENT_LEN};
use crate::graph::nest::completed_platform;
use crate::graph::pointer::Pointer;
use crate::image::{Algorithm, Digest, Reference};
use crate::json::{
    Edit, Formatting, View, append_items, apply_edits, insert_members, remove_items,
    remove_members, set_member,
};
use crate::location::{DocumentPath, Role};
use crate::plan::decide::{Annotations, DocumentDecision};
use crate::plan::planner::Planner;
use crate::plan::rules::Rule;
use crate::plan::{Change, Form, Severity};

/// The documents of the output that differ from the input's.
#[derive(Debug, Default)]
pub(crate) struct Rewritten<'a> {
    /// New documents by the digest of the old one.
    pub(crate) documents: BTreeMap<&'a Digest, NewDocument>,
    /// The text of the new `index.json`.
    pub(crate) root: String,
}

/// A document that replaces another.
#[derive(Debug)]
pub(crate) struct NewDocument {
    pub(crate) digest: Digest,
    pub(crate) text: String,
    /// How much the changes matter that gave it another digest.
    pub(crate) severity: Severity,
    /// Whether it depends on layers that are still to be recompressed: the digest only stands for its own.
    pub(crate) is_pending: bool,
}

impl NewDocument {
    /// Its digest, unless that is not known yet.
    pub(crate) fn known_digest(&self) -> Option<Digest> {
        (!self.is_pending).then(|| self.digest.clone())
    }
}

impl Planner<'_> {
    /// Carries out the decisions for all documents but the root, whose names may depend on the digests of the
    /// others. For a patch, a document that becomes shorter than the one there is padded to its length.
    ///
    /// # Errors
    /// A document would become larger than readers accept.
    pub(crate) fn rewrite_documents(&mut self) -> Result<()> {
        let mut out = Output {
            documents: BTreeMap::new(),
            held: BTreeSet::new(),
            left_out: &self.selection.left_out,
            changes: &mut self.changes,
        };
        for (input, decision) in self.documents.iter().zip(&self.decisions.documents) {
            let (document, Some(decision)) = (input.document, decision) else {
                continue;
            };
            let Edited {
                text: edited,
                severity,
                is_pending,
            } = out.rewrite(document, decision);
            let text = edited.as_deref().unwrap_or(&document.text);
            check_len(&document.path, text)?;
            let changed = document.is_changed().then(|| document.text.clone());
            let Some(mut text) = edited.or(changed) else {
                continue;
            };
            let blobs = &self.graph.inventory.blobs;
            if self.form == Form::Patch
                && let Some(old) = blobs.get(&document.digest)
            {
                pad(&mut text, old.len);
            }
            let algorithm = document.digest.algorithm().unwrap_or(Algorithm::Sha256);
            let digest = Digest::of(algorithm, text.as_bytes());
            let new = NewDocument {
                digest,
                text,
                severity,
                is_pending,
            };
            out.documents.insert(&document.digest, new);
        }
        self.rewritten.documents = out.documents;
        Ok(())
    }

    /// Carries out the decisions for the root.
    ///
    /// # Errors
    /// It would become larger than readers accept.
    pub(crate) fn rewrite_root(&mut self) -> Result<()> {
        let mut out = Output {
            documents: std::mem::take(&mut self.rewritten.documents),
            held: BTreeSet::new(),
            left_out: &self.selection.left_out,
            changes: &mut self.changes,
        };
        let root = &self.graph.root;
        out.held = out.held_names(root, &self.decisions.root);
        let edited = out.rewrite(root, &self.decisions.root);
        let text = edited.text.unwrap_or_else(|| root.text.clone());
        check_len(&root.path, &text)?;
        // `manifest.json` gets the same names.
        for entry in &mut self.entries {
            for name in &mut entry.names {
                let full = name.full();
                let new = out.current_name(&full, &full, entry.digest);
                if let Some(new) = new.and_then(|new| Reference::parse(&new)) {
                    *name = new;
                    if out.is_pending_name(&full) {
                        self.pending_names.insert(name.clone());
                    }
                }
            }
        }
        self.rewritten = Rewritten {
            documents: out.documents,
            root: text,
        };
        Ok(())
    }
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
            "{document} would grow to {} bytes; readers accept at most {MAX_DOCUMENT_LEN}",
            text.len()
        ),
    )
    .with_location(document)
    .with_expected(MAX_DOCUMENT_LEN)
    .with_found(text.len())
    .with_hint(Hint::KeepDigests))
}

/// The same, of a document that is not written yet and would have at least `len` bytes.
pub(crate) fn check_grown(document: &DocumentPath, len: usize) -> Result<()> {
    if len as u64 <= MAX_DOCUMENT_LEN {
        return Ok(());
    }
    Err(Error::new(
        Code::DocumentTooLarge,
        format!("{document} would grow to more than {MAX_DOCUMENT_LEN} bytes, which readers do not accept"),
    )
    .with_location(document)
    .with_expected(MAX_DOCUMENT_LEN))
}

/// What is rewritten so far, which later documents follow.
struct Output<'a, 'c> {
    documents: BTreeMap<&'a Digest, NewDocument>,
    /// The names that stay what they are although a digest in them changes: another entry has the new name.
    held: BTreeSet<String>,
    left_out: &'c BTreeSet<&'a Digest>,
    changes: &'c mut Vec<Change>,
}

/// What became of the text of a document.
struct Edited {
    /// The new text; `None` if it stays the same.
    text: Option<String>,
    /// How much the changes matter.
    severity: Severity,
    /// Whether the text depends on layers that are still to be recompressed.
    is_pending: bool,
}

impl Output<'_, '_> {
    /// Carries out the decision for a document.
    fn rewrite(&mut self, document: &Document, decision: &DocumentDecision<'_>) -> Edited {
        let text = &document.text;
        let formatting = LazyCell::new(|| Formatting::of(text));
        let first_change = self.changes.len();
        let mut edits = Vec::new();
        let media_type = |media_type| match &document.media_type_place {
            Some(place) => Edit::string(place.clone(), media_type),
            None => set_member(
                &formatting,
                View::of_checked(text),
                Some("schemaVersion"),
                "mediaType",
                json!(media_type),
            ),
        };
        edits.extend(decision.media_type.map(media_type));
        if let Some(list) = decision.empty_list {
            let after = Some(Role::Config.property());
            let value = Value::Array(Vec::new());
            let root = View::of_checked(text);
            edits.push(set_member(&formatting, root, after, list.property(), value));
        }
        let untrue = self.follow_own_links(document, &mut edits);
        if !untrue.is_empty() {
            let root = View::of_checked(text);
            edits.extend(annotate(&formatting, root, &Annotations::new(), &untrue));
        }
        let mut is_pending = false;
        let mut dropped: BTreeMap<Role, BTreeSet<usize>> = BTreeMap::new();
        for (pointer, decision) in document.pointers.iter().zip(&decision.pointers) {
            if decision.is_dropped {
                let positions = dropped.entry(pointer.role).or_default();
                positions.insert(pointer.position);
                continue;
            }
            if decision.unwrapped.is_some() {
                edits.push(self.unwrap(document, pointer, decision));
                continue;
            }
            if let Some(media_type) = decision.media_type {
                edits.push(Edit::string(pointer.places.media_type.clone(), media_type));
            }
            if let Some(new) = &decision.layer {
                is_pending |= new.is_pending;
                layer::follow_layer(text, pointer, new, &mut edits);
                continue;
            }
            if decision.drops_platform {
                let descriptor = View::at(text, &pointer.places.descriptor);
                edits.extend(remove_members(descriptor, |key| key == "platform"));
            }
            if let Some(platform) = decision.completes_platform {
                let descriptor = View::at(text, &pointer.places.descriptor);
                let stated = descriptor.get("platform");
                let stated = stated.and_then(|stated| serde_json::from_str(stated.text()).ok());
                let platform = completed_platform(stated, platform);
                edits.push(set_member(
                    &formatting,
                    descriptor,
                    None,
                    "platform",
                    platform,
                ));
            }
            let is_rewritten = self.follow_child(document, pointer, &mut edits);
            if let (Some(size), false) = (pointer.actual_size, is_rewritten) {
                edits.push(Edit {
                    range: pointer.places.size.clone(),
                    text: size.to_string(),
                });
            }
            let set = self.current(&decision.annotations, pointer);
            let removed = &decision.removed_annotations;
            let mut untrue = self.follow_links(document, pointer, &set, removed, &mut edits);
            untrue.extend(removed);
            if !set.is_empty() || !untrue.is_empty() {
                let descriptor = View::at(text, &pointer.places.descriptor);
                edits.extend(annotate(&formatting, descriptor, &set, &untrue));
            }
        }
        for (role, positions) in &dropped {
            if let Some(list) = View::of_checked(text).get(role.property()) {
                edits.extend(remove_items(list, positions));
            }
        }
        if !decision.copies.is_empty()
            && let Some(list) = View::of_checked(text).get(Role::Manifests.property())
        {
            let copies: Vec<String> = decision
                .copies
                .iter()
                .map(|copy| {
                    let pointer = &document.pointers[copy.of];
                    let decision = &decision.pointers[copy.of];
                    let descriptor = self.descriptor(document, pointer, decision);
                    self.named(descriptor, pointer, &copy.annotations)
                })
                .collect();
            if !copies.is_empty() {
                edits.push(append_items(&formatting, list, &copies));
            }
        }
        let followed = &self.changes[first_change..];
        let severity = followed.iter().map(|change| change.severity).max();
        let severity = severity
            .max(decision.severity)
            .unwrap_or(Severity::Cosmetic);
        let is_pending = is_pending || followed.iter().any(|change| change.is_pending);
        if edits.is_empty() && !document.is_restored {
            return Edited {
                text: None,
                severity,
                is_pending,
            };
        }
        if let Some(absent) = decision.absent_media_type {
            edits.push(media_type(absent));
            let location = document.location_in("mediaType");
            let change = Rule::MediaTypeField.change(location, None, Some(absent.to_owned()));
            self.changes.push(change.with_severity(Severity::Cosmetic));
        }
        Edited {
            text: Some(apply_edits(text, edits)).filter(|new| new != text),
            severity,
            is_pending,
        }
    }

    /// The descriptor of a rewritten document gets its new digest, size and embedded data. Returns whether the document
    /// is rewritten.
    fn follow_child(
        &mut self,
        document: &Document,
        pointer: &Pointer,
        edits: &mut Vec<Edit>,
    ) -> bool {
        let Some(new) = self.documents.get(&pointer.digest) else {
            return false;
        };
        let places = &pointer.places;
        let (before, after) = (pointer.digest.to_string(), new.digest.to_string());
        edits.push(Edit::string(places.digest.clone(), &after));
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
        let location = document.location_of(pointer);
        let change = rule.change(location, Some(before), Some(after));
        let change = change.with_severity(new.severity);
        self.changes.push(change.pending_if(new.is_pending));
        true
    }
}

/// Sets annotations: replaces the old value if there is one, otherwise adds after the others. Removes those
/// with the keys in `untrue`.
fn annotate(
    formatting: &Formatting,
    object: View<'_>,
    set: &Annotations,
    untrue: &BTreeSet<&str>,
) -> Vec<Edit> {
    const KEY: &str = "annotations";
    let annotations = object.get(KEY);
    let members = annotations.and_then(View::members).unwrap_or_default();
    let is_untrue = |key: &str| untrue.contains(key);
    let Some(annotations) = annotations
        .filter(|_| untrue.is_empty() || !members.iter().all(|member| is_untrue(&member.key)))
    else {
        if set.is_empty() {
            return remove_members(object, |key| key == KEY);
        }
        let values: Map<String, Value> = set
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let after = Some("size");
        let value = Value::Object(values);
        return vec![set_member(formatting, object, after, KEY, value)];
    };
    let mut edits = remove_members(annotations, is_untrue);
    let mut added: Vec<(&str, Value)> = Vec::new();
    for (key, value) in set {
        match annotations.get(key) {
            Some(old) => edits.push(Edit::string(old.span(), value)),
            None => added.push((*key, json!(value))),
        }
    }
    if !added.is_empty() {
        let last = members.last().map(|member| &*member.key);
        edits.push(insert_members(formatting, annotations, last, &added));
    }
    edits
}
