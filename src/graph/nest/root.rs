//! The new `index.json`, which lists the new indexes instead of the images in them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::child::{self, Child};
use super::{Group, Name, set_names};
use crate::error::Result;
use crate::graph::document::Document;
use crate::graph::{Graph, synthesize};
use crate::image::Digest;
use crate::image::media_type::OCI_INDEX;
use crate::json::{Edit, Formatting, View, append_items, apply_edits, remove_items};
use crate::location::Role;

/// What becomes of the root's entries.
pub(super) struct NewRoot {
    /// The names that each entry keeps.
    names: Vec<Vec<Name>>,
    /// The entries that are now only in an index.
    moved: BTreeSet<usize>,
    /// Entries that get another of their names.
    renamed: BTreeMap<usize, Name>,
    /// The position that each new entry takes, if there is one for it.
    places: Vec<Option<usize>>,
}

impl NewRoot {
    /// `names` are those of each entry, its own first.
    pub(super) fn new(groups: &[Group], names: Vec<Vec<Name>>) -> Self {
        let nested = groups.iter().flat_map(|group| &group.names);
        let nested = nested.flat_map(|(name, positions)| {
            let positions = positions.iter();
            positions.map(move |position| (*position, name))
        });
        let nested: BTreeSet<(usize, &Name)> = nested.collect();
        let mut root = NewRoot {
            moved: BTreeSet::new(),
            renamed: BTreeMap::new(),
            places: Vec::new(),
            names: Vec::with_capacity(names.len()),
        };
        for (position, names) in names.into_iter().enumerate() {
            let is_nested = |name: &Name| nested.contains(&(position, name));
            let was_named = names.first().is_some_and(is_nested);
            let kept: Vec<Name> = names
                .iter()
                .filter(|name| !is_nested(name))
                .cloned()
                .collect();
            match kept.first() {
                None if !names.is_empty() => {
                    root.moved.insert(position);
                }
                Some(name) if was_named => {
                    root.renamed.insert(position, name.clone());
                }
                _ => {}
            }
            root.names.push(kept);
        }
        let mut free = root.moved.clone();
        for (_, positions) in groups.iter().flat_map(|group| &group.names) {
            let mut positions = positions.iter();
            root.places
                .push(positions.find(|position| free.remove(position)).copied());
        }
        root
    }

    /// Moves what has no name and refers only to images that have moved, or to what has moved with them.
    pub(super) fn move_evidence(&mut self, graph: &Graph, groups: &mut [Group]) {
        let pointers = &graph.root.pointers;
        let mut groups_of: BTreeMap<Digest, BTreeSet<usize>> = BTreeMap::new();
        for (number, group) in groups.iter().enumerate() {
            for child in &group.children {
                groups_of
                    .entry(child.digest.clone())
                    .or_default()
                    .insert(number);
            }
        }
        // How many entries of a digest stay in the root.
        let mut listed: BTreeMap<&Digest, usize> = BTreeMap::new();
        let mut evidence: BTreeMap<usize, Child> = BTreeMap::new();
        let mut about: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (position, pointer) in pointers.iter().enumerate() {
            if self.moved.contains(&position) {
                continue;
            }
            *listed.entry(&pointer.digest).or_default() += 1;
            let is_unnamed = pointer.stated_name().is_none() && self.names[position].is_empty();
            let child = is_unnamed
                .then(|| child::of(graph, &graph.root, pointer))
                .flatten();
            if let Some(child) = child.filter(|child| child.platform.is_none()) {
                for target in &child.targets {
                    about.entry(target.clone()).or_default().push(position);
                }
                evidence.insert(position, child);
            }
        }
        let mut open: Vec<usize> = evidence.keys().rev().copied().collect();
        while let Some(position) = open.pop() {
            let is_moving = evidence.get(&position).is_some_and(|child| {
                let is_listed =
                    |target: &Digest| listed.get(target).is_some_and(|count| *count > 0);
                !child.targets.iter().any(is_listed)
                    && child
                        .targets
                        .iter()
                        .any(|target| groups_of.contains_key(target))
            });
            if !is_moving {
                continue;
            }
            let Some(child) = evidence.remove(&position) else {
                continue;
            };
            let targets = child
                .targets
                .iter()
                .filter_map(|target| groups_of.get(target));
            let numbers: BTreeSet<usize> = targets.flatten().copied().collect();
            self.moved.insert(position);
            let digest = &pointers[position].digest;
            if let Some(count) = listed.get_mut(digest) {
                *count = count.saturating_sub(1);
            }
            let known = groups_of.entry(digest.clone()).or_default();
            for number in numbers {
                if known.insert(number) {
                    groups[number].children.push(child.clone());
                }
            }
            open.extend(about.get(digest).into_iter().flatten().rev());
        }
    }

    /// The new text. `entries` are the descriptors of the new indexes, in the order of the groups.
    pub(super) fn text(&self, root: &Document, entries: &[String]) -> String {
        let Some(list) = View::of_checked(&root.text).get(Role::Manifests.property()) else {
            return root.text.clone();
        };
        let mut edits = Vec::new();
        let mut removed: BTreeSet<usize> = self
            .moved
            .iter()
            .map(|position| root.pointers[*position].position)
            .collect();
        let mut appended = Vec::new();
        for (place, entry) in self.places.iter().zip(entries) {
            match place {
                Some(place) => {
                    let pointer = &root.pointers[*place];
                    removed.remove(&pointer.position);
                    edits.push(Edit {
                        range: pointer.places.descriptor.clone(),
                        text: entry.clone(),
                    });
                }
                None => appended.push(entry.clone()),
            }
        }
        for (position, name) in &self.renamed {
            let range = root.pointers[*position].places.descriptor.clone();
            let parsed = serde_json::from_str::<Map<String, Value>>(&root.text[range.clone()]);
            if let Ok(mut descriptor) = parsed {
                set_names(&mut descriptor, name.annotations());
                let text = Value::Object(descriptor).to_string();
                edits.push(Edit { range, text });
            }
        }
        if !removed.is_empty() {
            edits.extend(remove_items(list, &removed));
        }
        if !appended.is_empty() {
            edits.push(append_items(&Formatting::of(&root.text), list, &appended));
        }
        apply_edits(&root.text, edits)
    }
}

/// The descriptor of a new index in `index.json`.
///
/// # Errors
/// It cannot be built.
pub(super) fn entry(name: &Name, digest: &Digest, len: u64) -> Result<String> {
    let text = synthesize::entry(OCI_INDEX, digest, len)?;
    let Ok(mut descriptor) = serde_json::from_str::<Map<String, Value>>(&text) else {
        return Ok(text);
    };
    set_names(&mut descriptor, name.annotations());
    Ok(Value::Object(descriptor).to_string())
}
