//! Parts of a graph: what some entries of `index.json` lead to, as if the source contained nothing else.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::graph::docker_archive::{DockerArchiveItem, RenamedFile};
use crate::graph::document::{Document, DocumentReader};
use crate::graph::fault::Faults;
use crate::graph::link::complete_tag_links;
use crate::graph::pointer::Pointer;
use crate::graph::{Graph, Missing, Orphans, root};
use crate::image::Digest;
use crate::inventory::{Inventory, RootFile, Strictness};
use crate::json::View;
use crate::location::{Location, Role, Step};

/// A graph, with what finds the contents of a part in time that depends on the part alone.
pub(crate) struct Reducer<'g> {
    graph: &'g Graph,
    /// The documents' places in the graph's order.
    order: BTreeMap<&'g Digest, usize>,
    missing: BTreeMap<&'g Digest, Vec<&'g Missing>>,
    renamed: BTreeMap<&'g Digest, Vec<&'g RenamedFile>>,
    links: BTreeMap<Digest, Vec<(&'g String, &'g String)>>,
    /// The entries that were added to the root, with their places among these.
    added_entries: BTreeMap<&'g Digest, usize>,
    /// The items of `manifest.json`, by their configs, with their texts.
    items: BTreeMap<&'g Digest, Vec<(usize, &'g DockerArchiveItem, &'g str)>>,
    root_list: List,
    /// What no part contains.
    left_out: BTreeSet<&'g Digest>,
    /// The indexes that keep only some entries in all parts.
    remaining: BTreeMap<&'g Digest, Document>,
    /// The lists of indexes of which parts were made.
    lists: RefCell<BTreeMap<Digest, Rc<List>>>,
}

impl<'g> Reducer<'g> {
    /// Without these entries of indexes, by position in their pointers, and without these documents and blobs.
    ///
    /// # Errors
    /// None if the graph is one that was resolved.
    pub(crate) fn new(
        graph: &'g Graph,
        dropped: &BTreeMap<&'g Digest, BTreeSet<usize>>,
        left_out: BTreeSet<&'g Digest>,
    ) -> Result<Self> {
        let mut missing: BTreeMap<&Digest, Vec<&Missing>> = BTreeMap::new();
        for absent in &graph.missing {
            missing.entry(&absent.digest).or_default().push(absent);
        }
        let mut renamed: BTreeMap<&Digest, Vec<&RenamedFile>> = BTreeMap::new();
        for file in &graph.renamed {
            renamed.entry(&file.digest).or_default().push(file);
        }
        let mut links: BTreeMap<Digest, Vec<(&String, &String)>> = BTreeMap::new();
        for (name, target) in &graph.inventory.links {
            if let Some(digest) = Digest::from_any_blob_name(name) {
                links.entry(digest).or_default().push((name, target));
            }
        }
        let order = graph.children_first.iter().enumerate();
        let added = graph.added_entries.iter().enumerate();
        let mut reducer = Reducer {
            graph,
            left_out,
            remaining: BTreeMap::new(),
            order: order.map(|(place, digest)| (digest, place)).collect(),
            missing,
            renamed,
            links,
            added_entries: added.map(|(place, digest)| (digest, place)).collect(),
            items: items(graph),
            root_list: List::of(&graph.root),
            lists: RefCell::default(),
        };
        for (digest, dropped) in dropped {
            let index = graph.document(digest);
            let index = index.filter(|_| !reducer.left_out.contains(digest));
            let count = index.map_or(0, |index| index.pointers_in(Role::Manifests).count());
            let kept = (0..count).filter(|position| !dropped.contains(position));
            if let Some(index) = reducer.index(digest, &kept.collect())? {
                reducer.remaining.insert(digest, index);
            }
        }
        Ok(reducer)
    }

    /// What these entries of the root, by position in its pointers, lead to. The entries keep their order. Of these
    /// indexes, only these entries stay too.
    ///
    /// # Errors
    /// None if the graph is one that was resolved.
    pub(crate) fn reduced(
        &self,
        positions: &BTreeSet<usize>,
        indexes: &BTreeMap<&Digest, BTreeSet<usize>>,
    ) -> Result<Graph> {
        let graph = self.graph;
        let mut root = part_of(&graph.root, &self.root_list, positions, root)?;
        complete_tag_links(&mut root.pointers, &graph.documents);
        let mut parts: BTreeMap<&Digest, Document> = BTreeMap::new();
        for (digest, positions) in indexes {
            parts.extend(self.index(digest, positions)?.map(|part| (*digest, part)));
        }
        let reached = self.reached(&root, &parts);
        let mut documents: Vec<(usize, &Digest)> = reached
            .iter()
            .filter_map(|digest| Some((*self.order.get(digest)?, *digest)))
            .collect();
        documents.sort_unstable();
        let mut faults = Faults::default();
        for (digest, error) in reached
            .iter()
            .filter_map(|digest| Some((*digest, graph.faults.of(digest)?)))
        {
            faults.add(digest, error.clone());
        }
        let mut items: Vec<_> = reached
            .iter()
            .filter_map(|digest| self.items.get(*digest))
            .flatten()
            .collect();
        items.sort_unstable_by_key(|(position, ..)| *position);
        let missing = reached
            .iter()
            .filter_map(|digest| self.missing.get(*digest));
        let renamed = reached
            .iter()
            .filter_map(|digest| self.renamed.get(*digest));
        let documents_of_part = reached.iter().filter_map(|digest| {
            let (digest, document) = graph.documents.get_key_value(*digest)?;
            let part = parts.remove(digest);
            let part = part.or_else(|| self.remaining.get(digest).cloned());
            Some((digest.clone(), part.unwrap_or_else(|| document.clone())))
        });
        let documents_of_part = documents_of_part.collect();
        let mut added: Vec<_> = reached
            .iter()
            .filter_map(|digest| self.added_entries.get_key_value(*digest))
            .collect();
        added.sort_unstable_by_key(|(_, position)| **position);
        Ok(Graph {
            inventory: self.inventory(&root, &reached, &items),
            is_root_synthesized: graph.is_root_synthesized,
            added_entries: added
                .into_iter()
                .map(|(digest, _)| Digest::clone(digest))
                .collect(),
            synthesized: copied(&graph.synthesized, &reached),
            renamed: renamed.flatten().copied().cloned().collect(),
            documents: documents_of_part,
            children_first: documents
                .into_iter()
                .map(|(_, digest)| digest.clone())
                .collect(),
            manifests: copied(&graph.manifests, &reached),
            faults,
            item_faults: BTreeMap::new(),
            missing: missing.flatten().copied().cloned().collect(),
            not_tars: copied(&graph.not_tars, &reached),
            repeated_keys: Vec::new(),
            docker_archive: graph
                .docker_archive
                .is_some()
                .then(|| items.iter().map(|(_, item, _)| (*item).clone()).collect()),
            computed: reached
                .iter()
                .filter(|digest| graph.computed.contains(**digest))
                .map(|digest| Digest::clone(digest))
                .collect(),
            opaque: graph.opaque.among(&reached),
            orphans: Orphans::default(),
            nested: reached
                .iter()
                .filter_map(|digest| graph.nested(digest))
                .cloned()
                .collect(),
            root,
        })
    }

    /// An index with these entries only; `None` if it keeps all.
    fn index(&self, digest: &Digest, positions: &BTreeSet<usize>) -> Result<Option<Document>> {
        let Some(old) = self.graph.document(digest) else {
            return Ok(None);
        };
        let mut lists = self.lists.borrow_mut();
        let list = lists.entry(digest.clone());
        let list = Rc::clone(list.or_insert_with(|| Rc::new(List::of(old))));
        if positions.len() == list.count {
            return Ok(None);
        }
        let parse = |bytes, reader: &mut DocumentReader| {
            let (digest, path) = (old.digest.clone(), old.path.clone());
            Document::parse(bytes, digest, old.shape, path, reader)
        };
        part_of(old, &list, positions, parse).map(Some)
    }

    /// The digests that a root leads to, through these parts of indexes.
    fn reached(
        &self,
        root: &Document,
        parts: &BTreeMap<&Digest, Document>,
    ) -> BTreeSet<&'g Digest> {
        let graph = self.graph;
        let mut reached = BTreeSet::new();
        let mut open: Vec<&Digest> = root.named().collect();
        while let Some(digest) = open.pop() {
            let known = graph.documents.get_key_value(digest);
            let known = known.map(|(known, document)| (known, Some(document)));
            let known = known.or_else(|| Some((self.known(digest)?, None)));
            if let Some((known, document)) = known
                && !self.left_out.contains(known)
                && reached.insert(known)
            {
                match parts.get(known).or_else(|| self.remaining.get(known)) {
                    Some(part) => open.extend(part.named().filter_map(|named| self.known(named))),
                    None => open.extend(document.into_iter().flat_map(Document::named)),
                }
                open.extend(graph.opaque.named_by(known));
            }
        }
        reached
    }

    /// A digest of the graph's own that is the same.
    fn known(&self, digest: &Digest) -> Option<&'g Digest> {
        let graph = self.graph;
        let blob = graph.inventory.blobs.get_key_value(digest);
        let blob = blob.map(|(known, _)| known);
        let synthesized = || Some(graph.synthesized.get_key_value(digest)?.0);
        let missing = || self.missing.get_key_value(digest).map(|(known, _)| *known);
        blob.or_else(synthesized).or_else(missing)
    }

    fn inventory(
        &self,
        root: &Document,
        reached: &BTreeSet<&Digest>,
        items: &[&(usize, &DockerArchiveItem, &str)],
    ) -> Inventory {
        let inventory = &self.graph.inventory;
        let blobs = copied(&inventory.blobs, reached);
        let of_items: Vec<&str> = items.iter().map(|(_, _, text)| *text).collect();
        let file = |file: &RootFile, bytes: Vec<u8>| RootFile {
            bytes,
            data: file.data.clone(),
        };
        let docker_manifest = inventory
            .docker_manifest
            .as_ref()
            .filter(|_| !items.is_empty());
        let links = reached.iter().filter_map(|digest| self.links.get(*digest));
        let links = links.flatten();
        Inventory {
            entry_count: blobs.len(),
            blobs,
            root_index: (inventory.root_index.as_ref())
                .map(|index| file(index, root.text.clone().into_bytes())),
            docker_manifest: docker_manifest
                .map(|manifest| file(manifest, format!("[{}]", of_items.join(",")).into_bytes())),
            oci_layout: inventory.oci_layout.clone(),
            links: links
                .map(|(name, target)| (String::clone(name), String::clone(target)))
                .collect(),
            ..Inventory::default()
        }
    }
}

impl Document {
    /// Where the first entry was that this part of an index lacks; `None` if it is not such a part.
    pub(crate) fn first_removed(&self) -> Option<Location> {
        if self.found_at.is_empty() || self.path.parent().is_none() {
            return None;
        }
        let kept = self.found_at.iter().enumerate();
        let kept = kept.take_while(|(new, old)| new == *old);
        let step = Step {
            role: Role::Manifests,
            position: kept.count(),
        };
        Some(Location::of(&self.path, step))
    }

    /// Where one of the document's pointers was when it was read.
    pub(super) fn step_to(&self, pointer: &Pointer) -> Step {
        let found_at = match pointer.role {
            Role::Manifests => self.found_at.get(pointer.position).copied(),
            _ => None,
        };
        Step {
            role: pointer.role,
            position: found_at.unwrap_or(pointer.position),
        }
    }
}

fn items(graph: &Graph) -> BTreeMap<&Digest, Vec<(usize, &DockerArchiveItem, &str)>> {
    let mut by_config: BTreeMap<&Digest, Vec<_>> = BTreeMap::new();
    let file = graph.inventory.docker_manifest.as_ref();
    let text = file.and_then(|file| std::str::from_utf8(&file.bytes).ok());
    let texts = text.and_then(View::parse).and_then(View::items);
    let texts = texts.unwrap_or_default();
    let items = graph.docker_archive.as_deref().unwrap_or_default();
    for (position, (item, text)) in items.iter().zip(texts).enumerate() {
        if let Some(config) = &item.config_digest {
            let of_config = by_config.entry(config).or_default();
            of_config.push((position, item, text.text()));
        }
    }
    by_config
}

/// Where the list of an index is.
struct List {
    /// How many items it has.
    count: usize,
    list: Range<usize>,
    /// What precedes, separates and follows the items.
    before: Range<usize>,
    between: Range<usize>,
    after: Range<usize>,
}

impl List {
    fn of(index: &Document) -> Self {
        let of_list = |pointer: &Pointer| pointer.role == Role::Manifests;
        let mut found = List {
            count: index.pointers.partition_point(of_list),
            list: 0..0,
            before: 0..0,
            between: 0..0,
            after: 0..0,
        };
        let list = View::of_checked(&index.text).get(Role::Manifests.property());
        let spans = list.and_then(|list| {
            let items = list.items()?;
            let spans: Vec<Range<usize>> = items.into_iter().map(View::span).collect();
            Some((list.span(), spans))
        });
        if let Some((list, spans)) = spans {
            if let [first, second, .., last] | [first, last @ second] = spans.as_slice() {
                found.before = list.start + 1..first.start;
                found.between = first.end..second.start;
                found.after = last.end..list.end - 1;
            }
            found.list = list;
        }
        found
    }
}

/// An index with the entries at these positions of its pointers only.
fn part_of(
    old: &Document,
    list: &List,
    positions: &BTreeSet<usize>,
    parse: impl FnOnce(Vec<u8>, &mut DocumentReader) -> Result<Document>,
) -> Result<Document> {
    // Its list comes first.
    let (listed, others) = old.pointers.split_at(list.count);
    let kept = positions
        .iter()
        .filter_map(|position| listed.get(*position));
    let kept: Vec<&Pointer> = kept.collect();
    if kept.len() == listed.len() {
        return Ok(old.clone());
    }
    let texts = kept.iter();
    let texts: Vec<&str> = texts
        .map(|pointer| &old.text[pointer.places.descriptor.clone()])
        .collect();
    let mut text = old.text[..list.list.start].to_owned();
    text.push('[');
    text.push_str(&old.text[list.before.clone()]);
    text.push_str(&texts.join(&old.text[list.between.clone()]));
    text.push_str(&old.text[list.after.clone()]);
    text.push(']');
    text.push_str(&old.text[list.list.end..]);
    // What is duplicated is known already.
    let mut reader = DocumentReader::new(Strictness::Lenient);
    let new = parse(text.into_bytes(), &mut reader)?;
    let found_at = kept.iter().map(|pointer| pointer.position).collect();
    let kept: Vec<&Pointer> = kept.into_iter().chain(others).collect();
    let is_same = |(old, new): (&&Pointer, &Pointer)| old.digest == new.digest;
    if new.pointers.len() != kept.len() || !kept.iter().zip(&new.pointers).all(is_same) {
        let message = format!("{} cannot be divided", old.path);
        return Err(Error::new(Code::InvalidDocument, message));
    }
    let pointers = kept.iter().zip(new.pointers).map(|(old, new)| Pointer {
        position: new.position,
        places: new.places,
        links: new.links,
        ..Pointer::clone(old)
    });
    Ok(Document {
        pointers: pointers.collect(),
        found_at,
        is_restored: old.is_restored,
        original: old.original.clone(),
        lacks_list: old.lacks_list,
        respelled: old.respelled.clone(),
        ..new
    })
}

fn copied<T: Clone>(
    from: &BTreeMap<Digest, T>,
    reached: &BTreeSet<&Digest>,
) -> BTreeMap<Digest, T> {
    let found = reached
        .iter()
        .filter_map(|digest| from.get_key_value(*digest));
    found
        .map(|(digest, value)| (digest.clone(), value.clone()))
        .collect()
}
