//! What can be chosen: found by name, digest or number, however many are chosen.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::graph::document::Shape;
use crate::image::{Digest, Reference};
use crate::plan::ImageChoice;
use crate::plan::artifacts::artifacts;
use crate::plan::entries::NamedEntry;

/// Images that match a request: all of an entry, or some of them.
pub(super) struct Match<'a> {
    pub(super) entry: &'a Digest,
    /// The images of the entry, if only some of them match.
    pub(super) images: Option<Vec<&'a Digest>>,
}

impl<'a> Match<'a> {
    fn whole(entry: &'a Digest) -> Self {
        Match {
            entry,
            images: None,
        }
    }
}

/// The images and artifacts of an input.
pub(super) struct Choosable<'a> {
    graph: &'a Graph,
    /// The entries that lead to images, by digest, in order.
    pub(super) numbered: Vec<&'a Digest>,
    /// How many images each of these leads to.
    counts: Vec<usize>,
    numbers: BTreeMap<&'a Digest, usize>,
    /// The numbers of the entries that lead to an image.
    leading: BTreeMap<&'a Digest, BTreeSet<usize>>,
    by_config: BTreeMap<&'a Digest, Vec<&'a Digest>>,
    by_name: BTreeMap<Reference, &'a Digest>,
    artifacts_by_name: BTreeMap<Reference, &'a Digest>,
    artifacts: BTreeSet<&'a Digest>,
}

impl<'a> Choosable<'a> {
    pub(super) fn of(graph: &'a Graph, entries: &[NamedEntry<'a>]) -> Self {
        let mut found = Choosable {
            graph,
            numbered: Vec::new(),
            counts: Vec::new(),
            numbers: BTreeMap::new(),
            leading: BTreeMap::new(),
            by_config: BTreeMap::new(),
            by_name: BTreeMap::new(),
            artifacts_by_name: BTreeMap::new(),
            artifacts: BTreeSet::new(),
        };
        for entry in entries {
            // Of several images with one name, it stays with the last.
            let names = entry.names.iter().cloned();
            found.by_name.extend(names.map(|name| (name, entry.digest)));
            let number = found.numbered.len();
            if *found.numbers.entry(entry.digest).or_insert(number) != number {
                continue;
            }
            found.numbered.push(entry.digest);
            found.counts.push(entry.images.len());
            for image in entry.images.iter() {
                found.leading.entry(image).or_default().insert(number);
            }
        }
        for image in found.leading.keys() {
            if let Some(facts) = graph.manifests.get(image) {
                let of_config = found.by_config.entry(&facts.config);
                of_config.or_default().push(image);
            }
        }
        for (_, pointer) in artifacts(graph, entries) {
            found.artifacts.insert(&pointer.digest);
            let name = pointer.name().filter(|_| !pointer.is_saved_evidence());
            let named = name.map(|name| (name, &pointer.digest));
            found.artifacts_by_name.extend(named);
        }
        found
    }

    /// What a choice means. Numbers are those of images.
    pub(super) fn find(&self, choice: &ImageChoice) -> Option<Match<'a>> {
        match choice {
            ImageChoice::Number(number) => {
                let entry = self.numbered.get(number.checked_sub(1)?)?;
                Some(Match::whole(entry))
            }
            ImageChoice::Name(name) => {
                let image = self.by_name.get(name);
                let found = image.or_else(|| self.artifacts_by_name.get(name));
                found.map(|entry| Match::whole(entry))
            }
            ImageChoice::Digest(digest) => self.by_digest(digest).or_else(|| {
                let artifact = self.artifacts.get(digest);
                artifact.map(|entry| Match::whole(entry))
            }),
        }
    }

    /// An entry with that digest, or with a manifest, index or config below it that has it.
    fn by_digest(&self, digest: &Digest) -> Option<Match<'a>> {
        if let Some((entry, _)) = self.numbers.get_key_value(digest) {
            return Some(Match::whole(entry));
        }
        let within = match self.graph.documents.get_key_value(digest) {
            Some((index, document)) if document.shape == Shape::Index => {
                self.graph.images_below(index)
            }
            _ => Vec::new(),
        };
        let of_config = self.by_config.get(digest).into_iter().flatten().copied();
        let itself = self.leading.get_key_value(digest).map(|(image, _)| *image);
        let meant: BTreeSet<&Digest> = within.into_iter().chain(of_config).chain(itself).collect();
        let first = |image: &&Digest| self.leading.get(*image)?.first().copied();
        let number = meant.iter().filter_map(first).min()?;
        let is_below = |image: &&Digest| {
            let entries = self.leading.get(*image);
            entries.is_some_and(|entries| entries.contains(&number))
        };
        let some: Vec<&Digest> = meant.into_iter().filter(is_below).collect();
        let is_all = self.counts.get(number) == Some(&some.len());
        Some(Match {
            entry: self.numbered.get(number)?,
            images: (!is_all).then_some(some),
        })
    }
}
