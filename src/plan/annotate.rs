//! The annotations and entries of the index that carry the names.

use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::image::Reference;
use crate::location::RootName;
use crate::plan::decide::{Annotations, EntryCopy};
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::rules::Rule;

impl Planner<'_> {
    /// Decides how each name is written: the first of an entry in its annotations, every other in a
    /// copy of the entry.
    pub(crate) fn annotate(&mut self) {
        let root = &self.graph.root;
        for entry in &self.entries {
            let mut names = entry.names.iter();
            let (Some(pointer), Some(first)) = (root.pointers.get(entry.position), names.next())
            else {
                continue;
            };
            let mut set = Annotations::new();
            for key in [IMAGE_NAME, REF_NAME] {
                let Some(value) = value_to_set(key, first, entry, pointer) else {
                    continue;
                };
                let rule = match key {
                    IMAGE_NAME => Rule::ImageName,
                    _ => Rule::RefName,
                };
                self.changes.push(rule.change(
                    root.location_of(pointer),
                    stated(key, pointer).cloned(),
                    Some(value.clone()),
                ));
                set.push((key, value));
            }
            if let Some(decision) = self.decisions.root.pointers.get_mut(entry.position) {
                decision.annotations = set;
            }
            for name in names {
                let after = Some(name.full());
                let change = Rule::NameEntry.change(RootName::Index, None, after);
                self.changes.push(change);
                self.decisions.root.copies.push(EntryCopy {
                    of: entry.position,
                    annotations: [IMAGE_NAME, REF_NAME]
                        .map(|key| (key, value(key, name)))
                        .to_vec(),
                });
            }
        }
    }
}

/// What an annotation is to be; `None` if it stays unchanged.
///
/// A name that is there stays as it is written, unless another was requested or containerd, which uses it
/// as it is written, would give the image an invalid name.
fn value_to_set(
    key: &str,
    name: &Reference,
    entry: &NamedEntry<'_>,
    pointer: &Pointer,
) -> Option<String> {
    let Some(before) = stated(key, pointer) else {
        return Some(value(key, name));
    };
    let is_bad = || key == IMAGE_NAME && Reference::parse(before).is_none();
    if !entry.is_renamed && !is_bad() {
        return None;
    }
    Some(value(key, name)).filter(|value| value != before)
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
