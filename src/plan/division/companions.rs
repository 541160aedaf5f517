//! What goes into the same output: an image, and whatever refers to it.

use std::collections::{BTreeMap, BTreeSet};

use super::within::{Divided, within};
use crate::graph::pointer::Pointer;
use crate::graph::referrers::Referrers;
use crate::image::Digest;
use crate::location::Role;
use crate::plan::planner::Planner;
use crate::plan::selection::closure::kept_with;

/// Entries of `index.json` with the same digest.
pub(super) struct Group<'a> {
    pub(super) digest: &'a Digest,
    /// Their positions in the root's pointers.
    pub(super) positions: BTreeSet<usize>,
}

/// Which entries of `index.json` are about others.
pub(super) struct Companions<'a, 'r> {
    referrers: &'r Referrers<'a>,
    /// The pointers of the root.
    pointers: &'a [Pointer],
    /// The entries that some part contains, by position.
    remaining: BTreeSet<usize>,
    known: BTreeMap<&'a Digest, BTreeSet<usize>>,
}

impl<'a, 'r> Companions<'a, 'r> {
    pub(super) fn new(planner: &Planner<'a>, referrers: &'r Referrers<'a>) -> Self {
        let pointers = planner.graph.root.pointers.iter().enumerate();
        let listed = pointers.filter(|(_, pointer)| pointer.role == Role::Manifests);
        let positions = listed.map(|(position, _)| position);
        Companions {
            referrers,
            pointers: &planner.graph.root.pointers,
            remaining: positions
                .filter(|position| !planner.selection.root.contains(position))
                .collect(),
            known: BTreeMap::new(),
        }
    }

    /// Whether an entry that is about a document goes with it: it is in some part, and is not an entry of the document.
    fn is_companion(&self, position: usize, digest: &Digest) -> bool {
        let pointer = self.pointers.get(position);
        self.remaining.contains(&position)
            && pointer.is_some_and(|pointer| pointer.digest != *digest)
    }

    /// What of an index is for each of these images; `None` if it is not an index.
    pub(super) fn within(
        &self,
        planner: &Planner<'a>,
        index: &'a Digest,
        images: &[&'a Digest],
    ) -> Option<Divided<'a>> {
        let mut divided = within(planner, self.referrers, index, images)?;
        for (image, within) in &mut divided.images {
            within
                .about
                .retain(|position| self.is_companion(*position, image));
        }
        Some(divided)
    }

    /// The entries that are about a document, about what it lists, or about such an entry in turn, by position.
    pub(super) fn of(&mut self, digest: &'a Digest) -> BTreeSet<usize> {
        if let Some(known) = self.known.get(digest) {
            return known.clone();
        }
        let listings = kept_with(self.referrers, [digest]).into_iter();
        let listings = listings.map(|number| &self.referrers.listings[number]);
        let of_root = listings.filter(|listing| listing.owner.is_none());
        let found: BTreeSet<usize> = of_root
            .map(|listing| listing.position)
            .filter(|position| self.is_companion(*position, digest))
            .collect();
        self.known.insert(digest, found.clone());
        found
    }
}

/// The groups of entries that have outputs of their own, in the order of `index.json`. All others go with one of these.
pub(super) fn groups<'a>(
    planner: &Planner<'a>,
    companions: &mut Companions<'a, '_>,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut numbers: BTreeMap<&Digest, usize> = BTreeMap::new();
    for position in &companions.remaining {
        let Some(pointer) = planner.graph.root.pointers.get(*position) else {
            continue;
        };
        let number = *numbers.entry(&pointer.digest).or_insert(groups.len());
        if number == groups.len() {
            groups.push(Group {
                digest: &pointer.digest,
                positions: BTreeSet::new(),
            });
        }
        groups[number].positions.insert(*position);
    }
    let mut covered: BTreeSet<usize> = BTreeSet::new();
    for group in &groups {
        covered.extend(companions.of(group.digest));
    }
    let is_covered = |group: &Group<'_>, covered: &BTreeSet<usize>| {
        group
            .positions
            .iter()
            .all(|position| covered.contains(position))
    };
    let (dependent, mut own): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|group| is_covered(group, &covered));
    // Tags can say of two images that each is about the other.
    let mut reached: BTreeSet<usize> = BTreeSet::new();
    for group in &own {
        reached.extend(companions.of(group.digest));
    }
    for group in dependent {
        if !is_covered(&group, &reached) {
            reached.extend(companions.of(group.digest));
            own.push(group);
        }
    }
    own
}
