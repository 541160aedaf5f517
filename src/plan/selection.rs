//! Which parts of the input the output contains: the requested images, without absent or unwanted content.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::{Code, Error, Hint, Result, escape, show_list};
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::rules::Rule;
use crate::plan::{Change, ImageChoice, MissingPolicy};

/// What is left out.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Pointers of the root, by position.
    pub(crate) root: BTreeSet<usize>,
    /// Pointers of other indexes, by digest and position.
    documents: BTreeMap<&'a Digest, BTreeSet<usize>>,
    /// Every digest that documents of the input point at and none of the output does.
    pub(crate) left_out: BTreeSet<&'a Digest>,
}

impl<'a> Selection<'a> {
    /// The pointers of a document that are left out, by position.
    pub(crate) fn dropped(&self, document: &Digest) -> Option<&BTreeSet<usize>> {
        self.documents.get(document)
    }

    /// Leaves a pointer out; returns whether it was still there.
    fn drop(&mut self, pointer: &DroppedPointer<'a>) -> bool {
        let dropped = match pointer.owner {
            None => &mut self.root,
            Some(digest) => self.documents.entry(digest).or_default(),
        };
        dropped.insert(pointer.position)
    }
}

/// A pointer that a rule leaves out.
struct DroppedPointer<'a> {
    /// The digest of the document that has it; `None` for the root.
    owner: Option<&'a Digest>,
    document: &'a Document,
    position: usize,
    rule: Rule,
}

impl DroppedPointer<'_> {
    fn change(&self) -> Change {
        let pointer = &self.document.pointers[self.position];
        let before = Some(pointer.digest.to_string());
        let location = self.document.location_of(pointer);
        self.rule.change(location, before, None)
    }
}

impl Planner<'_> {
    /// Decides what the output contains, and removes the rest from the entries.
    ///
    /// # Errors
    /// A requested image is not there; content is absent, and the policy is to refuse that.
    pub(crate) fn select(&mut self) -> Result<()> {
        let (graph, options) = (self.graph, self.options);
        let mut dropped = other_images(graph, &self.entries, &options.images)?;
        if options.missing == MissingPolicy::Error {
            refuse_missing(graph)?;
        }
        let gone = match options.missing {
            MissingPolicy::Prune => gone(graph),
            MissingPolicy::Keep | MissingPolicy::Error => BTreeSet::new(),
        };
        for (owner, document) in indexes(graph) {
            for (position, pointer) in document.pointers.iter().enumerate() {
                if pointer.role != Role::Manifests {
                    continue;
                }
                let drop = |rule| DroppedPointer {
                    owner,
                    document,
                    position,
                    rule,
                };
                if options.drop_attestations && is_attestation(pointer, graph) {
                    dropped.push(drop(Rule::AttestationDropped));
                }
                if options.missing == MissingPolicy::Prune && is_gone(graph, pointer, &gone) {
                    dropped.push(drop(Rule::AbsentPruned));
                }
            }
        }
        dropped.retain(|pointer| self.selection.drop(pointer));
        self.entries
            .retain(|entry| !self.selection.root.contains(&entry.position));
        let mut whole: BTreeMap<&Digest, Rc<[&Digest]>> = BTreeMap::new();
        for entry in self.entries.iter_mut().filter(|_| !gone.is_empty()) {
            let images = whole.entry(entry.digest).or_insert_with(|| {
                let images = entry.images.iter().copied();
                images.filter(|image| !gone.contains(image)).collect()
            });
            entry.images = Rc::clone(images);
        }
        self.selection.left_out = left_out(graph, &self.selection);
        // A document that is removed completely is not reported part by part.
        let is_told = |pointer: &&DroppedPointer<'_>| {
            let owner = pointer.owner;
            owner.is_none_or(|owner| !self.selection.left_out.contains(owner))
        };
        let told = dropped.iter().filter(is_told);
        self.changes.extend(told.map(DroppedPointer::change));
        Ok(())
    }
}

fn indexes(graph: &Graph) -> impl Iterator<Item = (Option<&Digest>, &Document)> {
    let others = graph
        .documents
        .iter()
        .filter(|(_, document)| document.shape == Shape::Index)
        .map(|(digest, document)| (Some(digest), document));
    std::iter::once((None, &graph.root)).chain(others)
}

fn is_attestation(pointer: &Pointer, graph: &Graph) -> bool {
    pointer.is_attestation
        || graph
            .manifests
            .get(&pointer.digest)
            .is_some_and(|facts| facts.role == ManifestRole::Attestation)
}

/// The root's entries of images that were not requested, and what refers to none of those that stay.
fn other_images<'a>(
    graph: &'a Graph,
    entries: &[NamedEntry<'a>],
    choices: &[ImageChoice],
) -> Result<Vec<DroppedPointer<'a>>> {
    if choices.is_empty() {
        return Ok(Vec::new());
    }
    let mut numbered: Vec<&Digest> = Vec::new();
    for entry in entries {
        if !numbered.contains(&entry.digest) {
            numbered.push(entry.digest);
        }
    }
    let mut kept: BTreeSet<&Digest> = BTreeSet::new();
    for choice in choices {
        let found = match choice {
            ImageChoice::Number(number) => number
                .checked_sub(1)
                .and_then(|place| numbered.get(place).copied()),
            ImageChoice::Digest(digest) => entries
                .iter()
                .find(|entry| entry.digest == digest || is_sole_image(graph, entry, digest))
                .map(|entry| entry.digest),
            ImageChoice::Name(name) => entries
                .iter()
                .find(|entry| entry.names.contains(name))
                .map(|entry| entry.digest),
        };
        match found {
            Some(digest) => {
                kept.insert(digest);
                kept.extend(graph.images_below(digest));
            }
            None => return Err(image_not_found(choice, entries, &numbered)),
        }
    }
    let pointers = graph.root.pointers.iter().enumerate();
    let others = pointers.filter(|(_, pointer)| {
        pointer.role == Role::Manifests
            && !kept.contains(&pointer.digest)
            && !refers_to(graph, pointer, &kept)
    });
    let dropped = others.map(|(position, _)| DroppedPointer {
        owner: None,
        document: &graph.root,
        position,
        rule: Rule::ImageChoice,
    });
    Ok(dropped.collect())
}

/// Whether the digest is that of the one image that the entry has, or its image ID.
fn is_sole_image(graph: &Graph, entry: &NamedEntry<'_>, digest: &Digest) -> bool {
    let [image] = *entry.images else {
        return false;
    };
    let facts = graph.manifests.get(image);
    image == digest || facts.is_some_and(|facts| facts.config == *digest)
}

fn image_not_found(
    choice: &ImageChoice,
    entries: &[NamedEntry<'_>],
    numbered: &[&Digest],
) -> Error {
    let list: Vec<String> = numbered
        .iter()
        .enumerate()
        .map(|(place, digest)| {
            let names: Vec<String> = entries
                .iter()
                .filter(|entry| entry.digest == *digest)
                .flat_map(|entry| entry.names.iter().map(|name| name.familiar()))
                .collect();
            let name = if names.is_empty() {
                digest.to_string()
            } else {
                names.join(" = ")
            };
            format!("{}: {name}", place + 1)
        })
        .collect();
    let found = show_list(&list);
    Error::new(
        Code::ImageNotFound,
        format!("no image in the archive is {choice}; available: {found}"),
    )
    .with_expected(choice)
    .with_found(found)
    .with_hint(Hint::ChooseImageBy)
}

/// Whether an attestation, a referrer or a signature by tag is about one of these documents.
fn refers_to(graph: &Graph, pointer: &Pointer, targets: &BTreeSet<&Digest>) -> bool {
    let subjects = graph
        .document(&pointer.digest)
        .into_iter()
        .flat_map(|document| document.pointers_in(Role::Subject))
        .map(|subject| &subject.digest);
    let mut linked = pointer
        .links
        .iter()
        .map(|link| &link.digest)
        .chain(subjects);
    linked.any(|digest| targets.contains(digest))
        || signed_digest(pointer).is_some_and(|digest| targets.contains(&digest))
}

/// cosign's scheme: the tag `sha256-<hex>.sig` names the manifest that was signed.
pub(crate) fn signed_digest(pointer: &Pointer) -> Option<Digest> {
    let names = [&pointer.image_name, &pointer.ref_name];
    names.into_iter().flatten().find_map(|name| {
        let (_, tail) = name.rsplit_once("sha256-")?;
        let (hex, _) = tail.split_once('.')?;
        format!("sha256:{hex}").parse().ok()
    })
}

fn refuse_missing(graph: &Graph) -> Result<()> {
    let Some(missing) = graph.missing.iter().find(|missing| !missing.is_expected) else {
        return Ok(());
    };
    Err(Error::new(
        Code::MissingBlob,
        format!(
            "{} is {}, which is not in the archive",
            escape(&missing.location.to_string()),
            missing.digest.blob_name()
        ),
    )
    .with_location(&missing.location)
    .with_entry(missing.digest.blob_name())
    .with_hint(Hint::ChooseMissing))
}

/// The documents that cannot be used: manifests that lack a part, and indexes of such alone.
fn gone(graph: &Graph) -> BTreeSet<&Digest> {
    let mut gone: BTreeSet<&Digest> = graph
        .manifests
        .iter()
        .filter(|(_, facts)| !facts.is_whole)
        .map(|(digest, _)| digest)
        .collect();
    // Attestations go with their image, wherever they are in the order.
    loop {
        let before = gone.len();
        for (digest, document) in indexes(graph) {
            let mut listed = document.pointers_in(Role::Manifests).peekable();
            let is_empty = listed.peek().is_none();
            if let Some(digest) = digest
                && !is_empty
                && listed.all(|pointer| is_gone(graph, pointer, &gone))
            {
                gone.insert(digest);
            }
        }
        if gone.len() == before {
            return gone;
        }
    }
}

fn is_gone(graph: &Graph, pointer: &Pointer, gone: &BTreeSet<&Digest>) -> bool {
    let is_present = |digest: &Digest| {
        graph.inventory.blobs.contains_key(digest) || graph.synthesized.contains_key(digest)
    };
    let is_lost = |digest: &Digest| gone.contains(digest) || !is_present(digest);
    let subject = graph
        .document(&pointer.digest)
        .filter(|_| is_attestation(pointer, graph))
        .and_then(|document| document.pointers_in(Role::Subject).next());
    is_lost(&pointer.digest)
        || pointer.links.iter().any(|link| is_lost(&link.digest))
        || subject.is_some_and(|subject| is_lost(&subject.digest))
}

/// What only pointers lead to that are left out, or documents that go with them.
fn left_out<'a>(graph: &'a Graph, selection: &Selection<'a>) -> BTreeSet<&'a Digest> {
    if selection.root.is_empty() && selection.documents.is_empty() {
        return BTreeSet::new();
    }
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Digest> = kept_pointers(&graph.root, Some(&selection.root)).collect();
    while let Some(digest) = open.pop() {
        if reached.insert(digest)
            && let Some(document) = graph.document(digest)
        {
            open.extend(kept_pointers(document, selection.dropped(digest)));
        }
    }
    let all = graph.reachable();
    all.difference(&reached).copied().collect()
}

fn kept_pointers<'a>(
    document: &'a Document,
    dropped: Option<&BTreeSet<usize>>,
) -> impl Iterator<Item = &'a Digest> {
    let pointers = document.pointers.iter().enumerate();
    pointers
        .filter(move |(position, _)| dropped.is_none_or(|dropped| !dropped.contains(position)))
        .map(|(_, pointer)| &pointer.digest)
}
