//! Platforms that `index.json` lists side by side under one name, moved into an index of that name.
//!
//! Engines keep one image per name: docker and containerd give it to the last of several, even if that is for
//! another platform. The new index contains the same descriptors without their names, and the attestations and
//! referrers of these images.

mod child;
mod root;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::graph::document::{Document, DocumentReader, Shape};
use crate::graph::link::complete_tag_links;
use crate::graph::order::children_first;
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::graph::{Graph, synthesize};
use crate::image::{Algorithm, Digest, Platform, Reference};
use crate::inventory::Strictness;
use crate::json::{Formatting, View, append_items, apply_edits};
use crate::location::{DocumentPath, Location, Role, RootName};
use child::Child;
pub(crate) use child::{complete_platform, completed_platform};
use root::NewRoot;

/// An index that the source lacks.
#[derive(Clone, Debug)]
pub(crate) struct NestedIndex {
    pub(crate) digest: Digest,
    pub(crate) platforms: Vec<String>,
    pub(crate) names: Vec<NestedName>,
}

/// A name of an index that the source lacks.
#[derive(Clone, Debug)]
pub(crate) struct NestedName {
    /// The full name, or a tag that is the only name.
    pub(crate) name: String,
    /// Where the source lists the first of the images.
    pub(crate) location: Location,
    /// How many entries have that name.
    pub(crate) entries: usize,
}

/// What an entry is called: a name, or a tag alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Full(Reference),
    Tag(String),
}

impl Name {
    /// The annotations that give an entry of `index.json` this name.
    fn annotations(&self) -> Vec<(&'static str, String)> {
        match self {
            Name::Full(name) => {
                let tag = name.tag().map(|tag| (REF_NAME, tag.to_owned()));
                let full = (IMAGE_NAME, name.full());
                std::iter::once(full).chain(tag).collect()
            }
            Name::Tag(tag) => vec![(REF_NAME, tag.clone())],
        }
    }
}

/// Entries that become one index, under one or more names.
struct Group {
    names: Vec<(Name, Vec<usize>)>,
    children: Vec<Child>,
}

/// Moves the images that have one name but different platforms into an index of that name.
///
/// # Errors
/// The index cannot be built.
pub(super) fn nest(graph: &mut Graph) -> Result<()> {
    if graph.root.pointers.len() < 2 {
        return Ok(());
    }
    let names = names(graph);
    let mut groups = groups(graph, &names);
    if groups.is_empty() {
        return Ok(());
    }
    let mut new_root = NewRoot::new(&groups, names);
    new_root.move_evidence(graph, &mut groups);
    let mut entries = Vec::new();
    let mut texts = BTreeMap::new();
    for group in groups {
        let text = index(&group.children)?;
        let digest = Digest::of(Algorithm::Sha256, &text);
        for (name, _) in &group.names {
            entries.push(root::entry(name, &digest, text.len() as u64)?);
        }
        graph.nested.push(NestedIndex {
            platforms: group.platforms(),
            names: group.names(&graph.root),
            digest: digest.clone(),
        });
        texts.insert(digest, text);
    }
    let text = new_root.text(&graph.root, &entries).into_bytes();
    let digest = Digest::of(Algorithm::Sha256, &text);
    let mut root = parse(graph, text, digest, RootName::Index.into())?;
    root.respelled = std::mem::take(&mut graph.root.respelled);
    for entry in &root.pointers {
        // The first of several names leads to it.
        if let Some((digest, text)) = texts.remove_entry(&entry.digest) {
            let path = root.path.child(entry.step());
            let document = parse(graph, text.clone(), digest.clone(), path)?;
            graph.documents.insert(digest.clone(), document);
            graph.synthesized.insert(digest, text);
        }
    }
    complete_tag_links(&mut root.pointers, &graph.documents);
    graph.root = root;
    graph.unmark_images();
    graph.children_first = children_first(&graph.root, &graph.documents);
    graph.nested.sort_by(|a, b| a.digest.cmp(&b.digest));
    Ok(())
}

/// Reads an index that was built here. What was accepted about the source's keys has been noted before.
fn parse(graph: &Graph, text: Vec<u8>, digest: Digest, path: DocumentPath) -> Result<Document> {
    let mut reader = DocumentReader::new(Strictness::Lenient);
    let mut document = Document::parse(text, digest, Shape::Index, path, &mut reader)?;
    for pointer in &mut document.pointers {
        let blob = graph.inventory.blobs.get(&pointer.digest);
        pointer.content = blob.map(|blob| blob.content);
        // The walk has proven the content of all entries, or noted what is wrong with it.
        let len = blob.map(|blob| blob.len).filter(|len| *len != pointer.size);
        pointer.actual_size = len.filter(|_| graph.faults.of(&pointer.digest).is_none());
    }
    Ok(document)
}

/// The text of the index. oci-spec's descriptors would lose properties of those that are there.
fn index(children: &[Child]) -> Result<Vec<u8>> {
    let empty = synthesize::index(Vec::new())?;
    let empty = String::from_utf8_lossy(&empty);
    let descriptors: Vec<String> = children.iter().map(|child| child.text.clone()).collect();
    let list = View::of_checked(&empty).get(Role::Manifests.property());
    let edit = list.map(|list| append_items(&Formatting::of(&empty), list, &descriptors));
    Ok(apply_edits(&empty, edit.into_iter().collect()).into_bytes())
}

/// The names of each of the root's pointers: its own, and those that only `manifest.json` has.
fn names(graph: &Graph) -> Vec<Vec<Name>> {
    let pointers = &graph.root.pointers;
    let own = pointers.iter().map(own_name);
    let mut names: Vec<Vec<Name>> = own.map(|name| name.into_iter().collect()).collect();
    let Some(items) = &graph.docker_archive else {
        return names;
    };
    let stated: BTreeSet<Name> = names.iter().flatten().cloned().collect();
    let mut by_config: BTreeMap<&Digest, OfConfig> = BTreeMap::new();
    for (position, pointer) in pointers.iter().enumerate() {
        if let Some(facts) = graph.manifests.get(&pointer.digest) {
            let of_config = by_config.entry(&facts.config).or_default();
            of_config.positions.push(position);
        }
    }
    let mut added: BTreeSet<(usize, Name)> = BTreeSet::new();
    for item in items {
        let config = item.config_digest.as_ref();
        let of_config = config.and_then(|config| by_config.get_mut(config));
        let Some(first) = of_config.and_then(|of_config| of_config.first(&names)) else {
            continue;
        };
        let tags = item
            .repo_tags
            .iter()
            .filter_map(|tag| Reference::parse(tag));
        for name in tags.filter(|name| !name.is_digest()).map(Name::Full) {
            // What the entry has is among those that are stated, or was added.
            if !stated.contains(&name) && added.insert((first, name.clone())) {
                names[first].push(name);
            }
        }
    }
    names
}

/// The root's pointers that lead to images of one config.
#[derive(Default)]
struct OfConfig {
    positions: Vec<usize>,
    /// How many of them are known to have names. Names are only added.
    named: usize,
}

impl OfConfig {
    /// The first one without a name, else the first one.
    fn first(&mut self, names: &[Vec<Name>]) -> Option<usize> {
        while let Some(position) = self.positions.get(self.named) {
            if names[*position].is_empty() {
                return Some(*position);
            }
            self.named += 1;
        }
        self.positions.first().copied()
    }
}

/// The name in an entry's annotations. A name with a digest is for one document and never for several.
fn own_name(pointer: &Pointer) -> Option<Name> {
    if pointer.role != Role::Manifests || pointer.is_saved_evidence() {
        return None;
    }
    match pointer.name() {
        Some(name) => (!name.is_digest()).then_some(Name::Full(name)),
        None => Some(Name::Tag(pointer.bare_tag()?.to_owned())),
    }
}

/// The entries that become indexes, in the order in which they appear.
fn groups(graph: &Graph, names: &[Vec<Name>]) -> Vec<Group> {
    let mut positions: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
    for (position, names) in names.iter().enumerate() {
        for name in names {
            positions.entry(name).or_default().push(position);
        }
    }
    // Thousands of names may lead to the same images.
    let mut by_digests: BTreeMap<Vec<&Digest>, Vec<(Name, Vec<usize>)>> = BTreeMap::new();
    for (name, positions) in positions {
        let digests = positions.iter().map(|at| &graph.root.pointers[*at].digest);
        let digests: BTreeSet<&Digest> = digests.collect();
        if digests.len() > 1 {
            let names = by_digests.entry(digests.into_iter().collect());
            names.or_default().push((name.clone(), positions));
        }
    }
    let groups = by_digests.into_values().filter_map(|mut names| {
        names.sort_by(|a, b| a.1.cmp(&b.1));
        let (_, positions) = names.first()?;
        let children = children(graph, positions)?;
        let listed = |position: &usize| &graph.root.pointers[*position].digest;
        for (_, positions) in &mut names {
            positions.retain(|position| !children.unrelated.contains(listed(position)));
        }
        Some(Group {
            children: children.nested,
            names,
        })
    });
    let mut groups: Vec<Group> = groups.collect();
    groups.sort_by_key(Group::first);
    groups
}

/// What becomes of entries that have one name.
struct Children<'a> {
    /// The descriptors of an index of these entries: images for different platforms, then what refers to these.
    nested: Vec<Child>,
    /// Manifests that are not images and do not refer to any of these. They keep their positions.
    unrelated: BTreeSet<&'a Digest>,
}

/// `None` if the entries do not belong in one index.
fn children<'a>(graph: &'a Graph, positions: &[usize]) -> Option<Children<'a>> {
    let mut seen = BTreeSet::new();
    let mut listed = BTreeSet::new();
    let mut children: Vec<Child> = Vec::new();
    for position in positions {
        let pointer = &graph.root.pointers[*position];
        let is_repeated = !seen.insert(&pointer.digest);
        for child in child::of_entry(graph, pointer)? {
            // One image can be listed for several platforms.
            let is_new = listed.insert(child.key()) && child.platform.is_some();
            if is_new || !is_repeated {
                children.push(child);
            }
        }
    }
    let (mut images, others): (Vec<Child>, Vec<Child>) = children
        .into_iter()
        .partition(|child| child.platform.is_some());
    let distinct: BTreeSet<_> = images.iter().map(Child::identity).collect();
    let is_ambiguous = distinct.len() < images.len();
    drop(distinct);
    if images.is_empty() || is_ambiguous {
        return None;
    }
    let mut known: BTreeSet<&Digest> = images.iter().map(|image| &image.digest).collect();
    let mut unrelated = BTreeSet::new();
    for other in &others {
        if other.targets.iter().any(|target| known.contains(target)) {
            known.insert(&other.digest);
        } else {
            // What an index lists cannot be taken out of it.
            unrelated.insert(*seen.get(&other.digest)?);
        }
    }
    if seen.len() - unrelated.len() < 2 {
        return None;
    }
    // The result does not depend on the order of the entries.
    images.sort_by_cached_key(Child::order);
    let related = others.into_iter();
    images.extend(related.filter(|other| !unrelated.contains(&other.digest)));
    Some(Children {
        nested: images,
        unrelated,
    })
}

impl Group {
    fn platforms(&self) -> Vec<String> {
        let platforms = self
            .children
            .iter()
            .filter_map(|child| child.platform.as_ref());
        platforms.map(Platform::to_string).collect()
    }

    /// The position of the first of its entries.
    fn first(&self) -> Option<usize> {
        self.names
            .first()
            .and_then(|(_, positions)| positions.first())
            .copied()
    }

    fn names(&self, root: &Document) -> Vec<NestedName> {
        let names = self.names.iter().filter_map(|(name, positions)| {
            Some(NestedName {
                name: match name {
                    Name::Full(name) => name.full(),
                    Name::Tag(tag) => tag.clone(),
                },
                location: root.location_of(&root.pointers[*positions.first()?]),
                entries: positions.len(),
            })
        });
        names.collect()
    }
}

/// Replaces the annotations that name a descriptor, or removes them if `names` is empty.
pub(crate) fn set_names(descriptor: &mut Map<String, Value>, names: Vec<(&'static str, String)>) {
    let stated = descriptor.get("annotations").and_then(Value::as_object);
    let mut annotations = stated.cloned().unwrap_or_default();
    annotations.retain(|key, _| key != IMAGE_NAME && key != REF_NAME);
    let names = names.into_iter();
    annotations.extend(names.map(|(key, value)| (key.to_owned(), json!(value))));
    if annotations.is_empty() {
        descriptor.shift_remove("annotations");
    } else {
        descriptor.insert("annotations".to_owned(), Value::Object(annotations));
    }
}
