//! What of an index, and of the indexes below it, goes into the part of one of its images.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::pointer::Pointer;
use crate::graph::referrers::Referrers;
use crate::image::platform::NormalForm;
use crate::image::{Digest, Platform};
use crate::plan::planner::Planner;
use crate::plan::selection::Selection;
use crate::plan::selection::closure::{kept_with, kept_with_only};
use crate::plan::selection::platforms::UNKNOWN;

/// Entries of indexes, by position in the pointers of each.
pub(crate) type IndexEntries<'a> = BTreeMap<&'a Digest, BTreeSet<usize>>;

/// An entry: its index, and its position in the index's pointers.
pub(crate) type Entry<'a> = (&'a Digest, usize);

/// What of an index, and of those below it, is for one of its images.
#[derive(Clone, Debug, Default)]
pub(super) struct Within<'a> {
    /// The entries of the indexes that lead to the image, or to what is about it.
    pub(super) entries: IndexEntries<'a>,
    /// The entries of `index.json` that are about the image, or about an index below the first that leads to it.
    pub(super) about: BTreeSet<usize>,
}

/// What of an index is for each of its images.
#[derive(Debug, Default)]
pub(super) struct Divided<'a> {
    pub(super) images: BTreeMap<&'a Digest, Within<'a>>,
    /// The entries for platforms that no image has.
    pub(super) of_no_image: BTreeSet<Entry<'a>>,
}

/// What of an index is for each of these images, without what is left out of all; `None` if it is not an index.
pub(super) fn within<'a>(
    planner: &Planner<'a>,
    referrers: &Referrers<'a>,
    index: &'a Digest,
    images: &[&'a Digest],
) -> Option<Divided<'a>> {
    referrers.within.get(index)?;
    let indexes = Indexes::below(referrers, &planner.selection, index, images);
    let mut divided = Divided {
        of_no_image: indexes.with_platforms(),
        ..Divided::default()
    };
    for image in images {
        let mut within = Within::default();
        let platforms: Vec<&Platform> = planner.platforms.get(image).collect();
        indexes.collect(image, &platforms, &mut within);
        let entries = within.entries.iter();
        for entry in entries.flat_map(|(index, positions)| positions.iter().map(|at| (*index, *at)))
        {
            divided.of_no_image.remove(&entry);
        }
        divided.images.insert(image, within);
    }
    Some(divided)
}

/// An index and those below it.
struct Indexes<'a> {
    /// Where each document is listed.
    listed: BTreeMap<&'a Digest, Vec<(&'a Digest, usize, &'a Pointer)>>,
    /// The entries that are about an image, or about an index below the first.
    about: BTreeMap<&'a Digest, About<'a>>,
    /// The other entries of the indexes that lead to an image, or to what is about one.
    others: BTreeMap<&'a Digest, Others<'a>>,
}

/// Entries of an index that are about none of its images.
#[derive(Default)]
struct Others<'a> {
    /// Those that go with whatever their index goes with.
    everywhere: Vec<usize>,
    /// Those that state a platform, such as that of an absent image: they go with images for it.
    by_platform: BTreeMap<NormalForm, Vec<(&'a Platform, usize)>>,
}

impl<'a> Others<'a> {
    fn add(&mut self, pointer: &'a Pointer, position: usize) {
        match pointer.platform.as_deref() {
            Some(platform) if platform.os != UNKNOWN => {
                let like = self.by_platform.entry(platform.normal_form());
                like.or_default().push((platform, position));
            }
            _ => self.everywhere.push(position),
        }
    }

    /// The positions of those that go with an image for these platforms, and of all if none is known.
    fn with(&self, platforms: &[&Platform]) -> BTreeSet<usize> {
        let like = platforms.iter().flat_map(|platform| {
            let like = self.by_platform.get(&platform.normal_form());
            let like = like.into_iter().flatten();
            like.filter(|(stated, _)| stated.matches_strictly(platform))
        });
        let all = platforms.is_empty().then(|| self.by_platform.values());
        let all = all.into_iter().flatten().flatten();
        let stated = like.chain(all).map(|(_, position)| *position);
        stated.chain(self.everywhere.iter().copied()).collect()
    }
}

/// The entries that are about a document.
#[derive(Default)]
struct About<'a> {
    within: Vec<Entry<'a>>,
    /// Those of `index.json`.
    at_root: Vec<usize>,
}

impl<'a> Indexes<'a> {
    fn below(
        referrers: &Referrers<'a>,
        selection: &Selection<'a>,
        first: &'a Digest,
        images: &[&'a Digest],
    ) -> Self {
        let is_kept = |index: &Digest, position: usize| {
            let dropped = selection.dropped(index);
            dropped.is_none_or(|dropped| !dropped.contains(&position))
        };
        let mut listed: BTreeMap<&Digest, Vec<(&Digest, usize, &Pointer)>> = BTreeMap::new();
        let mut below = BTreeSet::new();
        let mut open = vec![first];
        while let Some(index) = open.pop() {
            if !below.insert(index) {
                continue;
            }
            for number in referrers.within.get(index).into_iter().flatten() {
                let listing = &referrers.listings[*number];
                if !is_kept(index, listing.position) {
                    continue;
                }
                let digest = &listing.pointer.digest;
                let entries = listed.entry(digest).or_default();
                entries.push((index, listing.position, listing.pointer));
                open.push(digest);
            }
        }
        let about_one = |numbers: BTreeSet<usize>| {
            let mut about = About::default();
            for number in numbers {
                let listing = &referrers.listings[number];
                match listing.owner {
                    None => about.at_root.push(listing.position),
                    Some(owner) if below.contains(owner) && is_kept(owner, listing.position) => {
                        about.within.push((owner, listing.position));
                    }
                    Some(_) => {}
                }
            }
            about
        };
        let mut about: BTreeMap<&Digest, About<'_>> = BTreeMap::new();
        for image in images {
            about.insert(image, about_one(kept_with(referrers, [*image])));
        }
        let of_images = about.values().flat_map(|about| &about.within);
        let of_images = of_images.map(|(owner, _)| *owner);
        let mut leading: BTreeSet<&Digest> = BTreeSet::new();
        let mut open: Vec<&Digest> = images.iter().copied().chain(of_images).collect();
        while let Some(digest) = open.pop() {
            if referrers.within.contains_key(digest) && !leading.insert(digest) {
                continue;
            }
            let owners = listed.get(digest).into_iter().flatten();
            open.extend(owners.map(|(owner, ..)| *owner));
        }
        for index in leading.iter().filter(|index| **index != first) {
            about.insert(index, about_one(kept_with_only(referrers, index)));
        }
        let claimed = about.values().flat_map(|about| &about.within);
        let claimed: BTreeSet<Entry<'_>> = claimed.copied().collect();
        let is_image: BTreeSet<&Digest> = images.iter().copied().collect();
        let mut others: BTreeMap<&Digest, Others<'_>> = BTreeMap::new();
        for (digest, entries) in &listed {
            if is_image.contains(digest) || leading.contains(digest) {
                continue;
            }
            for (owner, position, pointer) in entries {
                if leading.contains(owner) && !claimed.contains(&(*owner, *position)) {
                    others.entry(owner).or_default().add(pointer, *position);
                }
            }
        }
        Indexes {
            listed,
            about,
            others,
        }
    }

    /// The entries that go with no image unless it is for the platform that they state.
    fn with_platforms(&self) -> BTreeSet<Entry<'a>> {
        let others = self.others.iter().flat_map(|(index, others)| {
            let stated = others.by_platform.values().flatten();
            stated.map(|(_, position)| (*index, *position))
        });
        others.collect()
    }

    /// Adds what goes with an image for these platforms: the entries that lead to it, those that are about it or about an index
    /// that does, and the others of such an index.
    fn collect(&self, image: &'a Digest, platforms: &[&Platform], to: &mut Within<'a>) {
        let mut seen = BTreeSet::from([image]);
        let mut open = vec![image];
        while let Some(digest) = open.pop() {
            let listed = self.listed.get(digest).into_iter().flatten();
            let listed = listed.map(|(owner, position, _)| (owner, position));
            let about = self.about.get(digest);
            let within = about.into_iter().flat_map(|about| &about.within);
            let within = within.map(|(owner, position)| (owner, position));
            for (owner, position) in listed.chain(within) {
                to.entries.entry(owner).or_default().insert(*position);
                if seen.insert(owner) {
                    open.push(owner);
                }
            }
            to.about
                .extend(about.into_iter().flat_map(|about| &about.at_root));
            if let Some(others) = self.others.get(digest) {
                let others = others.with(platforms);
                to.entries.entry(digest).or_default().extend(others);
            }
        }
    }
}
