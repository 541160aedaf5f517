//! One part of a divided input.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::SplitBy;
use super::companions::{Companions, Group};
use crate::graph::Graph;
use crate::image::{Digest, Platform, Reference};
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::selection::elsewhere;
use crate::plan::{ImageChoice, PlanOptions};

/// What one output of several contains.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    /// What its entries of `index.json` point at.
    pub(crate) digest: &'a Digest,
    /// The only image that stays of those that the entries lead to.
    pub(crate) image: Option<&'a Digest>,
    /// The names of the entries, sorted as they are displayed.
    pub(crate) names: Vec<Reference>,
    /// The platforms of the images, sorted.
    pub(crate) platforms: Vec<Platform>,
    /// The entries that lead to images, among them those that are about the image.
    entries: Vec<NamedEntry<'a>>,
    /// All entries, by position in the root's pointers.
    positions: BTreeSet<usize>,
    /// Those whose annotations no longer name them.
    nameless: BTreeSet<usize>,
    /// The images to keep of what the entries list; all if there is none.
    chosen_images: Vec<ImageChoice>,
    /// The platforms to keep; all if there is none.
    chosen_platforms: Vec<Platform>,
}

impl<'a> Part<'a> {
    /// The entries of `index.json` that are in other parts, or in none, by position.
    pub(crate) fn other_entries(&self, graph: &Graph) -> impl Iterator<Item = usize> {
        let pointers = graph.root.pointers.iter().enumerate();
        let listed = pointers.filter(|(_, pointer)| pointer.role == Role::Manifests);
        let positions: Vec<usize> = listed.map(|(position, _)| position).collect();
        let positions = positions.into_iter();
        positions.filter(|position| !self.positions.contains(position))
    }

    /// The options of the split for this part.
    pub(crate) fn options(&self, all: &PlanOptions) -> PlanOptions {
        PlanOptions {
            images: self.chosen_images.clone(),
            platforms: self.chosen_platforms.clone(),
            ..all.clone()
        }
    }
}

impl<'a> Planner<'a> {
    /// Begins a plan with the entries of a part instead of all.
    pub(crate) fn enter(&mut self, part: &'a Part<'a>) {
        self.entries.clone_from(&part.entries);
        self.nameless.clone_from(&part.nameless);
        self.selection.root = part.other_entries(self.graph).collect();
        self.selection.elsewhere = elsewhere(self.graph, part);
        let orphans = self.graph.orphans.digests.iter();
        self.selection.elsewhere.extend(orphans);
    }
}

/// The images below each entry of `index.json`, by position, before options leave some out.
pub(super) type Complete<'a> = BTreeMap<usize, Rc<[&'a Digest]>>;

/// What the parts of one group have in common.
struct Whole<'a, 'p> {
    planner: &'p Planner<'a>,
    complete: &'p Complete<'a>,
    group: &'p Group<'a>,
    /// The entries of the group that lead to images.
    own: Vec<&'p NamedEntry<'a>>,
}

/// The parts of one group.
pub(super) fn parts<'a>(
    planner: &Planner<'a>,
    complete: &Complete<'a>,
    companions: &mut Companions<'a, '_>,
    group: &Group<'a>,
    by: SplitBy,
) -> Vec<Part<'a>> {
    let own = planner.entries.iter();
    let own = own.filter(|entry| group.positions.contains(&entry.position));
    let whole = Whole {
        planner,
        complete,
        group,
        own: own.collect(),
    };
    let about = companions.of(group.digest);
    let names = whole.names();
    let images = whole.images();
    match by {
        SplitBy::Name if names.len() > 1 && whole.is_image() => {
            let parts = names.iter().map(|name| whole.of_name(name, &about));
            parts.collect()
        }
        SplitBy::Platform if !images.is_empty() => {
            let parts = images.iter().map(|image| {
                // What is about the index goes with each of its images.
                let mut about = about.clone();
                for other in images.iter().filter(|other| *other != image) {
                    for position in companions.of(other) {
                        about.remove(&position);
                    }
                }
                about.extend(companions.of(image));
                whole.of_image(image, &about)
            });
            parts.collect()
        }
        _ => vec![whole.part(&about)],
    }
}

impl<'a> Whole<'a, '_> {
    fn is_image(&self) -> bool {
        !self.own.is_empty()
    }

    /// The images that stay, in order.
    fn images(&self) -> Rc<[&'a Digest]> {
        let first = self.own.first();
        first.map_or_else(|| Rc::from([]), |entry| Rc::clone(&entry.images))
    }

    fn names(&self) -> Vec<Reference> {
        let pointers = &self.planner.graph.root.pointers;
        let names: BTreeSet<Reference> = match self.is_image() {
            true => {
                let names = self.own.iter().flat_map(|entry| &entry.names);
                names.cloned().collect()
            }
            false => {
                let positions = self.group.positions.iter();
                let named = positions.filter(|position| !self.planner.nameless.contains(position));
                let pointers = named.filter_map(|position| pointers.get(*position));
                pointers.filter_map(|pointer| pointer.name()).collect()
            }
        };
        let mut names: Vec<Reference> = names.into_iter().collect();
        names.sort_by_cached_key(Reference::familiar);
        names
    }

    /// All entries of the group, and those that are about them.
    fn part(&self, about: &BTreeSet<usize>) -> Part<'a> {
        let options = &self.planner.options;
        let images = self.images();
        let is_reduced = self.own.iter().any(|entry| {
            let complete = self.complete.get(&entry.position);
            complete.is_some_and(|complete| complete.len() != images.len())
        });
        let chosen = images.iter();
        let chosen = chosen.filter(|_| is_reduced && !options.images.is_empty());
        let chosen = chosen.map(|image| ImageChoice::Digest(Digest::clone(image)));
        let chosen_images = chosen.collect();
        let positions: BTreeSet<usize> = self.group.positions.union(about).copied().collect();
        let entries = self.entries(&positions);
        let images_of_part = entries.iter().flat_map(|entry| entry.images.iter());
        let platforms: BTreeSet<&Platform> = images_of_part
            .filter_map(|image| self.planner.platforms.get(image).copied())
            .collect();
        let wanted = options.platforms.iter();
        let wanted = wanted.filter(|wanted| {
            let mut platforms = platforms.iter();
            platforms.any(|platform| platform.matches_strictly(wanted))
        });
        let nameless = positions.intersection(&self.planner.nameless);
        Part {
            digest: self.group.digest,
            image: None,
            names: self.names(),
            platforms: self.platforms(&images),
            nameless: nameless.copied().collect(),
            chosen_platforms: wanted.cloned().collect(),
            chosen_images,
            entries,
            positions,
        }
    }

    /// The entries with this name, those without a name, and those that are about the image.
    fn of_name(&self, name: &Reference, about: &BTreeSet<usize>) -> Part<'a> {
        let mut part = self.part(about);
        let is_own = |entry: &NamedEntry<'_>| {
            self.group.positions.contains(&entry.position) && !entry.names.is_empty()
        };
        let (others, entries) = part
            .entries
            .into_iter()
            .partition(|entry| is_own(entry) && !entry.names.contains(name));
        part.entries = entries;
        let others: Vec<NamedEntry<'_>> = others;
        for other in others {
            part.positions.remove(&other.position);
        }
        for entry in part.entries.iter_mut().filter(|entry| is_own(entry)) {
            entry.is_renamed |= entry.names.first() != Some(name);
            entry.names = vec![name.clone()];
        }
        part.names = vec![name.clone()];
        part
    }

    /// All entries of the group with one of their images, and what is about it.
    fn of_image(&self, image: &'a Digest, about: &BTreeSet<usize>) -> Part<'a> {
        let platform = self.planner.platforms.get(image).copied();
        let platforms: Vec<Platform> = platform.into_iter().cloned().collect();
        Part {
            image: Some(image),
            platforms: platforms.clone(),
            chosen_images: vec![ImageChoice::Digest(image.clone())],
            chosen_platforms: platforms,
            ..self.part(about)
        }
    }

    /// The entries at these positions that lead to images, with all their images.
    fn entries(&self, positions: &BTreeSet<usize>) -> Vec<NamedEntry<'a>> {
        let entries = self.planner.entries.iter();
        let entries = entries.filter(|entry| positions.contains(&entry.position));
        let entries = entries.map(|entry| {
            let complete = self.complete.get(&entry.position);
            NamedEntry {
                images: Rc::clone(complete.unwrap_or(&entry.images)),
                ..entry.clone()
            }
        });
        entries.collect()
    }

    fn platforms(&self, images: &[&Digest]) -> Vec<Platform> {
        let platforms = images.iter();
        let platforms = platforms.filter_map(|image| self.planner.platforms.get(image));
        let platforms: BTreeSet<&Platform> = platforms.copied().collect();
        platforms.into_iter().cloned().collect()
    }
}
