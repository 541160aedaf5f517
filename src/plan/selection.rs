//! What of the input goes out: images that were asked for, without what is absent or unwanted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::error::{Code, Error, Hint, Result, escape, show_list};
use crate::graph::document::{Document, Shape};
use crate::graph::location::DocumentPath;
use crate::graph::pointer::{Pointer, Role};
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::inventory::Inventory;
use crate::plan::names::Named;
use crate::plan::{Change, ImageChoice, MissingPolicy, PlanOptions, rules::Rule};

/// What is left out, and what is left.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Pointers of the root to leave out, by position.
    pub(crate) root: BTreeSet<usize>,
    /// Pointers of other indexes to leave out, by digest and position.
    pub(crate) documents: BTreeMap<Digest, BTreeSet<usize>>,
    /// Every digest that documents of the input point at and none of the output does.
    pub(crate) left_out: BTreeSet<Digest>,
    /// One change for each pointer that is left out.
    pub(crate) changes: Vec<Change>,
}

impl Selection {
    /// The pointers of a document to leave out.
    pub(crate) fn dropped<'a>(&'a self, document: &Digest) -> Option<&'a BTreeSet<usize>> {
        self.documents.get(document)
    }

    fn leave_out(
        &mut self,
        owner: Option<&Digest>,
        document: &Document,
        position: usize,
        rule: Rule,
    ) {
        let dropped = match owner {
            None => &mut self.root,
            Some(digest) => self.documents.entry(digest.clone()).or_default(),
        };
        let Some(pointer) = document.pointers.get(position) else {
            return;
        };
        if dropped.insert(position) {
            let before = Some(pointer.digest.to_string());
            self.changes
                .push(rule.change(document.location_of(pointer), before, None));
        }
    }
}

/// Decides what goes out, and takes from `entries` what does not.
///
/// # Errors
/// An image that was asked for is not there; content is absent and that was to be an error.
pub(crate) fn select(
    graph: &Graph,
    inventory: &Inventory,
    entries: &mut Vec<Named>,
    options: &PlanOptions,
) -> Result<Selection> {
    let mut selection = Selection::default();
    choose_images(graph, entries, &options.images, &mut selection)?;
    if options.missing == MissingPolicy::Error {
        refuse_missing(graph)?;
    }
    let gone = match options.missing {
        MissingPolicy::Prune => gone(graph, inventory),
        MissingPolicy::Keep | MissingPolicy::Error => BTreeSet::new(),
    };
    for (owner, document) in indexes(graph) {
        for (position, pointer) in document.pointers.iter().enumerate() {
            if pointer.role != Role::Manifests {
                continue;
            }
            if options.drop_attestations && is_attestation(pointer, graph) {
                selection.leave_out(owner, document, position, Rule::AttestationDropped);
            }
            if options.missing == MissingPolicy::Prune && is_gone(graph, inventory, pointer, &gone)
            {
                selection.leave_out(owner, document, position, Rule::AbsentPruned);
            }
        }
    }
    entries.retain(|entry| !selection.root.contains(&entry.position));
    let mut whole: BTreeMap<Digest, Arc<Vec<Digest>>> = BTreeMap::new();
    for entry in entries.iter_mut().filter(|_| !gone.is_empty()) {
        let images = whole.entry(entry.digest.clone()).or_insert_with(|| {
            let is_left = |image: &&Digest| !gone.contains(*image);
            Arc::new(entry.images.iter().filter(is_left).cloned().collect())
        });
        entry.images = Arc::clone(images);
    }
    selection.left_out = left_out(graph, &selection);
    // A document that goes as a whole is not reported part by part.
    let reached: HashSet<&DocumentPath> = documents_after(graph, &selection)
        .map(|document| &document.path)
        .collect();
    let is_told = |change: &&Change| {
        let document = change.location.document();
        document.is_some_and(|document| reached.contains(document))
    };
    let told = selection.changes.iter().filter(is_told).cloned().collect();
    selection.changes = told;
    Ok(selection)
}

/// The root and every other document that the output holds, parents first.
pub(crate) fn documents_after<'a>(
    graph: &'a Graph,
    selection: &'a Selection,
) -> impl Iterator<Item = &'a Document> {
    let others = graph.children_first.iter().rev();
    let kept = others.filter(|digest| !selection.left_out.contains(*digest));
    std::iter::once(&graph.root).chain(kept.filter_map(|digest| graph.document(digest)))
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

/// Leaves out the root's entries of other images, and what refers to none of those that stay.
fn choose_images(
    graph: &Graph,
    entries: &[Named],
    choices: &[ImageChoice],
    selection: &mut Selection,
) -> Result<()> {
    if choices.is_empty() {
        return Ok(());
    }
    let mut numbered: Vec<&Digest> = Vec::new();
    for entry in entries {
        if !numbered.contains(&&entry.digest) {
            numbered.push(&entry.digest);
        }
    }
    let mut kept: BTreeSet<Digest> = BTreeSet::new();
    for choice in choices {
        let found = match choice {
            ImageChoice::Number(number) => number
                .checked_sub(1)
                .and_then(|place| numbered.get(place).copied()),
            ImageChoice::Digest(digest) => entries
                .iter()
                .find(|entry| entry.digest == *digest || is_sole_image(graph, entry, digest))
                .map(|entry| &entry.digest),
            ImageChoice::Name(name) => entries
                .iter()
                .find(|entry| entry.names.contains(name))
                .map(|entry| &entry.digest),
        };
        match found {
            Some(digest) => {
                kept.insert(digest.clone());
                kept.extend(graph.images_below(digest));
            }
            None => return Err(image_not_found(choice, entries, &numbered)),
        }
    }
    for (position, pointer) in graph.root.pointers.iter().enumerate() {
        let stays = match pointer.role {
            Role::Manifests => kept.contains(&pointer.digest) || refers_to(graph, pointer, &kept),
            _ => true,
        };
        if !stays {
            selection.leave_out(None, &graph.root, position, Rule::ImageChoice);
        }
    }
    Ok(())
}

/// Whether the digest is that of the one image that the entry has, or its image ID.
fn is_sole_image(graph: &Graph, entry: &Named, digest: &Digest) -> bool {
    let [image] = entry.images.as_slice() else {
        return false;
    };
    let facts = graph.manifests.get(image);
    image == digest || facts.is_some_and(|facts| facts.config == *digest)
}

fn image_not_found(choice: &ImageChoice, entries: &[Named], numbered: &[&Digest]) -> Error {
    let list: Vec<String> = numbered
        .iter()
        .enumerate()
        .map(|(place, digest)| {
            let names: Vec<String> = entries
                .iter()
                .filter(|entry| entry.digest == **digest)
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
        format!("no image in the archive is {choice}; there are {found}"),
    )
    .with_expected(choice)
    .with_found(found)
    .with_hint(Hint::ChooseImageBy)
}

/// Whether an attestation, a referrer or a signature by tag is about one of these documents.
fn refers_to(graph: &Graph, pointer: &Pointer, targets: &BTreeSet<Digest>) -> bool {
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
    .with_document(&missing.location)
    .with_entry(missing.digest.blob_name())
    .with_hint(Hint::ChooseMissing))
}

/// The documents that cannot be used: manifests that lack a part, and indexes of such alone.
fn gone(graph: &Graph, inventory: &Inventory) -> BTreeSet<Digest> {
    let mut gone: BTreeSet<Digest> = graph
        .manifests
        .iter()
        .filter(|(_, facts)| !facts.is_whole)
        .map(|(digest, _)| digest.clone())
        .collect();
    // Attestations go with their image, wherever in the order they stand.
    loop {
        let before = gone.len();
        for (digest, document) in indexes(graph) {
            let mut listed = document.pointers_in(Role::Manifests).peekable();
            let is_empty = listed.peek().is_none();
            if let Some(digest) = digest
                && !is_empty
                && listed.all(|pointer| is_gone(graph, inventory, pointer, &gone))
            {
                gone.insert(digest.clone());
            }
        }
        if gone.len() == before {
            return gone;
        }
    }
}

fn is_gone(
    graph: &Graph,
    inventory: &Inventory,
    pointer: &Pointer,
    gone: &BTreeSet<Digest>,
) -> bool {
    let is_present =
        |digest: &Digest| inventory.blobs.contains_key(digest) || graph.made.contains_key(digest);
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
fn left_out(graph: &Graph, selection: &Selection) -> BTreeSet<Digest> {
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
    all.difference(&reached).copied().cloned().collect()
}

fn kept_pointers<'a>(
    document: &'a Document,
    dropped: Option<&'a BTreeSet<usize>>,
) -> impl Iterator<Item = &'a Digest> {
    let pointers = document.pointers.iter().enumerate();
    pointers
        .filter(move |(position, _)| dropped.is_none_or(|dropped| !dropped.contains(position)))
        .map(|(_, pointer)| &pointer.digest)
}
