//! The annotations and entries of the index that carry the names.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::image::Reference;
use crate::location::{Role, RootName};
use crate::plan::Severity;
use crate::plan::decide::{Annotations, EntryCopy};
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::rewrite::check_grown;
use crate::plan::rules::Rule;

/// The least length in bytes of an entry of `index.json` with a name.
const MIN_ENTRY_LEN: usize = 200;

impl Planner<'_> {
    /// Refuses more names than `index.json` can have entries, before anything is built for each.
    ///
    /// # Errors
    /// There are more.
    pub(crate) fn check_names(&self) -> Result<()> {
        let entries = self.entries.iter().chain(&self.artifacts);
        let count: usize = entries.map(|entry| entry.names.len()).sum();
        check_grown(&RootName::Index.into(), count.saturating_mul(MIN_ENTRY_LEN))
    }

    /// Decides how each name is written: the first of an entry in its annotations, every other in a
    /// copy of the entry.
    pub(crate) fn annotate(&mut self) {
        let root = &self.graph.root;
        let is_only_entry = root.pointers.len() == 1;
        for (position, decision) in self.decisions.root.pointers.iter_mut().enumerate() {
            if self.nameless.contains(&position) {
                decision.removed_annotations = vec![IMAGE_NAME, REF_NAME];
            }
        }
        self.unname_evidence();
        // The names of artifacts stay as they are written, unless others were requested.
        let artifacts = self.artifacts.iter();
        let artifacts = artifacts.filter(|entry| entry.is_renamed || entry.names.len() > 1);
        for entry in self.entries.iter().chain(artifacts) {
            let Some(pointer) = root.pointers.get(entry.position) else {
                continue;
            };
            let mut names = entry.names.iter();
            let Some(first) = names.next() else { continue };
            let mut set = Annotations::with_capacity(2);
            for key in [IMAGE_NAME, REF_NAME] {
                let Some(value) = value_to_set(key, first, entry, pointer) else {
                    continue;
                };
                let rule = match key {
                    IMAGE_NAME => Rule::ImageName,
                    _ => Rule::RefName,
                };
                let before = stated(key, pointer).cloned();
                let location = root.location_of(pointer);
                let change = rule.change(location, before, Some(value.clone()));
                let change =
                    change.with_severity(severity(key, first, entry, pointer, is_only_entry));
                self.changes.push(match entry.is_renamed {
                    true => change.requested(),
                    false => change,
                });
                set.push((key, value));
            }
            if let Some(decision) = self.decisions.root.pointers.get_mut(entry.position) {
                decision.annotations = set;
            }
            for name in names {
                let after = Some(name.full());
                let change = Rule::NameEntry.change(RootName::Index, None, after);
                self.changes.push(match entry.is_renamed {
                    true => change.requested(),
                    false => change,
                });
                self.decisions.root.copies.push(EntryCopy {
                    of: entry.position,
                    annotations: annotations(name),
                });
            }
        }
    }
}

impl Planner<'_> {
    /// Removes the image name from evidence that is marked as such: containerd and docker give a name to the last entry
    /// that has it. The other name annotation still says which image it is about.
    fn unname_evidence(&mut self) {
        let root = &self.graph.root;
        let is_marked = |pointer: &&Pointer| {
            pointer.role == Role::Manifests
                && pointer.image_name.is_some()
                && pointer.is_saved_evidence()
        };
        if !root.pointers.iter().any(|pointer| is_marked(&pointer)) {
            return;
        }
        let of_images = self.entries.iter();
        let of_images = of_images.filter_map(|entry| root.pointers.get(entry.position)?.name());
        let names: BTreeSet<Reference> = of_images.collect();
        let decisions = self.decisions.root.pointers.iter_mut();
        for (pointer, decision) in root.pointers.iter().zip(decisions) {
            let name = pointer.image_name.as_ref().filter(|_| is_marked(&pointer));
            let Some(name) = name.filter(|_| !decision.is_dropped) else {
                continue;
            };
            if Reference::parse(name).is_some_and(|name| names.contains(&name)) {
                let location = root.location_of_annotation(pointer, IMAGE_NAME);
                let change = Rule::NameRemoved.change(location, Some(name.clone()), None);
                self.changes.push(change.with_severity(Severity::Breaks));
                decision.removed_annotations.push(IMAGE_NAME);
                // A tag alone says that of no image.
                let ref_name = pointer.ref_name.as_ref();
                if ref_name.is_none_or(|ref_name| !ref_name.contains(['/', ':'])) {
                    let location = root.location_of_annotation(pointer, REF_NAME);
                    let before = ref_name.cloned();
                    let change = Rule::RefName.change(location, before, Some(name.clone()));
                    self.changes.push(change);
                    decision.annotations.push((REF_NAME, name.clone()));
                }
            }
        }
    }
}

/// The annotations that give an image this name.
pub(crate) fn annotations(name: &Reference) -> Annotations {
    [IMAGE_NAME, REF_NAME]
        .map(|key| (key, value(key, name)))
        .to_vec()
}

/// What an annotation is to be; `None` if it stays unchanged.
///
/// docker and containerd take the image name as it is written, so it has to be complete. The reference name
/// stays as it is written, unless another was requested or it has a digest that the image does not have.
fn value_to_set(
    key: &str,
    name: &Reference,
    entry: &NamedEntry<'_>,
    pointer: &Pointer,
) -> Option<String> {
    let Some(before) = stated(key, pointer) else {
        return Some(value(key, name));
    };
    let is_replaced = entry.is_renamed
        || entry.loses_first_name
        || key == IMAGE_NAME
        || entry.has_stale_digest(before);
    Some(value(key, name)).filter(|value| is_replaced && value != before)
}

/// How much it matters that an annotation gets this name.
fn severity(
    key: &str,
    name: &Reference,
    entry: &NamedEntry<'_>,
    pointer: &Pointer,
    is_only_entry: bool,
) -> Severity {
    match (key, &pointer.image_name, &pointer.ref_name) {
        // containerd reads the name from either annotation, as it is written.
        (IMAGE_NAME, None, Some(ref_name)) if *ref_name == name.full() => Severity::Cosmetic,
        // What was requested replaces a name that engines take. Docker does not find an incomplete one.
        (IMAGE_NAME, Some(_), _) if entry.is_renamed => Severity::Warns,
        (IMAGE_NAME, ..) => Severity::Breaks,
        // skopeo has to choose one of several entries, and finds it by this annotation only.
        (_, _, None) if !is_only_entry => Severity::Breaks,
        _ => Severity::Warns,
    }
}

fn stated<'a>(key: &str, pointer: &'a Pointer) -> Option<&'a String> {
    let stated = match key {
        IMAGE_NAME => &pointer.image_name,
        _ => &pointer.ref_name,
    };
    stated.as_ref()
}

/// The value of an annotation that gives an image this name.
fn value(key: &str, name: &Reference) -> String {
    match (key, name.tag()) {
        (REF_NAME, Some(tag)) => tag.to_owned(),
        _ => name.full(),
    }
}
