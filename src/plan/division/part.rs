//! One part of a divided input.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::SplitBy;
use super::companions::{Companions, Group};
use super::within::{Entry, IndexEntries, Within};
use crate::error::Result;
use crate::graph::pointer::Pointer;
use crate::graph::{Graph, Reducer};
use crate::image::{Digest, Platform, Reference};
use crate::plan::PlanOptions;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::selection::platforms::Platforms;

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
    /// Those that lead to no image, if names were requested.
    artifacts: Vec<NamedEntry<'a>>,
    /// All entries, by position in the root's pointers.
    positions: BTreeSet<usize>,
    /// Those whose annotations no longer name them.
    nameless: BTreeSet<usize>,
    /// What stays of the index for the image, and of those below it.
    within: Option<Within<'a>>,
    /// The platforms to keep; all if there is none.
    chosen_platforms: Vec<Platform>,
}

impl<'a> Part<'a> {
    /// The part of a graph that this is, and the same part of that graph.
    ///
    /// # Errors
    /// Those of [`Reducer::reduced`].
    pub(crate) fn reduced(&self, reducer: &Reducer<'_>) -> Result<(Graph, Part<'a>)> {
        let none = IndexEntries::new();
        let within = self.within.as_ref();
        let indexes = within.map_or(&none, |within| &within.entries);
        let graph = reducer.reduced(&self.positions, indexes)?;
        let numbers = self.positions.iter().enumerate();
        let numbers: BTreeMap<usize, usize> = numbers.map(|(new, old)| (*old, new)).collect();
        let new = |old: &usize| numbers.get(old).copied();
        let entries = self.entries.iter().filter_map(|entry| {
            let is_divided = within.is_some_and(|within| within.entries.contains_key(entry.digest));
            let images = match self.image.filter(|_| is_divided) {
                // It is one of thousands, and was taken from them.
                Some(image) if entry.digest == self.digest => Rc::from([image]),
                Some(image) => {
                    let images = entry.images.iter().copied();
                    images.filter(|other| *other == image).collect()
                }
                None => Rc::clone(&entry.images),
            };
            Some(NamedEntry {
                position: new(&entry.position)?,
                images,
                ..entry.clone()
            })
        });
        let artifacts = self.artifacts.iter().filter_map(|entry| {
            Some(NamedEntry {
                position: new(&entry.position)?,
                ..entry.clone()
            })
        });
        let part = Part {
            entries: entries.collect(),
            artifacts: artifacts.collect(),
            positions: numbers.values().copied().collect(),
            nameless: self.nameless.iter().filter_map(new).collect(),
            ..self.clone()
        };
        Ok((graph, part))
    }

    /// What stays of indexes if the part has one of several images.
    pub(super) fn within(&self) -> Option<&IndexEntries<'a>> {
        self.within.as_ref().map(|within| &within.entries)
    }

    /// The options for this part, from those for all parts.
    pub(crate) fn options(&self, all: &PlanOptions) -> PlanOptions {
        PlanOptions {
            platforms: self.chosen_platforms.clone(),
            ..all.clone()
        }
    }
}

impl PlanOptions {
    /// The same for all parts of an input that was divided with them.
    pub(crate) fn for_parts(self) -> Self {
        PlanOptions {
            // What was not chosen is in no part. Thousands may have been, so no part gets a copy of the list.
            images: Vec::new(),
            platforms: Vec::new(),
            // The entries of parts have the new names.
            names: Vec::new(),
            renames: Vec::new(),
            ..self
        }
    }
}

impl<'a> Planner<'a> {
    /// Begins a plan with the entries of a part instead of all.
    pub(crate) fn enter(&mut self, part: &'a Part<'a>) {
        self.entries.clone_from(&part.entries);
        self.artifacts.clone_from(&part.artifacts);
        self.nameless.clone_from(&part.nameless);
    }
}

/// What all parts are made of.
pub(super) struct Contents<'a, 'p> {
    planner: &'p Planner<'a>,
    /// The entries that lead to images, by position.
    entries: BTreeMap<usize, &'p NamedEntry<'a>>,
    /// Those that lead to no image, if names were requested.
    artifacts: BTreeMap<usize, &'p NamedEntry<'a>>,
    /// The platforms that were requested.
    requested: Platforms<'a>,
}

impl<'a, 'p> Contents<'a, 'p> {
    pub(super) fn of(planner: &'p Planner<'a>) -> Self {
        let by_position = |entries: &'p [NamedEntry<'a>]| {
            let entries = entries.iter();
            entries.map(|entry| (entry.position, entry)).collect()
        };
        Contents {
            planner,
            entries: by_position(&planner.entries),
            artifacts: by_position(&planner.artifacts),
            requested: Platforms::of(&planner.options.platforms),
        }
    }
}

/// What the parts of one group have in common.
struct Whole<'a, 'p> {
    contents: &'p Contents<'a, 'p>,
    planner: &'p Planner<'a>,
    group: &'p Group<'a>,
    /// The entries of the group that lead to images.
    own: Vec<&'p NamedEntry<'a>>,
}

/// The parts of one group. What of an index no part contains goes to `of_no_image`.
pub(super) fn parts<'a>(
    contents: &Contents<'a, '_>,
    companions: &mut Companions<'a, '_>,
    group: &Group<'a>,
    by: SplitBy,
    of_no_image: &mut BTreeSet<Entry<'a>>,
) -> Vec<Part<'a>> {
    let own = group.positions.iter();
    let own = own.filter_map(|position| contents.entries.get(position).copied());
    let whole = Whole {
        contents,
        planner: contents.planner,
        group,
        own: own.collect(),
    };
    let about = companions.of(group.digest);
    let names = whole.names();
    let images = whole.images();
    match by {
        SplitBy::Name if names.len() > 1 && whole.is_image() => {
            let by_name = whole.by_name();
            let parts = names.iter().map(|name| {
                // Entries without a name say no more than those with one.
                let positions = by_name.get(&Some(name)).into_iter().flatten();
                let nameless = by_name.get(&None).into_iter().flatten();
                let positions = positions.chain(nameless).chain(&about);
                whole.of_name(name, positions.copied().collect())
            });
            parts.collect()
        }
        SplitBy::Platform if !images.is_empty() => {
            let divided = companions.within(whole.planner, group.digest, &images);
            let mut divided = divided.unwrap_or_default();
            of_no_image.append(&mut divided.of_no_image);
            // What is about the index goes with each of its images.
            let mut about_all = about;
            let of_images = divided.images.values();
            for position in of_images.flat_map(|within| &within.about) {
                about_all.remove(position);
            }
            let parts = images.iter().map(|image| {
                let within = divided.images.remove(image);
                let own = within.iter().flat_map(|within| &within.about);
                let about = about_all.iter().chain(own).copied().collect();
                Part {
                    within,
                    ..whole.of_image(image, &names, whole.with(&about))
                }
            });
            parts.collect()
        }
        _ => vec![whole.part(names, whole.with(&about))],
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
                let renamed = &self.contents.artifacts;
                let positions = self.group.positions.iter();
                let named = positions.filter(|position| !self.planner.nameless.contains(position));
                let names = named.flat_map(|position| match renamed.get(position) {
                    Some(entry) => entry.names.clone(),
                    None => {
                        let pointer = pointers.get(*position);
                        pointer.and_then(Pointer::name).into_iter().collect()
                    }
                });
                names.collect()
            }
        };
        let mut names: Vec<Reference> = names.into_iter().collect();
        names.sort_by_cached_key(Reference::familiar);
        names
    }

    /// The entries with each name, and those without one.
    fn by_name(&self) -> BTreeMap<Option<&Reference>, Vec<usize>> {
        let mut by_name: BTreeMap<Option<&Reference>, Vec<usize>> = BTreeMap::new();
        for entry in &self.own {
            let names = entry.names.iter().map(Some);
            let unnamed = entry.names.is_empty().then_some(None);
            for name in names.chain(unnamed) {
                by_name.entry(name).or_default().push(entry.position);
            }
        }
        by_name
    }

    /// All entries of the group, and those that are about them.
    fn with(&self, about: &BTreeSet<usize>) -> BTreeSet<usize> {
        self.group.positions.union(about).copied().collect()
    }

    /// The part with these entries.
    fn part(&self, names: Vec<Reference>, positions: BTreeSet<usize>) -> Part<'a> {
        let part = self.with_images(names, positions, &self.images());
        let images = part.entries.iter().flat_map(|entry| entry.images.iter());
        let platforms = images.flat_map(|image| self.planner.platforms.get(image));
        let chosen = self.contents.requested.wanting(platforms);
        let chosen_platforms = chosen.into_iter().cloned().collect();
        Part {
            chosen_platforms,
            ..part
        }
    }

    /// The part with these entries, whose own lead to these images.
    fn with_images(
        &self,
        names: Vec<Reference>,
        positions: BTreeSet<usize>,
        images: &[&'a Digest],
    ) -> Part<'a> {
        let nameless = positions.iter().copied();
        let nameless = nameless.filter(|position| self.planner.nameless.contains(position));
        let nameless = nameless.collect();
        let at = |entries: &BTreeMap<usize, &NamedEntry<'a>>| {
            let entries = positions
                .iter()
                .filter_map(|position| entries.get(position));
            entries.map(|entry| NamedEntry::clone(entry)).collect()
        };
        Part {
            digest: self.group.digest,
            image: None,
            names,
            platforms: self.platforms(images),
            nameless,
            within: None,
            chosen_platforms: Vec::new(),
            entries: at(&self.contents.entries),
            artifacts: at(&self.contents.artifacts),
            positions,
        }
    }

    /// The part with these entries, of which those of the group keep no other name.
    fn of_name(&self, name: &Reference, positions: BTreeSet<usize>) -> Part<'a> {
        let mut part = self.part(vec![name.clone()], positions);
        let is_own = |entry: &&mut NamedEntry<'_>| {
            self.group.positions.contains(&entry.position) && !entry.names.is_empty()
        };
        for entry in part.entries.iter_mut().filter(is_own) {
            entry.is_renamed |= entry.names.first() != Some(name);
            entry.names = vec![name.clone()];
        }
        part
    }

    /// All entries of the group with one of their images, and what is about it.
    fn of_image(
        &self,
        image: &'a Digest,
        names: &[Reference],
        positions: BTreeSet<usize>,
    ) -> Part<'a> {
        let platforms = self.platforms(&[image]);
        Part {
            image: Some(image),
            platforms: platforms.clone(),
            chosen_platforms: platforms,
            ..self.with_images(names.to_vec(), positions, &[image])
        }
    }

    fn platforms(&self, images: &[&Digest]) -> Vec<Platform> {
        let platforms = images.iter();
        let platforms = platforms.flat_map(|image| self.planner.platforms.get(image));
        let platforms: BTreeSet<&Platform> = platforms.collect();
        platforms.into_iter().cloned().collect()
    }
}
