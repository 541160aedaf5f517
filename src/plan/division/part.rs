//! One part of a divided input.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::SplitBy;
use super::companions::{Companions, Group};
use super::within::{IndexEntries, Within};
use crate::error::Result;
use crate::graph::pointer::Pointer;
use crate::graph::{Graph, Reducer};
use crate::image::{Digest, Platform, Reference};
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
    /// Those that lead to no image, if names were requested.
    artifacts: Vec<NamedEntry<'a>>,
    /// All entries, by position in the root's pointers.
    positions: BTreeSet<usize>,
    /// Those whose annotations no longer name them.
    nameless: BTreeSet<usize>,
    /// What stays of the index for the image, and of those below it.
    within: Option<Within<'a>>,
    /// The images that have parts of their own.
    others: Rc<[&'a Digest]>,
    /// The images to keep of what the entries list; all if there is none.
    chosen_images: Vec<ImageChoice>,
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
            let of_image = within.filter(|within| within.entries.contains_key(entry.digest));
            let images = match of_image {
                Some(within) if entry.digest == self.digest => Rc::clone(&within.images),
                Some(within) => {
                    let images = entry.images.iter().copied();
                    images
                        .filter(|image| within.images.contains(image))
                        .collect()
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
        let mut part = Part {
            entries: entries.collect(),
            artifacts: artifacts.collect(),
            positions: numbers.values().copied().collect(),
            nameless: self.nameless.iter().filter_map(new).collect(),
            ..self.clone()
        };
        if let Some(within) = within {
            part.others = Rc::from([]);
            if within.images.len() == 1 {
                part.chosen_images.clear();
            }
        }
        Ok((graph, part))
    }

    /// The images of its index that are in other parts.
    pub(crate) fn others(&self) -> impl Iterator<Item = &'a Digest> {
        let others = self.others.iter().copied();
        others.filter(|other| Some(*other) != self.image)
    }

    /// The options of the split for this part.
    pub(crate) fn options(&self, all: &PlanOptions) -> PlanOptions {
        PlanOptions {
            images: self.chosen_images.clone(),
            platforms: self.chosen_platforms.clone(),
            // Its entries have the new names.
            names: Vec::new(),
            renames: Vec::new(),
            ..all.clone()
        }
    }
}

impl<'a> Planner<'a> {
    /// Begins a plan with the entries of a part instead of all.
    pub(crate) fn enter(&mut self, part: &'a Part<'a>) {
        self.entries.clone_from(&part.entries);
        self.artifacts.clone_from(&part.artifacts);
        self.nameless.clone_from(&part.nameless);
        self.selection.elsewhere = elsewhere(self.graph, part);
    }
}

/// The images below each entry of `index.json`, by position, before options leave some out.
pub(super) type Complete<'a> = BTreeMap<usize, Rc<[&'a Digest]>>;

/// The entries that lead to images, by position.
pub(super) type ByPosition<'a, 'p> = BTreeMap<usize, &'p NamedEntry<'a>>;

/// What the parts of one group have in common.
struct Whole<'a, 'p> {
    planner: &'p Planner<'a>,
    complete: &'p Complete<'a>,
    by_position: &'p ByPosition<'a, 'p>,
    group: &'p Group<'a>,
    /// The entries of the group that lead to images.
    own: Vec<&'p NamedEntry<'a>>,
}

/// The parts of one group.
pub(super) fn parts<'a>(
    planner: &Planner<'a>,
    complete: &Complete<'a>,
    by_position: &ByPosition<'a, '_>,
    companions: &mut Companions<'a, '_>,
    group: &Group<'a>,
    by: SplitBy,
) -> Vec<Part<'a>> {
    let own = group.positions.iter();
    let own = own.filter_map(|position| by_position.get(position).copied());
    let whole = Whole {
        planner,
        complete,
        by_position,
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
            let mut within = whole.within(companions);
            // What is about the index goes with each of its images.
            let mut about_all = about;
            let of_images = within.iter().flat_map(BTreeMap::values);
            for position in of_images.flat_map(|within| &within.about) {
                about_all.remove(position);
            }
            let parts = images.iter().map(|image| {
                let within = within.as_mut().and_then(|within| within.remove(image));
                let own = within.iter().flat_map(|within| &within.about);
                let about = about_all.iter().chain(own).copied().collect();
                Part {
                    within,
                    others: Rc::clone(&images),
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
                let renamed = self.planner.artifacts.iter();
                let renamed: BTreeMap<usize, &NamedEntry<'_>> =
                    renamed.map(|entry| (entry.position, entry)).collect();
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
        let images = self.images();
        let options = &self.planner.options;
        let is_reduced = self.own.first().is_some_and(|entry| {
            let complete = self.complete.get(&entry.position);
            complete.is_some_and(|complete| complete.len() != images.len())
        });
        let chosen = images.iter();
        let chosen = chosen.filter(|_| is_reduced && !options.images.is_empty());
        let chosen = chosen.map(|image| ImageChoice::Digest(Digest::clone(image)));
        Part {
            chosen_images: chosen.collect(),
            ..self.with_images(names, positions, &images)
        }
    }

    /// The part with these entries, whose own lead to these images.
    fn with_images(
        &self,
        names: Vec<Reference>,
        positions: BTreeSet<usize>,
        images: &[&'a Digest],
    ) -> Part<'a> {
        let options = &self.planner.options;
        let entries = self.entries(&positions);
        let images_of_part = entries
            .iter()
            .filter(|_| !options.platforms.is_empty())
            .flat_map(|entry| entry.images.iter());
        let platforms: BTreeSet<&Platform> = images_of_part
            .filter_map(|image| self.planner.platforms.get(image).copied())
            .collect();
        let wanted = options.platforms.iter();
        let wanted = wanted.filter(|wanted| {
            let mut platforms = platforms.iter();
            platforms.any(|platform| platform.matches_strictly(wanted))
        });
        let nameless = positions.intersection(&self.planner.nameless);
        let artifacts = self.planner.artifacts.iter();
        let artifacts = artifacts.filter(|entry| positions.contains(&entry.position));
        Part {
            digest: self.group.digest,
            image: None,
            names,
            platforms: self.platforms(images),
            nameless: nameless.copied().collect(),
            within: None,
            others: Rc::from([]),
            chosen_platforms: wanted.cloned().collect(),
            chosen_images: Vec::new(),
            entries,
            artifacts: artifacts.cloned().collect(),
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
        let platform = self.planner.platforms.get(image).copied();
        let platforms: Vec<Platform> = platform.into_iter().cloned().collect();
        Part {
            image: Some(image),
            platforms: platforms.clone(),
            chosen_images: vec![ImageChoice::Digest(image.clone())],
            chosen_platforms: platforms,
            ..self.with_images(names.to_vec(), positions, &[image])
        }
    }

    /// What of the index is for each of its images; `None` if it is not an index.
    fn within(&self, companions: &Companions<'a, '_>) -> Option<BTreeMap<&'a Digest, Within<'a>>> {
        let complete = self.complete.get(&self.own.first()?.position)?;
        companions.within(self.group.digest, complete, &self.images())
    }

    /// The entries at these positions that lead to images, with all their images.
    fn entries(&self, positions: &BTreeSet<usize>) -> Vec<NamedEntry<'a>> {
        let entries = positions
            .iter()
            .filter_map(|position| self.by_position.get(position));
        let entries = entries.map(|entry| {
            let complete = self.complete.get(&entry.position);
            NamedEntry {
                images: Rc::clone(complete.unwrap_or(&entry.images)),
                ..NamedEntry::clone(entry)
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
