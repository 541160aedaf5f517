//! What of an index, and of the indexes below it, goes into the part of one of its images.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::graph::referrers::Referrers;
use crate::image::Digest;
use crate::plan::selection::closure::{kept_with, kept_with_only};

/// Entries of indexes, by position in the pointers of each.
pub(crate) type IndexEntries<'a> = BTreeMap<&'a Digest, BTreeSet<usize>>;

/// An entry: its index, and its position in the index's pointers.
type Entry<'a> = (&'a Digest, usize);

/// What of an index, and of those below it, is for one of its images.
#[derive(Clone, Debug)]
pub(super) struct Within<'a> {
    /// The entries of the indexes that lead to the image, or to what is about it.
    pub(super) entries: IndexEntries<'a>,
    /// The entries of `index.json` that are about the image, or about an index below the first that leads to it.
    pub(super) about: BTreeSet<usize>,
    /// The image, and those that no part contains: they are left out of this one.
    pub(super) images: Rc<[&'a Digest]>,
}

/// What of an index is for each of these images; `None` if it is not an index. `all` are its images, of which the others go into
/// no part.
pub(super) fn within<'a>(
    referrers: &Referrers<'a>,
    index: &'a Digest,
    all: &[&'a Digest],
    images: &[&'a Digest],
) -> Option<BTreeMap<&'a Digest, Within<'a>>> {
    referrers.within.get(index)?;
    let indexes = Indexes::below(referrers, index, all);
    let kept: BTreeSet<&Digest> = images.iter().copied().collect();
    let unwanted = all.iter().copied().filter(|image| !kept.contains(image));
    let unwanted: Vec<&Digest> = unwanted.collect();
    let mut of_unwanted = Collected::default();
    for image in &unwanted {
        indexes.collect(image, &mut of_unwanted);
    }
    let within = kept.into_iter().map(|image| {
        let mut collected = Collected {
            entries: of_unwanted.entries.clone(),
            about: BTreeSet::new(),
        };
        indexes.collect(image, &mut collected);
        let images = std::iter::once(image).chain(unwanted.iter().copied());
        let within = Within {
            entries: collected.entries,
            about: collected.about,
            images: images.collect(),
        };
        (image, within)
    });
    Some(within.collect())
}

/// Entries of indexes, and of `index.json`.
#[derive(Default)]
struct Collected<'a> {
    entries: IndexEntries<'a>,
    about: BTreeSet<usize>,
}

/// An index and those below it.
struct Indexes<'a> {
    /// Where each document is listed.
    listed: BTreeMap<&'a Digest, Vec<Entry<'a>>>,
    /// The entries that are about an image, or about an index below the first.
    about: BTreeMap<&'a Digest, About<'a>>,
    /// The other entries of the indexes that lead to an image, or to what is about one: they go with whatever their index goes
    /// with.
    others: BTreeMap<&'a Digest, Vec<usize>>,
}

/// The entries that are about a document.
#[derive(Default)]
struct About<'a> {
    within: Vec<Entry<'a>>,
    /// Those of `index.json`.
    at_root: Vec<usize>,
}

impl<'a> Indexes<'a> {
    fn below(referrers: &Referrers<'a>, first: &'a Digest, images: &[&'a Digest]) -> Self {
        let mut listed: BTreeMap<&Digest, Vec<Entry<'_>>> = BTreeMap::new();
        let mut below = BTreeSet::new();
        let mut open = vec![first];
        while let Some(index) = open.pop() {
            if !below.insert(index) {
                continue;
            }
            for number in referrers.within.get(index).into_iter().flatten() {
                let listing = &referrers.listings[*number];
                let digest = &listing.pointer.digest;
                let entries = listed.entry(digest).or_default();
                entries.push((index, listing.position));
                open.push(digest);
            }
        }
        let about_one = |numbers: BTreeSet<usize>| {
            let mut about = About::default();
            for number in numbers {
                let listing = &referrers.listings[number];
                match listing.owner {
                    None => about.at_root.push(listing.position),
                    Some(owner) if below.contains(owner) => {
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
            open.extend(owners.map(|(owner, _)| *owner));
        }
        for index in leading.iter().filter(|index| **index != first) {
            about.insert(index, about_one(kept_with_only(referrers, index)));
        }
        let claimed = about.values().flat_map(|about| &about.within);
        let claimed: BTreeSet<Entry<'_>> = claimed.copied().collect();
        let is_image: BTreeSet<&Digest> = images.iter().copied().collect();
        let mut others: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
        for (digest, entries) in &listed {
            if is_image.contains(digest) || leading.contains(digest) {
                continue;
            }
            for (owner, position) in entries {
                if leading.contains(owner) && !claimed.contains(&(*owner, *position)) {
                    others.entry(owner).or_default().push(*position);
                }
            }
        }
        Indexes {
            listed,
            about,
            others,
        }
    }

    /// Adds what goes with an image: the entries that lead to it, and those that are about it or about an index that does.
    fn collect(&self, image: &'a Digest, to: &mut Collected<'a>) {
        let mut seen = BTreeSet::from([image]);
        let mut open = vec![image];
        while let Some(digest) = open.pop() {
            let listed = self.listed.get(digest).into_iter().flatten();
            let about = self.about.get(digest);
            for (owner, position) in listed.chain(about.into_iter().flat_map(|about| &about.within))
            {
                to.entries.entry(owner).or_default().insert(*position);
                if seen.insert(owner) {
                    open.push(owner);
                }
            }
            to.about
                .extend(about.into_iter().flat_map(|about| &about.at_root));
            if let Some(others) = self.others.get(digest) {
                to.entries.entry(digest).or_default().extend(others);
            }
        }
    }
}
